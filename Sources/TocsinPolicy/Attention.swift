public import TocsinDomain

/// What is looked at of an alert to decide whether it may trouble somebody.
public struct AlertView: Sendable, Equatable {
    public var fingerprint: String
    public var service: String
    public var source: String
    public var summary: String
    public var severity: Severity
    public var labels: [String: String]
    public var drill: Bool

    public init(
        fingerprint: String, service: String, source: String = "", summary: String = "", severity: Severity,
        labels: [String: String] = [:], drill: Bool = false
    ) {
        self.fingerprint = fingerprint
        self.service = service
        self.source = source
        self.summary = summary
        self.severity = severity
        self.labels = labels
        self.drill = drill
    }

    /// What matchers are compared with: its labels, and where it has no label of that name `alertname` (its summary), `service`,
    /// `severity`, `source` and `fingerprint`. So a silence that is made of labels which the gateway shows mutes what it shows them
    /// of: they are its own.
    public var matchable: [String: String] {
        let own = [
            "alertname": summary, "service": service, "severity": severity.name, "source": source, "fingerprint": fingerprint,
        ]
        return labels.merging(own) { label, _ in label }
    }
}

/// What keeps an alert that fires from troubling anybody.
public enum Hold: Sendable, Equatable {
    /// A person's, by its id.
    case silence(id: String)
    /// A window of the policy, by its name.
    case maintenance(String)
    /// A rule of the policy, by its name, and the fingerprint of the alert that fires and explains this one.
    case inhibition(rule: String, by: String)
    /// It fires and resolves too often.
    case flapping
}

/// Whether an alert that fires is to trouble somebody now.
public struct Attention: Sendable, Equatable {
    /// Nil: it is told.
    public var hold: Hold?
    /// When it has to be decided anew, milliseconds since 1970; nil: when what inhibits it ends, or nothing holds it.
    public var until: UInt64?
    /// One for each thing that was looked at and spoke for or against, in order.
    public var decisions: [Decision]

    public init(hold: Hold? = nil, until: UInt64? = nil, decisions: [Decision] = []) {
        self.hold = hold
        self.until = until
        self.decisions = decisions
    }
}
