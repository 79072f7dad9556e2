import TocsinCore
import TocsinJournal
import TocsinWire

/// What is left to be carried out of one segment.
struct Compaction {
    var segment: UInt32
    /// Its end: what is needed below was carried when `left` is empty.
    var end: UInt64
    /// In order.
    var left: ArraySlice<UInt64>
}

/// One dead letter, or one message for next month, must not hold all segments after it. Where little of what is kept is needed,
/// what is needed of the oldest segments is stored again at the end of the journal, a little each turn.
extension Engine {
    /// Carried at once at most: what one turn spends on it.
    private static var carriedAtOnce: Int { 256 }
    private var carriedBytesAtOnce: Int { min(256 << 10, journal.options.segmentBytes / 4) }
    /// Whether what carrying frees is worth its cost: where no more than a quarter of the messages is needed, that is a third of
    /// it. A journal at its limit cannot choose: there, up to three quarters.
    private func isWorthwhile(needed: Int, of messages: Int) -> Bool {
        needed * 4 <= (journal.isAtLimit ? 3 * messages : messages)
    }

    /// Begins with the next segment, if it is worth it: it would be released if nothing in it was needed.
    mutating func considerCompaction(_ now: Moment) {
        // Past the limit it would take more than it frees.
        guard compaction == nil, !journal.isPastLimit, core.canRestate, let next = journal.compactable(from: carriedBelow),
            next.messages.upperBound <= dedupFloor(now)
        else { return }
        let bytes = journal.bytes(from: next.segment)
        let isFull = journal.isAtLimit || journal.prepareFailure?.code == .full
        guard bytes > journal.options.retainBytes || isFull || journal.isOutdated(next.segment, now: now.wall) else { return }
        let messages = Int(journal.nextSequence - next.messages.lowerBound) + journal.carriedCount
        guard isWorthwhile(needed: core.neededMost, of: messages) else { return }
        let needed = journal.carried(in: next.segment) + core.needed(in: next.messages)
        compaction = Compaction(segment: next.segment, end: next.messages.upperBound, left: needed[...])
    }

    /// Carries some of what is left. True if there is more that could go at once.
    mutating func compact(_ now: Moment) throws -> Bool {
        guard let current = compaction else { return false }
        guard core.catchUp == nil else {
            compaction = nil
            return false
        }
        // Behind what comes from publishers.
        guard journal.queuedBytes < carriedBytesAtOnce, flushControl(now) else { return false }
        let batch = try gather(current.left)
        if !batch.rows.isEmpty {
            // Half of what is kept for settlements may go for it: what it frees is more, and a message as large as a publish may
            // be is larger with what is known of it.
            switch makeRoom(max(0, batch.size - reserve / 2), now) {
            case .ready: break
            case .soon: return false
            case .never:
                // Tried again when something is released the next time.
                compaction = nil
                return false
            }
            let ordinal = journal.carry(batch.rows, records: Bytes(batch.records), batch.messages, time: now.wall)
            noteAppended(ordinal, .carried, now)
        }
        compaction?.left = batch.rest
        guard batch.rest.isEmpty else { return true }
        compaction = nil
        carriedBelow = max(carriedBelow, current.end)
        release(now)
        return compaction != nil
    }

    private struct Batch {
        var rows: [CarriedBody.Row] = []
        var records: [UInt8] = []
        var messages: [MessageSlice] = []
        var messageBytes = 0
        var rest: ArraySlice<UInt64>
        var size: Int { CarriedBody.size(rows: rows.count, recordBytes: records.count, messageBytes: messageBytes) }
    }

    /// What goes into one batch, and what is left after it.
    private mutating func gather(_ left: ArraySlice<UInt64>) throws -> Batch {
        var batch = Batch(rest: left)
        while batch.rows.count < Self.carriedAtOnce, batch.size < carriedBytesAtOnce, let sequence = batch.rest.first {
            let (pools, records) = core.restated(sequence)
            guard pools != 0, let (slice, time) = try journal.timedMessage(sequence) else {
                batch.rest.removeFirst()
                continue
            }
            // One that is large goes alone.
            guard batch.rows.isEmpty || batch.messageBytes + slice.count <= carriedBytesAtOnce else { break }
            batch.rest.removeFirst()
            batch.rows.append(.init(sequence: sequence, time: time, pools: pools))
            batch.records += records
            batch.messages.append(slice)
            batch.messageBytes += slice.count
        }
        return batch
    }
}
