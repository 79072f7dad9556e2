import TestSupport
import Testing
import TocsinWire

@testable import TocsinJournal

/// Goal: whatever happens to a journal's files, a survey and recovery agree on whether it is damaged, a repair makes it whole, and
/// nothing that is intact and can be placed is lost.
@Suite("Repair of files") struct RepairTests {
    private static func name(_ number: UInt32) -> String { SegmentHeader.name(number) }

    /// Message n is "message n", one to three in a batch, segments of about ten batches; a mark at the end.
    private func filled(segments: Int = 4, _ random: inout SplitMix64) throws -> MemoryDisk {
        let disk = MemoryDisk()
        var journal = try Opened(disk).journal
        for number in 1...segments {
            if number > 1 { journal.begin() } else { _ = journal.append(.checkpoint, Bytes([1]), time: 1) }
            for _ in 0..<10 {
                let first = journal.nextSequence
                if random.chance(0.2) {
                    _ = journal.append(.control, Bytes([UInt8](repeating: 7, count: random.below(40))), time: 1)
                }
                journal.publish((0...UInt64(random.below(3))).map { "message \(first + $0)" })
                if random.chance(0.7) { try journal.write() }
            }
            try journal.write()
        }
        _ = journal.append(.mark, Bytes([]), time: 2)
        try journal.write()
        journal.doJobs()
        return disk
    }

    private func refusal(_ disk: MemoryDisk) -> String? {
        do {
            _ = try Opened(MemoryDisk(copying: disk))
            return nil
        } catch { return "\(error)" }
    }

    /// Repairs, and looks at what is left. Returns the messages that the survey did not name as lost and that are there.
    @discardableResult private func repair(_ disk: MemoryDisk, _ place: String) throws -> [UInt64] {
        let survey = try JournalSurvey(disk)
        #expect((refusal(disk) == nil) == survey.isIntact, "\(place): \(refusal(disk) ?? "opened"), \(survey.damages)")
        _ = try JournalRepair(survey).perform(on: disk, time: 5)
        let after = try JournalSurvey(disk)
        #expect(after.isIntact, "\(place): \(survey.damages), then \(after.damages)")
        var lost: Set<UInt64> = []
        for range in survey.damages.compactMap(\.sequences) + survey.lost { lost.formUnion(range) }
        var opened = try Opened(disk)
        if survey.torn == nil { #expect(opened.journal.nextSequence == survey.nextSequence, "\(place)") }
        var found: [UInt64] = []
        for sequence in opened.journal.firstSequence..<opened.journal.nextSequence {
            let text = try opened.journal.text(sequence)
            #expect(text == (lost.contains(sequence) ? nil : "message \(sequence)"), "\(place): \(sequence), lost \(lost)")
            #expect((opened.journal.loss(at: sequence) != nil) == lost.contains(sequence), "\(place): \(sequence)")
            if text != nil { found.append(sequence) }
        }
        // And it goes on.
        for _ in 0..<3 {
            if opened.journal.room < 500 { opened.journal.begin() }
            opened.journal.publish(["message \(opened.journal.nextSequence)"])
            try opened.journal.write()
        }
        let last = opened.journal.nextSequence - 1
        var again = try Opened(disk)
        #expect(try again.journal.text(last) == "message \(last)", "\(place)")
        return found
    }

    @Test("an intact journal is surveyed as what it is, and repair changes nothing of it")
    func intact() throws {
        var random = SplitMix64.seeded()
        let disk = try filled(&random)
        let files = try disk.list().map { disk[$0] }
        let opened = try Opened(MemoryDisk(copying: disk))
        var batches: [Opened<MemoryDisk>.Batch] = []
        let survey = try JournalSurvey(disk) {
            batches.append(
                .init(
                    ordinal: $0.header.ordinal, kind: $0.header.kind, firstSequence: $0.header.firstSequence,
                    body: Array($0.body)))
        }
        #expect(batches == opened.batches && survey.isIntact && survey.torn == nil)
        #expect(survey.nextSequence == opened.journal.nextSequence && survey.lastOrdinal == opened.journal.lastOrdinal)
        #expect(survey.segments.map(\.messages).reduce(0, +) == Int(opened.journal.nextSequence) - 1)
        #expect(try JournalRepair(survey).perform(on: disk, time: 5) == [])
        #expect(try disk.list().map { disk[$0] } == files)
    }

    /// One to four random damages: bits, ranges overwritten, zeroed or moved, files cut or gone, the identity too.
    @Test("random damage, much of it at once, is found by survey and recovery alike and mended")
    func histories() throws {
        var random = SplitMix64.seeded()
        var damaged = 0
        for round in 0..<300 {
            let disk = try filled(segments: 1 + random.below(4), &random)
            if random.chance(0.2), disk[Self.name(3)] != nil { disk[Self.name(1)] = nil }
            var done: [String] = []
            for _ in 0...random.below(3) { done.append(try damage(disk, &random)) }
            let place = "round \(round): \(done.joined(separator: ", "))"
            do {
                let survey = try JournalSurvey(disk)
                if survey.isIntact { continue }
                damaged += 1
            } catch let error as JournalError {
                // Not one journal any more, or nothing left of it; recovery must refuse it too.
                #expect(error.code == .corrupt || error.code == .format, "\(place): \(error)")
                if error.code == .corrupt { #expect(refusal(disk) != nil, "\(place)") }
                continue
            }
            do { try repair(disk, place) } catch { Issue.record("\(place): \(error)") }
        }
        #expect(damaged > 150)
    }

    private func damage(_ disk: MemoryDisk, _ random: inout SplitMix64) throws -> String {
        let names = try disk.list().sorted()
        guard let name = names.randomElement(using: &random), let bytes = disk[name], !bytes.isEmpty else { return "nothing" }
        let used = (bytes.lastIndex { $0 != 0 } ?? 0) + 1
        let offset = random.below(random.chance(0.9) ? used : bytes.count)
        let range = offset..<min(bytes.count, offset + 1 + random.below(400))
        switch random.below(8) {
        case 0: disk[name] = nil
        case 1: disk.change(name) { $0.removeLast($0.count - offset) }
        case 2: for index in range { disk.change(name) { $0[index] = 0 } }
        case 3: for index in range { disk.change(name) { $0[index] = UInt8.random(in: 0...255, using: &random) } }
        case 4:
            let source = bytes[..<min(bytes.count, range.count)]
            disk.change(name) {
                $0.replaceSubrange(offset..<offset + min(source.count, $0.count - offset), with: source.prefix($0.count - offset))
            }
        default: disk.flip(name, at: offset, bit: random.below(8))
        }
        return "\(name) at \(offset)"
    }

    @Test("a missing segment between others, the last one, and one that was only made ready are missed", arguments: 1...5)
    func missing(number: UInt32) throws {
        var random = SplitMix64.seeded()
        let disk = try filled(&random)
        let expected = try JournalSurvey(disk)
        disk[Self.name(number)] = nil
        // Segments before the first that is there are not missed: they may have been let go.
        if number == 1 { return #expect(refusal(disk) == nil) }
        #expect(refusal(disk)?.contains("\(Self.name(number)) is missing") == true, "\(refusal(disk) ?? "")")
        let survey = try JournalSurvey(disk)
        let damage = try #require(survey.damages.first)
        #expect(damage.cause == .missing && damage.file == Self.name(number))
        #expect(damage.isAtMost == (number > 3), "only what comes after tells how much")
        let lost = expected.segments[Int(number) - 1]
        if number < 4 { #expect(damage.sequences == lost.sequences && damage.ordinals == lost.ordinals) }
        let found = try repair(disk, "segment \(number)")
        #expect(found.count == Int(expected.nextSequence) - 1 - (number == 5 ? 0 : lost.messages))
    }

    @Test("segments that are missing at the end are missed, all of them, also when none is left")
    func missingEnd() throws {
        var random = SplitMix64.seeded()
        let disk = try filled(&random)
        for number: UInt32 in [5, 4, 3] {
            disk[Self.name(number)] = nil
            #expect(refusal(disk)?.contains("\(Self.name(number)) is missing") == true)
        }
        let survey = try JournalSurvey(disk)
        #expect(survey.damages.map(\.file) == [Self.name(3), Self.name(4), Self.name(5)])
        try repair(MemoryDisk(copying: disk), "three missing")
        for number: UInt32 in [1, 2] { disk[Self.name(number)] = nil }
        #expect(refusal(disk)?.contains("\(Self.name(1)) is missing") == true)
        let error = #expect(throws: JournalError.self) { try JournalSurvey(disk) }
        #expect(error?.code == .corrupt)
    }

    @Test("a repair that ends at any file operation is finished by the next, and the old file is kept")
    func interrupted() throws {
        var random = SplitMix64.seeded()
        let original = try filled(&random)
        for number: UInt32 in [1, 3] { original.flip(Self.name(number), at: 200) }
        let damaged = MemoryDisk(copying: original)
        for step in 0... {
            let disk = MemoryDisk(copying: original)
            disk.failAfter(step)
            var ended = false
            do { _ = try JournalRepair(JournalSurvey(disk)).perform(on: disk, time: 5) } catch { ended = true }
            disk.failAfter(nil)
            disk.cutPower()
            try repair(disk, "step \(step)")
            for number: UInt32 in [1, 3] {
                #expect(disk[Self.name(number) + ".damaged-1"] == damaged[Self.name(number)], "step \(step)")
            }
            if !ended { break }
        }
    }

    @Test("a batch that stands for what is lost is a batch like others: damaged in turn, it is repaired in turn")
    func again() throws {
        var random = SplitMix64.seeded()
        let disk = try filled(&random)
        // In the header of its first batch.
        disk.flip(Self.name(2), at: 84)
        let first = try JournalSurvey(disk)
        _ = try JournalRepair(first).perform(on: disk, time: 5)
        let place = try #require(first.damages.first).bytes.lowerBound
        disk.flip(Self.name(2), at: place + 20)
        let second = try JournalSurvey(disk)
        #expect(second.damages.first?.ordinals == first.damages.first?.ordinals)
        #expect(second.damages.first?.sequences == first.damages.first?.sequences)
        try repair(disk, "twice")
        #expect(try disk.list().contains(Self.name(2) + ".damaged-1-2"), "both old files are kept")
    }
}
