import TestSupport
import Testing
import TocsinJournal
import TocsinWire

@Suite("Journal") struct JournalTests {
    /// Thirty batches of three messages each over three segments, on disk; message n is "message n", batch n at time 100 n.
    private func filled(_ disk: MemoryDisk) throws -> Journal<MemoryDisk> {
        var journal = try Opened(disk).journal
        for batch in 0..<30 {
            if batch == 10 || batch == 20 { journal.begin(time: UInt64(100 * batch)) }
            journal.publish((1...3).map { "message \(3 * batch + $0)" }, time: UInt64(100 * batch))
            try journal.write()
        }
        return journal
    }

    @Test("every message is read back across segments, in any order, before and after a restart")
    func read() throws {
        let disk = MemoryDisk()
        var journal = try filled(disk)
        #expect(journal.nextSequence == 91 && journal.firstSequence == 1 && journal.lastOrdinal == 32)
        for round in ["as written", "reopened"] {
            for sequence in 1...90 { #expect(try journal.text(UInt64(sequence)) == "message \(sequence)", "\(round)") }
            for sequence in (1...90).reversed() {
                #expect(try journal.text(UInt64(sequence)) == "message \(sequence)", "\(round)")
            }
            for sequence: UInt64 in [0, 91, .max] { #expect(try journal.text(sequence) == nil) }
            journal = try Opened(disk).journal
        }
    }

    @Test("what a restart replays is what was appended, and appending goes on after it")
    func reopen() throws {
        let disk = MemoryDisk()
        _ = try filled(disk)
        var opened = try Opened(disk)
        #expect(opened.report.torn == nil && opened.report.batches == 32)
        #expect(opened.batches.map(\.ordinal) == Array(1...32))
        #expect(opened.batches.filter { $0.kind == .checkpoint }.map(\.ordinal) == [11, 22])
        let messages = opened.batches.filter { $0.kind == .messages }
        let firstSequences: [UInt64] = (0..<30).map { 3 * $0 + 1 }
        #expect(messages.map(\.firstSequence) == firstSequences)
        for (batch, found) in messages.enumerated() {
            #expect(found.body == lengthPrefixed((1...3).map { "message \(3 * batch + $0)" }).body.array)
        }
        #expect(opened.journal.durableOrdinal == 32)
        opened.journal.publish(["message 91"])
        try opened.journal.write()
        opened.journal.begin()
        opened.journal.publish(["message 92"])
        try opened.journal.write()
        var again = try Opened(disk)
        #expect(again.batches.count == 35)
        for sequence in 85...92 { #expect(try again.journal.text(UInt64(sequence)) == "message \(sequence)") }
    }

    @Test("a start from a time misses no message of that time or later, and begins at most one block earlier")
    func times() throws {
        let disk = MemoryDisk()
        var journal = try filled(disk)
        for _ in 0..<2 {
            #expect(journal.sequence(at: 0) == 1)
            for time in stride(from: 0, through: 3000, by: 50) {
                let first = min(91, 3 * ((time + 99) / 100) + 1)
                let found = Int(journal.sequence(at: UInt64(time)))
                // A block takes two batches.
                #expect(found <= first && found > first - 3 * 3, "time \(time): \(found), first \(first)")
            }
            journal = try Opened(disk).journal
        }
    }

    @Test("a clock that was set back hides no message from a start by time")
    func clockBack() throws {
        let disk = MemoryDisk()
        var journal = try Opened(disk).journal
        let times: [UInt64] = [100, 900, 200, 300, 400, 1000]
        for (index, time) in times.enumerated() {
            journal.publish([String(repeating: "\(index)", count: 250)], time: time)
            try journal.write()
        }
        for _ in 0..<2 {
            for time in stride(from: 0 as UInt64, through: 1000, by: 50) {
                let first = (times.firstIndex { $0 >= time } ?? times.count) + 1
                #expect(journal.sequence(at: time) <= UInt64(first), "time \(time)")
            }
            journal = try Opened(disk).journal
        }
    }

    @Test("segments below what is needed go, from the oldest on, and what is left is whole")
    func retention() throws {
        let disk = MemoryDisk()
        var journal = try filled(disk)
        journal.begin()
        journal.publish(["message 91"])
        try journal.write()
        // Sequence 30 is in the first segment.
        journal.release(below: 30, now: 0)
        journal.doJobs()
        #expect(journal.firstSequence == 1 && disk["segment-00000001.log"] != nil)
        journal.release(below: 31, now: 0)
        #expect(journal.doJobs().isEmpty)
        #expect(journal.firstSequence == 31 && disk["segment-00000001.log"] == nil && disk["segment-00000002.log"] != nil)
        #expect(try journal.text(30) == nil)
        #expect(try journal.text(31) == "message 31")
        #expect(journal.sequence(at: 0) == 31)

        var opened = try Opened(disk)
        #expect(opened.batches.first?.kind == .checkpoint && opened.batches.first?.ordinal == 11)
        #expect(opened.journal.firstSequence == 31 && opened.journal.nextSequence == 92)
        #expect(try opened.journal.text(30) == nil)
        for sequence in 31...91 { #expect(try opened.journal.text(UInt64(sequence)) == "message \(sequence)") }
        opened.journal.release(below: .max, now: 0)
        opened.journal.doJobs()
        #expect(opened.journal.firstSequence == 91, "the current segment stays")
    }

    @Test("what is settled is kept for a time, and no longer")
    func outdated() throws {
        var options = JournalOptions.small
        options.retainBytes = .max
        options.retainAge = 1_000
        let disk = MemoryDisk()
        var journal = try Opened(disk, options).journal
        for number in 1...4 {
            if number > 1 { journal.begin() }
            journal.publish(["message \(number)"], time: UInt64(number) * 10_000)
            try journal.write()
        }
        journal.release(below: .max, now: 31_000)
        #expect(journal.firstSequence == 3, "all that the first two have is older")
        journal.release(below: 3, now: 90_000)
        #expect(journal.firstSequence == 3, "what is needed stays however old it is")
        journal.release(below: .max, now: 90_000)
        #expect(journal.firstSequence == 4, "and so does the current segment")
    }

    @Test("the current segment is to be closed when its first message is an eighth of the age old, after a restart too")
    func aged() throws {
        var options = JournalOptions.small
        options.retainBytes = .max
        options.retainAge = 16_000
        let disk = MemoryDisk()
        var journal = try Opened(disk, options).journal
        #expect(!journal.isAged(now: .max), "nothing is in it")
        journal.publish(["one"], time: 10_000)
        journal.publish(["two"], time: 11_500)
        try journal.write()
        #expect(!journal.isAged(now: 12_000) && journal.isAged(now: 12_001))
        journal = try Opened(disk, options).journal
        #expect(!journal.isAged(now: 12_000) && journal.isAged(now: 12_001))
        journal.begin()
        try journal.write()
        #expect(!journal.isAged(now: .max))
        journal.release(below: .max, now: 27_500)
        #expect(journal.firstSequence == 1, "its last message is not older than the age")
        journal.release(below: .max, now: 27_501)
        #expect(journal.firstSequence == 3, "though nothing came after it")
    }

    @Test("a journal with a limit keeps a segment free, lets go of what is retained first, and goes on")
    func limited() throws {
        var options = JournalOptions.small
        options.retainBytes = .max
        options.maxBytes = 4 * 4096
        let disk = MemoryDisk()
        var journal = try Opened(disk, options).journal
        journal.publish(["message 1"])
        for number in 2...3 {
            #expect(!journal.isAtLimit)
            journal.begin()
            journal.publish(["message \(number)"])
            try journal.write()
        }
        #expect(journal.doJobs().isEmpty && journal.canRoll && journal.isAtLimit && !journal.isPastLimit)
        #expect(journal.bytes == options.maxBytes)
        journal.release(below: 1, now: 0)
        #expect(journal.firstSequence == 1, "nothing that is needed goes")
        journal.begin()
        #expect(journal.isPastLimit)
        journal.release(below: .max, now: 0)
        #expect(journal.firstSequence == 3, "no more than is needed for the next goes")
        #expect(!journal.isAtLimit)
    }

    @Test("on a full disk the oldest settled segment goes though it would be retained, and the next takes its room")
    func fullMakesRoom() throws {
        var options = JournalOptions.small
        options.retainBytes = .max
        let disk = MemoryDisk()
        var journal = try Opened(disk, options).journal
        for number in 1...4 {
            if number > 1 { journal.begin() }
            journal.publish(["message \(number)"])
            try journal.write()
        }
        let files = try disk.list().count
        disk.limit(to: 4 * 4096 + 1000)
        #expect(journal.doJobs().map(\.code) == [.full])
        journal.release(below: 1, now: 0)
        #expect(journal.firstSequence == 1, "nothing that is needed goes")
        journal.release(below: .max, now: 0)
        #expect(journal.firstSequence == 2, "one is enough")
        #expect(journal.doJobs().isEmpty && journal.canRoll)
        #expect(try disk.list().count == files)
        journal.release(below: .max, now: 0)
        #expect(journal.firstSequence == 2, "with room, as much is kept as is to be retained")
    }

    @Test("what is settled is kept up to the limit")
    func retained() throws {
        var options = JournalOptions.small
        options.retainBytes = 4 * 4096
        let disk = MemoryDisk()
        var journal = try Opened(disk, options).journal
        for number in 1...8 {
            if number > 1 { journal.begin() }
            journal.publish(["message \(number)"])
            try journal.write()
            journal.release(below: .max, now: 0)
            journal.doJobs()
            #expect(journal.bytes <= 5 * 4096)
            let files = try disk.list().filter { $0.hasPrefix("segment") }.count
            #expect(files == min(number + 1, 5), "one of them is ready to be begun")
        }
    }

    @Test("each start has the next epoch and keeps the seed")
    func epochs() throws {
        let disk = MemoryDisk()
        for epoch: UInt64 in 1...5 {
            let identity = try Opened(disk, newSeed: 100 + epoch).journal.identity
            #expect(identity.epoch == epoch && identity.seed == 101)
        }
    }

    @Test("bytes that change on disk while the hub runs are noticed when they are read")
    func changedWhileRunning() throws {
        let disk = MemoryDisk()
        var journal = try filled(disk)
        // In the body of the first batch.
        disk.flip("segment-00000001.log", at: 64 + 64 + 3)
        let error = #expect(throws: JournalError.self) { try journal.text(1) }
        #expect(error?.code == .corrupt)
        #expect(
            error?.description.contains("segment-00000001.log has changed at offset 64") == true, "\(error?.description ?? "")")
        #expect(try journal.text(90) == "message 90")
    }

    // MARK: - Failures

    @Test("a write or sync that fails is reported, and the batch does not count as durable", arguments: ["write", "sync"])
    func failedWrite(verb: String) throws {
        let disk = MemoryDisk()
        var journal = try Opened(disk).journal
        journal.publish(["one"])
        try journal.write()
        journal.publish(["two"])
        disk.fail(["\(verb) segment-00000001.log"])
        let error = #expect(throws: DiskError.self) { try journal.write() }
        #expect(error?.description == "cannot \(verb) segment-00000001.log")
        #expect(journal.durableOrdinal == 1)
        disk.fail([])
        disk.cutPower()
        #expect(try Opened(disk).batches.count == 1)
    }

    @Test("a file that cannot be read is the error of the start, not an empty journal", arguments: ["list ", "read identity"])
    func failedStart(operation: String) throws {
        let disk = MemoryDisk()
        _ = try filled(disk)
        for operation in [operation, "read segment-00000002.log", "size segment-00000003.log", "sync the folder"] {
            disk.fail([operation])
            let error = #expect(throws: JournalError.self) { try Opened(disk) }
            #expect(error?.code == .disk, "\(operation)")
        }
        disk.fail([])
        #expect(try Opened(disk).batches.count == 32)
    }

    @Test("on a full disk the next segment waits until there is space, and the current one is still filled")
    func full() throws {
        let disk = MemoryDisk()
        var journal = try Opened(disk).journal
        disk.limit(to: 5000)
        #expect(journal.doJobs().map(\.code) == [.full])
        #expect(!journal.canRoll && journal.isJobFailing && journal.prepareFailure?.code == .full)
        journal.publish(["still fits"])
        try journal.write()
        #expect(journal.takeJob() == nil, "not tried again by itself")
        journal.retryJobs()
        #expect(journal.doJobs().map(\.code) == [.full])
        disk.limit(to: .max)
        journal.retryJobs()
        #expect(journal.doJobs().isEmpty && journal.canRoll && !journal.isJobFailing)
        journal.begin()
        journal.publish(["in the next"])
        try journal.write()
        var opened = try Opened(disk)
        #expect(try opened.journal.text(1) == "still fits")
        #expect(try opened.journal.text(2) == "in the next")
    }

    @Test("a disk too full for the first segment is said at the start, and nothing is left that a later start trips over")
    func fullAtStart() throws {
        let disk = MemoryDisk()
        disk.limit(to: 1000)
        let error = #expect(throws: JournalError.self) { try Opened(disk) }
        #expect(error?.code == .disk && error?.description.contains("no space") == true)
        disk.limit(to: .max)
        #expect(try Opened(disk).journal.identity.epoch == 2)
    }
}
