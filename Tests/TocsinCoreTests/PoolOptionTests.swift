import Testing
import TocsinWire

@testable import TocsinCore

@Suite("Backoff, exclusive pools, the history of failures, messages that are taken back")
struct PoolOptionTests {
    @Test("a failed attempt waits, twice as long each time, while other keys go on")
    func backoff() throws {
        var hub = try TestHub.withWorker(maxAttempts: 20, backoff: 10)
        try hub.publishSynced([TestMessage(id: "1", key: "x"), TestMessage(id: "2", key: "x"), TestMessage(id: "3", key: "y")])
        var first = try #require(hub.deliver().first { $0.id == "1" })
        for wait in [10, 20, 40, 80, 160, 320, 640, 640] as [UInt64] {
            hub.settle(first, .retry)
            hub.advance(wait - 1)
            hub.step(.heartbeat(1, id: 0))
            #expect(hub.deliver().isEmpty, "\(wait)")
            hub.advance(1)
            first = try #require(hub.deliver().first)
            #expect(first.id == "1")
        }
        hub.checkInvariants()
    }

    @Test("a delay that the worker names goes before the pool's")
    func ownDelay() throws {
        var hub = try TestHub.withWorker(backoff: 10_000)
        try hub.publishSynced([TestMessage(id: "1")])
        hub.settle(try #require(hub.deliver().first), .retry, delay: 20)
        hub.advance(20)
        #expect(hub.deliver().count == 1)
    }

    @Test("an exclusive pool gives to the worker that joined first; when it goes, the next takes over what was left")
    func exclusive() throws {
        var hub = try TestHub.withWorker(credit: 2, exclusive: true)
        hub.hello(2)
        hub.step(.subscribe(2, subscription: 9, pool: "p", credit: 100))
        try hub.publishSynced((1...4).map { TestMessage(id: "\($0)") })
        let held = hub.deliver()
        #expect(held.map(\.peer) == [1, 1])
        #expect(hub.deliver().isEmpty, "the standby gets nothing though it has credit")
        hub.settle(held[0], .ack)
        let givenhub = hub.deliver().map(\.peer)
        #expect(givenhub == [1])
        hub.step(.lost(1))
        let taken = hub.deliver()
        #expect(taken.map(\.peer) == [2, 2, 2])
        #expect(taken.map(\.id) == ["2", "3", "4"])
        hub.checkInvariants()
    }

    @Test("a dead letter tells each attempt, also after a restart and when it was revived")
    func history() throws {
        var hub = try TestHub.withWorker(visibility: 1_000, maxAttempts: 3)
        try hub.publishSynced([TestMessage(id: "1")])
        hub.settle(try #require(hub.deliver().first), .retry, reason: "the database is away")
        _ = hub.deliver()
        hub.advance(1_000)
        hub.step(.heartbeat(1, id: 0))
        hub.settle(try #require(hub.deliver().first), .reject, reason: "not JSON")
        let expected = ["1: the database is away", "2: not settled within 1000 ms"]
        func told(_ hub: TestHub) -> [String] { hub.core.failures(pool: "p", 1).map { "\($0.attempt): \($0.reason)" } }
        #expect(told(hub) == expected)
        #expect(hub.pool("p").dead[1]?.reason == "not JSON")
        try hub.sync()
        var again = try TestHub(replaying: hub.journal, options: TestHub.options(), epoch: 2, now: hub.now)
        #expect(told(again) == expected)
        #expect(again.core.failures(pool: "p", 1) == hub.core.failures(pool: "p", 1))
        let revived = again.core.retryDeadLetters(pool: "p", [1], at: again.now)
        #expect(revived == 1)
        again.hello(1)
        again.step(.subscribe(1, subscription: 7, pool: "p", credit: 1))
        again.settle(try #require(again.deliver().first), .retry, reason: "again")
        #expect(told(again) == expected + ["1: again"])
        again.settle(try #require(again.deliver().first), .ack)
        #expect(told(again) == [], "what is done with needs no history")
    }

    @Test("the history is bounded: eight attempts of a message, 256 bytes of a reason")
    func bounds() throws {
        var hub = try TestHub.withWorker(maxAttempts: 255)
        try hub.publishSynced([TestMessage(id: "1")])
        for _ in 1...20 { hub.settle(try #require(hub.deliver().first), .retry, reason: String(repeating: "é", count: 400)) }
        let history = hub.core.failures(pool: "p", 1)
        #expect(history.map(\.attempt) == Array(13...20))
        #expect(history.allSatisfy { $0.reason == String(repeating: "é", count: 128) })
    }

    @Test("a message for later is taken back from every pool, once, and stays so after a restart")
    func cancel() throws {
        var hub = try TestHub.withWorker()
        try hub.declare(1, "q")
        let due = hub.now.wall + 5_000
        try hub.publishSynced([TestMessage(id: "later", notBefore: due), TestMessage(id: "other", notBefore: due)])
        #expect(hub.pool("p").delayed == 2)
        hub.expectCancel("later", true)
        hub.expectCancel("later", false)
        hub.expectCancel("never heard of", false)
        for name in ["p", "q"] {
            #expect(hub.pool(name).delayed == 1 && hub.counters(name).cancelled == 1)
        }
        hub.checkInvariants()
        try hub.sync()
        var again = try TestHub(replaying: hub.journal, options: TestHub.options(), epoch: 2, now: hub.now)
        #expect(again.pool("p").delayed == 1)
        again.expectCancel("later", false)
        again.hello(1)
        again.step(.subscribe(1, subscription: 7, pool: "p", credit: 10))
        again.advance(5_000)
        let givenagain = again.deliver().map(\.id)
        #expect(givenagain == ["other"])
        again.expectCancel("other", false, "it is due")
        again.checkInvariants()
        hub.advance(5_000)
        let givenhub = hub.deliver().map(\.id)
        #expect(givenhub == ["other"])
        hub.checkInvariants()
    }

    @Test("after a restart a message for later can still be taken back")
    func cancelLater() throws {
        var hub = try TestHub.withWorker()
        try hub.publishSynced([TestMessage(id: "later", notBefore: hub.now.wall + 5_000)])
        var again = try TestHub(replaying: hub.journal, options: TestHub.options(), epoch: 2, now: hub.now)
        again.expectCancel("later", true)
        #expect(again.pool("p").delayed == 0)
        again.checkInvariants()
    }

    @Test("of two messages for later with one id the later is taken back, also after a restart")
    func cancelTwins() throws {
        var options = TestHub.options()
        options.dedupWindow = 1000
        var hub = try TestHub.withWorker(options: options)
        let batch = (0..<10).map { TestMessage(id: "\($0)", notBefore: hub.now.wall + 9_000) }
        try hub.publishSynced(batch)
        hub.advance(2000)
        try hub.publishSynced([TestMessage(id: "between")])
        hub.advance(2000)
        try hub.publishSynced(batch)
        #expect(hub.core.lastSequence == 21, "the ids were forgotten")
        // A hash table would give them in another order in each.
        for epoch in UInt64(2)..<6 {
            var again = try TestHub(replaying: hub.journal, options: options, epoch: epoch, now: hub.now)
            for message in batch { again.expectCancel(message.id, true) }
            again.hello(1)
            again.step(.subscribe(1, subscription: 7, pool: "p", credit: 100))
            again.advance(5_000)
            let given = again.deliver().map(\.row.sequence).sorted()
            #expect(given == Array(1...11))
        }
    }

    @Test("a pool that has yet to come to a message for later does not get it when it was taken back")
    func cancelAhead() throws {
        var hub = try TestHub.withWorker()
        try hub.publishSynced([TestMessage(id: "0", subject: "unrouted.x")])
        try hub.publishSynced([TestMessage(id: "later", subject: "unrouted.x", notBefore: hub.now.wall + 5_000)])
        hub.step(.declare(1, request: 5, try PoolDefinition(name: "late", filters: ["unrouted.>"], fromStart: true)))
        hub.flush()
        try hub.publish(1, [TestMessage(id: "latest", subject: "unrouted.x", notBefore: hub.now.wall + 5_000)])
        hub.step(.durable(hub.lastOrdinal))
        hub.expectCancel("latest", true)
        try hub.sync()
        #expect(hub.pool("late").delayed == 1, "the first one was stored when nobody was there to be taken back from")
        hub.checkInvariants()
        let again = try TestHub(replaying: hub.journal, options: TestHub.options(), epoch: 2, now: hub.now)
        #expect(again.counters("late").cancelled == 1)
    }

    @Test("a message that is due is not taken back from a pool that has yet to come to it")
    func cancelDueAhead() throws {
        var hub = try TestHub.withWorker()
        try hub.publishSynced([TestMessage(id: "0", subject: "unrouted.x")])
        hub.step(.declare(1, request: 5, try PoolDefinition(name: "late", filters: ["unrouted.>"], fromStart: true)))
        hub.flush()
        try hub.publish(1, [TestMessage(id: "due", subject: "unrouted.x", notBefore: hub.now.wall + 5_000)])
        hub.step(.durable(hub.lastOrdinal))
        hub.now.wall += 5_000
        hub.expectCancel("due", false)
        try hub.sync()
        #expect(hub.counters("late").cancelled == 0)
        #expect(hub.pool("late").waiting == 2 && hub.pool("late").delayed == 0)
        hub.checkInvariants()
    }

    @Test("a dead letter that is discarded is gone for good and holds nothing back")
    func discard() throws {
        var hub = try TestHub.withWorker(maxAttempts: 1)
        try hub.publishSynced([TestMessage(id: "1"), TestMessage(id: "2")])
        for delivered in hub.deliver() { hub.settle(delivered, .reject) }
        #expect(hub.core.floor(from: 0) == 1)
        let discarded = hub.core.discardDeadLetters(pool: "p", [1, 77])
        let nowhere = hub.core.discardDeadLetters(pool: "none", [1])
        #expect(discarded == 1 && nowhere == nil)
        #expect(hub.core.floor(from: 0) == 2)
        hub.checkInvariants()
        try hub.sync()
        let again = try TestHub(replaying: hub.journal, options: TestHub.options(), epoch: 2, now: hub.now)
        #expect(Array(again.pool("p").dead.keys) == [2] && again.counters("p").discarded == 1)
        again.checkInvariants()
    }
}
