import CZeroMQ
import Glibc

extension ZMQSocket {
    /// The user id that the ZAP handler gave to the sender of the message received last: the decimal number it was admitted
    /// under. Nil: it was admitted by nobody. Router only.
    public var senderUser: UInt32? {
        zmq_msg_gets(sender, "User-Id").flatMap { UInt32(String(cString: $0)) }
    }

    /// The TCP connection that message came over; nil: it was another transport, or the connection is gone. Router only.
    public var senderConnection: TCPConnection? {
        let descriptor = zmq_msg_get(sender, ZMQ_SRCFD)
        return descriptor >= 0 ? TCPConnection(descriptor) : nil
    }
}

/// A TCP connection of libzmq's, known by descriptor and peer: the descriptor is used again when it is closed.
public struct TCPConnection: Sendable, Equatable {
    let descriptor: Int32
    private let address: UInt32
    private let port: UInt16

    /// Nil unless it is an open IPv4 connection.
    init?(_ descriptor: Int32) {
        var peer = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &peer) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(descriptor, $0, &size) }
        }
        guard status == 0, peer.sin_family == sa_family_t(AF_INET) else { return nil }
        self.descriptor = descriptor
        address = peer.sin_addr.s_addr
        port = peer.sin_port
    }

    /// Ends it, unless it has ended: libzmq's thread sees the end and lets go of the peer. From any thread.
    public func end() {
        guard TCPConnection(descriptor) == self else { return }
        shutdown(descriptor, Int32(SHUT_RDWR))
    }
}
