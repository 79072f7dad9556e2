import Crypto
import FoundationEssentials
import Glibc
import Logging
import Synchronization
import TocsinDomain
import TocsinKit
import TocsinPosix
import TocsinSystem

/// What is kept on disk of a followed journal.
struct JournalState: Codable, Sendable, Equatable {
    /// Of the last entry whose event was delivered; nil: the journal is read from its start.
    var cursor: String?
}

/// Follows systemd's journal: asks `journalctl` for what came after the last entry, again and again. The cursor is written down
/// after the events were taken; the ids of events are made of the cursors, so what is read again after a crash is dropped by
/// the hub. Of a message longer than 4 KiB journalctl tells only that it is there.
final class JournalFollower: LineSource {
    /// Entries asked for at once, and bytes of them as JSON.
    static let entriesMax = 2000
    static let outputMax = 16 << 20
    static let timeout = Duration.seconds(30)

    private let program: String
    private let arguments: [String]
    private let fromStart: Bool
    private let checkName: String
    private let file: StateFile<JournalState>
    private let logger: Logger
    private let work: Mutex<Work>

    private struct Work: ~Copyable {
        var lines: LineEvents
        /// Nil: not followed before.
        var state: JournalState?
        var savedState: JournalState?
    }

    /// Blocking: reads the state.
    ///
    /// - Throws: `ConfigurationProblem` if there is no journalctl.
    init(
        units: [String], detector: String, spoolDirectory: String, check: Check, log: LogCheck, logger: Logger,
        program: String = "journalctl"
    ) throws(ConfigurationProblem) {
        guard Self.isThere(program) else {
            throw ConfigurationProblem(
                "\(program) is not in PATH, so there is no journal to follow; install systemd, or follow a file with \"path\""
            )
        }
        self.program = program
        arguments = ["--quiet", "--no-pager", "--output=json"] + units.map { "--unit=\($0)" }
        fromStart = log.fromStart
        checkName = check.name
        file = StateFile(path: statePath(spoolDirectory, "journal", detector, check.name))
        self.logger = logger
        var state: JournalState?
        do {
            state = try file.load()
        } catch {
            logger.error("\(error)")
        }
        let lines = try LineEvents(detector: detector, directory: spoolDirectory, check: check, log: log) {
            logger.error("\($0)")
        }
        work = Mutex(Work(lines: lines, state: state, savedState: state))
    }

    private static func isThere(_ program: String) -> Bool {
        if program.contains("/") { return access(program, X_OK) == 0 }
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        return path.split(separator: ":").contains { access("\($0)/\(program)", X_OK) == 0 }
    }

    func next(pool: BlockingPool) async throws -> LogBatch {
        guard let state = work.withLock({ $0.state }) else {
            try await begin(pool: pool)
            return LogBatch(events: [], atEnd: false)
        }
        let after = state.cursor.map { ["--after-cursor=\($0)"] } ?? []
        let entries = try await entries(after, pool: pool)
        return try work.withLock { work in
            var batch = LogBatch(events: [], atEnd: entries.count < Self.entriesMax / 2)
            let now = MachineClock.wall()
            for entry in entries {
                if let event = try take(entry, &work.lines, observedAt: now) { batch.events.append(event) }
                work.state = JournalState(cursor: entry.cursor)
            }
            batch.events += try work.lines.look(nowMs: now, atEnd: batch.atEnd)
            if let notice = work.lines.notice(now: monotonicNow()) { logger.notice("the journal: \(notice)") }
            return batch
        }
    }

    func save(pool: BlockingPool) async throws {
        try await pool.run { [self] _ in
            work.withLock { work in
                do {
                    try work.lines.save()
                    guard let state = work.state, state != work.savedState else { return }
                    try file.save(state)
                    work.savedState = state
                } catch {
                    logger.warning("\(error)")
                }
            }
        }
    }

    /// Where to begin what was never followed: at the start, or behind the newest entry.
    private func begin(pool: BlockingPool) async throws {
        let newest = fromStart ? nil : try await entries(["--lines=1"], pool: pool).last?.cursor
        work.withLock { $0.state = JournalState(cursor: newest) }
    }

    private func take(_ entry: JournalEntry, _ lines: inout LineEvents, observedAt: UInt64) throws -> Message? {
        let id = SHA256.hash(data: Array("\(checkName)\u{0}\(entry.cursor)".utf8)).prefix(12).hexadecimal
        let message = entry.message ?? Array("(a message too long to be shown)".utf8)
        return try message.withUnsafeBytes { bytes in
            let line = LogLine(
                id: "journal-\(id)", bytes: UnsafeRawBufferPointer(rebasing: bytes.prefix(LineEvents.lineBytes)),
                isCut: entry.message == nil || bytes.count > LineEvents.lineBytes,
                labels: entry.unit.map { ["unit": $0] } ?? [:],
                details: entry.identifier.map { ["identifier": $0] } ?? [:])
            return try lines.take(line, observedAt: observedAt)
        }
    }

    /// - Throws: `StateFileError` with what journalctl complained about; `SubprocessError`, `CancellationError`.
    private func entries(_ more: [String], pool: BlockingPool) async throws -> [JournalEntry] {
        // `head` ends it early: journalctl itself can only be asked for the last entries, not for the first.
        let script = "\"$@\" | head -n \(Self.entriesMax)"
        let result = try await Subprocess.run(
            ["sh", "-c", script, "sh", program] + arguments + more, timeout: Self.timeout, outputLimit: Self.outputMax,
            pool: pool)
        // What the limit cut off has no line ending.
        let complete = result.stdout.lastIndex(of: 0x0A).map { result.stdout[...$0] } ?? []
        let entries = complete.split(separator: 0x0A).compactMap { line -> JournalEntry? in
            do {
                return try JSONDecoder().decode(JournalEntry.self, from: Data(line))
            } catch {
                logger.error("an entry of the journal cannot be read and is left out: \(error)")
                return nil
            }
        }
        if entries.isEmpty, !result.stderr.isEmpty || result.timedOut {
            let complaint = result.stderr.withUnsafeBytes { text($0, limit: 300) }
            throw StateFileError(
                description: "the journal cannot be read: \(complaint.isEmpty ? result.outcome : complaint)")
        }
        return entries
    }
}

/// What journalctl says of one entry.
private struct JournalEntry: Decodable {
    var cursor: String
    /// Nil if it is too long.
    var message: [UInt8]?
    var unit: String?
    var identifier: String?

    private enum CodingKeys: String, CodingKey {
        case cursor = "__CURSOR"
        case message = "MESSAGE"
        case unit = "_SYSTEMD_UNIT"
        case identifier = "SYSLOG_IDENTIFIER"
    }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        cursor = try fields.decode(String.self, forKey: .cursor)
        message = try fields.decodeIfPresent(Bytes.self, forKey: .message)?.bytes
        unit = try fields.decodeIfPresent(Bytes.self, forKey: .unit)?.text
        identifier = try fields.decodeIfPresent(Bytes.self, forKey: .identifier)?.text
    }

    /// Text is a string, other bytes a list of numbers, several values a list of these: the first is taken.
    private struct Bytes: Decodable {
        var bytes: [UInt8]
        var text: String { String(decoding: bytes, as: UTF8.self) }

        init(from decoder: any Decoder) throws {
            do {
                bytes = Array(try decoder.singleValueContainer().decode(String.self).utf8)
            } catch DecodingError.typeMismatch {
                var values = try decoder.unkeyedContainer()
                do {
                    bytes = try values.decode(Bytes.self).bytes
                } catch DecodingError.typeMismatch {
                    bytes = try decoder.singleValueContainer().decode([UInt8].self)
                }
            }
        }
    }
}
