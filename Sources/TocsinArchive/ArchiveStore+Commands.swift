import FoundationEssentials
import GRDB
import TocsinDomain
import TocsinProto

extension ArchiveStore {
    /// Does a person's command, or refuses it. The answer is remembered: the same command again is answered alike and has no
    /// further effect. Refused transitions are journalled too.
    ///
    /// `now`: milliseconds since 1970.
    ///
    /// - Throws: `CommandRefusal`, `ArchiveError`, `CancellationError`.
    func command<Request: CommandRequest>(_ request: Request, now: UInt64) async throws -> Request.Answer {
        let command = try Command(request)
        let policy = policy
        // A refusal is a result and not an error of the transaction, because it is written down.
        let result = try await write { db -> Result<Request.Answer, CommandRefusal> in
            if let answered: Result<Request.Answer, CommandRefusal> = try Self.answer(to: command, in: db) { return answered }
            guard var incident = try IncidentRecord.find(command.number, in: db) else {
                // Not remembered: it may come into being.
                return .failure(CommandRefusal(.notFound, "there is no incident \(command.number)"))
            }
            // The guards look at stamps that may have come from another clock.
            let now = max(now, incident.detectedAt)
            incident.alertsFiring = try Self.alertsFiring(of: command.number, in: db)
            switch policy.decide(command, incident: incident, now: now) {
            case .failure(let refusal):
                try RefusalRecord(
                    time: now, incident: command.number, actor: command.actor, action: command.action, refusal: refusal
                ).insert(in: db)
                try Self.remember(
                    command, at: now, Result<Request.Answer, CommandRefusal>.failure(CommandRefusal(refusal)), in: db)
                return .failure(CommandRefusal(refusal))
            case .success(let draft):
                try Self.write(draft, in: db)
                var response = Request.Answer()
                response.incident = draft.incident.proto
                if let entry = draft.entries.last { response.entry = entry.proto }
                try Self.remember(command, at: now, .success(response), in: db)
                return .success(response)
            }
        }
        return try result.get()
    }

    private static func write(_ draft: IncidentDraft, in db: Database) throws {
        try draft.incident.save(in: db)
        for entry in draft.entries { try entry.insert(incident: draft.incident.number, in: db) }
        if draft.resolvesAlerts {
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

    /// What the command of this id was answered, or nil if it is new.
    private static func answer<Answer: CommandAnswer>(
        to command: Command, in db: Database
    ) throws -> Result<Answer, CommandRefusal>? {
        let row = try Row.fetchOne(
            db,
            sql:
                "SELECT code, message, response, incident, actor, action, text, waive_postmortem FROM commands WHERE id = ?",
            arguments: [command.id])
        guard let row else { return nil }
        let isSame =
            row[3] == stored(command.number) && row[4] == command.actor && row[5] == command.action
            && row[6] == command.text && row[7] == command.waivePostmortem
        guard isSame else {
            return .failure(
                CommandRefusal(
                    .invalidArgument, "the id \(command.id) was used for another command; give each its own"))
        }
        let number: Int64 = row[0]
        if let code = CommandRefusal.Code(rawValue: UInt32(clamping: number)) {
            return .failure(CommandRefusal(code, row[1]))
        }
        let response: Data = row[2]
        return .success(try Answer(serializedBytes: response))
    }

    private static func remember(
        _ command: Command, at time: UInt64, _ result: Result<some CommandAnswer, CommandRefusal>,
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
                INSERT INTO commands (id, time, incident, actor, action, text, waive_postmortem, code, message, response)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                command.id, stored(time), stored(command.number), command.actor, command.action, command.text,
                command.waivePostmortem, code, message, response,
            ])
    }
}
