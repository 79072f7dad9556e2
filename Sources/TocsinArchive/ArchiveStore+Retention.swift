import GRDB
import TocsinDomain

/// How long incidents that are over are kept. Nil: for ever.
public struct RetentionPolicy: Sendable, Equatable {
    /// After the last change of an incident that is closed, merged or dismissed.
    public var incidents: Duration?
    /// The same of drills; nil: as `incidents`.
    public var drills: Duration?

    public init(incidents: Duration? = nil, drills: Duration? = nil) {
        self.incidents = incidents
        self.drills = drills
    }
}

extension ArchiveStore {
    /// Removes the oldest incidents that `retention` lets go, at most `limit`, with all that belongs to them alone: timeline,
    /// commands, reports, refusals, and alerts whose latest incident they are. Returns how many; 0: nothing is left to remove.
    ///
    /// What stays: the audit trail, with a record of each row that went; the ids of events, because an event may come again
    /// years later, when a person retries a dead letter, and must not count twice; the last incident, whose number is not
    /// given again; an incident into which one was merged that stays; one whose alert still fires, or can still come back
    /// to another.
    ///
    /// A report or command about an incident that is gone is answered that there is none, so that it has no second effect.
    ///
    /// - Throws: `ArchiveError`, `CancellationError`.
    func purge(_ retention: RetentionPolicy, limit: Int, now: UInt64) async throws -> Int {
        // Nothing was changed before 1970.
        let incidents = retention.incidents.map { Self.time(now, before: $0) } ?? 0
        let drills = (retention.drills ?? retention.incidents).map { Self.time(now, before: $0) } ?? 0
        if incidents == 0, drills == 0 { return 0 }
        let audit = audit
        return try await write { db in
            let due = try Row.fetchAll(
                db, sql: Self.due, arguments: [stored(drills), stored(incidents), Int64(limit)])
            for row in due {
                let state: Int64 = row[1]
                audit.append(
                    AuditAct(
                        actor: "retention", verb: "purged", incident: UInt64(clamping: row[0] as Int64),
                        before: IncidentState(rawValue: UInt8(clamping: state))?.name ?? "\(state)"))
            }
            if !due.isEmpty { try Self.remove(due.map { $0[0] }, in: db) }
            return due.count
        }
    }

    private static func time(_ now: UInt64, before duration: Duration) -> UInt64 {
        let milliseconds = UInt64(clamping: max(0, duration.components.seconds)).multipliedReportingOverflow(by: 1000)
        return milliseconds.overflow || milliseconds.partialValue > now ? 0 : now - milliseconds.partialValue
    }

    private static let due = """
        SELECT number, state FROM incidents
        WHERE state IN (\(IncidentState.closed.rawValue), \(IncidentState.merged.rawValue), \(IncidentState.dismissed.rawValue))
            AND updated_at < CASE drill WHEN 0 THEN ?2 ELSE ?1 END
            AND number < (SELECT max(number) FROM incidents)
            AND number NOT IN (SELECT merged_into FROM incidents WHERE merged_into > 0)
            AND NOT EXISTS (
                SELECT 1 FROM incident_alerts AS link JOIN alerts USING (fingerprint)
                WHERE link.incident = number AND alerts.incident = number
                    AND (alerts.state IN ('firing', 'suppressed') OR EXISTS (
                        SELECT 1 FROM merged_alerts WHERE merged_alerts.fingerprint = alerts.fingerprint
                            AND merged_alerts.incident != number)))
        ORDER BY number LIMIT ?3
        """

    private static func remove(_ numbers: [Int64], in db: Database) throws {
        // Numbers, so that they may stand in the statement.
        let list = "(\(numbers.map { "\($0)" }.joined(separator: ", ")))"
        let alerts = try Row.fetchAll(
            db,
            sql: """
                SELECT fingerprint, alerts.events, (
                    SELECT max(other.incident) FROM incident_alerts AS other
                    WHERE other.fingerprint = alerts.fingerprint AND other.incident NOT IN \(list))
                FROM incident_alerts AS link JOIN alerts USING (fingerprint)
                WHERE link.incident IN \(list) AND alerts.incident = link.incident
                """)
        for table in ["merged_alerts", "incident_alerts", "timeline", "reports", "commands", "refused", "correlations"] {
            try db.execute(sql: "DELETE FROM \(table) WHERE incident IN \(list)")
        }
        var events: UInt64 = 0
        for alert in alerts {
            let (fingerprint, count): (String, Int64) = (alert[0], alert[1])
            if let other = alert[2] as Int64? {
                try db.execute(
                    sql: "UPDATE alerts SET incident = ? WHERE fingerprint = ?", arguments: [other, fingerprint])
            } else {
                for table in ["holds", "inhibitors", "judgements", "decisions", "alerts"] {
                    try db.execute(sql: "DELETE FROM \(table) WHERE fingerprint = ?", arguments: [fingerprint])
                }
                events += UInt64(clamping: count)
            }
        }
        try Tables.add(events, to: .purged, in: db)
        try db.execute(sql: "DELETE FROM incidents WHERE number IN \(list)")
    }
}
