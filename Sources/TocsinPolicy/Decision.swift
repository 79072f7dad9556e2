public import TocsinProto

/// One step of how it was decided what to do with an event or an alert, for the person who asks why.
public struct Decision: Sendable, Hashable {
    /// In which step.
    public var stage: Stage
    /// The name of what decided: a rule, a silence, a window; empty: what holds without any.
    public var rule: String
    /// What it was decided from, in words. Only what is the same for all events that are judged alike: no texts of theirs.
    public var inputs: String
    /// What was decided, in words.
    public var outcome: String

    /// Steps, in the order in which they are taken.
    public enum Stage: String, Sendable, CaseIterable {
        // Of triage.
        case rule, service, severity, classifier, indicator, priority, fingerprint
        // Of the archiver.
        case maintenance, silence, inhibition, flapping, correlation, incident, route
    }

    public init(_ stage: Stage, rule: String = "", _ inputs: String = "", _ outcome: String) {
        self.stage = stage
        self.rule = rule
        self.inputs = inputs
        self.outcome = outcome
    }

    /// As it travels.
    public var proto: Tocsin_V1_Decision {
        .with {
            $0.stage = stage.rawValue
            $0.rule = rule
            $0.inputs = inputs
            $0.outcome = outcome
        }
    }
}
