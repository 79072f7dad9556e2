import TestSupport
import Testing
import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinProto
import TocsinWire

/// Goal: whatever bit of a journal changes, the hub refuses and names the file; after the repair it starts, and everything that
/// was not named as lost is there: each message for each pool that had not settled it, each dead letter, each record.
/// Method: a journal of several segments made by a hub with random workers; a random bit; the hub of the repaired journal against
/// a hub of the same journal undamaged.
@Suite("Journal repair", .timeLimit(.minutes(1))) struct RepairTests {
    static let options: EngineOptions = {
        var options = EngineOptions()
        options.journal.segmentBytes = 8192
        options.journal.recentBytes = 0
        options.journal.blockCacheBytes = 1000
        options.journal.blockBytes = 500
        options.pools = ["work": "a.*", "audit": ">"].sorted { $0.key < $1.key }.map { name, filter in
            do { return try PoolDefinition(name: name, filters: [filter], maxAttempts: 3) } catch {
                preconditionFailure("\(error)")
            }
        }
        return options
    }()

    /// What a hub that starts on a journal has.
    struct State {
        var bodies: [UInt64: [UInt8]] = [:]
        var gaps: Set<UInt64> = []
        var delivered: [String: Set<UInt64>] = [:]
        var dead: [String: Set<UInt64>] = [:]
        var lastSequence: UInt64 = 0
    }

    /// Everything one can get of a hub.
    static func state(_ disk: MemoryDisk, _ options: EngineOptions = options) throws -> State {
        var hub = try TestEngine(disk, options)
        var state = State()
        state.lastSequence = hub.engine.core.durableSequence
        try hub.hello(1)
        try hub.tap(1, from: 1)
        var pools: [UInt64: String] = [:]
        for pool in hub.engine.core.poolNames {
            state.delivered[pool] = []
            state.dead[pool] = Set((hub.engine.core.deadLetters(pool: pool, atMost: .max) ?? []).map(\.sequence))
            pools[try hub.subscribe(1, pool, credit: 65_536)] = pool
        }
        try hub.run()
        // One of a key at a time.
        while true {
            let given = hub.delivered(1)
            if given.isEmpty { break }
            for (subscription, entry) in given {
                state.delivered[pools[subscription] ?? "", default: []].insert(entry.sequence)
                hub.settle(1, subscription, [SettleEntry(sequence: entry.sequence, token: entry.token, outcome: .ack)])
            }
            try hub.run()
        }
        for message in hub.peers.take(.tapped, of: 1) {
            var row = 0
            _ = try LengthPrefixed.forEach(in: message.body[1].buffer, atMost: .max) { (_, _, bytes) throws(WireError) in
                state.bodies[message.body[0].buffer.bigEndian(UInt64.self, at: row * 8)] = Array(bytes)
                row += 1
            }
        }
        for message in hub.peers.take(.gap, of: 1) {
            let gap = try Tocsin_V1_Gap(serializedBytes: message.body[0].array)
            state.gaps.formUnion(gap.first...gap.last)
        }
        return state
    }

    /// A journal with everything a hub writes, stopped in order and with a last durable mark.
    private func filled(_ random: inout SplitMix64) throws -> MemoryDisk {
        let disk = MemoryDisk()
        var hub = try TestEngine(disk, Self.options)
        try hub.hello(1)
        var subscriptions: Set<UInt64> = []
        for pool in ["audit", "work"] { subscriptions.insert(try hub.subscribe(1, pool, credit: 8)) }
        var number = 0
        let declaredAt = random.below(30)
        for round in 0..<40 {
            if round == declaredAt {
                try hub.declare(1, "later", "b.>", fromStart: random.chance(0.5))
                try hub.run()
                subscriptions.insert(try hub.subscribe(1, "later", credit: 4))
            }
            let count = 1 + random.below(4)
            hub.publish(
                1,
                try (0..<count).map { _ in
                    number += 1
                    return try envelope(
                        id: "m\(number)", subject: random.chance(0.5) ? "a.x" : "b.y",
                        severity: WireSeverity.allCases.randomElement(using: &random) ?? .info,
                        key: random.chance(0.5) ? "k\(random.below(3))" : "", payload: random.below(120))
                })
            try hub.run()
            for (subscription, entry) in hub.delivered(1) {
                guard random.chance(0.7) else { continue }
                let outcome: Outcome = random.chance(0.7) ? .ack : random.chance(0.5) ? .retry : .reject
                hub.settle(
                    1, subscription, [SettleEntry(sequence: entry.sequence, token: entry.token, outcome: outcome)])
            }
            if random.chance(0.1) { try hub.revive(1, "work") }
            try hub.run()
        }
        // Silence, so that a mark is written.
        hub.clock.milliseconds += 1_000
        try hub.run()
        return disk
    }

    @Test("a bit changes anywhere: refused, explained, repaired, and all else is there")
    func anyBit() throws {
        var random = SplitMix64.seeded()
        var repaired = 0
        var withControl = 0
        for round in 0..<20 {
            let original = try filled(&random)
            // A journal that was trimmed begins with any segment.
            let isTrimmed = random.chance(0.3) && original["segment-00000004.log"] != nil
            if isTrimmed { original["segment-00000001.log"] = nil }
            var batches: [(name: String, range: Range<Int>)] = []
            _ = try JournalSurvey(original) { batch in
                guard batch.header.kind == .control || batch.header.kind == .checkpoint else { return }
                let digits = String(batch.header.segment)
                let name = "segment-" + String(repeating: "0", count: 8 - digits.count) + digits + ".log"
                batches.append((name, batch.offset..<batch.offset + batch.header.totalBytes))
            }
            let expected = try Self.state(MemoryDisk(copying: original))
            for _ in 0..<5 {
                let disk = MemoryDisk(copying: original)
                let names = try disk.list().sorted()
                var name = try #require(names.randomElement(using: &random))
                let bytes = try #require(disk[name])
                let used = (bytes.lastIndex { $0 != 0 } ?? 0) + 1
                var offset = random.below(random.chance(0.9) ? used : bytes.count)
                if random.chance(0.5), let batch = batches.randomElement(using: &random) {
                    (name, offset) = (batch.name, batch.range.lowerBound + random.below(batch.range.count))
                }
                disk.flip(name, at: offset, bit: random.below(8))
                let place = "round \(round), \(name), offset \(offset)"

                let examination = try JournalExamination(disk)
                #expect(try JournalExamination(disk).isSound == examination.isSound, "looking changes nothing: \(place)")
                let refused = refusal(MemoryDisk(copying: disk))
                #expect(
                    (refused == nil) == examination.isSound, "\(place): \(refused ?? "started"), \(examination.survey.damages)")
                guard let refused else { continue }
                #expect(refused.contains(name), "\(place): \(refused)")
                #expect(examination.survey.damages.contains { $0.file == name }, "\(place)")

                let prepared = try PreparedRepair(examination, disk)
                let explanation = prepared.explanation.joined(separator: "\n")
                #expect(explanation.contains(name), "\(place): \(explanation)")
                let kept = try prepared.repair.perform(on: disk, time: 1_800_000_000_000)
                #expect(kept.map { disk[$0] == changed(original, name, offset, disk[$0]) } == kept.map { _ in true })
                #expect(try JournalExamination(disk).isSound, "\(place): \(explanation)")
                repaired += 1
                if examination.survey.damages.contains(where: \.mayHoldControl) { withControl += 1 }
                try compare(try Self.state(MemoryDisk(copying: disk)), expected, prepared, "\(place)\n\(explanation)")
                // Started, used and started again, it is one journal.
                try use(disk, place)
            }
        }
        #expect(repaired > 50 && withControl > 10, "\(repaired) repaired, \(withControl) with control records")
    }

    /// The kept file is the damaged one.
    private func changed(_ original: MemoryDisk, _ name: String, _ offset: Int, _ kept: [UInt8]?) -> [UInt8]? {
        guard let kept, var bytes = original[name], kept.count == bytes.count else { return nil }
        bytes[offset] = kept[offset]
        return bytes
    }

    private func refusal(_ disk: MemoryDisk) -> String? {
        do {
            _ = try TestEngine(disk, Self.options)
            return nil
        } catch { return "\(error)" }
    }

    private func compare(_ state: State, _ expected: State, _ prepared: PreparedRepair, _ place: String) throws {
        let damages = prepared.repair.survey.damages
        var lost: Set<UInt64> = []
        for range in damages.compactMap(\.sequences) { lost.formUnion(range) }
        // What was lost before the first intact batch of a trimmed journal has no batch before it to count from.
        #expect(damages.allSatisfy { !$0.isAtMost || !expected.gaps.isEmpty && $0.bytes.lowerBound == 64 }, "\(place)")
        #expect(state.lastSequence == expected.lastSequence, "\(place)")
        #expect(state.gaps == lost.union(expected.gaps), "taps are told of what is lost, and only that: \(place)")
        #expect(state.bodies == expected.bodies.filter { !lost.contains($0.key) }, "\(place)")
        let mayHoldControl = damages.contains(where: \.mayHoldControl)
        for pool in expected.delivered.keys.sorted() {
            guard let delivered = state.delivered[pool], let dead = state.dead[pool] else {
                #expect(pool == "later" && prepared.mayLosePool, "pool \(pool) is gone: \(place)")
                continue
            }
            let unsettled = (expected.delivered[pool] ?? []).subtracting(lost)
            let letters = (expected.dead[pool] ?? []).subtracting(lost)
            #expect(delivered.isDisjoint(with: lost) && dead.isDisjoint(with: lost), "\(pool): \(place)")
            if mayHoldControl {
                #expect(unsettled.isSubset(of: delivered.union(dead)), "\(pool): \(place)")
                #expect(letters.isSubset(of: delivered.union(dead)), "\(pool): \(place)")
            } else {
                #expect(delivered == unsettled, "\(pool): \(place)")
                #expect(dead == letters, "\(pool): \(place)")
            }
        }
    }

    private func use(_ disk: MemoryDisk, _ place: String) throws {
        var hub = try TestEngine(disk, Self.options)
        try hub.hello(1)
        let first = hub.engine.core.durableSequence + 1
        for number in 0..<40 {
            hub.publish(1, [try envelope(id: "after\(number)", subject: "a.x", payload: 200)])
            try hub.run()
        }
        let before = hub.engine.core.poolSnapshots(at: hub.clock.now())
        var again = try TestEngine(MemoryDisk(copying: disk), Self.options)
        // A pool that begins with the past reads it again.
        try again.run()
        let after = again.engine.core.poolSnapshots(at: hub.clock.now())
        #expect(before.map(\.queued) == after.map(\.queued) && before.map(\.dead) == after.map(\.dead), "\(place)")
        let audited = try Self.state(MemoryDisk(copying: disk)).delivered["audit"] ?? []
        #expect(audited.isSuperset(of: first..<first + 40), "\(place)")
        #expect(try JournalExamination(disk).isSound, "\(place)")
    }
}
