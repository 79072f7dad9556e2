import GRPCNIOTransportHTTP2Posix
package import NIOSSL

/// Where the gateway listens, and who may call.
public struct GatewayOptions: Sendable {
    /// Files in PEM.
    public struct TLS: Sendable, Equatable {
        /// The gateway's certificate, and those between it and the root.
        public var certificate: String
        public var key: String
        /// Root certificates of clients, each of which must then show a certificate, also with a token; nil: none does.
        public var clientRoots: String?

        public init(certificate: String, key: String, clientRoots: String? = nil) {
            self.certificate = certificate
            self.key = key
            self.clientRoots = clientRoots
        }

        /// For servers other than that of gRPC.
        ///
        /// - Throws: if a file cannot be read or is no certificate or key.
        package func serverConfiguration() throws -> TLSConfiguration {
            let chain = try NIOSSLCertificate.fromPEMFile(certificate).map { NIOSSLCertificateSource.certificate($0) }
            let key = NIOSSLPrivateKeySource.privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
            var configuration = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: key)
            configuration.minimumTLSVersion = .tlsv12
            if let clientRoots {
                configuration.trustRoots = .file(clientRoots)
                configuration.certificateVerification = .noHostnameVerification
            }
            return configuration
        }
    }
    /// An address of this machine, in numbers.
    public var host: String
    /// 0: any that is free.
    public var port: Int
    /// Nil: plaintext.
    public var tls: TLS?
    /// Who may call what; empty: everybody everything.
    public var grants: [Access.Grant]
    /// Of one message.
    public var maxMessageBytes = 4 << 20
    /// Calls at once on one connection.
    public var maxStreams = 1024

    public init(host: String, port: Int, tls: TLS? = nil, grants: [Access.Grant] = []) {
        self.host = host
        self.port = port
        self.tls = tls
        self.grants = grants
    }

    var security: HTTP2ServerTransport.Posix.TransportSecurity {
        guard let tls else { return .plaintext }
        let certificates = [TLSConfig.CertificateSource.file(path: tls.certificate, format: .pem)]
        let key = TLSConfig.PrivateKeySource.file(path: tls.key, format: .pem)
        return .tls(certificateChain: certificates, privateKey: key) { config in
            config.requireALPN = true
            guard let roots = tls.clientRoots else { return }
            config.trustRoots = .certificates([.file(path: roots, format: .pem)])
            config.clientCertificateVerification = .noHostnameVerification
        }
    }
}
