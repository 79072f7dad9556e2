import TestSupport
import Testing
import TocsinWire

@testable import TocsinJournal

@Suite("Journal recovery") struct RecoveryTests {
    private static let first = "segment-00000001.log"

    /// Goal: whatever part of the last write reached the disk, all before it is there and the journal goes on.
    @Test("a last batch cut at any byte is cut off, reported and forgotten")
    func torn() throws {
        let disk = MemoryDisk()
        var journal = try Opened(disk).journal
        journal.publish(["one"])
        try journal.write()
        journal.publish(["two", "three"])
        try journal.write()
        let offset = 64 + 72 + 64 + padded(18)
        let (body, offsets) = lengthPrefixed(["the last, which is cut", "and cut"])
        for kept in 0...64 + padded(body.count) {
            let copy = MemoryDisk(copying: disk)
            var torn = try Opened(copy).journal
            _ = torn.append(.messages, body, offsets: offsets, time: 2)
            copy.fail(["sync \(Self.first)"])
            #expect(throws: DiskError.self) { try torn.write() }
            copy.fail([])
            copy.cutPower(keeping: kept)
            // The rest, padding, is zeros whether it was written or not.
            let isWhole = kept >= 64 + body.count
            var opened = try Opened(copy)
            #expect(opened.batches.map(\.ordinal) == (isWhole ? [1, 2, 3] : [1, 2]), "\(kept) bytes kept")
            #expect((opened.report.torn == nil) == (isWhole || kept == 0), "\(kept) bytes kept")
            if let said = opened.report.torn {
                #expect(said.contains(Self.first) && said.contains("at offset \(offset), after batch 2"), "\(said)")
            }
            opened.journal.publish(["after"])
            try opened.journal.write()
            var again = try Opened(copy)
            #expect(again.report.torn == nil, "\(kept) bytes kept")
            let texts = ["one", "two", "three"] + (isWhole ? ["the last, which is cut", "and cut"] : []) + ["after"]
            for (index, text) in texts.enumerated() {
                #expect(try again.journal.text(UInt64(index + 1)) == text, "\(kept) bytes kept")
            }
            #expect(try again.journal.text(UInt64(texts.count + 1)) == nil, "\(kept) bytes kept")
        }
    }

    /// Goal: what was durable is never taken for a torn tail. Method: each bit of a segment's header and batches, and
    /// of what follows the last.
    @Test(
        "a flipped bit below a durable mark is refused by file and offset; above it the batch is cut; elsewhere it does no harm")
    func flipped() throws {
        let disk = MemoryDisk()
        var journal = try Opened(disk).journal
        let texts = ["one", "number two", "three"]
        var borders: [(start: Int, body: Int)] = []
        var end = SegmentHeader.size
        for text in texts {
            journal.publish([text])
            try journal.write()
            borders.append((end, 5 + text.utf8.count))
            end += 64 + padded(5 + text.utf8.count)
        }
        for (offset, bit) in (0..<end + 8).flatMap({ offset in (0..<8).map { (offset, $0) } }) {
            let copy = MemoryDisk(copying: disk)
            copy.flip(Self.first, at: offset, bit: bit)
            let batch = borders.lastIndex { $0.start <= offset }
            let isPadding = batch.map { offset >= borders[$0].start + 64 + borders[$0].body } ?? false
            if let batch, !isPadding, batch + 1 == texts.count {
                let opened = try Opened(copy)
                #expect(opened.batches.count == batch, "offset \(offset)")
                #expect(opened.report.torn?.contains("at offset \(borders[batch].start)") == true, "offset \(offset)")
            } else if isPadding {
                var opened = try Opened(copy)
                for (index, text) in texts.enumerated() {
                    #expect(try opened.journal.text(UInt64(index + 1)) == text, "offset \(offset)")
                }
            } else {
                let error = #expect(throws: JournalError.self) { try Opened(copy) }
                #expect(error?.code == .corrupt, "offset \(offset)")
                let place =
                    batch.map { "\(Self.first) is damaged at offset \(borders[$0].start):" } ?? "\(Self.first) does not begin"
                #expect(error?.description.hasPrefix(place) == true, "offset \(offset): \(error?.description ?? "")")
            }
        }
    }

    @Test("a mark makes the last messages durable: damage to them is refused too")
    func marked() throws {
        let disk = MemoryDisk()
        var journal = try Opened(disk).journal
        journal.publish(["one"])
        try journal.write()
        _ = journal.append(.mark, Bytes([]), time: 1)
        #expect(journal.lastMark == 1)
        try journal.write()
        disk.flip(Self.first, at: 64 + 64 + 6)
        let error = #expect(throws: JournalError.self) { try Opened(disk) }
        #expect(error?.description.hasPrefix("\(Self.first) is damaged at offset 64: batch 1 is not intact") == true)
    }

    // MARK: - Files

    /// Three segments of two batches each, and one made ready.
    private func threeSegments(seed: UInt64 = 7) throws -> MemoryDisk {
        let disk = MemoryDisk()
        var journal = try Opened(disk, newSeed: seed).journal
        for number in 1...3 {
            if number > 1 { journal.begin() } else { _ = journal.append(.checkpoint, Bytes([1]), time: 1) }
            journal.publish(["message \(number)"])
            try journal.write()
        }
        journal.doJobs()
        return disk
    }

    private func refusal(_ disk: MemoryDisk) throws -> String {
        let error = try #require(#expect(throws: JournalError.self) { try Opened(disk) })
        #expect(error.code == .corrupt)
        return error.description
    }

    @Test("a segment that is missing between others is named")
    func missing() throws {
        let disk = try threeSegments()
        disk["segment-00000002.log"] = nil
        #expect(try refusal(disk) == "segment-00000002.log is missing; restore it from a backup")
    }

    @Test("a segment of another journal, or under another's name, is refused by name")
    func foreign() throws {
        let disk = try threeSegments()
        disk["segment-00000002.log"] = try threeSegments(seed: 8)["segment-00000002.log"]
        #expect(try refusal(disk).hasPrefix("segment-00000002.log does not begin with the header of segment 2 of this journal"))
        let swapped = try threeSegments()
        swapped["segment-00000002.log"] = swapped["segment-00000003.log"]
        #expect(try refusal(swapped).hasPrefix("segment-00000002.log does not begin with the header of segment 2"))
    }

    @Test("a segment from an older copy of the same journal is refused: its successor does not follow")
    func older() throws {
        let disk = MemoryDisk()
        var journal = try Opened(disk).journal
        journal.publish(["one"])
        try journal.write()
        let old = disk[Self.first]
        journal.publish(["two"])
        try journal.write()
        journal.begin()
        try journal.write()
        disk[Self.first] = old
        let place = "segment-00000001.log ends at offset 136 with batch 1, but segment-00000002.log begins with batch 3"
        #expect(try refusal(disk) == "\(place); restore segment-00000001.log from a backup")
    }

    @Test("a segment shorter than its header says was cut by no crash, and is refused")
    func shortened() throws {
        let disk = MemoryDisk()
        var journal = try Opened(disk).journal
        for text in ["one", "two", "three"] {
            journal.publish([text])
            try journal.write()
        }
        let whole = try #require(disk[Self.first])
        // At each byte of what it holds, and then here and there.
        for size in [Int](0...300) + stride(from: 301, to: whole.count, by: 97) + [whole.count - 1] {
            disk[Self.first] = Array(whole.prefix(size))
            let said = try refusal(disk)
            #expect(said.hasPrefix(Self.first), "\(size) bytes: \(said)")
        }
    }

    @Test("without its identity, or with a damaged one, a journal is not begun anew over what is there")
    func identity() throws {
        let disk = try threeSegments()
        let whole = try #require(disk["identity"])
        disk["identity"] = nil
        #expect(try refusal(disk) == "the journal's folder has segments but no file identity; restore it from a backup")
        for offset in whole.indices {
            disk["identity"] = whole
            disk.flip("identity", at: offset, bit: offset % 8)
            #expect(try refusal(disk).hasPrefix("the file identity of the journal is damaged"), "offset \(offset)")
        }
        disk["identity"] = Array(whole.dropLast())
        #expect(try refusal(disk).hasPrefix("the file identity of the journal is damaged"))
        disk["identity"] = whole
        #expect(try Opened(disk).batches.count == 6)
    }

    @Test("what a crash left of a segment or an identity being made is removed, and strange files are left alone")
    func leftovers() throws {
        let disk = try threeSegments()
        disk["segment-00000005.log.new"] = [1, 2, 3]
        disk["identity.new"] = [1]
        disk["README"] = [4]
        #expect(try Opened(disk).batches.count == 6)
        #expect(disk["segment-00000005.log.new"] == nil && disk["identity.new"] == nil && disk["README"] == [4])
    }

    @Test("a segment made ready and never begun is used next")
    func ready() throws {
        var opened = try Opened(try threeSegments())
        #expect(opened.journal.canRoll)
        opened.journal.roll()
        _ = opened.journal.append(.checkpoint, Bytes([2]), time: 1)
        opened.journal.publish(["message 4"])
        try opened.journal.write()
        var again = try Opened(opened.journal.disk)
        for number in 1...4 { #expect(try again.journal.text(UInt64(number)) == "message \(number)") }
    }

    @Test("segments of another size than the options say, smaller or larger, are read and followed by segments of the new size")
    func otherSize() throws {
        let disk = try threeSegments()
        var options = JournalOptions.small
        for size in [8192, 2048] {
            options.segmentBytes = size
            var opened = try Opened(disk, options)
            for number in 1...3 { #expect(try opened.journal.text(UInt64(number)) == "message \(number)") }
            while opened.journal.lastOrdinal < 60 {
                if opened.journal.room < 200 { opened.journal.begin() }
                opened.journal.publish([String(repeating: "x", count: 150)])
                try opened.journal.write()
            }
            let last = try Opened(disk, options)
            #expect(last.journal.lastOrdinal >= 60)
        }
    }
}
