import Glibc
import TocsinPosix
import TocsinSystem

/// An ICMP echo request (RFC 792, RFC 4443) and its reply.
struct EchoMessage: Equatable, Sendable {
    var identifier: UInt16
    var sequence: UInt16
    static let size = 64

    /// The request; `isVersion6`: the kernel fills in the checksum, which for IPv4 is computed here.
    func request(isVersion6: Bool) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.size)
        bytes[0] = isVersion6 ? 128 : 8
        func put(_ value: UInt16, at index: Int) {
            bytes[index] = UInt8(value >> 8)
            bytes[index + 1] = UInt8(value & 0xFF)
        }
        put(identifier, at: 4)
        put(sequence, at: 6)
        if !isVersion6 { put(Self.checksum(bytes), at: 2) }
        return bytes
    }

    /// Whether `bytes`, with an IPv4 header in front if they have one, is the reply. `anyIdentifier`: the kernel gave the socket
    /// an identifier of its own, and only its replies.
    func isAnswered(by bytes: ArraySlice<UInt8>, isVersion6: Bool, hasHeader: Bool, anyIdentifier: Bool) -> Bool {
        var bytes = bytes
        if hasHeader {
            guard let first = bytes.first, first >> 4 == 4 else { return false }
            bytes = bytes.dropFirst(Int(first & 0x0F) * 4)
        }
        guard bytes.count >= 8 else { return false }
        let start = bytes.startIndex
        func word(_ index: Int) -> UInt16 { UInt16(bytes[start + index]) << 8 | UInt16(bytes[start + index + 1]) }
        return bytes[start] == (isVersion6 ? 129 : 0) && word(6) == sequence && (anyIdentifier || word(4) == identifier)
    }

    /// RFC 1071.
    static func checksum(_ bytes: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            sum += UInt32(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
        }
        while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
        return ~UInt16(sum)
    }
}

/// Sends echo requests over the socket that this process may have: the one for everybody (`net.ipv4.ping_group_range`), else the
/// raw one of a process with CAP_NET_RAW.
struct PingProber: Prober {
    let check: PingCheck
    let severity: String
    let timeout: Duration
    let pool: BlockingPool

    func probe() async throws -> [Observation] {
        let (check, severity, timeout) = (check, severity, timeout)
        return try await pool.run { cancelled in
            let replies: [Duration]
            do throws(PingError) {
                replies = try Self.ping(check, timeout: timeout, cancelled: cancelled)
            } catch {
                return [
                    Observation(
                        healthy: false, severity: severity, summary: "cannot ping \(check.host): \(error.description)",
                        details: ["host": check.host])
                ]
            }
            if cancelled.isSet { throw CancellationError() }
            return [Self.judge(replies, check, severity: severity)]
        }
    }

    static func judge(_ replies: [Duration], _ check: PingCheck, severity: String) -> Observation {
        let lost = 100 * (check.count - replies.count) / check.count
        let worst = replies.max() ?? .zero
        let shown = "\(check.host): \(replies.count) of \(check.count) echo requests answered"
        var details = ["host": check.host, "loss_percent": "\(lost)"]
        if !replies.isEmpty { details["round_trip_ms"] = "\(worst.milliseconds)" }
        let isSlow = check.slowerThan.map { worst > $0 } ?? false
        return Observation(
            healthy: !replies.isEmpty && lost <= check.lossAbove && !isSlow, severity: severity,
            summary: replies.isEmpty ? shown : "\(shown), the slowest in \(worst.milliseconds) ms", details: details)
    }

    struct PingError: Error, CustomStringConvertible {
        var description: String
    }

    /// Round trips of the requests that were answered; each has its share of the timeout.
    private static func ping(
        _ check: PingCheck, timeout: Duration, cancelled: CancellationSignal
    ) throws(PingError) -> [Duration] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(check.host, nil, &hints, &list)
        defer { if let list { freeaddrinfo(list) } }
        guard code == 0, let address = list?.pointee else {
            throw PingError(description: "it cannot be looked up: \(String(cString: gai_strerror(code)))")
        }
        let isVersion6 = address.ai_family == AF_INET6
        let kind = Int32(isVersion6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)
        let flags = Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        var isRaw = false
        var descriptor = socket(address.ai_family, Int32(SOCK_DGRAM.rawValue) | flags, kind)
        if descriptor < 0 && (errno == EACCES || errno == EPERM || errno == EPROTONOSUPPORT) {
            isRaw = true
            descriptor = socket(address.ai_family, Int32(SOCK_RAW.rawValue) | flags, kind)
        }
        guard descriptor >= 0 else {
            throw PingError(
                description: "\(errorText(errno)); allow it: net.ipv4.ping_group_range, or the capability CAP_NET_RAW")
        }
        defer { close(descriptor) }
        guard connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 else {
            throw PingError(description: errorText(errno))
        }
        let identifier = UInt16.random(in: 0...UInt16.max)
        var replies: [Duration] = []
        var buffer = [UInt8](repeating: 0, count: 2048)
        for index in 0..<check.count {
            let message = EchoMessage(identifier: identifier, sequence: UInt16(truncatingIfNeeded: index))
            let request = message.request(isVersion6: isVersion6)
            let started = monotonicNow()
            let deadline = started + timeout / check.count
            guard send(descriptor, request, request.count, 0) == request.count else { continue }
            while !cancelled.isSet {
                let left = deadline - monotonicNow()
                guard left > .zero else { break }
                var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                guard poll(&polled, 1, Int32(min(50, left.milliseconds))) > 0 else { continue }
                let count = recv(descriptor, &buffer, buffer.count, 0)
                // An error, port unreachable for instance, is told once and then cleared.
                if count <= 0 { continue }
                if message.isAnswered(
                    by: buffer[..<count], isVersion6: isVersion6, hasHeader: isRaw && !isVersion6, anyIdentifier: !isRaw)
                {
                    replies.append(monotonicNow() - started)
                    break
                }
            }
        }
        return replies
    }
}
