import Testing
import TocsinWire

@testable import TocsinCore

@Suite("Sessions, publishing and pools")
struct SessionTests {
    @Test("nothing but hello has any effect before welcome")
    func notWelcomed() throws {
        var hub = TestHub()
        hub.step(.heartbeat(5, id: 1))
        hub.step(.declare(5, request: 2, try PoolDefinition(name: "p", filters: ["a"])))
        hub.step(.subscribe(5, subscription: 3, pool: "p", credit: 1))
        hub.step(.credit(5, subscription: 4, 1))
        hub.step(.settle(5, subscription: 5, [], reasons: []))
        hub.step(.unsubscribe(5, subscription: 6))
        hub.step(.serve(5, request: 7, service: "s", exclusive: false))
        hub.step(.call(5, id: 8, service: "s", timeout: 1, CallFrame([])))
        hub.step(.reply(5, id: 9, CallFrame([])))
        hub.step(.cancel(5, id: 10))
        hub.step(.publish(5, request: 11, []))
        let statuses = hub.statuses()
        #expect(statuses.map(\.id) == Array(1...11))
        #expect(statuses.allSatisfy { $0.reason == .notWelcomed })
        #expect(hub.core.pools.isEmpty && hub.core.takeControl() == nil)
        hub.step(.lost(5))
        #expect(hub.take().isEmpty)
    }

    @Test("hello again is a new welcome and keeps the subscriptions")
    func helloAgain() throws {
        var hub = try TestHub.withWorker()
        hub.hello(1)
        guard case .welcome(1) = try #require(hub.take().first) else {
            Issue.record("no welcome")
            return
        }
        try hub.publishSynced([TestMessage(id: "1")])
        #expect(hub.deliver().count == 1)
    }

    @Test("a peer silent for three heartbeats is lost, and what it held is redelivered; any word keeps it")
    func heartbeats() throws {
        var options = TestHub.options()
        options.heartbeat = 1_000
        var hub = try TestHub.withWorker(options: options)
        hub.hello(2)
        hub.step(.subscribe(2, subscription: 1, pool: "p", credit: 10))
        try hub.publishSynced((0..<4).map { TestMessage(id: "\($0)") })
        let first = hub.deliver()
        #expect(Set(first.map(\.peer)) == [1, 2])
        for _ in 0..<6 {
            hub.advance(500)
            hub.step(.heartbeat(2, id: 0))
        }
        #expect(hub.core.peers[1] != nil, "three heartbeats are allowed")
        hub.effects = []
        hub.advance(500)
        let forgotten = hub.take().compactMap { effect -> PeerID? in
            if case .forgotten(let peer, _) = effect { return peer }
            return nil
        }
        #expect(forgotten == [1])
        #expect(hub.core.peers[2] != nil)
        let second = hub.deliver()
        #expect(Set(second.map(\.id)) == Set(first.filter { $0.peer == 1 }.map(\.id)))
        #expect(second.allSatisfy { $0.peer == 2 && $0.row.attempt == 2 })
        hub.checkInvariants()
    }

    @Test("who holds something gets a word often, others once a heartbeat")
    func words() throws {
        var options = TestHub.options()
        options.heartbeat = 1_000
        var hub = try TestHub.withWorker(options: options)
        hub.hello(2)
        hub.effects = []
        var words: [PeerID: Int] = [:]
        for _ in 0..<40 {
            hub.advance(100)
            hub.step(.heartbeat(1, id: 9))
            hub.step(.heartbeat(2, id: 9))
        }
        for case .heartbeat(let peer, 0) in hub.take() { words[peer, default: 0] += 1 }
        #expect(words[1] ?? 0 >= 10)
        #expect((2...4).contains(words[2] ?? 0))
    }

    private func accepted(_ effects: [Effect]) -> [(request: UInt64, first: UInt64, stored: Int, duplicates: Int)] {
        effects.compactMap { effect in
            guard case .accepted(_, let request, let first, let stored, let duplicates) = effect else { return nil }
            return (request, first, stored, duplicates)
        }
    }

    @Test("a publish is accepted when its batch is on disk, and not before")
    func acceptance() throws {
        var hub = try TestHub.withWorker()
        try hub.publish(1, request: 5, [TestMessage(id: "1"), TestMessage(id: "2")])
        let one = hub.lastOrdinal
        try hub.publish(1, request: 6, [TestMessage(id: "3")])
        #expect(accepted(hub.take()).isEmpty)
        hub.step(.durable(one))
        #expect(accepted(hub.take()).map { [$0.request, $0.first, UInt64($0.stored), UInt64($0.duplicates)] } == [[5, 1, 2, 0]])
        hub.step(.durable(one))
        #expect(accepted(hub.take()).isEmpty)
        hub.step(.durable(hub.lastOrdinal))
        #expect(accepted(hub.take()).map { [$0.request, $0.first] } == [[6, 3]])
        #expect(hub.core.accepted == 3)
    }

    @Test("a duplicate is acknowledged only when its original is on disk")
    func duplicatesWait() throws {
        var hub = try TestHub.withWorker()
        try hub.publish(1, request: 5, [TestMessage(id: "1")])
        let original = hub.lastOrdinal
        try hub.publish(1, request: 6, [TestMessage(id: "1")])
        try hub.publish(1, request: 7, [TestMessage(id: "1"), TestMessage(id: "2"), TestMessage(id: "2"), TestMessage(id: "3")])
        #expect(accepted(hub.take()).isEmpty)
        hub.step(.durable(original))
        #expect(accepted(hub.take()).map { [$0.request, UInt64($0.stored), UInt64($0.duplicates)] } == [[5, 1, 0], [6, 0, 1]])
        hub.step(.durable(hub.lastOrdinal))
        #expect(accepted(hub.take()).map { [$0.request, $0.first, UInt64($0.stored), UInt64($0.duplicates)] } == [[7, 2, 2, 2]])
        try hub.publish(1, request: 8, [TestMessage(id: "3")])
        #expect(accepted(hub.take()).map { [$0.request, $0.first, UInt64($0.duplicates)] } == [[8, 0, 1]])
        #expect(hub.deliver().map(\.id) == ["1", "2", "3"])
        #expect(hub.core.duplicates == 4)
    }

    @Test("a subject that nothing takes is refused; one the hub was told to take is stored though no pool has it")
    func unknownSubjects() throws {
        var hub = try TestHub.withWorker()
        #expect(throws: WireError.self) { try hub.publish(1, [TestMessage(id: "1", subject: "b")]) }
        try hub.publishSynced([TestMessage(id: "2", subject: "unrouted.x")])
        #expect(hub.core.lastSequence == 1 && hub.core.floor(from: 0) == 2)
        try hub.declare(1, "q", ["b"])
        try hub.publishSynced([TestMessage(id: "1", subject: "b")])
        #expect(hub.counters("q").matched == 1 && hub.counters("p").matched == 0)
    }

    @Test("what waits for the disk is bounded")
    func pendingBound() throws {
        var options = TestHub.options()
        options.pendingMessages = 3
        var hub = try TestHub.withWorker(options: options)
        try hub.publish(1, request: 1, [TestMessage(id: "1"), TestMessage(id: "2")])
        try hub.publish(1, request: 2, [TestMessage(id: "3"), TestMessage(id: "4")])
        #expect(hub.statuses().map(\.reason) == [.storageFailed])
        try hub.sync()
        try hub.publish(1, request: 3, [TestMessage(id: "3"), TestMessage(id: "4")])
        try hub.sync()
        #expect(accepted(hub.take()).map(\.stored) == [2, 2], "the refused ids were not remembered")
    }

    @Test("so are the answers to duplicates that wait for it")
    func pendingDuplicates() throws {
        var options = TestHub.options()
        options.pendingMessages = 3
        var hub = try TestHub.withWorker(options: options)
        for request in UInt64(1)...4 { try hub.publish(1, request: request, [TestMessage(id: "1")]) }
        #expect(hub.statuses().map(\.reason) == [.storageFailed])
        try hub.sync()
        #expect(accepted(hub.take()).map(\.stored) == [1, 0, 0])
    }

    @Test("declaring again confirms, with other limits changes them, with other filters is refused")
    func declare() throws {
        var hub = try TestHub.withWorker()
        hub.declare(1, request: 1, try PoolDefinition(name: "p", filters: ["a.>", "a"]))
        #expect(hub.statuses().isEmpty, "the answer waits for the disk")
        try hub.sync()
        #expect(hub.statuses().map(\.reason) == [.ok])
        hub.declare(1, request: 2, try PoolDefinition(name: "p", filters: ["a"]))
        #expect(hub.statuses().map(\.reason) == [.badPool])
        hub.declare(1, request: 3, try PoolDefinition(name: "p", filters: ["a.>", "a"], maxAttempts: 9))
        #expect(hub.pool("p").definition.maxAttempts == 9)
        for index in 0..<(Limits.pools - 1) { try hub.declare(1, "p\(index)") }
        hub.effects = []
        try hub.declare(1, "one-more")
        #expect(hub.statuses().map(\.reason) == [.tooMany])
        try hub.publishSynced([TestMessage(id: "1")])
        #expect(hub.core.pools.allSatisfy { $0.counters.matched == 1 }, "the 64th pool has its bit, too")
        hub.checkInvariants()
    }

    @Test("answers that share one control batch all come when it is on disk")
    func answersTogether() throws {
        var hub = try TestHub.withWorker()
        for request in UInt64(1)...3 {
            hub.step(.declare(1, request: request, try PoolDefinition(name: "q\(request)", filters: ["a"])))
        }
        try hub.sync()
        #expect(hub.statuses().map(\.id) == [1, 2, 3])
        try hub.publishSynced([TestMessage(id: "1")])
        #expect(hub.deliver().count == 1)
    }

    @Test("limits of a pool's definition are checked")
    func definitions() {
        #expect(throws: WireError.self) { try PoolDefinition(name: "a.b", filters: ["a"]) }
        #expect(throws: WireError.self) { try PoolDefinition(name: "p", filters: []) }
        #expect(throws: WireError.self) { try PoolDefinition(name: "p", filters: ["a*"]) }
        #expect(throws: WireError.self) { try PoolDefinition(name: "p", filters: [String](repeating: "a", count: 33)) }
        #expect(throws: WireError.self) { try PoolDefinition(name: "p", filters: ["a"], visibility: 99) }
        #expect(throws: WireError.self) { try PoolDefinition(name: "p", filters: ["a"], visibility: 86_400_001) }
        #expect(throws: WireError.self) { try PoolDefinition(name: "p", filters: ["a"], maxAttempts: 0) }
        #expect(throws: WireError.self) { try PoolDefinition(name: "p", filters: ["a"], maxAttempts: 256) }
    }

    @Test("subscriptions: unknown pools, ids in use and too many are refused")
    func subscriptions() throws {
        var hub = try TestHub.withWorker()
        hub.step(.subscribe(1, subscription: 1, pool: "none", credit: 1))
        hub.step(.subscribe(1, subscription: 7, pool: "p", credit: 1))
        for id in UInt64(100)..<UInt64(100 + Limits.subscriptions - 1) {
            hub.step(.subscribe(1, subscription: id, pool: "p", credit: 1))
        }
        hub.step(.subscribe(1, subscription: 2, pool: "p", credit: 1))
        let reasons = hub.statuses().map(\.reason)
        #expect(reasons.first == .unknownPool && reasons[1] == .badBody && reasons.last == .tooMany)
        #expect(reasons.filter { $0 == .ok }.count == Limits.subscriptions - 1)
    }

    @Test("a pool from the start gets what is kept, in order, then what comes; one without gets only what comes")
    func fromStart() throws {
        var hub = try TestHub.withWorker()
        try hub.publishSynced((0..<5).map { TestMessage(id: "old\($0)", key: "k") })
        try hub.publish(1, [TestMessage(id: "pending", key: "k")])
        try hub.declare(1, "all", fromStart: true)
        try hub.declare(1, "new")
        hub.step(.subscribe(1, subscription: 8, pool: "all", credit: 100))
        hub.step(.subscribe(1, subscription: 9, pool: "new", credit: 100))
        try hub.publish(1, [TestMessage(id: "next", key: "k")])
        try hub.sync()
        var ids: [UInt64: [String]] = [:]
        var round = hub.deliver()
        while !round.isEmpty {
            for delivered in round {
                ids[delivered.subscription, default: []].append(delivered.id)
                hub.settle(delivered, .ack)
            }
            round = hub.deliver()
        }
        #expect(ids[8] == ["old0", "old1", "old2", "old3", "old4", "pending", "next"])
        #expect(ids[9] == ["next"])
        #expect(hub.core.catchUp == nil)
        hub.checkInvariants()
    }
}
