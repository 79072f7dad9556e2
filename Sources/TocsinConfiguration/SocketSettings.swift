import Glibc
public import TocsinIntake

/// Where tools that speak by sockets of their own are listened for.
public struct SocketSettings: Sendable, Equatable {
    public var udp: SocketAddress?
    public var tcp: SocketAddress?
    /// With the gateway's certificate.
    public var tls: SocketAddress?
    /// Whoever is in none of these is not listened to.
    public var allow: [AddressNetwork]
    /// Of one message.
    public var messageBytesMax: Int
    /// At once.
    public var connectionsMax: Int
    /// After which a connection on which nothing comes is closed.
    public var idle: Duration

    /// Why these settings are not to be used.
    func problems(hasCertificate: Bool) -> [String] {
        var problems: [String] = []
        if udp == nil, tcp == nil, tls == nil { problems.append("give an address: udp, tcp or tls") }
        if tls != nil, !hasCertificate { problems.append("tls needs the certificate of gateway.tls; give it, or listen by tcp") }
        return problems
    }
}

extension AddressNetwork {
    /// `10.0.0.0/8`, `2001:db8::/32`, or one address. Nil for anything else, and where bits are set that do not count.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let first = parts.first, parts.count <= 2 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        let isV6 = first.contains(":")
        guard inet_pton(isV6 ? AF_INET6 : AF_INET, String(first), &bytes) == 1 else { return nil }
        if !isV6 { bytes.removeLast(12) }
        guard let bits = parts.count == 2 ? Int(parts[1]) : 8 * bytes.count else { return nil }
        self.init(address: bytes, bits: bits)
        let isClean = bytes.indices.allSatisfy { index in
            let counting = max(0, min(8, bits - 8 * index))
            return bytes[index] & UInt8(truncatingIfNeeded: 0xFF >> counting) == 0
        }
        guard isClean else { return nil }
    }

    /// As `init` takes it.
    public var text: String {
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let family = address.count == 16 ? AF_INET6 : AF_INET
        guard inet_ntop(family, address, &buffer, socklen_t(buffer.count)) != nil else { return "?" }
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self) + "/\(bits)"
    }
}
