/// What one detector process watches. Plain values: whoever reads the configuration file fills them in.
public struct DetectorConfiguration: Sendable {
    /// Who observed: shown in every event, and part of the names of the state files.
    public var name: String
    /// Where the positions of followed files and the state of probes are kept. Created if absent.
    public var spoolDirectory: String
    public var checks: [Check]

    public init(name: String, spoolDirectory: String, checks: [Check] = []) {
        self.name = name
        self.spoolDirectory = spoolDirectory
        self.checks = checks
    }
}

/// One thing that is watched.
public struct Check: Sendable {
    /// Unique within the detector; the dedup key of its events.
    public var name: String
    /// What the check is about.
    public var service: String
    /// From the start of one probe to the start of the next. A log is read as it grows; there it is the poll interval.
    public var interval: Duration
    /// The same while it fails and is not reported yet (a soft state); nil: `interval`. Not used by `log`.
    public var retryInterval: Duration?
    /// Each probe begins up to so much later, by chance, so that checks of one rhythm do not all begin at once; nil: a tenth of
    /// the interval, at most 10 s. Not used by `log`.
    public var jitter: Duration?
    /// Checks of the same detector without which this one cannot be well. While one of them fails, this one is not reported; and
    /// before it is, each of them has been seen to be well since. Not used by `log`.
    public var dependsOn: [String]
    /// A probe without an answer by then has failed. Not used by `log` and `host`.
    public var timeout: Duration
    /// The severity hint of a failure. Nagios WARNING says `minor` and UNKNOWN `major` instead.
    public var severity: String
    /// Added to the labels of each event: identity, not evidence.
    public var labels: [String: String]
    /// Consecutive failures before a trigger is published. Not used by `log`.
    public var failuresToTrigger: Int
    /// Consecutive successes before a resolve is published. Not used by `log`.
    public var successesToResolve: Int
    /// While it keeps failing, the trigger is published again this often. Not used by `log`.
    public var repeatInterval: Duration
    public var kind: Kind

    /// How it is watched.
    public enum Kind: Sendable {
        case http(HTTPCheck)
        case tcp(TCPCheck)
        case command(CommandCheck)
        case host(HostCheck)
        case log(LogCheck)
        case dns(DNSCheck)
        case ping(PingCheck)
        case process(ProcessCheck)
        case unit(UnitCheck)
        case file(FileCheck)
        case metrics(MetricsCheck)
        case heartbeat(HeartbeatCheck)

        /// The second token of the subject, `event.<kind>.<name>`, and the start of the event's source.
        public var token: String {
            switch self {
            case .http: "http"
            case .tcp: "tcp"
            case .command: "command"
            case .host: "host"
            case .log: "log"
            case .dns: "dns"
            case .ping: "ping"
            case .process: "process"
            case .unit: "unit"
            case .file: "file"
            case .metrics: "metrics"
            case .heartbeat: "heartbeat"
            }
        }

        /// What it sees is of the machine it runs on.
        var isOfMachine: Bool {
            switch self {
            case .host, .process, .unit, .file: true
            case .metrics(let check): if case .proc = check.source { true } else { false }
            case .http, .tcp, .command, .log, .dns, .ping, .heartbeat: false
            }
        }
    }

    /// `interval` nil: 10 s, for a log 250 ms.
    public init(
        name: String, service: String, kind: Kind, interval: Duration? = nil, retryInterval: Duration? = nil,
        jitter: Duration? = nil, dependsOn: [String] = [], timeout: Duration = .seconds(5),
        severity: String = "critical", labels: [String: String] = [:], failuresToTrigger: Int = 2,
        successesToResolve: Int = 1, repeatInterval: Duration = .seconds(300)
    ) {
        self.name = name
        self.service = service
        self.kind = kind
        if let interval {
            self.interval = interval
        } else if case .log = kind {
            self.interval = .milliseconds(250)
        } else {
            self.interval = .seconds(10)
        }
        self.retryInterval = retryInterval
        self.jitter = jitter
        self.dependsOn = dependsOn
        self.timeout = timeout
        self.severity = severity
        self.labels = labels
        self.failuresToTrigger = failuresToTrigger
        self.successesToResolve = successesToResolve
        self.repeatInterval = repeatInterval
    }
}

/// Requests a URL and judges the answer.
public struct HTTPCheck: Sendable {
    /// `http` or `https`.
    public var url: String
    public var method: String
    /// The statuses that are well.
    public var expectStatus: [ClosedRange<Int>]
    /// What the first 1 MiB of the body must contain; nil: anything.
    public var expectBody: String?
    public var headers: [String: String]
    public var followRedirects: Bool
    /// An answer that takes longer is a failure; nil: only one past the timeout.
    public var slowerThan: Duration?
    /// A certificate that has fewer days left is a failure; nil: only one that is not valid.
    public var certificateDays: Int64?
    /// File of root certificates, in PEM; nil: the system's.
    public var roots: String?

    public init(
        url: String, method: String = "GET", expectStatus: [ClosedRange<Int>] = [200...299], expectBody: String? = nil,
        headers: [String: String] = [:], followRedirects: Bool = true, slowerThan: Duration? = nil,
        certificateDays: Int64? = nil, roots: String? = nil
    ) {
        self.url = url
        self.method = method
        self.expectStatus = expectStatus
        self.expectBody = expectBody
        self.headers = headers
        self.followRedirects = followRedirects
        self.slowerThan = slowerThan
        self.certificateDays = certificateDays
        self.roots = roots
    }
}

/// Opens a TCP connection and closes it.
public struct TCPCheck: Sendable {
    public var host: String
    public var port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }
}

/// Runs a Nagios plugin: exit code 0 OK, 1 WARNING, 2 CRITICAL, anything else UNKNOWN; the first line of its output says
/// why, performance data after `|`.
public struct CommandCheck: Sendable {
    /// The program, looked up in PATH, and its arguments. No shell in between.
    public var argv: [String]
    /// Added to the detector's own environment.
    public var environment: [String: String]

    public init(argv: [String], environment: [String: String] = [:]) {
        self.argv = argv
        self.environment = environment
    }
}

/// Watches this machine. Each limit that is set is a condition of its own, with its own trigger and resolve.
public struct HostCheck: Sendable {
    /// Percent of all processors busy, over the interval.
    public var cpuAbove: Double?
    /// Percent of memory that is not available.
    public var memoryAbove: Double?
    /// Percent of a file system in use.
    public var diskAbove: Double?
    /// One path in each file system that `diskAbove` is about.
    public var diskPaths: [String]
    /// The one-minute load average.
    public var loadAbove: Double?

    public init(
        cpuAbove: Double? = nil, memoryAbove: Double? = nil, diskAbove: Double? = nil, diskPaths: [String] = ["/"],
        loadAbove: Double? = nil
    ) {
        self.cpuAbove = cpuAbove
        self.memoryAbove = memoryAbove
        self.diskAbove = diskAbove
        self.diskPaths = diskPaths
        self.loadAbove = loadAbove
    }
}

/// Follows a text file as it grows, through rotation and truncation, or the journal of systemd. Each line that a pattern
/// matches is one event; and, where wanted, templates of lines that are new, come in a burst or have vanished.
public struct LogCheck: Sendable {
    /// Where the lines come from.
    public enum Source: Sendable, Equatable {
        /// The file's path.
        case file(String)
        /// Units of systemd; none: all of the journal.
        case journal(units: [String])
    }

    public var source: Source
    /// The first that matches a line decides. Empty: every line is an event with the check's severity, unless `templates` is set.
    public var patterns: [LogPattern]
    /// Nil: templates are not watched.
    public var templates: TemplateCheck?
    /// Where to begin when the file has never been followed: at its first line, or only with what is written from now on.
    public var fromStart: Bool
    /// How long a file that was renamed must be quiet before its successor is read, so that a writer which still holds
    /// it open loses nothing.
    public var rotateWait: Duration

    public init(
        _ source: Source, patterns: [LogPattern] = [], templates: TemplateCheck? = nil, fromStart: Bool = false,
        rotateWait: Duration = .seconds(1)
    ) {
        self.source = source
        self.patterns = patterns
        self.templates = templates
        self.fromStart = fromStart
        self.rotateWait = rotateWait
    }
}

/// Watches what the lines of a log have in common.
public struct TemplateCheck: Sendable {
    /// Of its events.
    public var severity: String
    /// For so long after the log was first followed, no template is new.
    public var settling: Duration

    public init(severity: String = "minor", settling: Duration = .seconds(600)) {
        self.severity = severity
        self.settling = settling
    }
}

/// Which lines of a log are events, and what they say.
public struct LogPattern: Sendable {
    /// The line must contain this, byte for byte. With `regex` as well it is tested first, which is much faster.
    public var contains: String?
    /// The line must match this somewhere (Swift's regular expressions). Named groups become labels, of at most 256 bytes.
    public var regex: String?
    /// Nil: the check's.
    public var severity: String?
    /// Nil: the check's.
    public var service: String?
    /// The line says that the condition has ended.
    public var resolve: Bool
    /// The dedup key; `{name}` stands for a named group of `regex`, nothing where that matched nothing. Nil: triage makes a
    /// fingerprint. A resolving pattern needs the same key as its trigger, and the two stay in order only by that; lines
    /// with a key are handled one after another, lines without by all triage workers at once, so give one only where it
    /// is needed.
    public var dedupKey: String?

    /// With neither `contains` nor `regex` the pattern matches every line.
    public init(
        contains: String? = nil, regex: String? = nil, severity: String? = nil, service: String? = nil,
        resolve: Bool = false, dedupKey: String? = nil
    ) {
        self.contains = contains
        self.regex = regex
        self.severity = severity
        self.service = service
        self.resolve = resolve
        self.dedupKey = dedupKey
    }
}

/// Looks a name up.
public struct DNSCheck: Sendable {
    public var name: String
    public var record: DNSRecord
    /// Records that must be among those found, as people write them: `192.0.2.1`, `10 mail.example.org.`. Empty: any.
    public var expect: [String]
    /// The IPv4 address of the server that is asked; nil: those of this machine.
    public var server: String?
    public var port: Int

    public init(name: String, record: DNSRecord = .a, expect: [String] = [], server: String? = nil, port: Int = 53) {
        self.name = name
        self.record = record
        self.expect = expect
        self.server = server
        self.port = port
    }
}

/// Sends ICMP echo requests.
public struct PingCheck: Sendable {
    public var host: String
    /// Requests in one probe, 1...20.
    public var count: Int
    /// Percent that may be lost.
    public var lossAbove: Int
    /// A round trip that takes longer is a failure; nil: only one past the timeout.
    public var slowerThan: Duration?

    public init(host: String, count: Int = 3, lossAbove: Int = 50, slowerThan: Duration? = nil) {
        self.host = host
        self.count = count
        self.lossAbove = lossAbove
        self.slowerThan = slowerThan
    }
}

/// Counts processes of this machine.
public struct ProcessCheck: Sendable {
    /// The name of the program; the kernel knows its first 15 bytes. Nil: any.
    public var name: String?
    /// What the command line must contain; nil: anything.
    public var commandLine: String?
    public var atLeast: Int
    /// Nil: any number.
    public var atMost: Int?

    public init(name: String? = nil, commandLine: String? = nil, atLeast: Int = 1, atMost: Int? = nil) {
        self.name = name
        self.commandLine = commandLine
        self.atLeast = atLeast
        self.atMost = atMost
    }
}

/// Asks for the state of a unit of systemd.
public struct UnitCheck: Sendable {
    public var unit: String
    /// The states that are well.
    public var states: [String]

    public init(unit: String, states: [String] = ["active"]) {
        self.unit = unit
        self.states = states
    }
}

/// Looks at a file's age and size.
public struct FileCheck: Sendable {
    /// A path, or a pattern as shells have them: then the newest file counts.
    public var path: String
    /// Since it was last written; nil: any age.
    public var olderThan: Duration?
    /// Bytes; nil: any.
    public var smallerThan: Int64?
    public var largerThan: Int64?
    /// That there is none is no failure.
    public var mayBeAbsent: Bool

    public init(
        path: String, olderThan: Duration? = nil, smallerThan: Int64? = nil, largerThan: Int64? = nil, mayBeAbsent: Bool = false
    ) {
        self.path = path
        self.olderThan = olderThan
        self.smallerThan = smallerThan
        self.largerThan = largerThan
        self.mayBeAbsent = mayBeAbsent
    }
}

/// Takes numbers from somewhere, and judges each by rules. Each rule and series is a condition of its own, with its own trigger
/// and resolve.
public struct MetricsCheck: Sendable {
    /// Where the numbers are from.
    public enum Source: Sendable {
        case prometheus(Scrape)
        /// An address in numbers, and a port, that statsd clients send to.
        case statsd(host: String, port: Int)
        /// This machine: processors, memory, load, networks, disks, open files.
        case proc
        case csv(Replay)
    }

    /// A page of a Prometheus exporter.
    public struct Scrape: Sendable {
        public var url: String
        public var headers: [String: String]
        /// File of root certificates, in PEM; nil: the system's.
        public var roots: String?

        public init(url: String, headers: [String: String] = [:], roots: String? = nil) {
            self.url = url
            self.headers = headers
            self.roots = roots
        }
    }

    /// A table that was recorded.
    public struct Replay: Sendable {
        public var path: String
        /// How many times as fast as it was recorded; 0: as fast as it can be read.
        public var speed: Double

        public init(path: String, speed: Double = 1) {
            self.path = path
            self.speed = speed
        }
    }

    public var source: Source
    public var rules: [SeriesRule]

    public init(source: Source, rules: [SeriesRule]) {
        self.source = source
        self.rules = rules
    }
}

/// What is wrong with a series.
public struct SeriesRule: Sendable {
    public enum Condition: Sendable, Equatable {
        /// More than `limit`; over again at `clear` and less, which is at most the limit.
        case above(limit: Double, clear: Double)
        /// Less than `limit`; over again at `clear` and more.
        case below(limit: Double, clear: Double)
        /// There has been no series that matches for so long.
        case absent(Duration)
        /// The detector of anomalies finds the value unusual: a score of `threshold` or more.
        case anomaly(threshold: Double)
    }

    /// Unique within the check.
    public var name: String
    public var series: SeriesSelector
    public var condition: Condition
    /// Judge the change a second, not the value; of a counter that was reset, from zero.
    public var isRate: Bool
    /// Nil: the check's.
    public var severity: String?

    public init(name: String, series: SeriesSelector, condition: Condition, isRate: Bool = false, severity: String? = nil) {
        self.name = name
        self.series = series
        self.condition = condition
        self.isRate = isRate
        self.severity = severity
    }
}

/// Watches for heartbeats that do not come: of jobs and sensors that say how often they come, and of those listed here.
public struct HeartbeatCheck: Sendable {
    /// One that is to come.
    public struct Expected: Sendable {
        public var name: String
        public var every: Duration
        /// How late it may be; nil: a tenth of `every`.
        public var grace: Duration?
        /// Nil: the name.
        public var service: String?
        /// Nil: the check's.
        public var severity: String?

        public init(
            name: String, every: Duration, grace: Duration? = nil, service: String? = nil, severity: String? = nil
        ) {
            self.name = name
            self.every = every
            self.grace = grace
            self.service = service
            self.severity = severity
        }
    }

    public var expected: [Expected]
    /// How far back heartbeats are read when the detector starts: no heartbeat comes more rarely.
    public var remember: Duration

    public init(expected: [Expected] = [], remember: Duration = .seconds(8 * 86_400)) {
        self.expected = expected
        self.remember = remember
    }
}
