public import TocsinGateway
public import TocsinIntake

/// Where one protocol is listened for, and for whom.
public struct SocketOptions: Sendable, Equatable {
    /// An address of this machine, in numbers, and a port; 0: any that is free.
    public struct Address: Sendable, Equatable, CustomStringConvertible {
        public var host: String
        public var port: Int

        public init(host: String, port: Int) {
            self.host = host
            self.port = port
        }
        public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
    }

    public var udp: Address?
    public var tcp: Address?
    /// TCP with TLS, for which there must be `certificates`.
    public var tls: Address?
    public var certificates: GatewayOptions.TLS?
    /// Whoever is in none of these is not listened to.
    public var allowed = AddressNetwork.loopback
    /// Connections at once; further ones are closed.
    public var connections = 1024
    /// Bytes of one message.
    public var longest = 64 << 10
    /// After which a connection on which nothing comes is closed.
    public var idle: Duration = .seconds(3600)
    /// How long a peer that waits for an answer waits for the hub.
    public var patience: Duration = .seconds(5)
    /// Datagrams that may wait; further ones are dropped and counted.
    public var queue = 16_384

    public init() {}
}

/// One address that is listened at.
public struct Listening: Sendable, Equatable, CustomStringConvertible {
    /// `syslog`, `riemann` or `nagios`.
    public var name: String
    /// `udp`, `tcp` or `tls`.
    public var transport: String
    public var address: SocketOptions.Address

    public var description: String { "\(name) \(transport) \(address)" }
}
