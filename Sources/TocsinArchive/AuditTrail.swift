import Crypto
import FoundationEssentials
import GRDB
import GRDBSQLite
import Glibc
import Synchronization
import TocsinPosix

/// Something that was done and is no row of its own: an erasure of personal data, a purge.
struct AuditAct: Sendable {
    /// Sealed, if it names a person: what is in the trail stays for ever.
    var actor: String
    var verb: String
    var incident: UInt64 = 0
    var before = ""
    var after = ""
}

/// Writes the audit trail of one archive: a record for each row that a transaction changes, chained by hash, and the head signed.
///
/// **How.** The connection that writes has a temporary trigger on each audited table, which hands the changed row over; so what
/// changes rows need not know of it, and nothing that Tocsin writes can be forgotten. A program that changes the file has no
/// such triggers. At the end of the transaction the records are written and the head is signed, in the same transaction.
/// AuditTrail.md has the format and the reasons.
///
/// Used on the thread of the connection that writes.
final class AuditTrail: Sendable {
    private let key: AuditKey
    private let transaction: Mutex<Transaction>

    private static let function = "tocsin_audit"

    /// What one transaction has changed so far.
    private struct Transaction {
        var head: AuditCheckpoint
        var caller = ""
        /// In the order of their first change; of a row that changes more than once, the last state counts.
        var records: [AuditRecord] = []
        var places: [RowName: Int] = [:]
        /// Events that were added: id and digest.
        var events: [(id: [UInt8], digest: [UInt8])] = []
        var digests: [RowDigest]
    }

    private struct RowName: Hashable {
        /// Place of the table.
        var table: Int64
        var key: String
    }

    // MARK: - Opening

    /// Opens the trail of an archive that has its tables, on the connection that writes. An archive without a trail gets one:
    /// its rows are taken over as they are. Blocking.
    ///
    /// - Throws: `ArchiveError` if the key is missing or not right, or the trail does not end where its head says.
    init(_ db: Database, keyPath: String, archive: String) throws {
        let head: AuditCheckpoint
        if let known = try AuditCheckpoint.head(in: db) {
            key = try Self.key(of: known, keyPath: keyPath, archive: archive)
            try Self.check(known, in: db, archive: archive)
            head = known
        } else {
            (key, head) = try Self.begin(in: db, keyPath: keyPath, archive: archive)
        }
        let digests = try AuditedTable.all.map { try RowDigest($0.name, in: db) } + [RowDigest(AuditedTable.events, in: db)]
        transaction = Mutex(Transaction(head: head, digests: digests))
        try install(db, digests: digests)
    }

    private static func key(of head: AuditCheckpoint, keyPath: String, archive: String) throws -> AuditKey {
        if let key = try AuditKey.read(keyPath), key.publicKey == head.publicKey { return key }
        if let key = try AuditKey.left(keyPath), key.publicKey == head.publicKey {
            try key.keep()
            return key
        }
        throw ArchiveError(
            .inaccessible,
            "\(keyPath) is not the key that signs the audit trail of \(archive), or is not there; restore it from a copy, or set "
                + "archiver.audit_key to where it is")
    }

    /// Only the end: all of it is read by `tocsin archive verify`.
    private static func check(_ head: AuditCheckpoint, in db: Database, archive: String) throws {
        let last = try Row.fetchOne(db, sql: "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")
        let (sequence, hash): (Int64, Data) = (last?[0] ?? 0, last?[1] ?? Data(AuditRecord.noHash))
        guard head.isSigned(by: head.publicKey), sequence == head.sequence, Array(hash) == head.hash else {
            throw ArchiveError(
                .corrupt,
                "the audit trail of \(archive) does not end as its signed head says: somebody has changed the file; "
                    + "`tocsin archive verify` says what, a copy of the archive has what it was")
        }
    }

    private static func begin(
        in db: Database, keyPath: String, archive: String
    ) throws -> (AuditKey, AuditCheckpoint) {
        let isLost = try AuditKey.read(keyPath) != nil || Row.fetchOne(db, sql: "SELECT 1 FROM audit LIMIT 1") != nil
        guard !isLost else {
            throw ArchiveError(
                .corrupt,
                "the archive \(archive) has had an audit trail, for there is its key \(keyPath), and has none now; restore the "
                    + "archive from a copy, or, if it was taken away on purpose, move the key away to begin a new one")
        }
        // In its place only after what it signs is on disk: a key in its place without a trail is an alarm.
        let key = try AuditKey.create(keyPath)
        var random = SystemRandomNumberGenerator()
        var head = AuditCheckpoint(
            archiveID: (0..<16).map { _ in UInt8.random(in: .min ... .max, using: &random) }, sequence: 0,
            hash: AuditRecord.noHash, time: 0, publicKey: key.publicKey)
        try db.inTransaction {
            try adopt(&head, in: db)
            head.time = Int64(clamping: MachineClock.wall())
            try head.sign(with: key.key)
            try head.saveHead(in: db)
            return .commit
        }
        try key.keep()
        return (key, head)
    }

    /// Takes over the rows of an archive that had no trail: for each a record with its digest.
    private static func adopt(_ head: inout AuditCheckpoint, in db: Database) throws {
        let time = Int64(clamping: MachineClock.wall())
        for table in AuditedTable.all {
            var digest = try RowDigest(table.name, in: db)
            let columns = digest.columns.joined(separator: ", ")
            let incident = table.incident.isEmpty ? "0" : table.incident
            let statement = try db.makeStatement(
                sql: "SELECT \(columns), \(table.keyText(of: "")), \(incident) FROM \(table.name)")
            let rows = try Row.fetchCursor(statement)
            while let row = try rows.next() {
                var record = AuditRecord(verb: "adopted", table: table.name, key: row[digest.columns.count])
                record.time = time
                record.incident = row[digest.columns.count + 1]
                record.digest = digest.digest { StoredValue(statement.sqliteStatement, column: $0) }
                try append(record, to: &head, in: db)
            }
        }
        // As of a trail that was taken away.
        try db.execute(sql: "UPDATE events SET batch = 0 WHERE batch != 0")
        var batch = EventBatchDigest()
        var digest = try RowDigest(AuditedTable.events, in: db)
        let statement = try db.makeStatement(
            sql: "SELECT \(digest.columns.joined(separator: ", ")) FROM events ORDER BY id")
        let rows = try Row.fetchCursor(statement)
        while try rows.next() != nil {
            batch.add(digest.digest { StoredValue(statement.sqliteStatement, column: $0) })
        }
        if batch.count > 0 {
            var record = AuditRecord(verb: "adopted", table: AuditedTable.events, key: "0")
            record.time = time
            record.after = "\(batch.count)"
            record.digest = batch.digest
            try append(record, to: &head, in: db)
        }
    }

    /// Makes the triggers, and the function they call.
    private func install(_ db: Database, digests: [RowDigest]) throws {
        // The trail outlives the connection: the store has both.
        let status = sqlite3_create_function_v2(
            db.sqliteConnection, Self.function, -1, SQLITE_UTF8, Unmanaged.passUnretained(self).toOpaque(),
            { context, count, arguments in
                guard let context, let arguments else { return }
                let trail = Unmanaged<AuditTrail>.fromOpaque(sqlite3_user_data(context)).takeUnretainedValue()
                if let problem = trail.take(UnsafeBufferPointer(start: arguments, count: Int(count))) {
                    sqlite3_result_error(context, problem, -1)
                }
            }, nil, nil, nil)
        guard status == SQLITE_OK else { throw DatabaseError(resultCode: ResultCode(rawValue: status)) }
        for (place, table) in AuditedTable.all.enumerated() {
            for operation in AuditOperation.allCases {
                let columns = digests[place].columns
                try db.execute(
                    sql: table.trigger(operation, place: place, columns: columns, function: Self.function))
            }
        }
        let columns = (digests.last?.columns ?? []).map { "NEW." + $0 }.joined(separator: ", ")
        try db.execute(
            sql: """
                CREATE TEMP TRIGGER audit_events_added AFTER INSERT ON main.events
                BEGIN SELECT \(Self.function)(\(AuditedTable.all.count), NEW.batch, NEW.id, \(columns)); END;
                CREATE TEMP TRIGGER audit_events_changed BEFORE UPDATE ON main.events
                BEGIN SELECT RAISE(ABORT, 'events are only added'); END;
                CREATE TEMP TRIGGER audit_events_removed BEFORE DELETE ON main.events
                BEGIN SELECT RAISE(ABORT, 'events are only added'); END;
                """)
    }

    // MARK: - In a transaction

    /// Number of the transaction under way, for the rows of `events`: of its first record.
    var batch: Int64 { transaction.withLock { $0.head.sequence + 1 } }

    /// Begins a transaction, before anything is changed in it; what was not finished is forgotten.
    func begin(_ db: Database) throws {
        let head = try Self.head(in: db)
        transaction.withLock {
            $0.head = head
            $0.caller = ""
            $0.records.removeAll(keepingCapacity: true)
            $0.places.removeAll(keepingCapacity: true)
            $0.events.removeAll(keepingCapacity: true)
        }
    }

    /// Says which key asks for what the transaction does, sealed; empty: not known.
    func take(caller: String) { transaction.withLock { $0.caller = Self.storable(caller) } }

    /// Adds a record that is about no row, within a transaction of the store.
    func append(_ act: AuditAct) {
        transaction.withLock {
            var record = AuditRecord(verb: act.verb)
            record.actor = Self.storable(act.actor)
            record.incident = stored(act.incident)
            record.before = Self.storable(act.before)
            record.after = Self.storable(act.after)
            $0.records.append(record)
        }
    }

    /// What GRDB stores of a text: it ends at a zero.
    private static func storable(_ text: String) -> String { String(text.prefix { $0 != "\0" }) }

    /// Writes the records of the transaction and signs the head; last before it is committed.
    func finish(_ db: Database) throws {
        try transaction.withLock { transaction in
            var records = transaction.records.filter { $0.table.isEmpty || $0.was != $0.digest }
            if let events = Self.record(of: transaction.events, batch: transaction.head.sequence + 1) {
                records.append(events)
            }
            guard !records.isEmpty else { return }
            let time = Int64(clamping: MachineClock.wall())
            for var record in records {
                record.time = time
                record.caller = transaction.caller
                try Self.append(record, to: &transaction.head, in: db)
            }
            transaction.head.time = time
            try transaction.head.sign(with: key.key)
            try transaction.head.saveHead(in: db)
        }
    }

    private static func record(of events: [(id: [UInt8], digest: [UInt8])], batch: Int64) -> AuditRecord? {
        if events.isEmpty { return nil }
        var digest = EventBatchDigest()
        for event in events.sorted(by: { Self.precedes($0.id, $1.id) }) { digest.add(event.digest) }
        return AuditRecord(
            verb: "\(AuditOperation.added)", after: "\(events.count)", table: AuditedTable.events, key: "\(batch)",
            digest: digest.digest)
    }

    /// In the order of SQLite: byte by byte, what is a beginning of the other first.
    private static func precedes(_ one: [UInt8], _ two: [UInt8]) -> Bool {
        one.withUnsafeBytes { one in
            two.withUnsafeBytes { two in
                guard let first = one.baseAddress, let second = two.baseAddress else { return one.count < two.count }
                let order = memcmp(first, second, min(one.count, two.count))
                return order == 0 ? one.count < two.count : order < 0
            }
        }
    }

    private static func append(_ record: AuditRecord, to head: inout AuditCheckpoint, in db: Database) throws {
        var record = record
        head.sequence += 1
        record.sequence = head.sequence
        head.hash = record.hash(after: head.hash)
        // Bound without GRDB's arguments, which are a good part of the cost of a record.
        let statement = try db.cachedStatement(sql: insert).sqliteStatement
        sqlite3_reset(statement)
        for (column, integer) in [(1, record.sequence), (2, record.time), (5, record.incident)] as [(Int32, Int64)] {
            sqlite3_bind_int64(statement, column, integer)
        }
        func bind(_ column: Int32, _ text: String) { sqlite3_bind_text(statement, column, text, -1, transient) }
        bind(3, record.actor)
        bind(4, record.caller)
        bind(6, record.verb)
        bind(7, record.before)
        bind(8, record.after)
        bind(9, record.table)
        bind(10, record.key)
        func bind(_ column: Int32, _ blob: [UInt8]) {
            // A blob without bytes is one too, and not null.
            sqlite3_bind_blob(statement, column, blob.isEmpty ? [0] : blob, Int32(blob.count), transient)
        }
        bind(11, record.was)
        bind(12, record.digest)
        bind(13, head.hash)
        let status = sqlite3_step(statement)
        sqlite3_reset(statement)
        guard status == SQLITE_DONE else {
            throw DatabaseError(
                resultCode: ResultCode(rawValue: status), message: String(cString: sqlite3_errmsg(db.sqliteConnection)))
        }
    }

    /// SQLite copies what is bound.
    private static let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    private static let insert =
        "INSERT INTO audit (\(AuditRecord.columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

    /// A row that was changed; nil, or what is wrong.
    private func take(_ arguments: UnsafeBufferPointer<OpaquePointer?>) -> String? {
        transaction.withLock { transaction in
            guard arguments.count > 3, let place = StoredValue(arguments[0]).int64, let number = StoredValue(arguments[1]).int64,
                transaction.digests.indices.contains(Int(place))
            else { return "the audit trail was called wrongly" }
            if place == AuditedTable.all.count {
                guard number == transaction.head.sequence + 1, case .text(let id) = StoredValue(arguments[2]) else {
                    return "an event is not of the transaction that adds it"
                }
                let digest = transaction.digests[Int(place)].digest { StoredValue(arguments[3 + $0]) }
                transaction.events.append((Array(id), digest))
                return nil
            }
            let table = AuditedTable.all[Int(place)]
            guard let operation = AuditOperation(rawValue: number), let key = StoredValue(arguments[2]).string,
                let incident = StoredValue(arguments[3]).int64
            else { return "the audit trail was called wrongly" }
            let count = transaction.digests[Int(place)].columns.count
            var first = 8
            func digest() -> [UInt8] {
                defer { first += count }
                return transaction.digests[Int(place)].digest { StoredValue(arguments[first + $0]) }
            }
            let now = operation == .removed ? [] : digest()
            let was = operation == .added ? [] : digest()
            func text(_ index: Int) -> String { StoredValue(arguments[index]).text }
            let row = RowName(table: place, key: key)
            if let known = transaction.places[row] {
                transaction.records[known].digest = now
                transaction.records[known].after = text(7)
                return nil
            }
            transaction.places[row] = transaction.records.count
            transaction.records.append(
                AuditRecord(
                    actor: text(4), incident: incident, verb: text(5), before: text(6), after: text(7), table: table.name,
                    key: key, was: was, digest: now))
            return nil
        }
    }

    private static func head(in db: Database) throws -> AuditCheckpoint {
        guard let head = try AuditCheckpoint.head(in: db) else {
            throw ArchiveError(.corrupt, "the audit trail has lost its head: somebody has changed the file of the archive")
        }
        return head
    }

    // MARK: - Checkpoints

    /// Signs how far the trail has come in `db`. Any connection will do. `now`: milliseconds since 1970.
    func checkpoint(in db: Database, now: UInt64) throws -> AuditCheckpoint {
        var head = try Self.head(in: db)
        head.time = stored(now)
        try head.sign(with: key.key)
        return head
    }
}

/// Digest of the events that one transaction added, given in the order of their ids.
struct EventBatchDigest {
    private var hash = SHA256()
    private(set) var count = 0

    init() { hash.update(data: CanonicalBytes("tocsin.audit.events.1").bytes) }

    mutating func add(_ row: [UInt8]) {
        row.withUnsafeBytes { hash.update(bufferPointer: $0) }
        count += 1
    }

    var digest: [UInt8] { hash.finalize().bytes }
}

extension StoredValue {
    /// As text; empty where there is none.
    fileprivate var text: String {
        switch self {
        case .null, .real, .blob: ""
        case .integer(let integer): "\(integer)"
        case .text(let bytes): String(decoding: bytes, as: UTF8.self)
        }
    }
}
