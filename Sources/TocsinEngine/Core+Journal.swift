import TocsinCore
import TocsinJournal
import TocsinWire

extension Core {
    /// One batch of the journal, in order. Throws `JournalError.format` for one that no hub of this version has written.
    mutating func replay(_ batch: RecoveredBatch) throws {
        let header = batch.header
        beginReplay(firstSequence: header.firstSequence)
        do {
            switch header.kind {
            case .messages: try replayMessages(batch.body, firstSequence: header.firstSequence, time: header.time)
            case .control, .checkpoint: try replayControl(batch.body)
            case .lost: try replayLost(firstSequence: header.firstSequence, count: header.count, records: batch.body)
            case .carried:
                let carried = try CarriedBody(batch.body)
                try replayCarried(carried.messages, records: carried.records) {
                    (carried[$0].sequence, carried[$0].time, carried[$0].pools)
                }
            case .mark: break
            }
        } catch {
            throw JournalError(.format, "batch \(header.ordinal) of the journal: \(error)")
        }
        guard header.kind != .messages || lastSequence + 1 == header.nextSequence else {
            throw JournalError(.format, "batch \(header.ordinal) of the journal has other messages than it counts")
        }
    }
}
