import SwiftProtobuf
import TestSupport
import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinProto
import TocsinWire

/// Peers of an engine, in memory: what they send, and what they were sent.
final class TestPeers {
    var incoming: [Received] = []
    /// Peers that do not read.
    var busy: Set<PeerID> = []
    /// Peers that the engine has forgotten.
    var released: Set<PeerID> = []
    var sent: [(peer: PeerID, header: Header, body: [Bytes])] = []

    /// Messages of one kind that a peer got, and forgets them.
    func take(_ kind: Kind, of peer: PeerID) -> [(header: Header, body: [Bytes])] {
        let found = sent.filter { $0.peer == peer && $0.header.kind == kind }.map { ($0.header, $0.body) }
        sent.removeAll { $0.peer == peer && $0.header.kind == kind }
        return found
    }
}

struct TestLink: Link {
    let peers: TestPeers
    mutating func receive() -> Received? { peers.incoming.isEmpty ? nil : peers.incoming.removeFirst() }
    mutating func send(_ peer: PeerID, _ header: Header, _ body: [Bytes]) -> SendOutcome {
        peers.sent.append((peer, header, body))
        return .sent
    }
    mutating func release(_ peer: PeerID) { peers.released.insert(peer) }
    func isBusy(_ peer: PeerID) -> Bool { peers.busy.contains(peer) }
}

final class TestClock: TimeSource {
    var milliseconds: UInt64 = 1_000
    func now() -> Moment { Moment(wall: 1_700_000_000_000 + milliseconds, steady: milliseconds) }
}

/// A hub without threads and sockets on a disk in memory.
struct TestEngine<D: Disk> {
    let peers = TestPeers()
    let clock: TestClock
    let disk: D
    var engine: Engine<D, TestLink, TestClock>
    private var nextID: UInt64 = 1

    init(_ disk: D, _ options: EngineOptions, clock: TestClock = TestClock()) throws {
        self.disk = disk
        self.clock = clock
        engine = try Engine(disk: disk, link: TestLink(peers: peers), clock: clock, options: options, newSeed: 7)
    }

    /// Turns, and does the work of the hub's threads, until nothing is left to do.
    mutating func run() throws {
        var idle = 0
        while idle < 3 {
            clock.milliseconds += 10
            var isBusy = try engine.turn()
            if try work() { isBusy = true }
            idle = isBusy || !peers.incoming.isEmpty ? 0 : idle + 1
        }
    }

    /// The work of the hub's threads; false if there is none.
    @discardableResult mutating func work() throws -> Bool {
        var hasWorked = false
        if let work = engine.takeWork() {
            try work.perform(on: disk)
            try engine.written()
            hasWorked = true
        }
        while let job = engine.takeJob() {
            var failure: DiskError?
            do { try job.perform(on: disk) } catch { failure = error }
            engine.finished(job, failure)
            hasWorked = true
        }
        return hasWorked
    }

    @discardableResult mutating func send(
        _ peer: PeerID, _ kind: Kind, count: Int = 0, _ body: [Bytes], of principal: UInt32 = 0
    ) -> UInt64 {
        nextID += 1
        send(peer, Header(kind, id: nextID, count: count), body, of: principal)
        return nextID
    }

    func send(_ peer: PeerID, _ header: Header, _ body: [Bytes], of principal: UInt32 = 0) {
        peers.incoming.append(Received(peer: peer, principal: principal, parts: [Bytes(header.bytes)] + body))
    }

    mutating func hello(_ peer: PeerID, of principal: UInt32 = 0) throws {
        var hello = Tocsin_V1_Hello()
        hello.name = "peer-\(peer)"
        send(peer, .hello, [try bytes(hello)], of: principal)
    }

    @discardableResult mutating func publish(_ peer: PeerID, _ envelopes: [[UInt8]], of principal: UInt32 = 0) -> UInt64 {
        var body: [UInt8] = []
        for envelope in envelopes { LengthPrefixed.append(envelope, to: &body) }
        return send(peer, .publish, count: envelopes.count, [Bytes(body)], of: principal)
    }

    mutating func declare(_ peer: PeerID, _ name: String, _ filter: String, fromStart: Bool = false) throws {
        var spec = Tocsin_V1_PoolSpec()
        spec.name = name
        spec.filters = [filter]
        spec.fromStart = fromStart
        send(peer, .declare, [try bytes(spec)])
    }

    /// The subscription's id.
    mutating func subscribe(_ peer: PeerID, _ pool: String, credit: UInt32) throws -> UInt64 {
        var spec = Tocsin_V1_Subscribe()
        spec.pool = pool
        spec.credit = credit
        return send(peer, .subscribe, [try bytes(spec)])
    }

    /// `reason`: of each entry.
    mutating func settle(_ peer: PeerID, _ subscription: UInt64, _ entries: [SettleEntry], reason: String? = nil) {
        var writer = ByteWriter()
        for entry in entries {
            let row = writer.extend(by: SettleEntry.size)
            row.initializeMemory(as: UInt8.self, repeating: 0, count: SettleEntry.size)
            row.storeBigEndian(entry.sequence, at: 0)
            row.storeBigEndian(entry.token, at: 8)
            row.storeBigEndian(entry.outcome.rawValue, at: 16)
            row.storeBigEndian(entry.delay, at: 20)
        }
        var body = [writer.finish()]
        if let reason {
            var reasons: [UInt8] = []
            for _ in entries { LengthPrefixed.append(reason.utf8, to: &reasons) }
            body.append(Bytes(reasons))
        }
        send(peer, Header(.settle, id: subscription, count: entries.count), body)
    }

    /// Gives all dead letters of a pool to it again.
    mutating func revive(_ peer: PeerID, _ pool: String) throws {
        var request = Tocsin_V1_RetryDeadLettersRequest()
        request.pool = pool
        try administer(peer, "RetryDeadLetters", request)
    }

    /// A call of the hub's own service.
    mutating func administer(_ peer: PeerID, _ method: String, _ request: some SwiftProtobuf.Message) throws {
        var head = Tocsin_V1_CallHead()
        head.method = "tocsin.v1.BrokerAdmin/\(method)"
        var body: [UInt8] = []
        LengthPrefixed.append(try request.serializedBytes() as [UInt8], to: &body)
        send(peer, .call, count: 1, [try bytes(head), Bytes(body)])
    }

    /// Everything from `sequence` on.
    mutating func tap(_ peer: PeerID, from sequence: UInt64) throws {
        var request = Tocsin_V1_Tap()
        request.filters = [">"]
        request.sequence = sequence
        request.credit = 65_536
        send(peer, .tap, [try bytes(request)])
    }

    /// What a peer was delivered since the last call, by subscription.
    func delivered(_ peer: PeerID) -> [(subscription: UInt64, entry: DeliveryEntry)] {
        peers.take(.deliver, of: peer).flatMap { message in
            (0..<Int(message.header.count)).map { (message.header.id, DeliveryEntry(message.body[0].buffer, at: $0)) }
        }
    }

    private func bytes(_ message: some SwiftProtobuf.Message) throws -> Bytes { Bytes(try message.serializedBytes() as [UInt8]) }
}

/// An envelope as a publisher writes it.
func envelope(id: String, subject: String, severity: WireSeverity = .info, key: String = "", payload: Int = 0) throws -> [UInt8] {
    var envelope = Tocsin_V1_Envelope()
    envelope.id = .init(id.utf8)
    envelope.subject = subject
    envelope.severity = .init(rawValue: Int(severity.rawValue)) ?? .info
    envelope.key = key
    envelope.payload = .init(repeating: 0x2A, count: payload)
    return try envelope.serializedBytes()
}
