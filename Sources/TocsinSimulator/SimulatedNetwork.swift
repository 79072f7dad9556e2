import TocsinCore
import TocsinEngine
import TocsinWire

/// One connection of a client: messages arrive in order, later or never. A connection that is re-made is another one.
final class Connection {
    let peer: PeerID
    let client: Int
    /// Messages are lost from here on.
    var isSevered = false
    /// The hub's socket knows it: sending says unreachable. Microseconds.
    var noticedAt = UInt64.max
    /// Arrival of the last message on its way, so that none overtakes it.
    var lastToHub: UInt64 = 0
    var lastToClient: UInt64 = 0
    /// Messages to the client that it has not read, those on their way included.
    var unread = 0
    /// Messages that have come to the client's socket.
    var waiting: [[Bytes]] = []

    init(peer: PeerID, client: Int) {
        self.peer = peer
        self.client = client
    }
}

/// What is between the hub and its peers.
final class SimulatedNetwork {
    /// How many unread messages a peer's queue holds.
    var highWater = 1000
    /// Longest way of a message, microseconds.
    var latency: UInt64 = 1000
    var mutation: Mutation?
    var coverage = Coverage()
    /// Schedules a message's arrival at its client.
    var deliver: (_ time: UInt64, Connection, _ parts: [Bytes]) -> Void = { _, _, _ in }
    /// Told of everything the hub receives, sends and forgets, in order.
    unowned let checker: Checker

    private let clock: VirtualClock
    private let trace: Trace
    private var random: SplitMix64
    private var connections: [PeerID: Connection] = [:]
    private var nextPeer: PeerID = 1
    private var arrived: [Received] = []
    private var read = 0

    init(random: SplitMix64, clock: VirtualClock, trace: Trace, checker: Checker) {
        self.random = random
        self.clock = clock
        self.trace = trace
        self.checker = checker
    }

    func connect(_ client: Int) -> Connection {
        let connection = Connection(peer: nextPeer, client: client)
        nextPeer += 1
        connections[connection.peer] = connection
        return connection
    }

    /// The connection breaks: what is on its way is lost; the hub's socket finds out within `notice` microseconds.
    func sever(_ connection: Connection, noticedWithin notice: UInt64) {
        guard !connection.isSevered else { return }
        coverage.connectionsLost += 1
        connection.isSevered = true
        connection.noticedAt = clock.now + random.within(0...notice)
    }

    /// When a message sent now arrives, if `last` is the arrival of the one before it.
    func arrival(after last: UInt64) -> UInt64 { max(last, clock.now + random.within(20...latency)) }

    /// A message has come to the hub's socket.
    func arrive(_ connection: Connection, _ parts: [Bytes]) { arrived.append(Received(peer: connection.peer, parts: parts)) }

    var hasArrived: Bool { read < arrived.count }

    /// The hub's process has ended, and its socket with it.
    func hubEnded() {
        coverage.messagesLost += arrived.count - read
        arrived = []
        read = 0
        for peer in connections.keys.sorted() {
            guard let connection = connections[peer] else { continue }
            connection.isSevered = true
            connection.noticedAt = 0
        }
        connections = [:]
    }

    fileprivate func receive() -> Received? {
        guard read < arrived.count else { return nil }
        let received = arrived[read]
        read += 1
        if read == arrived.count {
            arrived.removeAll(keepingCapacity: true)
            read = 0
        }
        checker.hubReceived(received)
        return received
    }

    fileprivate func send(_ peer: PeerID, _ header: Header, _ body: [Bytes]) -> SendOutcome {
        let outcome = carry(peer, header, body)
        trace.note(
            "hub-sends", peer, UInt64(header.kind.rawValue), header.id, UInt64(header.count),
            "\(header.kind)\(outcome == .sent ? "" : " \(outcome)")\(Self.rows(header, body))")
        checker.hubSends(peer, header, body, outcome)
        return outcome
    }

    /// The rows of a table, for a reader of the trace.
    static func rows(_ header: Header, _ body: [Bytes]) -> String {
        guard let table = body.first?.buffer else { return "" }
        var text = ""
        for row in 0..<Int(header.count) {
            switch header.kind {
            case .deliver:
                let entry = DeliveryEntry(table, at: row)
                text += " \(entry.sequence)#\(entry.attempt)"
            case .settle:
                do {
                    let entry = try SettleEntry(table, at: row)
                    text += " \(entry.sequence):\(entry.outcome)\(entry.delay > 0 ? "+\(entry.delay)" : "")"
                } catch { text += " \(error)" }
            case .tapped: text += " \(table.bigEndian(UInt64.self, at: row * 8))"
            default: break
            }
        }
        return text
    }

    private func carry(_ peer: PeerID, _ header: Header, _ body: [Bytes]) -> SendOutcome {
        guard let connection = connections[peer] else { return .unreachable }
        if connection.noticedAt <= clock.now {
            connections[peer] = nil
            return .unreachable
        }
        guard connection.unread < highWater else {
            coverage.queuesFull += 1
            return .full
        }
        if connection.isSevered {
            coverage.messagesLost += 1
            return .sent
        }
        if mutation == .lostTapped, header.kind == .tapped, random.chance(0.05) { return .sent }
        connection.unread += 1
        connection.lastToClient = arrival(after: connection.lastToClient)
        deliver(connection.lastToClient, connection, [Bytes(header.bytes)] + body)
        return .sent
    }

    fileprivate func release(_ peer: PeerID) { checker.hubForgets(peer) }
}

struct SimulatedLink: Link {
    let network: SimulatedNetwork
    mutating func receive() -> Received? { network.receive() }
    mutating func send(_ peer: PeerID, _ header: Header, _ body: [Bytes]) -> SendOutcome { network.send(peer, header, body) }
    mutating func release(_ peer: PeerID) { network.release(peer) }
}
