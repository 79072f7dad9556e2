import Synchronization
import TocsinCore
import TocsinEngine
import TocsinTransport
import TocsinWire

/// The ROUTER socket as the engine's link: routing ids become peer ids. Used on the loop's thread.
struct RouterLink: Link {
    private let socket: ZMQSocket
    private var parts: [Bytes] = []
    /// Peers that chose a routing id of their own, which libzmq's ids (a zero byte and a counter) never equal.
    private var named: [[UInt8]: PeerID] = [:]
    private var names: [PeerID: Bytes] = [:]
    private var nextNamed: PeerID = 1 << 40
    private var sending: [Bytes] = []
    /// The socket is of no more use.
    private(set) var failure: TransportError?

    /// What libzmq has of peers and has not sent yet.
    private var unsent: [PeerID: UnsentBytes] = [:]

    /// Smaller parts are not counted: the socket's high water mark bounds how many there are.
    private static let countedBytes = 4 << 10
    /// With so much unsent a peer is given nothing more that can wait; with so much it is given nothing more.
    private static let busyBytes = 4 << 20
    private static let fullBytes = 64 << 20
    /// Routing ids remembered of peers that have no session; more, and the hub forgets those it may.
    private static let namedMax = 2 * Limits.peers

    init(_ socket: ZMQSocket) { self.socket = socket }

    mutating func receive() -> Received? {
        do {
            while try socket.receive(into: &parts) {
                guard parts.count >= 2, let peer = peer(parts[0]) else { continue }
                return Received(peer: peer, parts: Array(parts.dropFirst()), isOverlong: socket.lastWasOverlong)
            }
        } catch {
            failure = error
        }
        return nil
    }

    private mutating func peer(_ id: Bytes) -> PeerID? {
        if id.count == 5, id.buffer[0] == 0 {
            let peer = PeerID(id.buffer.bigEndian(UInt32.self, at: 1))
            if names[peer] == nil {
                guard names.count < Self.namedMax else { return nil }
                names[peer] = id
            }
            return peer
        }
        let key = id.array
        if let known = named[key] { return known }
        guard names.count < Self.namedMax else { return nil }
        let peer = nextNamed
        nextNamed += 1
        named[key] = peer
        names[peer] = id
        return peer
    }

    mutating func send(_ peer: PeerID, _ header: Header, _ body: [Bytes]) -> SendOutcome {
        guard let id = names[peer] else { return .unreachable }
        guard unsent[peer].map({ $0.count <= Self.fullBytes }) ?? true else { return .full }
        sending.append(id)
        sending.append(Bytes(header.bytes))
        for part in body { sending.append(part.count < Self.countedBytes ? part : counted(part, of: peer)) }
        // Else the last message would count as unsent until the next.
        defer { sending.removeAll(keepingCapacity: true) }
        do {
            switch try socket.send(sending) {
            case .sent: return .sent
            case .wouldBlock: return .full
            case .unreachable: return .unreachable
            }
        } catch {
            failure = error
            return .unreachable
        }
    }

    /// The same bytes, which count as unsent of the peer until libzmq lets go of them.
    private mutating func counted(_ part: Bytes, of peer: PeerID) -> Bytes {
        let count = part.count
        let bytes = unsent[peer] ?? UnsentBytes()
        unsent[peer] = bytes
        bytes.add(count)
        return Bytes(part.buffer) {
            withExtendedLifetime(part) {}
            bytes.add(-count)
        }
    }

    func isBusy(_ peer: PeerID) -> Bool { unsent[peer].map { $0.count >= Self.busyBytes } ?? false }

    mutating func release(_ peer: PeerID) {
        unsent[peer] = nil
        guard let id = names.removeValue(forKey: peer) else { return }
        if peer >= 1 << 40 { named[id.array] = nil }
    }
}

/// Counted up by the loop and down by libzmq's thread.
private final class UnsentBytes: Sendable {
    private let bytes = Atomic<Int>(0)
    var count: Int { bytes.load(ordering: .relaxed) }
    func add(_ more: Int) { bytes.wrappingAdd(more, ordering: .relaxed) }
}
