import Crypto
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import X509

/// Who may call what: bearer tokens, of which only hashes are kept, and client certificates.
public struct Access: Sendable {
    /// One who may call.
    public struct Grant: Sendable, Equatable {
        public enum Proof: Sendable, Equatable {
            /// SHA-256 of a bearer token, 32 bytes.
            case token([UInt8])
            /// Common name of a client certificate.
            case certificate(String)
        }
        /// For people and for the timeline of incidents.
        public var name: String
        public var proof: Proof
        /// "package.Service/Method", "package.Service/*" or "*".
        public var methods: [String]

        public init(name: String, proof: Proof, methods: [String]) {
            self.name = name
            self.proof = proof
            self.methods = methods
        }

        func allows(_ method: MethodDescriptor) -> Bool {
            methods.contains {
                $0 == "*" || $0 == method.fullyQualifiedMethod || $0 == method.service.fullyQualifiedService + "/*"
            }
        }
    }

    /// Under this key the worker finds who calls; a client cannot set it.
    static let callerKey = "tocsin-caller"
    private let grants: [Grant]

    /// Without grants everybody may call everything: for an address that only this machine reaches.
    public init(_ grants: [Grant]) { self.grants = grants }

    /// The metadata of a call that may be made, for whoever serves it: with who calls, without the token.
    ///
    /// - Throws: UNAUTHENTICATED without a token or certificate that is known, PERMISSION_DENIED for a method it may not call.
    func admit(_ metadata: Metadata, _ context: ServerContext) throws(RPCError) -> Metadata {
        let certificate = (context.transportSpecific as? HTTP2ServerTransport.Posix.Context)?.peerCertificate
        let caller = try authorize(metadata, commonName: certificate.flatMap(Self.commonName), context.descriptor)
        var metadata = metadata
        metadata.removeAllValues(forKey: "authorization")
        metadata.replaceOrAddString(caller, forKey: Self.callerKey)
        return metadata
    }

    func authorize(_ metadata: Metadata, commonName: String?, _ method: MethodDescriptor) throws(RPCError) -> String {
        guard !grants.isEmpty else { return commonName ?? "anonymous" }
        let token = metadata[stringValues: "authorization"].lazy.compactMap(Self.bearer).first { _ in true }
        let hash = token.map { Array(SHA256.hash(data: Array($0.utf8))) }
        var found: Grant?
        for grant in grants {
            switch grant.proof {
            case .token(let known): if let hash, Self.areEqual(known, hash) { found = found ?? grant }
            case .certificate(let known): if hash == nil, known == commonName { found = found ?? grant }
            }
        }
        guard let found else {
            throw RPCError(
                code: .unauthenticated,
                message: hash == nil
                    ? "send a token: metadata \"authorization\" with \"Bearer\" and the token, or use a client certificate that is known"
                    : "the token is not known")
        }
        guard found.allows(method) else {
            throw RPCError(code: .permissionDenied, message: "\(found.name) may not call \(method.fullyQualifiedMethod)")
        }
        return found.name
    }

    /// Takes as long whatever the difference is.
    private static func areEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        guard a.count == b.count else { return false }
        return zip(a, b).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    private static func bearer(_ value: String) -> String? {
        let scheme = "bearer "
        guard value.lowercased().hasPrefix(scheme) else { return nil }
        return String(value.dropFirst(scheme.count))
    }

    private static func commonName(_ certificate: Certificate) -> String? {
        for names in certificate.subject {
            for name in names where name.type == .RDNAttributeType.commonName { return String(name.value) }
        }
        return nil
    }
}
