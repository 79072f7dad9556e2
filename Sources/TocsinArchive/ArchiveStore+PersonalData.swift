import FoundationEssentials
import GRDB
import TocsinProto
import TocsinWire

/// A text that speaks of a person, where it is.
struct PersonalPiece: Sendable, Equatable {
    /// "timeline", "incident", "alert", "command", "refusal", "suppression", "audit trail".
    var place: String
    /// 0: none.
    var incident: UInt64
    /// What the place calls it.
    var field: String
    var value: String
    /// Milliseconds since 1970; 0: not known.
    var time: UInt64
}

/// Who shall be forgotten, and who says so.
struct Erasure: Sendable {
    var requestID: String
    var subject: String
    var actor: String
    var reason: String

    /// Throws `invalidArgument` that names the field.
    func check() throws(CommandRefusal) {
        if requestID.isEmpty { throw CommandRefusal(.invalidArgument, "request_id is empty; give each request an id") }
        if Command.isBlank(actor) { throw CommandRefusal(.invalidArgument, "actor is empty; say who asks for it") }
        let bounds = [
            ("request_id", requestID, TextLimit.name), ("actor", actor, TextLimit.name),
            ("reason", reason, TextLimit.cause),
        ]
        for (field, value, limit) in bounds where value.utf8.count > limit {
            throw CommandRefusal(.invalidArgument, "\(field) has \(value.utf8.count) bytes; at most \(limit) are possible")
        }
        try Self.check(subject: subject)
    }

    static func check(subject: String) throws(CommandRefusal) {
        if Command.isBlank(subject) { throw CommandRefusal(.invalidArgument, "subject is empty; say about whom") }
        guard subject.utf8.count <= subjectBytes else {
            throw CommandRefusal(
                .invalidArgument, "subject has \(subject.utf8.count) bytes; at most \(subjectBytes) are possible")
        }
    }

    private static let subjectBytes = 256
}

/// A table with columns that may name people.
private struct PersonalTable {
    var name: String
    var place: String
    /// Column or 0.
    var incident: String
    var time: String
    var columns: [String]
    /// In which order it is read; unique.
    var order: String

    static let all = [
        PersonalTable(
            name: "incidents", place: "incident", incident: "number", time: "updated_at",
            columns: ["title", "assignee", "cause", "mitigated_by", "need_to_know", "labels"], order: "number"),
        PersonalTable(
            name: "alerts", place: "alert", incident: "incident", time: "last_at", columns: ["summary", "rule", "labels"],
            order: "fingerprint"),
        PersonalTable(
            name: "judgements", place: "judgement", incident: "0", time: "time", columns: ["decisions"], order: "id"),
        PersonalTable(
            name: "decisions", place: "decision", incident: "incident", time: "time", columns: ["decisions"], order: "id"),
        PersonalTable(
            name: "silences", place: "silence", incident: "0", time: "updated_at",
            columns: ["matchers", "created_by", "comment"], order: "id"),
        PersonalTable(
            name: "changes", place: "change", incident: "0", time: "changed_at", columns: ["author", "summary", "url"],
            order: "id"),
        PersonalTable(
            name: "holds", place: "held alert", incident: "0", time: "due", columns: ["facts"], order: "fingerprint"),
        PersonalTable(
            name: "correlations", place: "correlation", incident: "incident", time: "at", columns: ["summary"],
            order: "key, incident, fingerprint"),
        PersonalTable(
            name: "suppressions", place: "suppression", incident: "0", time: "last_at", columns: ["summary", "rule"],
            order: "fingerprint"),
        PersonalTable(
            name: "timeline", place: "timeline", incident: "incident", time: "time",
            columns: ["actor", "text", "before", "after"], order: "incident, sequence"),
        PersonalTable(
            name: "commands", place: "command", incident: "incident", time: "time",
            columns: ["actor", "text", "message", "arguments"], order: "id"),
        PersonalTable(
            name: "refused", place: "refusal", incident: "incident", time: "time", columns: ["actor", "message"],
            order: "id"),
        PersonalTable(
            name: "audit", place: "audit trail", incident: "incident", time: "time",
            columns: ["actor", "caller", "before", "after"], order: "sequence"),
    ]

    /// Rows of which a column has what `?` says.
    var condition: String { columns.map { "instr(\($0), ?) > 0" }.joined(separator: " OR ") }

    func arguments(_ beginning: String) -> StatementArguments {
        StatementArguments(Array(repeating: beginning, count: columns.count))
    }
}

extension ArchiveStore {
    private static let pageRows = 500
    private static let eraseAction = "erase"

    /// Everything about one person that can still be read, piece by piece.
    ///
    /// - Throws: `CommandRefusal`, `ArchiveError`, what `each` throws.
    func exportPersonalData(_ subject: String, _ each: (PersonalPiece) async throws -> Void) async throws {
        try Erasure.check(subject: subject)
        for table in PersonalTable.all {
            var offset = 0
            while true {
                let start = offset
                let page = try await readSealed { try Self.pieces(of: subject, in: table, from: start, $0) }
                for piece in page.pieces { try await each(piece) }
                if page.rows < Self.pageRows { break }
                offset += page.rows
            }
        }
    }

    private static func pieces(
        of subject: String, in table: PersonalTable, from offset: Int, _ sealer: Sealer
    ) throws -> (pieces: [PersonalPiece], rows: Int) {
        guard let beginning = try sealer.beginning(of: subject) else { return ([], 0) }
        let rows = try Row.fetchAll(
            sealer.db,
            sql: """
                SELECT \(table.incident), \(table.time), \(table.columns.joined(separator: ", ")) FROM \(table.name)
                WHERE \(table.condition) ORDER BY \(table.order) LIMIT \(pageRows) OFFSET \(offset)
                """, arguments: table.arguments(beginning))
        var pieces: [PersonalPiece] = []
        for row in rows {
            let (incident, time): (Int64, Int64) = (row[0], row[1])
            for (index, column) in table.columns.enumerated() {
                let text: String = row[index + 2]
                guard text.contains(beginning) else { continue }
                pieces.append(
                    PersonalPiece(
                        place: table.place, incident: UInt64(clamping: incident),
                        field: column.replacing("_", with: " "), value: try sealer.open(text), time: UInt64(clamping: time)))
            }
        }
        return (pieces, rows.count)
    }

    /// Makes everything about one person unreadable: the person's key goes, from the database and its log, and is on no disk
    /// when this returns. The same request again has no further effect and the same answer: how many pieces could be read.
    ///
    /// - Throws: `CommandRefusal`; `ArchiveError`, `locked` if the key is gone from the database and not yet from its log: ask
    ///   again.
    func erasePersonalData(_ erasure: Erasure, caller: String = "", now: UInt64) async throws -> UInt64 {
        try erasure.check()
        let audit = audit
        let pieces = try await writeSealed(caller: caller) { sealer in
            let (vault, db) = (sealer.vault, sealer.db)
            let id = vault.subject(of: erasure.subject)
            let name = id.hexadecimal
            let requestID = sealer.seal(id: erasure.requestID, naming: PersonalValues([erasure.subject, erasure.actor]))
            if let pieces = try Self.answer(toErasure: requestID, of: name, in: db) { return pieces }
            var pieces: UInt64 = 0
            if let beginning = try sealer.beginning(of: erasure.subject) {
                for table in PersonalTable.all { pieces += try Self.count(table, beginning, in: db) }
            }
            try db.execute(
                sql: "UPDATE subjects SET wrapped_key = x'', erased_at = ? WHERE id = ? AND wrapped_key <> x''",
                arguments: [stored(now), id])
            sealer.forget(id)
            // Who asks for their own erasure is named nowhere either.
            let isSelf = vault.subject(of: erasure.actor) == id
            let actor = isSelf ? Vault.erased : try sealer.seal(actor: erasure.actor)
            let reason = PersonalValues([erasure.subject]).replacing(in: SealedText.escape(erasure.reason)) { _ in
                Vault.erased
            }
            audit.append(AuditAct(actor: actor, verb: "erased", before: name, after: reason))
            try db.execute(
                sql: """
                    INSERT INTO commands
                        (id, time, incident, actor, action, text, waive_postmortem, code, message, response, arguments)
                    VALUES (?, ?, 0, ?, ?, ?, 0, 0, ?, x'', ?)
                    """,
                arguments: [requestID, stored(now), actor, Self.eraseAction, reason, "\(pieces)", name])
            return pieces
        }
        // What was overwritten is still in the log until that is emptied.
        try await emptyLog()
        return pieces
    }

    private static func count(_ table: PersonalTable, _ beginning: String, in db: Database) throws -> UInt64 {
        let sum = table.columns.map { "(instr(\($0), ?) > 0)" }.joined(separator: " + ")
        let sql = "SELECT coalesce(sum(\(sum)), 0) FROM \(table.name)"
        return UInt64(clamping: try Int64.fetchOne(db, sql: sql, arguments: table.arguments(beginning)) ?? 0)
    }

    private static func answer(toErasure id: String, of subject: String, in db: Database) throws -> UInt64? {
        let row = try Row.fetchOne(db, sql: "SELECT action, arguments, message FROM commands WHERE id = ?", arguments: [id])
        guard let row else { return nil }
        guard row[0] == eraseAction, row[1] == subject else {
            throw CommandRefusal(.invalidArgument, "request_id was used for another request; give each its own")
        }
        return UInt64(row[2] as String) ?? 0
    }
}

extension Sealer {
    /// What sealed text about somebody begins with, since the last erasure; nil if there is none.
    func beginning(of value: String) throws -> String? {
        try existingKey(for: vault.subject(of: value)).map { SealedText.beginning($0.name) }
    }
}
