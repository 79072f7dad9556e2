import TestSupport
import Testing
import TocsinJournal
import TocsinWire

/// Goal: a journal that is opened after any crash holds a prefix of what was appended, with everything that was durable in it.
/// Method: random appends, rolls, releases and crashes on a disk that keeps what was synced and a random part of what was not;
/// after each crash the replayed batches are compared with what was appended, and all messages are read.
@Suite("Journal histories", .timeLimit(.minutes(1))) struct HistoryTests {
    private struct Model {
        var batches: [Opened<MemoryDisk>.Batch] = []
        var texts: [String] = []
        var durable: UInt64 = 0
    }

    @Test("a random history with crashes loses nothing durable and invents nothing")
    func histories() throws {
        var random = SplitMix64.seeded()
        var torn = 0
        var survivors = 0
        for _ in 0..<40 {
            let disk = MemoryDisk()
            var options = JournalOptions.small
            options.segmentBytes = 1024 * (1 + random.below(4))
            options.blockBytes = 1 << random.below(12)
            options.recentBytes = 1 << random.below(12)
            options.blockCacheBytes = 1 << random.below(12)
            var model = Model()
            var journal = try Opened(disk, options).journal
            for life in 0..<6 {
                for _ in 0..<random.below(30) { try step(&journal, &model, &random) }
                try crash(&journal, disk, &model, &random)
                let opened = try Opened(disk, options)
                journal = opened.journal
                if opened.report.torn != nil { torn += 1 }
                let lost = try compare(opened, &model, life)
                if !lost { survivors += 1 }
                for sequence in journal.firstSequence..<journal.nextSequence {
                    #expect(try journal.text(sequence) == model.texts[Int(sequence) - 1])
                }
            }
        }
        // It tests something only if the crashes leave something behind, in all its forms.
        #expect(torn > 10 && survivors > 10, "\(torn) torn, \(survivors) whole")
    }

    private func step(_ journal: inout Journal<MemoryDisk>, _ model: inout Model, _ random: inout SplitMix64) throws {
        switch random.below(10) {
        case 0:
            journal.doJobs()
        case 1, 2, 3:
            try journal.write()
            model.durable = journal.durableOrdinal
        case 4:
            journal.release(below: UInt64(random.below(Int(journal.nextSequence) + 1)), now: 0)
        case 5:
            append(.control, [UInt8](repeating: 1, count: random.below(100)), [], &journal, &model, &random)
        default:
            let texts = (0...random.below(4)).map { _ in
                String(repeating: "m\(model.texts.count) ", count: random.below(10))
            }
            let (body, offsets) = lengthPrefixed(texts)
            append(.messages, body.array, offsets, &journal, &model, &random)
            // Refused if there was no room.
            if journal.nextSequence > UInt64(model.texts.count + 1) { model.texts += texts }
        }
    }

    private func append(
        _ kind: BatchKind, _ body: [UInt8], _ offsets: [UInt32], _ journal: inout Journal<MemoryDisk>, _ model: inout Model,
        _ random: inout SplitMix64
    ) {
        if body.count > journal.room || random.chance(0.05) {
            journal.doJobs()
            guard journal.canRoll else { return }
            journal.roll()
            add(.checkpoint, [9], [], &journal, &model)
        }
        guard journal.room > 0, body.count <= journal.room else { return }
        add(kind, body, offsets, &journal, &model)
    }

    private func add(
        _ kind: BatchKind, _ body: [UInt8], _ offsets: [UInt32], _ journal: inout Journal<MemoryDisk>, _ model: inout Model
    ) {
        let sequence = journal.nextSequence
        let ordinal = journal.append(kind, Bytes(body), offsets: offsets, time: 1)
        model.batches.append(.init(ordinal: ordinal, kind: kind, firstSequence: sequence, body: body))
    }

    private func crash(
        _ journal: inout Journal<MemoryDisk>, _ disk: MemoryDisk, _ model: inout Model, _ random: inout SplitMix64
    ) throws {
        // In a write or a sync of one of the files, or between two.
        let names = try disk.list().sorted()
        let verb = random.chance(0.2) ? "write" : "sync"
        if let last = names.last(where: { $0.hasPrefix("segment") && !$0.hasSuffix(".new") }) {
            disk.fail(random.chance(0.8) ? Set(names.map { "\(verb) \($0)" }) : ["\(verb) \(last)"])
        }
        do {
            try journal.write()
            model.durable = journal.durableOrdinal
        } catch is DiskError {
            // The hub ends.
        }
        disk.fail([])
        if random.chance(0.2) { return }
        disk.cutPower(keeping: random.below(disk.unsyncedBytes + 1))
    }

    /// Returns whether something appended is gone; the model goes on without it.
    private func compare(_ opened: Opened<MemoryDisk>, _ model: inout Model, _ life: Int) throws -> Bool {
        let last = opened.journal.lastOrdinal
        try #require(last >= model.durable && last <= model.batches.last?.ordinal ?? 0, "life \(life)")
        let kept = model.batches.prefix { $0.ordinal <= last }
        #expect(opened.batches.elementsEqual(kept.suffix(opened.batches.count)), "life \(life)")
        #expect((opened.batches.first?.firstSequence ?? 1) == opened.journal.firstSequence)
        let lost = kept.count < model.batches.count
        model.batches = Array(kept)
        model.texts.removeLast(model.texts.count - Int(opened.journal.nextSequence - 1))
        model.durable = last
        return lost
    }
}
