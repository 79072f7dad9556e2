import DequeModule
import TocsinWire

/// Sizes of a journal, bytes.
public struct JournalOptions: Sendable {
    /// Of one segment file, whole from its creation.
    public var segmentBytes = 64 << 20
    /// Segments in which everything is settled, and no id is in the dedup window, are kept for taps up to this much.
    public var retainBytes = 256 << 20
    /// And not for much longer than this, milliseconds: the current segment is closed when its first message is `rollAge` old,
    /// so that it can go when its last is `retainAge` old, however little is published.
    public var retainAge: UInt64 = 7 * 86_400_000
    /// An eighth of `retainAge`, at least a second: what a message is kept longer at most, because whole segments go.
    public var rollAge: UInt64 { max(retainAge / 8, 1000) }
    /// Messages come in as long as all segments together take no more than this, with one that is kept free for what becomes of
    /// them: settlements, and messages stored again. Those may go beyond it. 0: as much as the disk has.
    public var maxBytes = 0
    /// Newest messages kept in memory.
    public var recentBytes = 8 << 20
    /// Messages read back from disk and kept in memory.
    public var blockCacheBytes = 8 << 20
    /// Grain of the index in memory: one entry for so many bytes of messages.
    public var blockBytes = 64 << 10
    public init() {}

    /// On a small disk the segments are small too, a sixteenth of it at most but at least 1 MiB: the one that is written, the one
    /// that is made ready and those that wait to be settled must all find room.
    public mutating func fit(diskBytes: Int) {
        segmentBytes = min(segmentBytes, max(1 << 20, (diskBytes / 16) & ~(1 << 20 - 1)))
    }
}

/// One message in the journal, with its length prefix: `bytes.buffer[offset..<offset + count]`.
public struct MessageSlice {
    public let bytes: Bytes
    public let offset: Int
    public let count: Int

    /// With the prefix.
    public var framed: UnsafeRawBufferPointer { bytes.buffer.part(offset, count) }
    /// The envelope.
    public var envelope: UnsafeRawBufferPointer {
        bytes.buffer.part(offset + LengthPrefixed.prefixSize, count - LengthPrefixed.prefixSize)
    }
}

/// The durable log as its loop sees it: decides where each batch goes, remembers where it went, reads messages back. It writes
/// nothing itself: `takeWork` and `takeJob` say what others must do, `written` and `finished` what came of it. One thread.
public struct Journal<D: Disk> {
    public let options: JournalOptions
    public let identity: JournalIdentity
    let disk: D

    struct Segment {
        var number: UInt32
        /// Sequence of its first message, or of the next to come.
        var firstSequence: UInt64
        var bytes: Int
        /// Where the next batch goes.
        var end: Int
        /// When the first and the latest of its messages were stored in it, milliseconds since 1970; nil: it has none.
        var times: ClosedRange<UInt64>?
    }
    /// Where messages from `firstSequence` on begin; they reach to the next entry of the same segment, or its end.
    struct IndexEntry {
        var firstSequence: UInt64
        /// Latest so far, so that times ascend though the clock may be set back.
        var time: UInt64
        var segment: UInt32
        var offset: UInt32
    }
    /// Messages in memory.
    struct Run {
        var firstSequence: UInt64
        var bytes: Bytes
        /// Of each message's prefix.
        var offsets: [UInt32]
        var ordinal: UInt64
        /// When its first messages were stored, and from which position on others.
        var time: UInt64
        var laterTimes: [(position: Int, time: UInt64)] = []
        /// Where they do not follow each other: of each its sequence.
        var sequences: [UInt64] = []

        /// Of a message in the run.
        func position(_ sequence: UInt64) -> Int? {
            guard sequences.isEmpty else {
                let last = Journal.lastIndex(sequences.count) { sequences[$0] <= sequence }
                return last.flatMap { sequences[$0] == sequence ? $0 : nil }
            }
            guard sequence >= firstSequence, sequence - firstSequence < UInt64(offsets.count) else { return nil }
            return Int(sequence - firstSequence)
        }

        func time(at position: Int) -> UInt64 { laterTimes.last { $0.position <= position }?.time ?? time }
    }
    /// Where a carried message is: in the batch at `offset`.
    struct Place {
        var sequence: UInt64
        var segment: UInt32
        var offset: UInt32
    }

    var segments: Deque<Segment> = []
    var index: Deque<IndexEntry> = []
    private var indexedBytes = 0
    private var latestTime: UInt64 = 0
    private var recent: Deque<Run> = []
    private var recentBytes = 0
    private var blocks: [Run] = []
    private var blockBytes = 0
    private var lastRun: Run?
    /// Messages before the first that is kept in place, in order of sequence.
    var carried: [Place] = []
    /// Carried, and not known to be on disk: until then they are where they were.
    var moving: Deque<(ordinal: UInt64, places: [Place])> = []

    private var queued: [JournalBatch] = []
    /// Where the writer will have come with each piece of work it has.
    private var writing: Deque<(ordinal: UInt64, segment: UInt32, offset: Int)> = []
    /// Everything before is on disk.
    var durableEnd: (segment: UInt32, offset: Int) = (0, 0)
    public private(set) var queuedBytes = 0
    public internal(set) var lastOrdinal: UInt64 = 0
    public internal(set) var durableOrdinal: UInt64 = 0
    /// Durable mark of the batch appended last.
    public internal(set) var lastMark: UInt64 = 0
    public internal(set) var nextSequence: UInt64 = 1

    /// The next segment: not there, being made, ready, or could not be made.
    enum Next { case absent, preparing, ready }
    var next = Next.absent
    private var removing: [UInt32] = []
    private var removable: [UInt32] = []
    /// Removing failed; not tried again before `retryJobs`.
    private var isRemovalFailing = false
    /// Why the next segment could not be made, until it is.
    public private(set) var prepareFailure: DiskError?

    init(disk: D, options: JournalOptions, identity: JournalIdentity) {
        self.disk = disk
        self.options = options
        self.identity = identity
    }

    /// Messages that a repair gave up, by sequence, in order.
    public internal(set) var lost: [ClosedRange<UInt64>] = []

    /// Those around `sequence`, if it is one of them.
    public func loss(at sequence: UInt64) -> ClosedRange<UInt64>? {
        guard !lost.isEmpty, let last = Self.lastIndex(lost.count, where: { lost[$0].lowerBound <= sequence }),
            lost[last].contains(sequence)
        else { return nil }
        return lost[last]
    }

    /// Oldest sequence from which on all can be read; equals `nextSequence` if there is none. Before it there may be carried ones.
    public var firstSequence: UInt64 { segments.first?.firstSequence ?? nextSequence }
    /// Bytes the segments take on disk.
    public var bytes: Int { begunBytes + (next == .ready ? options.segmentBytes : 0) }
    private var begunBytes: Int { segments.reduce(0) { $0 + $1.bytes } }
    /// Whether no more segments may be begun for messages: with the next, and one more that is free, it would be over its limit.
    public var isAtLimit: Bool { exceedsLimit(with: 2) }
    /// Whether the one that is free beyond that is in use, and another would be over the limit.
    public var isPastLimit: Bool { exceedsLimit(with: 1) }
    private func exceedsLimit(with more: Int) -> Bool {
        options.maxBytes > 0 && begunBytes + more * options.segmentBytes > options.maxBytes
    }

    // MARK: Appending

    /// Bytes of bodies that still fit into the current segment; 0: not even an empty one does.
    public var room: Int {
        guard let current = segments.last else { return 0 }
        return max(0, current.bytes - current.end - BatchHeader.size - 8)
    }
    /// Whether the next segment can be begun.
    public var canRoll: Bool { next == .ready }
    public var isPreparing: Bool { next == .preparing }

    /// Begins the next segment; the caller appends a checkpoint first.
    public mutating func roll() {
        precondition(next == .ready, "the next segment is not ready")
        guard let current = segments.last else { return }
        segments.append(
            Segment(
                number: current.number + 1, firstSequence: nextSequence, bytes: options.segmentBytes, end: SegmentHeader.size))
        next = .absent
        indexedBytes = 0
    }

    /// Queues a batch and returns its ordinal. The caller has made sure that it fits (`room`). `offsets`: of each message's
    /// prefix in the body.
    public mutating func append(_ kind: BatchKind, _ body: Bytes, offsets: [UInt32] = [], time: UInt64) -> UInt64 {
        precondition(room > 0 && body.count <= room, "the batch does not fit into the segment")
        lastOrdinal += 1
        let last = segments.count - 1
        let header = BatchHeader(
            kind: kind, bodyBytes: body.count, ordinal: lastOrdinal, firstSequence: nextSequence, count: offsets.count,
            segment: segments[last].number, time: time, durable: durableOrdinal, seed: identity.seed)
        lastMark = durableOrdinal
        queued.append(JournalBatch(header: header, offset: segments[last].end, body: body))
        queuedBytes += header.totalBytes
        note(header, at: segments[last].end)
        segments[last].end += header.totalBytes
        if !offsets.isEmpty {
            recent.append(
                Run(firstSequence: nextSequence, bytes: body, offsets: offsets, ordinal: lastOrdinal, time: time))
            recentBytes += body.count
            nextSequence += UInt64(offsets.count)
        }
        return lastOrdinal
    }

    /// Adds to the index where needed.
    mutating func note(_ header: BatchHeader, at offset: Int) {
        if header.kind == .lost, header.count > 0 {
            lost.append(header.firstSequence...header.nextSequence - 1)
            // What comes after it needs an entry: within one, sequences follow each other.
            indexedBytes = options.blockBytes
        }
        if header.kind == .messages || header.kind == .carried {
            let last = segments.count - 1
            let first = segments[last].times?.lowerBound ?? header.time
            segments[last].times = first...max(first, segments[last].times?.upperBound ?? 0, header.time)
        }
        guard header.kind == .messages else { return }
        latestTime = max(latestTime, header.time)
        let begins = index.last.map { $0.segment != header.segment } ?? true
        if begins || indexedBytes + header.bodyBytes > options.blockBytes {
            index.append(
                IndexEntry(
                    firstSequence: header.firstSequence, time: latestTime, segment: header.segment, offset: UInt32(offset)))
            indexedBytes = 0
        }
        indexedBytes += header.totalBytes
    }

    /// Everything queued since the last call, for the writer. Nil if there is nothing.
    public mutating func takeWork() -> JournalWork? {
        guard !queued.isEmpty else { return nil }
        let work = JournalWork(batches: queued)
        if let last = queued.last {
            writing.append((last.header.ordinal, last.header.segment, last.offset + last.header.totalBytes))
        }
        queued = []
        queuedBytes = 0
        return work
    }

    /// The writer has synced everything up to this ordinal.
    public mutating func written(_ ordinal: UInt64) {
        durableOrdinal = max(durableOrdinal, ordinal)
        while let first = writing.first, first.ordinal <= ordinal {
            durableEnd = (first.segment, first.offset)
            writing.removeFirst()
        }
        while let first = moving.first, first.ordinal <= ordinal {
            settle(first.places)
            moving.removeFirst()
        }
        while recentBytes > options.recentBytes, recent.count > 1, let first = recent.first, first.ordinal <= durableOrdinal {
            recent.removeFirst()
            recentBytes -= first.bytes.count
        }
    }

    // MARK: Segments

    /// Slow work to be done now, if any: one at a time, `finished` is called before the next is asked for.
    public mutating func takeJob() -> JournalJob? {
        if next == .absent, prepareFailure == nil, let current = segments.last {
            next = .preparing
            return .prepare(
                segment: current.number + 1, bytes: options.segmentBytes, identity: identity.with(newest: current.number + 1))
        }
        if !removable.isEmpty, removing.isEmpty, !isRemovalFailing {
            removing = removable
            removable = []
            return .remove(removing)
        }
        return nil
    }

    /// What came of a job. After a failure, `retryJobs` allows the next attempt.
    public mutating func finished(_ job: JournalJob, _ error: DiskError?) {
        switch job {
        case .prepare:
            next = error == nil ? .ready : .absent
            prepareFailure = error
        case .remove(let segments):
            removing = []
            isRemovalFailing = error != nil
            // First again: a later one that goes before them would leave a hole, and the next start would refuse it.
            if error != nil { removable = segments + removable }
            // What was removed may be the room that was missing.
            if error == nil { prepareFailure = nil }
        }
    }

    /// Whether a job failed and was not allowed another attempt.
    public var isJobFailing: Bool { prepareFailure != nil || isRemovalFailing }

    public mutating func retryJobs() {
        prepareFailure = nil
        isRemovalFailing = false
    }

    /// Lets go of segments below `floor`, the lowest sequence still needed, beyond what is retained. Where there is no space for
    /// the next segment, one goes each time though it would be retained: new messages are worth more than old ones. `now`:
    /// milliseconds since 1970.
    public mutating func release(below floor: UInt64, now: UInt64) {
        var makesRoom = prepareFailure?.code == .full && removable.isEmpty && removing.isEmpty
        let holding = Set(carried.map(\.segment))
        // What sums up everything before must itself be on disk.
        while segments.count > 1, !holding.contains(segments[0].number), segments[1].number <= durableEnd.segment,
            segments[1].firstSequence <= floor,
            bytes > options.retainBytes || isAtLimit || makesRoom || isOutdated(segments[0].number, now: now)
        {
            makesRoom = false
            let gone = segments.removeFirst()
            removable.append(gone.number)
            while let entry = index.first, entry.segment == gone.number { index.removeFirst() }
        }
        let oldest = firstSequence
        blocks.removeAll { $0.firstSequence < oldest }
        blockBytes = blocks.reduce(0) { $0 + $1.bytes.count }
        if let run = lastRun, run.firstSequence < oldest { lastRun = nil }
    }

    /// Whether every message of a segment is older than what is retained.
    public func isOutdated(_ segment: UInt32, now: UInt64) -> Bool {
        guard let times = segments.first(where: { $0.number == segment })?.times else { return true }
        return times.upperBound + options.retainAge < now
    }

    /// Whether the current segment is to be closed though there is room in it: it would keep its first message too long.
    public func isAged(now: UInt64) -> Bool {
        guard let first = segments.last?.times?.lowerBound else { return false }
        return first + options.rollAge < now
    }

    // MARK: Reading

    /// A durable message; nil if it is not kept (any more).
    ///
    /// - Throws: `JournalError.corrupt` if its bytes have changed on disk.
    public mutating func message(_ sequence: UInt64) throws(JournalError) -> MessageSlice? {
        if let run = lastRun, let position = run.position(sequence) { return Self.slice(run, position) }
        guard loss(at: sequence) == nil, let run = try run(of: sequence), let position = run.position(sequence) else {
            return nil
        }
        lastRun = run
        return Self.slice(run, position)
    }

    /// The same, with the time when it was stored, milliseconds since 1970.
    public mutating func timedMessage(_ sequence: UInt64) throws(JournalError) -> (slice: MessageSlice, time: UInt64)? {
        guard let slice = try message(sequence), let run = lastRun, let position = run.position(sequence) else { return nil }
        return (slice, run.time(at: position))
    }

    private static func slice(_ run: Run, _ position: Int) -> MessageSlice {
        let offset = Int(run.offsets[position])
        let length = Int(run.bytes.buffer.bigEndian(UInt32.self, at: offset + 1))
        return MessageSlice(bytes: run.bytes, offset: offset, count: LengthPrefixed.prefixSize + length)
    }

    private mutating func run(of sequence: UInt64) throws(JournalError) -> Run? {
        if let oldest = recent.first, sequence >= oldest.firstSequence {
            let position = Self.lastIndex(recent.count) { recent[$0].firstSequence <= sequence }
            return position.map { recent[$0] }
        }
        if let position = blocks.firstIndex(where: { $0.position(sequence) != nil }) {
            // Used last goes last.
            let block = blocks.remove(at: position)
            blocks.append(block)
            return block
        }
        if sequence < firstSequence {
            guard let block = try carriedRun(of: sequence) else { return nil }
            return remember(block)
        }
        guard let position = Self.lastIndex(index.count, where: { index[$0].firstSequence <= sequence }) else { return nil }
        guard let block = try read(position) else { return nil }
        // The last block may still grow.
        return position + 1 < index.count ? remember(block) : block
    }

    private mutating func remember(_ block: Run) -> Run {
        blocks.append(block)
        blockBytes += block.bytes.count
        while blockBytes > options.blockCacheBytes, blocks.count > 1 { blockBytes -= blocks.removeFirst().bytes.count }
        return block
    }

    /// The last position that satisfies `condition`, which holds for a prefix of the positions.
    static func lastIndex(_ count: Int, where condition: (Int) -> Bool) -> Int? {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if condition(middle) { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? nil : low - 1
    }

    /// Sequence of the first message stored at or after `time` (milliseconds since 1970), to the grain of the index; that of the
    /// next to come where there is none.
    public func sequence(at time: UInt64) -> UInt64 {
        guard time <= latestTime else { return nextSequence }
        guard let position = Self.lastIndex(index.count, where: { index[$0].time < time }) else { return firstSequence }
        return index[position].firstSequence
    }
}
