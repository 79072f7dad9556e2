import Glibc
import Logging
import Synchronization
import TocsinPosix
import TocsinSystem
import TocsinWire

/// Why the ledger cannot be used.
struct LedgerError: Error, CustomStringConvertible {
    var description: String
}

/// What this responder has begun and done, on disk, so that after a crash a change that is delivered again is continued
/// and not repeated.
///
/// The ledger belongs to one process and its directory. Within its reach each runbook runs once for each change. When
/// the hub gives a change to a responder on another host (because this one died, or kept a delivery longer than the
/// pool's visibility time), that one knows nothing of this ledger and begins the runbook again: its lease and
/// redelivery are what moves work between hosts, and steps that must never run twice need a guard of their own in what
/// they act on.
///
/// Bounded: the last `remembered` runs and notifications are kept; the file is rewritten when it has grown to twice
/// what that needs. Thread-safe. Writes happen one after another on a thread of the ledger's own and are synced before
/// they return.
final class Ledger: Sendable {
    static let remembered = 8192

    private let file: LedgerFile
    private let pool = BlockingPool(threads: 1)
    private let state: Mutex<LedgerState>

    private init(file: LedgerFile, state: LedgerState) {
        self.file = file
        self.state = Mutex(state)
    }

    /// Opens `directory/name.ledger` and reads it; a last line that a crash cut off is removed and logged. Creates what
    /// is absent.
    ///
    /// - Throws: `LedgerError` if the file cannot be read or written, is damaged before its end, or belongs to another
    ///   running process.
    static func open(directory: String, name: String, logger: Logger) async throws -> Ledger {
        let path = "\(directory)/\(Subject.token(name)).ledger"
        let opening = BlockingPool(threads: 1)
        return try await opening.run { _ in
            try makeDirectory(directory)
            let (file, state) = try LedgerFile.open(path, logger: logger)
            return Ledger(file: file, state: state)
        }
    }

    func run(_ id: String) -> RunRecord? { state.withLock { $0.runs[id]?.value } }
    func notification(_ id: String) -> NotificationOutcome? { state.withLock { $0.notifications[id]?.value } }

    /// Returns when the entry is on disk. Also when the calling task is cancelled: what was done must be remembered.
    ///
    /// - Throws: `LedgerError`; the entry is then not recorded.
    func record(_ entry: LedgerEntry) async throws {
        let line = try LedgerLine.encode(entry)
        try await Task {
            try await self.pool.run { _ in
                try self.file.append(line)
                // Only this thread changes the state, so it is that of the file.
                let compacted = self.state.withLock { state in
                    state.apply(entry)
                    guard self.file.isDueForCompaction else { return [LedgerEntry]?.none }
                    state.trim(to: Self.remembered)
                    return state.entries
                }
                if let compacted { self.file.compact(to: try compacted.map(LedgerLine.encode)) }
            }
        }.value
    }

    /// Gives the file to whoever opens it next. Nothing can be recorded after it.
    func close() async throws {
        try await Task { try await self.pool.run { _ in self.file.closeAll() } }.value
    }

    private static func makeDirectory(_ path: String) throws {
        if let missing = Folder.make(path, mode: 0o755) {
            throw LedgerError(description: "the folder \(missing) cannot be created: \(errorText(errno))")
        }
    }
}

/// The file of a ledger. Blocking, and used by one thread at a time.
private final class LedgerFile: @unchecked Sendable {
    // Sound because only `Ledger.open` and then the one thread of the ledger's pool touch it.
    private let path: String
    /// Held locked for as long as the ledger is open. Not the ledger itself, as compaction replaces that.
    private var lock: Int32
    /// -1: closed, or not to be written any more.
    private var descriptor: Int32
    private var length: Int
    private var compactedLength: Int
    private let logger: Logger

    private init(path: String, lock: Int32, descriptor: Int32, length: Int, logger: Logger) {
        self.path = path
        self.lock = lock
        self.descriptor = descriptor
        self.length = length
        compactedLength = length
        self.logger = logger
    }

    deinit { closeAll() }

    func closeAll() {
        abandon()
        if lock >= 0 {
            // By closing alone it would stay locked as long as a child process that was just begun has not closed its
            // copy.
            flock(lock, LOCK_UN)
            close(lock)
        }
        lock = -1
    }

    /// No more writes: what the file holds is not known until it is read again.
    private func abandon() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }

    var isDueForCompaction: Bool { length > 2 * compactedLength + (256 << 10) }

    static func open(_ path: String, logger: Logger) throws -> (LedgerFile, LedgerState) {
        let lock = Glibc.open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw failure(path + ".lock", "opened") }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            close(lock)
            throw LedgerError(
                description: "\(path) is used by another responder; give each its own name or directory")
        }
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            let error = failure(path, "opened")
            close(lock)
            throw error
        }
        let file = LedgerFile(path: path, lock: lock, descriptor: descriptor, length: 0, logger: logger)
        try file.syncFolder()
        return (file, try file.load())
    }

    /// Bad bytes that no good line follows are what a crash left of the last write. A good line after them means that
    /// something else changed the file, and what it said must not be guessed at.
    private func load() throws -> LedgerState {
        let bytes = try readAll()
        var state = LedgerState()
        var good = 0
        var lineNumber = 0
        var rest = bytes[...]
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            lineNumber += 1
            if let entry = LedgerLine.decode(rest[..<end]) {
                guard rest.startIndex == good else {
                    throw LedgerError(
                        description: "\(path) is damaged before line \(lineNumber); move it away to begin a new one "
                            + "(runs that were interrupted may then be repeated)")
                }
                state.apply(entry)
                good = end + 1
            }
            rest = bytes[(end + 1)...]
        }
        if good < bytes.count {
            logger.warning(
                "the ledger's last line was cut off by a crash and is removed",
                metadata: ["file": "\(path)", "bytes": "\(bytes.count - good)"])
            guard ftruncate(descriptor, off_t(good)) == 0, fdatasync(descriptor) == 0 else {
                throw Self.failure(path, "repaired")
            }
        }
        length = good
        compactedLength = good
        return state
    }

    private func readAll() throws -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = pread(descriptor, &buffer, buffer.count, off_t(bytes.count))
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw Self.failure(path, "read") }
            if count == 0 { return bytes }
            bytes += buffer.prefix(count)
        }
    }

    func append(_ line: [UInt8]) throws {
        guard descriptor >= 0 else {
            throw LedgerError(description: "\(path) can no longer be written; restart the responder")
        }
        do {
            try write(line, to: descriptor, path)
        } catch {
            // What was written of the line must go, or the next would follow a torn one.
            if ftruncate(descriptor, off_t(length)) != 0 { abandon() }
            throw error
        }
        guard fdatasync(descriptor) == 0 else {
            // Never tried again: the kernel forgets which pages it could not write.
            let error = Self.failure(path, "synced")
            abandon()
            throw error
        }
        length += line.count
    }

    /// After a crash the ledger is the old file or the new one. A failure leaves the old one in use, until it has grown
    /// as much again; it is logged, as nothing is lost.
    func compact(to lines: [[UInt8]]) {
        compactedLength = length
        let temporary = path + ".new"
        let new = Glibc.open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0o600)
        do {
            guard new >= 0 else { throw Self.failure(temporary, "created") }
            try write(Array(lines.joined()), to: new, temporary)
            guard fdatasync(new) == 0 else { throw Self.failure(temporary, "synced") }
            guard rename(temporary, path) == 0 else { throw Self.failure(temporary, "renamed") }
        } catch {
            if new >= 0 { close(new) }
            logger.warning("the ledger was not compacted", metadata: ["reason": "\(error)"])
            return
        }
        close(descriptor)
        descriptor = new
        length = lines.reduce(0) { $0 + $1.count }
        compactedLength = length
        do {
            try syncFolder()
        } catch {
            // A power failure could bring the old file back, without what would be written from now on.
            abandon()
            logger.error("the ledger was not compacted", metadata: ["reason": "\(error)"])
        }
    }

    private func write(_ bytes: [UInt8], to descriptor: Int32, _ path: String) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw Self.failure(path, "written") }
            rest = rest.dropFirst(count)
        }
    }

    private func syncFolder() throws {
        let end = path.lastIndex(of: "/") ?? path.startIndex
        let folder = path[..<end].isEmpty ? "/" : String(path[..<end])
        let descriptor = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure(folder, "opened") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw Self.failure(folder, "synced") }
    }

    private static func failure(_ path: String, _ verb: String) -> LedgerError {
        LedgerError(description: "\(path) cannot be \(verb): \(errorText(errno))")
    }
}
