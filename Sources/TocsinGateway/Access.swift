import Crypto
import GRPCCore
import GRPCNIOTransportHTTP2Posix
public import TocsinAccess
import TocsinWire
package import X509

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
        public var permissions: Permissions

        public init(name: String, proof: Proof, permissions: Permissions) {
            self.name = name
            self.proof = proof
            self.permissions = permissions
        }
    }

    private let grants: [Grant]
    let refusals: Refusals

    /// Without grants everybody may call everything: for an address that only this machine reaches.
    public init(_ grants: [Grant], refusals: Refusals = Refusals { _ in }) {
        self.grants = grants
        self.refusals = refusals
    }

    /// Who calls, and the metadata for whoever serves the call: with who calls, without the token.
    ///
    /// - Throws: UNAUTHENTICATED without a token or certificate that is known.
    func admit(_ metadata: Metadata, _ context: ServerContext) throws(RPCError) -> (Caller, Metadata) {
        let certificate = (context.transportSpecific as? HTTP2ServerTransport.Posix.Context)?.peerCertificate
        let caller = try authenticate(metadata, commonName: certificate.flatMap(Self.commonName), context.descriptor)
        var metadata = metadata
        metadata.removeAllValues(forKey: "authorization")
        metadata.replaceOrAddString(caller.name, forKey: CallerMetadata.key)
        return (caller, metadata)
    }

    func authenticate(
        _ metadata: Metadata, commonName: String?, _ method: MethodDescriptor
    ) throws(RPCError) -> Caller {
        let token = metadata[stringValues: "authorization"].lazy.compactMap(Self.bearer).first { _ in true }
        if let caller = authenticate(token: token, commonName: commonName, method: method.fullyQualifiedMethod) { return caller }
        throw RPCError(
            code: .unauthenticated,
            message: token == nil
                ? "send a token: metadata \"authorization\" with \"Bearer\" and the token, or use a client certificate that is known"
                : "the token is not known")
    }

    /// Who calls `method`; nil, and counted as refused, for a token or certificate that is not known.
    package func authenticate(token: String?, commonName: String?, method: String) -> Caller? {
        if let caller = find(token: token, commonName: commonName) { return caller }
        refusals.add(.init(kind: .unauthenticated, caller: commonName, method: method))
        return nil
    }

    /// Whether `authenticate` would say who calls; nothing is counted.
    package func knows(token: String?, commonName: String?) -> Bool { find(token: token, commonName: commonName) != nil }

    private func find(token: String?, commonName: String?) -> Caller? {
        guard !grants.isEmpty else { return Caller(name: commonName ?? CallerMetadata.anonymous, permissions: .everything) }
        let hash = token.map { Array(SHA256.hash(data: Array($0.utf8))) }
        var found: Grant?
        for grant in grants {
            switch grant.proof {
            case .token(let known): if let hash, Self.areEqual(known, hash) { found = found ?? grant }
            case .certificate(let known): if hash == nil, known == commonName { found = found ?? grant }
            }
        }
        return found.map { Caller(name: $0.name, permissions: $0.permissions) }
    }

    /// Counts that `caller` was refused `method`.
    package func refuse(_ caller: Caller, method: String) {
        refusals.add(.init(kind: .denied, caller: caller.name, method: method))
    }

    /// - Throws: PERMISSION_DENIED for a method that `caller` may not call.
    func authorize(_ caller: Caller, _ method: MethodDescriptor) throws(RPCError) {
        guard !caller.permissions.call.allows(method.fullyQualifiedMethod) else { return }
        refuse(caller, method: method.fullyQualifiedMethod)
        throw RPCError(code: .permissionDenied, message: "\(caller.name) may not call \(method.fullyQualifiedMethod)")
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

    package static func commonName(_ certificate: Certificate) -> String? {
        for names in certificate.subject {
            for name in names where name.type == .RDNAttributeType.commonName { return String(name.value) }
        }
        return nil
    }
}
