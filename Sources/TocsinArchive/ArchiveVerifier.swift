import FoundationEssentials
import GRDB
import Glibc
import TocsinPosix

/// Something in an archive that is not as Tocsin has written it.
public struct ArchiveDiscrepancy: Sendable, Equatable, CustomStringConvertible {
    /// What is wrong. The names are those of the JSON output.
    public enum Kind: String, Sendable {
        /// A record or a row is not what was written.
        case changed
        /// A record or a row is gone.
        case dropped
        /// A record or a row is there that Tocsin has not written.
        case added
        /// The trail ends before its head, or before a checkpoint.
        case truncated
        /// The head is gone, or is not signed by the archive's key.
        case head
        /// A checkpoint does not belong to this trail.
        case checkpoint
        /// Tables, indices or triggers are others than this version makes.
        case schema
        /// SQLite cannot read the file.
        case damaged
    }

    public var kind: Kind
    /// The record of the trail that it is about; 0: none.
    public var record: Int64
    /// The row that it is about, or empty.
    public var table: String
    public var key: String
    /// One sentence.
    public var description: String
}

/// What the examination of an archive has found.
public struct ArchiveExamination: Sendable {
    /// Records of the trail, and rows of the tables it covers.
    public internal(set) var records: UInt64 = 0
    public internal(set) var rows: UInt64 = 0
    /// Nil: there is none.
    public internal(set) var head: AuditCheckpoint?
    /// All that was found.
    public internal(set) var found: UInt64 = 0
    /// The first of it, at most `kept`.
    public internal(set) var discrepancies: [ArchiveDiscrepancy] = []
    static let kept = 1000

    /// Everything is as Tocsin has written it.
    public var isSound: Bool { found == 0 }

    mutating func report(
        _ kind: ArchiveDiscrepancy.Kind, record: Int64 = 0, table: String = "", key: String = "", _ description: String
    ) {
        found += 1
        guard discrepancies.count < Self.kept else { return }
        discrepancies.append(
            ArchiveDiscrepancy(kind: kind, record: record, table: table, key: key, description: description))
    }
}

/// Reads a whole archive and compares it with its audit trail. AuditTrail.md says what is compared and what follows from it.
///
/// Memory is bounded: what has to be remembered of each row is in a temporary file.
public enum ArchiveVerifier {
    /// Examines the archive at `path`, also while an archiver works on it: what it has committed when this begins. Changes
    /// nothing. Blocking, for long.
    ///
    /// `publicKey`: of the key that has to have signed it; nil: the one that the archive itself names, which proves less.
    /// `checkpoints`: that were kept elsewhere.
    ///
    /// - Throws: `ArchiveError` if there is no archive, none that this version knows, or it cannot be read.
    public static func examine(
        _ path: String, publicKey: [UInt8]? = nil, checkpoints: [AuditCheckpoint] = []
    ) throws(ArchiveError) -> ArchiveExamination {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw ArchiveError(.inaccessible, "the archive \(path) cannot be read: \(errorText(errno))")
        }
        var examiner = Examiner(publicKey: publicKey, checkpoints: checkpoints)
        do {
            let queue = try DatabaseQueue.reading(path)
            // What it had found counts, also if SQLite gives up in the middle.
            let result = try queue.read { db in
                try check(db, path: path)
                return Result { try examiner.run(db) }
            }
            try queue.close()
            try result.get()
        } catch let error as DatabaseError where [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(error.resultCode) {
            examiner.examination.report(.damaged, "SQLite cannot read the file: \(error.message ?? "\(error.resultCode)")")
        } catch let error as DatabaseError {
            throw ArchiveError(error, path: path)
        } catch let error as ArchiveError {
            throw error
        } catch {
            throw ArchiveError(.other, "the archive \(path) cannot be verified: \(error)")
        }
        return examiner.examination
    }

    private static func check(_ db: Database, path: String) throws {
        guard try Int32.fetchOne(db, sql: "PRAGMA application_id") == Schema.applicationID else {
            throw ArchiveError(.foreign, "\(path) is no archive of Tocsin")
        }
        let migrator = Schema.migrator
        guard try !migrator.hasBeenSuperseded(db) else {
            throw ArchiveError(.foreign, "the archive \(path) was written by a newer version of Tocsin; verify it with that")
        }
        guard try migrator.hasCompletedMigrations(db) else {
            throw ArchiveError(
                .foreign,
                "the archive \(path) is of an older version and not yet taken over; start an archiver of this version once")
        }
    }
}

extension DatabaseQueue {
    /// An archive that is only read, also beside an archiver that works on it.
    static func reading(_ path: String) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(5)
        return try DatabaseQueue(path: path, configuration: configuration)
    }
}

/// One examination under way.
private struct Examiner {
    var examination = ArchiveExamination()
    private let publicKey: [UInt8]?
    private let checkpoints: [AuditCheckpoint]
    /// Of the last record that was read.
    private var sequence: Int64 = 0
    private var hash = AuditRecord.noHash
    /// Hashes that checkpoints speak of.
    private var hashes: [Int64: [UInt8]] = [:]

    init(publicKey: [UInt8]?, checkpoints: [AuditCheckpoint]) {
        self.publicKey = publicKey
        self.checkpoints = checkpoints
    }

    mutating func run(_ db: Database) throws {
        for problem in try String.fetchAll(db, sql: "PRAGMA integrity_check(20)") where problem != "ok" {
            examination.report(.damaged, "SQLite: \(problem)")
        }
        try compareSchema(db)
        let rows = try RowMemory()
        examination.head = try AuditCheckpoint.head(in: db)
        // Their keys are the archive's, which is all that is kept of them there.
        let own = try examination.head.map { try AuditCheckpoint.kept(in: db, of: $0) } ?? []
        let places = own.map(\.sequence) + checkpoints.map(\.sequence)
        try readChain(db, rows, checkpoints: Set(places))
        try compareHead(db)
        for checkpoint in own { compare(checkpoint, "in the archive, at record \(checkpoint.sequence),") }
        for checkpoint in checkpoints { compare(checkpoint, "of \(checkpoint.time) at record \(checkpoint.sequence)") }
        for table in AuditedTable.all { try compare(table, db, rows) }
        try compareEvents(db, rows)
        try rows.unseen { name, record in
            examination.report(
                .dropped, record: record, table: name.table, key: name.key,
                "\(name) is gone; it was written by record \(record)")
        }
    }

    // MARK: - Schema

    private mutating func compareSchema(_ db: Database) throws {
        let query = """
            SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
            """
        func schema(_ db: Database) throws -> [String: String] {
            var schema: [String: String] = [:]
            let rows = try Row.fetchCursor(db, sql: query)
            while let row = try rows.next() { schema[row[0]] = row[1] }
            return schema
        }
        let found = try schema(db)
        let fresh = try DatabaseQueue()
        try Schema.migrator.migrate(fresh)
        let expected = try fresh.read(schema)
        for name in Set(found.keys).union(expected.keys).sorted() where found[name] != expected[name] {
            let what = expected[name] == nil ? "does not belong here" : found[name] == nil ? "is missing" : "was changed"
            examination.report(.schema, "the \(name) \(what)")
        }
        let applied = try String.fetchAll(db, sql: "SELECT identifier FROM grdb_migrations ORDER BY rowid")
        if applied.sorted() != Schema.migrator.migrations.sorted() {
            examination.report(.schema, "the list of migrations was changed")
        }
    }

    // MARK: - The chain

    private mutating func readChain(_ db: Database, _ rows: RowMemory, checkpoints: Set<Int64>) throws {
        hashes[0] = AuditRecord.noHash
        let statement = try db.makeStatement(sql: "SELECT \(AuditRecord.columns) FROM audit ORDER BY sequence")
        let cursor = try Row.fetchCursor(statement)
        while try cursor.next() != nil {
            examination.records += 1
            guard let (record, stored) = AuditRecord.read(statement.sqliteStatement) else {
                let place = StoredValue(statement.sqliteStatement, column: 0).int64 ?? 0
                examination.report(.changed, record: place, "record \(place) has a value that no record has")
                sequence = place
                continue
            }
            if record.sequence <= 0 {
                examination.report(
                    .added, record: record.sequence, "record \(record.sequence) was added; the first one is 1")
                continue
            }
            if record.sequence != sequence + 1 {
                let missing = "\(sequence + 1)" + (record.sequence > sequence + 2 ? " to \(record.sequence - 1)" : "")
                examination.report(.dropped, record: sequence + 1, "of the audit trail, \(missing) is gone")
            } else if AuditRecord.hash(of: statement.sqliteStatement, after: hash) != stored {
                examination.report(
                    .changed, record: record.sequence,
                    "record \(record.sequence) is not what was written after \(sequence): it, or its place, was changed")
            }
            (sequence, hash) = (record.sequence, stored)
            if checkpoints.contains(sequence) { hashes[sequence] = stored }
            if record.table.isEmpty { continue }
            let row = RowMemory.Name(table: record.table, key: record.key)
            let known = try rows.digest(of: row)
            if record.was != known ?? [] {
                examination.report(
                    .changed, record: record.sequence, table: row.table, key: row.key,
                    "\(row) was changed behind Tocsin's back before record \(record.sequence) was written")
            }
            try rows.put(row, record.digest, record: record.sequence)
        }
    }

    private mutating func compareHead(_ db: Database) throws {
        guard let head = examination.head else {
            return examination.report(.head, "the head of the audit trail is gone")
        }
        if try Int.fetchOne(db, sql: "SELECT count(*) FROM audit_head") != 1 {
            examination.report(.head, "the audit trail has more than one head")
        }
        if let publicKey, publicKey != head.publicKey {
            examination.report(.head, "the head of the audit trail names another key than the one that was given")
        }
        if !head.isSigned(by: publicKey ?? head.publicKey) {
            examination.report(.head, "the head of the audit trail is not signed by the archive's key")
        }
        if sequence < head.sequence {
            examination.report(
                .truncated, record: sequence + 1,
                "the audit trail ends with record \(sequence), and its head says \(head.sequence)")
        } else if sequence > head.sequence {
            examination.report(
                .added, record: head.sequence + 1,
                "records after \(head.sequence), which the head says is the last, were added")
        } else if hash != head.hash {
            examination.report(
                .changed, record: sequence, "the audit trail ends with another hash than its head says: it was rewritten")
        }
    }

    private mutating func compare(_ checkpoint: AuditCheckpoint, _ what: String) {
        guard let head = examination.head else { return }
        func report(_ problem: String) {
            examination.report(.checkpoint, record: checkpoint.sequence, "the checkpoint \(what) \(problem)")
        }
        if checkpoint.archiveID != head.archiveID { return report("is of another archive") }
        if checkpoint.publicKey != publicKey ?? head.publicKey || !checkpoint.isSigned(by: checkpoint.publicKey) {
            return report("is not signed by the archive's key")
        }
        if checkpoint.sequence > sequence {
            return examination.report(
                .truncated, record: sequence + 1,
                "the audit trail ends with record \(sequence), before the checkpoint \(what): it was cut off, or this is an older "
                    + "copy")
        }
        if hashes[checkpoint.sequence] != checkpoint.hash { report("is not in this audit trail: it was rewritten") }
    }

    // MARK: - The tables

    private mutating func compare(_ table: AuditedTable, _ db: Database, _ rows: RowMemory) throws {
        var digest = try RowDigest(table.name, in: db)
        let columns = digest.columns.joined(separator: ", ")
        let statement = try db.makeStatement(
            sql: "SELECT \(columns), \(table.keyText(of: "")) FROM \(table.name) NOT INDEXED")
        let cursor = try Row.fetchCursor(statement)
        let keyColumn = digest.columns.count
        while try cursor.next() != nil {
            examination.rows += 1
            let name = RowMemory.Name(
                table: table.name, key: StoredValue(statement.sqliteStatement, column: keyColumn).string ?? "")
            try see(name, digest.digest { StoredValue(statement.sqliteStatement, column: $0) }, rows)
        }
    }

    private mutating func compareEvents(_ db: Database, _ rows: RowMemory) throws {
        var digest = try RowDigest(AuditedTable.events, in: db)
        let statement = try db.makeStatement(
            sql: "SELECT \(digest.columns.joined(separator: ", ")), batch FROM events ORDER BY batch, id")
        let cursor = try Row.fetchCursor(statement)
        var batch: Int64?
        var events = EventBatchDigest()
        func finish(_ examiner: inout Examiner) throws {
            guard let batch else { return }
            try examiner.see(RowMemory.Name(table: AuditedTable.events, key: "\(batch)"), events.digest, rows)
        }
        while try cursor.next() != nil {
            examination.rows += 1
            let next = StoredValue(statement.sqliteStatement, column: digest.columns.count).int64 ?? -1
            if next != batch {
                try finish(&self)
                batch = next
                events = EventBatchDigest()
            }
            events.add(digest.digest { StoredValue(statement.sqliteStatement, column: $0) })
        }
        try finish(&self)
    }

    private mutating func see(_ name: RowMemory.Name, _ digest: [UInt8], _ rows: RowMemory) throws {
        if try rows.see(name, digest) { return }
        if let record = try rows.record(of: name) {
            let what = name.table == AuditedTable.events ? "changed, dropped or added to" : "changed"
            examination.report(
                .changed, record: record, table: name.table, key: name.key,
                "\(name) was \(what); it was written by record \(record)")
            try rows.forget(name)
        } else {
            examination.report(
                .added, table: name.table, key: name.key, "\(name) was added: no record has written it")
        }
    }
}

/// What each row is after all records, in a temporary file.
private struct RowMemory {
    struct Name: CustomStringConvertible {
        var table: String
        var key: String

        var description: String {
            table == AuditedTable.events ? "the events that record \(key) and its transaction added" : "row \(key) of \(table)"
        }
    }

    private let queue: DatabaseQueue

    init() throws {
        var configuration = Configuration()
        // One for all: it is never committed.
        configuration.allowsUnsafeTransactions = true
        // SQLite's name for a file that nobody sees and that is gone with its connection.
        queue = try DatabaseQueue(path: "", configuration: configuration)
        try queue.writeWithoutTransaction { db in
            try db.execute(
                sql: """
                    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -32768;
                    CREATE TABLE latest (
                        name TEXT NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, record INTEGER NOT NULL,
                        seen INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (name, key)
                    ) WITHOUT ROWID;
                    BEGIN
                    """)
        }
    }

    private func use<Value>(_ sql: String, _ body: (Database, Statement) throws -> Value) throws -> Value {
        try queue.unsafeReentrantRead { try body($0, try $0.cachedStatement(sql: sql)) }
    }

    func digest(of name: Name) throws -> [UInt8]? {
        try use("SELECT digest FROM latest WHERE name = ? AND key = ?") { _, statement in
            try Data.fetchOne(statement, arguments: [name.table, name.key]).map { Array($0) }
        }
    }

    func record(of name: Name) throws -> Int64? {
        try use("SELECT record FROM latest WHERE name = ? AND key = ?") { _, statement in
            try Int64.fetchOne(statement, arguments: [name.table, name.key])
        }
    }

    /// `digest` empty: the row is gone.
    func put(_ name: Name, _ digest: [UInt8], record: Int64) throws {
        if digest.isEmpty { return try forget(name) }
        try use("INSERT OR REPLACE INTO latest (name, key, digest, record) VALUES (?, ?, ?, ?)") { _, statement in
            try statement.execute(arguments: [name.table, name.key, Data(digest), record])
        }
    }

    func forget(_ name: Name) throws {
        try use("DELETE FROM latest WHERE name = ? AND key = ?") { _, statement in
            try statement.execute(arguments: [name.table, name.key])
        }
    }

    /// Notes that a row is there. False: not as it was written, or seen before.
    func see(_ name: Name, _ digest: [UInt8]) throws -> Bool {
        try use("UPDATE latest SET seen = 1 WHERE name = ? AND key = ? AND digest = ? AND seen = 0") { db, statement in
            try statement.execute(arguments: [name.table, name.key, Data(digest)])
            return db.changesCount == 1
        }
    }

    /// The rows that were not there, and the record that wrote each last.
    func unseen(_ body: (Name, Int64) -> Void) throws {
        try queue.unsafeReentrantRead { db in
            let rows = try Row.fetchCursor(db, sql: "SELECT name, key, record FROM latest WHERE seen = 0")
            while let row = try rows.next() { body(Name(table: row[0], key: row[1]), row[2]) }
        }
    }
}

extension AuditRecord {
    /// Hash of the record that `statement`, of `columns`, is at, byte for byte as it is stored.
    static func hash(of statement: OpaquePointer, after previous: [UInt8]) -> [UInt8] {
        var encoding = CanonicalBytes("tocsin.audit.record.1")
        encoding.add(previous)
        for column in 0..<12 { encoding.add(field: StoredValue(statement, column: column)) }
        return encoding.digest
    }

    /// The record that `statement`, of `columns`, is at, and its hash as it is stored; nil if a value is of another type.
    static func read(_ statement: OpaquePointer) -> (AuditRecord, hash: [UInt8])? {
        func value(_ column: Int) -> StoredValue { StoredValue(statement, column: column) }
        guard let sequence = value(0).int64, let time = value(1).int64, let actor = value(2).string,
            let caller = value(3).string, let incident = value(4).int64, let verb = value(5).string,
            let before = value(6).string, let after = value(7).string, let table = value(8).string,
            let key = value(9).string, let was = value(10).array, let digest = value(11).array, let hash = value(12).array
        else { return nil }
        let record = AuditRecord(
            sequence: sequence, time: time, actor: actor, caller: caller, incident: incident, verb: verb, before: before,
            after: after, table: table, key: key, was: was, digest: digest)
        return (record, hash)
    }
}
