import FoundationEssentials
import GRDB
import Glibc
import Synchronization
import TocsinDomain
import TocsinPolicy
import TocsinPosix
import TocsinSystem

/// The archive's database: the system of record. One writer at a time, by lock; any number of readers. Thread-safe; the async
/// methods run on GRDB's own queues.
///
/// **Rule.** Whatever a batch or a command changes (position, fates of events, alerts, incidents, timeline, counters, outbox)
/// is committed in one transaction, synced to disk (`synchronous=FULL`) when the method returns. **Why.** The worker
/// acknowledges to the hub only after that; if it dies before, the hub delivers again, and the event ids show what was done.
/// **If not followed**, an acknowledged event could be lost by a power failure.
final class ArchiveStore: Sendable {
    let path: String
    let vault: Vault
    /// The proof of all that is written.
    let audit: AuditTrail
    /// What can be learnt from.
    let past = PastIncidents()
    private let judging: Mutex<ArchivePolicy>
    private let database: DatabasePool
    private let lock: ArchiveLock
    private let isClosed = Atomic<Bool>(false)

    /// Opens or creates the archive whose lock is held. Blocking.
    ///
    /// `auditKey`: the file of the key that signs the audit trail; nil: beside the database.
    ///
    /// - Throws: `ArchiveError`.
    init(
        path: String, policy: ArchivePolicy, vault: Vault, lock: ArchiveLock, auditKey: String? = nil
    ) throws(ArchiveError) {
        self.path = path
        judging = Mutex(policy)
        self.vault = vault
        self.lock = lock
        do {
            let database = try Self.open(path, vault)
            self.database = database
            let keyPath = auditKey ?? AuditKey.defaultPath(database: path)
            let audit = try database.writeWithoutTransaction { try AuditTrail($0, keyPath: keyPath, archive: path) }
            self.audit = audit
            try Self.sealOnce(database, vault, audit)
            database.add(transactionObserver: past)
            try database.write { db in
                try audit.begin(db)
                try Self.judgeAnew(policy, at: MachineClock.wall(), Sealer(vault, db))
                try audit.finish(db)
            }
        } catch {
            throw Self.archiveError(error, path: path)
        }
    }

    /// What is judged by at present.
    var policy: ArchivePolicy { judging.withLock { $0 } }

    /// Judges by another policy from here on; what is held back is looked at again.
    ///
    /// - Throws: `ArchiveError` or `CancellationError`; then the policy is as it was.
    func use(_ policy: Policy, now: UInt64) async throws {
        let before = self.policy
        let next: ArchivePolicy
        do throws(PolicyProblem) {
            next = try ArchivePolicy(before.incidents, policy)
        } catch {
            throw ArchiveError(.other, "the policy cannot be used: \(error)")
        }
        do {
            // Within the transaction, so that what is written after it is judged by the new one.
            try await writeSealed { sealer in
                try Self.judgeAnew(next, at: now, sealer)
                self.judging.withLock { $0 = next }
            }
        } catch {
            judging.withLock { $0 = before }
            throw error
        }
    }

    /// What fires may explain other alerts than by the policy before, and what is held may be so no more.
    private static func judgeAnew(_ policy: ArchivePolicy, at now: UInt64, _ sealer: Sealer) throws {
        let db = sealer.db
        try db.execute(sql: "UPDATE holds SET due = ? WHERE kind != 'flapping'", arguments: [stored(max(1, now))])
        try db.execute(sql: "DELETE FROM inhibitors")
        if policy.policy.inhibitions.isEmpty { return }
        var judge = policy.judge
        let rows = try Row.fetchCursor(
            db, sql: "SELECT \(AlertRecord.columns) FROM alerts WHERE state IN ('firing', 'suppressed')")
        while let row = try rows.next() {
            let alert = try AlertRecord(row)
            // What was never told of explains nothing.
            guard alert.state == .firing, let incident = try IncidentRecord.find(alert.incident, in: db) else { continue }
            let view = try AlertView(alert, drill: incident.drill, sealer)
            try Inhibitors.put(judge.inhibitors(view), by: view.fingerprint, in: db)
        }
    }

    private static func open(_ path: String, _ vault: Vault) throws -> DatabasePool {
        // SQLite gives its other files the mode of this one; what is in it is nobody else's.
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw ArchiveError(
                .inaccessible,
                "the archive \(path) cannot be opened for writing: \(errorText(errno)); check its path and owner")
        }
        Glibc.close(descriptor)
        var configuration = Configuration()
        configuration.label = "tocsin-archive"
        configuration.maximumReaderCount = 4
        // Only other programs can be in the way, since the lock keeps other archivers out.
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { db in
            // Event ids are spread over their whole table; 32 MiB keep most of it at hand.
            try db.execute(sql: "PRAGMA cache_size = -32768")
            // What is overwritten or deleted is zeroes on the disk.
            try db.execute(sql: "PRAGMA secure_delete = ON")
            try checkOwner(db, path: path)
            db.add(function: plainText)
        }
        let pool = try DatabasePool(path: path, configuration: configuration)
        try pool.writeWithoutTransaction { db in
            // After the pool has set WAL, because GRDB then sets NORMAL, which may lose the last commits in a power failure.
            try db.execute(sql: "PRAGMA synchronous = FULL")
            guard try Int.fetchOne(db, sql: "PRAGMA synchronous") == 2 else {
                throw ArchiveError(.other, "SQLite does not take synchronous=FULL for \(path); the archive is not safe")
            }
        }
        let migrator = Schema.migrator
        guard try pool.read({ try !migrator.hasBeenSuperseded($0) }) else {
            throw ArchiveError(
                .foreign, "the archive \(path) was written by a newer version of Tocsin; use that version, or a copy")
        }
        try migrator.migrate(pool)
        try pool.read { try checkKey($0, vault, path: path) }
        return pool
    }

    /// Seals what is from before there was a master key, and leaves nothing of it in what the file has free.
    private static func sealOnce(_ database: DatabasePool, _ vault: Vault, _ audit: AuditTrail) throws {
        let sealed = try database.write { db -> Int in
            guard try Data.fetchOne(db, sql: "SELECT value FROM master_key") == nil else { return 0 }
            try audit.begin(db)
            let sealed = try PlainArchive(db, vault).seal()
            try db.execute(sql: "INSERT INTO master_key VALUES (?)", arguments: [vault.check])
            try audit.finish(db)
            return sealed
        }
        guard sealed > 0 else { return }
        try database.writeWithoutTransaction { try $0.execute(sql: "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)") }
    }

    /// Whether there is an archive whose people's data is sealed with a master key. Blocking.
    ///
    /// - Throws: `ArchiveError`.
    static func isSealed(_ path: String) throws(ArchiveError) -> Bool {
        var status = stat()
        guard stat(path, &status) == 0, status.st_size > 0 else { return false }
        do {
            let database = try DatabaseQueue(path: path)
            let found = try database.read {
                try Int.fetchOne($0, sql: "SELECT count(*) FROM sqlite_master WHERE name = 'master_key'")
                    == 0 ? false : Int.fetchOne($0, sql: "SELECT count(*) FROM master_key") != 0
            }
            try database.close()
            return found
        } catch {
            throw archiveError(error, path: path)
        }
    }

    /// Refuses a master key that is not the one the archive was made with: everybody would have two identities.
    private static func checkKey(_ db: Database, _ vault: Vault, path: String) throws {
        guard let known = try Data.fetchOne(db, sql: "SELECT value FROM master_key"), known != vault.check else { return }
        throw ArchiveError(
            .inaccessible,
            "the master key is not the one the archive \(path) was made with; give it that one (archiver.master_key)")
    }

    /// A text without what is sealed in it, for searches.
    private static let plainText = DatabaseFunction("plain_text", argumentCount: 1, pure: true) { values in
        String.fromDatabaseValue(values[0]).map { SealedText.plain($0) }
    }

    /// Refuses a database that some other program made.
    private static func checkOwner(_ db: Database, path: String) throws {
        let id = try Int32.fetchOne(db, sql: "PRAGMA application_id") ?? 0
        if id == Schema.applicationID { return }
        let tables = try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master") ?? 0
        guard id == 0, tables == 0 else {
            throw ArchiveError(
                .foreign, "\(path) is a database of another program; give the archive a path of its own")
        }
    }

    /// Runs `body` in one synced transaction, and writes down in the audit trail what it changed. `caller`: the key that asks for
    /// it; empty: not known.
    ///
    /// - Throws: `ArchiveError`, `CommandRefusal` of `body`, or `CancellationError`; then nothing was written.
    func write<Value: Sendable>(
        caller: String = "", _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws -> Value {
        try await writeSealed(caller: caller) { try body($0.db) }
    }

    /// As `write`, for what seals or opens text.
    func writeSealed<Value: Sendable>(
        caller: String = "", _ body: @escaping @Sendable (Sealer) throws -> Value
    ) async throws -> Value {
        try await guarded {
            try await self.database.write { [audit = self.audit, vault = self.vault] db in
                let sealer = Sealer(vault, db)
                try audit.begin(db)
                // Sealing may make a key, which is a change of the transaction.
                audit.take(caller: try sealer.seal(actor: caller))
                let value = try body(sealer)
                try audit.finish(db)
                return value
            }
        }
    }

    /// Runs `body` on a consistent snapshot. Throws like `write`.
    func read<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        try await guarded { try await self.database.read(body) }
    }

    /// As `read`, for what opens text.
    func readSealed<Value: Sendable>(_ body: @escaping @Sendable (Sealer) throws -> Value) async throws -> Value {
        try await read { [vault] db in try body(Sealer(vault, db)) }
    }

    private func guarded<Value>(_ body: () async throws -> Value) async throws -> Value {
        let stopping = ArchiveError(.closed, "this archiver is stopping; ask again in a moment")
        guard !isClosed.load(ordering: .acquiring) else { throw stopping }
        do {
            return try await body()
        } catch let error as DatabaseError where error.resultCode == .SQLITE_INTERRUPT {
            throw CancellationError()
        } catch let error as DatabaseError {
            throw isClosed.load(ordering: .acquiring) ? stopping : ArchiveError(error, path: path)
        } catch let error as DecodingError {
            throw ArchiveError(
                .corrupt,
                "the archive \(path) holds a text that is not the JSON it should be (\(error)); restore it from a copy")
        }
    }

    /// Puts all of the log into the database and leaves it empty.
    ///
    /// - Throws: `ArchiveError`, `locked` if somebody reads what is in it.
    func emptyLog() async throws {
        try await guarded {
            try await self.database.writeWithoutTransaction { db in
                let isBusy = try Bool.fetchOne(db, sql: "PRAGMA wal_checkpoint(TRUNCATE)") ?? true
                guard !isBusy else {
                    throw ArchiveError(
                        .locked, "another program reads the archive, so that its log cannot be emptied; close it and ask again")
                }
            }
        }
    }

    /// Ends all use: what runs is finished, what comes later is refused, and the lock is released. Safe to call twice.
    /// Blocking.
    ///
    /// - Throws: `ArchiveError` if SQLite cannot close; then the lock is kept until the process ends.
    func close() throws(ArchiveError) {
        guard !isClosed.exchange(true, ordering: .acquiringAndReleasing) else { return }
        do {
            // So that the one file is all of it, for who copies it. If another program reads, what stays in the log is not lost:
            // the next open finds it.
            try database.writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
            try database.close()
        } catch {
            throw Self.archiveError(error, path: path)
        }
        lock.release()
    }

    private static func archiveError(_ error: any Error, path: String) -> ArchiveError {
        switch error {
        case let error as ArchiveError: error
        case let error as DatabaseError: ArchiveError(error, path: path)
        default: ArchiveError(.other, "the archive \(path) cannot be opened: \(error)")
        }
    }
}
