import TestSupport
import Testing
import TocsinJournal
import TocsinWire

/// What the simulator found, each as the few steps it comes down to.
@Suite("Disk faults") struct DiskFaultTests {
    private static let options: JournalOptions = {
        var options = JournalOptions()
        options.segmentBytes = 4096
        options.retainBytes = 0
        return options
    }()

    private func open(_ disk: MemoryDisk) throws -> Journal<MemoryDisk> {
        try Journal.open(disk, options: Self.options, newSeed: 7, begin: { _ in }, replay: { _ in }).journal
    }

    private func append(_ journal: inout Journal<MemoryDisk>, _ count: Int) {
        for _ in 0..<count { _ = journal.append(.control, Bytes([1, 2, 3]), time: 1) }
    }

    private func write(_ journal: inout Journal<MemoryDisk>, _ disk: MemoryDisk) throws {
        guard let work = journal.takeWork() else { return }
        try work.perform(on: disk)
        journal.written(work.last)
    }

    /// Goal: a batch that was read at start is on disk from then on, though the process ended between write and sync.
    @Test("what is found at start without a sync survives the next power cut")
    func foundInCache() throws {
        let disk = MemoryDisk()
        var journal = try open(disk)
        append(&journal, 1)
        try write(&journal, disk)
        append(&journal, 2)
        disk.fail(["sync segment-00000001.log"])
        #expect(throws: DiskError.self) { try write(&journal, disk) }
        disk.fail([])
        let found = try open(disk).lastOrdinal
        disk.cutPower()
        #expect(try open(disk).lastOrdinal == found)
    }

    /// Goal: the batches of one sync say nothing of each other; the next segment does, and the damage itself is named.
    @Test("damage at the end of a segment that has a successor is named by file and offset")
    func damageNamed() throws {
        let disk = MemoryDisk()
        var journal = try open(disk)
        append(&journal, 3)
        try write(&journal, disk)
        while let job = journal.takeJob() {
            try job.perform(on: disk)
            journal.finished(job, nil)
        }
        journal.roll()
        append(&journal, 1)
        try write(&journal, disk)
        // The second batch: a segment's header and a batch of 64 + 8 bytes are before it.
        disk.flip("segment-00000001.log", at: 64 + 72 + 20)
        let error = #expect(throws: JournalError.self) { try open(disk) }
        #expect(error?.code == .corrupt)
        #expect(error?.description.contains("segment-00000001.log") ?? false)
        #expect(error?.description.contains("offset 136") ?? false, "\(error?.description ?? "")")
    }

    /// Goal: segments go from the oldest on, also after one could not be removed, or a hole is left and the next start refused.
    @Test("a segment that could not be removed goes before the next one")
    func removalFails() throws {
        let disk = MemoryDisk()
        var journal = try open(disk)
        disk.fail(["remove segment-00000001.log"])
        for number in 1...5 {
            append(&journal, 1)
            try write(&journal, disk)
            while let job = journal.takeJob() {
                var failure: DiskError?
                do { try job.perform(on: disk) } catch { failure = error }
                journal.finished(job, failure)
            }
            if number == 4 {
                disk.fail([])
                journal.retryJobs()
            }
            journal.roll()
            journal.release(below: .max, now: 0)
        }
        let names = try disk.list().sorted()
        #expect(!names.contains("segment-00000001.log"), "it was removed in the end: \(names)")
        _ = try open(disk)
    }
}
