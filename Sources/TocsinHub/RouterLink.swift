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
        sending.removeAll(keepingCapacity: true)
        sending.append(id)
        sending.append(Bytes(header.bytes))
        sending.append(contentsOf: body)
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

    mutating func release(_ peer: PeerID) {
        guard let id = names.removeValue(forKey: peer) else { return }
        if peer >= 1 << 40 { named[id.array] = nil }
    }
}
