import GRDB

/// The audit trail for people who read it.
public enum AuditLog {
    /// Which records.
    public struct Choice: Sendable {
        /// Nil: of all.
        public var incident: UInt64?
        /// From this one on; nil: the last ones.
        public var from: UInt64?
        /// At most so many.
        public var limit: Int
        /// Without the rows that changed in consequence of an act.
        public var actsOnly: Bool

        public init(incident: UInt64? = nil, from: UInt64? = nil, limit: Int, actsOnly: Bool) {
            self.incident = incident
            self.from = from
            self.limit = limit
            self.actsOnly = actsOnly
        }
    }

    /// Reads records of the archive at `path`, in order; nothing is verified. Names are opened with the master key in the file
    /// `masterKey`; without it they are read as `[sealed]`. Blocking.
    ///
    /// - Throws: `ArchiveError`.
    public static func read(
        _ path: String, _ choice: Choice, masterKey: String? = nil
    ) throws(ArchiveError) -> [AuditRecord] {
        do {
            let queue = try DatabaseQueue.reading(path)
            let vault = try masterKey.map { Vault(try MasterKey.file($0, database: path), personalLabels: []) }
            return try queue.read { db in
                let sealer = vault.map { Sealer($0, db) }
                return try read(db, choice).map { try opened($0, sealer) }
            }
        } catch let error as ArchiveError {
            throw error
        } catch let error as DatabaseError {
            throw ArchiveError(error, path: path)
        } catch {
            throw ArchiveError(.other, "the archive \(path) cannot be read: \(error)")
        }
    }

    private static func opened(_ record: AuditRecord, _ sealer: Sealer?) throws -> AuditRecord {
        func open(_ text: String) throws -> String {
            guard let sealer else { return SealedText.replacing(text) { _ in "[sealed]" } }
            return try sealer.open(text)
        }
        var record = record
        record.actor = try open(record.actor)
        record.caller = try open(record.caller)
        record.before = try open(record.before)
        record.after = try open(record.after)
        return record
    }

    private static func read(_ db: Database, _ choice: Choice) throws -> [AuditRecord] {
        var conditions = ["sequence >= ?"]
        var arguments: StatementArguments = [stored(choice.from ?? 0)]
        if let incident = choice.incident {
            conditions.append("incident = ?")
            arguments += [stored(incident)]
        }
        if choice.actsOnly {
            let operations = AuditOperation.allCases.map { "'\($0)'" } + ["'adopted'"]
            conditions.append("(verb NOT IN (\(operations.joined(separator: ", "))) OR row_table = 'alerts')")
        }
        let statement = try db.makeStatement(
            sql: """
                SELECT \(AuditRecord.columns) FROM audit WHERE \(conditions.joined(separator: " AND "))
                ORDER BY sequence \(choice.from == nil ? "DESC" : "") LIMIT \(choice.limit)
                """)
        let cursor = try Row.fetchCursor(statement, arguments: arguments)
        var records: [AuditRecord] = []
        while try cursor.next() != nil {
            if let (record, _) = AuditRecord.read(statement.sqliteStatement) { records.append(record) }
        }
        return choice.from == nil ? records.reversed() : records
    }
}
