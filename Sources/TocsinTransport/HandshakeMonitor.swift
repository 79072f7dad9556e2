import CZeroMQ

/// Why handshakes of a socket fail. Used on one thread, which need not be the socket's.
public final class HandshakeMonitor {
    /// One that failed.
    public enum Failure: Sendable, Equatable {
        /// The ZAP handler's word: 300 (try again later), 400 (refused) or 500 (it has failed).
        case refused(status: Int)
        /// The two sides do not speak the same mechanism.
        case mechanisms
        /// Bytes that are no handshake, or not of who was expected; the reason is libzmq's.
        case protocolError(Int)
        /// It ended before it was done: the peer went, or took too long.
        case ended
    }

    private let handle: UnsafeMutableRawPointer
    private let context: Context

    /// Begins to watch `socket`; before it binds or connects.
    ///
    /// - Throws: `TransportError` if no more sockets can be made.
    public init(_ socket: ZMQSocket, context: Context, name: String) throws(TransportError) {
        let endpoint = "inproc://handshakes-\(name)"
        let events =
            ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH
        guard zmq_socket_monitor(socket.handle, endpoint, events) == 0 else { throw .last("cannot watch handshakes") }
        guard let handle = zmq_socket(context.handle, ZMQ_PAIR) else { throw .last("cannot make a pair socket") }
        self.handle = handle
        self.context = context
        // Without a bound: where there is one libzmq's own thread waits, and with it all connections. Whoever watches takes
        // what there is often.
        for (option, value) in [(ZMQ_RCVHWM, Int32(0)), (ZMQ_LINGER, 0)] {
            var value = value
            guard zmq_setsockopt(handle, option, &value, MemoryLayout<Int32>.size) == 0 else {
                throw .last("cannot set an option of a pair socket")
            }
        }
        guard zmq_connect(handle, endpoint) == 0 else { throw .last("cannot watch handshakes") }
    }

    deinit { zmq_close(handle) }

    /// The next failure, without waiting; nil: none now.
    public func next() -> Failure? {
        var message = zmq_msg_t()
        zmq_msg_init(&message)
        defer { zmq_msg_close(&message) }
        guard receive(&message), zmq_msg_size(&message) >= 6, let data = zmq_msg_data(&message) else { return nil }
        let event = data.loadUnaligned(as: UInt16.self)
        let value = Int(data.loadUnaligned(fromByteOffset: 2, as: Int32.self))
        while zmq_msg_more(&message) != 0 { guard receive(&message) else { break } }
        switch Int32(event) {
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: return .refused(status: value)
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
            return value == Int(ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH) ? .mechanisms : .protocolError(value)
        default: return .ended
        }
    }

    private func receive(_ message: inout zmq_msg_t) -> Bool {
        while zmq_msg_recv(&message, handle, ZMQ_DONTWAIT) < 0 {
            guard zmq_errno() == EINTR else { return false }
        }
        return true
    }
}
