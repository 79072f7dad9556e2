import Glibc
import Logging
import Synchronization
import TocsinTransport
import TocsinWire

/// Keeps messages on disk while the hub is away, and publishes them in order when it is back. File work is done on a thread
/// of its own. Thread-safe.
final class Spool: Sendable {
    /// Publishes a batch and completes the ticket. Gets in the way of nobody: the spool has one batch under way at a time.
    typealias Publisher = @Sendable (EncodedBatch, Ticket) -> Void

    private let inbox: SpoolInbox
    /// Messages in the spool, those being written included.
    var count: Int { inbox.count.load(ordering: .acquiring) }

    /// Opens the files and starts the thread. Blocking.
    ///
    /// - Parameter subjectPatience: milliseconds for which a subject that the hub does not know is tried again; it becomes known
    ///   when the pool that takes it is declared.
    /// - Throws: `ClientError.badOption` if the folder is in use; `spoolFailed`.
    init(
        directory: String, bytesMax: Int, logger: Logger, subjectPatience: Int64 = 60_000,
        isConnected: @escaping @Sendable () -> Bool, publisher: @escaping Publisher
    ) throws(ClientError) {
        inbox = try SpoolInbox()
        let worker = SpoolWorker(
            files: try SpoolFiles(directory: directory, bytesMax: bytesMax), inbox: inbox, logger: logger,
            subjectPatience: subjectPatience, isConnected: isConnected, publisher: publisher)
        // Sound: the thread has the only reference from here on.
        nonisolated(unsafe) let owned = worker
        try startThread("spool") { owned.run() }
    }

    /// Returns when `batch` is on disk.
    ///
    /// - Throws: `ClientError.spoolFull`, `spoolFailed`, `closed`. A cancelled task leaves without knowing.
    func append(_ batch: EncodedBatch) async throws {
        let ticket = Ticket()
        inbox.count.add(batch.count, ordering: .acquiringAndReleasing)
        guard inbox.post(.append(batch, ticket)) else {
            inbox.count.subtract(batch.count, ordering: .acquiringAndReleasing)
            throw ClientError.closed
        }
        _ = try await ticket.value()
    }

    /// The hub is there: begin to publish.
    func wake() { _ = inbox.post(.wake) }

    /// Lets go of the files. Appends under way are finished, later ones are `closed`.
    func close() async {
        let ticket = Ticket()
        guard inbox.post(.close(ticket)) else { return }
        do {
            _ = try await ticket.value()
        } catch {
            // Only this task was cancelled; the thread ends all the same.
        }
    }

    deinit { _ = inbox.post(.close(nil)) }
}

private enum SpoolCommand: Sendable {
    case append(EncodedBatch, Ticket)
    case wake
    case published(Result<Answer, any Error>)
    case close(Ticket?)
}

private final class SpoolInbox: Sendable {
    private let state = Mutex((commands: [SpoolCommand](), closed: false))
    let events: EventCounter
    let count = Atomic<Int>(0)

    init() throws(ClientError) {
        do {
            events = try EventCounter()
        } catch {
            throw .spoolFailed("\(error)")
        }
    }

    /// False once closed. Callers wait for their appends, so there are no more of these than tasks.
    func post(_ command: SpoolCommand) -> Bool {
        let taken = state.withLock { state in
            if state.closed { return false }
            state.commands.append(command)
            return true
        }
        if taken { events.signal() }
        return taken
    }

    func take() -> [SpoolCommand] {
        events.drain()
        return state.withLock { state in
            defer { state.commands = [] }
            return state.commands
        }
    }

    func close() -> [SpoolCommand] {
        state.withLock { state in
            state.closed = true
            return state.commands
        }
    }
}

/// The spool's thread.
private final class SpoolWorker {
    private let files: SpoolFiles
    private let inbox: SpoolInbox
    private let logger: Logger
    private let subjectPatience: Int64
    private let isConnected: @Sendable () -> Bool
    private let publisher: Spool.Publisher
    /// Read from the files and given to the hub; not answered yet.
    private var underWay: SpoolFiles.Chunk?
    /// After a failure nothing is published before then.
    private var pausedUntil: Int64 = 0
    /// Since when subjects have not been known to this hub.
    private var unknownSince: Int64?
    /// Since when there is something in the spool, and when that was last said.
    private var filled: (since: Int64, said: Int64)?
    private var closers: [Ticket] = []
    private var ended = false

    private static let pause: Int64 = 1000
    /// What waits is said so often.
    private static let sayAgain: Int64 = 30_000
    private static let chunkBytes = 1 << 20

    init(
        files: SpoolFiles, inbox: SpoolInbox, logger: Logger, subjectPatience: Int64,
        isConnected: @escaping @Sendable () -> Bool, publisher: @escaping Spool.Publisher
    ) {
        inbox.count.store(files.count, ordering: .releasing)
        Self.report(files, logger)
        if files.count > 0 { logger.info("\(files.count) messages of an earlier run are in the spool") }
        self.files = files
        self.inbox = inbox
        self.logger = logger
        self.subjectPatience = subjectPatience
        self.isConnected = isConnected
        self.publisher = publisher
    }

    private static func report(_ files: SpoolFiles, _ logger: Logger) {
        for problem in files.takeProblems() { logger.log(level: problem.isLoss ? .error : .warning, "\(problem.text)") }
    }

    func run() {
        while !ended {
            var appends: [(batch: EncodedBatch, ticket: Ticket)] = []
            for command in inbox.take() {
                switch command {
                case .append(let batch, let ticket): appends.append((batch, ticket))
                case .wake:
                    // Perhaps another hub.
                    unknownSince = nil
                    pausedUntil = 0
                case .published(let result): published(result)
                case .close(let ticket):
                    ended = true
                    if let ticket { closers.append(ticket) }
                }
            }
            append(appends)
            if !ended { publishNext() }
            reportAge()
            if !ended { wait() }
        }
        for command in inbox.close() {
            if case .append(let batch, let ticket) = command {
                inbox.count.subtract(batch.count, ordering: .acquiringAndReleasing)
                ticket.complete(.failure(ClientError.closed))
            }
            if case .close(let ticket?) = command { closers.append(ticket) }
        }
        // Before anyone is told, so that the next owner finds it free.
        files.release()
        for ticket in closers { ticket.complete(.success(.done)) }
    }

    private func reportAge() {
        guard files.count > 0 else { return }
        let now = steadyNow()
        guard let filled else {
            self.filled = (now, now)
            return
        }
        guard now - filled.said >= Self.sayAgain else { return }
        self.filled = (filled.since, now)
        logger.warning("\(files.count) messages wait in the spool \(files.path), the oldest for \((now - filled.since) / 1000) s")
    }

    private func wait() {
        var item = pollfd(fd: inbox.events.descriptor, events: Int16(POLLIN), revents: 0)
        let paused = pausedUntil - steadyNow()
        // A lost wake-up of the connection is made up for after a while.
        let timeout = underWay == nil && files.count > 0 ? max(10, min(paused > 0 ? paused : Self.pause, Self.pause)) : -1
        _ = poll(&item, 1, Int32(timeout))
    }

    /// One sync for all that came since the last turn.
    private func append(_ appends: [(batch: EncodedBatch, ticket: Ticket)]) {
        guard !appends.isEmpty else { return }
        do {
            try files.append(appends.map(\.batch))
            for append in appends { append.ticket.complete(.success(.done)) }
        } catch {
            for append in appends {
                inbox.count.subtract(append.batch.count, ordering: .acquiringAndReleasing)
                append.ticket.complete(.failure(error))
            }
        }
    }

    private func publishNext() {
        guard underWay == nil, files.count > 0, isConnected(), steadyNow() >= pausedUntil else { return }
        do {
            let before = files.count
            defer {
                // Less, if some of it cannot be read any more.
                inbox.count.subtract(before - files.count, ordering: .acquiringAndReleasing)
                Self.report(files, logger)
            }
            guard let chunk = try files.next(messages: Limits.batch, bytes: Self.chunkBytes) else { return }
            publish(chunk)
        } catch {
            pauseAfter("\(error)")
        }
    }

    private func publish(_ chunk: SpoolFiles.Chunk) {
        underWay = chunk
        publisher(chunk.batch, Ticket { [inbox] result in _ = inbox.post(.published(result)) })
    }

    private func published(_ result: Result<Answer, any Error>) {
        guard let chunk = underWay else { return }
        underWay = nil
        do {
            switch result {
            case .success: try advance(chunk)
            case .failure(ClientError.refused(.unknownSubject, let message, _)) where isPatient():
                pauseAfter("\(message); declare a pool that takes it, or add it to the hub's subjects")
            case .failure(ClientError.refused(let reason, let message, let index)) where reason.isOfOneMessage:
                try setAside(index, of: chunk, why: "\(reason.name): \(message)")
            case .failure(ClientError.closed): break
            case .failure(let error): pauseAfter("\(error)")
            }
        } catch {
            pauseAfter("\(error)")
        }
    }

    /// Whether a subject that is not known may be soon.
    private func isPatient() -> Bool {
        let since = unknownSince ?? steadyNow()
        unknownSince = since
        return steadyNow() - since < subjectPatience
    }

    private func advance(_ chunk: SpoolFiles.Chunk) throws(ClientError) {
        let before = files.count
        defer { inbox.count.subtract(before - files.count, ordering: .acquiringAndReleasing) }
        try files.advance(to: chunk.end, count: chunk.stored)
        guard files.count == 0 else { return }
        let seconds = filled.map { (steadyNow() - $0.since) / 1000 } ?? 0
        filled = nil
        logger.info("the spool is empty: the hub has all of it; the oldest had waited for \(seconds) s")
    }

    /// One message of the batch can never be stored: it is kept aside, and the others are published without it.
    private func setAside(_ index: Int, of chunk: SpoolFiles.Chunk, why: String) throws(ClientError) {
        let parts = try chunk.batch.without(index)
        try files.setAside(parts.removed)
        logger.error(
            "the hub refuses a message of the spool; it is kept in \(files.path)/refused.spool and not published: \(why)")
        var rest = chunk
        rest.batch = parts.rest
        if rest.batch.count > 0 { publish(rest) } else { try advance(rest) }
    }

    private func pauseAfter(_ problem: String) {
        logger.warning("the spool \(files.path) is not published now, \(files.count) messages wait in it: \(problem)")
        pausedUntil = steadyNow() + Self.pause
    }
}

extension Reason {
    /// Whether a refusal is about the message that `index` points to, so that the others can be stored without it.
    fileprivate var isOfOneMessage: Bool {
        switch self {
        case .badEnvelope, .unknownSubject, .tooLarge: true
        default: false
        }
    }
}

extension EncodedBatch {
    /// The message at `index` alone, and all the others.
    ///
    /// - Throws: `ClientError.protocolViolation` if there is no such message; `spoolFailed` if the batch cannot be read.
    fileprivate func without(_ index: Int) throws(ClientError) -> (removed: EncodedBatch, rest: EncodedBatch) {
        var removed: [UInt8] = []
        var rest: [UInt8] = []
        rest.reserveCapacity(body.count)
        do {
            _ = try LengthPrefixed.forEach(in: body.buffer, atMost: count) { place, _, message throws(WireError) in
                if place == index {
                    LengthPrefixed.append(message, to: &removed)
                } else {
                    LengthPrefixed.append(message, to: &rest)
                }
            }
        } catch {
            throw .spoolFailed("the spool holds messages that cannot be read: \(error)")
        }
        guard !removed.isEmpty else {
            throw .protocolViolation("the hub refused message \(index) of a batch of \(count)")
        }
        return (EncodedBatch(body: Bytes(removed), count: 1), EncodedBatch(body: Bytes(rest), count: count - 1))
    }
}
