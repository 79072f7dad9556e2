import TocsinAccess
import TocsinIntake
import TocsinWire

/// Where the gateway listens, and who may call.
public struct GatewaySettings: Sendable, Equatable {
    /// Paths of files in PEM.
    public struct TLS: Sendable, Equatable {
        public var certificate: String
        public var key: String
        /// Nil: clients show no certificate.
        public var clientRoots: String?
    }
    /// Known by a token or by a certificate.
    public struct Client: Sendable, Equatable {
        public var name: String
        /// SHA-256 of the token, 32 bytes.
        public var tokenHash: [UInt8]?
        /// Common name.
        public var certificate: String?
        /// Those of its role, with its own rules in place of the role's.
        public var permissions: Permissions
    }
    /// The HTTP server for foreign tools.
    public struct HTTP: Sendable, Equatable {
        public var listen: SocketAddress
        /// Of one request, decompressed.
        public var bodyBytesMax: Int
        public var connectionsMax: Int
        /// For the whole of a request, and of a connection without one.
        public var timeout: Duration
        /// When an alert is over that does not say so and is not sent again.
        public var resolveTimeout: Duration
        /// OTLP log records below make no event.
        public var minimumLogSeverity: Int
    }
    public struct Syslog: Sendable, Equatable {
        public var sockets: SocketSettings
        public var policy: SyslogPolicy
    }
    public struct Riemann: Sendable, Equatable {
        public var sockets: SocketSettings
        public var policy: RiemannPolicy
    }
    /// Address in numbers and port.
    public var listen: SocketAddress
    /// Nil: it is not served.
    public var http: HTTP?
    /// How what tools say becomes events, for every kind.
    public var mappings: [SourceKind: Mapping] = [:]
    /// Nil: plaintext.
    public var tls: TLS?
    /// Empty: everybody may call everything.
    public var clients: [Client]
    /// Without TLS on an address that other machines reach: everybody between may read and change what passes.
    public var allowsPlaintext = false
    /// Without clients on an address that other machines reach.
    public var allowsAnyone = false
    /// Nil: it is not listened for, as are the next two.
    public var syslog: Syslog?
    public var riemann: Riemann?
    /// Passive results.
    public var nagios: SocketSettings?

    /// What is asked for by name and better were not: a sentence each, for the log.
    public var warnings: [String] {
        guard !isLoopback else { return [] }
        return [
            tls == nil ? "no TLS: whoever is between it and its clients reads their tokens and changes what passes" : nil,
            clients.isEmpty ? "no clients are configured: everybody who reaches it may do everything" : nil,
        ].compactMap { $0 }
    }

    /// Only this machine reaches any of its addresses.
    private var isLoopback: Bool { listen.isLoopback && http?.listen.isLoopback ?? true }

    /// Why these settings are not to be used: what everybody could read or do.
    var problems: [String] {
        var problems: [String] = []
        if !isLoopback {
            let host = listen.isLoopback ? http?.listen.host ?? "" : listen.host
            let place = "\(host) is reached from other machines"
            if tls == nil, !allowsPlaintext {
                problems.append("\(place); give a certificate and its key (tls), or say allow_plaintext: true")
            }
            if clients.isEmpty, !allowsAnyone {
                problems.append("\(place); say who may call (clients), or say allow_anyone: true")
            }
        }
        if clients.contains(where: { $0.certificate != nil }), tls?.clientRoots == nil {
            problems.append("clients are known by their certificates; say whose certificates count (tls.client_roots)")
        }
        let sockets = [("syslog", syslog?.sockets), ("riemann", riemann?.sockets), ("nagios", nagios)]
        for (name, settings) in sockets {
            problems += settings?.problems(hasCertificate: tls != nil).map { "\(name): \($0)" } ?? []
        }
        let names = clients.map(\.name)
        for (index, name) in names.enumerated() where names[..<index].contains(name) {
            problems.append("two clients are called \(name)")
        }
        return problems
    }
}

/// `127.0.0.1:7118` or `[::1]:7118`.
public struct SocketAddress: Sendable, Equatable, CustomStringConvertible {
    /// In numbers, without brackets.
    public var host: String
    public var port: Int

    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Nil for what is no address in numbers with a port of 1 to 65535.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), (1...65535).contains(port)
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard host.contains(":"), host.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else { return nil }
        } else {
            let parts = host.split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count == 4, parts.allSatisfy({ UInt8($0) != nil }) else { return nil }
        }
        self.init(host: String(host), port: port)
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
    /// Only this machine reaches it.
    public var isLoopback: Bool { host == "::1" || host.hasPrefix("127.") }
}

extension Scalar where Value == SocketAddress {
    static var address: Scalar {
        Scalar(
            name: "address", expected: "an address in numbers and a port, such as 127.0.0.1:7118 or [::]:7118",
            parse: { SocketAddress($0) }, format: \.description)
    }
}

extension Scalar where Value == [UInt8] {
    /// A SHA-256 in hex.
    static var sha256: Scalar {
        Scalar(
            name: "sha256", expected: "64 hexadecimal digits, as `tocsin-gateway token` prints them",
            parse: { text in [UInt8](hexadecimal: text).flatMap { $0.count == 32 ? $0 : nil } },
            format: \.hexadecimal)
    }
}
