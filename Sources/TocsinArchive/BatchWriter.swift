import GRDB
import TocsinDomain
import TocsinPolicy
import TocsinProto

/// One batch within its transaction. Rows are read once and written once, however many messages touch them: 20,000 events of
/// five alerts are five rows each time.
struct BatchWriter {
    let db: Database
    let sealer: Sealer
    let policy: ArchivePolicy
    /// The audit trail's number of the transaction.
    private let batch: Int64
    let now: UInt64
    let incidents = RowCache<UInt64, IncidentRecord>()
    let alerts = RowCache<String, AlertRecord>()
    private let suppressions = RowCache<String, SuppressionRecord>()
    private var people: [UInt64: [String]] = [:]
    private var drafts: [IncidentDraft] = []
    let links = RowCache<LinkKey, UInt64>()
    var refusals: [RefusalRecord] = []
    var nextNumber: UInt64
    private var position: UInt64 = 0
    private var counts: [Schema.Counter: UInt64] = [:]
    var silences: [CompiledSilence] = []
    private var silencesSince = UInt64.max
    var judge: AttentionJudge
    /// Why who is told of an incident, as decided in this batch.
    var routings: [UInt64: [Decision]] = [:]
    private var hasRecordedChanges = false
    private var result = AppliedBatch()

    init(_ sealer: Sealer, policy: ArchivePolicy, batch: Int64, now: UInt64) throws {
        db = sealer.db
        self.sealer = sealer
        self.policy = policy
        judge = policy.judge
        self.batch = batch
        self.now = now
        nextNumber = try Tables.nextNumber(in: db)
    }

    mutating func apply(_ item: ArchiveItem, index: Int) throws {
        position = max(position, item.sequence)
        let problem =
            switch item.content {
            case .alert(let update): try apply(update)
            case .silence(let silence): try apply(silence)
            case .report(let report): try apply(report)
            case .change(let change): try apply(change)
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
        var view = AlertView(update)
        var update = update
        update.fingerprint = sealer.seal(id: update.fingerprint, naming: named)
        view.fingerprint = update.fingerprint
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
            try decide(facts, view, at: sealer.seal(id: eventID(update, fresh[0]), naming: named))
        }
        return nil
    }

    /// Triage gives each event an id; what came another way is told apart by its place in the update.
    private func eventID(_ update: Tocsin_V1_AlertUpdate, _ index: Int) -> String {
        update.events[index].id.isEmpty ? "\(update.id)/\(index)" : update.events[index].id
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
        let statement = try db.cachedStatement(
            sql: "INSERT OR IGNORE INTO events (id, fate, batch, judgement) VALUES (?, ?, ?, ?)")
        let judgement = try DecisionLog.judgement(of: update, time: now, sealer, naming: named)
        var fresh: [Int] = []
        fresh.reserveCapacity(update.events.count)
        for index in update.events.indices {
            let id = sealer.seal(id: eventID(update, index), naming: named)
            try statement.execute(arguments: [id, fate.rawValue, batch, judgement])
            if db.changesCount > 0 { fresh.append(index) }
        }
        counts[fate == .suppressed ? .suppressed : .handled, default: 0] += AlertFacts.observations(in: update, fresh)
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

    private mutating func apply(_ report: Tocsin_V1_ResponseReport) throws -> String? {
        if report.id.isEmpty { return "the report has no id, so it could not be told from a repeated one" }
        guard let incident = try find(report.incident) else {
            return "the report \(report.id) is about incident \(report.incident), which does not exist"
        }
        let statement = try db.cachedStatement(sql: "INSERT OR IGNORE INTO reports (id, incident) VALUES (?, ?)")
        let named = PersonalValues(try people(of: incident) + [report.actor])
        try statement.execute(arguments: [sealer.seal(id: report.id, naming: named), stored(report.incident)])
        guard db.changesCount > 0 else { return nil }
        let (draft, refused) = policy.incidents.decide(
            try sealer.seal(report, naming: named), incident: incident, now: now)
        try keep(draft)
        refusals += refused
        return nil
    }

    mutating func alert(_ fingerprint: String) throws -> AlertRecord? {
        try alerts.find(fingerprint) { try AlertRecord.find($0, in: db) }
    }

    mutating func find(_ number: UInt64) throws -> IncidentRecord? {
        try incidents.find(number) { try IncidentRecord.find($0, in: db) }
    }

    private mutating func people(of incident: IncidentRecord) throws -> [String] {
        if let known = people[incident.number] { return known }
        let found = try sealer.people(of: incident)
        people[incident.number] = found
        return found
    }

    mutating func keep(_ draft: IncidentDraft) throws {
        var draft = draft
        if policy.routes(draft) {
            let number = draft.incident.number
            var own = try ArchivePolicy.alerts(of: number, sealer)
            for alert in alerts.changed {
                let isOwn = alert.incident == number && alert.state.isOpen
                if isOwn || own[alert.fingerprint] != nil { own[alert.fingerprint] = isOwn ? try AlertView(alert, sealer) : nil }
            }
            let routing = policy.route(&draft, own)
            if !routing.isEmpty { routings[number] = routing }
        }
        incidents.put(draft.incident, for: draft.incident.number)
        if !draft.entries.isEmpty { drafts.append(draft) }
    }

    /// Those that were not over at `time`: once in a batch, unless one comes or an event is from before.
    mutating func readSilences(at time: UInt64) throws {
        guard time < silencesSince else { return }
        let hour: UInt64 = 3_600_000
        silencesSince = time > hour ? time - hour : 0
        // One that cannot be compiled is not stored.
        silences = try SilenceRecord.all(at: silencesSince, sealer).map { try CompiledSilence($0) }
        silencesSince += 1
    }

    private mutating func apply(_ silence: Tocsin_V1_Silence) throws -> String? {
        do {
            _ = try CompiledSilence(silence)
        } catch {
            return "the silence \(silence.id): \(error)"
        }
        try flush()
        guard try SilenceRecord.put(silence, sealer) else { return nil }
        silencesSince = .max
        // It may hold, or hold no more, what is held already.
        try HoldRecord.release(heldBy: "silence", SilenceRecord.id(silence.id), at: now, in: db)
        return nil
    }

    private mutating func apply(_ change: Tocsin_V1_ChangeRecord) throws -> String? {
        if let problem = ChangeRecords.problem(of: change) { return problem }
        try ChangeRecords.add(change, now: now, sealer)
        hasRecordedChanges = true
        return nil
    }

    // MARK: - Writing

    /// Writes what was gathered.
    mutating func finish() throws -> AppliedBatch {
        try flush()
        if hasRecordedChanges { try ChangeRecords.prune(now: now, in: db) }
        for (counter, count) in counts { try Tables.add(count, to: counter, in: db) }
        try Tables.advance(to: position, in: db)
        return result
    }

    /// Writes what was gathered so far, for what reads it from the tables, and forgets it.
    mutating func flush() throws {
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
        incidents.removeAll()
        alerts.removeAll()
        suppressions.removeAll()
        links.removeAll()
        people.removeAll()
        (drafts, refusals) = ([], [])
    }
}
