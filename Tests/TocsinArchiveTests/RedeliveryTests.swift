import TestSupport
import Testing
import TocsinDomain
import TocsinProto

@testable import TocsinArchive

/// Goal: each event has exactly one effect, however often and in whatever batches it is delivered, and whenever the archiver
/// dies. Method: random histories with a printed seed, applied once plainly and once with everything that can go wrong; then
/// the two databases are compared row by row.
@Suite("Redelivery", .timeLimit(.minutes(3)))
struct RedeliveryTests {
    @Test("batches cut anywhere, repeated messages and restarts give the identical database", arguments: 0..<4)
    func identical(round: Int) async throws {
        var random = SplitMix64.seeded()
        for _ in 0..<round { _ = random.next() }
        let history = Self.history(&random, alerts: 5, length: 150)
        let plain = try TestArchive()
        // What was rejected is a dead letter: it does not come again.
        var repeatable: [Int] = []
        for (index, content) in history.enumerated() {
            let result = try await plain.apply([content], from: UInt64(index + 1))
            if result.rejected.isEmpty { repeatable.append(index) }
        }

        let troubled = try TestArchive()
        var next = 0
        while next < history.count {
            let end = min(history.count, next + Int.random(in: 1...20, using: &random))
            var batch: [ArchiveItem] = []
            for index in next..<end {
                batch.append(ArchiveItem(sequence: UInt64(index + 1), content: history[index]))
                // What was applied before, or is in this very batch, comes again at any later time.
                while random.chance(0.3) {
                    guard let old = repeatable.filter({ $0 <= index }).randomElement(using: &random) else { break }
                    batch.append(ArchiveItem(sequence: UInt64(old + 1), content: history[old]))
                }
            }
            _ = try await troubled.store.apply(batch, now: TestArchive.now)
            // Died between commit and acknowledgement: a new archiver gets the whole batch again.
            if random.chance(0.2) {
                try troubled.restart()
                batch.removeAll { !repeatable.contains(Int($0.sequence) - 1) }
                _ = try await troubled.store.apply(batch, now: TestArchive.now)
            }
            next = end
        }
        let difference = Set(try await plain.dump()).symmetricDifference(try await troubled.dump())
        #expect(difference.sorted().prefix(8) == [])
        let accounting = try await troubled.store.accounting()
        #expect(accounting.applied == accounting.handled + accounting.suppressed)
        #expect(accounting.redelivered > 0)
        // The counters tell the same as the rows.
        #expect(try await troubled.count("events", where: "fate = 1") == Int(accounting.handled))
        #expect(try await troubled.count("events", where: "fate = 2") == Int(accounting.suppressed))
        #expect(try await plain.count("events") == Self.eventIDs(history).count)
    }

    @Test("alerts in any order among each other come to the same ends", arguments: 0..<4)
    func anyOrder(round: Int) async throws {
        var random = SplitMix64.seeded()
        for _ in 0..<round { _ = random.next() }
        let history = Self.history(&random, alerts: 6, length: 120).filter {
            if case .alert = $0 { true } else { false }
        }
        let first = try TestArchive()
        let second = try TestArchive()
        try await first.apply(history)
        try await second.apply(Self.interleaved(history, &random))
        #expect(try await Self.ends(first) == Self.ends(second))
    }

    @Test("events that triage put together differently after a crash still count once")
    func regrouped() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a", "b"]))
        try await archive.apply(update("f", ["b", "c", "a"]))
        try await archive.apply(update("f", ["c"], .trigger, .critical))
        let accounting = try await archive.store.accounting()
        #expect(accounting.handled == 3 && accounting.applied == 3 && accounting.redelivered == 3)
        #expect(try await archive.incident(1).events == 3)
    }

    @Test("an old resolve that comes again does not resolve the new episode")
    func oldResolve() async throws {
        let archive = try TestArchive()
        let resolve = update("f", ["b"], .resolve, at: 60)
        try await archive.apply(update("f", ["a"]))
        try await archive.apply(resolve)
        try await archive.apply(update("f", ["c"], at: 120))
        try await archive.apply(resolve)
        #expect(try await archive.incident(1).state == .triaged)
    }

    @Test("20,000 events of 5 alerts are 5 incidents, 10 entries, 5 changes, and as many counts as events")
    func storm() async throws {
        let archive = try TestArchive()
        let clock = ContinuousClock()
        let began = clock.now
        for batch in 0..<40 {
            try await archive.apply(
                (0..<500).map { .alert(update("f\($0 % 5)", ["\(batch)-\($0)"], .trigger, .minor)) },
                from: UInt64(batch * 500 + 1))
        }
        let seconds = (clock.now - began) / .seconds(1)
        print("20,000 events in \(seconds) s: \(Int(20_000 / seconds)) events/s")
        let accounting = try await archive.store.accounting()
        #expect(accounting.handled == 20_000 && accounting.applied == 20_000 && accounting.redelivered == 0)
        #expect(accounting.position == 20_000 && accounting.outbox == 5)
        #expect(try await archive.count("incidents") == 5)
        #expect(try await archive.count("timeline") == 10)
        #expect(try await archive.store.list(.init()).incidents.map(\.events) == Array(repeating: 4000, count: 5))
    }

    // MARK: - Histories

    /// Updates of several alerts as time goes by, with reports about the incidents they may have opened.
    private static func history(
        _ random: inout SplitMix64, alerts: Int, length: Int
    ) -> [ArchiveItem.Content] {
        var event = 0
        return (0..<length).map { index in
            if random.chance(0.15) {
                var item = report(
                    "r\(index)", incident: UInt64.random(in: 1...8, using: &random), "runbook-step",
                    mitigated: random.chance(0.4), at: UInt64(index * 60))
                if random.chance(0.1) { item.id = "" }
                return .report(item)
            }
            let ids = (0..<Int.random(in: 1...4, using: &random)).map { "e\(event + $0)" }
            event += ids.count
            let key = Int.random(in: 0..<alerts, using: &random)
            let severity = [Tocsin_V1_Severity.minor, .major, .critical].randomElement(using: &random) ?? .minor
            return .alert(
                update(
                    "f\(key)", ids, random.chance(0.35) ? .resolve : .trigger, severity,
                    at: UInt64(index) * (random.chance(0.02) ? 2000 : 60), service: "service-\(key)",
                    disposition: random.chance(0.1) ? .suppressed : .alert, drill: random.chance(0.1)))
        }
    }

    private static func eventIDs(_ history: [ArchiveItem.Content]) -> Set<String> {
        var ids: Set<String> = []
        for case .alert(let update) in history { ids.formUnion(update.events.map(\.id)) }
        return ids
    }

    /// The same updates in another order; those of one alert keep theirs, as the hub promises.
    private static func interleaved(
        _ history: [ArchiveItem.Content], _ random: inout SplitMix64
    ) -> [ArchiveItem.Content] {
        var queues: [String: [ArchiveItem.Content]] = [:]
        for case .alert(let update) in history { queues[update.fingerprint, default: []].append(.alert(update)) }
        var result: [ArchiveItem.Content] = []
        while let key = queues.keys.sorted().randomElement(using: &random) {
            guard let item = queues[key]?.first else {
                queues[key] = nil
                continue
            }
            result.append(item)
            queues[key]?.removeFirst()
        }
        return result
    }

    /// What became of each alert, in words that do not depend on which incident got which number.
    private static func ends(_ archive: TestArchive) async throws -> [String] {
        var lines: [String] = []
        for incident in try await archive.store.list(
            .with {
                $0.states = Tocsin_V1_IncidentState.allCases.filter { $0 != .unspecified }
                $0.pageSize = 1000
            }
        ).incidents {
            let full = try await archive.store.get(incident.number)
            let timeline = full.timeline.map { "\($0.time) \($0.verb) \($0.before)>\($0.after)" }.joined(
                separator: ", ")
            lines.append(
                "\(incident.services) \(incident.state) \(incident.severity) \(incident.priority) \(incident.events) "
                    + "\(incident.reopened) \(incident.cause) \(incident.version) \(incident.drill) "
                    + "\(full.alerts.map { "\($0.fingerprint) \($0.state) \($0.events) \($0.episode)" }): \(timeline)")
        }
        return lines.sorted()
    }
}
