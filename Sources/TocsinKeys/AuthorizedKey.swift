import FoundationEssentials
import TocsinAccess
import TocsinTransport
import TocsinWire

/// A key that the hub lets in, and what it may do there: the content of one file in the folder of authorised keys. No secret.
public struct AuthorizedKey: Sendable, Equatable {
    public var name: String
    public var publicKey: CurvePublicKey
    /// Nil: only what the rules say.
    public var role: Role?
    /// Rules in place of the role's, by kind: publish, consume, read, call, serve.
    public var rules: [RuleKind: [String]]
    /// When it was authorised, as text.
    public var created: String
    /// Milliseconds since 1970; nil: never.
    public var expires: UInt64?
    /// While a key is rotated the one before is let in too, until then (milliseconds since 1970).
    public var previous: (key: CurvePublicKey, until: UInt64)?

    /// What it may do.
    public private(set) var permissions: Permissions

    public static func == (a: AuthorizedKey, b: AuthorizedKey) -> Bool { a.text == b.text }

    /// - Throws: `KeyError` for a rule that is none.
    public init(
        name: String, publicKey: CurvePublicKey, role: Role?, rules: [RuleKind: [String]] = [:], created: UInt64,
        expires: UInt64? = nil
    ) throws(KeyError) {
        self.name = name
        self.publicKey = publicKey
        self.role = role
        self.rules = rules
        self.created = Self.text(of: created)
        self.expires = expires
        permissions = try Self.permissions(role, rules, path: "the key \(name)")
    }

    /// - Throws: `KeyError` with what is wrong, and where.
    init(_ text: String, path: String) throws(KeyError) {
        let text = try KeyText(
            text, path: path,
            known: Set(["name", "role", "public_key", "created", "expires", "previous_key", "previous_until"])
                .union(RuleKind.allCases.map(\.rawValue)))
        name = try text.require("name")
        if let problem = KeyName.problem(name) { throw KeyError("\(path): \(problem)") }
        guard let key = CurvePublicKey(try text.require("public_key")) else {
            throw KeyError("\(path): public_key is not 40 characters of Z85")
        }
        publicKey = key
        if let word = text.values["role"] {
            guard let role = Role(rawValue: word) else {
                let roles = Role.allCases.map(\.rawValue).joined(separator: ", ")
                throw KeyError("\(path): the role \"\(word.prefix(40))\" is none of \(roles)")
            }
            self.role = role
        }
        rules = [:]
        for kind in RuleKind.allCases { if let words = text.words(kind.rawValue) { rules[kind] = words } }
        permissions = try Self.permissions(role, rules, path: path)
        guard role != nil || !rules.isEmpty else { throw KeyError("\(path): neither a role nor rules: it could do nothing") }
        created = text.values["created"] ?? ""
        expires = try Self.time(text, "expires")
        if let word = text.values["previous_key"] {
            guard let key = CurvePublicKey(word), let until = try Self.time(text, "previous_until") else {
                throw KeyError("\(path): previous_key is not 40 characters of Z85, or previous_until is missing")
            }
            previous = (key, until)
        }
    }

    private static func time(_ text: KeyText, _ name: String) throws(KeyError) -> UInt64? {
        guard let word = text.values[name] else { return nil }
        do {
            return UInt64(max(0, try Date(word, strategy: .iso8601).timeIntervalSince1970) * 1000)
        } catch {
            throw KeyError("\(text.path): \(name) is not a time such as 2027-01-31T12:00:00Z")
        }
    }

    /// RFC 3339, in UTC.
    public static func text(of time: UInt64) -> String {
        Date(timeIntervalSince1970: Double(time) / 1000).formatted(.iso8601)
    }

    private static func permissions(
        _ role: Role?, _ rules: [RuleKind: [String]], path: String
    ) throws(KeyError) -> Permissions {
        do { return try (role?.permissions ?? Permissions()).replacing(rules) } catch {
            throw KeyError("\(path): \(error.message)")
        }
    }

    /// As it is in its file.
    var text: String {
        var lines = ["name: \(name)"]
        if let role { lines.append("role: \(role.rawValue)") }
        lines.append("public_key: '\(publicKey)'")
        lines.append("created: \(created)")
        if let expires { lines.append("expires: \(Self.text(of: expires))") }
        if let previous {
            lines.append("previous_key: '\(previous.key)'")
            lines.append("previous_until: \(Self.text(of: previous.until))")
        }
        for kind in RuleKind.allCases {
            if let texts = rules[kind] { lines.append("\(kind.rawValue): \(texts.joined(separator: " "))") }
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
