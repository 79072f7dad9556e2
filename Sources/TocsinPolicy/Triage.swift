import TocsinDomain
import TocsinProto

/// What triage makes of one event.
public struct TriageDecision: Sendable, Equatable {
    /// 32 hex digits.
    public var fingerprint: String
    /// `trigger` or `resolve`, never anything else.
    public var kind: Tocsin_V1_EventKind
    public var disposition: Tocsin_V1_Disposition
    public var service: String
    public var severity: Severity
    public var impact: Level
    public var urgency: Level
    public var priority: Priority
    /// The name of the rule that decided; `default` if none did.
    public var rule: String
    /// The rule and its reasons, in words.
    public var why: String
    public var runbook: String
    /// As the classifier tells it; empty: not known.
    public var category: String
    /// Threat indicators that the event matches.
    public var indicators: [Tocsin_V1_IndicatorMatch]
    /// How it came to that, in order.
    public var decisions: [Decision]
    /// Alerts with the same one, that is not empty, are one incident's.
    public var correlationKey: String
}

/// The judgement itself: pure, without clock, socket or randomness. Mutating only because it learns what
/// it is asked again and again;
/// the same events give the same decisions, whatever came before. One per thread of work.
public struct Triage: Sendable {
    private let policy: Policy
    private let catalogue: ServiceCatalogue
    /// Of the policy.
    let version: String
    let limits: UpdateLimits
    private var rules: [CompiledRule]
    private var index: RuleIndex
    private var hints = Memo<String, Severity?>()
    private var judgements = Memo<Question, Judgement>()
    private var fingerprints = FingerprintMaker()
    /// Of an event's threat indicators, as many are named where an alert says why it is one.
    private static let threatsInWords = 3

    /// Throws the first of `policy.problems`.
    public init(_ policy: Policy, limits: UpdateLimits = UpdateLimits()) throws(PolicyProblem) {
        if let problem = policy.problems.first { throw PolicyProblem(problem) }
        self.policy = policy
        catalogue = ServiceCatalogue(policy.services)
        version = policy.version
        self.limits = limits
        var rules: [CompiledRule] = []
        for rule in policy.rules { rules.append(try CompiledRule(rule)) }
        self.rules = rules
        index = RuleIndex(rules)
    }

    /// Judges one event that came on `subject`; `indicators`: what threat intelligence says of it.
    public mutating func decide(
        _ event: Tocsin_V1_Event, subject: String, indicators: IndicatorFindings = .none
    ) -> TriageDecision {
        let hint = event.severityHint
        let said = hints.answer(hint, byteCount: hint.utf8.count) { Severity(parsing: hint) }
        let hinted = said ?? policy.defaultSeverity
        let found = catalogue.service(of: event)
        let (decider, grouper) = deciders(event, service: found.name, subject: subject, severity: hinted)
        let question = Question(
            decider: decider, grouper: grouper, severityHint: hint, service: event.service, found: found,
            hasDedupKey: !event.dedupKey.isEmpty, isDrill: event.drill)
        let rule = decider.map { rules[$0].rule }
        let kind = Self.kind(of: event, rule?.kind)
        // What is over, or troubles nobody, need not be understood.
        let classification =
            kind == .resolve || rule?.suppress != nil
            ? .none
            : policy.classifier?.classify(event, insteadOf: rule?.severity == nil && said == nil ? hinted : nil) ?? .none
        let judgement =
            indicators.findings.isEmpty && classification == .none
            ? judgements.answer(question, byteCount: question.byteCount) { [policy, catalogue, rules] in
                Self.judgement(question, .none, .none, policy, catalogue, rules)
            } : Self.judgement(question, classification, indicators, policy, catalogue, rules)
        return TriageDecision(
            fingerprint: fingerprint(of: event, grouper), kind: kind,
            disposition: judgement.disposition, service: judgement.service, severity: judgement.severity,
            impact: judgement.impact, urgency: judgement.urgency, priority: judgement.priority, rule: judgement.rule,
            why: judgement.why, runbook: judgement.runbook, category: judgement.category,
            indicators: judgement.indicators, decisions: judgement.decisions,
            correlationKey: rule.map { Self.correlationKey(of: event, $0) } ?? "")
    }

    /// The numbers of the first rule that matches, and of the first of those that says what makes an alert: a rule with a severity
    /// condition never does, because a resolve need not repeat the severity.
    private mutating func deciders(
        _ event: Tocsin_V1_Event, service: String, subject: String, severity: Severity
    ) -> (decider: Int?, grouper: Int?) {
        index.select(event, service: service, subject: subject)
        var decider: Int?
        var next = index.candidate(from: 0)
        while let number = next {
            if rules[number].matches(summary: event.summary, severity: severity) {
                decider = decider ?? number
                if rules[number].rule.match.minimumSeverity == nil { return (decider, number) }
            }
            next = index.candidate(from: number + 1)
        }
        return (decider, nil)
    }

    private mutating func fingerprint(of event: Tocsin_V1_Event, _ grouper: Int?) -> String {
        guard let grouper, let by = rules[grouper].rule.by else {
            return fingerprints.fingerprint(of: event, fields: FingerprintMaker.defaultFields, group: "")
        }
        return fingerprints.fingerprint(of: event, fields: by, group: rules[grouper].rule.group ?? rules[grouper].rule.name)
    }

    private static func judgement(
        _ question: Question, _ classification: Classification, _ indicators: IndicatorFindings, _ policy: Policy,
        _ catalogue: ServiceCatalogue, _ rules: [CompiledRule]
    ) -> Judgement {
        let decider = question.decider.map { rules[$0] }
        let rule = decider?.rule
        let hint = Severity(parsing: question.severityHint)
        let hinted = hint ?? policy.defaultSeverity
        let service = rule?.service ?? question.found.name
        let said = rule?.severity ?? hinted
        let judged = classification.severity ?? said
        let threats = indicators.matches
        let severity = threats.isEmpty ? judged : max(judged, policy.indicators.severity ?? judged)
        let entry = catalogue[service]
        let impact = rule?.impact ?? Self.impact(severity, entry)
        let urgency = rule?.urgency ?? severity.urgency
        let priority = policy.matrix[impact: impact, urgency: urgency]

        let hintWords = words(forHint: question.severityHint, hint, hinted)
        var why = decider.map { "\($0.rule.name): \($0.condition)" } ?? "default: \(hintWords)"
        if decider == nil, let entry { why += ", service \(service) is tier \(entry.tier)" }
        if !classification.words.isEmpty { why += "; \(classification.words)" }
        if let reason = rule?.suppress { why += "; suppressed: \(reason)" }
        for threat in threats.prefix(threatsInWords) {
            why += "; \(threat.match.type) \(quoted(threat.value)) is an indicator of \(threat.match.source)"
        }
        if severity > judged { why += ": at least \(severity)" }
        why += "; impact \(impact) × urgency \(urgency) = \(priority)"

        let grouper = question.grouper.map { rules[$0].rule }
        let name = rule?.name ?? ""
        var decisions = [
            Decision(
                .rule, rule: name, decider?.condition ?? "no rule matches",
                rule?.suppress.map { "suppressed: \($0)" } ?? "it is an alert"),
            Decision(
                .service, rule: rule?.service == nil ? "" : name,
                ServiceCatalogue.words(for: question.found, own: question.service),
                entry.map { "\(service), tier \($0.tier)" } ?? "\(service), not in the catalogue"),
            Decision(.severity, rule: rule?.severity == nil ? "" : name, hintWords, said.name),
        ]
        decisions += classification.decisions
        decisions += indicators.decisions(raising: policy.indicators.severity)
        decisions += [
            Decision(
                .priority, rule: rule?.impact == nil && rule?.urgency == nil ? "" : name,
                "impact \(impact), urgency \(urgency)", priority.name),
            Decision(
                .fingerprint, rule: grouper?.by == nil ? "" : grouper?.name ?? "",
                question.hasDedupKey
                    ? "service, dedup key"
                    : (grouper?.by ?? FingerprintMaker.defaultFields).map(\.name).joined(separator: ", "),
                question.isDrill ? "a drill's" : "a real one's"),
        ]
        return Judgement(
            disposition: rule?.suppress == nil ? .alert : .suppressed, service: service, severity: severity, impact: impact,
            urgency: urgency, priority: priority, rule: rule?.name ?? "default", why: why, runbook: rule?.runbook ?? "",
            category: classification.category, indicators: threats.map(\.match), decisions: decisions)
    }

    /// Of the rule's labels, all of which have to be there.
    private static func correlationKey(of event: Tocsin_V1_Event, _ rule: TriageRule) -> String {
        guard !rule.correlate.isEmpty else { return "" }
        var parts = [event.drill ? "drill" : "", rule.group ?? rule.name]
        for label in rule.correlate {
            guard let value = event.labels[label], !value.isEmpty else { return "" }
            parts.append("\(label)=\(value)")
        }
        return parts.joined(separator: "\u{1f}")
    }

    /// The team that owns a service, empty if it is not in the catalogue.
    func owner(of service: String) -> String { catalogue[service]?.owner ?? "" }

    mutating func updateID(_ update: Tocsin_V1_AlertUpdate, _ eventIDs: [String]) -> String {
        fingerprints.updateID(fingerprint: update.fingerprint, isResolve: update.kind == .resolve, eventIDs: eventIDs)
    }

    /// A kind that is not set or not known is a trigger: better one alert too many than one too few.
    private static func kind(of event: Tocsin_V1_Event, _ override: TriageRule.Kind?) -> Tocsin_V1_EventKind {
        switch override {
        case .trigger: .trigger
        case .resolve: .resolve
        case nil: event.kind == .resolve ? .resolve : .trigger
        }
    }

    /// Of the service where the catalogue has it, else as far as the severity tells. What needs nobody has none.
    private static func impact(_ severity: Severity, _ entry: ServiceEntry?) -> Level {
        if severity == .info { return .low }
        guard let entry else { return severity.impact }
        return entry.impact ?? (entry.tier <= 1 ? .high : entry.tier == 2 ? .medium : .low)
    }

    private static func words(forHint text: String, _ hint: Severity?, _ severity: Severity) -> String {
        if text.isEmpty { return "no severity hint, taken for \(severity)" }
        if hint == nil { return "severity hint \(quoted(text)) is not understood, taken for \(severity)" }
        return text == severity.name ? "severity hint \(severity)" : "severity hint \(quoted(text)) means \(severity)"
    }
}
