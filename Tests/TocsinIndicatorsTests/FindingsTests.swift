import Testing
import TocsinPolicy
import TocsinProto

@testable import TocsinIndicators

/// Goal: what threat intelligence says of an event reaches its alert, and changes nothing but what it should.
@Suite("Indicators in triage")
struct FindingsTests {
    private static func event(_ id: String, _ client: String, observedAt: UInt64 = 5000) -> Tocsin_V1_Event {
        .with {
            $0.id = id
            $0.service = "checkout"
            $0.summary = "login refused"
            $0.dedupKey = "login"
            $0.severityHint = "minor"
            $0.observedAt = observedAt
            $0.labels = ["client": client]
        }
    }

    private static let set = IndicatorSet(
        [
            Indicator(
                id: "indicator--1", name: "botnet", type: .ipv4, value: "198.51.100.0/24", source: "feed.json", confidence: 80,
                labels: ["malicious-activity"], validFrom: 1000, validUntil: 9000),
            Indicator(id: "own.txt:1", type: .ipv4, value: "10.0.0.1", source: "own.txt"),
        ], falsePositives: [FalsePositiveList(name: "private", kind: .cidr, values: ["10.0.0.0/8"])], version: "v1")

    private func updates(_ events: [Tocsin_V1_Event], _ policy: Policy = Policy()) throws -> [Tocsin_V1_AlertUpdate] {
        var triage = try Triage(policy)
        var scanner = IndicatorScanner()
        let inputs = events.map {
            TriageInput(event: $0, subject: "event.auth", size: 100, indicators: scanner.findings(in: $0, of: Self.set))
        }
        return triage.updates(for: inputs, now: 1).map(\.update)
    }

    @Test("a match raises the severity, is said in the alert, and does not make another alert of it")
    func raises() throws {
        let plain = try #require(try updates([Self.event("a", "203.0.113.9")]).first)
        let bad = try #require(try updates([Self.event("a", "198.51.100.7")]).first)
        #expect(plain.severity == .minor && plain.indicators.isEmpty)
        #expect(bad.severity == .major && bad.fingerprint == plain.fingerprint)
        #expect(
            bad.indicators == [
                .with {
                    $0.indicator = "indicator--1"
                    $0.type = "ipv4"
                    $0.value = "198.51.100.7"
                    $0.place = "label client"
                    $0.source = "feed.json"
                    $0.confidence = 80
                    $0.labels = ["malicious-activity"]
                }
            ])
        #expect(bad.labels["indicator.type"] == "ipv4" && bad.labels["indicator.value"] == "198.51.100.7")
        #expect(bad.rule.contains("ipv4 \"198.51.100.0/24\" is an indicator of feed.json: at least major"))
        let decision = try #require(bad.decisions.first { $0.stage == "indicator" })
        #expect(decision.rule == "feed.json" && decision.outcome == "matched: at least major")
        #expect(decision.inputs == "ipv4 198.51.100.0/24, indicator--1, in label client; set v1")
    }

    @Test("events that one network names are judged alike, and each of their addresses is said once")
    func merges() throws {
        let events = [
            Self.event("a", "198.51.100.7"), Self.event("b", "198.51.100.8"), Self.event("c", "198.51.100.7"),
            Self.event("d", "203.0.113.9"),
        ]
        let updates = try updates(events)
        #expect(updates.map { $0.events.map(\.id) } == [["a", "b", "c"], ["d"]])
        #expect(updates.first?.indicators.map(\.value) == ["198.51.100.7", "198.51.100.8"])
    }

    @Test("what is on a false-positive list, or was not valid then, raises nothing and is said all the same")
    func exceptions() throws {
        let benign = try #require(try updates([Self.event("a", "10.0.0.1")]).first)
        #expect(benign.severity == .minor && benign.indicators.isEmpty && benign.labels["indicator.value"] == nil)
        #expect(benign.decisions.first { $0.stage == "indicator" }?.outcome == "false-positive list \"private\"")
        let late = try #require(try updates([Self.event("a", "198.51.100.7", observedAt: 9000)]).first)
        #expect(late.severity == .minor && late.indicators.isEmpty)
        #expect(late.decisions.first { $0.stage == "indicator" }?.outcome == "not valid then")
        let timeless = try #require(try updates([Self.event("a", "198.51.100.7", observedAt: 0)]).first)
        #expect(timeless.severity == .major)
    }

    @Test("the policy says how bad a match is, or that it changes nothing; a match never makes an event less bad")
    func severities() throws {
        func severity(_ policy: IndicatorPolicy, hint: String) throws -> Tocsin_V1_Severity? {
            var event = Self.event("a", "198.51.100.7")
            event.severityHint = hint
            return try updates([event], Policy(indicators: policy)).first?.severity
        }
        #expect(try severity(IndicatorPolicy(severity: .critical), hint: "minor") == .critical)
        #expect(try severity(IndicatorPolicy(severity: nil), hint: "minor") == .minor)
        #expect(try severity(IndicatorPolicy(severity: .minor), hint: "critical") == .critical)
    }
}
