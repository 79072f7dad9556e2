import DequeModule
import Glibc
import TocsinWire

/// One intact batch found at start, in order. The body is valid during the call it is passed to.
public struct RecoveredBatch {
    public var header: BatchHeader
    /// In the segment's file.
    public var offset: Int
    public var body: UnsafeRawBufferPointer
}

/// What was found at start.
public struct RecoveryReport: Sendable {
    /// An unfinished write at the end that was cut off: nothing in it had been acknowledged.
    public var torn: String?
    /// Where it is; zeroed only once every segment was looked at.
    var tornRange: (name: String, offset: Int, length: Int)?
    /// Batches of the last segment that no durable mark covers: intact, and perhaps in the page cache only.
    var unmarked: Deque<(ordinal: UInt64, offset: Int)> = []
    public var batches: UInt64 = 0
    public var bytes = 0
    /// Messages that an earlier repair gave up and that would still be kept.
    public var lostMessages: UInt64 = 0
}

extension Journal {
    /// Reads the journal of a folder, or begins one, and calls `replay` with each batch. An unfinished write at the end is cut
    /// off: damage above every durable mark seen. Damage at or below one, or before an intact later segment, is corruption: it
    /// had been acknowledged. `newSeed`: random, for a journal that is not there yet. Blocking.
    ///
    /// - Throws: `JournalError` with file, offset and what to do; what `replay` throws.
    public static func open(
        _ disk: D, options: JournalOptions, newSeed: UInt64,
        begin: (JournalIdentity) -> Void, replay: (RecoveredBatch) throws -> Void
    ) throws -> (journal: Journal, report: RecoveryReport) {
        do {
            let names = try disk.list()
            let identity = try JournalIdentity.start(on: disk, names: names, newSeed: newSeed)
            begin(identity)
            for name in names where name.hasSuffix(".new") { try disk.remove(name) }
            var numbers = names.compactMap(SegmentHeader.number).sorted()
            if numbers.isEmpty {
                let first = JournalJob.prepare(segment: 1, bytes: options.segmentBytes, identity: identity.with(newest: 1))
                try first.perform(on: disk)
                numbers = [1]
            }
            var journal = Journal(disk: disk, options: options, identity: identity)
            var report = RecoveryReport()
            var current = SegmentBuffer(disk, bytes: options.segmentBytes)
            // The next segment is read while one is replayed, which takes about a quarter off a start.
            var next = D.readsAhead && numbers.count > 1 ? SegmentBuffer(disk, bytes: options.segmentBytes) : nil
            for (position, number) in numbers.enumerated() {
                if position > 0, numbers[position - 1] + 1 != number {
                    throw JournalError(
                        .corrupt, "\(SegmentHeader.name(numbers[position - 1] + 1)) is missing; restore it from a backup")
                }
                let file = try current.take(number)
                if position + 1 < numbers.count { next?.begin(numbers[position + 1]) }
                try journal.recover(number, file, after: position == 0, &report, replay)
                if let read = next { (current, next) = (read, current) }
            }
            guard let last = journal.segments.last else { throw JournalError(.format, "the journal has no segment") }
            if let first = report.unmarked.first {
                try rewrite(SegmentHeader.name(last.number), first.offset..<last.end, on: disk)
            }
            if let range = report.tornRange { try zero(range, on: disk) }
            // The others are still where they were.
            let kept = journal.firstSequence
            journal.carried.removeAll { $0.sequence >= kept }
            journal.durableOrdinal = journal.lastOrdinal
            journal.durableEnd = (last.number, last.end)
            return (journal, report)
        } catch let error as DiskError {
            throw JournalError(error)
        }
    }

    /// One segment, as it was read. `isFirst`: nothing is known of the ordinals yet.
    private mutating func recover(
        _ number: UInt32, _ file: UnsafeRawBufferPointer, after isFirst: Bool, _ report: inout RecoveryReport,
        _ replay: (RecoveredBatch) throws -> Void
    ) throws {
        let name = SegmentHeader.name(number)
        let size = file.count
        guard SegmentHeader.isValid(file, number: number, seed: identity.seed) else {
            throw JournalError(
                .corrupt, "\(name) does not begin with the header of segment \(number) of this journal; restore it from a backup")
        }
        // Nothing shortens a segment; what is gone might have been acknowledged.
        let bytes = SegmentHeader.fileBytes(file)
        guard file.count >= bytes else {
            throw JournalError(
                .corrupt, "\(name) has \(file.count) bytes, but was made with \(bytes); restore it from a backup")
        }
        var offset = SegmentHeader.size
        var batches = 0
        while let header = intact(file, at: offset, number) {
            // First, so that the damage is named and not what follows from it.
            if batches == 0, let torn = report.torn {
                throw JournalError(
                    .corrupt, "\(torn), but \(name) was begun after that had been written; restore it from a backup")
            }
            let isNext = header.ordinal == lastOrdinal + 1 && header.firstSequence == nextSequence
            guard isNext || (isFirst && batches == 0) else {
                // Of sectors that are zeros again only the gap tells.
                if batches == 0, let previous = segments.last {
                    let file = SegmentHeader.name(previous.number)
                    throw JournalError(
                        .corrupt,
                        "\(file) ends at offset \(previous.end) with batch \(lastOrdinal), but \(name) begins with batch \(header.ordinal); restore \(file) from a backup"
                    )
                }
                throw JournalError(
                    .corrupt,
                    "\(name), offset \(offset): batch \(header.ordinal) with sequence \(header.firstSequence) follows batch \(lastOrdinal), which was followed by sequence \(nextSequence); restore the file from a backup"
                )
            }
            guard header.kind != .lost || header.count <= size / 8 else {
                throw JournalError(
                    .format, "\(name), offset \(offset): a repair cannot have given up \(header.count) messages of this segment")
            }
            if header.kind == .lost { report.lostMessages += UInt64(header.count) }
            if batches == 0 {
                segments.append(Segment(number: number, firstSequence: header.firstSequence, bytes: size, end: 0))
            }
            // A segment is on disk before the next is begun.
            if batches == 0 {
                report.unmarked = []
                next = .absent
            }
            batches += 1
            try replay(
                RecoveredBatch(
                    header: header, offset: offset, body: file.part(offset + BatchHeader.size, header.bodyBytes)))
            note(header, at: offset)
            if header.kind == .carried {
                try noteCarried(header, file.part(offset + BatchHeader.size, header.bodyBytes), at: offset)
            }
            lastOrdinal = header.lastOrdinal
            lastMark = header.durable
            report.unmarked.append((header.ordinal, offset))
            while let first = report.unmarked.first, first.ordinal <= header.durable { report.unmarked.removeFirst() }
            nextSequence = header.nextSequence
            report.batches += 1
            report.bytes += header.totalBytes
            offset += header.totalBytes
        }
        try examine(file, number, at: offset, &report)
        if batches > 0 {
            segments[segments.count - 1].end = offset
        } else if segments.isEmpty {
            segments.append(Segment(number: number, firstSequence: nextSequence, bytes: size, end: offset))
        } else {
            // Made ready before it was needed; of another size, it is made again.
            next = size == options.segmentBytes ? .ready : .absent
        }
    }

    private func intact(_ file: UnsafeRawBufferPointer, at offset: Int, _ segment: UInt32) -> BatchHeader? {
        BatchHeader(intact: file, at: offset, seed: identity.seed, segment: segment)
    }

    /// What was found may have been read from the page cache alone: the process ended before the sync, or the sync failed and
    /// left the pages for clean. Written again and synced, it is on disk, and may be acknowledged.
    private static func rewrite(_ name: String, _ range: Range<Int>, on disk: D) throws(DiskError) {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: range.count, alignment: 8)
        defer { bytes.deallocate() }
        guard try disk.read(name, at: range.lowerBound, into: bytes) == range.count else {
            throw DiskError(.other(errno: EIO), "cannot read \(name) again at offset \(range.lowerBound)")
        }
        try disk.write(name, at: range.lowerBound, [UnsafeRawBufferPointer(bytes)])
        try disk.sync(name)
    }

    /// An unfinished write is zeroed, so that no later start can take a part of it for something.
    private static func zero(_ range: (name: String, offset: Int, length: Int), on disk: D) throws(DiskError) {
        let zeros = UnsafeMutableRawBufferPointer.allocate(byteCount: range.length, alignment: 8)
        defer { zeros.deallocate() }
        zeros.initializeMemory(as: UInt8.self, repeating: 0)
        try disk.write(range.name, at: range.offset, [UnsafeRawBufferPointer(zeros)])
        try disk.sync(range.name)
    }

    /// Looks at what follows the last intact batch: zeros, an unfinished write, or damage that is refused.
    private func examine(
        _ file: UnsafeRawBufferPointer, _ number: UInt32, at offset: Int, _ report: inout RecoveryReport
    ) throws {
        var last: Int?
        var position = offset
        while position + 8 <= file.count {
            if file.load(fromByteOffset: position, as: UInt64.self) != 0 {
                last = position
                #if TOCSIN_PLANTED_BUGS
                    if PlantedBug.cutAtBadChecksum.isPlanted { break }
                #endif
                if let later = intact(file, at: position, number), later.durable > lastOrdinal {
                    throw JournalError(
                        .corrupt,
                        "\(SegmentHeader.name(number)) is damaged at offset \(offset): batch \(lastOrdinal + 1) is not intact, though batch \(later.ordinal) at offset \(position) says that it was on disk; restore the file from a backup"
                    )
                }
            }
            position += 8
        }
        guard let last else { return }
        if let torn = report.torn {
            throw JournalError(
                .corrupt,
                "\(torn), but \(SegmentHeader.name(number)) was begun after that had been written; restore it from a backup")
        }
        let length = last + 8 - offset
        report.torn =
            "\(SegmentHeader.name(number)) ended in an unfinished write of \(length) bytes at offset \(offset), after batch \(lastOrdinal)"
        report.tornRange = (SegmentHeader.name(number), offset, length)
    }
}
