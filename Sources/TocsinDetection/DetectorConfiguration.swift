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

        /// The second token of the subject, `event.<kind>.<name>`, and the start of the event's source.
        public var token: String {
            switch self {
            case .http: "http"
            case .tcp: "tcp"
            case .command: "command"
            case .host: "host"
            case .log: "log"
            }
        }
    }

    /// `interval` nil: 10 s, for a log 250 ms.
    public init(
        name: String, service: String, kind: Kind, interval: Duration? = nil, timeout: Duration = .seconds(5),
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

    public init(
        url: String, method: String = "GET", expectStatus: [ClosedRange<Int>] = [200...299], expectBody: String? = nil,
        headers: [String: String] = [:], followRedirects: Bool = true
    ) {
        self.url = url
        self.method = method
        self.expectStatus = expectStatus
        self.expectBody = expectBody
        self.headers = headers
        self.followRedirects = followRedirects
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

/// Follows a text file as it grows, through rotation and truncation. Each line that a pattern matches is one event.
public struct LogCheck: Sendable {
    public var path: String
    /// The first that matches a line decides. Empty: every line is an event with the check's severity.
    public var patterns: [LogPattern]
    /// Where to begin when the file has never been followed: at its first line, or only with what is written from now on.
    public var fromStart: Bool
    /// How long a file that was renamed must be quiet before its successor is read, so that a writer which still holds
    /// it open loses nothing.
    public var rotateWait: Duration

    public init(
        path: String, patterns: [LogPattern] = [], fromStart: Bool = false, rotateWait: Duration = .seconds(1)
    ) {
        self.path = path
        self.patterns = patterns
        self.fromStart = fromStart
        self.rotateWait = rotateWait
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
