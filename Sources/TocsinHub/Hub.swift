import Glibc
import Logging
import Synchronization
import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinKeys
import TocsinPosix
import TocsinTransport
import TocsinWire

/// The broker: a ROUTER socket, the engine's loop, the journal's writer, and a thread for slow file work. `run` is the loop.
public final class Hub: Sendable {
    private let options: HubOptions
    private let logger: Logger
    private let stopping = Atomic<Bool>(false)
    private let event: EventCounter
    private let bound = Mutex<[String]>([])

    /// - Throws: `HubError` for options that cannot work.
    public init(_ options: HubOptions, logger: Logger) throws(HubError) {
        let problems = options.problems
        guard problems.isEmpty else { throw HubError(code: .options, description: problems.joined(separator: "; ")) }
        self.options = options
        self.logger = logger
        do { event = try EventCounter() } catch { throw HubError(code: .other, description: error.description) }
    }

    /// The endpoints bound, with the ports the kernel chose; empty before `run` is ready.
    public var endpoints: [String] { bound.withLock { $0 } }

    /// Makes `run` return, after everything accepted so far is on disk. From any thread; not from a signal handler.
    public func stop() {
        stopping.store(true, ordering: .releasing)
        event.signal()
    }

    /// Recovers the journal, binds, and serves until `stop`. Blocks its thread, which must not be one of Swift's cooperative pool.
    ///
    /// - Parameter ready: called once the endpoints are bound.
    /// - Throws: `HubError` if it cannot start, or if the disk fails: what was not acknowledged by then is not known to be stored.
    public func run(ready: () -> Void = {}) throws(HubError) {
        do {
            try serve(ready)
        } catch let error as HubError {
            throw error
        } catch let error as JournalError {
            guard error.code == .corrupt else { throw HubError(code: .disk, description: error.description) }
            throw HubError(
                code: .corrupt,
                description: "\(error.description), or see what `tocsin journal repair` says of what would be lost without it")
        } catch let error as DiskError {
            let inUse = error.code == .other(errno: EWOULDBLOCK)
            throw HubError(code: inUse ? .inUse : .disk, description: error.description)
        } catch let error as KeyError {
            throw HubError(code: .keys, description: error.description)
        } catch let error as TransportError {
            throw HubError(code: .bind, description: error.description)
        } catch {
            throw HubError(code: .other, description: "\(error)")
        }
    }

    private func serve(_ ready: () -> Void) throws {
        let disk = try PosixDisk(directory: options.directory)
        // Bound before recovery would let peers wait in the backlog of a hub that may refuse to start; so recovery comes first.
        let context = try Context()
        let socket = try ZMQSocket(.router, context: context, options: socketOptions)
        let event = event
        // Before any endpoint: nobody gets in who has not been asked for a key.
        let (admission, curve) = try door()
        let doorkeeper = try admission.start(context, watching: socket)
        defer {
            admission.stop()
            doorkeeper.join()
        }
        var random = SystemRandomNumberGenerator()
        var settings = options.engine
        settings.journal.fit(diskBytes: try disk.capacity())
        var engine = try Engine(
            disk: disk, link: RouterLink(socket), clock: SystemTime(), options: settings, newSeed: random.next())
        engine.admissions = { admission.counts }
        engine.takeAdmitted = { admission.takeChange() }
        report(engine)
        var listening: [String] = []
        for endpoint in options.endpoints {
            try socket.secure(mechanism(of: endpoint, curve))
            try socket.bind(endpoint)
            listening.append(try socket.lastEndpoint())
        }
        let watch = try ConnectionWatch(endpoints: listening, most: connectionsMax())
        defer { watch.stop() }
        engine.link.watch = watch
        var endings = ConnectionReport()
        let writer = try JournalWriter(
            "journal", perform: { work in Self.write(work, on: disk) },
            done: { event.signal() })
        defer { writer.stop() }
        let jobs = try WorkerThread<JournalJob, (JournalJob, DiskError?)>(
            "segments", perform: { job in (job, Self.attempt { () throws(DiskError) in try job.perform(on: disk) }) },
            done: { event.signal() })
        defer { jobs.stop() }
        bound.withLock { $0 = listening }
        logger.info("the hub is ready", metadata: ["endpoints": "\(endpoints.joined(separator: " "))"])
        ready()

        var poller = Poller(socket: socket, descriptor: event.descriptor)
        var more = false
        var drainedBy: UInt64 = 0
        var isFull = false
        let denials = DecisionLog(logger)
        var pace = SyncPace()
        var asked = 0
        while true {
            if !more, try poller.wait(timeout: Int(engine.untilDue)).contains(.event) { event.drain() }
            try settleWork(&engine, &pace, writer, jobs)
            if let failure = admission.failure {
                throw HubError(code: .keys, description: "nobody can be let in any more: \(failure)")
            }
            try engine.admitChanges()
            if stopping.load(ordering: .acquiring), !engine.isDraining {
                engine.beginDraining()
                drainedBy = SystemTime().now().steady + options.drainMilliseconds
            }
            if engine.isDraining, engine.isDrained || SystemTime().now().steady >= drainedBy { break }
            more = try engine.turn()
            if let work = engine.takeWork() {
                if !more, pace.isQuick(work.bytes) {
                    try settle(Self.write(work, on: disk), &engine, &pace)
                    // What came meanwhile is next, and the news of it is best looked for by receiving it.
                    more = true
                } else {
                    writer.submit(work)
                }
            }
            if let job = engine.takeJob() { jobs.submit(job) }
            reportRoom(engine, &isFull)
            watch.turn(socket, asked: &asked)
            endings.add(watch.takeEnded(), at: SystemTime().now().steady, to: logger)
            for denial in engine.takeDenials() { denials.note("refused a request", ["what": "\(denial)"]) }
            if let failure = engine.link.failure { throw failure }
        }
        engine.sayGoodbye()
        try drain(&engine, &pace, writer, jobs, &poller)
        logger.info("the hub has stopped", metadata: ["last_sequence": "\(engine.core.durableSequence)"])
    }

    /// Who is let in, and the hub's own key if it has one.
    private func door() throws -> (Admission, CurveSecretKey?) {
        let folder = KeyFolder(options.keys)
        let tcp = options.endpoints.filter { $0.hasPrefix("tcp://") }
        let curve = folder.isThere ? try folder.hubKeys().secretKey : nil
        if curve == nil, !tcp.isEmpty {
            guard options.allowsPlainTCP else {
                throw HubError(
                    code: .keys,
                    description: """
                        \(tcp[0]) would be open to everybody who reaches it: make keys with `tocsin init`, or ask for it by name \
                        (hub.allow_plain_tcp: true, or TOCSIN_ALLOW_PLAIN_TCP=true), or listen on ipc:// only
                        """)
            }
            logger.warning(
                "no keys: everybody who reaches these endpoints may read, publish and act",
                metadata: ["endpoints": "\(tcp.joined(separator: " "))"])
        }
        let admission = try Admission(
            folder: curve == nil ? nil : folder, allowsPlainTCP: curve == nil && options.allowsPlainTCP, logger: logger
        ) { [event] in event.signal() }
        return (admission, curve)
    }

    private func mechanism(of endpoint: String, _ curve: CurveSecretKey?) -> Mechanism {
        guard endpoint.hasPrefix("tcp://") else { return .open(domain: Admission.Domain.ipc.rawValue) }
        if let curve { return .curveServer(curve, domain: Admission.Domain.curve.rawValue) }
        return .open(domain: Admission.Domain.plain.rawValue)
    }

    private func settle(_ outcome: WriteOutcome, _ engine: inout HubEngine, _ pace: inout SyncPace) throws {
        // Never tried again: after a failed sync nobody knows what is on the disk. Recovery finds out.
        if let failure = outcome.failure { throw failure }
        pace.add(outcome.nanoseconds)
        try engine.written(nanoseconds: outcome.nanoseconds)
    }

    /// What the journal's threads have done.
    private func settleWork(
        _ engine: inout HubEngine, _ pace: inout SyncPace, _ writer: JournalWriter,
        _ jobs: WorkerThread<JournalJob, (JournalJob, DiskError?)>
    ) throws {
        for outcome in writer.takeOutcomes() { try settle(outcome, &engine, &pace) }
        for (job, failure) in jobs.takeOutcomes() {
            engine.finished(job, failure)
            if let failure, case .remove = job {
                logger.error("cannot remove what is no longer needed", metadata: ["reason": "\(failure)"])
            }
        }
    }

    private static func write(_ work: JournalWork, on disk: PosixDisk) -> WriteOutcome {
        let began = MachineClock.steady()
        let failure = attempt { () throws(DiskError) in try work.perform(on: disk) }
        return WriteOutcome(failure: failure, nanoseconds: MachineClock.steady() - began)
    }

    /// Says once when the disk, or the limit, leaves no room for messages, and once when there is room again.
    private func reportRoom(_ engine: HubEngine, _ isFull: inout Bool) {
        let failure = engine.journal.prepareFailure?.description
        let reason = failure ?? (engine.isAtLimit ? "the journal has its limit of \(options.engine.journal.maxBytes) bytes" : nil)
        if let reason, !isFull {
            isFull = true
            logger.error(
                "cannot make room for more messages; publishers are refused until there is", metadata: ["reason": "\(reason)"])
        } else if isFull, reason == nil, engine.journal.canRoll {
            isFull = false
            logger.notice("there is room for messages again")
        }
    }

    /// Writes what is still queued. Ends after ten seconds even if the disk does not answer.
    private func drain(
        _ engine: inout HubEngine, _ pace: inout SyncPace, _ writer: JournalWriter,
        _ jobs: WorkerThread<JournalJob, (JournalJob, DiskError?)>, _ poller: inout Poller
    ) throws {
        for _ in 0..<100 where !engine.isQuiet {
            engine.flush()
            if let work = engine.takeWork() { writer.submit(work) }
            if let job = engine.takeJob() { jobs.submit(job) }
            if try poller.wait(timeout: 100).contains(.event) { event.drain() }
            try settleWork(&engine, &pace, writer, jobs)
        }
    }

    private static func attempt(_ body: () throws(DiskError) -> Void) -> DiskError? {
        do {
            try body()
            return nil
        } catch { return error }
    }

    private func report(_ engine: HubEngine) {
        if let torn = engine.recovery.torn {
            logger.warning("an unfinished write was cut off; nothing in it had been acknowledged", metadata: ["what": "\(torn)"])
        }
        if engine.recovery.lostMessages > 0 {
            logger.notice(
                "messages were given up in a repair of the journal", metadata: ["messages": "\(engine.recovery.lostMessages)"])
        }
        logger.info(
            "the journal is open",
            metadata: [
                "directory": "\(options.directory)", "epoch": "\(engine.journal.identity.epoch)",
                "last_sequence": "\(engine.core.durableSequence)", "read_bytes": "\(engine.recovery.bytes)",
            ])
    }

    private var socketOptions: SocketOptions {
        var socket = SocketOptions()
        socket.linger = 500
        // Beyond the protocol's frame limit, so that a frame that is a little too large gets a status and not a cut connection.
        socket.maxMessageBytes = Int64(2 * Limits.bodyBytes)
        // Messages here are batches: what one peer can make the hub hold is bounded by its credit before it is by this.
        socket.sendHighWater = 10_000
        socket.receiveHighWater = 1000
        socket.handshake = options.handshakeMilliseconds
        return socket
    }

    /// TCP connections there may be, after the process was allowed as many descriptors as it may have.
    private func connectionsMax() -> Int {
        let descriptors = Descriptors.raiseLimit()
        let most = ConnectionWatch.bound(wanted: options.connectionsMax, descriptors: descriptors)
        if most < options.connectionsMax {
            logger.notice(
                "fewer connections than configured: the process may not open more files; raise its limit (ulimit -n)",
                metadata: ["connections": "\(most)", "configured": "\(options.connectionsMax)", "files": "\(descriptors)"])
        }
        return most
    }
}

typealias HubEngine = Engine<PosixDisk, RouterLink, SystemTime>
typealias JournalWriter = WorkerThread<JournalWork, WriteOutcome>

/// What came of writing and syncing, and how long it took.
struct WriteOutcome: Sendable {
    var failure: DiskError?
    var nanoseconds: UInt64
}

/// Whether the loop does a piece of the writer's work itself. To hand it over and to be told costs four wake-ups, which with a
/// fast disk is as long as the work takes, and meanwhile nothing can be acknowledged that does not wait for the same disk. So it
/// does what is small, while nothing else waits for the loop and syncs have been quick for some time. A single sync that takes
/// long holds up the loop once; from then on the writer has them.
struct SyncPace {
    /// Of the last syncs the slowest; the older, the less it counts. Begins as if they had been slow.
    private var nanoseconds: UInt64 = 8_000_000
    private static let quick: UInt64 = 1_000_000
    private static let bytesMax = 64 << 10

    func isQuick(_ bytes: Int) -> Bool { bytes <= Self.bytesMax && nanoseconds < Self.quick }

    mutating func add(_ last: UInt64) { nanoseconds = max(last, nanoseconds - nanoseconds / 16) }
}

/// The machine's clocks.
struct SystemTime: TimeSource {
    func now() -> Moment { Moment(wall: MachineClock.wall(), steady: MachineClock.steady() / 1_000_000) }
}
