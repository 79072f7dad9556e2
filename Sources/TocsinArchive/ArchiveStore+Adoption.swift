import FoundationEssentials
import GRDB
import SwiftProtobuf
import TocsinProto

/// Seals what an archive of a version before there was a master key has in plain text, once.
struct PlainArchive {
    private let db: Database
    private let sealer: Sealer

    init(_ db: Database, _ vault: Vault) {
        self.db = db
        sealer = Sealer(vault, db)
    }

    /// In one transaction, of which the audit trail knows. Returns how many incidents there were.
    func seal() throws -> Int {
        let numbers = try Int64.fetchAll(db, sql: "SELECT number FROM incidents")
        for number in numbers {
            guard let incident = try IncidentRecord.find(UInt64(clamping: number), in: db) else { continue }
            let values = PersonalValues(try sealer.people(of: incident) + owners(of: number))
            try seal(incident, naming: values)
            try sealAlerts(of: number, naming: values)
            try seal("timeline", actors: ["actor"], texts: ["text", "before", "after"], of: number, "sequence", naming: values)
            try seal("refused", actors: ["actor"], texts: ["message"], of: number, "id", naming: values)
            try seal("commands", actors: ["actor"], texts: ["text", "message", "arguments"], of: number, "id", naming: values)
            try sealAnswers(of: number, naming: values)
        }
        try sealChanges()
        return numbers.count
    }

    /// Who has or had the incident.
    private func owners(of number: Int64) throws -> [String] {
        try Row.fetchAll(
            db, sql: "SELECT before, after FROM timeline WHERE incident = ? AND verb = 'assigned'", arguments: [number]
        ).flatMap { [$0[0], $0[1]] as [String] }.filter { !Vault.isProgram($0) }
    }

    private func seal(_ incident: IncidentRecord, naming values: PersonalValues) throws {
        var incident = incident
        incident.title = try sealer.seal(incident.title, naming: values)
        incident.cause = try sealer.seal(incident.cause, naming: values)
        incident.assignee = try sealer.seal(actor: incident.assignee)
        incident.mitigatedBy = try sealer.seal(actor: incident.mitigatedBy)
        incident.labels = try sealer.seal(incident.labels, naming: values)
        try incident.save(in: db)
    }

    private func sealAlerts(of number: Int64, naming values: PersonalValues) throws {
        let rows = try Row.fetchAll(
            db, sql: "SELECT \(AlertRecord.columns) FROM alerts WHERE incident = ?", arguments: [number])
        for row in rows {
            var alert = try AlertRecord(row)
            alert.summary = try sealer.seal(alert.summary, naming: values)
            alert.rule = try sealer.seal(alert.rule, naming: values)
            alert.labels = try sealer.seal(alert.labels, naming: values)
            try alert.save(in: db)
        }
    }

    private func seal(
        _ table: String, actors: [String], texts: [String], of number: Int64, _ key: String, naming values: PersonalValues
    ) throws {
        let columns = actors + texts
        let rows = try Row.fetchAll(
            db, sql: "SELECT \(key), \(columns.joined(separator: ", ")) FROM \(table) WHERE incident = ?",
            arguments: [number])
        let assignments = columns.map { "\($0) = ?" }.joined(separator: ", ")
        let update = try db.cachedStatement(sql: "UPDATE \(table) SET \(assignments) WHERE incident = ? AND \(key) = ?")
        for row in rows {
            var sealed: [any DatabaseValueConvertible] = []
            for index in columns.indices {
                let text: String = row[index + 1]
                sealed.append(try index < actors.count ? sealer.seal(actor: text) : sealer.seal(text, naming: values))
            }
            try update.execute(arguments: StatementArguments(sealed + [number, row[0] as DatabaseValue]))
        }
    }

    /// All answers have their fields at the same numbers; the third is the other incident, if there is one.
    private func sealAnswers(of number: Int64, naming values: PersonalValues) throws {
        let rows = try Row.fetchAll(
            db, sql: "SELECT id, response FROM commands WHERE incident = ? AND response <> x''", arguments: [number])
        for row in rows {
            var answer = try Tocsin_V1_MergeIncidentResponse(serializedBytes: row[1] as Data)
            answer.incident = try seal(answer.incident, naming: values)
            answer.entry = try seal(answer.entry, naming: values)
            if answer.hasInto { answer.into = try seal(answer.into, naming: values) }
            try db.execute(
                sql: "UPDATE commands SET response = ? WHERE id = ?",
                arguments: [try answer.serializedBytes() as Data, row[0] as String])
        }
    }

    private func sealChanges() throws {
        for row in try Row.fetchAll(db, sql: "SELECT id, payload FROM outbox") {
            var change = try Tocsin_V1_IncidentChange(serializedBytes: row[1] as Data)
            let people = try IncidentRecord.find(change.incident.number, in: db).map { try sealer.people(of: $0) } ?? []
            let values = PersonalValues(people)
            change.incident = try seal(change.incident, naming: values)
            if change.hasEntry { change.entry = try seal(change.entry, naming: values) }
            change.labels = try sealer.seal(change.labels, naming: values)
            try db.execute(
                sql: "UPDATE outbox SET payload = ? WHERE id = ?",
                arguments: [try change.serializedBytes() as Data, row[0] as Int64])
        }
    }

    private func seal(_ incident: Tocsin_V1_Incident, naming values: PersonalValues) throws -> Tocsin_V1_Incident {
        var incident = incident
        incident.title = try sealer.seal(incident.title, naming: values)
        incident.cause = try sealer.seal(incident.cause, naming: values)
        incident.assignee = try sealer.seal(actor: incident.assignee)
        return incident
    }

    private func seal(_ entry: Tocsin_V1_TimelineEntry, naming values: PersonalValues) throws -> Tocsin_V1_TimelineEntry {
        var entry = entry
        entry.actor = try sealer.seal(actor: entry.actor)
        entry.text = try sealer.seal(entry.text, naming: values)
        entry.before = try sealer.seal(entry.before, naming: values)
        entry.after = try sealer.seal(entry.after, naming: values)
        return entry
    }
}
