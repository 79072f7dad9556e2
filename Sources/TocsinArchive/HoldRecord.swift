import GRDB
import TocsinPolicy
import TocsinWire

/// An alert that fires and is kept from telling anybody, and what it will tell when nothing holds it any more.
///
/// One that flaps and was told of before stays firing for its incident, which so is held open.
struct HoldRecord: Sendable, Equatable {
    var hold: Hold
    /// When it is looked at again, milliseconds since 1970; 0: when the alert that inhibits it ends.
    var due: UInt64
    /// Its latest event says that the condition holds.
    var fires: Bool
    /// With the events that came while it was held.
    var facts: AlertFacts

    private static let columns = "fingerprint, kind, rule, inhibitor, due, fires, facts"
    private static let upsert = Tables.upsert("holds", columns, key: "fingerprint")

    init(_ hold: Hold, due: UInt64?, fires: Bool = true, facts: AlertFacts) {
        self.hold = hold
        self.due = due ?? 0
        self.fires = fires
        self.facts = facts
    }

    private init(_ row: Row) throws {
        let (kind, rule, inhibitor): (String, String, String) = (row[1], row[2], row[3])
        hold =
            switch kind {
            case "silence": .silence(id: rule)
            case "maintenance": .maintenance(rule)
            case "inhibition": .inhibition(rule: rule, by: inhibitor)
            default: .flapping
            }
        due = UInt64(clamping: row[4] as Int64)
        fires = row[5]
        facts = try JSONText.decode(row[6])
    }

    static func find(_ fingerprint: String, in db: Database) throws -> HoldRecord? {
        let statement = try db.cachedStatement(sql: "SELECT \(columns) FROM holds WHERE fingerprint = ?")
        return try Row.fetchOne(statement, arguments: [fingerprint]).map { try HoldRecord($0) }
    }

    /// The fingerprints of those that are to be looked at by `time`, the longest due first.
    static func due(by time: UInt64, limit: Int, in db: Database) throws -> [String] {
        let statement = try db.cachedStatement(
            sql: "SELECT fingerprint FROM holds WHERE due > 0 AND due <= ? ORDER BY due, fingerprint LIMIT ?")
        return try String.fetchAll(statement, arguments: [stored(time), limit])
    }

    static func put(off fingerprint: String, until time: UInt64, in db: Database) throws {
        try db.cachedStatement(sql: "UPDATE holds SET due = ? WHERE fingerprint = ?").execute(arguments: [
            stored(time), fingerprint,
        ])
    }

    static func isAnyDue(by time: UInt64, in db: Database) throws -> Bool {
        try Bool.fetchOne(
            db, sql: "SELECT EXISTS (SELECT 1 FROM holds WHERE due > 0 AND due <= ?)", arguments: [stored(time)]) ?? false
    }

    func save(in db: Database) throws {
        try db.cachedStatement(sql: Self.upsert).execute(arguments: [
            facts.fingerprint, kind, rule, inhibitor, stored(due), fires, try JSONText.encode(facts),
        ])
    }

    static func remove(_ fingerprint: String, in db: Database) throws {
        try db.cachedStatement(sql: "DELETE FROM holds WHERE fingerprint = ?").execute(arguments: [fingerprint])
    }

    /// What `fingerprint` inhibits is looked at again at `time`.
    static func release(inhibitedBy fingerprint: String, at time: UInt64, in db: Database) throws {
        try db.cachedStatement(sql: "UPDATE holds SET due = ? WHERE inhibitor = ?").execute(
            arguments: [stored(max(1, time)), fingerprint])
    }

    /// What a thing of the policy or a person holds is looked at again at `time`.
    static func release(heldBy kind: String, _ rule: String, at time: UInt64, in db: Database) throws {
        try db.cachedStatement(sql: "UPDATE holds SET due = ? WHERE kind = ? AND rule = ?").execute(
            arguments: [stored(max(1, time)), kind, rule])
    }

    /// "silence 5f…", "inhibition db-explains"; what people read.
    static func words(kind: String, rule: String) -> String { rule.isEmpty ? kind : "\(kind) \(rule)" }
    var words: String { Self.words(kind: kind, rule: rule) }

    private var kind: String {
        switch hold {
        case .silence: "silence"
        case .maintenance: "maintenance"
        case .inhibition: "inhibition"
        case .flapping: "flapping"
        }
    }

    private var rule: String {
        switch hold {
        case .silence(let id): id
        case .maintenance(let name): name
        case .inhibition(let rule, _): rule
        case .flapping: ""
        }
    }

    private var inhibitor: String {
        if case .inhibition(_, let by) = hold { by } else { "" }
    }
}

/// Alerts that fire and explain others, by rule.
enum Inhibitors {
    /// The alert fires and nothing holds it.
    static func put(_ inhibitors: [Inhibitor], by fingerprint: String, in db: Database) throws {
        for inhibitor in inhibitors {
            try db.cachedStatement(
                sql: "INSERT OR IGNORE INTO inhibitors (rule, equal, fingerprint, is_target) VALUES (?, ?, ?, ?)"
            ).execute(arguments: [inhibitor.rule, digest(inhibitor.key), fingerprint, inhibitor.isTarget])
        }
    }

    /// It fires no more: what it inhibits is looked at again.
    static func remove(_ fingerprint: String, at time: UInt64, in db: Database) throws {
        try db.cachedStatement(sql: "DELETE FROM inhibitors WHERE fingerprint = ?").execute(arguments: [fingerprint])
        try HoldRecord.release(inhibitedBy: fingerprint, at: time, in: db)
    }

    /// The fingerprint of an alert that explains another.
    static func find(_ query: InhibitorQuery, in db: Database) throws -> String? {
        let statement = try db.cachedStatement(
            sql: """
                SELECT fingerprint FROM inhibitors WHERE rule = ? AND equal = ? AND fingerprint != ? AND is_target <= ?
                ORDER BY fingerprint LIMIT 1
                """)
        return try String.fetchOne(
            statement, arguments: [query.rule, digest(query.key), query.except, !query.excludesTargets])
    }

    /// Values of labels may name somebody; this does not.
    private static func digest(_ equal: String) -> String { [UInt8](CanonicalBytes(equal).digest.prefix(16)).hexadecimal }
}
