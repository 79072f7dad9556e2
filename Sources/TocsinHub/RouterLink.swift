import Synchronization
import TocsinCore
import TocsinEngine
import TocsinTransport
import TocsinWire

/// The ROUTER socket as the engine's link: routing ids become peer ids. Used on the loop's thread.
struct RouterLink: Link {
    private let socket: ZMQSocket
    private var parts: [Bytes] = []
    private var senders: [PeerID: Sender] = [:]
    private var sending: [Bytes] = []

    /// One connection.
    private struct Sender {
        var id: Bytes
        var principal: UInt32
        /// Nil: not TCP.
        var connection: TCPConnection?
        var isWelcome = false
    }
    /// The socket is of no more use.
    private(set) var failure: TransportError?

    /// Told which connections are those of peers with a session. Nil: nobody.
    var watch: ConnectionWatch?

    /// What libzmq has of peers and has not sent yet.
    private var unsent: [PeerID: UnsentBytes] = [:]

    /// Smaller parts are not counted: the socket's high water mark bounds how many there are.
    private static let countedBytes = 4 << 10
    /// With so much unsent a peer is given nothing more that can wait; with so much it is given nothing more.
    private static let busyBytes = 4 << 20
    private static let fullBytes = 64 << 20
    /// Routing ids remembered of peers that have no session; more, and the hub forgets those it may.
    private static let sendersMax = 2 * Limits.peers

    init(_ socket: ZMQSocket) { self.socket = socket }

    mutating func receive() -> Received? {
        do {
            while try socket.receive(into: &parts) {
                guard parts.count >= 2, let (peer, principal) = sender() else { continue }
                return Received(
                    peer: peer, principal: principal, parts: Array(parts.dropFirst()), isOverlong: socket.lastWasOverlong)
            }
        } catch {
            failure = error
        }
        return nil
    }

    /// Who sent the message received last; nil: it is not read. The peer is known by the routing id that libzmq gave it, which
    /// it gives to nobody else; who that is, by the user id that the ZAP handler gave.
    private mutating func sender() -> (PeerID, UInt32)? {
        let id = parts[0]
        guard let principal = socket.senderUser else { return nil }
        guard id.count == 5, id.buffer[0] == 0 else { return refuseName() }
        let peer = PeerID(id.buffer.bigEndian(UInt32.self, at: 1))
        if let known = senders[peer] { return known.principal == principal ? (peer, principal) : refuseName() }
        guard senders.count < Self.sendersMax else { return nil }
        senders[peer] = Sender(id: id, principal: principal, connection: socket.senderConnection)
        return (peer, principal)
    }

    /// What is sent to an id that a peer chose reaches whoever has it then.
    private func refuseName() -> (PeerID, UInt32)? {
        socket.senderConnection?.end()
        return nil
    }

    mutating func send(_ peer: PeerID, _ header: Header, _ body: [Bytes]) -> SendOutcome {
        guard let id = senders[peer]?.id else { return .unreachable }
        guard unsent[peer].map({ $0.count <= Self.fullBytes }) ?? true else { return .full }
        sending.append(id)
        sending.append(Bytes(header.bytes))
        for part in body { sending.append(part.count < Self.countedBytes ? part : counted(part, of: peer)) }
        // Else the last message would count as unsent until the next.
        defer { sending.removeAll(keepingCapacity: true) }
        do {
            switch try socket.send(sending) {
            case .sent:
                if header.kind == .welcome { note(peer, isWelcome: true) }
                return .sent
            case .wouldBlock: return .full
            case .unreachable: return .unreachable
            }
        } catch {
            failure = error
            return .unreachable
        }
    }

    private mutating func note(_ peer: PeerID, isWelcome: Bool) {
        guard let sender = senders[peer], let connection = sender.connection, sender.isWelcome != isWelcome else { return }
        senders[peer]?.isWelcome = isWelcome
        watch?.note(connection, isWelcome: isWelcome)
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
        note(peer, isWelcome: false)
        unsent[peer] = nil
        senders[peer] = nil
    }

    mutating func cut(_ peer: PeerID) { senders[peer]?.connection?.end() }
}

/// Counted up by the loop and down by libzmq's thread.
private final class UnsentBytes: Sendable {
    private let bytes = Atomic<Int>(0)
    var count: Int { bytes.load(ordering: .relaxed) }
    func add(_ more: Int) { bytes.wrappingAdd(more, ordering: .relaxed) }
}
