import FoundationEssentials
import GRDB
import TocsinDomain
import TocsinProto

extension ArchiveStore {
    /// Does a person's command, or refuses it. The answer is remembered: the same command again is answered alike and has no
    /// further effect. Refused transitions are journalled too.
    ///
    /// `viewer`: who asks; nil: somebody who may see everything. `caller`: the key that asks for it, as the audit trail shows it;
    /// empty: not known. `now`: milliseconds since 1970.
    ///
    /// - Throws: `CommandRefusal`, `ArchiveError`, `CancellationError`.
    func command<Request: CommandRequest>(
        _ request: Request, for viewer: String? = nil, caller: String = "", now: UInt64
    ) async throws -> Request.Answer {
        let said = try Command(request)
        let policy = policy
        // A refusal is a result and not an error of the transaction, because it is written down.
        let result = try await writeSealed(caller: caller) { sealer -> Result<Request.Answer, CommandRefusal> in
            let db = sealer.db
            let found = try IncidentRecord.find(said.number, in: db)
            // Not remembered: it may come into being.
            guard var incident = found, try sealer.shows(incident, to: viewer) else {
                return .failure(CommandRefusal(.notFound, "there is no incident \(said.number)"))
            }
            let id = sealer.seal(id: said.id, naming: PersonalValues(sealer.values(of: said)))
            if let answered: Result<Request.Answer, CommandRefusal> = try Self.answer(to: said, id, sealer) { return answered }
            let command = try sealer.seal(
                said, naming: PersonalValues(try sealer.people(of: incident) + sealer.values(of: said)))
            // The guards look at stamps that may have come from another clock.
            let now = max(now, incident.detectedAt)
            incident.alertsFiring = try Self.alertsFiring(of: command.number, in: db)
            let subject = try Self.subject(of: command, incident, in: db)
            if case .merge(let into) = command.kind, into != command.number,
                try subject.other.map({ try !sealer.shows($0, to: viewer) }) ?? true
            {
                return .failure(CommandRefusal(.notFound, "there is no incident \(into) that could take the alerts"))
            }
            switch policy.incidents.decide(command, subject, now: now) {
            case .failure(let refusal):
                try RefusalRecord(
                    time: now, incident: command.number, actor: command.actor, action: command.action, refusal: refusal
                ).insert(in: db)
                let answer = CommandRefusal(refusal)
                try Self.remember(command, id, at: now, Result<Request.Answer, CommandRefusal>.failure(answer), in: db)
                return .failure(try sealer.open(answer))
            case .success(let effect):
                let (incident, other) = try Self.write(effect, policy, sealer)
                var response = Request.Answer()
                response.incident = incident.proto
                if let entry = effect.draft.entries.last { response.entry = entry.proto }
                if let other { response.take(other: other.proto) }
                try Self.remember(command, id, at: now, .success(response), in: db)
                return .success(try sealer.open(response))
            }
        }
        return try result.get()
    }

    // MARK: - What there is

    static func subject(
        of command: Command, _ incident: IncidentRecord, in db: Database
    ) throws -> CommandSubject {
        var subject = CommandSubject(incident: incident)
        switch command.kind {
        case .transition(.reopen) where incident.state == .merged:
            subject.other = try owner(afterMerging: incident, in: db)
            subject.alerts = try subject.other.map { try alerts(of: $0.number, in: db) } ?? []
            let rows = try Row.fetchCursor(
                db, sql: "SELECT fingerprint, events FROM merged_alerts WHERE incident = ?",
                arguments: [stored(incident.number)])
            while let row = try rows.next() { subject.brought[row[0]] = UInt64(clamping: row[1] as Int64) }
        case .transition, .assign, .note, .severity, .mark, .restrict: break
        case .merge(let into):
            subject.other = try IncidentRecord.find(into, in: db)
            subject.alerts = try alerts(of: incident.number, in: db)
        case .split:
            subject.alerts = try alerts(of: incident.number, in: db)
            subject.newNumber = try Tables.nextNumber(in: db)
        }
        return subject
    }

    /// Who has the alerts of a merged incident now: the end of the chain of merges.
    private static func owner(afterMerging incident: IncidentRecord, in db: Database) throws -> IncidentRecord? {
        var seen: Set<UInt64> = [incident.number]
        var next = try IncidentRecord.find(incident.mergedInto, in: db)
        while let owner = next, owner.state == .merged {
            guard seen.insert(owner.number).inserted else {
                throw ArchiveError(.corrupt, "the merges of incident \(incident.number) go in a circle")
            }
            next = try IncidentRecord.find(owner.mergedInto, in: db)
        }
        return next
    }

    /// The alerts that belong to an incident, in the order of their fingerprints.
    private static func alerts(of number: UInt64, in db: Database) throws -> [HeldAlert] {
        let columns = AlertRecord.columns.split(separator: ", ").map { "alerts.\($0)" }.joined(separator: ", ")
        let rows = try Row.fetchCursor(
            db,
            sql: """
                SELECT \(columns), incident_alerts.events FROM incident_alerts JOIN alerts USING (fingerprint)
                WHERE incident_alerts.incident = ? AND alerts.incident = ? ORDER BY alerts.fingerprint
                """, arguments: [stored(number), stored(number)])
        var held: [HeldAlert] = []
        while let row = try rows.next() {
            held.append(HeldAlert(alert: try AlertRecord(row), events: UInt64(clamping: row[16] as Int64)))
        }
        return held
    }

    // MARK: - What is written

    /// Returns the incidents as they are then.
    @discardableResult
    static func write(
        _ effect: CommandEffect, _ policy: ArchivePolicy, _ sealer: Sealer
    ) throws -> (incident: IncidentRecord, other: IncidentRecord?) {
        let db = sealer.db
        var drafts = [effect.draft] + (effect.other.map { [$0] } ?? [])
        // Before what refers to them.
        for draft in drafts { try draft.incident.save(in: db) }
        if drafts.count > 1 {
            try move(effect, in: db)
            for index in drafts.indices { try recount(&drafts[index], in: db) }
        }
        for index in drafts.indices {
            if policy.routes(drafts[index]) {
                _ = policy.route(&drafts[index], try ArchivePolicy.alerts(of: drafts[index].incident.number, sealer))
            }
            try write(drafts[index], in: db)
        }
        return (drafts[0].incident, drafts.count > 1 ? drafts[1].incident : nil)
    }

    private static func move(_ effect: CommandEffect, in db: Database) throws {
        let incident = effect.draft.incident
        for move in effect.moves {
            try LinkKey(incident: move.from, fingerprint: move.fingerprint).take(move.events, in: db)
            try LinkKey(incident: move.to, fingerprint: move.fingerprint).add(move.events, in: db)
            try db.cachedStatement(sql: "UPDATE alerts SET incident = ? WHERE fingerprint = ?").execute(
                arguments: [stored(move.to), move.fingerprint])
            // What comes is found where the alert is now.
            try db.cachedStatement(sql: "DELETE FROM correlations WHERE incident = ? AND fingerprint = ?").execute(
                arguments: [stored(move.to), move.fingerprint])
            try db.cachedStatement(
                sql: """
                    INSERT INTO correlations (key, incident, fingerprint, at, source, summary)
                    SELECT key, ?, fingerprint, at, source, summary FROM correlations WHERE incident = ? AND fingerprint = ?
                    """
            ).execute(arguments: [stored(move.to), stored(move.from), move.fingerprint])
            try db.cachedStatement(sql: "DELETE FROM correlations WHERE incident = ? AND fingerprint = ?").execute(
                arguments: [stored(move.from), move.fingerprint])
            if incident.state == .merged {
                try db.cachedStatement(
                    sql: "INSERT INTO merged_alerts (incident, fingerprint, events) VALUES (?, ?, ?)"
                ).execute(arguments: [stored(incident.number), move.fingerprint, stored(move.events)])
            }
        }
    }

    /// Counts anew what the incident has, from the alerts themselves.
    private static func recount(_ draft: inout IncidentDraft, in db: Database) throws {
        let number = draft.incident.number
        let row = try Row.fetchOne(
            db, sql: "SELECT count(*), coalesce(sum(events), 0) FROM incident_alerts WHERE incident = ?",
            arguments: [stored(number)])
        let firing = try alertsFiring(of: number, in: db)
        draft.edit {
            $0.alertsTotal = UInt32(clamping: row?[0] as Int64? ?? 0)
            $0.events = UInt64(clamping: row?[1] as Int64? ?? 0)
            $0.alertsFiring = firing
        }
    }

    private static func write(_ draft: IncidentDraft, in db: Database) throws {
        try draft.incident.save(in: db)
        for entry in draft.entries { try entry.insert(incident: draft.incident.number, in: db) }
        if draft.incident.state != .merged {
            // Nothing is left to be undone.
            try db.cachedStatement(sql: "DELETE FROM merged_alerts WHERE incident = ?").execute(
                arguments: [stored(draft.incident.number)])
        }
        if draft.resolvesAlerts {
            let firing = try String.fetchAll(
                db,
                sql: "SELECT fingerprint FROM incident_alerts JOIN alerts USING (fingerprint) "
                    + "WHERE incident_alerts.incident = ? AND alerts.incident = ? AND alerts.state = ?",
                arguments: [
                    stored(draft.incident.number), stored(draft.incident.number), AlertState.firing.rawValue,
                ])
            for fingerprint in firing {
                try Inhibitors.remove(fingerprint, at: draft.incident.updatedAt, in: db)
                try HoldRecord.remove(fingerprint, in: db)
            }
            try db.execute(
                sql: "UPDATE alerts SET state = ? WHERE state = ? AND incident = ? AND fingerprint IN "
                    + "(SELECT fingerprint FROM incident_alerts WHERE incident = ?)",
                arguments: [
                    AlertState.resolved.rawValue, AlertState.firing.rawValue, stored(draft.incident.number),
                    stored(draft.incident.number),
                ])
        }
        _ = try OutboxRow.insert(draft, in: db)
    }

    /// How many of its alerts still are the incident's and fire.
    private static func alertsFiring(of number: UInt64, in db: Database) throws -> UInt32 {
        let count = try Int64.fetchOne(
            db,
            sql: "SELECT count(*) FROM incident_alerts JOIN alerts USING (fingerprint) "
                + "WHERE incident_alerts.incident = ? AND alerts.incident = ? AND alerts.state = ?",
            arguments: [stored(number), stored(number), AlertState.firing.rawValue])
        return UInt32(clamping: count ?? 0)
    }

    // MARK: - Answers that were given

    /// What the command was answered that is stored under this id, or nil if it is new. The command is as it was said.
    private static func answer<Answer: CommandAnswer>(
        to command: Command, _ id: String, _ sealer: Sealer
    ) throws -> Result<Answer, CommandRefusal>? {
        let row = try Row.fetchOne(
            sealer.db,
            sql:
                "SELECT code, message, response, incident, actor, action, text, waive_postmortem, arguments FROM commands WHERE id = ?",
            arguments: [id])
        guard let row else { return nil }
        // Sealed texts are compared as they were said: who is known by now may not have been then.
        let isSame =
            try sealer.open(row[8]) == command.arguments() && row[3] == stored(command.number)
            && sealer.open(row[4]) == command.actor && row[5] == command.action && sealer.open(row[6]) == command.text
            && row[7] == command.waivePostmortem
        guard isSame else {
            return .failure(
                CommandRefusal(
                    .invalidArgument, "request_id \(command.id) was used for another command; give each its own"))
        }
        let number: Int64 = row[0]
        if let code = CommandRefusal.Code(rawValue: UInt32(clamping: number)) {
            return .failure(CommandRefusal(code, try sealer.open(row[1])))
        }
        let response: Data = row[2]
        return .success(try sealer.open(try Answer(serializedBytes: response)))
    }

    /// The command is sealed, and so is what it was answered.
    private static func remember(
        _ command: Command, _ id: String, at time: UInt64, _ result: Result<some CommandAnswer, CommandRefusal>,
        in db: Database
    ) throws {
        var code: Int64 = 0
        var message = ""
        var response = Data()
        switch result {
        case .success(let answer): response = try answer.serializedBytes()
        case .failure(let refusal):
            code = Int64(refusal.code.rawValue)
            message = refusal.message
        }
        try db.execute(
            sql: """
                INSERT INTO commands
                    (id, time, incident, actor, action, text, waive_postmortem, code, message, response, arguments)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                id, stored(time), stored(command.number), command.actor, command.action, command.text,
                command.waivePostmortem, code, message, response, try command.arguments(),
            ])
    }
}
