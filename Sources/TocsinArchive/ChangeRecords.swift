import GRDB
import TocsinPolicy
import TocsinProto

/// What was changed, in the archive: the first word of each change, so that one that comes again does nothing.
enum ChangeRecords {
    /// As many are told at once, at most; and with an incident.
    static let listMax = 1000
    private static let nearMax = 50
    /// Services that are looked for together, at most.
    static let servicesMax = 1000
    /// What was changed so long before an incident was detected may be why, in milliseconds.
    private static let nearBefore: UInt64 = 2 * 3_600_000

    private static let columns = "id, service, changed_at, kind, author, summary, url"
    /// How long one is kept, in milliseconds, and how many are.
    private static let kept: UInt64 = 90 * 86_400_000
    private static let keptMax = 100_000

    /// Nil, or why it can never be stored.
    static func problem(of change: Tocsin_V1_ChangeRecord) -> String? {
        if change.id.isEmpty { return "the change has no id, so it could not be told from another" }
        if change.id.utf8.count > TextLimit.name {
            return "the id of a change has \(change.id.utf8.count) bytes; at most \(TextLimit.name) are possible"
        }
        if Command.isBlank(change.service) { return "the change \(change.id) has no service" }
        return Command.isBlank(change.summary) ? "the change \(change.id) has no summary" : nil
    }

    /// Takes a change, unless one of its id is known. `now`: no change is from later.
    static func add(_ change: Tocsin_V1_ChangeRecord, now: UInt64, _ sealer: Sealer) throws {
        let named = PersonalValues(change.author.isEmpty ? [] : [change.author])
        func clipped(_ text: String) -> String { SealedText.escape(TextLimit.clip(text, to: TextLimit.name)) }
        let statement = try sealer.db.cachedStatement(
            sql: "INSERT OR IGNORE INTO changes (\(columns)) VALUES (?, ?, ?, ?, ?, ?, ?)")
        try statement.execute(arguments: [
            sealer.seal(id: change.id, naming: named), clipped(change.service),
            stored(change.changedAt == 0 ? now : min(change.changedAt, now)),
            clipped(change.kind), try sealer.seal(actor: TextLimit.clip(change.author, to: TextLimit.name)),
            try sealer.seal(TextLimit.clip(change.summary, to: TextLimit.title), naming: named),
            try sealer.seal(TextLimit.clip(change.url, to: TextLimit.cause), naming: named),
        ])
    }

    /// Removes those that are too old, and of too many the oldest.
    static func prune(now: UInt64, in db: Database) throws {
        try db.cachedStatement(sql: "DELETE FROM changes WHERE changed_at < ?").execute(arguments: [
            stored(now > kept ? now - kept : 0)
        ])
        try db.cachedStatement(
            sql: """
                DELETE FROM changes WHERE id IN (
                    SELECT id FROM changes ORDER BY changed_at DESC, id LIMIT -1 OFFSET \(keptMax))
                """
        ).execute()
    }

    /// Those from `since` to `until`, the latest first; of these services, or of any if there are none.
    static func latest(
        of services: [String], from since: UInt64, to until: UInt64, limit: Int, _ sealer: Sealer
    ) throws -> [Tocsin_V1_ChangeRecord] {
        let marks = services.map { _ in "?" }.joined(separator: ", ")
        let among = services.isEmpty ? "" : "AND service IN (\(marks))"
        let statement = try sealer.db.cachedStatement(
            sql: """
                SELECT \(columns) FROM changes WHERE changed_at BETWEEN ? AND ? \(among)
                ORDER BY changed_at DESC, id LIMIT ?
                """)
        let arguments = [stored(since), stored(until)] + services.map { SealedText.escape($0) } + [limit]
        return try Row.fetchAll(statement, arguments: StatementArguments(arguments)).map { row in
            try .with {
                $0.id = row[0]
                $0.service = row[1]
                $0.changedAt = UInt64(clamping: row[2] as Int64)
                $0.kind = row[3]
                $0.author = try sealer.open(row[4])
                $0.summary = try sealer.open(row[5])
                $0.url = try sealer.open(row[6])
            }
        }
    }
}

extension ChangeRecords {
    /// What was changed shortly before an incident was detected, of its services and of what they depend on; the nearest first.
    static func near(_ incident: IncidentRecord, _ topology: Topology, _ sealer: Sealer) throws -> [Tocsin_V1_ChangeRecord] {
        let services = Set(incident.services + incident.services.flatMap { topology.dependencies(of: $0) })
        if services.isEmpty { return [] }
        let detected = incident.detectedAt
        return try latest(
            of: Array(services.sorted().prefix(servicesMax)), from: detected > nearBefore ? detected - nearBefore : 0,
            to: detected,
            limit: nearMax, sealer)
    }
}

extension ArchiveStore {
    /// What was changed of some services, or of all, since a time.
    func changes(_ request: Tocsin_V1_ListChangesRequest, now: UInt64) async throws -> Tocsin_V1_ListChangesResponse {
        guard request.services.count <= ChangeRecords.servicesMax else {
            throw CommandRefusal(
                .invalidArgument,
                "services has \(request.services.count) names; at most \(ChangeRecords.servicesMax) are possible")
        }
        let limit = request.limit == 0 ? ChangeRecords.listMax : min(Int(request.limit), ChangeRecords.listMax)
        return try await readSealed { sealer in
            try .with {
                $0.changes = try ChangeRecords.latest(
                    of: request.services, from: request.since, to: now, limit: limit, sealer)
            }
        }
    }
}
