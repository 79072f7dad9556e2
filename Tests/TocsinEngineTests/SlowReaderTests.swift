import TestSupport
import Testing
import TocsinCore
import TocsinJournal
import TocsinWire

@testable import TocsinEngine

/// Goal: what a peer does not read waits in the journal and not in memory, and nothing of it is lost, doubled or out of order.
@Suite("Slow readers") struct SlowReaderTests {
    private func hub(visibility: UInt64 = 60_000, attempts: UInt32 = 5) throws -> TestEngine<MemoryDisk> {
        var options = EngineOptions()
        options.journal.segmentBytes = 64 << 10
        options.pools = [try PoolDefinition(name: "work", filters: ["a.>"], visibility: visibility, maxAttempts: attempts)]
        var hub = try TestEngine(MemoryDisk(), options)
        for peer in UInt64(1)...3 { try hub.hello(peer) }
        try hub.run()
        return hub
    }

    private func publish(_ hub: inout TestEngine<MemoryDisk>, _ range: ClosedRange<Int>) throws {
        for number in range { hub.publish(1, [try envelope(id: "m\(number)", subject: "a.b")]) }
        try hub.run()
    }

    @Test("a worker that does not read is sent nothing; when it reads, everything in order, and what came meanwhile after it")
    func worker() throws {
        var hub = try hub()
        _ = try hub.subscribe(2, "work", credit: 100)
        hub.peers.busy = [2]
        try publish(&hub, 1...5)
        #expect(hub.engine.untilDue <= 2, "nobody tells the hub when the peer has read")
        try publish(&hub, 6...9)
        #expect(hub.delivered(2).isEmpty)
        #expect(hub.engine.core.inFlight == 9, "they are the worker's all the same")
        hub.peers.busy = []
        try publish(&hub, 10...12)
        #expect(hub.delivered(2).map(\.entry.sequence) == Array(1...12))
        #expect(hub.engine.untilDue > 2)
    }

    @Test("what was given to another meanwhile is not sent to the one that did not read")
    func expired() throws {
        var hub = try hub(visibility: 1000)
        _ = try hub.subscribe(2, "work", credit: 2)
        hub.peers.busy = [2]
        try publish(&hub, 1...4)
        hub.clock.milliseconds += 1100
        let other = try hub.subscribe(3, "work", credit: 4)
        hub.send(2, .heartbeat, [])
        try hub.run()
        let given = hub.delivered(3)
        #expect(given.count >= 2)
        hub.settle(3, other, given.map { SettleEntry(sequence: $0.entry.sequence, token: $0.entry.token, outcome: .ack) })
        try hub.run()
        let acked = Set(given.map(\.entry.sequence))
        hub.peers.busy = []
        try hub.run()
        let late = hub.delivered(2)
        #expect(late.allSatisfy { !acked.contains($0.entry.sequence) })
        #expect(acked.count + late.count + hub.delivered(3).count == 4)
    }

    @Test("a worker that leaves without having read leaves nothing behind")
    func left() throws {
        var hub = try hub()
        _ = try hub.subscribe(2, "work", credit: 100)
        hub.peers.busy = [2]
        try publish(&hub, 1...5)
        hub.send(2, .goodbye, [])
        hub.peers.busy = []
        _ = try hub.subscribe(3, "work", credit: 100)
        try hub.run()
        #expect(hub.delivered(2).isEmpty)
        #expect(hub.delivered(3).map(\.entry.sequence) == Array(1...5))
    }

    @Test("a tap that does not read is sent nothing, and goes on where it was")
    func tap() throws {
        var hub = try hub()
        try hub.tap(3, from: 1)
        try publish(&hub, 1...2)
        hub.peers.busy = [3]
        try publish(&hub, 3...7)
        #expect(hub.peers.take(.tapped, of: 3).reduce(0) { $0 + Int($1.header.count) } == 2)
        #expect(hub.engine.untilDue <= 2)
        hub.peers.busy = []
        try hub.run()
        let table = hub.peers.take(.tapped, of: 3).flatMap { message in
            (0..<Int(message.header.count)).map { message.body[0].buffer.bigEndian(UInt64.self, at: $0 * 8) }
        }
        #expect(table == Array(3...7))
    }

    @Test("of a peer without a session nothing is remembered once it has its answer")
    func stranger() throws {
        var hub = try hub()
        hub.send(9, .heartbeat, [])
        hub.peers.incoming.append(Received(peer: 10, parts: [Bytes([1, 2, 3])]))
        try hub.run()
        #expect(hub.peers.released == [9, 10])
        #expect(hub.peers.take(.status, of: 9).count == 1 && hub.peers.take(.status, of: 10).count == 1)
    }

    @Test("what a worker that never reads is given again and again is remembered only as often as it is out")
    func again() throws {
        var hub = try hub(visibility: 100, attempts: 255)
        _ = try hub.subscribe(2, "work", credit: 1000)
        hub.peers.busy = [2]
        hub.publish(1, try (1...1000).map { try envelope(id: "m\($0)", subject: "a.b") })
        try hub.run()
        for _ in 1...30 {
            hub.clock.milliseconds += 100
            hub.send(2, .heartbeat, [])
            try hub.run()
        }
        #expect(hub.engine.core.inFlight == 1000)
        #expect(hub.engine.parked.reduce(0) { $0 + $1.rows.count } <= 8192)
        hub.peers.busy = []
        try hub.run()
        #expect(Set(hub.delivered(2).map(\.entry.sequence)) == Set(1...1000))
    }
}
