import CZeroMQ
import Glibc
import TocsinWire

/// What became of a message given to `ZMQSocket.send`.
public enum SendResult: Sendable, Equatable {
    /// libzmq has the whole message. It may still be lost with the connection.
    case sent
    /// The peer's queue is full, or no peer is connected. Nothing was sent; the parts are still the caller's.
    case wouldBlock
    /// Router with `routerMandatory`: no peer with that routing id. Nothing was sent.
    case unreachable
}

/// A ROUTER or DEALER socket. Nothing here blocks.
///
/// Not `Sendable`: one thread uses it for its whole life. It may be made on one thread and handed, once, to another that is
/// started afterwards (libzmq asks for a full fence between the two; starting a thread is one).
public final class ZMQSocket {
    public enum Kind: Sendable { case router, dealer }

    /// Parts of one message kept by `receive`.
    public static let partsMax = 16
    /// Parts up to this size are copied. Larger ones are shared with libzmq: a received part then keeps its connection's
    /// read buffer of 8 KiB alive, which is not worth it for a small one.
    static let copyMax = 1024

    let handle: UnsafeMutableRawPointer
    /// Readable when libzmq's other threads have told the socket something; see `Poller`.
    let descriptor: Int32
    /// Its last word, to a receive or a question, was that there is no message, and there was no call since that could have
    /// taken in the news of one.
    private(set) var isDrained = false
    private let context: Context
    private let kindName: String
    /// Boxed, because libzmq keeps small payloads inside the struct: a pointer from `zmq_msg_data` must not move.
    private let scratch: UnsafeMutablePointer<zmq_msg_t>
    /// The second part of the message received last, which knows who sent it. Router only.
    let sender: UnsafeMutablePointer<zmq_msg_t>
    private let isRouter: Bool

    /// Whether the last message received had more than `partsMax` parts. The others were read and dropped.
    public private(set) var lastWasOverlong = false
    /// How often a receive has found nothing more.
    private(set) var drains: UInt64 = 0
    /// Connections of which it is noted that a message has come; and those of which one has.
    private var watched: Set<Int32> = []
    private(set) var sources: Set<Int32> = []

    /// - Throws: `TransportError` if a limit is reached or an option is refused.
    public init(_ kind: Kind, context: Context, options: SocketOptions = SocketOptions()) throws(TransportError) {
        let type =
            switch kind {
            case .router: ZMQ_ROUTER
            case .dealer: ZMQ_DEALER
            }
        guard let handle = zmq_socket(context.handle, type) else { throw .last("cannot make a \(kind) socket") }
        var descriptor: Int32 = -1
        var size = MemoryLayout<Int32>.size
        guard zmq_getsockopt(handle, ZMQ_FD, &descriptor, &size) == 0 else {
            let error = TransportError.last("cannot read the descriptor of a \(kind) socket")
            zmq_close(handle)
            throw error
        }
        self.handle = handle
        self.descriptor = descriptor
        self.context = context
        kindName = "\(kind)"
        scratch = .allocate(capacity: 1)
        zmq_msg_init(scratch)
        sender = .allocate(capacity: 1)
        zmq_msg_init(sender)
        isRouter = kind == .router
        try options.apply(to: handle, kind: kind)
    }

    deinit {
        zmq_msg_close(scratch)
        scratch.deallocate()
        zmq_msg_close(sender)
        sender.deallocate()
        zmq_close(handle)
    }

    /// - Throws: `TransportError` saying why, for instance that the address is in use.
    public func bind(_ endpoint: String) throws(TransportError) {
        isDrained = false
        guard zmq_bind(handle, endpoint) == 0 else { throw .last("cannot bind \(endpoint)") }
    }

    /// Begins to connect; the connection is made, and made again when it breaks, in the background.
    /// - Throws: `TransportError` if the endpoint cannot be understood.
    public func connect(_ endpoint: String) throws(TransportError) {
        isDrained = false
        guard zmq_connect(handle, endpoint) == 0 else { throw .last("cannot connect to \(endpoint)") }
    }

    /// The endpoint last bound, with the port that the kernel chose.
    public func lastEndpoint() throws(TransportError) -> String {
        var buffer = [UInt8](repeating: 0, count: 512)
        var size = buffer.count
        guard zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, &buffer, &size) == 0 else {
            throw .last("cannot read the endpoint of a \(kindName) socket")
        }
        return String(decoding: buffer.prefix(size).prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Takes one whole message into `parts`, whose old content is dropped and whose storage is reused. A router's first part
    /// is the sender's routing id.
    ///
    /// - Returns: false if there is no message now.
    /// - Throws: `TransportError`; the socket is then of no more use.
    public func receive(into parts: inout [Bytes]) throws(TransportError) -> Bool {
        parts.removeAll(keepingCapacity: true)
        lastWasOverlong = false
        isDrained = false
        while true {
            guard zmq_msg_recv(scratch, handle, ZMQ_DONTWAIT) >= 0 else {
                let code = zmq_errno()
                if code == EINTR { continue }
                // libzmq hands over the parts of a message only once it has them all.
                if code == EAGAIN && parts.isEmpty {
                    isDrained = true
                    drains += 1
                    return false
                }
                throw .last("cannot receive from a \(kindName) socket")
            }
            let more = zmq_msg_more(scratch) != 0
            if !more, !watched.isEmpty { noteSource() }
            // Not the first part, which libzmq makes and does not always give what it knows of the sender.
            if isRouter, parts.count == 1 { zmq_msg_copy(sender, scratch) }
            if parts.count < Self.partsMax {
                parts.append(takeScratch())
            } else {
                lastWasOverlong = true
            }
            if !more { return true }
        }
    }

    /// Notes once of each of these connections that a message has come; what was noted before is kept.
    func noteSources(of descriptors: Set<Int32>) { watched = descriptors }

    /// The connections of which it was noted since they were last taken.
    func takeSources() -> Set<Int32> {
        defer { sources = [] }
        return sources
    }

    private func noteSource() {
        let descriptor = zmq_msg_get(scratch, ZMQ_SRCFD)
        if watched.remove(descriptor) != nil { sources.insert(descriptor) }
    }

    /// What it is ready for now. Never blocks.
    func ready(toSend: Bool) throws(TransportError) -> Poller.Ready {
        var events: Int32 = 0
        var size = MemoryLayout<Int32>.size
        while zmq_getsockopt(handle, ZMQ_EVENTS, &events, &size) != 0 {
            guard zmq_errno() == EINTR else { throw .last("cannot ask a \(kindName) socket for messages") }
        }
        var ready: Poller.Ready = []
        isDrained = events & ZMQ_POLLIN == 0
        if !isDrained { ready.insert(.receive) }
        if toSend, events & ZMQ_POLLOUT != 0 { ready.insert(.send) }
        return ready
    }

    private func takeScratch() -> Bytes {
        let size = zmq_msg_size(scratch)
        guard size > Self.copyMax else {
            return Bytes(copying: UnsafeRawBufferPointer(start: zmq_msg_data(scratch), count: size))
        }
        let box = UnsafeMutablePointer<zmq_msg_t>.allocate(capacity: 1)
        zmq_msg_init(box)
        zmq_msg_move(box, scratch)
        return Bytes(UnsafeRawBufferPointer(start: zmq_msg_data(box), count: size)) {
            zmq_msg_close(box)
            box.deallocate()
        }
    }

    /// Gives one whole message to libzmq, or nothing of it. Large parts are not copied: they are kept alive until sent.
    ///
    /// - Throws: `TransportError` for anything but a full or absent peer.
    public func send(_ parts: [Bytes]) throws(TransportError) -> SendResult {
        isDrained = false
        var left = parts.count
        var first = true
        for part in parts {
            left -= 1
            let status = sendPart(part, flags: ZMQ_DONTWAIT | (left > 0 ? ZMQ_SNDMORE : 0))
            if status != 0 {
                switch status {
                case EAGAIN where first: return .wouldBlock
                case EHOSTUNREACH where first: return .unreachable
                // The connection went away within the message. libzmq took back the parts before and swallows those
                // that follow up to the last: the message is lost with its connection, as any sent one may be.
                case EAGAIN, EHOSTUNREACH: break
                default:
                    errno = status
                    throw .last("cannot send on a \(kindName) socket")
                }
            }
            first = false
        }
        return .sent
    }

    /// 0 or an errno.
    private func sendPart(_ part: Bytes, flags: Int32) -> Int32 {
        guard part.count > Self.copyMax else {
            while zmq_send(handle, part.buffer.baseAddress, part.count, flags) < 0 {
                let code = zmq_errno()
                if code != EINTR { return code }
            }
            return 0
        }
        return withUnsafeTemporaryAllocation(of: zmq_msg_t.self, capacity: 1) { room -> Int32 in
            guard let message = room.baseAddress else { return ENOMEM }
            let kept = Unmanaged.passRetained(part)
            let data = UnsafeMutableRawPointer(mutating: part.buffer.baseAddress)
            let made = zmq_msg_init_data(
                message, data, part.count, { _, hint in hint.map { Unmanaged<Bytes>.fromOpaque($0).release() } },
                kept.toOpaque())
            guard made == 0 else {
                kept.release()
                return zmq_errno()
            }
            while zmq_msg_send(message, handle, flags) < 0 {
                let code = zmq_errno()
                if code == EINTR { continue }
                zmq_msg_close(message)
                return code
            }
            return 0
        }
    }
}
