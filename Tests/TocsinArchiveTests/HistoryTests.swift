import GRDB
import TestSupport
import Testing
import TocsinDomain
import TocsinProto

@testable import TocsinArchive

/// Goal: whatever people do in whatever order, every alert belongs to one incident, every counter is the sum of what it counts,
/// and a request has one effect. Method: random histories of events and commands with a printed seed; after each step the
/// tables are checked against each other.
@Suite("Random histories", .timeLimit(.minutes(3)))
struct HistoryTests {
    @Test("commands, merges and splits among events keep what must always hold", arguments: 0..<3)
    func invariants(round: Int) async throws {
        var random = SplitMix64.seeded()
        for _ in 0..<round { _ = random.next() }
        let archive = try TestArchive()
        var history = History(random)
        for step in 0..<400 {
            try await history.step(archive, number: step)
            let broken = try await archive.store.read { db in try Invariant.allCases.filter { try !$0.holds(in: db) } }
            #expect(broken.isEmpty, "step \(step): \(history.last)")
            if !broken.isEmpty { return }
        }
        let accounting = try await archive.store.accounting()
        #expect(accounting.applied == accounting.handled + accounting.suppressed && accounting.handled > 0)
        // All of it is in the audit trail, as it was.
        let examination = try ArchiveVerifier.examine(archive.path)
        #expect(examination.isSound && examination.records > 400, "\(examination.discrepancies)")
        // The history is worth something.
        for verb in ["merged", "unmerged", "split", "severity-changed", "resolved", "reopened"] {
            #expect(try await archive.count("timeline", where: "verb = '\(verb)'") > 0, "nothing was \(verb)")
        }
    }
}

/// What happens, at random.
struct History {
    private var random: SplitMix64
    private var seconds: UInt64 = 0
    private var done: [Repeatable] = []
    private(set) var last = ""

    /// A request that was answered, to be asked again.
    private struct Repeatable {
        var ask: (ArchiveStore, UInt64) async throws -> String
        var answer: String
    }

    init(_ random: SplitMix64) { self.random = random }

    mutating func step(_ archive: TestArchive, number step: Int) async throws {
        // Now and then so late that nothing is reopened.
        seconds += random.chance(0.01) ? 2 * 24 * 3600 : UInt64(random.below(60))
        switch random.below(20) {
        case 0..<8: try await events(archive, step)
        case 8: try archive.restart()
        case 9..<11:
            guard let old = done.randomElement(using: &random) else { return }
            last = "again: \(old.answer)"
            let before = try await archive.dump()
            let again = try await old.ask(archive.store, now)
            #expect(again == old.answer)
            #expect(try await archive.dump() == before)
        default: try await command(archive, "request-\(step)")
        }
    }

    private var now: UInt64 { TestArchive.start + seconds * 1000 }

    mutating func events(_ archive: TestArchive, _ step: Int) async throws {
        var batch: [ArchiveItem.Content] = []
        for index in 0...random.below(4) {
            let fingerprint = "f\(random.below(6))"
            let ids = (0...random.below(3)).map { random.chance(0.1) ? "e-0-0-\($0)" : "e-\(step)-\(index)-\($0)" }
            let severities: [Tocsin_V1_Severity] = [.minor, .major, .critical]
            batch.append(
                .alert(
                    update(
                        fingerprint, ids, random.chance(0.3) ? .resolve : .trigger, severities[random.below(3)],
                        at: seconds, service: "s\(random.below(4))",
                        disposition: random.chance(0.05) ? .suppressed : .alert, drill: random.chance(0.2))))
        }
        last = "\(batch.count) updates"
        try await archive.apply(batch, from: UInt64(step) * 10 + 1)
    }

    private mutating func command(_ archive: TestArchive, _ id: String) async throws {
        guard let target = try await incident(archive, "state < 6") else { return }
        switch random.below(10) {
        case 0..<3:
            guard let into = try await incident(archive, "state < 6") else { return }
            try await ask(
                archive,
                Tocsin_V1_MergeIncidentRequest.with {
                    ($0.requestID, $0.number, $0.actor, $0.into, $0.reason) = (id, target, "alice", into, "why not")
                })
        case 3..<5:
            let fingerprints = Set((0...random.below(2)).map { _ in "f\(random.below(6))" }).sorted()
            // Mostly of its own alerts, so that many are done.
            let own = try await archive.store.get(target).alerts.filter { $0.incident == target }.map(\.fingerprint)
            let chosen = random.chance(0.8) && own.count > 1 ? [own[random.below(own.count)]] : fingerprints
            try await ask(
                archive,
                Tocsin_V1_SplitIncidentRequest.with {
                    ($0.requestID, $0.number, $0.actor, $0.fingerprints) = (id, target, "bob", chosen)
                })
        case 5:
            let severity = Tocsin_V1_Severity(rawValue: 1 + random.below(4)) ?? .info
            try await ask(
                archive,
                Tocsin_V1_ChangeIncidentSeverityRequest.with {
                    ($0.requestID, $0.number, $0.actor, $0.severity) = (id, target, "bob", severity)
                })
        case 6:
            guard let over = try await incident(archive, random.chance(0.7) ? "state = 8" : "state = 6") else { return }
            try await ask(archive, TocsinArchiveTests.command(id, .reopen, "again", number: over, actor: "carol"))
        default:
            let action = TestCommand.Action.allCases[random.below(TestCommand.Action.allCases.count)]
            try await ask(
                archive, TocsinArchiveTests.command(id, action, "some text", number: target, waive: random.chance(0.5)))
        }
    }

    /// One for which the condition holds, or now and then any.
    private mutating func incident(_ archive: TestArchive, _ condition: String) async throws -> UInt64? {
        let condition = random.chance(0.1) ? "1" : condition
        let numbers = try await archive.store.read {
            try Int64.fetchAll($0, sql: "SELECT number FROM incidents WHERE \(condition) ORDER BY number DESC LIMIT 8")
        }
        return numbers.randomElement(using: &random).map { UInt64($0) }
    }

    private mutating func ask(_ archive: TestArchive, _ request: some CommandRequest) async throws {
        last = "\(request)"
        let ask = { (store: ArchiveStore, now: UInt64) async throws -> String in
            do {
                return "\(try await store.command(request, now: now))"
            } catch let refusal as CommandRefusal {
                return "\(refusal.code): \(refusal)"
            }
        }
        let answer = try await ask(archive.store, now)
        // What is not found may come into being.
        if !answer.hasPrefix("notFound") { done.append(Repeatable(ask: ask, answer: answer)) }
    }
}

/// What holds of the tables after every transaction; each query finds what breaks it.
private enum Invariant: String, CaseIterable {
    case alertsAreLinked = """
        SELECT 1 FROM alerts WHERE incident > 0 AND NOT EXISTS (SELECT 1 FROM incident_alerts AS link WHERE
        link.incident = alerts.incident AND link.fingerprint = alerts.fingerprint)
        """
    case mergedHaveNoAlerts = """
        SELECT 1 FROM alerts JOIN incidents ON number = incident WHERE incidents.state = 8
        """
    case mergedNamesItsIncident = """
        SELECT 1 FROM incidents AS a WHERE (state = 8) != (merged_into IN (SELECT number FROM incidents)) OR
        merged_into = number
        """
    case eventsAreTheSum = """
        SELECT 1 FROM incidents WHERE events != (SELECT coalesce(sum(events), 0) FROM incident_alerts WHERE
        incident = number)
        """
    case alertsAreCounted = """
        SELECT 1 FROM incidents WHERE alerts_total != (SELECT count(*) FROM incident_alerts WHERE incident =
        number)
        """
    case firingIsCounted = """
        SELECT 1 FROM incidents WHERE state < 6 AND alerts_firing != (SELECT count(*) FROM alerts WHERE
        incident = number AND alerts.state = 'firing')
        """
    case countedOnce = """
        SELECT 1 FROM alerts WHERE events < (SELECT coalesce(sum(events), 0) FROM incident_alerts AS link
        WHERE link.fingerprint = alerts.fingerprint)
        """
    case linksCount = """
        SELECT 1 FROM incident_alerts WHERE events < 1
        """
    case timelineIsWhole = """
        SELECT 1 FROM incidents WHERE entries != (SELECT count(*) FROM timeline WHERE incident = number) OR
        entries != (SELECT max(sequence) FROM timeline WHERE incident = number)
        """
    case everyVersionIsTold = """
        SELECT 1 FROM incidents WHERE version != (SELECT count(*) FROM outbox WHERE key = 'incident-' ||
        number) OR NOT EXISTS (SELECT 1 FROM outbox WHERE message_id = 'incident/' || number || '/' ||
        version)
        """
    case whatCanBeUndoneIsMerged = """
        SELECT 1 FROM merged_alerts JOIN incidents ON number = incident WHERE state != 8
        """
    func holds(in db: Database) throws -> Bool { try Row.fetchOne(db, sql: rawValue) == nil }
}
