/// Where an incident is in its life. Raw values are those of `tocsin.v1.IncidentState` on the wire.
public enum IncidentState: UInt8, Sendable, CaseIterable, CustomStringConvertible {
    /// An adverse event was seen.
    case detected = 1
    /// Classified: severity and priority are set.
    case triaged = 2
    /// Someone owns it.
    case acknowledged = 3
    /// Diagnosis is under way.
    case investigating = 4
    /// The harm has stopped; the fix may be temporary.
    case mitigated = 5
    /// Normal service is restored and verified.
    case resolved = 6
    /// Follow-up is done or waived. What happens later is a new incident.
    case closed = 7
    /// Handled as part of another incident.
    case merged = 8
    /// False positive, duplicate or harmless.
    case dismissed = 9

    /// The states one legal arrow away, in the order in which `Lifecycle.path` prefers them.
    public var successors: [IncidentState] {
        switch self {
        case .detected: [.triaged, .merged, .dismissed]
        case .triaged: [.acknowledged, .merged, .dismissed]
        case .acknowledged: [.investigating, .mitigated, .triaged, .merged, .dismissed]
        case .investigating: [.resolved, .mitigated, .acknowledged, .merged, .dismissed]
        case .mitigated: [.resolved, .investigating]
        case .resolved: [.closed, .investigating]
        case .closed: []
        case .merged, .dismissed: [.triaged]
        }
    }

    /// Someone still has to act: detected up to mitigated.
    public var isOpen: Bool {
        switch self {
        case .detected, .triaged, .acknowledged, .investigating, .mitigated: true
        case .resolved, .closed, .merged, .dismissed: false
        }
    }

    /// Out of the way unless somebody undoes it: closed, merged, dismissed.
    public var isTerminal: Bool {
        switch self {
        case .closed, .merged, .dismissed: true
        case .detected, .triaged, .acknowledged, .investigating, .mitigated, .resolved: false
        }
    }

    /// The name people see.
    public var name: String {
        switch self {
        case .detected: "detected"
        case .triaged: "triaged"
        case .acknowledged: "acknowledged"
        case .investigating: "investigating"
        case .mitigated: "mitigated"
        case .resolved: "resolved"
        case .closed: "closed"
        case .merged: "merged"
        case .dismissed: "dismissed"
        }
    }

    public var description: String { name }
}

/// Why a transition is refused.
public struct TransitionRefusal: Error, Sendable, Equatable, CustomStringConvertible {
    /// Stable names: they appear in answers to commands and in the journal.
    public enum Code: String, Sendable, CaseIterable {
        case illegalTransition = "ILLEGAL_TRANSITION"
        case alreadyInState = "ALREADY_IN_STATE"
        case actorMissing = "ACTOR_MISSING"
        case priorityMissing = "PRIORITY_MISSING"
        case causeMissing = "CAUSE_MISSING"
        case postmortemMissing = "POSTMORTEM_MISSING"
        case reasonMissing = "REASON_MISSING"
        case reopenWindowPassed = "REOPEN_WINDOW_PASSED"
        /// The incident that is to take alerts cannot.
        case targetUnfit = "TARGET_UNFIT"
        /// An alert that is to go does not belong to the incident.
        case alertElsewhere = "ALERT_ELSEWHERE"
        /// No alert would stay.
        case nothingStays = "NOTHING_STAYS"
    }

    public var code: Code
    /// One sentence: what is wrong and what to do.
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(code.rawValue): \(message)" }
}
