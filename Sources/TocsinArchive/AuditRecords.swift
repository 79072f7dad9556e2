import Crypto
import FoundationEssentials
import GRDB
import TocsinProto
import TocsinWire

/// One record of the audit trail: who did what to which row, and what the row is then.
public struct AuditRecord: Sendable, Equatable {
    /// From 1, without a hole.
    public internal(set) var sequence: Int64 = 0
    /// When it was written, milliseconds since 1970.
    public internal(set) var time: Int64 = 0
    /// As it stands in the row: sealed where it names a person. Empty: nobody, it follows from another act.
    public internal(set) var actor = ""
    /// The key that asked for it in the actor's name. Empty: not known.
    public internal(set) var caller = ""
    /// 0: it is about none.
    public internal(set) var incident: Int64 = 0
    public internal(set) var verb: String
    public internal(set) var before = ""
    public internal(set) var after = ""
    /// The row it is about; both empty: none.
    public internal(set) var table = ""
    public internal(set) var key = ""
    /// Digest of the row before and after; empty where there was, or is, none.
    public internal(set) var was: [UInt8] = []
    public internal(set) var digest: [UInt8] = []

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

/// How far the audit trail has come, signed: the head in the archive, and what is kept elsewhere.
public struct AuditCheckpoint: Sendable, Equatable {
    /// 16 random bytes, chosen when the trail was begun.
    public var archiveID: [UInt8]
    /// Of the last record; 0: there is none.
    public var sequence: Int64
    /// Of the last record: SHA-256, which covers every record before it.
    public var hash: [UInt8]
    /// When it was signed, milliseconds since 1970.
    public var time: Int64
    /// Ed25519, 32 bytes.
    public var publicKey: [UInt8]
    /// Ed25519 (RFC 8032), 64 bytes.
    public var signature: [UInt8] = []

    init(archiveID: [UInt8], sequence: Int64, hash: [UInt8], time: Int64, publicKey: [UInt8], signature: [UInt8] = []) {
        self.archiveID = archiveID
        self.sequence = sequence
        self.hash = hash
        self.time = time
        self.publicKey = publicKey
        self.signature = signature
    }

    /// As the archiver's service gives it.
    public init(_ proto: Tocsin_V1_AuditCheckpoint) {
        self.init(
            archiveID: Array(proto.archiveID), sequence: stored(proto.sequence), hash: Array(proto.hash),
            time: stored(proto.time), publicKey: Array(proto.publicKey), signature: Array(proto.signature))
    }

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

    // MARK: - As a file

    private struct File: Codable {
        var archiveID: String
        var sequence: Int64
        var hash: String
        var time: Int64
        var publicKey: String
        var signature: String

        enum CodingKeys: String, CodingKey {
            case sequence, hash, time, signature
            case archiveID = "archive_id"
            case publicKey = "public_key"
        }
    }

    /// As it is kept in a file: JSON, bytes in hexadecimal digits.
    ///
    /// - Throws: `ArchiveError` if it is something else.
    public init(json: [UInt8]) throws(ArchiveError) {
        do {
            let file = try JSONDecoder().decode(File.self, from: Data(json))
            func bytes(_ text: String, _ count: Int) throws -> [UInt8] {
                guard let bytes = [UInt8](hexadecimal: text), bytes.count == count else {
                    throw ArchiveError(.foreign, "\"\(text.prefix(140))\" is not \(count) bytes in hexadecimal digits")
                }
                return bytes
            }
            self.init(
                archiveID: try bytes(file.archiveID, 16), sequence: file.sequence, hash: try bytes(file.hash, 32),
                time: file.time, publicKey: try bytes(file.publicKey, 32), signature: try bytes(file.signature, 64))
        } catch let error as ArchiveError {
            throw error
        } catch {
            throw ArchiveError(.foreign, "it is no checkpoint as `tocsin archive checkpoint` writes it: \(error)")
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

    // MARK: - Those that are kept in the archive

    /// In order. `head`: of the same trail.
    static func kept(in db: Database, of head: AuditCheckpoint) throws -> [AuditCheckpoint] {
        let rows = try Row.fetchCursor(
            db, sql: "SELECT sequence, hash, time, signature FROM audit_checkpoints ORDER BY sequence")
        var kept: [AuditCheckpoint] = []
        while let row = try rows.next() {
            kept.append(
                AuditCheckpoint(
                    archiveID: head.archiveID, sequence: row[0], hash: bytes(row[1]), time: row[2], publicKey: head.publicKey,
                    signature: bytes(row[3])))
        }
        return kept
    }

    func keep(in db: Database) throws {
        try db.execute(
            sql: "INSERT INTO audit_checkpoints (sequence, hash, time, signature) VALUES (?, ?, ?, ?)",
            arguments: [sequence, Data(hash), time, Data(signature)])
    }
}
