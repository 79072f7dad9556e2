import FoundationEssentials
import GRDB
import TocsinDomain
import TocsinProto

// Rows to records and back. Statements are prepared once for each connection.

/// A value as SQLite keeps it: what is beyond 63 bits, which only nonsense is, becomes the largest.
func stored(_ value: UInt64) -> Int64 { Int64(clamping: value) }

private func unsigned(_ value: Int64) -> UInt64 { UInt64(clamping: value) }
private func small(_ value: Int64) -> UInt32 { UInt32(clamping: value) }

/// Text columns that hold more than one value.
enum JSONText {
    static func encode(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        // Sorted, so that equal values are equal bytes.
        encoder.outputFormatting = [.sortedKeys]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// A list; the empty text has nothing in it.
    static func encode(list: [some Encodable]) throws -> String { list.isEmpty ? "" : try encode(list) }
    static func decodeList<Element: Decodable>(_ text: String) throws -> [Element] { text.isEmpty ? [] : try decode(text) }

    static func decode<Value: Decodable>(_ text: String) throws -> Value {
        try JSONDecoder().decode(Value.self, from: Data(text.utf8))
    }
}

extension IncidentRecord {
    static let columns = """
        number, state, title, services, severity, priority, assignee, detected_at, triaged_at, acknowledged_at, mitigated_at, \
        resolved_at, closed_at, alerts_firing, alerts_total, events, cause, runbook, reopened, drill, updated_at, version, \
        entries, mitigated_by, recurs, labels, impact, judged_severity, merged_into, split_from, traffic_light, need_to_know, routes, \
        pages
        """

    /// A row of `columns`.
    init(_ row: Row) throws {
        let stateNumber: Int64 = row[1]
        let severityNumber: Int64 = row[4]
        let priorityNumber: Int64 = row[5]
        let number: Int64 = row[0]
        guard let state = IncidentState(rawValue: UInt8(clamping: stateNumber)),
            let severity = Severity(rawValue: UInt8(clamping: severityNumber)),
            let priority = Priority(rawValue: UInt8(clamping: priorityNumber))
        else {
            throw ArchiveError(.corrupt, "incident \(number) has a state, severity or priority that does not exist")
        }
        self.init(
            number: unsigned(number), state: state, title: row[2], services: try JSONText.decode(row[3]),
            severity: severity, priority: priority, detectedAt: unsigned(row[7]))
        assignee = row[6]
        triagedAt = unsigned(row[8])
        acknowledgedAt = unsigned(row[9])
        mitigatedAt = unsigned(row[10])
        resolvedAt = unsigned(row[11])
        closedAt = unsigned(row[12])
        alertsFiring = small(row[13])
        alertsTotal = small(row[14])
        events = unsigned(row[15])
        cause = row[16]
        runbook = row[17]
        reopened = small(row[18])
        drill = row[19]
        updatedAt = unsigned(row[20])
        version = unsigned(row[21])
        entries = unsigned(row[22])
        mitigatedBy = row[23]
        recurs = unsigned(row[24])
        labels = try JSONText.decode(row[25])
        let (impactNumber, judgedNumber): (Int64, Int64) = (row[26], row[27])
        impact = Level(rawValue: UInt8(clamping: impactNumber))
        judgedSeverity = Severity(rawValue: UInt8(clamping: judgedNumber))
        mergedInto = unsigned(row[28])
        splitFrom = unsigned(row[29])
        trafficLight = TrafficLight(rawValue: UInt8(clamping: row[30] as Int64))
        needToKnow = try JSONText.decode(row[31])
        routes = try JSONText.decodeList(row[32])
        pages = try JSONText.decodeList(row[33])
    }

    static func find(_ number: UInt64, in db: Database) throws -> IncidentRecord? {
        let statement = try db.cachedStatement(sql: "SELECT \(columns) FROM incidents WHERE number = ?")
        return try Row.fetchOne(statement, arguments: [stored(number)]).map { try IncidentRecord($0) }
    }

    /// Inserts or replaces the row.
    func save(in db: Database) throws {
        let statement = try db.cachedStatement(sql: Self.upsert)
        try statement.execute(arguments: [
            stored(number), Int64(state.rawValue), title, try JSONText.encode(services), Int64(severity.rawValue),
            Int64(priority.rawValue), assignee, stored(detectedAt), stored(triagedAt), stored(acknowledgedAt),
            stored(mitigatedAt), stored(resolvedAt), stored(closedAt), Int64(alertsFiring), Int64(alertsTotal),
            stored(events), cause, runbook, Int64(reopened), drill, stored(updatedAt), stored(version),
            stored(entries), mitigatedBy, stored(recurs), try JSONText.encode(labels),
            Int64(impact?.rawValue ?? 0), Int64(judgedSeverity?.rawValue ?? 0), stored(mergedInto), stored(splitFrom),
            Int64(trafficLight?.rawValue ?? 0), try JSONText.encode(needToKnow), try JSONText.encode(list: routes),
            try JSONText.encode(list: pages),
        ])
    }

    private static let upsert = Tables.upsert("incidents", columns, key: "number")
}

extension AlertRecord {
    static let columns = """
        fingerprint, state, service, summary, severity, first_at, last_at, events, episode, rule, incident, labels, impact, \
        priority, source, changes
        """

    /// A row of `columns`.
    init(_ row: Row) throws {
        let fingerprint: String = row[0]
        let severityNumber: Int64 = row[4]
        guard let state = AlertState(rawValue: row[1]),
            let severity = Severity(rawValue: UInt8(clamping: severityNumber))
        else {
            throw ArchiveError(.corrupt, "alert \(fingerprint) has a state or severity that does not exist")
        }
        self.init(
            fingerprint: fingerprint, state: state, service: row[2], summary: row[3], severity: severity,
            firstAt: unsigned(row[5]), lastAt: unsigned(row[6]), events: unsigned(row[7]), episode: small(row[8]),
            rule: row[9], incident: unsigned(row[10]), labels: try JSONText.decode(row[11]),
            impact: Level(rawValue: UInt8(clamping: row[12] as Int64)),
            priority: Priority(rawValue: UInt8(clamping: row[13] as Int64)), source: row[14],
            changes: try JSONText.decodeList(row[15]))
    }

    static func find(_ fingerprint: String, in db: Database) throws -> AlertRecord? {
        let statement = try db.cachedStatement(sql: "SELECT \(columns) FROM alerts WHERE fingerprint = ?")
        return try Row.fetchOne(statement, arguments: [fingerprint]).map { try AlertRecord($0) }
    }

    /// Inserts or replaces the row.
    func save(in db: Database) throws {
        let statement = try db.cachedStatement(sql: Self.upsert)
        try statement.execute(arguments: [
            fingerprint, state.rawValue, service, summary, Int64(severity.rawValue), stored(firstAt), stored(lastAt),
            stored(events), Int64(episode), rule, stored(incident), try JSONText.encode(labels),
            Int64(impact?.rawValue ?? 0), Int64(priority?.rawValue ?? 0), source, try JSONText.encode(list: changes),
        ])
    }

    private static let upsert = Tables.upsert("alerts", columns, key: "fingerprint")
}

extension SuppressionRecord {
    private static let columns = "fingerprint, service, summary, rule, events, first_at, last_at"

    static func find(_ fingerprint: String, in db: Database) throws -> SuppressionRecord? {
        let statement = try db.cachedStatement(sql: "SELECT \(columns) FROM suppressions WHERE fingerprint = ?")
        return try Row.fetchOne(statement, arguments: [fingerprint]).map {
            SuppressionRecord(
                fingerprint: $0[0], service: $0[1], summary: $0[2], rule: $0[3], events: unsigned($0[4]),
                firstAt: unsigned($0[5]), lastAt: unsigned($0[6]))
        }
    }

    /// Inserts or replaces the row.
    func save(in db: Database) throws {
        try db.cachedStatement(sql: Self.upsert).execute(arguments: [
            fingerprint, service, summary, rule, stored(events), stored(firstAt), stored(lastAt),
        ])
    }

    private static let upsert = Tables.upsert("suppressions", columns, key: "fingerprint")
}

extension TimelineRecord {
    static let columns = "sequence, time, actor, verb, text, before, after"

    /// A row of `columns`.
    init(_ row: Row) {
        self.init(
            sequence: unsigned(row[0]), time: unsigned(row[1]), actor: row[2], verb: row[3], text: row[4],
            before: row[5], after: row[6])
    }

    func insert(incident: UInt64, in db: Database) throws {
        try db.cachedStatement(
            sql: "INSERT INTO timeline (incident, \(Self.columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        ).execute(arguments: [stored(incident), stored(sequence), stored(time), actor, verb, text, before, after])
    }
}

extension RefusalRecord {
    func insert(in db: Database) throws {
        try db.cachedStatement(
            sql: "INSERT INTO refused (time, incident, actor, action, code, message) VALUES (?, ?, ?, ?, ?, ?)"
        ).execute(arguments: [
            stored(time), stored(incident), actor, action, refusal.code.rawValue, refusal.message,
        ])
    }
}

/// Statements and values that belong to no one record.
enum Tables {
    static func upsert(_ table: String, _ columns: String, key: String) -> String {
        let names = columns.split(separator: ", ")
        let values = names.map { _ in "?" }.joined(separator: ", ")
        let changes = names.filter { $0 != key }.map { "\($0) = excluded.\($0)" }.joined(separator: ", ")
        return "INSERT INTO \(table) (\(columns)) VALUES (\(values)) ON CONFLICT (\(key)) DO UPDATE SET \(changes)"
    }

    static func value(of counter: Schema.Counter, in db: Database) throws -> UInt64 {
        let statement = try db.cachedStatement(sql: "SELECT value FROM counters WHERE name = ?")
        return unsigned(try Int64.fetchOne(statement, arguments: [counter.rawValue]) ?? 0)
    }

    static func add(_ count: UInt64, to counter: Schema.Counter, in db: Database) throws {
        guard count > 0 else { return }
        try db.cachedStatement(
            sql: "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
        ).execute(arguments: [counter.rawValue, stored(count)])
    }

    /// The position never goes back.
    static func advance(to sequence: UInt64, in db: Database) throws {
        try db.cachedStatement(
            sql:
                "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)"
        ).execute(arguments: [Schema.Counter.position.rawValue, stored(sequence)])
    }

    static func nextNumber(in db: Database) throws -> UInt64 {
        unsigned(try Int64.fetchOne(db, sql: "SELECT max(number) FROM incidents") ?? 0) + 1
    }
}

/// An alert in an incident it belongs or belonged to.
struct LinkKey: Hashable, Sendable {
    var incident: UInt64
    var fingerprint: String

    /// Counts events of the alert in the incident.
    func add(_ events: UInt64, in db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO incident_alerts (incident, fingerprint, events) VALUES (?, ?, ?)
                ON CONFLICT (incident, fingerprint) DO UPDATE SET events = events + excluded.events
                """
        ).execute(arguments: [stored(incident), fingerprint, stored(events)])
    }

    /// Takes events of the alert out of the incident; with the last the alert is none of it any more.
    func take(_ events: UInt64, in db: Database) throws {
        let arguments: StatementArguments = [stored(events), stored(incident), fingerprint]
        try db.cachedStatement(
            sql: "UPDATE incident_alerts SET events = events - ? WHERE incident = ? AND fingerprint = ?"
        ).execute(arguments: arguments)
        try db.cachedStatement(
            sql: "DELETE FROM incident_alerts WHERE events <= 0 AND incident = ? AND fingerprint = ?"
        ).execute(arguments: [stored(incident), fingerprint])
    }
}
