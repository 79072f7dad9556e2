import TocsinWire

@testable import TocsinJournal

/// A journal with what was replayed when it was opened.
struct Opened<D: Disk> {
    struct Batch: Equatable {
        var ordinal: UInt64
        var kind: BatchKind
        var firstSequence: UInt64
        var body: [UInt8]
    }
    var journal: Journal<D>
    var report: RecoveryReport
    var batches: [Batch] = []

    init(_ disk: D, _ options: JournalOptions = .small, newSeed: UInt64 = 7) throws {
        var batches: [Batch] = []
        (journal, report) = try Journal.open(
            disk, options: options, newSeed: newSeed, begin: { _ in },
            replay: {
                batches.append(
                    Batch(
                        ordinal: $0.header.ordinal, kind: $0.header.kind, firstSequence: $0.header.firstSequence,
                        body: Array($0.body)))
            })
        self.batches = batches
    }
}

extension JournalOptions {
    /// Small segments, and next to nothing in memory, so that reading reads files.
    static let small: JournalOptions = {
        var options = JournalOptions()
        options.segmentBytes = 4096
        options.retainBytes = 0
        options.recentBytes = 0
        options.blockCacheBytes = 300
        options.blockBytes = 200
        return options
    }()
}

extension Journal {
    /// One batch of these messages.
    @discardableResult mutating func publish(_ texts: [String], time: UInt64 = 1) -> UInt64 {
        let (body, offsets) = lengthPrefixed(texts)
        return append(.messages, body, offsets: offsets, time: time)
    }

    /// What the hub's writer does.
    mutating func write() throws {
        guard let work = takeWork() else { return }
        try work.perform(on: disk)
        written(work.last)
    }

    /// What the hub's thread for segments does. Returns the failures.
    @discardableResult mutating func doJobs() -> [DiskError] {
        var failures: [DiskError] = []
        while let job = takeJob() {
            var failure: DiskError?
            do { try job.perform(on: disk) } catch { failure = error }
            finished(job, failure)
            if let failure { failures.append(failure) }
        }
        return failures
    }

    /// Begins the next segment as the engine does: with a checkpoint.
    mutating func begin(time: UInt64 = 1) {
        doJobs()
        roll()
        _ = append(.checkpoint, Bytes(Array("all".utf8)), time: time)
    }

    mutating func text(_ sequence: UInt64) throws -> String? {
        try message(sequence).map { String(decoding: Array($0.envelope), as: UTF8.self) }
    }
}

func lengthPrefixed(_ texts: [String]) -> (body: Bytes, offsets: [UInt32]) {
    var body: [UInt8] = []
    var offsets: [UInt32] = []
    for text in texts {
        offsets.append(UInt32(body.count))
        LengthPrefixed.append(Array(text.utf8), to: &body)
    }
    return (Bytes(body), offsets)
}
