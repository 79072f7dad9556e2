import TestSupport
import Testing
import TocsinWire

@testable import TocsinCore

@Suite("Sets, slabs and windows of the core")
struct CollectionTests {
    @Test("a sequence set is a set", .timeLimit(.minutes(1)))
    func sequenceSet() {
        var random = SplitMix64.seeded()
        for round in 0..<60 {
            var set = SequenceSet()
            var model: Set<UInt64> = []
            // Rounds differ in how wide and how often emptied the set is; some move upwards like a queue does.
            let width = [10, 500, 200_000, 50_000_000][round % 4]
            var floor: UInt64 = UInt64(random.below(100_000))
            for step in 0..<2_000 {
                let sequence = floor + UInt64(random.below(width))
                switch random.below(4) {
                case 0, 1:
                    set.insert(sequence)
                    model.insert(sequence)
                case 2:
                    let victim = random.chance(0.5) ? model.min() ?? sequence : sequence
                    #expect(set.remove(victim) == (model.remove(victim) != nil))
                default:
                    if random.chance(0.2) { floor += UInt64(random.below(width)) }
                    if random.chance(0.1) { floor -= min(floor, UInt64(random.below(width * 3))) }
                    #expect(set.contains(sequence) == model.contains(sequence))
                }
                #expect(set.count == model.count)
                #expect(set.isEmpty == model.isEmpty)
                if step % 50 == 0 {
                    #expect(set.first == model.min())
                    let from = sequence - min(sequence, UInt64(random.below(width)))
                    #expect(set.first(from: from) == model.filter { $0 >= from }.min())
                    let range = from..<from + UInt64(random.below(width)) + 1
                    #expect(set.members(in: range) == model.filter { range.contains($0) }.sorted())
                }
            }
            while let first = set.first {
                #expect(first == model.min())
                set.remove(first)
                model.remove(first)
            }
            #expect(model.isEmpty)
        }
    }

    @Test("a sequence set filled from above, and one with a straggler far below, stay quick", .timeLimit(.minutes(1)))
    func sequenceSetShapes() {
        var falling = SequenceSet()
        for sequence in stride(from: UInt64(2_000_000), through: 1, by: -1) where sequence % 7 == 0 { falling.insert(sequence) }
        #expect(falling.count == 285_714)
        #expect(falling.first == 7)
        var straggler = SequenceSet()
        straggler.insert(1)
        for sequence in UInt64(2)...300_000 {
            straggler.insert(sequence)
            straggler.remove(sequence)
        }
        #expect(straggler.first == 1)
        #expect(straggler.count == 1)
        // Far apart they must not cost a bit for each number between them.
        var sparse = SequenceSet()
        for sequence in stride(from: UInt64(1), to: 1 << 60, by: 1 << 50) { sparse.insert(sequence) }
        #expect(sparse.count == 1024 && sparse.first(from: 2) == 1 + 1 << 50)
        for sequence in stride(from: UInt64(1), to: 1 << 60, by: 1 << 50) { sparse.remove(sequence) }
        #expect(sparse.isEmpty)
    }

    @Test("entries keep their parts in 24 bytes, and lists keep their order while the slab is reused")
    func slab() {
        #expect(MemoryLayout<Entry>.size == 24)
        var random = SplitMix64.seeded()
        let slab = EntrySlab()
        var lists = [EntryList](repeating: EntryList(), count: 3)
        var models = [[UInt64]](repeating: [], count: 3)
        var sequence: UInt64 = 0xFFFF_0000_0000
        for step in 0..<100_000 {
            let which = random.below(3)
            // Filling and emptying in turns, so that the slab grows beyond a chunk and gives it back.
            if random.chance(step / 20_000 % 2 == 0 ? 0.9 : 0.1) {
                sequence += 1
                let entry = Entry(sequence: sequence, severity: 4, attempts: 9, keyHash: sequence &* 3, queuedAt: 5)
                if random.chance(0.2) {
                    lists[which].prepend(slab.insert(entry), slab)
                    models[which].insert(sequence, at: 0)
                } else {
                    lists[which].append(slab.insert(entry), slab)
                    models[which].append(sequence)
                }
            } else if let index = lists[which].popFirst(slab) {
                let entry = slab[index]
                #expect(entry.sequence == models[which].removeFirst())
                #expect(entry.severity == 4 && entry.attempts == 9 && entry.keyHash == entry.sequence &* 3)
                slab.remove(index)
            } else {
                #expect(models[which].isEmpty)
            }
            if step % 1_000 == 0 { #expect(slab.count == models.reduce(0) { $0 + $1.count }) }
        }
    }

    @Test("attempts count to 255 and stay there")
    func attempts() {
        var entry = Entry(sequence: 1 << 47, severity: 1, attempts: 0, keyHash: 0, queuedAt: 0)
        for attempt in 1...300 {
            entry = entry.attempted
            #expect(Int(entry.attempts) == min(attempt, 255))
        }
        #expect(entry.sequence == 1 << 47 && entry.severity == 1)
    }

    @Test("leases are found by their own token only, expire in order of deadline, and tokens do not come again")
    func leaseTable() {
        var random = SplitMix64.seeded()
        var table = LeaseTable(epoch: 3)
        var live: [(token: UInt64, sequence: UInt64, deadline: UInt64)] = []
        var spent: [(token: UInt64, sequence: UInt64)] = []
        var tokens: Set<UInt64> = []
        for step in UInt64(1)...5_000 {
            if random.chance(0.52) || live.isEmpty {
                let sequence = UInt64(random.below(50))
                let entry = Entry(sequence: sequence, severity: 1, attempts: 1, keyHash: 0, queuedAt: 0)
                let token = table.insert(entry, peer: step % 3, subscription: 1, deadline: step, lane: LeaseTable.none)
                #expect(tokens.insert(token).inserted)
                live.append((token, sequence, step))
            } else {
                let gone = live.remove(at: random.chance(0.5) ? 0 : random.below(live.count))
                table.remove(gone.token)
                spent.append((gone.token, gone.sequence))
            }
            #expect(table.count == live.count)
            #expect(table.first?.lease.deadline == live.first?.deadline)
            #expect(table.first?.token == live.first?.token)
            if let one = live.randomElement(using: &random) {
                #expect(table.find(one.token, sequence: one.sequence) != nil)
                #expect(table.find(one.token, sequence: one.sequence + 1) == nil)
            }
            if let old = spent.randomElement(using: &random) { #expect(table.find(old.token, sequence: old.sequence) == nil) }
        }
        #expect(table.tokens { $0.peer == 1 } == live.filter { $0.deadline % 3 == 1 }.map(\.token))
        table.limitDeadlines(to: 4_000)
        var last: UInt64 = 0
        while let (token, lease) = table.first {
            #expect(lease.deadline >= last && lease.deadline <= 4_000)
            last = lease.deadline
            table.remove(token)
        }
    }

    @Test("an id is a duplicate for as long as the window promises, and forgotten at most two windows later")
    func dedupWindow() {
        var random = SplitMix64.seeded()
        var window = DedupWindow(window: 1_000)
        var seen: [UInt64: UInt64] = [:]
        var now: UInt64 = 50_000
        for _ in 0..<20_000 {
            now += UInt64(random.below(20))
            let id = UInt64(random.below(2_000))
            let fresh = window.insert(id &* 0x9E37_79B9_7F4A_7C15, id, now: now)
            if let before = seen[id] {
                if now - before <= 1_000 { #expect(!fresh, "seen \(now - before) ms ago") }
                // A generation ends with the first id after its time, so nothing older than two generations and a gap stays.
                if now - before > 2_100 { #expect(fresh, "seen \(now - before) ms ago") }
            } else {
                #expect(fresh)
            }
            if fresh { seen[id] = now }
        }
    }

    @Test("the window holds a million ids however fast they come", .timeLimit(.minutes(2)))
    func dedupCapacity() {
        var window = DedupWindow(window: 1)
        var random = SplitMix64(state: 1)
        var highs: [UInt64] = []
        // At one moment in time: only the number of ids ends a generation.
        for _ in 0..<(DedupWindow.generationIDs + DedupWindow.generationIDs / 2) {
            let high = random.next()
            highs.append(high)
            guard window.insert(high, ~high, now: 5) else {
                Issue.record("a new id was taken for a duplicate")
                return
            }
        }
        for high in highs.suffix(DedupWindow.generationIDs) where window.insert(high, ~high, now: 5) {
            Issue.record("an id of the last million was forgotten")
            return
        }
    }

    /// Goal: an id that was forgotten and stored again counts from the second time, also in a hub that replays both.
    @Test("an id stored twice is remembered from the second time on")
    func rememberedAgain() {
        var window = DedupWindow(window: 1_000)
        window.remember(1, 1, now: 0)
        // A generation later: the first is still the previous one here, though the hub that stored it again had let it go.
        window.remember(2, 2, now: 1_500)
        window.remember(1, 1, now: 2_400)
        window.remember(3, 3, now: 2_600)
        let isNew = window.insert(1, 1, now: 3_300)
        #expect(!isNew, "900 ms after it was stored")
    }

    @Test("hashes differ by seed and lane, agree with themselves, and take any length")
    func hashes() {
        var random = SplitMix64.seeded()
        let (one, two) = (RoutingHash(seed: 1), RoutingHash(seed: 2))
        var seen: Set<UInt64> = []
        for length in 0..<200 {
            let held = Bytes((0..<length).map { _ in UInt8(random.below(256)) })
            let again = Bytes([0] + held.array)
            #expect(one.hash(held.buffer) == one.hash(again.buffer.part(1, length)))
            #expect(seen.insert(one.hash(held.buffer)).inserted)
            #expect(seen.insert(one.hash(held.buffer, lane: 1)).inserted)
            #expect(seen.insert(two.hash(held.buffer)).inserted)
        }
    }
}
