public import TocsinCalendar
public import TocsinDomain

/// What an alert, or one of an incident's alerts, has to be. All that is set must hold; with nothing set everything matches.
public struct AlertMatch: Sendable, Equatable {
    /// Globs (`*` any text, `?` one character); one must match.
    public var services: [String]
    /// Globs; one must match.
    public var sources: [String]
    /// Label name to glob; each must match, and an absent label never does. What `AlertView.matchable` adds counts as labels.
    public var labels: [String: String]
    public var minimumSeverity: Severity?
    /// Whether it is an exercise; nil: either.
    public var drill: Bool?

    public init(
        services: [String] = [], sources: [String] = [], labels: [String: String] = [:], minimumSeverity: Severity? = nil,
        drill: Bool? = nil
    ) {
        self.services = services
        self.sources = sources
        self.labels = labels
        self.minimumSeverity = minimumSeverity
        self.drill = drill
    }
}

/// Who is told of an incident. Routes are tried in order, until one matches that does not say `continues`. Where none does, each
/// notification target decides for itself.
public struct Route: Sendable, Equatable {
    /// Unique; shown in every incident that it decides.
    public var name: String
    /// One of the incident's alerts has to be so; its severity and whether it is a drill are the incident's.
    public var match: AlertMatch
    /// `P2`: of P1 and P2 only. Nil: of any.
    public var minimumPriority: Priority?
    /// Names of windows; one must hold the time. Empty: at any time.
    public var within: [String]
    /// Names of windows; none may hold the time.
    public var outside: [String]
    /// Names of notification targets; empty: nobody.
    public var page: [String]
    /// The routes behind it are tried too, and add theirs.
    public var continues: Bool
    /// Why, for who asks.
    public var note: String

    public init(
        name: String, match: AlertMatch = AlertMatch(), minimumPriority: Priority? = nil, within: [String] = [],
        outside: [String] = [], page: [String] = [], continues: Bool = false, note: String = ""
    ) {
        self.name = name
        self.match = match
        self.minimumPriority = minimumPriority
        self.within = within
        self.outside = outside
        self.page = page
        self.continues = continues
        self.note = note
    }
}

/// While an alert fires and tells, others are explained by it and do not.
///
/// Source: Alertmanager's `inhibit_rules`, with its exception that an alert which is both source and target is not inhibited by one
/// that is too, hence never by itself.
public struct Inhibition: Sendable, Equatable {
    /// Unique.
    public var name: String
    /// Matchers as `Matcher` parses them, all of which the alert that explains has to match.
    public var source: [String]
    /// Of the one that is explained.
    public var target: [String]
    /// Labels that have to have the same values in both; absent is empty.
    public var equal: [String]

    public init(name: String, source: [String], target: [String], equal: [String] = []) {
        self.name = name
        self.source = source
        self.target = target
        self.equal = equal
    }
}

/// Work that is planned: alerts that match are recorded and tell nobody while the window lasts.
public struct Maintenance: Sendable, Equatable {
    /// Unique.
    public var name: String
    public var match: AlertMatch
    public var window: RecurringWindow
    /// Why, for who asks.
    public var reason: String

    public init(name: String, match: AlertMatch = AlertMatch(), window: RecurringWindow, reason: String = "") {
        self.name = name
        self.match = match
        self.window = window
        self.reason = reason
    }
}

/// When an alert that fires and resolves again and again is taken for one that is not trusted.
public struct Flapping: Sendable, Equatable {
    /// So many changes between firing and resolved, 2 to 100, ...
    public var changes: Int
    /// ... within so long are flapping. It is over when there were fewer for `hold`.
    public var within: Duration
    public var hold: Duration

    public init(changes: Int = 6, within: Duration = .seconds(600), hold: Duration = .seconds(900)) {
        self.changes = changes
        self.within = within
        self.hold = hold
    }
}

/// When what preceded incidents of the past is a warning of the next.
public struct Prediction: Sendable, Equatable {
    /// How sure it must be that the incident follows, above 0 to 1: the lower bound, not the share itself.
    public var threshold: Double
    /// So many of the past incidents were preceded by it, at least; 1 to 1000.
    public var support: Int
    /// How long before the incident it began, at most; 1 minute to 1 day.
    public var window: Duration

    public init(threshold: Double = 0.5, support: Int = 3, window: Duration = .seconds(1800)) {
        self.threshold = threshold
        self.support = support
        self.window = window
    }
}
