import TestSupport
import Testing
import TocsinDomain
import TocsinProto

@testable import TocsinPolicy

/// Goal: every event of a batch is in exactly one update, the same events make the same update ids, and the last word of a
/// fingerprint stays the last.
@Suite("Merging events into alert updates")
struct UpdateTests {
    private static func inputs(_ events: [Tocsin_V1_Event], size: Int = 100) -> [TriageInput] {
        events.map { TriageInput(event: $0, subject: TriageTests.subject, size: size) }
    }

    @Test("events of one fingerprint that are judged alike become one update, told in the words of the latest")
    func merges() throws {
        var triage = try Triage(
            Policy(services: ["checkout": ServiceEntry(tier: 1, owner: "payments")]))
        let events = [
            TriageTests.event("a", "first", hint: "minor", key: "k"), TriageTests.event("b", "other", key: "l"),
            TriageTests.event("c", "worst", hint: "critical", key: "k", labels: ["host": "w1"]),
            TriageTests.event("d", "later", hint: "major", key: "k"),
            TriageTests.event("e", "latest", hint: "critical", key: "k", labels: ["host": "w2"]),
        ]
        let plan = triage.updates(for: Self.inputs(events), now: 5)
        #expect(plan.map { $0.update.events.map(\.id) } == [["a"], ["b"], ["c", "e"], ["d"]])
        #expect(plan.map(\.inputs) == [[0], [1], [2, 4], [3]])
        let update = plan[2].update
        #expect(update.summary == "latest" && update.severity == .critical && update.priority == .p1)
        #expect(update.impact == .high && update.urgency == .high && update.triagedAt == 5)
        #expect(update.labels == ["host": "w2", "owner": "payments"])
        #expect(update.rule.hasPrefix("default: ") && update.id.count == 32 && update.service == "checkout")
        #expect(plan[2].update.events == [events[2], events[4]], "events are carried as they came")
        #expect(Set(plan.map(\.update.fingerprint)).count == 2)
        #expect(update.decisions.map(\.stage) == ["rule", "service", "severity", "priority", "fingerprint"])
    }

    @Test("a resolve between two triggers keeps them apart")
    func order() throws {
        var triage = try Triage(Policy())
        let events = [
            TriageTests.event("a", key: "k"), TriageTests.event("b", key: "k", kind: .resolve),
            TriageTests.event("c", key: "k"), TriageTests.event("d", key: "k"),
        ]
        let plan = triage.updates(for: Self.inputs(events), now: 0)
        #expect(plan.map { $0.update.events.map(\.id) } == [["a"], ["b"], ["c", "d"]])
        #expect(plan.map(\.update.kind) == [.trigger, .resolve, .trigger])
    }

    @Test("an event id that comes twice counts once, and both deliveries wait for the same update")
    func duplicates() throws {
        var triage = try Triage(Policy())
        let a = TriageTests.event("a", key: "k")
        let plan = triage.updates(for: Self.inputs([a, TriageTests.event("b", key: "l"), a]), now: 0)
        #expect(plan.map(\.inputs) == [[0, 2], [1]])
        #expect(plan[0].update.events.count == 1)
    }

    @Test("ids depend on fingerprint, kind and events, not on order or time")
    func ids() throws {
        var triage = try Triage(Policy())
        func id(_ events: [Tocsin_V1_Event], now: UInt64 = 1) -> String {
            triage.updates(for: Self.inputs(events), now: now)[0].update.id
        }
        let a = TriageTests.event("a", key: "k")
        let b = TriageTests.event("b", key: "k")
        #expect(id([a, b]) == id([b, a], now: 99))
        #expect(id([a]) != id([a, b]))
        #expect(id([a]) != id([TriageTests.event("a", key: "l")]))
        #expect(id([a]) != id([TriageTests.event("a", key: "k", kind: .resolve)]))
    }

    @Test("updates are split at the limits of events and of bytes")
    func splits() throws {
        var triage = try Triage(Policy(), limits: UpdateLimits(events: 10, bytes: 1000))
        let events = (0..<25).map { TriageTests.event("e\($0)", key: "k") }
        let byCount = triage.updates(for: Self.inputs(events, size: 1), now: 0)
        #expect(byCount.map(\.update.events.count) == [10, 10, 5])
        #expect(Set(byCount.map(\.update.id)).count == 3)
        let byBytes = triage.updates(for: Self.inputs(events, size: 300), now: 0)
        #expect(byBytes.map(\.update.events.count) == [3, 3, 3, 3, 3, 3, 3, 3, 1])
        let large = triage.updates(for: Self.inputs(events, size: 5000), now: 0)
        #expect(large.count == 25)
    }

    @Test("suppressed and alerting events of one fingerprint stay apart")
    func suppressed() throws {
        let rule = TriageRule(name: "quiet", match: RuleMatch(labels: ["env": "test"]), suppress: "test systems")
        var triage = try Triage(Policy(rules: [rule]))
        let events = [
            TriageTests.event("a", key: "k"), TriageTests.event("b", key: "k", labels: ["env": "test"]),
        ]
        let plan = triage.updates(for: Self.inputs(events), now: 0)
        #expect(plan.map(\.update.disposition) == [.alert, .suppressed])
        #expect(plan[1].update.rule.contains("suppressed: test systems"))
    }

    @Test("summary and labels of an update are bounded; the event keeps its own")
    func bounds() throws {
        var triage = try Triage(Policy())
        var event = TriageTests.event("a", String(repeating: "é", count: 5000))
        for index in 0..<100 { event.labels["label\(index)"] = String(repeating: "x", count: 1000) }
        let update = triage.updates(for: Self.inputs([event]), now: 0)[0].update
        #expect(update.summary.utf8.count <= 1024 && update.summary.hasSuffix("é…"))
        #expect(!update.labels.isEmpty && update.labels.count < 10)
        #expect(update.events == [event])
    }

    @Test("whatever the batch, each event id is in exactly one update and each input waits for one")
    func property() throws {
        var random = SplitMix64.seeded()
        for _ in 0..<50 {
            var triage = try Triage(Policy(), limits: UpdateLimits(events: Int.random(in: 1...20, using: &random)))
            let events = (0..<Int.random(in: 1...200, using: &random)).map { _ in
                let id = Int.random(in: 0..<150, using: &random)
                // The same id is always the same event.
                return TriageTests.event("e\(id)", key: "k\(id % 7)", kind: id % 3 == 0 ? .resolve : .trigger)
            }
            let plan = triage.updates(for: Self.inputs(events), now: 0)
            #expect(plan.flatMap(\.inputs).sorted() == Array(events.indices))
            let carried = plan.flatMap { $0.update.events.map(\.id) }
            #expect(carried.count == Set(carried).count && Set(carried) == Set(events.map(\.id)))
            #expect(Set(plan.map(\.update.id)).count == plan.count)
            for planned in plan {
                #expect(Set(planned.inputs.map { events[$0].id }) == Set(planned.update.events.map(\.id)))
                #expect(planned.update.events.allSatisfy { $0.kind == planned.update.kind })
            }
        }
    }
}
