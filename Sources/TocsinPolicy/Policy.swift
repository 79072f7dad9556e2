public import TocsinCalendar
public import TocsinDomain

/// How what is reported is judged: one value, read from the section `policy` of the configuration by whoever judges.
/// Plain values: whoever reads the file fills them in.
public struct Policy: Sendable {
    /// Tried in order; the first that matches an event decides. What none matches is decided by its severity hint and its
    /// service's tier.
    public var rules: [TriageRule]
    /// The service catalogue, by name.
    public var services: [String: ServiceEntry]
    public var matrix: PriorityMatrix
    /// For events whose severity hint is absent or not understood.
    public var defaultSeverity: Severity
    public var correlation: Correlation
    /// Windows that routes name.
    public var times: [String: RecurringWindow]
    /// Who is told of incidents; empty: each notification target decides for itself.
    public var routes: [Route]
    public var inhibitions: [Inhibition]
    public var maintenance: [Maintenance]
    /// Nil: it is not looked for.
    public var flapping: Flapping?
    /// Nil: nobody is warned early.
    public var prediction: Prediction?
    public var indicators: IndicatorPolicy
    /// Nil: nothing learnt is used.
    public var classifier: EventClassifier?

    public init(
        rules: [TriageRule] = [], services: [String: ServiceEntry] = [:], matrix: PriorityMatrix = .standard,
        defaultSeverity: Severity = .minor, correlation: Correlation = Correlation(), times: [String: RecurringWindow] = [:],
        routes: [Route] = [], inhibitions: [Inhibition] = [], maintenance: [Maintenance] = [], flapping: Flapping? = Flapping(),
        prediction: Prediction? = Prediction(), indicators: IndicatorPolicy = IndicatorPolicy(),
        classifier: EventClassifier? = nil
    ) {
        self.rules = rules
        self.services = services
        self.matrix = matrix
        self.defaultSeverity = defaultSeverity
        self.correlation = correlation
        self.times = times
        self.routes = routes
        self.inhibitions = inhibitions
        self.maintenance = maintenance
        self.flapping = flapping
        self.prediction = prediction
        self.indicators = indicators
        self.classifier = classifier
    }
}

/// Which alerts are one incident.
public struct Correlation: Sendable, Equatable {
    /// How long after the last alert of an incident began another may join it.
    public var window: Duration
    /// Alerts of one service of the catalogue are one incident.
    public var services: Bool
    /// Alerts of a service and of what it depends on, directly or not, are one incident: the dependency explains them.
    public var topology: Bool
    /// How similar, 0 to 1, what two tools say must be to be one incident; nil: it is not looked at.
    public var similarity: Double?

    public init(
        window: Duration = .seconds(300), services: Bool = true, topology: Bool = true, similarity: Double? = 0.6
    ) {
        self.window = window
        self.services = services
        self.topology = topology
        self.similarity = similarity
    }
}

/// One service of the catalogue.
public struct ServiceEntry: Sendable, Equatable {
    /// 1 (the business stops) to 3 (few notice).
    public var tier: Int
    /// The impact of an outage; nil: by tier, 1 high, 2 medium, 3 low.
    public var impact: Level?
    /// The team that owns it. Added to the alert's labels as `owner`, unless the event says one.
    public var owner: String
    /// Services of the catalogue without which it does not work.
    public var dependsOn: [String]
    /// Globs: what else tools call it.
    public var aliases: [String]
    /// Globs: what runs on a host of these names is it, unless it is named. Compared with the labels host, instance, node and pod.
    public var hosts: [String]

    public init(
        tier: Int = 2, impact: Level? = nil, owner: String = "", dependsOn: [String] = [], aliases: [String] = [],
        hosts: [String] = []
    ) {
        self.tier = tier
        self.impact = impact
        self.owner = owner
        self.dependsOn = dependsOn
        self.aliases = aliases
        self.hosts = hosts
    }
}

/// What a rule looks at, and what it decides. What it leaves nil is derived as if there were no rule.
public struct TriageRule: Sendable {
    /// Unique; shown in every alert the rule decides.
    public var name: String
    public var match: RuleMatch
    public var severity: Severity?
    public var impact: Level?
    public var urgency: Level?
    /// The alert's service, in place of the event's.
    public var service: String?
    /// What tells alerts apart, for events that carry no dedup key (a dedup key, with the service, always decides). Nil:
    /// service, source, summary and all labels. Not together with `match.minimumSeverity`, because a resolve need not
    /// repeat the severity of its trigger and would then not be recognised.
    public var by: [FingerprintField]?
    /// Rules with the same group share alerts: one that triggers and one that resolves. Nil: the rule's name. Only with
    /// `by`.
    public var group: String?
    /// Labels: alerts of this rule (and of its group) that have the same values of all of them are one incident's.
    public var correlate: [String]
    /// The reason to suppress: the event is recorded and troubles nobody. Nil: it is not suppressed.
    public var suppress: String?
    /// The runbook to suggest.
    public var runbook: String
    /// What the event is taken for, in place of what it says it is.
    public var kind: Kind?

    public enum Kind: String, Sendable, CaseIterable {
        case trigger, resolve
    }

    public init(
        name: String, match: RuleMatch = RuleMatch(), severity: Severity? = nil, impact: Level? = nil,
        urgency: Level? = nil,
        service: String? = nil, by: [FingerprintField]? = nil, group: String? = nil,
        correlate: [String] = [], suppress: String? = nil,
        runbook: String = "", kind: Kind? = nil
    ) {
        self.name = name
        self.match = match
        self.severity = severity
        self.impact = impact
        self.urgency = urgency
        self.service = service
        self.by = by
        self.group = group
        self.correlate = correlate
        self.suppress = suppress
        self.runbook = runbook
        self.kind = kind
    }
}

/// All conditions that are set must hold. With none set, every event matches.
public struct RuleMatch: Sendable {
    /// Subject filters (`event.http.>`); one must match.
    public var subjects: [String]
    /// Globs (`*` any text, `?` one character); one must match.
    public var sources: [String]
    /// Globs; one must match the service as it came, or as the catalogue calls it.
    public var services: [String]
    /// Label name to glob; each must match, and an absent label never does.
    public var labels: [String: String]
    /// Texts, case-sensitive; the summary must contain one of them.
    public var summaryContains: [String]
    /// The summary must match this somewhere; see `TextPattern` for the syntax.
    public var summaryMatches: String?
    /// The event's severity hint, or the default severity without one, must be at least this.
    public var minimumSeverity: Severity?

    public init(
        subjects: [String] = [], sources: [String] = [], services: [String] = [], labels: [String: String] = [:],
        summaryContains: [String] = [], summaryMatches: String? = nil, minimumSeverity: Severity? = nil
    ) {
        self.subjects = subjects
        self.sources = sources
        self.services = services
        self.labels = labels
        self.summaryContains = summaryContains
        self.summaryMatches = summaryMatches
        self.minimumSeverity = minimumSeverity
    }
}

/// What a fingerprint is made of.
public enum FingerprintField: Sendable, Hashable {
    case service
    case source
    /// The summary with numbers, addresses and identifiers masked.
    case summary
    /// All labels.
    case labels
    /// One label; absent and empty are the same.
    case label(String)

    /// `service`, `source`, `summary`, `labels`; any other word, and what follows `label:`, is the name of a label.
    public init(parsing text: String) {
        switch text {
        case "service": self = .service
        case "source": self = .source
        case "summary": self = .summary
        case "labels": self = .labels
        default: self = .label(text.hasPrefix("label:") ? String(text.dropFirst(6)) : text)
        }
    }

    /// As `init(parsing:)` reads it.
    var name: String {
        switch self {
        case .service: "service"
        case .source: "source"
        case .summary: "summary"
        case .labels: "labels"
        case .label(let name): "label \(name)"
        }
    }
}
