import Glibc
import Synchronization
import TocsinPosix

/// Ends TCP connections of a ROUTER that cost its process more than any should: where there are too many, the oldest that are
/// not welcome yet; and those whose peer sends one message without end. Connections that do not finish their handshake libzmq
/// ends itself (`SocketOptions.handshake`).
///
/// Too many: libzmq accepts whoever comes, and when the process has no descriptor left for the next one its thread goes round
/// without end. So the bound has to be well below the limit of descriptors. And of those that have not finished their handshake
/// there may be far fewer: libzmq looks through the timers of all of them whenever one goes away or is done. The oldest, because
/// an honest peer is welcome some milliseconds after it has come; who stays without that is not worth keeping.
///
/// Without end: libzmq bounds the size of a part (`ZMQ_MAXMSGSIZE`) and the number of messages that wait (`ZMQ_RCVHWM`), but keeps
/// the parts of a message until the last has come, however many they are. What is unfinished cannot be seen from here, so two
/// things are compared: what the kernel has received on a connection (`tcpi_bytes_received`), and whether any message has come
/// out of it meanwhile.
///
/// Looks from a thread of its own, since with thousands of connections a look takes milliseconds; the socket's thread tells it
/// with `turn` and `note` what only that thread knows.
public final class ConnectionWatch: Sendable {
    /// Of connections ended.
    public struct Ended: Sendable, Equatable {
        /// Beyond the bound.
        public var excess = 0
        /// One message without end.
        public var endless = 0

        public init(excess: Int = 0, endless: Int = 0) {
            self.excess = excess
            self.endless = endless
        }
    }

    /// What the socket's thread and the watching one tell each other.
    private struct Shared {
        /// Connections of which it is asked whether messages come; and which did since they were last taken.
        var watched: Set<Int32> = []
        var heard: Set<Int32> = []
        var welcomes: [(connection: TCPConnection, isWelcome: Bool)] = []
        var ended = Ended()
    }
    private let shared = Mutex(Shared())
    /// Counts the sets of `watched`.
    private let question = Atomic<Int>(0)
    /// How often the socket's thread has found nothing more to receive.
    private let drains = Atomic<UInt64>(0)
    private let stopping = Atomic<Bool>(false)
    private let wakeup: EventCounter
    private let isWatching: Bool
    private let thread = Mutex<SystemThread?>(nil)

    /// The descriptors that a process needs beside its connections, and what may be accepted between two looks.
    private static let reserve = 256

    /// Of connections, for a process that may have so many descriptors.
    public static func bound(wanted: Int, descriptors: Int) -> Int { max(16, min(wanted, (descriptors - reserve) / 4 * 3)) }

    /// Begins to watch. `endpoints`: those bound, with their ports; other than TCP ones are for the same user and are not watched.
    /// `most`: TCP connections there may be; see `bound`.
    ///
    /// - Throws: `TransportError` when no thread can be started.
    public init(endpoints: [String], most: Int) throws(TransportError) {
        wakeup = try EventCounter()
        let ports = Set(
            endpoints.filter { $0.hasPrefix("tcp://") }.compactMap { $0.split(separator: ":").last.flatMap { UInt16($0) } })
        isWatching = !ports.isEmpty
        guard isWatching else { return }
        do {
            let started = try SystemThread("connections") { [self] in
                var looks = Looks(ports: ports, most: most)
                while !stopping.load(ordering: .acquiring) { rest(look(&looks)) }
            }
            thread.withLock { $0 = started }
        } catch { throw TransportError(code: error.code, message: "cannot start the thread that watches connections: \(error)") }
    }

    /// Ends the watching. Call once.
    public func stop() {
        stopping.store(true, ordering: .releasing)
        wakeup.signal()
        thread.withLock { $0.take() }?.join()
    }

    // MARK: The socket's thread

    /// Call often, after messages were received. `asked`: the caller's, 0 at first.
    public func turn(_ socket: ZMQSocket, asked: inout Int) {
        if !socket.sources.isEmpty { shared.withLock { $0.heard.formUnion(socket.takeSources()) } }
        let now = question.load(ordering: .acquiring)
        if now != asked {
            asked = now
            socket.noteSources(of: shared.withLock { $0.watched })
        }
        drains.store(socket.drains, ordering: .releasing)
    }

    /// Whether the connection is welcome from now on; at first none is.
    public func note(_ connection: TCPConnection, isWelcome: Bool) {
        guard isWatching else { return }
        shared.withLock { $0.welcomes.append((connection, isWelcome)) }
    }

    /// What was ended since this was asked last.
    public func takeEnded() -> Ended {
        shared.withLock {
            let ended = $0.ended
            $0.ended = Ended()
            return ended
        }
    }

    // MARK: The watching thread

    private func rest(_ milliseconds: Int) {
        var item = pollfd(fd: wakeup.descriptor, events: Int16(POLLIN), revents: 0)
        poll(&item, 1, Int32(milliseconds))
    }

    /// One look. Returns how long to wait for the next, milliseconds.
    private func look(_ looks: inout Looks) -> Int {
        let began = MachineClock.steady()
        let told = shared.withLock {
            let told = (heard: $0.heard, welcomes: $0.welcomes)
            $0.heard = []
            $0.welcomes = []
            return told
        }
        looks.count(heard: told.heard)
        for (connection, isWelcome) in told.welcomes { looks.note(connection, isWelcome: isWelcome) }
        if looks.watched != shared.withLock({ $0.watched }) || !told.heard.isEmpty {
            shared.withLock { $0.watched = looks.watched }
            question.wrappingAdd(1, ordering: .acquiringAndReleasing)
        }
        let took = MachineClock.steady() - began
        endEndless(looks.suspects, &looks)
        endExcess(&looks)
        return max(100, Int(took / 50_000))
    }

    private func endEndless(_ suspects: [TCPConnection], _ looks: inout Looks) {
        guard !suspects.isEmpty else { return }
        // A message of theirs may only not have been taken from the socket yet. One drain may have begun before the look, the
        // next has not.
        let before = drains.load(ordering: .acquiring)
        for _ in 0..<100 where drains.load(ordering: .acquiring) < before + 2 {
            if stopping.load(ordering: .acquiring) { return }
            rest(10)
        }
        guard drains.load(ordering: .acquiring) >= before + 2 else { return }
        let heard = shared.withLock { $0.heard }
        for suspect in suspects where !heard.contains(suspect.descriptor) {
            suspect.end()
            looks.forget(suspect)
            shared.withLock { $0.ended.endless += 1 }
        }
    }

    private func endExcess(_ looks: inout Looks) {
        let (excess, isUrgent) = looks.excess(at: MachineClock.steady())
        for (position, connection) in excess.enumerated() {
            // A few at a time: while libzmq's thread lets go of them it does nothing else.
            if position % (isUrgent ? 16 : 4) == 0 { rest(1) }
            if stopping.load(ordering: .acquiring) { return }
            // Welcome since the look.
            guard !shared.withLock({ $0.welcomes.contains { $0.connection == connection && $0.isWelcome } }) else { continue }
            connection.end()
            looks.forget(connection)
            shared.withLock { $0.ended.excess += 1 }
        }
    }
}

/// What was seen of the connections at each look.
struct Looks {
    /// So much without a message is more than one can be: a body frame of 8 MiB, and what waits in the kernel (6 MiB at most as
    /// Linux is set).
    static let bytesMax: UInt64 = 16 << 20
    /// What makes a connection one to be watched. Before, none costs anything but the look at its counter.
    private static let watchedFrom: UInt64 = 1 << 20
    /// Of the connections there may be, so small a part may be without a welcome.
    private static let strangersShare = 8
    /// For so long they may in any case, nanoseconds: after a restart all peers come at once.
    private static let grace: UInt64 = 500_000_000

    private struct Seen {
        let connection: TCPConnection
        /// Its place in the order in which connections were seen first.
        let ordinal: UInt64
        /// Nanoseconds of the steady clock.
        let seenAt: UInt64
        /// Received when it was last known that a message had come.
        var since: UInt64
        /// Watched: received when that began.
        var watched: UInt64?
        var isWelcome = false
    }
    private let ports: Set<UInt16>
    private let most: Int
    private var connections: [Int32: Seen] = [:]
    private var nextOrdinal: UInt64 = 0
    /// Those of which it must be known whether messages come.
    private(set) var watched: Set<Int32> = []
    /// Watched, and over the limit.
    private(set) var suspects: [TCPConnection] = []

    init(ports: Set<UInt16>, most: Int) {
        self.ports = ports
        self.most = most
    }

    /// Looks at all of the process's descriptors.
    mutating func count(heard: Set<Int32>) {
        var current: [Int32: Seen] = [:]
        current.reserveCapacity(connections.count)
        let now = MachineClock.steady()
        suspects = []
        watched = []
        for descriptor in Descriptors.candidates(about: connections.count) {
            guard let connection = TCPConnection(descriptor) else { continue }
            let known = connections[descriptor].flatMap { $0.connection == connection ? $0 : nil }
            guard known != nil || Self.localPort(descriptor).map(ports.contains) ?? false,
                let received = Self.received(descriptor)
            else { continue }
            var seen = known ?? Seen(connection: connection, ordinal: nextOrdinal, seenAt: now, since: received)
            if known == nil { nextOrdinal += 1 }
            if heard.contains(descriptor) || received < seen.since { (seen.since, seen.watched) = (received, nil) }
            if let watched = seen.watched {
                if received - watched > Self.bytesMax { suspects.append(connection) }
            } else if received - seen.since > Self.watchedFrom {
                seen.watched = received
            }
            if seen.watched != nil { watched.insert(descriptor) }
            current[descriptor] = seen
        }
        connections = current
    }

    mutating func note(_ connection: TCPConnection, isWelcome: Bool) {
        guard connections[connection.descriptor]?.connection == connection else { return }
        connections[connection.descriptor]?.isWelcome = isWelcome
    }

    /// Those to be ended, of the ones that are not welcome the oldest; and whether it is for descriptors.
    func excess(at now: UInt64) -> (connections: [TCPConnection], isUrgent: Bool) {
        let isUrgent = connections.count > most
        let strangers = connections.values.filter { !$0.isWelcome }
        let count = max(connections.count - most, strangers.count - most / Self.strangersShare)
        guard count > 0 else { return ([], false) }
        let oldest = strangers.sorted { $0.ordinal < $1.ordinal }.prefix(count)
        return (oldest.filter { isUrgent || now - $0.seenAt >= Self.grace }.map(\.connection), isUrgent)
    }

    mutating func forget(_ connection: TCPConnection) { connections[connection.descriptor] = nil }

    // MARK: The kernel's view

    /// Bytes that came from the peer, ZMTP's framing included.
    private static func received(_ descriptor: Int32) -> UInt64? {
        // `struct tcp_info` of linux/tcp.h, of which glibc's own stops before this field (Linux 4.1).
        let bytesReceived = 128
        return withUnsafeTemporaryAllocation(byteCount: 256, alignment: 8) { info in
            var size = socklen_t(info.count)
            guard getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, info.baseAddress, &size) == 0,
                size >= bytesReceived + 8
            else { return nil }
            return info.load(fromByteOffset: bytesReceived, as: UInt64.self)
        }
    }

    private static func localPort(_ descriptor: Int32) -> UInt16? {
        var local = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &local) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        return status == 0 ? UInt16(bigEndian: local.sin_port) : nil
    }
}
