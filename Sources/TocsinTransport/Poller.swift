import CZeroMQ
import Glibc
import TocsinPosix

/// Waits for one socket and one plain descriptor (an `EventCounter`'s). Used on the socket's thread.
///
/// It polls the socket's own descriptor, with one system call where `zmq_poll` makes several. That descriptor tells of commands
/// from libzmq's other threads, not of messages: it is readable once for all that came since the socket was asked last, and
/// every call on the socket may take them. So it may be slept on only when the last thing the socket said was that it has
/// nothing (`ZMQSocket.isDrained`). Whatever comes after that makes it readable, and nothing has taken it from there.
public struct Poller {
    public struct Ready: OptionSet, Sendable {
        public let rawValue: Int
        public init(rawValue: Int) { self.rawValue = rawValue }
        /// The socket has a message.
        public static let receive = Ready(rawValue: 1)
        /// The socket takes a message. Only told if asked for.
        public static let send = Ready(rawValue: 2)
        /// The descriptor has something to read. While the socket is ready it may be told with a later wait.
        public static let event = Ready(rawValue: 4)
    }

    private let socket: ZMQSocket
    /// The socket's, then the plain one.
    private var items: [pollfd]

    public init(socket: ZMQSocket, descriptor: Int32) {
        self.socket = socket
        items = [socket.descriptor, descriptor].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    }

    /// Waits at most `timeout` milliseconds (0: not at all, -1: for ever); empty when nothing came.
    ///
    /// - Parameter toSend: also return when the socket would take a message.
    /// - Throws: `TransportError`; a signal is not an error, the wait begins again.
    public mutating func wait(timeout: Int, toSend: Bool = false) throws(TransportError) -> Ready {
        var left = timeout
        let deadline = timeout > 0 ? Self.now() + timeout : 0
        while true {
            if toSend || !socket.isDrained {
                let ready = try socket.ready(toSend: toSend)
                if !ready.isEmpty { return ready }
            }
            let count = poll(&items, nfds_t(items.count), Int32(clamping: left))
            if count < 0 {
                guard errno == EINTR else { throw .last("cannot wait for messages") }
            } else {
                var ready: Ready = items[1].revents != 0 ? .event : []
                if count > 0, items[0].revents != 0 { ready.formUnion(try socket.ready(toSend: toSend)) }
                if !ready.isEmpty || count == 0 { return ready }
            }
            // A signal, or commands that brought no message.
            if timeout > 0 { left = max(0, deadline - Self.now()) }
        }
    }

    /// Milliseconds of the steady clock.
    private static func now() -> Int { Int(MachineClock.steady() / 1_000_000) }
}

/// Wakes a thread that waits in a `Poller`, from any other. A counter: many signals before a drain are one.
public final class EventCounter: Sendable {
    /// For a `Poller`; readable after `signal` until `drain`.
    public let descriptor: Int32

    /// - Throws: `TransportError` when no more files can be opened.
    public init() throws(TransportError) {
        descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard descriptor >= 0 else { throw .last("cannot make an event counter") }
    }

    deinit { close(descriptor) }

    /// Never blocks. EAGAIN means the counter is at its maximum: the waiter will wake anyway.
    public func signal() {
        while eventfd_write(descriptor, 1) != 0 && errno == EINTR {}
    }

    /// Takes all signals so far. Never blocks.
    public func drain() {
        var count: eventfd_t = 0
        while eventfd_read(descriptor, &count) != 0 && errno == EINTR {}
    }
}
