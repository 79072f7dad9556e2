import SwiftProtobuf
import TestSupport
import Testing
import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinProto
import TocsinWire

/// Goal: whatever a peer sends, the hub remembers little of it, answers with what a message may have, and goes on.
@Suite("Bounds", .timeLimit(.minutes(1))) struct BoundsTests {
    @Test("of a peer's name at most 64 bytes are kept, however many make one character")
    func name() throws {
        var hub = try TestEngine(MemoryDisk(), EngineOptions())
        var hello = Tocsin_V1_Hello()
        hello.name = "a" + String(repeating: "\u{301}", count: 100_000)
        hello.role = hello.name
        hello.software = hello.name
        hub.send(1, .hello, [Bytes(try hello.serializedBytes() as [UInt8])])
        try hub.run()
        let peer = try #require(hub.engine.core.peerSnapshots(at: hub.clock.now()).first?.description)
        #expect(peer.name.utf8.count == 63 && peer.role == peer.name && peer.software == peer.name)
    }

    @Test("a name of a pool that is not there is not sent back whole")
    func pool() throws {
        var hub = try TestEngine(MemoryDisk(), EngineOptions())
        try hub.hello(1)
        _ = try hub.subscribe(1, String(repeating: "x", count: 1 << 20), credit: 1)
        try hub.run()
        let status = try #require(hub.peers.take(.status, of: 1).first)
        #expect(status.header.reason == Reason.unknownPool.rawValue && status.body[0].count < 1024)
    }

    @Test("a list of dead letters is a message of a call, however long their histories are")
    func deadLetters() throws {
        var options = EngineOptions()
        options.journal.segmentBytes = 16 << 20
        options.pools = [try PoolDefinition(name: "work", filters: [">"], maxAttempts: 9)]
        var hub = try TestEngine(MemoryDisk(), options)
        try hub.hello(1)
        let subscription = try hub.subscribe(1, "work", credit: 1000)
        hub.publish(1, try (1...1000).map { try envelope(id: "m\($0)", subject: "a.b", payload: 2000) })
        try hub.run()
        for _ in 1...9 {
            let entries = hub.delivered(1).map {
                SettleEntry(sequence: $0.entry.sequence, token: $0.entry.token, outcome: .retry)
            }
            #expect(entries.count == 1000)
            hub.settle(1, subscription, entries, reason: String(repeating: "r", count: 1024))
            try hub.run()
        }
        #expect(hub.engine.core.deadLetters(pool: "work", atMost: 1000)?.count == 1000)
        var request = Tocsin_V1_ListDeadLettersRequest()
        request.pool = "work"
        request.limit = 1000
        try hub.administer(1, "ListDeadLetters", request)
        try hub.run()
        let reply = try #require(hub.peers.take(.reply, of: 1).first)
        #expect(reply.body[1].count <= Limits.callMessageBytes + LengthPrefixed.prefixSize)
        var listed = 0
        _ = try LengthPrefixed.forEach(in: reply.body[1].buffer, messageBytes: .max) { (_, _, message) throws(WireError) in
            let response = try? Tocsin_V1_ListDeadLettersResponse(serializedBytes: Array(message))
            listed = response?.letters.count ?? 0
        }
        #expect(listed > 100)
    }

    @Test("pools that take much of each segment's head leave less for a batch, which is refused and not tried for ever")
    func checkpoint() throws {
        var options = EngineOptions()
        options.journal.segmentBytes = 8192
        let filters = (0..<8).map { String(repeating: "\($0)", count: 200) }
        options.pools = [try PoolDefinition(name: "wide", filters: filters), try PoolDefinition(name: "work", filters: ["a.>"])]
        var hub = try TestEngine(MemoryDisk(), options)
        try hub.hello(1)
        let large = hub.publish(1, [try envelope(id: "large", subject: "a.b", payload: 6000)])
        let small = hub.publish(1, [try envelope(id: "small", subject: "a.b", payload: 3000)])
        for _ in 0..<100 {
            _ = try hub.engine.turn()
            try hub.work()
        }
        let status = hub.peers.take(.status, of: 1)
        #expect(status.map(\.header.id) == [large] && status.first?.header.reason == Reason.tooLarge.rawValue)
        #expect(hub.peers.take(.accepted, of: 1).map(\.header.id) == [small])
        #expect(hub.engine.journal.bytes <= 3 * 8192)
    }
}
