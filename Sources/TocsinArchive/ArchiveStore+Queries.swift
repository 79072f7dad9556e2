import GRDB
import TocsinDomain
import TocsinPolicy
import TocsinProto

/// Bounds of answers.
enum QueryLimit {
    static let incidentsDefault = 100
    static let incidentsMax = 1000
    static let alerts = 200
    /// Bytes of text on a timeline; of a longer one the latest entries are shown, their sequence tells what is missing.
    static let timelineBytes = 512 << 10
    static let timelineEntries = 2000
}

extension ArchiveStore {
    /// One page of the incidents that match. Throws `CommandRefusal.invalidArgument`.
    /// `viewer`: who asks; nil: somebody who may see everything.
    func list(
        _ request: Tocsin_V1_ListIncidentsRequest, for viewer: String? = nil
    ) async throws -> Tocsin_V1_ListIncidentsResponse {
        try await readSealed { try IncidentList(request, for: viewer, $0).page($0) }
    }

    /// One incident with its alerts and timeline. Throws `CommandRefusal.notFound`.
    /// What the viewer may not see does not exist.
    func get(_ number: UInt64, for viewer: String? = nil) async throws -> Tocsin_V1_GetIncidentResponse {
        let topology = policy.topology
        return try await readSealed { sealer in
            let db = sealer.db
            guard let incident = try IncidentRecord.find(number, in: db), try sealer.shows(incident, to: viewer) else {
                throw CommandRefusal(.notFound, "there is no incident \(number)")
            }
            var response = Tocsin_V1_GetIncidentResponse()
            response.incident = try sealer.open(incident.proto)
            let columns = AlertRecord.columns.split(separator: ", ").map { "alerts.\($0)" }.joined(separator: ", ")
            let alerts = try Row.fetchCursor(
                db,
                sql: """
                    SELECT \(columns) FROM incident_alerts JOIN alerts USING (fingerprint)
                    WHERE incident_alerts.incident = ? ORDER BY alerts.first_at, fingerprint LIMIT \(QueryLimit.alerts)
                    """, arguments: [stored(number)])
            while let row = try alerts.next() {
                let alert = try AlertRecord(row)
                var proto = try sealer.open(alert.proto)
                try Self.describeHold(of: alert, &proto, sealer)
                response.alerts.append(proto)
            }
            response.timeline = try Self.timeline(of: number, sealer)
            response.changes = try ChangeRecords.near(incident, topology, sealer)
            return response
        }
    }

    /// What became of one event, and the latest incident of its alert.
    func trace(
        _ request: Tocsin_V1_TraceEventRequest, for viewer: String? = nil
    ) async throws -> Tocsin_V1_TraceEventResponse {
        try await readSealed { sealer in
            let db = sealer.db
            var response = Tocsin_V1_TraceEventResponse()
            let statement = try db.cachedStatement(sql: "SELECT fate FROM events WHERE id IN (?, ?)")
            switch try Int64.fetchOne(statement, arguments: [request.eventID, sealer.vault.digest(ofID: request.eventID)])
                .flatMap(
                    Schema.Fate.init)
            {
            case nil: return response
            case .handled: response.fate = .handled
            case .suppressed: response.fate = .suppressed
            }
            if let alert = try AlertRecord.find(request.fingerprint, in: db),
                let incident = try IncidentRecord.find(alert.incident, in: db), try sealer.shows(incident, to: viewer)
            {
                response.incident = try sealer.open(incident.proto)
            }
            return response
        }
    }

    /// In order; the latest that fit.
    private static func timeline(of number: UInt64, _ sealer: Sealer) throws -> [Tocsin_V1_TimelineEntry] {
        let rows = try Row.fetchCursor(
            sealer.db,
            sql: """
                SELECT \(TimelineRecord.columns) FROM timeline WHERE incident = ?
                ORDER BY sequence DESC LIMIT \(QueryLimit.timelineEntries)
                """, arguments: [stored(number)])
        var entries: [Tocsin_V1_TimelineEntry] = []
        var bytes = 0
        while let row = try rows.next() {
            let entry = try sealer.open(TimelineRecord(row).proto)
            bytes += entry.text.utf8.count
            if bytes > QueryLimit.timelineBytes, !entries.isEmpty { break }
            entries.append(entry)
        }
        return entries.reversed()
    }

    /// Where every event went. `applied` is summed up from the alerts and suppressions themselves, those
    /// that retention has removed too, apart from the fates of the
    /// events: an effect that was doubled or lost makes it differ from handled + suppressed.
    func accounting() async throws -> Tocsin_V1_GetAccountingResponse {
        try await read { db in
            func sum(_ sql: String) throws -> UInt64 { UInt64(clamping: try Int64.fetchOne(db, sql: sql) ?? 0) }
            var response = Tocsin_V1_GetAccountingResponse()
            response.handled = try Tables.value(of: .handled, in: db)
            response.suppressed = try Tables.value(of: .suppressed, in: db)
            response.redelivered = try Tables.value(of: .redelivered, in: db)
            response.position = try Tables.value(of: .position, in: db)
            response.applied =
                try sum("SELECT sum(events) FROM alerts") + sum("SELECT sum(events) FROM suppressions")
                + Tables.value(of: .purged, in: db)
            response.outbox = try sum("SELECT count(*) FROM outbox")
            return response
        }
    }
}
