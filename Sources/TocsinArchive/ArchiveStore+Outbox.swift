import FoundationEssentials
import GRDB
import SwiftProtobuf
import TocsinKit
import TocsinProto
import TocsinWire

/// Equal changes are equal bytes.
private let deterministic = {
    var options = BinaryEncodingOptions()
    options.useDeterministicOrdering = true
    return options
}()

/// A change that the hub does not have yet.
struct OutboxRow: Sendable, Equatable {
    /// Of the row; grows.
    var row: Int64
    var message: TocsinKit.Message

    /// Puts the change that a draft is into the outbox. False if it is not worth telling.
    static func insert(_ draft: IncidentDraft, in db: Database) throws -> Bool {
        guard !draft.verb.isEmpty else { return false }
        let incident = draft.incident
        var change = Tocsin_V1_IncidentChange()
        change.id = "incident/\(incident.number)/\(incident.version)"
        change.verb = draft.verb
        change.incident = incident.proto
        if let entry = draft.entries.last(where: { $0.verb == draft.verb }) ?? draft.entries.last {
            change.entry = entry.proto
        }
        change.labels = incident.labels
        let payload: Data = try change.serializedBytes(options: deterministic)
        let service = Subject.token(incident.services.first ?? "")
        let statement = try db.cachedStatement(
            sql: "INSERT INTO outbox (message_id, subject, severity, key, payload) VALUES (?, ?, ?, ?, ?)")
        try statement.execute(arguments: [
            change.id, Self.subject(of: draft, service), Int64(incident.severity.rawValue),
            "incident-\(incident.number)", payload,
        ])
        return true
    }

    /// Those who may watch changes may not watch these: see TocsinAccess.
    private static func subject(of draft: IncidentDraft, _ service: String) -> String {
        let place = draft.incident.needToKnow.isEmpty ? "incident" : "incident.need-to-know"
        return "\(place).\(Subject.token(draft.verb)).\(service)"
    }
}

extension ArchiveStore {
    /// The oldest changes that wait to be published, at most `limit` and, but for the first, `bytesMax` bytes of payload.
    func pendingChanges(limit: Int, bytesMax: Int) async throws -> [OutboxRow] {
        try await readSealed { sealer in
            let db = sealer.db
            let statement = try db.cachedStatement(
                sql:
                    "SELECT id, message_id, subject, severity, key, payload FROM outbox WHERE refused = '' ORDER BY id LIMIT ?"
            )
            var rows: [OutboxRow] = []
            var bytes = 0
            let cursor = try Row.fetchCursor(statement, arguments: [Int64(limit)])
            while let row = try cursor.next() {
                // As it was sealed it lies on the disk; as it was said it is published.
                let payload: Data = try sealer.open(try Tocsin_V1_IncidentChange(serializedBytes: row[5] as Data))
                    .serializedBytes(options: deterministic)
                bytes += payload.count
                if bytes > bytesMax, !rows.isEmpty { break }
                let id: String = row[1]
                let severity: Int64 = row[3]
                rows.append(
                    OutboxRow(
                        row: row[0],
                        message: TocsinKit.Message(
                            id: Array(id.utf8), subject: row[2],
                            severity: WireSeverity(rawValue: UInt8(clamping: severity)) ?? .info, key: row[4],
                            type: Tocsin_V1_IncidentChange.protoMessageName, payload: Array(payload))))
            }
            return rows
        }
    }

    /// Forgets changes that the hub has accepted.
    func deletePublished(_ rows: [OutboxRow]) async throws {
        guard !rows.isEmpty else { return }
        let ids = rows.map(\.row)
        try await write { db in
            let statement = try db.cachedStatement(sql: "DELETE FROM outbox WHERE id = ?")
            for id in ids { try statement.execute(arguments: [id]) }
        }
    }

    /// Sets aside a change that the hub will never take; it stays in the table with the reason.
    func setAside(_ row: OutboxRow, because reason: String) async throws {
        let id = row.row
        try await write { db in
            try db.execute(sql: "UPDATE outbox SET refused = ? WHERE id = ?", arguments: [reason, id])
        }
    }
}
