import TestSupport
import Testing
import TocsinDomain
import TocsinProto
import TocsinWire

@testable import TocsinPolicy

/// Goal: what is remembered of rules, values and questions changes no decision. Method: random policies and events, judged by one
/// `Triage` that sees all of them, by one that is made anew for each, and by trying every condition of every rule in order.
@Suite("Triage with an index")
struct TriageIndexTests {
    @Test("the rules that decide are those found by trying all of them in order, whatever was judged before")
    func agreesWithTryingAll() throws {
        var random = SplitMix64.seeded()
        for _ in 0..<20 {
            let policy = Self.policy(&random)
            var triage = try Triage(policy)
            let rules = try policy.rules.map { try PlainRule($0) }
            for number in 0..<100 {
                let (event, subject) = (Self.event(number, &random), random.pick(Self.subjects))
                let decision = triage.decide(event, subject: subject)
                // To make one takes long, so for some.
                if number % 20 == 0 {
                    var fresh = try Triage(policy)
                    #expect(decision == fresh.decide(event, subject: subject))
                }
                let expected = Self.deciders(rules, event, subject)
                #expect(decision.rule == expected.decider?.name ?? "default")
                let ruled = event.dedupKey.isEmpty ? expected.grouper?.by : nil
                var maker = FingerprintMaker()
                let fingerprint = maker.fingerprint(
                    of: event, fields: ruled ?? FingerprintMaker.defaultFields,
                    group: ruled == nil ? "" : expected.grouper?.group ?? expected.grouper?.name ?? "")
                #expect(decision.fingerprint == fingerprint)
                #expect(decision.severity == expected.decider?.severity ?? Severity(parsing: event.severityHint) ?? .minor)
                #expect(decision.disposition == (expected.decider?.suppress == nil ? .alert : .suppressed))
                #expect(decision.runbook == expected.decider?.runbook ?? "")
            }
        }
    }

    @Test("more values and questions than are remembered are judged as if they were the first")
    func forgets() throws {
        let rules = [
            TriageRule(name: "odd", match: RuleMatch(labels: ["host": "*1"]), severity: .critical),
            TriageRule(name: "long", match: RuleMatch(labels: ["host": "x*y"]), severity: .info),
        ]
        var triage = try Triage(Policy(rules: rules))
        // Twice, so that what was forgotten comes again.
        for number in [Int](0..<10_000) + [Int](0..<10_000) {
            let event = TriageTests.event(service: "s\(number)", labels: ["host": "h\(number)"])
            let decision = triage.decide(event, subject: TriageTests.subject)
            #expect(decision.service == "s\(number)")
            #expect(decision.rule == (number % 10 == 1 ? "odd" : "default"))
        }
        let long = TriageTests.event(labels: ["host": "x" + String(repeating: "-", count: 10_000) + "y"])
        #expect(triage.decide(long, subject: TriageTests.subject).rule == "long")
    }

    /// A rule with its conditions, each tried anew for every event.
    private struct PlainRule {
        let rule: TriageRule
        let subjects: [SubjectFilter]
        var pattern: TextPattern?

        init(_ rule: TriageRule) throws {
            self.rule = rule
            subjects = try rule.match.subjects.map { try SubjectFilter($0) }
            pattern = try rule.match.summaryMatches.map { try TextPattern($0) }
        }

        func matches(_ event: Tocsin_V1_Event, _ subject: String) -> Bool {
            let match = rule.match
            func any(_ globs: [String], _ text: String) -> Bool { globs.isEmpty || globs.contains { Glob($0).matches(text) } }
            let name = event.service == "chk" ? "checkout" : event.service.isEmpty ? "unknown" : event.service
            let isService = any(match.services, event.service) || any(match.services, name)
            let hasLabels = match.labels.allSatisfy { name, glob in event.labels[name].map { Glob(glob).matches($0) } ?? false }
            let contains = match.summaryContains.isEmpty || match.summaryContains.contains { event.summary.contains($0) }
            let severity = Severity(parsing: event.severityHint) ?? .minor
            var pattern = pattern
            let isSubject = subjects.isEmpty || subjects.contains { $0.matches(subject) }
            return isSubject && any(match.sources, event.source) && isService && hasLabels && contains
                && pattern?.matches(event.summary) != false && match.minimumSeverity.map { severity >= $0 } ?? true
        }
    }

    /// The first rule that matches, and the first of those without a severity condition.
    private static func deciders(
        _ rules: [PlainRule], _ event: Tocsin_V1_Event, _ subject: String
    ) -> (decider: TriageRule?, grouper: TriageRule?) {
        let matching = rules.filter { $0.matches(event, subject) }.map(\.rule)
        return (matching.first, matching.first { $0.match.minimumSeverity == nil })
    }

    private static let subjects = ["event.http.checkout", "event.log.web", "event.mail.x", "event.http.checkout.deep"]
    private static let filters = ["event.http.>", "event.*.web", "event.log.web", "event.>", "event.http.*"]
    private static let words = ["checkout", "chk", "web", "db-1", "db-2", "", "*", "eu"]
    private static let globs = ["*", "check*", "web", "db-?", "*e*", "checkout", ""]
    private static let labels = ["host", "region", "team"]
    private static let texts = ["HTTP 503", "disk full", "HTTP", "timeout after 30 s", ""]

    /// Up to 150 rules: more than two words of a set. Few values, so that they meet.
    private static func policy(_ random: inout SplitMix64) -> Policy {
        func some(_ texts: [String], _ random: inout SplitMix64) -> [String] {
            random.chance(0.6) ? [] : (0...random.below(2)).map { _ in random.pick(texts) }
        }
        let rules = (0..<random.below(150)).map { number in
            let minimum = random.chance(0.2) ? random.pick(Severity.allCases) : nil
            let by: [FingerprintField]? = minimum == nil && random.chance(0.3) ? [.service, .label(random.pick(labels))] : nil
            return TriageRule(
                name: "r\(number)",
                match: RuleMatch(
                    subjects: some(filters, &random), sources: some(globs, &random), services: some(globs, &random),
                    labels: Dictionary(some(labels, &random).map { ($0, random.pick(globs)) }) { first, _ in first },
                    summaryContains: some(texts.filter { !$0.isEmpty }, &random),
                    summaryMatches: random.chance(0.2) ? random.pick(["50\\d", "^disk", "(?i)TIME", "s$"]) : nil,
                    minimumSeverity: minimum),
                severity: random.chance(0.3) ? random.pick(Severity.allCases) : nil, by: by,
                group: by != nil && random.chance(0.5) ? "g" : nil, suppress: random.chance(0.1) ? "noise" : nil,
                runbook: random.chance(0.2) ? "book-\(number)" : "")
        }
        return Policy(rules: rules, services: ["checkout": ServiceEntry(tier: 1, aliases: ["chk"])])
    }

    private static func event(_ number: Int, _ random: inout SplitMix64) -> Tocsin_V1_Event {
        TriageTests.event(
            "e\(number)", random.pick(texts), service: random.pick(words), hint: random.pick(["", "SEV1", "warning", "x"]),
            key: random.chance(0.3) ? "k" : "", kind: random.pick([.trigger, .resolve]),
            labels: Dictionary((0..<random.below(4)).map { _ in (random.pick(labels), random.pick(words)) }) { first, _ in first
            },
            source: random.pick(words), drill: random.chance(0.1))
    }
}

extension SplitMix64 {
    fileprivate mutating func pick<Value>(_ values: [Value]) -> Value { values[below(values.count)] }
}
