import Logging
import Synchronization
import TocsinKit
import TocsinPosix
import TocsinSystem

/// What was read of a log at one time.
struct LogBatch: Sendable {
    var events: [Message]
    /// Nothing more to read for now.
    var atEnd: Bool
}

/// Follows one log, wherever it is kept.
protocol LineSource: Sendable {
    /// Reads on until there are enough events or the end is reached.
    func next(pool: BlockingPool) async throws -> LogBatch
    /// Writes the position down: the events of all batches so far are delivered.
    func save(pool: BlockingPool) async throws
}

/// Follows one log file and makes events of its lines. The position is written down after the events were taken; the ids of
/// events come from the file's content and the offset of the line, so what is read again after a crash is dropped by the hub.
final class LogFollower: LineSource {
    /// Events in one publish, and bytes of lines in them.
    static let batchEvents = 1000
    static let batchBytes = 2 << 20
    /// Chunks read in one call, whether or not a line in them matches: other logs wait for the same few threads.
    static let chunksMax = 64

    private let file: StateFile<LogState>
    private let logger: Logger
    private let work: Mutex<Work>

    private struct Work: ~Copyable {
        var tail: LogTail
        var lines: LineEvents
        var savedState: LogState?
        /// The last save failed, which was said.
        var saveFailed = false
    }

    /// Blocking: reads the state and opens the file.
    init(
        path: String, detector: String, spoolDirectory: String, check: Check, log: LogCheck, logger: Logger
    ) throws(ConfigurationProblem) {
        file = StateFile(path: statePath(spoolDirectory, "log", detector, check.name))
        self.logger = logger
        var state: LogState?
        do {
            state = try file.load()
        } catch {
            logger.error("\(error)")
        }
        let tail = LogTail(path: path, fromStart: log.fromStart, rotateWait: log.rotateWait, state: state)
        let lines = try LineEvents(detector: detector, directory: spoolDirectory, check: check, log: log) {
            logger.error("\($0)")
        }
        work = Mutex(Work(tail: tail, lines: lines, savedState: state))
    }

    func next(pool: BlockingPool) async throws -> LogBatch {
        try await pool.run { try self.next(now: monotonicNow(), cancelled: $0) }
    }

    func save(pool: BlockingPool) async throws { try await pool.run { _ in self.save() } }

    /// Blocking; ends early when cancelled. `nowMs`: milliseconds since 1970.
    func next(
        now: Duration, nowMs: UInt64 = MachineClock.wall(), cancelled: CancellationSignal
    ) throws -> LogBatch {
        try work.withLock { work in
            var batch = LogBatch(events: [], atEnd: false)
            var bytes = 0
            var chunks = 0
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
                            do {
                                let line = LogLine(
                                    id: "log-\(contentID)-\(String(line.offset, radix: 16))", bytes: line.bytes,
                                    isCut: line.truncated, details: ["offset": String(line.offset)])
                                guard let event = try work.lines.take(line, observedAt: nowMs) else { return true }
                                batch.events.append(event)
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
            batch.events += try work.lines.look(nowMs: nowMs, atEnd: batch.atEnd)
            if let notice = work.lines.notice(now: now) { logger.notice("\(work.tail.path): \(notice)") }
            return batch
        }
    }

    /// Writes the position down. Blocking. A failure is logged: following goes on, and a crash before the next success has lines
    /// reported twice rather than not at all.
    func save() {
        work.withLock { work in
            saveState(&work)
            do {
                try work.lines.save()
            } catch {
                logger.warning("\(error)")
            }
        }
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
}

/// Where a check's state is kept: `<spool>/<kind>.<detector>.<check>.state`. Dots, which tokens do not have, so that detectors
/// which share a folder never share a file.
func statePath(_ directory: String, _ kind: String, _ detector: String, _ check: String) -> String {
    "\(directory)/\(kind).\(fileToken(detector)).\(fileToken(check)).state"
}
