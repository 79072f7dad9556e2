import GRDB
import TestSupport
import Testing
import TocsinProto

@testable import TocsinArchive

/// Goal: what is over and old goes with all that is only its own, everything else stays, and the audit trail accepts exactly that.
@Suite("Retention", .timeLimit(.minutes(5)))
struct RetentionTests {
    private static let day: UInt64 = 86_400_000
    private static let policy = RetentionPolicy(incidents: .seconds(30 * 86_400))
    private static let late = TestArchive.now + 40 * day

    private static func purge(_ archive: TestArchive, _ policy: RetentionPolicy = policy, now: UInt64 = late) async throws -> Int
    {
        var total = 0
        while true {
            let count = try await archive.store.purge(policy, limit: 3, now: now)
            if count == 0 { return total }
            total += count
        }
    }

    /// Incident 1 is closed, 2 is open.
    private static func archive() async throws -> TestArchive {
        let archive = try TestArchive()
        try await archive.apply([
            .alert(update("f", ["a", "b"])), .report(report("r", "started")), .alert(update("f", ["c"], .resolve, at: 20)),
            .alert(update("g", ["d"], at: 30)),
        ])
        _ = try await archive.store.command(command("1", .close, "done", waive: true), now: TestArchive.start + 60_000)
        return archive
    }

    @Test("an incident that is closed and old goes with its alerts, timeline, reports and commands; the trail has its records")
    func closed() async throws {
        let archive = try await Self.archive()
        let before = try await archive.store.accounting()
        #expect(try await Self.purge(archive, now: TestArchive.start + 30 * Self.day) == 0)
        #expect(try await Self.purge(archive) == 1)
        for table in ["timeline", "reports", "commands", "incident_alerts", "alerts"] {
            #expect(try await archive.count(table, where: "incident = 1") == 0, "\(table)")
        }
        #expect(try await archive.count("incidents") == 1)
        #expect(try await archive.count("alerts") == 1)
        // Where every event went still adds up.
        let after = try await archive.store.accounting()
        #expect(after.applied == before.applied && after.handled == before.handled)
        #expect(try await archive.count("audit", where: "actor = 'retention' AND verb = 'purged' AND incident = 1") == 1)
        #expect(try await archive.count("audit", where: "verb = 'removed' AND row_table = 'timeline'") > 4)
        #expect(try ArchiveVerifier.examine(archive.path).isSound)
        // Nothing that comes again has an effect: neither an event, nor a report, nor a command.
        let dump = try await archive.dump()
        try await archive.apply(update("f", ["a", "b"]))
        let again = try await archive.apply([.report(report("r", "started"))])
        #expect(again.rejected.count == 1)
        await #expect(throws: CommandRefusal.self) {
            try await archive.store.command(command("1", .close, "done", waive: true), now: Self.late)
        }
        #expect(try await archive.dump() == dump)
        // The alert is a new one, and its incident has a new number.
        try await archive.apply(update("f", ["new"], at: 90))
        #expect(try await archive.incident(3).state == .triaged)
        // And nothing else may go.
        try archive.store.close()
        try TamperedArchive.change(archive.path) { try $0.execute(sql: "DELETE FROM timeline WHERE incident = 2") }
        #expect(
            try ArchiveVerifier.examine(archive.path).discrepancies.allSatisfy { $0.kind == .dropped && $0.table == "timeline" })
        #expect(try !ArchiveVerifier.examine(archive.path).isSound)
        try archive.reopen()
    }

    @Test("without a policy everything stays; drills may have their own")
    func policies() async throws {
        let archive = try await Self.archive()
        #expect(try await Self.purge(archive, RetentionPolicy()) == 0)
        #expect(try await Self.purge(archive, RetentionPolicy(drills: .seconds(86_400))) == 0)
        try await archive.apply([.alert(update("d", ["x"], drill: true)), .alert(update("h", ["y"]))])
        _ = try await archive.store.command(command("2", .dismiss, "a drill", number: 3), now: TestArchive.start + 60_000)
        // Its alert still fires.
        #expect(try await Self.purge(archive, RetentionPolicy(drills: .seconds(86_400))) == 0)
        try await archive.apply(update("d", ["z"], .resolve, at: 70, drill: true))
        #expect(try await Self.purge(archive, RetentionPolicy(drills: .seconds(86_400))) == 1)
        #expect(try await archive.count("incidents", where: "number = 3") == 0)
        #expect(try await archive.count("incidents") == 3)
    }

    @Test("after any history: what may go is gone, what is left holds together, and the archive verifies", arguments: 0..<2)
    func histories(round: Int) async throws {
        var random = SplitMix64.seeded()
        for _ in 0..<round { _ = random.next() }
        let archive = try TestArchive()
        var history = History(random)
        for step in 0..<200 { try await history.step(archive, number: step) }
        let incidents = try await archive.count("incidents")
        let applied = try await archive.store.accounting().applied
        let gone = try await Self.purge(archive)
        let left = try await archive.count("incidents")
        #expect(gone > 0 && incidents == gone + left)
        for table in ["timeline", "reports", "commands", "refused", "incident_alerts", "merged_alerts"] {
            let orphans = "incident > 0 AND incident NOT IN (SELECT number FROM incidents)"
            #expect(try await archive.count(table, where: orphans) == 0, "\(table)")
        }
        #expect(try await archive.count("alerts", where: "incident > 0 AND incident NOT IN (SELECT number FROM incidents)") == 0)
        #expect(try await archive.store.accounting().applied == applied)
        #expect(try await archive.count("pragma_foreign_key_check") == 0)
        #expect(try ArchiveVerifier.examine(archive.path).isSound)
        // It goes on.
        for step in 200..<260 { try await history.events(archive, step) }
        #expect(try ArchiveVerifier.examine(archive.path).isSound)
    }
}
