import TocsinDomain

/// What one responder process does about incidents. Plain values: whoever reads the configuration file fills them in.
/// All responders of one hub share its pools, so they need the same runbooks and notifications.
public struct ResponderConfiguration: Sendable {
    /// Shown in logs; the ledger's name.
    public var name: String
    /// Where the ledger of runs is kept. Created if absent.
    public var directory: String
    public var runbooks: [Runbook]
    public var notifications: [NotificationTarget]
    /// Incidents handled at the same time; one incident's changes are always handled one after another.
    public var parallelism: Int
    /// How long the hub lets a worker keep a delivery: the visibility time of the pools `responder` and `notifier`. No
    /// run may take longer, or another responder would begin it a second time.
    public var visibility: Duration
    /// How long runs that are under way may go on when the responder is stopped. Then their commands are killed.
    public var stopGrace: Duration

    public init(
        name: String, directory: String, runbooks: [Runbook] = [], notifications: [NotificationTarget] = [],
        parallelism: Int = 8, visibility: Duration = .seconds(900), stopGrace: Duration = .seconds(10)
    ) {
        self.name = name
        self.directory = directory
        self.runbooks = runbooks
        self.notifications = notifications
        self.parallelism = parallelism
        self.visibility = visibility
        self.stopGrace = stopGrace
    }
}

/// Commands that put something right, and how to tell that they did.
public struct Runbook: Sendable {
    public var name: String
    public var match: RunbookMatch
    /// Run in order; the first that fails ends the run.
    public var steps: [RunbookStep]
    /// Nil: a run in which each step succeeded has succeeded, but nothing is said to be mitigated.
    public var verify: Verification?
    /// Run for drills too.
    public var drills: Bool

    public init(
        name: String, match: RunbookMatch = RunbookMatch(), steps: [RunbookStep], verify: Verification? = nil,
        drills: Bool = false
    ) {
        self.name = name
        self.match = match
        self.steps = steps
        self.verify = verify
        self.drills = drills
    }

    /// The longest a run can take: all timeouts, waits and the time to kill what is late. The pool's visibility time
    /// must be longer.
    public var longestRun: Duration {
        let steps = steps.reduce(Duration.zero) { $0 + $1.timeout + Command.killGrace }
        guard let verify else { return steps }
        return steps + (verify.timeout + Command.killGrace + verify.interval) * max(1, verify.attempts)
    }
}

/// Which incident changes start a runbook: one of the verbs, and either the incident names the runbook, or one of its
/// services matches and it is severe enough.
public struct RunbookMatch: Sendable {
    /// Globs (`*`, `?`). Empty: only incidents that name the runbook.
    public var services: [String]
    public var minimumSeverity: Severity
    public var verbs: [String]

    public init(services: [String] = [], minimumSeverity: Severity = .minor, verbs: [String] = ["opened", "reopened"]) {
        self.services = services
        self.minimumSeverity = minimumSeverity
        self.verbs = verbs
    }
}

/// One command of a runbook. It succeeds with exit code 0.
public struct RunbookStep: Sendable {
    public var name: String
    /// The program, looked up in PATH, and its arguments. No shell in between. What it leaves running in the background
    /// keeps running; it should not hold on to standard output.
    public var command: [String]
    /// Past it the command and its children are killed, and the step has failed.
    public var timeout: Duration
    /// Added to the responder's own environment and the TOCSIN_* variables.
    public var environment: [String: String]
    /// Whether it may be run again when the responder died while it ran. Restarts are; "add one more server" is not.
    public var idempotent: Bool

    public init(
        name: String, command: [String], timeout: Duration = .seconds(60), environment: [String: String] = [:],
        idempotent: Bool = true
    ) {
        self.name = name
        self.command = command
        self.timeout = timeout
        self.environment = environment
        self.idempotent = idempotent
    }
}

/// How a runbook's effect is verified: tried until it succeeds or the attempts are used up.
public struct Verification: Sendable {
    public var probe: Probe
    public var attempts: Int
    /// Between attempts.
    public var interval: Duration
    /// Of one attempt.
    public var timeout: Duration

    public enum Probe: Sendable {
        /// Succeeds with exit code 0.
        case command([String])
        /// GET; succeeds with one of the statuses.
        case http(url: String, expectStatus: [ClosedRange<Int>])
    }

    public init(
        _ probe: Probe, attempts: Int = 10, interval: Duration = .seconds(1), timeout: Duration = .seconds(5)
    ) {
        self.probe = probe
        self.attempts = attempts
        self.interval = interval
        self.timeout = timeout
    }
}

/// Whom to tell.
public struct NotificationTarget: Sendable {
    public var name: String
    public var channel: Channel
    public var minimumSeverity: Severity
    public var verbs: [String]
    /// Of one attempt.
    public var timeout: Duration
    /// At most this many, with growing waits between them (`backoff`, doubled each time, at most 30 s).
    public var attempts: Int
    public var backoff: Duration
    /// Tell of drills too.
    public var drills: Bool

    public enum Channel: Sendable {
        /// The change as JSON on standard input, and TOCSIN_* variables. Delivered with exit code 0; tried again
        /// otherwise.
        case command([String])
        /// The change as JSON by POST, with an `Idempotency-Key`. Delivered with a status of 200 to 299; tried again
        /// after 408, 429, 5xx and failed connections. Redirects are not followed: headers may hold secrets.
        case webhook(url: String, headers: [String: String])
    }

    public init(
        name: String, channel: Channel, minimumSeverity: Severity = .minor,
        verbs: [String] = ["opened", "reopened", "escalated", "mitigated", "resolved"], timeout: Duration = .seconds(10),
        attempts: Int = 4, backoff: Duration = .seconds(1), drills: Bool = false
    ) {
        self.name = name
        self.channel = channel
        self.minimumSeverity = minimumSeverity
        self.verbs = verbs
        self.timeout = timeout
        self.attempts = attempts
        self.backoff = backoff
        self.drills = drills
    }

    /// The longest a notification can take: every attempt to its timeout, and the waits between.
    public var longest: Duration {
        var sum = (timeout + Command.killGrace) * max(1, attempts)
        for failed in 1..<max(1, attempts) { sum += wait(after: failed) }
        return sum
    }

    /// How long to wait after so many failed attempts (1 or more) before the next.
    func wait(after failed: Int) -> Duration {
        var wait = backoff
        for _ in 1..<max(1, failed) where wait < Self.longestWait { wait *= 2 }
        return min(wait, Self.longestWait)
    }

    static let longestWait = Duration.seconds(30)
}
