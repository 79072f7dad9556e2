import TocsinDomain

/// What somebody wants of a policy: what is reported when, and what is to come of it.
public struct PolicyCase: Sendable {
    public var name: String
    /// When it begins, milliseconds since 1970.
    public var start: UInt64
    public var steps: [Step]
    /// Where it is written, for whoever reads that it failed: `cases.yaml:12:5`.
    public var place: String

    public init(name: String, start: UInt64, steps: [Step], place: String = "") {
        self.name = name
        self.start = start
        self.steps = steps
        self.place = place
    }

    /// Time passes, something happens, and something is expected then.
    public struct Step: Sendable {
        /// When, milliseconds since 1970; not before the step before it. Nil: at once.
        public var time: UInt64?
        public var action: Action?
        public var expectation: Expectation
        public var place: String

        public init(time: UInt64? = nil, action: Action? = nil, expectation: Expectation = Expectation(), place: String = "") {
            self.time = time
            self.action = action
            self.expectation = expectation
            self.place = place
        }
    }

    public enum Action: Sendable {
        case events([Event])
        case silence(Silence)
        /// Of the silence with this id.
        case expire(String)
    }

    public struct Event: Sendable {
        /// Empty: made from its place in the case.
        public var id = ""
        public var subject = "event.case.test"
        public var summary = "test"
        public var service = ""
        /// As a tool says it.
        public var severity = ""
        public var key = ""
        public var source = "case:test"
        public var labels: [String: String] = [:]
        public var details: [String: String] = [:]
        public var isResolve = false
        public var drill = false
        /// So many of them, each with an id of its own.
        public var times = 1

        public init() {}
    }

    public struct Silence: Sendable {
        public var id: String
        /// As `Matcher` parses them.
        public var matchers: [String]
        public var duration: Duration
        public var author: String
        public var reason: String

        public init(id: String, matchers: [String], duration: Duration, author: String = "", reason: String = "") {
            self.id = id
            self.matchers = matchers
            self.duration = duration
            self.author = author
            self.reason = reason
        }
    }

    /// What has to be so after a step; what is nil may be any. The alert is that of the latest event, or of the event `of`.
    public struct Expectation: Sendable, Equatable {
        /// The id of an event of an earlier step.
        public var of: String?
        public var service: String?
        public var severity: Severity?
        public var priority: Priority?
        /// The name of the rule that decided; `default`.
        public var rule: String?
        public var runbook: String?
        /// A rule says: recorded, and no alert.
        public var suppressed: Bool?
        /// `firing`, `resolved`, `suppressed`, or `none` where there is no such alert.
        public var alert: String?
        /// `silence ID`, `maintenance NAME`, `inhibition NAME`, `flapping`; empty: nothing holds it.
        public var heldBy: String?
        /// The number of the incident of the alert; 0: none.
        public var incident: UInt64?
        public var incidentState: IncidentState?
        public var incidentSeverity: Severity?
        public var incidentPriority: Priority?
        /// How many incidents there are, open or not.
        public var incidents: Int?
        /// With what verbs the world was told of incidents since the step before, in order.
        public var told: [String]?
        /// Whom: the targets that routes name, sorted, each once; `*`: each target decides for itself.
        public var page: [String]?

        public init() {}
    }
}
