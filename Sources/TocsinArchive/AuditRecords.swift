import Crypto
import FoundationEssentials
import GRDB
import TocsinProto

/// One record of the audit trail: who did what to which row, and what the row is then.
struct AuditRecord: Sendable, Equatable {
    /// From 1, without a hole.
    var sequence: Int64 = 0
    /// When it was written, milliseconds since 1970.
    var time: Int64 = 0
    /// As it stands in the row: sealed where it names a person. Empty: nobody, it follows from another act.
    var actor = ""
    /// The key that asked for it in the actor's name. Empty: not known.
    var caller = ""
    /// 0: it is about none.
    var incident: Int64 = 0
    var verb: String
    var before = ""
    var after = ""
    /// The row it is about; both empty: none.
    var table = ""
    var key = ""
    /// Digest of the row before and after; empty where there was, or is, none.
    var was: [UInt8] = []
    var digest: [UInt8] = []

    /// SHA-256 of the record and of the one before it.
    func hash(after previous: [UInt8]) -> [UInt8] {
        var encoding = CanonicalBytes("tocsin.audit.record.1")
        encoding.add(previous)
        encoding.add(sequence)
        encoding.add(time)
        encoding.add(actor)
        encoding.add(caller)
        encoding.add(incident)
        encoding.add(verb)
        encoding.add(before)
        encoding.add(after)
        encoding.add(table)
        encoding.add(key)
        encoding.add(was)
        encoding.add(digest)
        return encoding.digest
    }

    /// Of the first record.
    static let noHash = [UInt8](repeating: 0, count: 32)

    static let columns =
        "sequence, time, actor, caller, incident, verb, before, after, row_table, row_key, was, digest, hash"
}

/// How far the trail has come, signed: the head in the archive, and what is kept elsewhere.
struct AuditCheckpoint: Sendable, Equatable {
    var archiveID: [UInt8]
    /// Of the last record; 0: there is none.
    var sequence: Int64
    var hash: [UInt8]
    /// When it was signed, milliseconds since 1970.
    var time: Int64
    var publicKey: [UInt8]
    var signature: [UInt8] = []

    /// What is signed.
    private var signed: [UInt8] {
        var encoding = CanonicalBytes("tocsin.audit.checkpoint.1")
        encoding.add(archiveID)
        encoding.add(sequence)
        encoding.add(hash)
        encoding.add(time)
        return encoding.bytes
    }

    /// Throws what swift-crypto throws.
    mutating func sign(with key: Curve25519.Signing.PrivateKey) throws { signature = Array(try key.signature(for: signed)) }

    /// Whether `key`, 32 bytes, signed it.
    func isSigned(by key: [UInt8]) -> Bool {
        guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: key) else { return false }
        return key.isValidSignature(signature, for: signed)
    }

    var proto: Tocsin_V1_AuditCheckpoint {
        .with {
            $0.archiveID = Data(archiveID)
            $0.sequence = UInt64(clamping: sequence)
            $0.hash = Data(hash)
            $0.time = UInt64(clamping: time)
            $0.publicKey = Data(publicKey)
            $0.signature = Data(signature)
        }
    }

    // MARK: - The head

    private static let columns = "archive_id, sequence, hash, time, public_key, signature"

    /// Nil: the archive has no trail.
    static func head(in db: Database) throws -> AuditCheckpoint? {
        let statement = try db.cachedStatement(sql: "SELECT \(columns) FROM audit_head WHERE id = 1")
        return try Row.fetchOne(statement).map {
            AuditCheckpoint(
                archiveID: bytes($0[0]), sequence: $0[1], hash: bytes($0[2]), time: $0[3], publicKey: bytes($0[4]),
                signature: bytes($0[5]))
        }
    }

    func saveHead(in db: Database) throws {
        try db.cachedStatement(sql: Self.saveHead).execute(arguments: [
            Data(archiveID), sequence, Data(hash), time, Data(publicKey), Data(signature),
        ])
    }

    private static let saveHead = "INSERT OR REPLACE INTO audit_head (id, \(columns)) VALUES (1, ?, ?, ?, ?, ?, ?)"

    private static func bytes(_ data: Data) -> [UInt8] { Array(data) }
}
