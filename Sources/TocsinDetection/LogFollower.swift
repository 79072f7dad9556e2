import Logging
import Synchronization
import TocsinDomain
import TocsinKit
import TocsinPosix
import TocsinSystem

/// Follows one log file and makes events of its lines. The position is written down after the events were taken; the ids of
/// events come from the file's content and the offset of the line, so what is read again after a crash is dropped by the hub.
final class LogFollower: Sendable {
    /// Events in one publish, and bytes of lines in them.
    static let batchEvents = 1000
    static let batchBytes = 2 << 20
    static let summaryBytes = 512
    /// Chunks read in one call, whether or not a line in them matches: other logs wait for the same few threads.
    static let chunksMax = 64

    private let maker: EventMaker
    private let file: StateFile<LogState>
    private let logger: Logger
    private let work: Mutex<Work>

    private struct Work: ~Copyable {
        var tail: LogTail
        let matcher: LogMatcher
        var savedState: LogState?
        /// The last save failed, which was said.
        var saveFailed = false
    }

    /// Blocking: reads the state and opens the file.
    init(detector: String, spoolDirectory: String, check: Check, log: LogCheck, logger: Logger) throws {
        maker = EventMaker(detector: detector, check: check)
        file = StateFile(path: statePath(spoolDirectory, "log", detector, check.name))
        self.logger = logger
        var state: LogState?
        do {
            state = try file.load()
        } catch {
            logger.error("\(error)")
        }
        let tail = LogTail(path: log.path, fromStart: log.fromStart, rotateWait: log.rotateWait, state: state)
        work = Mutex(Work(tail: tail, matcher: try LogMatcher(log.patterns), savedState: state))
    }

    struct Batch: Sendable {
        var events: [Message]
        /// Nothing more to read for now.
        var atEnd: Bool
    }

    /// Reads on until there are enough events or the end is reached. Blocking; ends early when cancelled.
    func next(now: Duration, cancelled: CancellationSignal) throws -> Batch {
        try work.withLock { work in
            var batch = Batch(events: [], atEnd: false)
            var bytes = 0
            var chunks = 0
            let observedAt = MachineClock.wall()
            while !cancelled.isSet && !batch.atEnd && chunks < Self.chunksMax && batch.events.count < Self.batchEvents
                && bytes < Self.batchBytes
            {
                chunks += 1
                // A new generation is on disk before events carry it: read again after a crash, they have the same ids. But
                // the position is not written past events that are not delivered yet; `save` does it after that.
                if work.tail.unsavedGeneration {
                    if !batch.events.isEmpty { break }
                    saveState(&work)
                }
                let contentID = work.tail.contentID
                var failure: (any Error)?
                do {
                    batch.atEnd =
                        !(try work.tail.read(now: now) { line in
                            guard let match = work.matcher.match(line.bytes) else { return true }
                            do {
                                batch.events.append(
                                    try event(line, match, contentID: contentID, observedAt: observedAt))
                            } catch {
                                failure = error
                            }
                            bytes += line.bytes.count
                            return batch.events.count < Self.batchEvents && bytes < Self.batchBytes
                        })
                } catch  where !batch.events.isEmpty {
                    // The position is past these events: they go out first, and the next call meets the error again.
                    break
                }
                if let failure { logger.error("a line of \(work.tail.path) could not be made an event: \(failure)") }
                for notice in work.tail.notices { logger.notice("\(notice)") }
                work.tail.notices = []
            }
            return batch
        }
    }

    /// Writes the position down. Blocking. A failure is logged: following goes on, and a crash before the next success has lines
    /// reported twice rather than not at all.
    func save() {
        work.withLock { saveState(&$0) }
    }

    private func saveState(_ work: inout Work) {
        work.tail.unsavedGeneration = false
        guard work.tail.state != work.savedState else { return }
        do {
            try file.save(work.tail.state)
            work.savedState = work.tail.state
            work.saveFailed = false
        } catch {
            if !work.saveFailed { logger.warning("\(error)") }
            work.saveFailed = true
        }
    }

    private func event(
        _ line: LogTail.Line, _ match: LogMatcher.Match, contentID: String, observedAt: UInt64
    ) throws -> Message {
        let check = maker.check
        var labels = maker.baseLabels
        for capture in match.captures { labels[capture.name] = capture.value }
        var details = maker.baseDetails
        details["offset"] = String(line.offset)
        if line.bytes.count > Self.summaryBytes { details["line"] = text(line.bytes, limit: LogTail.lineLimit) }
        if line.truncated { details["truncated"] = "true" }
        return try maker.message(
            EventMaker.Content(
                id: "log-\(contentID)-\(String(line.offset, radix: 16))",
                kind: match.pattern.resolve ? .resolve : .trigger,
                service: match.pattern.service ?? check.service, summary: text(line.bytes, limit: Self.summaryBytes),
                severity: match.pattern.severity ?? check.severity, dedupKey: match.dedupKey, labels: labels,
                details: details, observedAt: observedAt))
    }
}

/// Where a check's state is kept: `<spool>/<kind>.<detector>.<check>.state`. Dots, which tokens do not have, so that detectors
/// which share a folder never share a file.
func statePath(_ directory: String, _ kind: String, _ detector: String, _ check: String) -> String {
    "\(directory)/\(kind).\(fileToken(detector)).\(fileToken(check)).state"
}
