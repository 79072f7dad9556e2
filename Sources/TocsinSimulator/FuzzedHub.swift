import SwiftProtobuf
import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinProto
import TocsinWire

/// The hub's side of connections that nobody is at the other end of: what it sends is kept, and answered by whoever drives it.
final class FuzzedPeers {
    var incoming: [Received] = []
    private var next = 0
    /// What the hub sent, by peer, since somebody looked.
    var sent: [PeerID: [(header: Header, body: [Bytes])]] = [:]
    /// How sending to a peer ends, where it is not well.
    var outcomes: [PeerID: SendOutcome] = [:]

    func receive() -> Received? {
        guard next < incoming.count else { return nil }
        defer { next += 1 }
        return incoming[next]
    }
    var isIdle: Bool { next == incoming.count }
}

struct FuzzedLink: Link {
    let peers: FuzzedPeers
    mutating func receive() -> Received? { peers.receive() }
    mutating func send(_ peer: PeerID, _ header: Header, _ body: [Bytes]) -> SendOutcome {
        let outcome = peers.outcomes[peer] ?? .sent
        if outcome == .sent { peers.sent[peer, default: []].append((header, body)) }
        return outcome
    }
    mutating func release(_ peer: PeerID) {}
}

/// A hub without threads, sockets and faults, with one honest peer that publishes, works and taps.
struct FuzzedHub {
    static let honest: PeerID = 1
    let disk: SimulatedDisk
    let peers = FuzzedPeers()
    let clock: VirtualClock
    var engine: Engine<SimulatedDisk, FuzzedLink, SimulatedTime>
    private var nextID: UInt64 = 1
    private var subscription: UInt64 = 0
    private var tap: UInt64 = 0
    /// Ids of messages that the honest peer was answered for, was given as a worker, and saw in its tap.
    private var accepted: Set<UInt64> = []
    private var delivered: Set<[UInt8]> = []
    private var tapped: Set<[UInt8]> = []
    private var refusal: (id: UInt64, text: String)?

    private static func options(_ segmentBytes: Int) -> EngineOptions {
        var options = EngineOptions()
        options.journal.segmentBytes = segmentBytes
        options.journal.retainBytes = segmentBytes
        // So little that most of what is read is read from the disk.
        options.journal.recentBytes = 1 << 10
        options.journal.blockCacheBytes = 1 << 10
        options.journal.blockBytes = 1 << 10
        return options
    }

    static func emptyDisk() -> SimulatedDisk {
        SimulatedDisk(random: SplitMix64(seed: 1), trace: Trace(clock: VirtualClock(), sink: nil))
    }

    init(_ disk: SimulatedDisk, clock: VirtualClock = VirtualClock(), segmentBytes: Int = 8 << 10) throws {
        self.disk = disk
        self.clock = clock
        engine = try Engine(
            disk: disk, link: FuzzedLink(peers: peers), clock: SimulatedTime(clock: clock), options: Self.options(segmentBytes),
            newSeed: 7)
    }

    /// One turn and what the hub's threads do after it. `writes`: also what must be written.
    mutating func turn(writes: Bool = true, milliseconds: UInt64 = 1) throws {
        clock.now += milliseconds * 1000
        _ = try engine.turn()
        if writes, let work = engine.takeWork() {
            try work.perform(on: disk)
            try engine.written()
        }
        while let job = engine.takeJob() {
            var failure: DiskError?
            do { try job.perform(on: disk) } catch { failure = error }
            engine.finished(job, failure)
        }
        try attend()
    }

    // MARK: The honest peer

    @discardableResult mutating func send(
        _ kind: Kind, of peer: PeerID = honest, id: UInt64? = nil, count: Int = 0, _ body: [Bytes] = []
    ) -> UInt64 {
        nextID += 1
        let id = id ?? nextID
        peers.incoming.append(Received(peer: peer, parts: [Bytes(Header(kind, id: id, count: count).bytes)] + body))
        return id
    }

    mutating func begin() throws {
        send(.hello, [try Self.encode(Tocsin_V1_Hello())])
        var pool = Tocsin_V1_PoolSpec()
        pool.name = "honest"
        pool.filters = ["honest.>"]
        send(.declare, [try Self.encode(pool)])
        for _ in 0..<4 { try turn() }
        var join = Tocsin_V1_Subscribe()
        join.pool = "honest"
        join.credit = 1000
        subscription = send(.subscribe, [try Self.encode(join)])
        var request = Tocsin_V1_Tap()
        request.filters = ["honest.>"]
        request.credit = 10_000
        tap = send(.tap, [try Self.encode(request)])
        try turn()
    }

    /// Time passes; the honest peer says that it is there.
    mutating func wait(milliseconds: Int) throws {
        var left = milliseconds
        while left > 0 {
            send(.heartbeat)
            try turn(milliseconds: UInt64(min(left, 1000)))
            left -= 1000
        }
    }

    /// Publishes a message of some size, so that a segment is soon full.
    mutating func publishMuch() throws {
        nextID += 1
        send(.publish, count: 1, [try Self.publication(Array("much-\(nextID)".utf8), payload: 1000)])
    }

    private static func publication(_ id: [UInt8], payload: Int = 0) throws -> Bytes {
        var envelope = Tocsin_V1_Envelope()
        envelope.id = .init(id)
        envelope.subject = "honest.event"
        envelope.severity = .critical
        envelope.payload = .init(repeating: 0x2A, count: payload)
        var body: [UInt8] = []
        LengthPrefixed.append(try envelope.serializedBytes() as [UInt8], to: &body)
        return Bytes(body)
    }

    /// Publishes a message, and it comes back as an honest peer may expect. With `worker`: also to it as a worker.
    mutating func serve(_ id: [UInt8], worker: Bool) throws {
        let request = send(.publish, count: 1, [try Self.publication(id)])
        for step in 1...3000 {
            // The honest peer waits no longer than it takes to be thought lost.
            if step % 100 == 0 { send(.heartbeat) }
            try turn(milliseconds: step < 100 ? 1 : 10)
            if let refusal, refusal.id == request {
                throw Violation(rule: "served", description: "an honest publish was refused: \(refusal.text)")
            }
            if accepted.contains(request), tapped.contains(id), !worker || delivered.contains(id) { return }
        }
        throw Violation(
            rule: "served",
            description: "an honest message was \(accepted.contains(request) ? "" : "not ")accepted, "
                + "\(tapped.contains(id) ? "" : "not ")seen by a tap, \(delivered.contains(id) ? "" : "not ")given to a worker")
    }

    /// What the honest peer does with what it was sent.
    private mutating func attend() throws {
        guard let messages = peers.sent.removeValue(forKey: Self.honest) else { return }
        for (header, body) in messages {
            switch header.kind {
            case .accepted: accepted.insert(header.id)
            case .status:
                guard header.reason != 0 else { continue }
                let status = try Tocsin_V1_Status(serializedBytes: body[0].array)
                refusal = (header.id, "\(status.reason): \(status.message)")
            case .tapped:
                for id in try Self.ids(body[1]) { tapped.insert(id) }
                send(.credit, id: tap, count: Int(header.count))
            case .deliver:
                for id in try Self.ids(body[1]) { delivered.insert(id) }
                var rows = ByteWriter()
                for row in 0..<Int(header.count) {
                    let entry = DeliveryEntry(body[0].buffer, at: row)
                    SettleEntry(sequence: entry.sequence, token: entry.token, outcome: .ack)
                        .write(to: rows.extend(by: SettleEntry.size))
                }
                send(.settle, id: subscription, count: Int(header.count), [rows.finish()])
            case .hello, .welcome, .heartbeat, .goodbye, .publish, .declare, .subscribe, .credit, .settle, .unsubscribe, .tap,
                .gap, .serve, .call, .reply, .cancel, .message, .headers, .window:
                break
            }
        }
    }

    private static func ids(_ body: Bytes) throws -> [[UInt8]] {
        var ids: [[UInt8]] = []
        _ = try LengthPrefixed.forEach(in: body.buffer) { (_, _, message) throws(WireError) in
            ids.append(Array(try EnvelopeView(scanning: message).id))
        }
        return ids
    }

    static func encode(_ message: some SwiftProtobuf.Message) throws -> Bytes {
        Bytes(try message.serializedBytes() as [UInt8])
    }

    /// An id that nobody else can have: of all bytes of the input.
    static func id(for input: UnsafeRawBufferPointer) -> [UInt8] {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in input { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 ^ (hash >> 29) }
        return Array("honest-\(hash)".utf8)
    }
}
