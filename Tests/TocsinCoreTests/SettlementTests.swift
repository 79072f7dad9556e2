import Testing
import TocsinWire

@testable import TocsinCore

@Suite("Leases, attempts and dead letters")
struct SettlementTests {
    @Test("a late settlement is ignored and counted, whatever it says")
    func fencing() throws {
        var hub = try TestHub.withWorker(visibility: 1_000)
        try hub.publishSynced([TestMessage(id: "1", key: "x"), TestMessage(id: "2")])
        let first = hub.deliver()
        hub.advance(1_000)
        let second = hub.deliver()
        #expect(second.map(\.row.attempt) == [2, 2])
        #expect(Set(second.map(\.row.token)).isDisjoint(with: first.map(\.row.token)))
        for (late, outcome) in zip(first, [Outcome.ack, .reject]) { hub.settle(late, outcome) }
        #expect(hub.counters("p").staleSettlements == 2)
        #expect(hub.counters("p").acked == 0 && hub.pool("p").dead.isEmpty)
        for delivered in second { hub.settle(delivered, .ack) }
        for delivered in second { hub.settle(delivered, .ack) }
        #expect(hub.counters("p").acked == 2)
        #expect(hub.counters("p").staleSettlements == 4)
        hub.checkInvariants()
    }

    @Test("a settlement is the holder's alone")
    func othersToken() throws {
        var hub = try TestHub.withWorker()
        hub.hello(2)
        hub.step(.subscribe(2, subscription: 7, pool: "p", credit: 1))
        hub.step(.subscribe(1, subscription: 8, pool: "p", credit: 1))
        try hub.publishSynced([TestMessage(id: "1")])
        var delivered = try #require(hub.deliver().first)
        let holder = delivered
        for (peer, subscription) in [(UInt64(1), UInt64(7)), (1, 8), (2, 7)]
        where (peer, subscription) != (holder.peer, holder.subscription) {
            delivered.peer = peer
            delivered.subscription = subscription
            hub.settle(delivered, .ack)
        }
        delivered = holder
        delivered.row.sequence += 1
        hub.settle(delivered, .ack)
        #expect(hub.counters("p").staleSettlements == 3)
        hub.settle(holder, .ack)
        #expect(hub.counters("p").acked == 1)
        hub.checkInvariants()
    }

    @Test("an expired lease gives its credit back; the late settlement does not give it again")
    func creditAtExpiry() throws {
        var hub = try TestHub.withWorker(credit: 1, visibility: 1_000)
        try hub.publishSynced([TestMessage(id: "1"), TestMessage(id: "2"), TestMessage(id: "3")])
        let first = try #require(hub.deliver().first)
        hub.advance(1_000)
        let second = hub.deliver()
        #expect(second.count == 1)
        hub.settle(first, .ack)
        #expect(hub.deliver().isEmpty)
        hub.checkInvariants()
    }

    @Test("after the last attempt a message is a dead letter with the reason; revived it begins anew")
    func attemptsAndRevival() throws {
        var hub = try TestHub.withWorker(visibility: 1_000, maxAttempts: 3)
        try hub.publishSynced([TestMessage(id: "1", key: "x"), TestMessage(id: "2", key: "x")])
        for attempt in UInt16(1)...3 {
            let delivered = try #require(hub.deliver().first)
            #expect(delivered.id == "1" && delivered.row.attempt == attempt)
            if attempt == 2 { hub.advance(1_000) } else { hub.settle(delivered, .retry, reason: "no \(attempt)") }
        }
        let letters = try #require(hub.core.deadLetters(pool: "p", atMost: 10))
        #expect(letters.map(\.sequence) == [1])
        #expect(letters.map(\.attempts) == [3])
        #expect(letters[0].reason == "attempt 3, the last: no 3")
        #expect(letters[0].time == hub.now.wall)
        let next = try #require(hub.deliver().first)
        #expect(next.id == "2", "a dead letter does not block its key")
        hub.settle(next, .ack)
        #expect(hub.core.floor(from: 0) == 1, "a dead letter is still needed")
        #expect(hub.core.retryDeadLetters(pool: "p", [1, 1, 99], at: hub.now) == 1)
        #expect(hub.core.retryDeadLetters(pool: "none", [], at: hub.now) == nil)
        let again = try #require(hub.deliver().first)
        #expect(again.id == "1" && again.row.attempt == 1)
        hub.settle(again, .ack)
        #expect(hub.core.floor(from: 0) == 3)
        #expect(hub.counters("p").matched == 2 && hub.counters("p").acked == 2)
        hub.checkInvariants()
    }

    @Test("a reject gives up at once; its reason is kept to 1,024 bytes, cut between characters")
    func reject() throws {
        var hub = try TestHub.withWorker()
        try hub.publishSynced([TestMessage(id: "1"), TestMessage(id: "2")])
        let delivered = hub.deliver()
        hub.settle(delivered[0], .reject)
        hub.settle(delivered[1], .reject, reason: "a" + String(repeating: "é", count: 600))
        let letters = try #require(hub.core.deadLetters(pool: "p", atMost: 10))
        #expect(letters.map(\.reason) == ["rejected", "a" + String(repeating: "é", count: 511)])
        #expect(try #require(hub.core.deadLetters(pool: "p", atMost: 1)).count == 1)
        #expect(hub.core.deadLetters(pool: "none", atMost: 1) == nil)
    }

    @Test("reasons go to the retried and rejected rows, in order")
    func reasonsByRow() throws {
        var hub = try TestHub.withWorker(maxAttempts: 1)
        try hub.publishSynced((0..<4).map { TestMessage(id: "\($0)") })
        let rows = zip(hub.deliver(), [Outcome.reject, .ack, .retry, .reject]).map { delivered, outcome in
            SettleEntry(sequence: delivered.row.sequence, token: delivered.row.token, outcome: outcome)
        }
        hub.step(.settle(1, subscription: 7, rows, reasons: ["one", "two"]))
        let letters = try #require(hub.core.deadLetters(pool: "p", atMost: 10))
        #expect(letters.map(\.reason) == ["one", "attempt 1, the last: two", "rejected"])
    }

    @Test("where a pool keeps all the dead letters it may, the next message waits instead, and none is lost")
    func deadLettersFull() throws {
        var options = TestHub.options()
        options.deadLetters = 1
        options.deadLetterWait = 500
        var hub = try TestHub.withWorker(maxAttempts: 1, options: options)
        try hub.publishSynced([TestMessage(id: "1"), TestMessage(id: "2"), TestMessage(id: "3")])
        let delivered = hub.deliver()
        for one in delivered.prefix(2) { hub.settle(one, .reject) }
        hub.settle(delivered[2], .retry)
        #expect(hub.pool("p").dead.count == 1)
        #expect(hub.deliver().isEmpty)
        hub.advance(500)
        #expect(hub.deliver().count == 2)
        hub.checkInvariants()
    }

    @Test("leaving a pool gives everything back in its old order, with an attempt more; later settlements are refused")
    func leave() throws {
        var hub = try TestHub.withWorker()
        try hub.publishSynced((0..<5).map { TestMessage(id: "\($0)", key: $0 > 2 ? "k" : "") })
        let first = hub.deliver()
        #expect(first.count == 4)
        hub.step(.unsubscribe(1, subscription: 7))
        hub.effects = []
        hub.settle(first[0], .ack)
        hub.step(.unsubscribe(1, subscription: 7))
        #expect(hub.statuses().map(\.reason) == [.unknownSubscription, .unknownSubscription])
        #expect(hub.deliver().isEmpty, "nobody is there")
        hub.checkInvariants()
        hub.step(.subscribe(1, subscription: 7, pool: "p", credit: 100))
        let second = hub.deliver()
        #expect(second.map(\.id) == ["0", "1", "2", "3"])
        #expect(second.map(\.row.attempt) == [2, 2, 2, 2])
        hub.checkInvariants()
    }

    @Test("a delayed key becomes ready also while its pool has no workers")
    func delayedWithoutMembers() throws {
        var hub = try TestHub.withWorker()
        try hub.publishSynced([TestMessage(id: "1", key: "x"), TestMessage(id: "2", key: "x")])
        let delivered = try #require(hub.deliver().first)
        hub.settle(delivered, .retry, delay: 100)
        hub.step(.lost(1))
        hub.advance(200)
        hub.checkInvariants()
        hub.hello(2)
        hub.step(.subscribe(2, subscription: 1, pool: "p", credit: 5))
        #expect(hub.deliver().map(\.id) == ["1"])
    }

    @Test("a shortened visibility time holds for the leases that are out, too")
    func shorterVisibility() throws {
        var hub = try TestHub.withWorker(visibility: 3_600_000)
        try hub.publishSynced([TestMessage(id: "1"), TestMessage(id: "2")])
        #expect(hub.deliver().count == 2)
        try hub.declare(1, "p", visibility: 1_000)
        try hub.publishSynced([TestMessage(id: "3")])
        #expect(hub.deliver().count == 1)
        hub.advance(1_000)
        #expect(hub.deliver().count == 3)
        hub.checkInvariants()
    }
}
