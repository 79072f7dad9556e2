import GRDB
import TocsinProto

/// One message of the archive's pool, decoded.
struct ArchiveItem: Sendable, Equatable {
    enum Content: Sendable, Equatable {
        case alert(Tocsin_V1_AlertUpdate)
        case report(Tocsin_V1_ResponseReport)
    }

    /// Its place in the stream.
    var sequence: UInt64
    var content: Content
}

/// What became of a batch.
struct AppliedBatch: Sendable, Equatable {
    /// Index in the batch and reason of each message that can never be applied.
    var rejected: [Int: String] = [:]
    /// Changes put into the outbox.
    var changes = 0
}

extension ArchiveStore {
    /// Applies messages in order, all in one transaction. Messages and events that were applied before have no effect, so a
    /// batch may be applied again, whole or in parts.
    ///
    /// `now`: milliseconds since 1970; no time that is taken from a message is later.
    ///
    /// - Throws: `ArchiveError` or `CancellationError`; then nothing of the batch was written.
    func apply(_ items: [ArchiveItem], now: UInt64) async throws -> AppliedBatch {
        let (policy, audit) = (policy, audit)
        return try await writeSealed { sealer in
            var batch = try BatchWriter(sealer, policy: policy, batch: audit.batch, now: now)
            for (index, item) in items.enumerated() { try batch.apply(item, index: index) }
            return try batch.finish()
        }
    }
}

/// One batch within its transaction. Rows are read once and written once, however many messages touch them: 20,000 events of
/// five alerts are five rows each time.
private struct BatchWriter {
    private let db: Database
    private let sealer: Sealer
    private let policy: IncidentPolicy
    /// The audit trail's number of the transaction.
    private let batch: Int64
    private let now: UInt64
    private var incidents = RowCache<UInt64, IncidentRecord>()
    private var alerts = RowCache<String, AlertRecord>()
    private var suppressions = RowCache<String, SuppressionRecord>()
    private var people: [UInt64: [String]] = [:]
    private var drafts: [IncidentDraft] = []
    private var links = RowCache<LinkKey, UInt64>()
    private var refusals: [RefusalRecord] = []
    private var nextNumber: UInt64
    private var position: UInt64 = 0
    private var counts: [Schema.Counter: UInt64] = [:]
    private var result = AppliedBatch()

    init(_ sealer: Sealer, policy: IncidentPolicy, batch: Int64, now: UInt64) throws {
        db = sealer.db
        self.sealer = sealer
        self.policy = policy
        self.batch = batch
        self.now = now
        nextNumber = try Tables.nextNumber(in: db)
    }

    mutating func apply(_ item: ArchiveItem, index: Int) throws {
        position = max(position, item.sequence)
        let problem =
            switch item.content {
            case .alert(let update): try apply(update)
            case .report(let report): try apply(report)
            }
        if let problem { result.rejected[index] = problem }
    }

    // MARK: - Messages

    /// Nil, or why it can never be applied.
    private mutating func apply(_ update: Tocsin_V1_AlertUpdate) throws -> String? {
        if update.fingerprint.isEmpty { return "the alert update \(update.id) has no fingerprint" }
        if update.events.isEmpty { return "the alert update \(update.id) carries no event" }
        let personal = sealer.values(of: update)
        let named = PersonalValues(personal)
        var update = update
        update.fingerprint = sealer.seal(id: update.fingerprint, naming: named)
        let isSuppressed = try update.disposition == .suppressed && !ends(update)
        let fresh = try recordEvents(of: update, naming: named, fate: isSuppressed ? .suppressed : .handled)
        if fresh.isEmpty { return nil }
        let known = try alert(update.fingerprint).flatMap { $0.incident == 0 ? nil : try find($0.incident) }
        let people = try known.map { try self.people(of: $0) } ?? []
        let facts = try sealer.seal(
            AlertFacts(update, fresh: fresh, now: now), naming: people.isEmpty ? named : PersonalValues(personal + people))
        if isSuppressed {
            try suppress(facts)
        } else {
            try decide(facts)
        }
        return nil
    }

    /// Whether it says that a firing alert is over. A rule may keep an alert from being raised; kept from ending, it would
    /// fire for ever.
    private mutating func ends(_ update: Tocsin_V1_AlertUpdate) throws -> Bool {
        try update.kind == .resolve && alert(update.fingerprint)?.state.isOpen ?? false
    }

    /// Gives each event its fate. Returns the indices of those that had none.
    private mutating func recordEvents(
        of update: Tocsin_V1_AlertUpdate, naming named: PersonalValues, fate: Schema.Fate
    ) throws -> [Int] {
        let statement = try db.cachedStatement(sql: "INSERT OR IGNORE INTO events (id, fate, batch) VALUES (?, ?, ?)")
        var fresh: [Int] = []
        fresh.reserveCapacity(update.events.count)
        for (index, event) in update.events.enumerated() {
            // Triage gives each event an id; what came another way is told apart by its place in the update.
            let id = event.id.isEmpty ? "\(update.id)/\(index)" : event.id
            try statement.execute(arguments: [sealer.seal(id: id, naming: named), fate.rawValue, batch])
            if db.changesCount > 0 { fresh.append(index) }
        }
        counts[fate == .suppressed ? .suppressed : .handled, default: 0] += UInt64(fresh.count)
        counts[.redelivered, default: 0] += UInt64(update.events.count - fresh.count)
        return fresh
    }

    private mutating func suppress(_ facts: AlertFacts) throws {
        let known = try suppressions.find(facts.fingerprint) { try SuppressionRecord.find($0, in: db) }
        var record =
            known
            ?? SuppressionRecord(
                fingerprint: facts.fingerprint, service: facts.service, summary: facts.summary, rule: facts.rule,
                events: 0, firstAt: facts.firstAt, lastAt: facts.lastAt)
        record.events += facts.events
        record.firstAt = min(record.firstAt, facts.firstAt)
        record.lastAt = max(record.lastAt, facts.lastAt)
        suppressions.put(record, for: facts.fingerprint)
    }

    private mutating func decide(_ facts: AlertFacts) throws {
        let alert = try alert(facts.fingerprint)
        let incident = try alert.flatMap { $0.incident == 0 ? nil : try find($0.incident) }
        let outcome = policy.decide(facts, alert: alert, incident: incident, newNumber: nextNumber)
        alerts.put(outcome.alert, for: facts.fingerprint)
        if let left = outcome.left { incidents.put(left, for: left.number) }
        if let draft = outcome.draft {
            if draft.incident.number == nextNumber { nextNumber += 1 }
            // Whatever touches an incident has counted the events in it.
            let link = LinkKey(incident: draft.incident.number, fingerprint: facts.fingerprint)
            links.put((links.find(link) { _ in nil } ?? 0) + facts.events, for: link)
            keep(draft)
        }
        refusals += outcome.refusals
    }

    private mutating func apply(_ report: Tocsin_V1_ResponseReport) throws -> String? {
        if report.id.isEmpty { return "the report has no id, so it could not be told from a repeated one" }
        guard let incident = try find(report.incident) else {
            return "the report \(report.id) is about incident \(report.incident), which does not exist"
        }
        let statement = try db.cachedStatement(sql: "INSERT OR IGNORE INTO reports (id, incident) VALUES (?, ?)")
        let named = PersonalValues(try people(of: incident) + [report.actor])
        try statement.execute(arguments: [sealer.seal(id: report.id, naming: named), stored(report.incident)])
        guard db.changesCount > 0 else { return nil }
        let (draft, refused) = policy.decide(
            try sealer.seal(report, naming: named), incident: incident, now: now)
        keep(draft)
        refusals += refused
        return nil
    }

    private mutating func alert(_ fingerprint: String) throws -> AlertRecord? {
        try alerts.find(fingerprint) { try AlertRecord.find($0, in: db) }
    }

    private mutating func find(_ number: UInt64) throws -> IncidentRecord? {
        try incidents.find(number) { try IncidentRecord.find($0, in: db) }
    }

    private mutating func people(of incident: IncidentRecord) throws -> [String] {
        if let known = people[incident.number] { return known }
        let found = try sealer.people(of: incident)
        people[incident.number] = found
        return found
    }

    private mutating func keep(_ draft: IncidentDraft) {
        incidents.put(draft.incident, for: draft.incident.number)
        if !draft.entries.isEmpty { drafts.append(draft) }
    }

    // MARK: - Writing

    /// Writes what was gathered.
    func finish() throws -> AppliedBatch {
        var result = result
        // Parents before what refers to them.
        for incident in incidents.changed { try incident.save(in: db) }
        for alert in alerts.changed { try alert.save(in: db) }
        for suppression in suppressions.changed { try suppression.save(in: db) }
        for (link, events) in links.changes { try link.add(events, in: db) }
        for draft in drafts {
            for entry in draft.entries { try entry.insert(incident: draft.incident.number, in: db) }
            if try OutboxRow.insert(draft, in: db) { result.changes += 1 }
        }
        for refusal in refusals { try refusal.insert(in: db) }
        for (counter, count) in counts { try Tables.add(count, to: counter, in: db) }
        try Tables.advance(to: position, in: db)
        return result
    }
}

/// Rows of one table, by key: read at most once, and known to be changed or not. Order of change is kept, so that equal
/// batches write alike.
private struct RowCache<Key: Hashable, Record> {
    private var rows: [Key: Record?] = [:]
    private var order: [Key] = []
    private var dirty: Set<Key> = []

    mutating func find(_ key: Key, load: (Key) throws -> Record?) rethrows -> Record? {
        if let row = rows[key] { return row }
        let row = try load(key)
        rows[key] = .some(row)
        return row
    }

    mutating func put(_ record: Record, for key: Key) {
        rows[key] = .some(record)
        if dirty.insert(key).inserted { order.append(key) }
    }

    var changes: [(Key, Record)] { order.compactMap { key in (rows[key] ?? nil).map { (key, $0) } } }
    var changed: [Record] { order.compactMap { rows[$0] ?? nil } }
}
