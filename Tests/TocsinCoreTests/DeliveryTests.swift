import Testing
import TocsinWire

@testable import TocsinCore

@Suite("Order and credit of deliveries")
struct DeliveryTests {
    @Test("messages of one key go in stream order, each after the one before is settled; other keys go meanwhile")
    func keyOrder() throws {
        var hub = try TestHub.withWorker()
        try hub.publishSynced([
            TestMessage(id: "1", key: "x"), TestMessage(id: "2", key: "x"), TestMessage(id: "3", key: "y"),
            TestMessage(id: "4"), TestMessage(id: "5", key: "x"),
        ])
        let first = hub.deliver()
        #expect(first.map(\.id) == ["1", "3", "4"])
        #expect(hub.deliver().isEmpty)
        hub.settle(first[1], .ack)
        #expect(hub.deliver().isEmpty, "another key's settlement frees nothing")
        hub.settle(first[0], .ack)
        let second = hub.deliver()
        #expect(second.map(\.id) == ["2"])
        hub.settle(second[0], .reject)
        #expect(hub.deliver().map(\.id) == ["5"])
        hub.checkInvariants()
    }

    @Test("a retried message keeps its key waiting until it is due, and then goes first")
    func retryHoldsKey() throws {
        var hub = try TestHub.withWorker()
        try hub.publishSynced([TestMessage(id: "1", key: "x"), TestMessage(id: "2", key: "x"), TestMessage(id: "3")])
        let first = hub.deliver()
        hub.settle(first[0], .retry, delay: 500)
        hub.settle(first[1], .retry, delay: 200)
        #expect(hub.deliver().isEmpty)
        #expect(hub.pool("p").delayed == 2)
        hub.advance(250)
        #expect(hub.deliver().map(\.id) == ["3"])
        hub.advance(249)
        #expect(hub.deliver().isEmpty)
        hub.advance(1)
        let again = hub.deliver()
        #expect(again.map(\.id) == ["1"])
        #expect(again.map(\.row.attempt) == [2])
        hub.settle(again[0], .ack)
        #expect(hub.deliver().map(\.id) == ["2"])
        hub.checkInvariants()
    }

    @Test("the highest severity goes first, in stream order within one")
    func severity() throws {
        var hub = try TestHub.withWorker()
        var batch: [TestMessage] = []
        for (index, severity) in [WireSeverity.info, .critical, .minor, .major, .critical, .info].enumerated() {
            batch.append(TestMessage(id: "\(index)", severity: severity))
        }
        try hub.publishSynced(batch)
        #expect(hub.deliver().map(\.id) == ["1", "4", "3", "2", "0", "5"])
    }

    @Test("a key moves at the highest severity that waits in it, and falls back when that is done")
    func laneSeverity() throws {
        var hub = try TestHub.withWorker(credit: 1)
        try hub.publishSynced([
            TestMessage(id: "x1", severity: .info, key: "x"), TestMessage(id: "m", severity: .major),
            TestMessage(id: "y1", severity: .minor, key: "y"),
            TestMessage(id: "x2", severity: .critical, key: "x"), TestMessage(id: "x3", severity: .info, key: "x"),
        ])
        var order: [String] = []
        while let next = hub.deliver().first {
            order.append(next.id)
            hub.settle(next, .ack)
        }
        #expect(order == ["x1", "x2", "m", "y1", "x3"])
        hub.checkInvariants()
    }

    @Test("every eighth turn goes to the message that has waited longest beyond the aging time")
    func aging() throws {
        var options = TestHub.options()
        options.aging = 10_000
        options.heartbeat = 60_000
        var hub = try TestHub.withWorker(credit: 1, options: options)
        try hub.publishSynced([TestMessage(id: "old", severity: .info)])
        hub.advance(2_000)
        try hub.publishSynced([TestMessage(id: "less", severity: .minor)])
        hub.advance(9_000)
        try hub.publishSynced((0..<40).map { TestMessage(id: "c\($0)", severity: .critical) })
        var order: [String] = []
        for _ in 0..<17 {
            let next = try #require(hub.deliver().first)
            order.append(next.id)
            hub.settle(next, .ack)
        }
        // "less" has waited 9 s only: its turn does not come while there is worse.
        #expect(order.filter { !$0.hasPrefix("c") } == ["old"])
        let turn = try #require(order.firstIndex(of: "old"))
        #expect(turn < 8)
        hub.advance(1_500)
        for _ in 0..<8 {
            let next = try #require(hub.deliver().first)
            order.append(next.id)
            hub.settle(next, .ack)
        }
        #expect(order.filter { !$0.hasPrefix("c") } == ["old", "less"])
    }

    @Test("the aged turn is the worse message's own when that has waited longer")
    func agingComparesAll() throws {
        var options = TestHub.options()
        options.aging = 1_000
        options.heartbeat = 60_000
        var hub = try TestHub.withWorker(credit: 1, options: options)
        try hub.publishSynced((0..<16).map { TestMessage(id: "c\($0)", severity: .critical) })
        hub.advance(2_000)
        try hub.publishSynced([TestMessage(id: "i", severity: .info)])
        hub.advance(2_000)
        var order: [String] = []
        while let next = hub.deliver().first {
            order.append(next.id)
            hub.settle(next, .ack)
        }
        #expect(order.last == "i")
    }

    @Test("nothing is delivered before it is durable, and nothing before it is due")
    func durableFirst() throws {
        var hub = try TestHub.withWorker()
        try hub.publish(1, [TestMessage(id: "1")])
        #expect(hub.deliver().isEmpty)
        try hub.publish(1, [TestMessage(id: "later", notBefore: hub.now.wall + 5_000), TestMessage(id: "past", notBefore: 1)])
        try hub.sync()
        #expect(hub.deliver().map(\.id) == ["1", "past"])
        #expect(hub.core.untilDue(hub.now, atMost: 60_000) == 5_000)
        hub.advance(4_999)
        #expect(hub.deliver().isEmpty)
        hub.advance(1)
        #expect(hub.deliver().map(\.id) == ["later"])
    }

    @Test("credit is never exceeded, and each settlement gives its own back", .timeLimit(.minutes(1)))
    func credit() throws {
        var hub = try TestHub.withWorker(credit: 3)
        hub.hello(2)
        hub.step(.subscribe(2, subscription: 1, pool: "p", credit: 2))
        try hub.publishSynced((0..<20).map { TestMessage(id: "\($0)") })
        let first = hub.deliver()
        #expect(first.filter { $0.peer == 1 }.count == 3)
        #expect(first.filter { $0.peer == 2 }.count == 2)
        #expect(hub.deliver().isEmpty)
        hub.settle(first[0], .ack)
        #expect(hub.deliver().count == 1)
        hub.step(.credit(1, subscription: 7, 4))
        #expect(hub.deliver().count == 4)
        hub.checkInvariants()
    }

    @Test("credit granted and messages held are together at most the limit")
    func creditLimit() throws {
        var hub = try TestHub.withWorker(credit: UInt32(Limits.credit))
        hub.step(.credit(1, subscription: 7, 1))
        #expect(hub.statuses().map(\.reason) == [.badCredit])
        try hub.publishSynced((0..<100).map { TestMessage(id: "\($0)") })
        #expect(hub.deliver().count == 100)
        hub.effects = []
        hub.step(.credit(1, subscription: 7, 1))
        #expect(hub.statuses().map(\.reason) == [.badCredit], "messages held count, too")
        hub.step(.subscribe(1, subscription: 8, pool: "p", credit: 0))
        hub.step(.credit(1, subscription: 99, 1))
        #expect(hub.statuses().map(\.reason) == [.badCredit, .unknownSubscription])
    }

    @Test("a few messages are shared out among the workers that could take them")
    func shares() throws {
        var hub = try TestHub.withWorker()
        for peer in UInt64(2)...4 {
            hub.hello(peer)
            hub.step(.subscribe(peer, subscription: 1, pool: "p", credit: 100))
        }
        try hub.publishSynced((0..<8).map { TestMessage(id: "\($0)") })
        let delivered = hub.deliver()
        #expect(delivered.count == 8)
        #expect(Set(delivered.map(\.peer)).count == 4)
    }

    @Test("where one round does not suffice, it says so, and no pool has to wait for ever")
    func rounds() throws {
        var hub = try TestHub.withWorker(credit: 1_000)
        try hub.declare(1, "q")
        hub.step(.subscribe(1, subscription: 8, pool: "q", credit: 1_000))
        try hub.publishSynced((0..<100).map { TestMessage(id: "\($0)") })
        var bySubscription: [UInt64: Int] = [:]
        for _ in 0..<4 {
            for delivered in hub.deliver(atMost: 10) { bySubscription[delivered.subscription, default: 0] += 1 }
        }
        #expect(bySubscription == [7: 20, 8: 20])
        #expect(!hub.core.deliver(at: hub.now, atMost: 10, into: &hub.effects))
        #expect(hub.core.deliver(at: hub.now, atMost: 1_000, into: &hub.effects))
        hub.checkInvariants()
    }

    @Test("a key that is lifted and falls back time and again leaves no trail of stale tickets", .timeLimit(.minutes(1)))
    func staleTickets() throws {
        var hub = try TestHub.withWorker(credit: 1)
        // A minor key that is never served keeps the head of its queue while others come and go behind it.
        try hub.publishSynced([TestMessage(id: "head", severity: .info, key: "h")])
        var served = 0
        for round in 0..<3_000 {
            try hub.publishSynced([
                TestMessage(id: "a\(round)", severity: .info, key: "k"),
                TestMessage(id: "b\(round)", severity: .critical, key: "k"),
            ])
            for _ in 0..<2 {
                let next = try #require(hub.deliver().first)
                served += 1
                hub.settle(next, .ack)
            }
        }
        #expect(served == 6_000)
        #expect(hub.pool("p").tickets < 1_000)
        hub.checkInvariants()
    }
}
