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

    /// Reads records of the archive at `path`, in order; nothing is verified. Blocking.
    ///
    /// - Throws: `ArchiveError`.
    public static func read(_ path: String, _ choice: Choice) throws(ArchiveError) -> [AuditRecord] {
        do {
            var configuration = Configuration()
            configuration.readonly = true
            configuration.busyMode = .timeout(5)
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            return try queue.read { try read($0, choice) }
        } catch let error as DatabaseError {
            throw ArchiveError(error, path: path)
        } catch {
            throw ArchiveError(.other, "the archive \(path) cannot be read: \(error)")
        }
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
