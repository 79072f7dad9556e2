import TestSupport
import Testing
import TocsinAccess
import TocsinCore
import TocsinJournal
import TocsinProto
import TocsinWire

@testable import TocsinEngine

/// Goal: a key that publishes more than it may is refused with a status that says when it may again, nothing of it is stored, and
/// others are served.
@Suite("Limits of keys", .timeLimit(.minutes(1))) struct KeyLimitTests {
    private func hub(_ change: (inout KeyLimitTable) -> Void) throws -> TestEngine<MemoryDisk> {
        var options = CompactionTests.options
        options.pools = [try PoolDefinition(name: "work", filters: [">"], maxAttempts: 100)]
        change(&options.keyLimits)
        var hub = try TestEngine(MemoryDisk(), options)
        try hub.engine.admit([
            Principal.local: Principal(number: Principal.local, name: "local", permissions: .everything),
            7: Principal(number: 7, name: "noisy", permissions: .everything, role: .sensor),
            8: Principal(number: 8, name: "quiet", permissions: .everything, role: .operator),
        ])
        for peer in [1, 7, 8] as [PeerID] { try hub.hello(peer, of: UInt32(peer)) }
        try hub.run()
        return hub
    }

    /// The statuses of so many messages published by `peer`, one batch.
    private func publish(_ hub: inout TestEngine<MemoryDisk>, _ peer: PeerID, _ count: Int) throws -> Tocsin_V1_Status? {
        let first = hub.engine.core.durableSequence
        let envelopes = try (0..<count).map { try envelope(id: "\(first)-\($0)", subject: "a.b", payload: 300) }
        hub.publish(peer, envelopes, of: UInt32(peer))
        // Without time in between.
        while try hub.engine.turn() || hub.work() {}
        let refusal = hub.peers.take(.status, of: peer).first
        let accepted = hub.peers.take(.accepted, of: peer).count
        #expect(accepted == (refusal == nil ? 1 : 0))
        #expect(hub.engine.core.durableSequence == first + UInt64(refusal == nil ? count : 0))
        return try refusal.map { try Tocsin_V1_Status(serializedBytes: $0.body[0].array) }
    }

    @Test("messages a second: a burst of a second, then as told, and others go on")
    func rate() throws {
        var hub = try hub { $0.roles[.sensor, default: KeyLimits()].messagesPerSecond = 10 }
        #expect(try publish(&hub, 7, 10) == nil)
        let refusal = try #require(try publish(&hub, 7, 1))
        #expect(refusal.reason == "RATE_LIMITED" && refusal.code == 8 && (1...100).contains(refusal.retryAfterMs))
        for peer in [1, 8] as [PeerID] { for _ in 0..<5 { #expect(try publish(&hub, peer, 10) == nil) } }
        hub.clock.milliseconds += UInt64(refusal.retryAfterMs)
        // One is there; the batch is taken whole, and is waited for.
        #expect(try publish(&hub, 7, 6) == nil)
        let later = try #require(try publish(&hub, 7, 1))
        #expect((500...700).contains(later.retryAfterMs))
        #expect(hub.engine.refused[.rateLimited] == 2)
    }

    @Test("bytes a second, for one key by its name")
    func bytes() throws {
        var hub = try hub { $0.keys["noisy", default: KeyLimits()].bytesPerSecond = 1000 }
        #expect(try publish(&hub, 7, 5) == nil)
        #expect(try publish(&hub, 7, 1)?.reason == "RATE_LIMITED")
        #expect(try publish(&hub, 8, 5) == nil)
        hub.clock.milliseconds += 2000
        #expect(try publish(&hub, 7, 1) == nil)
    }

    @Test("bytes a day: within no 24 hours more, and told when there is room again")
    func day() throws {
        var hub = try hub { $0.all.bytesPerDay = 1600 }
        let hour: UInt64 = 3_600_000
        #expect(try publish(&hub, 7, 3) == nil)
        hub.clock.milliseconds += 5 * hour
        try hub.hello(7, of: 7)
        #expect(try publish(&hub, 7, 1) == nil)
        let refusal = try #require(try publish(&hub, 7, 2))
        #expect(refusal.reason == "QUOTA_EXCEEDED" && refusal.code == 8)
        #expect(refusal.retryAfterMs > UInt32(18 * hour) && refusal.retryAfterMs <= UInt32(25 * hour))
        hub.clock.milliseconds += UInt64(refusal.retryAfterMs)
        try hub.hello(7, of: 7)
        #expect(try publish(&hub, 7, 2) == nil)
        #expect(try publish(&hub, 7, 20)?.reason == "TOO_LARGE")
        try hub.hello(1, of: Principal.local)
        for _ in 0..<10 { #expect(try publish(&hub, 1, 3) == nil, "the hub's own user has none") }
    }

    @Test("sessions of one key are bounded, and another's are not")
    func peers() throws {
        var hub = try hub { $0.roles[.sensor, default: KeyLimits()].peers = 3 }
        for peer in 100..<102 as Range<PeerID> { try hub.hello(peer, of: 7) }
        try hub.hello(102, of: 7)
        try hub.hello(103, of: 8)
        try hub.run()
        #expect(hub.peers.take(.welcome, of: 101).count == 1)
        let refusal = try #require(hub.peers.take(.status, of: 102).first)
        #expect(refusal.header.reason == Reason.tooMany.rawValue)
        #expect(hub.peers.take(.welcome, of: 103).count == 1)
        // The same peer again is no other.
        try hub.hello(101, of: 7)
        try hub.run()
        #expect(hub.peers.take(.welcome, of: 101).count == 1)
    }
}
