import Foundation
import TestSupport
import Testing
import TocsinCalendar
import TocsinDomain
import TocsinPolicy
import TocsinProto

@testable import TocsinArchive

/// Goal: what `tocsin why` answers is what was decided, and that is what the policy says. Method: alerts of random events go
/// through triage and archive with a random policy; each is explained, and worked out again here in the plainest way. 1,000, or
/// as many as TOCSIN_WHY_ALERTS says.
@Suite("Why, for each of many alerts")
struct WhyTests {
    static let count = ProcessInfo.processInfo.environment["TOCSIN_WHY_ALERTS"].flatMap(Int.init) ?? 1000

    @Test("the answer agrees with an independent recomputation")
    func agrees() async throws {
        var random = SplitMix64.seeded()
        let world = try World(&random)
        let archive = try TestArchive(.standard, world.policy)
        try await archive.apply(world.silences.map { .silence($0) })
        var triage = try Triage(world.policy)
        var expected: [Expectation] = []
        var oracle = Oracle(world)
        for start in stride(from: 0, to: Self.count, by: 500) {
            let events = (start..<min(start + 500, Self.count)).map { world.event($0, &random) }
            expected += events.map { oracle.judge($0) }
            let inputs = events.map { TriageInput(event: $0, subject: "event.test", size: 300) }
            try await archive.apply(
                triage.updates(for: inputs, now: TestArchive.now).map { .alert($0.update) }, from: UInt64(start + 1))
        }
        var outcomes: [String: Int] = [:]
        for (index, expectation) in expected.enumerated() {
            let answer = try await archive.store.explain(.with { $0.eventID = "e\(index)" })
            let records = try #require(answer.alerts.first?.records)
            let judged = records.filter { $0.actor == "triage" }.flatMap(\.decisions)
            func step(_ stage: String) -> Tocsin_V1_Decision? { judged.first { $0.stage == stage } }
            #expect(step("rule")?.rule == expectation.rule, "event \(index)")
            #expect(step("severity")?.outcome == expectation.severity.name, "event \(index)")
            #expect(step("priority")?.outcome == expectation.priority.name, "event \(index)")
            #expect(Set(records.map(\.policy)) == [world.policy.version])
            let found = outcome(records.last { $0.actor == "archiver" }?.decisions ?? [])
            #expect(found == expectation.outcome, "event \(index)")
            outcomes[String(expectation.outcome.prefix { $0 != " " }), default: 0] += 1
        }
        // It would show nothing if one kind of end were missing.
        #expect(Set(outcomes.keys) == ["told", "recorded", "suppressed", "maintenance", "silence", "inhibition"], "\(outcomes)")
    }

    /// What the archive's decisions come to, as the oracle says it.
    private func outcome(_ decisions: [Tocsin_V1_Decision]) -> String {
        guard let last = decisions.last else { return "suppressed" }
        if last.outcome.hasPrefix("opened incident") { return "told" }
        if last.outcome.hasPrefix("recorded") { return "recorded" }
        guard let held = decisions.last(where: { ["maintenance", "silence", "inhibition"].contains($0.stage) }) else {
            return last.outcome
        }
        return "\(held.stage) \(held.rule)"
    }
}

private struct Expectation {
    var rule: String
    var severity: Severity
    var priority: Priority
    var outcome: String
}

/// A random policy and random events, made so that every kind of decision is common.
private struct World {
    var policy = Policy()
    var silences: [Tocsin_V1_Silence] = []

    static let services = ["api", "cart", "db", "mail", "pay", "search"]
    static let environments = ["prod", "stage"]
    static let words = ["timeout", "refused", "full", "slow", "denied"]
    static let hints = ["critical", "error", "warning", "info", "", "odd"]

    init(_ random: inout SplitMix64) throws {
        policy.correlation = Correlation(services: false, topology: false, similarity: nil)
        policy.flapping = nil
        policy.services = ["api": ServiceEntry(tier: 1), "mail": ServiceEntry(tier: 3)]
        // So that neither kind of end is ever missing.
        policy.rules = [
            TriageRule(
                name: "noise", match: RuleMatch(labels: ["env": "stage"], summaryContains: ["denied"]), suppress: "noise"),
            TriageRule(name: "full", match: RuleMatch(services: ["db"], summaryContains: ["full"]), severity: .critical),
        ]
        for index in 0..<30 {
            func maybe<Value>(_ chance: Int, _ value: Value) -> Value? {
                Int.random(in: 0..<10, using: &random) < chance ? value : nil
            }
            var match = RuleMatch()
            if let service = maybe(6, Self.services.randomElement(using: &random) ?? "") { match.services = [service] }
            if let name = maybe(4, Self.environments.randomElement(using: &random) ?? "") { match.labels = ["env": name] }
            if let word = maybe(6, Self.words.randomElement(using: &random) ?? "") { match.summaryContains = [word] }
            if maybe(2, ()) != nil { match.minimumSeverity = .major }
            if match.services.isEmpty, match.labels.isEmpty, match.summaryContains.isEmpty { match.labels = ["env": "none"] }
            var rule = TriageRule(name: "r\(index)", match: match)
            rule.severity = maybe(4, Severity.allCases.randomElement(using: &random) ?? .minor)
            rule.urgency = maybe(2, Level.allCases.randomElement(using: &random) ?? .low)
            policy.rules.append(rule)
        }
        policy.maintenance = [
            Maintenance(
                name: "nightly", match: AlertMatch(services: ["mail"]),
                window: try RecurringWindow(
                    .daily(
                        RecurringWindow.Days(), from: try #require(TimeOfDay(parsing: "22:20")),
                        to: try #require(TimeOfDay(parsing: "23:00"))), zone: .utc))
        ]
        policy.inhibitions = [
            Inhibition(name: "db", source: ["service=db", "severity=critical"], target: ["service=cart"], equal: ["rack"])
        ]
        for index in 0..<4 as Range<UInt64> {
            silences.append(
                .with {
                    $0.id = "s\(index)"
                    $0.matchers = [
                        .with { ($0.name, $0.value) = ("env", Self.environments[Int(index % 2)]) },
                        .with { ($0.name, $0.value) = ("service", ["pay", "search"][Int(index / 2)]) },
                    ]
                    $0.startsAt = TestArchive.start + index * 600_000
                    $0.endsAt = TestArchive.start + (index + 2) * 900_000
                })
        }
    }

    /// Each is an alert of its own, a second after the one before.
    func event(_ index: Int, _ random: inout SplitMix64) -> Tocsin_V1_Event {
        .with {
            $0.id = "e\(index)"
            $0.kind = .trigger
            $0.source = "test:x"
            $0.service = Self.services.randomElement(using: &random) ?? ""
            $0.summary = "\(Self.words.randomElement(using: &random) ?? "") number \(index)"
            $0.severityHint = Self.hints.randomElement(using: &random) ?? ""
            $0.dedupKey = "alert-\(index)"
            $0.labels = [
                "env": Self.environments.randomElement(using: &random) ?? "",
                "rack": "r\(Int.random(in: 0..<100, using: &random))",
            ]
            $0.observedAt = TestArchive.start + UInt64(index) * 1000
        }
    }
}

/// The policy's meaning, worked out with nothing of the code under test but its values.
private struct Oracle {
    let world: World
    /// Racks on which a critical database alert was told of.
    private var explained: Set<String> = []

    init(_ world: World) { self.world = world }

    mutating func judge(_ event: Tocsin_V1_Event) -> Expectation {
        let hinted: Severity =
            switch event.severityHint {
            case "critical": .critical
            case "error": .major
            case "info": .info
            default: .minor
            }
        let rule = world.policy.rules.first { rule in
            (rule.match.services.isEmpty || rule.match.services.contains(event.service))
                && rule.match.labels.allSatisfy { event.labels[$0.key] == $0.value }
                && (rule.match.summaryContains.isEmpty || rule.match.summaryContains.contains { event.summary.contains($0) })
                && (rule.match.minimumSeverity.map { hinted.rawValue >= $0.rawValue } ?? true)
        }
        let severity = rule?.severity ?? hinted
        let usual: [Severity: Int] = [.critical: 0, .major: 1, .minor: 2, .info: 2]
        let tiers = ["api": 0, "mail": 2]
        let impact = severity == .info ? 2 : tiers[event.service] ?? usual[severity] ?? 2
        let urgency = rule?.urgency.map { 3 - Int($0.rawValue) } ?? usual[severity] ?? 2
        let priorities: [[Priority]] = [[.p1, .p2, .p3], [.p2, .p3, .p4], [.p3, .p4, .p4]]
        var expectation = Expectation(
            rule: rule?.name ?? "", severity: severity, priority: priorities[impact][urgency], outcome: "told")
        expectation.outcome = outcome(event, severity, rule)
        return expectation
    }

    private mutating func outcome(_ event: Tocsin_V1_Event, _ severity: Severity, _ rule: TriageRule?) -> String {
        if rule?.suppress != nil { return "suppressed" }
        if severity == .info { return "recorded" }
        let minute = event.observedAt / 60_000 % 1440
        if event.service == "mail", minute >= 22 * 60 + 20, minute < 23 * 60 { return "maintenance nightly" }
        let silence = world.silences.filter {
            $0.startsAt <= event.observedAt && event.observedAt < $0.endsAt && event.labels["env"] == $0.matchers[0].value
                && event.service == $0.matchers[1].value
        }.max { ($0.endsAt, $0.id) < ($1.endsAt, $1.id) }
        if let silence { return "silence \(silence.id)" }
        let rack = event.labels["rack"] ?? ""
        if event.service == "cart", explained.contains(rack) { return "inhibition db" }
        if event.service == "db", severity == .critical { explained.insert(rack) }
        return "told"
    }
}
