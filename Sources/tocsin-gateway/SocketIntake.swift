import Logging
import TocsinConfiguration
import TocsinGateway
import TocsinIntake
import TocsinIntakeSockets

extension IntakeSockets.Options {
    /// What the configuration asks for.
    init(_ settings: GatewaySettings) {
        self.init()
        func mapping(_ kind: SourceKind) -> Mapping { settings.mappings[kind] ?? .standard(kind) }
        syslog = settings.syslog.map { syslog in
            var policy = syslog.policy
            policy.mapping = mapping(.syslog)
            return (SocketOptions(syslog.sockets, tls: settings.tls), policy)
        }
        riemann = settings.riemann.map { riemann in
            var policy = riemann.policy
            policy.mapping = mapping(.riemann)
            return (SocketOptions(riemann.sockets, tls: settings.tls), policy)
        }
        nagios = settings.nagios.map { (SocketOptions($0, tls: settings.tls), mapping(.nagios)) }
    }
}

extension SocketOptions {
    fileprivate init(_ settings: SocketSettings, tls: GatewaySettings.TLS?) {
        self.init()
        func address(_ address: TocsinConfiguration.SocketAddress?) -> Address? {
            address.map { Address(host: $0.host, port: $0.port) }
        }
        udp = address(settings.udp)
        tcp = address(settings.tcp)
        self.tls = address(settings.tls)
        certificates = tls.map(GatewayOptions.TLS.init)
        allowed = settings.allow
        longest = settings.messageBytesMax
        connections = settings.connectionsMax
        idle = settings.idle
    }
}
