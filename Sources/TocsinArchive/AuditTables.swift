import GRDB

/// A table whose rows the audit trail covers.
///
/// `outbox` is not among them: what is in it is on its way to the hub, and gone in a moment.
struct AuditedTable: Sendable {
    var name: String
    /// The columns of the primary key.
    var key: [String]
    /// The column that says which incident it is about; empty: none does.
    var incident = ""
    /// Columns that say who did what, where a row is an act. A row that is none is "added", "changed" or "removed", by nobody.
    var actor = ""
    var verb = ""
    /// Columns that say from what to what.
    var before = ""
    var after = ""

    /// Rows of `events` are covered by the transaction that added them, not one by one.
    static let events = "events"

    /// In the order in which the rows of an older archive are taken over. A table that is added here has to be new with it.
    static let all = [
        AuditedTable(name: "counters", key: ["name"]),
        AuditedTable(name: "incidents", key: ["number"], incident: "number"),
        AuditedTable(name: "alerts", key: ["fingerprint"], incident: "incident", after: "state"),
        AuditedTable(name: "incident_alerts", key: ["incident", "fingerprint"], incident: "incident"),
        AuditedTable(name: "merged_alerts", key: ["incident", "fingerprint"], incident: "incident"),
        AuditedTable(name: "suppressions", key: ["fingerprint"]),
        AuditedTable(
            name: "timeline", key: ["incident", "sequence"], incident: "incident", actor: "actor", verb: "verb",
            before: "before", after: "after"),
        AuditedTable(name: "reports", key: ["id"], incident: "incident"),
        AuditedTable(
            name: "commands", key: ["id"], incident: "incident", actor: "actor", verb: "action", after: "code"),
        AuditedTable(
            name: "refused", key: ["id"], incident: "incident", actor: "actor", verb: "action", after: "code"),
        AuditedTable(name: "audit_checkpoints", key: ["sequence"]),
        AuditedTable(name: "subjects", key: ["id", "generation"]),
        AuditedTable(name: "judgements", key: ["id"]),
        AuditedTable(name: "decisions", key: ["id"], incident: "incident"),
        AuditedTable(name: "silences", key: ["id"]),
        AuditedTable(name: "holds", key: ["fingerprint"], after: "kind"),
        AuditedTable(name: "inhibitors", key: ["rule", "equal", "fingerprint"]),
        AuditedTable(name: "correlations", key: ["key", "incident", "fingerprint"], incident: "incident"),
        AuditedTable(name: "changes", key: ["id"]),
    ]

    /// The key of a row as text, in SQL: the columns with `/` between them, blobs in hexadecimal digits. `row`: `NEW.`, `OLD.`, or
    /// nothing.
    func keyText(of row: String) -> String {
        key.map { "CASE typeof(\(row)\($0)) WHEN 'blob' THEN hex(\(row)\($0)) ELSE CAST(\(row)\($0) AS TEXT) END" }
            .joined(separator: " || '/' || ")
    }

    /// The trigger that calls `function` when a row is changed. Only the connection that makes it has it.
    ///
    /// The arguments: place of the table, operation, key, incident, actor, verb, before, after, then the columns of the row as it
    /// is, then as it was.
    func trigger(_ operation: AuditOperation, place: Int, columns: [String], function: String) -> String {
        let row = operation == .removed ? "OLD." : "NEW."
        func text(_ column: String, of row: String) -> String { column.isEmpty ? "''" : row + column }
        var arguments = [
            "\(place)", "\(operation.rawValue)", keyText(of: row), incident.isEmpty ? "0" : row + incident,
        ]
        if verb.isEmpty {
            // From one state to the next.
            arguments += [
                "''", "'\(operation)'", operation == .added ? "''" : text(after, of: "OLD."),
                operation == .removed ? "''" : text(after, of: "NEW."),
            ]
        } else if operation == .added {
            arguments += [actor, verb, before, after].map { text($0, of: row) }
        } else {
            arguments += ["''", "'\(operation)'", "''", "''"]
        }
        if operation != .removed { arguments += columns.map { "NEW." + $0 } }
        if operation != .added { arguments += columns.map { "OLD." + $0 } }
        return """
            CREATE TEMP TRIGGER audit_\(name)_\(operation) AFTER \(operation.event) ON main.\(name)
            BEGIN SELECT \(function)(\(arguments.joined(separator: ", "))); END
            """
    }
}

/// What happened to a row. The names are the verbs of its records.
enum AuditOperation: Int64, CaseIterable {
    case added, changed, removed

    /// In SQL.
    fileprivate var event: String {
        switch self {
        case .added: "INSERT"
        case .changed: "UPDATE"
        case .removed: "DELETE"
        }
    }
}
