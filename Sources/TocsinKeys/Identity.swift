import TocsinTransport
import TocsinWire

/// What somebody proves to the hub who they are with, and how they know the hub: the content of one file, which is all that a
/// sensor on another host needs.
public struct Identity: Sendable, Equatable {
    /// The name of the key: `sensor-7`.
    public var name: String
    /// Of the role it was made for; for people, the hub does not look at it.
    public var role: String
    public var keys: CurveKeyPair
    /// Where the hub is; nil: to be said otherwise.
    public var hub: String?
    /// Whose answers are believed.
    public var hubKey: CurvePublicKey

    public init(name: String, role: String, keys: CurveKeyPair, hub: String?, hubKey: CurvePublicKey) {
        self.name = name
        self.role = role
        self.keys = keys
        self.hub = hub
        self.hubKey = hubKey
    }

    /// Blocking.
    ///
    /// - Throws: `KeyError` if the file is not there, not well-formed, or can be read by others.
    public static func load(_ path: String) throws(KeyError) -> Identity {
        let text = try KeyText(
            try GuardedFile.read(path, .secret), path: path,
            known: ["name", "role", "hub", "hub_public_key", "public_key", "secret_key"])
        let keys = try keyPair(text)
        guard let hubKey = CurvePublicKey(try text.require("hub_public_key")) else {
            throw KeyError("\(path): hub_public_key is not 40 characters of Z85")
        }
        let name = try text.require("name")
        if let problem = KeyName.problem(name) { throw KeyError("\(path): \(problem)") }
        return Identity(
            name: name, role: text.values["role"] ?? "", keys: keys, hub: text.values["hub"].flatMap { $0.isEmpty ? nil : $0 },
            hubKey: hubKey)
    }

    static func keyPair(_ text: KeyText) throws(KeyError) -> CurveKeyPair {
        guard let secret = CurveSecretKey(try text.require("secret_key")), let keys = CurveKeyPair(secretKey: secret) else {
            throw KeyError("\(text.path): secret_key is not 40 characters of Z85")
        }
        if let told = text.values["public_key"], told != keys.publicKey.description {
            throw KeyError("\(text.path): public_key does not belong to secret_key; get the file anew")
        }
        return keys
    }

    /// Writes the file, for its owner alone. Blocking.
    ///
    /// - Throws: `KeyError`.
    public func write(to path: String) throws(KeyError) {
        let lines = [
            "# Who has this file is \(name) to the hub: keep it secret, and move it by a way you trust.",
            "name: \(name)", "role: \(role)", hub.map { "hub: \($0)" }, "hub_public_key: '\(hubKey)'",
            "public_key: '\(keys.publicKey)'", "secret_key: '\(keys.secretKey.z85)'",
        ]
        try GuardedFile.write(path, lines.compactMap { $0 }.joined(separator: "\n") + "\n")
    }
}

/// Names of keys.
public enum KeyName {
    /// Nil if `name` can be one: 1 to 64 letters, digits, `_`, `-`, `.` and `@`, not beginning with `.`; else what is wrong.
    public static func problem(_ name: String) -> String? {
        let isValid = name.utf8.allSatisfy {
            switch $0 {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "@"):
                true
            default: false
            }
        }
        guard isValid, (1...64).contains(name.utf8.count), !name.hasPrefix(".") else {
            return "a key's name has 1 to 64 letters, digits, '_', '-', '.' and '@', and does not begin with '.'"
        }
        // It would be taken for something else where callers are named.
        if reserved.contains(name) { return "\"\(name)\" is taken; choose another name for the key" }
        return nil
    }

    static let reserved: Set<String> = ["hub", CallerMetadata.anonymous, "others", "tocsin"]
}
