import Crypto
import Glibc
import TocsinPosix
import TocsinWire

/// The key that signs the audit trail: an Ed25519 seed in a file that nobody else may read.
///
/// The file holds one line: 64 hexadecimal digits.
public struct AuditKey: Sendable {
    let path: String
    let key: Curve25519.Signing.PrivateKey

    /// Verifies what the key signs, 32 bytes.
    public var publicKey: [UInt8] { Array(key.publicKey.rawRepresentation) }

    /// Where it is if the configuration does not say.
    public static func defaultPath(database: String) -> String { database + ".audit-key" }

    /// Reads the key; nil if there is no file. Blocking.
    ///
    /// - Throws: `ArchiveError` if it cannot be read, others may read it, or it holds something else.
    public static func read(_ path: String) throws(ArchiveError) -> AuditKey? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw ArchiveError(.inaccessible, "the audit key \(path) cannot be opened: \(errorText(errno)); check its owner")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw ArchiveError(.inaccessible, "the audit key \(path) is no file; give archiver.audit_key another path")
        }
        guard status.st_mode & 0o077 == 0 else {
            throw ArchiveError(
                .inaccessible,
                "others may read the audit key \(path) (its mode is \(String(status.st_mode & 0o777, radix: 8))); who has it can "
                    + "rewrite the audit trail: think about who had it, then `chmod 600 \(path)`")
        }
        var bytes = [UInt8](repeating: 0, count: 128)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0 else {
            throw ArchiveError(.inaccessible, "the audit key \(path) cannot be read: \(errorText(errno))")
        }
        let text = String(decoding: bytes[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        guard let seed = [UInt8](hexadecimal: text), seed.count == 32 else {
            throw ArchiveError(
                .inaccessible, "\(path) holds no audit key (64 hexadecimal digits); restore it from a copy")
        }
        return try AuditKey(path: path, seed: seed)
    }

    /// A new key, in a file that is not yet in its place: `keep()` puts it there. Blocking.
    ///
    /// - Throws: `ArchiveError` if it cannot be written.
    static func create(_ path: String) throws(ArchiveError) -> AuditKey {
        let made = AuditKey(path: path, key: Curve25519.Signing.PrivateKey())
        do {
            try WholeFile.replace(
                waiting(path), with: Array("\(made.key.rawRepresentation.hexadecimal)\n".utf8))
        } catch {
            throw ArchiveError(.inaccessible, "the audit key cannot be written: \(error); set archiver.audit_key to another path")
        }
        return made
    }

    /// The key that was made and not put in its place, because the archiver died in between. Nil: there is none.
    static func left(_ path: String) throws(ArchiveError) -> AuditKey? {
        try read(waiting(path)).map { AuditKey(path: path, key: $0.key) }
    }

    /// Puts the file in its place. Blocking.
    func keep() throws(ArchiveError) {
        guard rename(Self.waiting(path), path) == 0 else {
            throw ArchiveError(
                .inaccessible, "the audit key \(path) cannot be written: \(errorText(errno)); check its folder")
        }
    }

    private init(path: String, key: Curve25519.Signing.PrivateKey) {
        self.path = path
        self.key = key
    }

    private init(path: String, seed: [UInt8]) throws(ArchiveError) {
        self.path = path
        do {
            key = try Curve25519.Signing.PrivateKey(rawRepresentation: seed)
        } catch {
            throw ArchiveError(.inaccessible, "\(path) holds no audit key: \(error)")
        }
    }

    private static func waiting(_ path: String) -> String { path + ".new" }
}
