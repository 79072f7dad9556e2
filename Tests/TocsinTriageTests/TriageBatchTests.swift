import Synchronization
import Testing
import TocsinKit
import TocsinPolicy
import TocsinProto
import TocsinWire

@testable import TocsinTriage

/// Goal: a delivery is acknowledged only after the update that carries its event was accepted; what cannot be triaged is
/// rejected alone; trouble with the hub means retry. Method: the worker's batch with a hub made of a closure.
@Suite("A batch of deliveries")
struct TriageBatchTests {
    /// Accepts or refuses as told, and remembers what it stored.
    private final class Hub: Sendable {
        let stored = Mutex<[Message]>([])
        let calls = Mutex(0)
        let refuse: @Sendable (_ call: Int, [Message]) throws -> Void

        init(refuse: @escaping @Sendable (Int, [Message]) throws -> Void = { _, _ in }) { self.refuse = refuse }

        func publish(_ messages: [Message]) async throws {
            let call = calls.withLock { calls in
                calls += 1
                return calls
            }
            try refuse(call, messages)
            stored.withLock { $0 += messages }
        }
    }

    private static func event(
        _ id: String, service: String = "checkout", hint: String = "", key: String = ""
    ) -> Tocsin_V1_Event {
        var event = Tocsin_V1_Event()
        event.id = id
        event.kind = .trigger
        event.source = "http:checkout"
        event.service = service
        event.summary = "HTTP 503"
        event.severityHint = hint
        event.dedupKey = key
        return event
    }

    private static func delivery(_ event: Tocsin_V1_Event, attempt: Int = 1) throws -> (Message, Int) {
        (try Message(event, id: Array(event.id.utf8), subject: "event.http.checkout"), attempt)
    }

    private static func batch(
        _ deliveries: [(Message, Int)], _ policy: Policy = Policy()
    ) throws -> TriageBatch {
        var triage = try Triage(policy)
        return TriageBatch(deliveries.map { (message: $0.0, attempt: $0.1) }, triage: &triage, now: 1)
    }

    @Test("good events become one message each fingerprint, and are acknowledged")
    func good() async throws {
        let hub = Hub()
        let events = [
            Self.event("a", hint: "critical", key: "k"), Self.event("b", hint: "critical", key: "k"),
            Self.event("c", service: "Über shop", hint: "major", key: "k"),
        ]
        let outcomes = try await Self.batch(events.map { try Self.delivery($0) }).settle(publish: hub.publish)
        #expect(outcomes == [.ack, .ack, .ack])
        let stored = hub.stored.withLock { $0 }
        #expect(stored.map(\.subject) == ["alert.critical.checkout", "alert.major.--ber-shop"])
        #expect(stored.map(\.severity) == [.critical, .major])
        let update = try stored[0].decode(Tocsin_V1_AlertUpdate.self)
        #expect(stored[0].id == Array(update.id.utf8) && stored[0].key == update.fingerprint)
        #expect(update.events.map(\.id) == ["a", "b"])
    }

    @Test("what is not an event is rejected, alone")
    func malformed() async throws {
        let hub = Hub()
        let bad = Message(id: [1], subject: "event.x", payload: [0xFF, 0xFF, 0xFF])
        let outcomes = try await Self.batch([(bad, 1), Self.delivery(Self.event("a"))]).settle(
            publish: hub.publish)
        guard case .reject(let reason) = outcomes[0] else {
            Issue.record("\(outcomes)")
            return
        }
        #expect(reason.contains("not a tocsin.v1.Event"))
        #expect(outcomes[1] == .ack)
    }

    @Test("an event without id takes its message's")
    func idFromEnvelope() async throws {
        let hub = Hub()
        let text = try Message(Self.event(""), id: Array("abc".utf8), subject: "event.x")
        let binary = try Message(Self.event(""), id: [0, 255], subject: "event.x")
        _ = try await Self.batch([(text, 1), (binary, 1)]).settle(publish: hub.publish)
        let update = try hub.stored.withLock { try $0[0].decode(Tocsin_V1_AlertUpdate.self) }
        #expect(update.events.map(\.id) == ["abc", "00ff"])
    }

    @Test("while the hub does not accept, everything is retried later and later, and nothing is acknowledged")
    func hubAway() async throws {
        let hub = Hub { _, _ in throw ClientError.timedOut("no answer") }
        let deliveries = try [(1, "a"), (2, "b"), (9, "c")].map {
            try Self.delivery(Self.event($1, key: $1), attempt: $0)
        }
        let outcomes = try await Self.batch(deliveries).settle(publish: hub.publish)
        var delays: [Duration] = []
        for case .retry(let delay, _) in outcomes { delays.append(delay) }
        #expect(delays == [.seconds(1), .seconds(2), .seconds(60)])
        #expect(hub.calls.withLock { $0 } == 1)
    }

    @Test("a message that the hub never takes is rejected, and the others still go")
    func refusedOne() async throws {
        let hub = Hub { _, messages in
            if let index = messages.firstIndex(where: { $0.subject.hasSuffix("bad") }) {
                throw ClientError.refused(.tooLarge, "too large", index: index)
            }
        }
        let events = [
            Self.event("a", key: "1"), Self.event("b", service: "bad", key: "2"),
            Self.event("c", service: "bad", key: "3"), Self.event("d", key: "4"),
        ]
        let outcomes = try await Self.batch(events.map { try Self.delivery($0) }).settle(publish: hub.publish)
        #expect(outcomes[0] == .ack && outcomes[3] == .ack)
        for index in 1...2 {
            guard case .reject(let reason) = outcomes[index] else {
                Issue.record("\(outcomes[index])")
                continue
            }
            #expect(reason.contains("TOO_LARGE"))
        }
        #expect(hub.stored.withLock { $0.count } == 2)
    }

    @Test("a refusal with a senseless index ends in retries, not in a loop")
    func senselessIndex() async throws {
        let hub = Hub { _, _ in throw ClientError.refused(.badEnvelope, "?", index: 99) }
        let outcomes = try await Self.batch([Self.delivery(Self.event("a"))]).settle(publish: hub.publish)
        guard case .retry = outcomes[0] else {
            Issue.record("\(outcomes)")
            return
        }
    }

    @Test("large batches go in pieces; an event too large for any message is rejected with advice")
    func large() async throws {
        let hub = Hub { _, messages in
            #expect(messages.count <= 1000)
            #expect(messages.allSatisfy { $0.payload.count <= Limits.messageBytes - 512 })
            #expect(messages.reduce(0) { $0 + $1.payload.count } <= 5 << 20)
        }
        var deliveries = try (0..<2500).map { try Self.delivery(Self.event("e\($0)", key: "k\($0)")) }
        for index in 0..<8 {
            var event = Self.event("large\(index)", key: "k")
            event.details = ["output": String(repeating: "x", count: 900_000)]
            deliveries.append(try Self.delivery(event))
        }
        var tooLarge = Self.event("too-large", key: "k")
        tooLarge.details = ["output": String(repeating: "x", count: Limits.messageBytes - 600)]
        deliveries.append(try Self.delivery(tooLarge))
        let outcomes = try await Self.batch(deliveries).settle(publish: hub.publish)
        #expect(outcomes.dropLast().filter { $0 == .ack }.count == 2508)
        guard case .reject(let reason) = outcomes[2508] else {
            Issue.record("\(outcomes[2508])")
            return
        }
        #expect(reason.contains("send less detail"))
        #expect(hub.calls.withLock { $0 } > 3)
    }

    @Test("suppressed alerts do not travel among the severe")
    func suppressed() async throws {
        let hub = Hub()
        let rules = [TriageRule(name: "quiet", severity: .critical, suppress: "drowned")]
        _ = try await Self.batch([Self.delivery(Self.event("a"))], Policy(rules: rules))
            .settle(publish: hub.publish)
        let stored = hub.stored.withLock { $0 }
        #expect(stored.map(\.subject) == ["alert.critical.checkout"] && stored.map(\.severity) == [.info])
    }

    @Test("what cannot work is refused")
    func bounds() {
        #expect(TriageConfiguration().problems.isEmpty)
        #expect(TriageConfiguration(credit: 0).problems.first?.contains("credit") == true)
        #expect(TriageConfiguration(limits: UpdateLimits(bytes: 1 << 30)).problems.first?.contains("update_size") == true)
    }
}
