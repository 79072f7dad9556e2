import CZeroMQ
import Glibc

/// Waits for one socket and one plain descriptor (an `EventCounter`'s). Used on the socket's thread.
public struct Poller {
    public struct Ready: OptionSet, Sendable {
        public let rawValue: Int
        public init(rawValue: Int) { self.rawValue = rawValue }
        /// The socket has a message.
        public static let receive = Ready(rawValue: 1)
        /// The socket takes a message. Only told if asked for.
        public static let send = Ready(rawValue: 2)
        /// The descriptor has something to read.
        public static let event = Ready(rawValue: 4)
    }

    private var items: [zmq_pollitem_t]

    public init(socket: ZMQSocket, descriptor: Int32) {
        items = [
            zmq_pollitem_t(socket: socket.handle, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0),
            zmq_pollitem_t(socket: nil, fd: descriptor, events: Int16(ZMQ_POLLIN), revents: 0),
        ]
    }

    /// Waits at most `timeout` milliseconds (0: not at all, -1: for ever); empty when nothing came.
    ///
    /// - Parameter toSend: also return when the socket would take a message.
    /// - Throws: `TransportError`; a signal is not an error, the wait begins again.
    public mutating func wait(timeout: Int, toSend: Bool = false) throws(TransportError) -> Ready {
        items[0].events = Int16(toSend ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN)
        while zmq_poll(&items, Int32(items.count), timeout) < 0 {
            guard zmq_errno() == EINTR else { throw .last("cannot wait for messages") }
        }
        var ready: Ready = []
        if items[0].revents & Int16(ZMQ_POLLIN) != 0 { ready.insert(.receive) }
        if items[0].revents & Int16(ZMQ_POLLOUT) != 0 { ready.insert(.send) }
        if items[1].revents & Int16(ZMQ_POLLIN) != 0 { ready.insert(.event) }
        return ready
    }
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
