import TocsinWire

/// What the files of a journal hold, whether it is damaged or not: every intact batch is shown, every damage found and sized.
/// Changes nothing; for a folder that no hub uses.
public struct JournalSurvey: Sendable {
    /// One segment file.
    public struct Segment: Sendable {
        public var number: UInt32
        public var name: String
        /// Of the file; 0 if it is missing.
        public var bytes: Int
        /// Up to the end of its last intact batch.
        public var usedBytes = 0
        public var batches: [BatchKind: Int] = [:]
        public var messages = 0
        /// Of its intact batches; nil: there are none.
        public var ordinals: ClosedRange<UInt64>?
        /// Of its intact messages.
        public var sequences: ClosedRange<UInt64>?
        /// When its batches were appended, milliseconds since 1970.
        public var times: ClosedRange<UInt64>?
    }

    public enum Cause: Sendable {
        /// The file `identity` is missing or its checksum does not fit.
        case identity
        /// A file is gone.
        case missing
        /// A file does not begin with its header.
        case header
        /// A file is shorter than it was made.
        case truncated
        /// Bytes of batches, or bytes where nothing had been written, have changed.
        case changed
    }

    /// Something that is not as it was written, and had been on disk.
    public struct Damage: Sendable {
        public var cause: Cause
        public var segment: UInt32
        public var file: String
        /// The damaged bytes; empty for a file that is missing.
        public var bytes: Range<Int>
        /// Batches that are gone with it; nil: none.
        public var ordinals: ClosedRange<UInt64>?
        /// Messages that are gone with it; nil: none.
        public var sequences: ClosedRange<UInt64>?
        /// `ordinals` and `sequences` are the most it can have been: nothing that is left tells how many there were.
        public var isAtMost = false
        /// Subjects of lost messages as far as they can still be read, with how often they were seen.
        public var subjects: [String: Int] = [:]
        /// What is left of one lost control batch or checkpoint; not proved by any checksum.
        public var controlBytes: [UInt8] = []
        /// Messages of older segments that one lost batch carried, as far as they can still be read; not proved by any checksum.
        public var carried: [UInt64] = []
        /// Control records, and messages carried from older segments, may be among what is lost.
        public var mayHoldControl = false
    }

    /// Nil: missing or damaged.
    public internal(set) var identity: JournalIdentity?
    /// The journal's seed, from its identity or else from its segments.
    public internal(set) var seed: UInt64 = 0
    public internal(set) var segments: [Segment] = []
    /// In the order of the journal.
    public internal(set) var damages: [Damage] = []
    /// An unfinished write at the end, which the next start cuts off: nothing in it was acknowledged.
    public internal(set) var torn: (file: String, bytes: Range<Int>)?
    /// Messages given up by earlier repairs.
    public internal(set) var lost: [ClosedRange<UInt64>] = []
    /// Ordinal of the last batch, and the sequence of the next message to come, both without what is torn.
    public internal(set) var lastOrdinal: UInt64 = 0
    public internal(set) var nextSequence: UInt64 = 1
    /// The folder's files.
    public internal(set) var names: [String] = []

    public var isIntact: Bool { damages.isEmpty }
    /// Where the first batch of a segment is.
    public static var firstOffset: Int { SegmentHeader.size }

    /// Whether a file of this name is part of a journal.
    public static func isOfJournal(_ name: String) -> Bool { name == JournalIdentity.name || SegmentHeader.number(name) != nil }

    // What a repair needs.
    var patches: [Patch] = []
    var rewritten: Set<UInt32> = []
    /// Sizes that files have, or will have.
    var fileBytes: [UInt32: Int] = [:]

    /// Reads all files and calls `visit` with each intact batch, in order; also with those of a torn tail. Blocking.
    ///
    /// - Throws: `JournalError` if a file cannot be read, if there is no journal (`format`), or if what is there cannot be parts
    ///   of one journal (`corrupt`); what `visit` throws.
    public init(_ disk: some Disk, visit: (RecoveredBatch) throws -> Void = { _ in }) throws {
        do {
            names = try disk.list().sorted()
            try findIdentity(disk)
            var walk = Walk(seed: seed)
            try readSegments(disk, &walk, visit)
            try walk.finish(newestMade: identity?.newestSegment ?? 0)
            take(walk)
        } catch let error as DiskError {
            throw JournalError(error)
        }
    }

    private mutating func findIdentity(_ disk: some Disk) throws {
        let numbers = names.compactMap(SegmentHeader.number).sorted()
        let isThere = names.contains(JournalIdentity.name)
        guard isThere || !numbers.isEmpty else { throw JournalError(.format, "there is no journal in this folder") }
        if isThere, let found = try JournalIdentity.read(disk) {
            identity = found
            seed = found.seed
            return
        }
        damages.append(Damage(cause: .identity, segment: 0, file: JournalIdentity.name, bytes: 0..<JournalIdentity.size))
        let header = UnsafeMutableRawBufferPointer.allocate(byteCount: SegmentHeader.size, alignment: 8)
        defer { header.deallocate() }
        for number in numbers {
            let bytes = UnsafeRawBufferPointer(header)
            guard try disk.read(SegmentHeader.name(number), at: 0, into: header) == SegmentHeader.size else { continue }
            let seed = SegmentHeader.seed(bytes)
            if SegmentHeader.isValid(bytes, number: number, seed: seed) {
                self.seed = seed
                return
            }
        }
        throw JournalError(
            .corrupt, "neither the file \(JournalIdentity.name) nor any segment tells which journal this is; restore a backup")
    }

    private mutating func readSegments(_ disk: some Disk, _ walk: inout Walk, _ visit: (RecoveredBatch) throws -> Void) throws {
        let present = names.compactMap(SegmentHeader.number).sorted()
        let newest = max(present.last ?? 0, identity?.newestSegment ?? 0)
        guard newest > 0 else { return }
        guard let first = present.first else {
            throw JournalError(
                .corrupt,
                "all segments up to \(SegmentHeader.name(newest)) are missing; restore a backup, or begin anew in an empty folder"
            )
        }
        guard newest - first < UInt32(present.count) + 1024 else {
            throw JournalError(
                .corrupt,
                "more than a thousand segments are missing between \(SegmentHeader.name(first)) and "
                    + "\(SegmentHeader.name(newest)); move away what does not belong to this journal, or restore a backup")
        }
        var buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        let there = Set(present)
        for number in first...newest {
            guard there.contains(number) else {
                walk.missing(number)
                continue
            }
            try walk.segment(number, try disk.readSegment(number, into: &buffer), visit)
        }
    }

    private mutating func take(_ walk: Walk) {
        segments = walk.segments
        damages += walk.damages
        torn = walk.torn
        lost = walk.lost
        lastOrdinal = walk.lastOrdinal
        nextSequence = walk.nextSequence
        patches = walk.patches
        rewritten = walk.rewritten
        fileBytes = walk.fileBytes
    }
}

extension JournalSurvey.Damage {
    /// Where it is and what it is, for people: "segment-00000001.log, offset 136: 72 bytes of batch 2 have changed".
    public var description: String {
        let batches = ordinals.map { $0.count == 1 ? "batch \($0.lowerBound)" : "batches \($0.lowerBound) to \($0.upperBound)" }
        switch cause {
        case .identity: return "\(file) is missing or damaged"
        case .missing: return "\(file) is missing"
        case .header: return "\(file) does not begin with the header of segment \(segment) of this journal"
        case .truncated: return "\(file) is cut off at \(bytes.lowerBound) of \(bytes.upperBound) bytes"
        case .changed:
            let place = "\(file), offset \(bytes.lowerBound): "
            guard let batches else {
                return place + "\(bytes.count) bytes have changed where nothing had been written"
            }
            return bytes.isEmpty ? place + "\(batches) missing" : place + "\(bytes.count) bytes of \(batches) have changed"
        }
    }
}
