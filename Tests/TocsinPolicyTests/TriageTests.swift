import Testing
import TocsinDomain
import TocsinProto

@testable import TocsinPolicy

/// Goal: the right rule decides, says why, and a resolve is recognised as its trigger's.
@Suite("Triage decisions")
struct TriageTests {
    static func event(
        _ id: String = "e1", _ summary: String = "HTTP 503", service: String = "checkout", hint: String = "",
        key: String = "", kind: Tocsin_V1_EventKind = .trigger, labels: [String: String] = [:],
        source: String = "http:checkout", drill: Bool = false
    ) -> Tocsin_V1_Event {
        var event = Tocsin_V1_Event()
        event.id = id
        event.kind = kind
        event.source = source
        event.service = service
        event.summary = summary
        event.severityHint = hint
        event.dedupKey = key
        event.labels = labels
        event.drill = drill
        return event
    }
    static let subject = "event.http.checkout"

    @Test("without rules, the hint and the service's tier decide")
    func defaults() throws {
        let services = [
            "checkout": ServiceEntry(tier: 1), "blog": ServiceEntry(tier: 3), "shop": ServiceEntry(impact: .high),
        ]
        var triage = try Triage(Policy(services: services))
        let table: [(String, String, Severity, Level, Level, Priority)] = [
            ("checkout", "SEV1", .critical, .high, .high, .p1),
            ("checkout", "warning", .minor, .high, .low, .p3),
            ("checkout", "debug", .info, .low, .low, .p4),
            ("blog", "critical", .critical, .low, .high, .p3),
            ("shop", "error", .major, .high, .medium, .p2),
            ("other", "fatal", .critical, .high, .high, .p1),
            ("other", "error", .major, .medium, .medium, .p3),
            ("other", "", .minor, .low, .low, .p4),
            ("other", "bananas", .minor, .low, .low, .p4),
        ]
        for (service, hint, severity, impact, urgency, priority) in table {
            let decision = triage.decide(Self.event(service: service, hint: hint), subject: Self.subject)
            #expect(decision.severity == severity && decision.impact == impact, "\(service) \(hint)")
            #expect(decision.urgency == urgency && decision.priority == priority, "\(service) \(hint)")
            #expect(decision.rule == "default" && decision.disposition == .alert)
        }
        let why = triage.decide(Self.event(hint: "SEV1"), subject: Self.subject).why
        #expect(
            why
                == "default: severity hint \"SEV1\" means critical, service checkout is tier 1; impact high × urgency high = P1"
        )
        let unknown = triage.decide(Self.event(service: "x", hint: "bananas"), subject: Self.subject).why
        #expect(unknown.hasPrefix("default: severity hint \"bananas\" is not understood, taken for minor; "))
    }

    @Test("the first rule that matches decides, and says why")
    func precedence() throws {
        var triage = try Triage(
            Policy(rules: [
                TriageRule(
                    name: "noise", match: RuleMatch(summaryContains: ["test", "canary"]), suppress: "known noise"),
                TriageRule(
                    name: "web-errors", match: RuleMatch(summaryMatches: "HTTP 5.."), severity: .critical,
                    impact: .high,
                    urgency: .high, runbook: "restart-web"),
                TriageRule(name: "rest", match: RuleMatch(services: ["check*"]), severity: .info),
            ]))
        let web = triage.decide(Self.event(), subject: Self.subject)
        #expect(web.rule == "web-errors" && web.runbook == "restart-web" && web.priority == .p1)
        #expect(web.why == "web-errors: summary matches \"HTTP 5..\"; impact high × urgency high = P1")
        let noise = triage.decide(Self.event("e", "canary: HTTP 503"), subject: Self.subject)
        #expect(noise.disposition == .suppressed)
        #expect(
            noise.why
                == "noise: summary contains \"test\" or \"canary\"; suppressed: known noise; impact low × urgency low = P4"
        )
        #expect(triage.decide(Self.event("e", "HTTP 404"), subject: Self.subject).rule == "rest")
        #expect(triage.decide(Self.event("e", "HTTP 404", service: "a"), subject: Self.subject).rule == "default")
    }

    @Test("every condition of a match must hold")
    func conditions() throws {
        let match = RuleMatch(
            subjects: ["event.http.>", "event.log.*"], sources: ["http:*"], services: ["web", "check*"],
            labels: ["host": "web-*"], summaryContains: ["503"], summaryMatches: "^HTTP", minimumSeverity: .major)
        var triage = try Triage(Policy(rules: [TriageRule(name: "all", match: match)]))
        let good = Self.event(hint: "major", labels: ["host": "web-1"])
        func rule(_ subject: String = Self.subject, _ change: (inout Tocsin_V1_Event) -> Void) -> String {
            var event = good
            change(&event)
            return triage.decide(event, subject: subject).rule
        }
        #expect(rule { _ in } == "all")
        #expect(rule("event.tcp.x") { _ in } == "default")
        #expect(rule { $0.source = "log:web" } == "default")
        #expect(rule { $0.service = "shop" } == "default")
        #expect(rule { $0.labels = [:] } == "default")
        #expect(rule { $0.labels["host"] = "db-1" } == "default")
        #expect(rule { $0.summary = "HTTP 500" } == "default")
        #expect(rule { $0.summary = "an HTTP 503" } == "default")
        #expect(rule { $0.severityHint = "minor" } == "default")
        #expect(rule { $0.severityHint = "SEV1" } == "all")
    }

    @Test("a resolve has its trigger's fingerprint, whatever else changed")
    func resolveMatchesTrigger() throws {
        let rules = [
            TriageRule(
                name: "worst", match: RuleMatch(minimumSeverity: .critical), service: "war-room", runbook: "all-hands"),
            TriageRule(
                name: "errors", match: RuleMatch(summaryContains: ["HTTP"]), service: "front",
                by: [.service, .label("host")]),
            TriageRule(
                name: "lost", match: RuleMatch(summaryContains: ["lost"]), by: [.service], group: "db"),
            TriageRule(
                name: "back", match: RuleMatch(summaryContains: ["back"]), by: [.service], group: "db", kind: .resolve),
        ]
        var triage = try Triage(Policy(rules: rules))
        func fingerprint(_ event: Tocsin_V1_Event) -> String { triage.decide(event, subject: Self.subject).fingerprint }

        // With a dedup key nothing else counts but the service it is for.
        let keyed = fingerprint(Self.event("1", "HTTP 503", hint: "critical", key: "probe", labels: ["a": "b"]))
        #expect(keyed.count == 32)
        var resolve = Self.event("2", "answers again", key: "probe", kind: .resolve, source: "other")
        resolve.details = ["latency": "3 ms"]
        resolve.observedAt = 77
        #expect(fingerprint(resolve) == keyed)
        #expect(fingerprint(Self.event("1", service: "shop", key: "probe")) != keyed)
        #expect(fingerprint(Self.event("1", key: "probe2")) != keyed)
        #expect(fingerprint(Self.event("1", key: "probe", drill: true)) != keyed, "a drill is not the real thing")

        // Without one, the grouping rule is found without the severity.
        let trigger = fingerprint(
            Self.event("1", "HTTP 503 from 10.0.0.1", hint: "critical", labels: ["host": "w1", "x": "1"]))
        #expect(fingerprint(Self.event("2", "HTTP fine", kind: .resolve, labels: ["host": "w1", "x": "2"])) == trigger)
        #expect(fingerprint(Self.event("2", "HTTP fine", kind: .resolve, labels: ["host": "w2"])) != trigger)

        // Two rules of one group, one of which resolves.
        let lost = triage.decide(Self.event("1", "database lost"), subject: Self.subject)
        let back = triage.decide(Self.event("2", "database back"), subject: Self.subject)
        #expect(lost.fingerprint == back.fingerprint && lost.kind == .trigger && back.kind == .resolve)

        // No rule groups it: numbers do not matter, words do.
        let plain = fingerprint(Self.event("1", "disk sda 91 % full, inode 0x7fff"))
        #expect(
            fingerprint(Self.event("2", "disk sda 92 % full, inode 0x8000", hint: "error", kind: .resolve)) == plain)
        #expect(fingerprint(Self.event("2", "disk sdb 92 % full, inode 0x8000")) != plain)
    }

    /// Computed apart, from the description in `FingerprintMaker`.
    @Test("fingerprints do not change between versions")
    func golden() throws {
        var triage = try Triage(Policy())
        func fingerprint(_ event: Tocsin_V1_Event) -> String { triage.decide(event, subject: Self.subject).fingerprint }
        #expect(fingerprint(Self.event(key: "probe")) == "aec86e7ab937b9ffe2abefb21369080b")
        #expect(fingerprint(Self.event(labels: ["host": "w1", "empty": ""])) == "43dc6b1648e15bd752e50889514f7680")
    }

    @Test(
        "what changes between two sayings of the same is masked",
        arguments: [
            ("HTTP 503 after 12.5 s", "HTTP # after # s"),
            ("from 10.0.0.1:8080 to [::1]", "from # to [::#]"),
            ("blk_-1608999687919862906 and blk_42", "blk_# and blk_#"),
            ("id 550e8400-e29b-41d4-a716-446655440000 gone", "id # gone"),
            ("at 2026-11-24T17:01:26Z", "at #T#Z"),
            ("web12 uses 512MB of 0xDEADBEEF", "web# uses #MB of #"),
            ("commit 3d4d855f", "commit #"),
            ("a facade, a cafe: no numbers", "a facade, a cafe: no numbers"),
            ("größer als 5", "größer als #"),
            ("", ""),
        ])
    func masks(summary: String, expected: String) {
        #expect(SummaryMask.masked(summary) == expected)
    }

    @Test("a wrong configuration is refused, each fault in a sentence")
    func problems() {
        let by: [FingerprintField] = [.service]
        let cases: [(Policy, String)] = [
            (Policy(rules: [TriageRule(name: "a", match: RuleMatch(summaryMatches: "a("))]), "at byte 1"),
            (
                Policy(rules: [TriageRule(name: "a", match: RuleMatch(subjects: ["a..b"]))]),
                "subject filter"
            ),
            (Policy(rules: [TriageRule(name: "a"), TriageRule(name: "a")]), "two have"),
            (Policy(rules: [TriageRule(name: "default")]), "taken"),
            (Policy(rules: [TriageRule(name: "")]), "no name"),
            (
                Policy(rules: [TriageRule(name: "a", match: RuleMatch(minimumSeverity: .major), by: by)]),
                "minimum severity"
            ),
            (Policy(rules: [TriageRule(name: "a", by: [])]), "names nothing"),
            (Policy(rules: [TriageRule(name: "a", group: "g")]), "\"group\""),
            (Policy(rules: [TriageRule(name: "a", suppress: " ")]), "\"suppress\""),
            (
                Policy(rules: [TriageRule(name: "a", match: RuleMatch(summaryContains: [""]))]),
                "empty text"
            ),
            (Policy(services: ["x": ServiceEntry(tier: 9)]), "tier 9"),
        ]
        for (configuration, words) in cases {
            #expect(configuration.problems.count == 1, "\(configuration.problems)")
            #expect(configuration.problems.first?.contains(words) == true, "\(configuration.problems)")
            #expect(throws: PolicyProblem.self) { _ = try Triage(configuration) }
        }
        #expect(Policy(rules: [TriageRule(name: "a", by: by, group: "g")]).problems.isEmpty)
    }

    @Test("fields of fingerprints are read from words")
    func fields() {
        let words = ["service", "source", "summary", "labels", "host", "label:service"]
        #expect(
            words.map(FingerprintField.init(parsing:)) == [
                .service, .source, .summary, .labels, .label("host"), .label("service"),
            ])
    }
}
