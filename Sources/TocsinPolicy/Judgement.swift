import TocsinDomain
import TocsinProto

/// What is decided of an event, but for which alert it belongs to.
struct Judgement: Sendable {
    var disposition: Tocsin_V1_Disposition
    var service: String
    var severity: Severity
    var impact: Level
    var urgency: Level
    var priority: Priority
    /// The name of the rule that decided; `default` if none did.
    var rule: String
    /// The rule and its reasons, in words.
    var why: String
    var runbook: String
    /// As the classifier tells it; empty: not known.
    var category: String
    /// Threat indicators that the event matches.
    var indicators: [Tocsin_V1_IndicatorMatch]
    /// How it came to that, in order.
    var decisions: [Decision]
}

/// All that a judgement is made of, beside the policy and threat intelligence: events with the same question have the same judgement.
struct Question: Sendable, Hashable {
    /// The number of the first rule that matches.
    var decider: Int?
    /// The number of the rule that says what makes an alert.
    var grouper: Int?
    /// As the event says it.
    var severityHint: String
    /// As the event says it.
    var service: String
    /// As the catalogue has it.
    var found: ServiceCatalogue.Finding
    var hasDedupKey: Bool
    var isDrill: Bool

    /// Of the texts.
    var byteCount: Int {
        var count = severityHint.utf8.count + service.utf8.count + found.name.utf8.count
        if case .label(_, let value) = found.by { count += value.utf8.count }
        return count
    }
}

/// The latest answers to questions, so that what is asked again and again is worked out once. Bounded: with too many it forgets
/// and begins anew, and what is long is not kept.
struct Memo<Question: Hashable & Sendable, Answer: Sendable>: Sendable {
    private var answers: [Question: Answer] = [:]

    private static var answersMax: Int { 4096 }
    /// Texts come from outside.
    private static var bytesMax: Int { 512 }

    /// `byteCount`: of the question's texts.
    mutating func answer(_ question: Question, byteCount: Int, _ work: () -> Answer) -> Answer {
        if let known = answers[question] { return known }
        let answer = work()
        guard byteCount <= Self.bytesMax else { return answer }
        if answers.count == Self.answersMax { answers.removeAll(keepingCapacity: true) }
        answers[question] = answer
        return answer
    }
}
