import Glibc
import TocsinPosix

/// Ends TCP connections whose peer sends one message without end. libzmq bounds the size of a part (`ZMQ_MAXMSGSIZE`) and the
/// number of messages that wait (`ZMQ_RCVHWM`), but keeps the parts of a message until the last has come, however many they
/// are.
///
/// What is unfinished cannot be seen from here, so two things are compared: what the kernel has received on a connection
/// (`tcpi_bytes_received`), and whether any message has come out of it meanwhile. Used on the socket's thread.
public struct EndlessMessages {
    /// So much without a message is more than one can be: a body frame of 8 MiB, and what waits in the kernel (6 MiB at most as
    /// Linux is set).
    public static let bytesMax: UInt64 = 16 << 20
    /// What makes a connection one to be watched. Before, none costs anything but the look at its counter.
    private static let watchedFrom: UInt64 = 1 << 20
    /// Milliseconds between two looks; more where there are so many connections that a look would take more than a fiftieth of it.
    private static let interval: UInt64 = 100

    private struct Connection {
        /// A descriptor is used again for another connection; a port is too, but later.
        var peer: sockaddr_in
        /// Received when it was last known that a message had come.
        var since: UInt64
        /// Watched: received when that began.
        var watched: UInt64?
    }
    private let socket: ZMQSocket
    private let ports: Set<UInt16>
    private var connections: [Int32: Connection] = [:]
    /// Watched and over the limit; ended unless a message of theirs was only not taken from the socket yet.
    private var suspects: [Int32] = []
    private var drains: UInt64 = 0
    private var nextLook: UInt64 = 0

    /// `endpoints`: those bound, with their ports; other than TCP ones are for the same user and are not watched.
    public init(socket: ZMQSocket, endpoints: [String]) {
        self.socket = socket
        ports = Set(
            endpoints.filter { $0.hasPrefix("tcp://") }.compactMap { $0.split(separator: ":").last.flatMap { UInt16($0) } })
    }

    /// Ends what must be ended. Call often. `now`: milliseconds of the steady clock.
    ///
    /// - Returns: how many connections were ended.
    public mutating func look(at now: UInt64) -> Int {
        var ended = 0
        if !suspects.isEmpty, socket.drains > drains {
            for descriptor in suspects where !socket.sources.contains(descriptor) {
                guard let connection = connections[descriptor], Self.isConnected(descriptor, to: connection.peer) else {
                    continue
                }
                shutdown(descriptor, Int32(SHUT_RDWR))
                connections[descriptor] = nil
                ended += 1
            }
            suspects = []
        }
        if now >= nextLook, !ports.isEmpty {
            let began = MachineClock.steady()
            count()
            nextLook = now + max(Self.interval, (MachineClock.steady() - began) / 20_000)
        }
        return ended
    }

    /// Looks at what each connection has received.
    private mutating func count() {
        let heard = socket.sources
        var current: [Int32: Connection] = [:]
        suspects = []
        for descriptor in Self.descriptors() {
            guard let (peer, received) = Self.received(descriptor, on: ports) else { continue }
            var connection = connections[descriptor] ?? Connection(peer: peer, since: received)
            let isOther = !Self.isSame(connection.peer, peer) || received < connection.since
            if isOther || heard.contains(descriptor) { connection = Connection(peer: peer, since: received) }
            if let watched = connection.watched {
                if received - watched > Self.bytesMax { suspects.append(descriptor) }
            } else if received - connection.since > Self.watchedFrom {
                connection.watched = received
            }
            current[descriptor] = connection
        }
        connections = current
        drains = socket.drains
        socket.noteSources(of: Set(current.lazy.filter { $0.value.watched != nil }.map(\.key)))
    }

    // MARK: The kernel's view

    private static func descriptors() -> [Int32] {
        (Folder.names("/proc/self/fd") ?? []).compactMap { Int32($0) }.filter { $0 > 2 }
    }

    /// The peer of an established connection to one of these ports and the bytes that came from it, ZMTP's framing included.
    private static func received(_ descriptor: Int32, on ports: Set<UInt16>) -> (peer: sockaddr_in, bytes: UInt64)? {
        guard let local = address(descriptor, getsockname), ports.contains(UInt16(bigEndian: local.sin_port)),
            let peer = address(descriptor, getpeername)
        else { return nil }
        // `struct tcp_info` of linux/tcp.h, of which glibc's own stops before this field (Linux 4.1).
        let bytesReceived = 128
        return withUnsafeTemporaryAllocation(byteCount: 256, alignment: 8) { info in
            var size = socklen_t(info.count)
            guard getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, info.baseAddress, &size) == 0,
                size >= bytesReceived + 8
            else { return nil }
            return (peer, info.load(fromByteOffset: bytesReceived, as: UInt64.self))
        }
    }

    /// Just before it is ended: its thread may have closed it meanwhile.
    private static func isConnected(_ descriptor: Int32, to peer: sockaddr_in) -> Bool {
        address(descriptor, getpeername).map { isSame($0, peer) } ?? false
    }

    private static func isSame(_ a: sockaddr_in, _ b: sockaddr_in) -> Bool {
        a.sin_port == b.sin_port && a.sin_addr.s_addr == b.sin_addr.s_addr
    }

    private static func address(
        _ descriptor: Int32, _ get: (Int32, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) -> Int32
    ) -> sockaddr_in? {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { get(descriptor, $0, &size) }
        }
        return status == 0 && address.sin_family == sa_family_t(AF_INET) ? address : nil
    }
}
