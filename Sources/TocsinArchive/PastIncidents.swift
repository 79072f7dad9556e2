import GRDB
import Synchronization
import TocsinDomain
import TocsinText

/// The incidents of the past that something can be learnt from, by their texts: those that are resolved or closed with a stated
/// cause, and no drills; the latest ``capacity``. In memory; thread-safe.
///
/// It sees what the writer commits, and reads what changed right then, on the writer's thread: it is never behind. What was there
/// before is read by `learn`. Who asks looks at each incident that is found again, in a transaction of their own, for what it is
/// and for who may see it.
///
/// Texts are taken without what is sealed in them: no names of people are in it, so an erasure has nothing to take out.
final class PastIncidents: TransactionObserver, Sendable {
    /// Some 65 MB of memory.
    static let capacity = 100_000

    private let known = Mutex(Known())
    private let changes = Mutex(Changes())

    private struct Known {
        var texts = TextIndex(capacity: PastIncidents.capacity)
        /// Those that not everybody may see.
        var restricted: Set<UInt64> = []
        /// Of what was there before: not yet read, the latest last. Nil: not yet known.
        var unread: [UInt64]?
        /// What was committed since: nothing older may take its place. Empty once all is read.
        var news: Set<UInt64> = []

        mutating func take(_ number: UInt64, _ lesson: Lesson?) {
            guard let lesson else {
                texts.remove(number)
                restricted.remove(number)
                return
            }
            texts.put(number, lesson.text)
            if lesson.isRestricted { restricted.insert(number) } else { restricted.remove(number) }
        }
    }

    private struct Changes {
        /// In the transaction under way.
        var changing: Set<Int64> = []
        /// Committed, and not read because that failed: read with the next.
        var left: Set<Int64> = []
    }

    /// How many incidents are known.
    var count: Int { known.withLock { $0.texts.count } }

    /// Reads at most `limit` incidents of those that were there. Returns whether more are left.
    func learn(limit: Int, in db: Database) throws -> Bool {
        let numbers = try known.withLock { $0.unread } ?? Self.taught(in: db)
        for number in numbers.suffix(limit) {
            let lesson = try Lesson(number, in: db)
            known.withLock { if !$0.news.contains(number) { $0.take(number, lesson) } }
        }
        return known.withLock {
            let rest = Array(numbers.dropLast(limit))
            $0.unread = rest
            if rest.isEmpty { $0.news = [] }
            return !rest.isEmpty
        }
    }

    private static func taught(in db: Database) throws -> [UInt64] {
        let numbers = try Int64.fetchAll(
            db, sql: "SELECT number FROM incidents WHERE state IN (?, ?) AND drill = 0 ORDER BY number DESC LIMIT \(capacity)",
            arguments: [Int64(IncidentState.resolved.rawValue), Int64(IncidentState.closed.rawValue)])
        return numbers.reversed().map { UInt64(clamping: $0) }
    }

    /// Those most like `text`, best first. `isShown` is asked about restricted ones only.
    func similar(
        to text: TextIndex.Text, limit: Int, excluding number: UInt64, where isShown: (UInt64) throws -> Bool
    ) throws -> [TextIndex.Hit] {
        try known.withLock { known in
            var failure: (any Error)?
            let hits = known.texts.similar(to: text, limit: limit) { [restricted = known.restricted] id in
                guard id != number, failure == nil else { return false }
                guard restricted.contains(id) else { return true }
                do { return try isShown(id) } catch {
                    failure = error
                    return false
                }
            }
            if let failure { throw failure }
            return hits
        }
    }

    // MARK: - What is committed

    func observes(eventsOfKind kind: DatabaseEventKind) -> Bool { kind.tableName == "incidents" }

    func databaseDidChange(with event: DatabaseEvent) {
        changes.withLock { _ = $0.changing.insert(event.rowID) }
    }

    func databaseDidRollback(_ db: Database) { changes.withLock { $0.changing = [] } }

    func databaseDidCommit(_ db: Database) {
        let changed = changes.withLock { changes in
            defer { changes = Changes() }
            return changes.changing.union(changes.left)
        }
        for number in changed {
            do {
                let lesson = try Lesson(UInt64(clamping: number), in: db)
                known.withLock { known in
                    if known.unread?.isEmpty != true { known.news.insert(UInt64(clamping: number)) }
                    known.take(UInt64(clamping: number), lesson)
                }
            } catch {
                changes.withLock { _ = $0.left.insert(number) }
            }
        }
    }
}

/// What is kept of one incident.
private struct Lesson {
    var text: TextIndex.Text
    var isRestricted: Bool

    /// Nil for an incident that teaches nothing, or is gone.
    init?(_ number: UInt64, in db: Database) throws {
        // Most that change are open.
        let isOver = try db.cachedStatement(sql: "SELECT 1 FROM incidents WHERE number = ? AND state IN (?, ?)")
        let states = [IncidentState.resolved, .closed].map { Int64($0.rawValue) }
        guard try Int64.fetchOne(isOver, arguments: [stored(number), states[0], states[1]]) != nil,
            let incident = try IncidentRecord.find(number, in: db), incident.teaches
        else { return nil }
        text = try incident.text(in: db)
        isRestricted = !incident.needToKnow.isEmpty
    }
}

extension IncidentRecord {
    /// Whether something can be learnt from it.
    var teaches: Bool {
        (state == .resolved || state == .closed) && !drill && !cause.trimmed.isEmpty && cause.trimmed.lowercased() != "unknown"
            && cause != IncidentPolicy.resolvedByItself
    }

    /// What it tells, without names of people: to be compared.
    func text(in db: Database) throws -> TextIndex.Text {
        let summaries = try db.cachedStatement(
            sql: """
                SELECT summary FROM incident_alerts JOIN alerts USING (fingerprint)
                WHERE incident_alerts.incident = ? ORDER BY alerts.first_at, fingerprint LIMIT 20
                """)
        let notes = try db.cachedStatement(
            sql: """
                SELECT text FROM timeline WHERE incident = ? AND verb IN ('noted', 'mitigated', 'resolved')
                ORDER BY sequence DESC LIMIT 20
                """)
        let told =
            try String.fetchAll(summaries, arguments: [stored(number)]) + [cause]
            + String.fetchAll(notes, arguments: [stored(number)])
        return TextIndex.Text(
            title: SealedText.plain(title), labels: services, body: SealedText.plain(told.joined(separator: "\n")))
    }
}
