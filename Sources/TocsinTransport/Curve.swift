import CZeroMQ

/// A CURVE public key (RFC 26): 32 bytes, written as 40 characters of Z85 (RFC 32).
public struct CurvePublicKey: Hashable, Sendable, CustomStringConvertible {
    public let bytes: [UInt8]

    /// Nil unless there are 32 bytes.
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        self.bytes = Array(bytes)
    }

    /// Nil unless `text` is Z85 of 32 bytes.
    public init?(_ text: String) {
        guard let bytes = Z85.decode(text) else { return nil }
        self.init(bytes)
    }

    public var description: String { Z85.encode(bytes) }
}

/// A CURVE secret key. Its description does not show it.
public struct CurveSecretKey: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
    let bytes: [UInt8]

    /// Nil unless `text` is Z85 of 32 bytes.
    public init?(_ text: String) {
        guard let bytes = Z85.decode(text), bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    /// For the file it is kept in, and nothing else.
    public var z85: String { Z85.encode(bytes) }

    /// The public key that belongs to it.
    public var publicKey: CurvePublicKey? {
        var text = [CChar](repeating: 0, count: 41)
        guard zmq_curve_public(&text, z85) == 0 else { return nil }
        return CurvePublicKey(String(decoding: text.prefix(40).map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }

    public var description: String { "(a secret key)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A key pair.
public struct CurveKeyPair: Sendable, Equatable {
    public let publicKey: CurvePublicKey
    public let secretKey: CurveSecretKey

    /// Nil if the secret key has no public key.
    public init?(secretKey: CurveSecretKey) {
        guard let publicKey = secretKey.publicKey else { return nil }
        self.publicKey = publicKey
        self.secretKey = secretKey
    }

    /// A new pair of the system's random bytes.
    ///
    /// - Throws: `TransportError` if libzmq was built without CURVE.
    public static func generate() throws(TransportError) -> CurveKeyPair {
        var (publicText, secretText) = ([CChar](repeating: 0, count: 41), [CChar](repeating: 0, count: 41))
        guard zmq_curve_keypair(&publicText, &secretText) == 0 else { throw .last("cannot make a CURVE key pair") }
        let text = String(decoding: secretText.prefix(40).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let secret = CurveSecretKey(text), let pair = CurveKeyPair(secretKey: secret) else {
            throw TransportError(code: 0, message: "libzmq made a key pair that is none")
        }
        return pair
    }
}

/// What a connection proves, ZMTP's security mechanism. Set before `bind` or `connect`; later ones may have another.
public enum Mechanism: Sendable {
    /// NULL: nothing is proved. A server asks the ZAP handler under `domain`, which learns address and, over ipc, user.
    case open(domain: String)
    /// CURVE, as who accepts: the ZAP handler is asked about each client's key under `domain`.
    case curveServer(CurveSecretKey, domain: String)
    /// CURVE, as who connects to the holder of `server`.
    case curveClient(server: CurvePublicKey, own: CurveKeyPair)
}

extension ZMQSocket {
    /// Of all that is bound or connected from now on.
    ///
    /// - Throws: `TransportError` if libzmq was built without CURVE, or cannot refuse those whom no ZAP handler has admitted.
    public func secure(_ mechanism: Mechanism) throws(TransportError) {
        switch mechanism {
        case .open(let domain):
            try set(ZMQ_CURVE_SERVER, 0)
            try require(domain)
        case .curveServer(let secret, let domain):
            try set(ZMQ_CURVE_SERVER, 1)
            try set(ZMQ_CURVE_SECRETKEY, secret.bytes)
            try require(domain)
        case .curveClient(let server, let own):
            try set(ZMQ_CURVE_SERVERKEY, server.bytes)
            try set(ZMQ_CURVE_PUBLICKEY, own.publicKey.bytes)
            try set(ZMQ_CURVE_SECRETKEY, own.secretKey.bytes)
        }
    }

    /// Nobody gets in without the ZAP handler's word (RFC 27): without this option libzmq lets everybody in where there is no
    /// handler. Not declared where libzmq was built without its draft API, but known to it since 4.3.0.
    private func require(_ domain: String) throws(TransportError) {
        let zapEnforceDomain: Int32 = 93
        try set(ZMQ_ZAP_DOMAIN, Array(domain.utf8))
        try set(zapEnforceDomain, 1)
    }

    private func set(_ option: Int32, _ value: Int32) throws(TransportError) {
        var value = value
        guard zmq_setsockopt(handle, option, &value, MemoryLayout<Int32>.size) == 0 else {
            throw .last("cannot set the security option \(option)")
        }
    }

    private func set(_ option: Int32, _ value: [UInt8]) throws(TransportError) {
        guard zmq_setsockopt(handle, option, value, value.count) == 0 else {
            throw .last("cannot set the security option \(option)")
        }
    }
}

/// ZeroMQ's text form of bytes (RFC 32).
enum Z85 {
    /// Nil unless `text` is Z85.
    static func decode(_ text: String) -> [UInt8]? {
        // libzmq reads in steps of five up to the first zero.
        guard text.utf8.count % 5 == 0, !text.isEmpty, text.utf8.count <= 320, !text.utf8.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: text.utf8.count / 5 * 4)
        guard text.utf8.allSatisfy({ (33...126).contains($0) }), zmq_z85_decode(&bytes, text) != nil else { return nil }
        return bytes
    }

    static func encode(_ bytes: [UInt8]) -> String {
        var text = [CChar](repeating: 0, count: bytes.count / 4 * 5 + 1)
        guard zmq_z85_encode(&text, bytes, bytes.count) != nil else { return "" }
        return String(decoding: text.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
