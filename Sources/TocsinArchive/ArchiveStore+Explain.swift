import GRDB
import TocsinDomain
import TocsinPolicy
import TocsinProto

extension QueryLimit {
    /// Records of one alert; of more the first and the latest are shown.
    static let records = 64
    static let alertsListed = 1000
    static let matchers = 64
    /// Digits of a fingerprint by which an alert is found.
    static let fingerprintPrefix = 8
}

extension ArchiveStore {
    /// Why somebody was called, or was not. Throws `CommandRefusal.notFound`, `.invalidArgument`.
    ///
    /// What the viewer may not see does not exist.
    func explain(
        _ request: Tocsin_V1_ExplainDecisionsRequest, for viewer: String? = nil
    ) async throws -> Tocsin_V1_ExplainDecisionsResponse {
        try await readSealed { sealer in
            let db = sealer.db
            var response = Tocsin_V1_ExplainDecisionsResponse()
            switch request.subject {
            case .incident(let number):
                guard let incident = try IncidentRecord.find(number, in: db), try sealer.shows(incident, to: viewer) else {
                    throw CommandRefusal(.notFound, "there is no incident \(number)")
                }
                response.incident = try sealer.open(incident.proto)
                let columns = AlertRecord.columns.split(separator: ", ").map { "alerts.\($0)" }.joined(separator: ", ")
                let rows = try Row.fetchAll(
                    db,
                    sql: """
                        SELECT \(columns) FROM incident_alerts JOIN alerts USING (fingerprint)
                        WHERE incident_alerts.incident = ? ORDER BY alerts.first_at, fingerprint LIMIT \(QueryLimit.alerts)
                        """, arguments: [stored(number)])
                for row in rows {
                    let alert = try AlertRecord(row)
                    // It may have gone to one that not everybody may know of.
                    guard try Self.shows(alert.incident, to: viewer, sealer) else { continue }
                    response.alerts.append(try Self.explanation(of: alert, to: viewer, sealer))
                }
            case .fingerprint(let text):
                let alert = try Self.alert(named: text, sealer)
                try Self.explain(alert, event: nil, viewer, sealer, &response)
            case .eventID(let id):
                let row = try Row.fetchOne(
                    db,
                    sql: "SELECT events.id, judgement, fingerprint FROM events LEFT JOIN judgements ON judgements.id = judgement "
                        + "WHERE events.id IN (?, ?)",
                    arguments: [id, sealer.vault.digest(ofID: id)])
                guard let row else { throw CommandRefusal(.notFound, "no event \(id) is known; it may still be on its way") }
                guard let fingerprint = row[2] as String? else {
                    throw CommandRefusal(
                        .notFound, "the event \(id) was handled before decisions were kept; nothing more is known of it")
                }
                if let alert = try AlertRecord.find(fingerprint, in: db) {
                    try Self.explain(alert, event: (row[0], row[1]), viewer, sealer, &response)
                } else {
                    // A rule set it aside before it was an alert.
                    var explanation = Tocsin_V1_AlertExplanation()
                    explanation.alert.fingerprint = fingerprint
                    explanation.records = try Self.judgements("id = ?", [row[1] as Int64], sealer)
                    response.alerts = [explanation]
                }
            case nil: throw CommandRefusal(.invalidArgument, "say what is to be explained: an incident, an alert or an event")
            }
            return response
        }
    }

    private static func explain(
        _ alert: AlertRecord, event: (id: String, judgement: Int64)?, _ viewer: String?, _ sealer: Sealer,
        _ response: inout Tocsin_V1_ExplainDecisionsResponse
    ) throws {
        if let incident = try IncidentRecord.find(alert.incident, in: sealer.db) {
            guard try sealer.shows(incident, to: viewer) else {
                throw CommandRefusal(.notFound, "there is no alert \(alert.fingerprint)")
            }
            response.incident = try sealer.open(incident.proto)
        }
        response.alerts = [try explanation(of: alert, event: event, to: viewer, sealer)]
    }

    private static func shows(_ number: UInt64, to viewer: String?, _ sealer: Sealer) throws -> Bool {
        try IncidentRecord.find(number, in: sealer.db).map { try sealer.shows($0, to: viewer) } ?? true
    }

    private static func alert(named text: String, _ sealer: Sealer) throws -> AlertRecord {
        guard text.utf8.count >= QueryLimit.fingerprintPrefix else {
            throw CommandRefusal(
                .invalidArgument,
                "\"\(text)\" is too short for a fingerprint; give at least \(QueryLimit.fingerprintPrefix) digits")
        }
        if let alert = try AlertRecord.find(text, in: sealer.db) { return alert }
        if let alert = try AlertRecord.find(sealer.vault.digest(ofID: text), in: sealer.db) { return alert }
        let rows = try Row.fetchAll(
            sealer.db,
            sql:
                "SELECT \(AlertRecord.columns) FROM alerts WHERE fingerprint >= ? AND fingerprint < ? ORDER BY fingerprint LIMIT 2",
            arguments: [text, text + "\u{10FFFF}"])
        guard let row = rows.first else { throw CommandRefusal(.notFound, "there is no alert \(text)") }
        guard rows.count == 1 else {
            throw CommandRefusal(.invalidArgument, "several alerts begin with \(text); give more digits")
        }
        return try AlertRecord(row)
    }

    /// All that was decided about an alert; with `event`: how that one was judged, and what was decided at it or, if nothing was,
    /// last before it.
    private static func explanation(
        of alert: AlertRecord, event: (id: String, judgement: Int64)? = nil, to viewer: String?, _ sealer: Sealer
    ) throws -> Tocsin_V1_AlertExplanation {
        var explanation = Tocsin_V1_AlertExplanation()
        explanation.alert = try sealer.open(alert.proto)
        try describeHold(of: alert, &explanation.alert, sealer)
        let half = QueryLimit.records / 2
        if let event {
            explanation.records = try judgements("id = ?", [event.judgement], sealer)
            let own = try decisions("event = ?2 ORDER BY id LIMIT 1", of: alert, [event.id], to: viewer, sealer)
            // Or it was counted with what fired already.
            explanation.records +=
                own.isEmpty ? try decisions("1 ORDER BY id DESC LIMIT 1", of: alert, [], to: viewer, sealer) : own
            return explanation
        }
        explanation.records = try judgements("fingerprint = ?", [alert.fingerprint], sealer)
        explanation.records += try decisions("1 ORDER BY id LIMIT \(half)", of: alert, [], to: viewer, sealer)
        explanation.records += try decisions(
            """
            id IN (SELECT id FROM decisions WHERE fingerprint = ?1 ORDER BY id DESC LIMIT \(half))
                AND id NOT IN (SELECT id FROM decisions WHERE fingerprint = ?1 ORDER BY id LIMIT \(half)) ORDER BY id
            """, of: alert, [], to: viewer, sealer)
        return explanation
    }

    private static func decisions(
        _ condition: String, of alert: AlertRecord, _ arguments: StatementArguments, to viewer: String?, _ sealer: Sealer
    ) throws -> [Tocsin_V1_DecisionRecord] {
        let rows = try Row.fetchAll(
            sealer.db,
            sql: "SELECT time, event, incident, policy, decisions FROM decisions WHERE fingerprint = ?1 AND \(condition)",
            arguments: [alert.fingerprint] + arguments)
        return try rows.compactMap { row in
            let incident = UInt64(clamping: row[2] as Int64)
            guard try incident == alert.incident || shows(incident, to: viewer, sealer) else { return nil }
            return try .with {
                $0.time = UInt64(clamping: row[0] as Int64)
                $0.actor = "archiver"
                $0.eventID = row[1]
                $0.incident = incident
                $0.policy = row[3]
                $0.decisions = try DecisionLog.decode(row[4]) { try sealer.open($0) }
            }
        }
    }

    private static func judgements(
        _ condition: String, _ arguments: StatementArguments, _ sealer: Sealer
    ) throws -> [Tocsin_V1_DecisionRecord] {
        try Row.fetchAll(
            sealer.db,
            sql: "SELECT time, policy, decisions FROM judgements WHERE \(condition) ORDER BY id LIMIT \(QueryLimit.records)",
            arguments: arguments
        ).map { row in
            try .with {
                $0.time = UInt64(clamping: row[0] as Int64)
                $0.actor = "triage"
                $0.policy = row[1]
                $0.decisions = try DecisionLog.decode(row[2]) { try sealer.open($0) }
            }
        }
    }

    /// What keeps an alert from telling.
    static func describeHold(of alert: AlertRecord, _ proto: inout Tocsin_V1_Alert, _ sealer: Sealer) throws {
        guard alert.state.isOpen, let held = try HoldRecord.find(alert.fingerprint, in: sealer.db) else { return }
        proto.heldBy = held.words
        proto.heldUntil = held.due
    }

    // MARK: - Lists

    /// Alerts that have not ended and that `viewer` may see. Throws `CommandRefusal.invalidArgument`.
    func alerts(
        _ request: Tocsin_V1_ListAlertsRequest, for viewer: String? = nil
    ) async throws -> Tocsin_V1_ListAlertsResponse {
        guard request.matchers.count <= QueryLimit.matchers else {
            throw CommandRefusal(.invalidArgument, "there are \(request.matchers.count) matchers; at most \(QueryLimit.matchers)")
        }
        let matchers: [Matcher]
        do {
            matchers = try request.matchers.map { try Matcher($0) }
        } catch {
            throw CommandRefusal(.invalidArgument, "matchers: \(error)")
        }
        let limit = request.limit == 0 ? QueryLimit.alertsListed : min(Int(request.limit), QueryLimit.alertsListed)
        return try await readSealed { sealer in
            var response = Tocsin_V1_ListAlertsResponse()
            var services: Set<String> = []
            var matchers = matchers
            let rows = try Row.fetchCursor(
                sealer.db,
                sql: """
                    SELECT \(AlertRecord.columns) FROM alerts WHERE state IN ('firing', 'suppressed')
                    ORDER BY severity DESC, last_at DESC, fingerprint
                    """)
            while let row = try rows.next() {
                let alert = try AlertRecord(row)
                guard matchers.match(try AlertView(alert, sealer).matchable) else { continue }
                if let incident = try IncidentRecord.find(alert.incident, in: sealer.db) {
                    guard try sealer.shows(incident, to: viewer) else { continue }
                }
                response.total += 1
                services.insert(alert.service)
                guard response.alerts.count < limit else { continue }
                var proto = try sealer.open(alert.proto)
                try Self.describeHold(of: alert, &proto, sealer)
                response.alerts.append(proto)
            }
            response.services = UInt32(clamping: services.count)
            return response
        }
    }

    /// Silences that are not over.
    func silences(now: UInt64) async throws -> Tocsin_V1_ListSilencesResponse {
        try await readSealed { sealer in try .with { $0.silences = try SilenceRecord.all(at: now, sealer) } }
    }
}
