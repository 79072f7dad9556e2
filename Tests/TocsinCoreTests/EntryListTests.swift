import TestSupport
import Testing

@testable import TocsinCore

@Suite("Queued messages in runs") struct EntryListTests {
    @Test("a backlog of messages without a key takes an entry for each second and gap, and comes out message by message")
    func runs() {
        let slab = EntrySlab()
        var list = EntryList()
        for sequence in UInt64(1)...30_000 where sequence != 7_000 {
            list.append(
                Entry(sequence: sequence, severity: 2, attempts: 0, keyHash: 0, queuedAt: UInt32(sequence / 10_000)), slab)
        }
        #expect(slab.count == 5)
        for sequence in UInt64(1)...30_000 where sequence != 7_000 {
            let entry = list.takeFirst(slab)
            guard entry?.sequence == sequence, entry?.keyHash == 0, entry?.severity == 2,
                entry?.queuedAt == UInt32(sequence / 10_000)
            else {
                Issue.record("\(String(describing: entry)) where message \(sequence) was to come")
                return
            }
        }
        #expect(list.takeFirst(slab) == nil)
        #expect(slab.count == 0)
    }

    @Test("whatever is appended, taken and put back, a list is first in, first out, and changes nothing of a message")
    func history() {
        var random = SplitMix64.seeded()
        let slab = EntrySlab()
        var list = EntryList()
        var model: [Entry] = []
        var sequence: UInt64 = 1
        for step in 0..<20_000 {
            switch random.below(8) {
            case 0..<4:
                sequence += random.chance(0.06) ? 2 : 1
                let entry = Entry(
                    sequence: sequence, severity: random.chance(0.03) ? 1 : 4, attempts: random.chance(0.03) ? 1 : 0,
                    keyHash: random.chance(0.06) ? random.next() | 1 : 0, queuedAt: UInt32(step / 500))
                list.append(entry, slab)
                model.append(entry)
            case 4 where !model.isEmpty:
                let entry = model.removeFirst().attempted
                _ = list.takeFirst(slab)
                list.prepend(slab.insert(entry), slab)
                model.insert(entry, at: 0)
            default:
                let expected = model.isEmpty ? nil : model.removeFirst()
                let taken = list.takeFirst(slab)
                #expect(
                    taken?.sequence == expected?.sequence && taken?.keyHash == expected?.keyHash
                        && taken?.severity == expected?.severity && taken?.attempts == expected?.attempts
                        && taken?.queuedAt == expected?.queuedAt && (taken == nil) == (expected == nil))
            }
        }
        while let entry = list.takeFirst(slab) { #expect(entry.sequence == model.removeFirst().sequence) }
        #expect(model.isEmpty)
        #expect(slab.count == 0)
    }
}
