import CZeroMQ

/// A ZeroMQ context: the I/O threads that sockets share.
///
/// `@unchecked Sendable`: the only stored value is a pointer that never changes, and libzmq allows a context (unlike a
/// socket) to be used from any thread. Each socket keeps its context alive, so `zmq_ctx_term` runs after the last socket
/// is closed and waits no longer than those sockets' LINGER.
public final class Context: @unchecked Sendable {
    let handle: UnsafeMutableRawPointer

    /// - Throws: `TransportError` if there is no room for more threads, sockets or descriptors.
    public init(ioThreads: Int = 1, maxSockets: Int = 64) throws(TransportError) {
        guard let handle = zmq_ctx_new() else { throw .last("cannot make a ZeroMQ context") }
        self.handle = handle
        let settings = [(ZMQ_IO_THREADS, ioThreads), (ZMQ_MAX_SOCKETS, maxSockets), (ZMQ_IPV6, 0), (ZMQ_BLOCKY, 0)]
        for (option, value) in settings {
            guard zmq_ctx_set(handle, option, Int32(clamping: value)) == 0 else {
                throw .last("cannot set context option \(option) to \(value)")
            }
        }
    }

    deinit {
        // EINTR leaves the termination undone.
        while zmq_ctx_term(handle) != 0 && zmq_errno() == EINTR {}
    }
}
