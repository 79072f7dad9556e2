import SwiftProtobuf
import TocsinAccess
import TocsinCore
import TocsinJournal
import TocsinProto
import TocsinWire

/// One turn of the hub around the pure core: receive, step, append, deliver, send. Generic over disk, network and clock, so that
/// the very same code runs in production and in the simulator. It never waits and starts no thread: `takeWork` and `takeJob`
/// hand out what must be written, and are told what came of it. One thread.
public struct Engine<D: Disk, L: Link, C: TimeSource> {
    public let options: EngineOptions
    public var link: L
    let clock: C
    public internal(set) var core: Core
    public internal(set) var journal: Journal<D>
    /// What recovery found.
    public let recovery: RecoveryReport
    let started: Moment

    var effects: [Effect] = []
    /// The publish being handled: its frame and the place of each message in it.
    var incoming: (body: Bytes, offsets: [UInt32])?
    /// A message that waits for the next segment to be ready.
    private var held: Received?
    var taps: [TapState] = []
    /// Deliveries kept back from peers that read too slowly, in order.
    var parked: [ParkedDelivery] = []
    /// Rows in them, and reaching how many those that were given to somebody else meanwhile are dropped.
    var parkedRows = 0
    var parkedLimit = 4096
    /// Something is kept back until a peer has read: nobody tells when that is.
    var isWaitingForReader = false
    /// Calls of the hub's own service whose request has not come yet: their methods. The core bounds and ends them.
    var adminCalls: [UInt64: String] = [:]
    var access = AccessState()
    /// Who is admitted, if that has changed since this was asked last.
    public var takeAdmitted: @Sendable () -> [UInt32: Principal]? = { nil }
    /// What is known at the door, told in the status.
    public var admissions: @Sendable () -> AdmissionCounts = { AdmissionCounts() }

    /// Ordinal of the work the writer has; nil: it is idle.
    private var writing: UInt64?
    /// What may be removed as soon as this batch is on disk: before, a crash could still undo the settlements that allow it.
    private var releasing: (ordinal: UInt64, floor: UInt64)?
    /// What is being carried out of the oldest segment; see Engine+Compaction.
    var compaction: Compaction?
    /// Whatever is needed below was carried; never less than the first sequence that is kept in place.
    var carriedBelow: UInt64
    private var lastAppend: UInt64 = 0
    private var lastKind = BatchKind.mark
    private var retryJobsAt: UInt64 = 0
    private var releasedAt: UInt64 = 0
    /// The hub is about to end: nothing is taken and nothing given out any more, what is out may still be settled.
    public private(set) var isDraining = false
    private var lastTick: UInt64 = 0
    /// Since when there are settlements that are not appended; nil: there are none.
    private var controlSince: UInt64?

    /// How long writing and syncing took, since start.
    var syncs = DurationHistogram()
    /// Refusals by reason, since start.
    public internal(set) var refused: [Reason: UInt64] = [:]
    /// Answers that a peer did not take and that were dropped, since start.
    public internal(set) var droppedAnswers: UInt64 = 0

    /// Opens the journal, replays it and declares the pools. Blocking.
    ///
    /// - Parameter newSeed: random; the identity of a journal that is not there yet.
    /// - Throws: `JournalError`, `WireError` for pools that cannot be declared.
    public init(disk: D, link: L, clock: C, options: EngineOptions, newSeed: UInt64) throws {
        var core = Core(options: options.core, seed: 0, epoch: 0)
        let (journal, report) = try Journal.open(
            disk, options: options.journal, newSeed: newSeed,
            begin: { core = Core(options: options.core, seed: $0.seed, epoch: $0.epoch) },
            replay: { try core.replay($0) })
        let now = clock.now()
        core.finishReplay(lastBatch: journal.lastOrdinal, lastSequence: journal.nextSequence - 1, at: now)
        self.options = options
        self.link = link
        self.clock = clock
        self.core = core
        self.journal = journal
        carriedBelow = journal.firstSequence
        recovery = report
        started = now
        for pool in options.pools { try self.core.declare(pool) }
        if journal.lastOrdinal == 0 { append(.checkpoint, self.core.checkpoint(), now) }
        guard flushControl(now) else {
            throw EngineError(
                description: "the journal has no room for what the hub must write at start; make space on its disk")
        }
    }

    // MARK: The turn

    /// Handles what has come and what is due. True: there is more to do at once; false: wait, at most `untilDue`.
    ///
    /// - Throws: `JournalError` if the journal cannot be read; the hub must end.
    public mutating func turn() throws -> Bool {
        let now = clock.now()
        var more = try receive(now)
        try tick(now)
        more = try catchUp(now) || more
        isWaitingForReader = false
        try deliverParked(now)
        // Settlements alone fill a segment too.
        if journal.room < reserve { _ = makeRoom(0, now) }
        if !deliver(now) { more = true }
        try perform(now)
        more = try advanceTaps(now) || more
        more = try compact(now) || more
        if isControlDue(now) { _ = flushControl(now) }
        if journal.lastMark < journal.durableOrdinal, lastKind != .mark, now.steady >= lastAppend + options.markAfter,
            journal.room > 0
        {
            append(.mark, Bytes([]), now)
        }
        if journal.isJobFailing, now.steady >= retryJobsAt {
            retryJobsAt = now.steady + 1000
            release(now)
            journal.retryJobs()
        } else if now.steady >= releasedAt + releaseEvery {
            if journal.isAged(now: now.wall), journal.canRoll, !journal.isAtLimit { roll(for: 0, now) }
            release(now)
        }
        return more
    }

    /// What is due by now.
    private mutating func tick(_ now: Moment) throws {
        guard now.steady != lastTick else { return }
        lastTick = now.steady
        core.step(.tick, at: now, into: &effects)
        try perform(now)
    }

    /// Gives out what is ready; false if more could go.
    private mutating func deliver(_ now: Moment) -> Bool {
        // Nothing more is given out while what comes of it could not be written.
        guard journal.room >= reserve / 2, !isDraining else { return true }
        return core.deliver(at: now, atMost: options.deliveredPerTurn, into: &effects)
    }

    /// Whether settlements are to be appended in this turn: with messages that are about to be written anyway, and otherwise a
    /// little later, so that a message that comes in the meantime need not wait for a sync that was only for them.
    private mutating func isControlDue(_ now: Moment) -> Bool {
        guard core.controlBytes > 0 else {
            controlSince = nil
            return false
        }
        let since = controlSince ?? now.steady
        controlSince = since
        if core.controlBytes > reserve / 4 || core.isControlAwaited { return true }
        // Where no more segments can be made, many together take less of the last one.
        let wait = journal.prepareFailure == nil ? options.controlAfter : max(options.controlAfter, 1000)
        return writing == nil && (journal.queuedBytes > 0 || now.steady >= since + wait)
    }

    /// Milliseconds until `turn` is needed though nothing comes in.
    public var untilDue: UInt64 {
        core.untilDue(
            clock.now(),
            atMost: min(isWaitingForReader ? 2 : 100, options.markAfter, controlSince == nil ? .max : options.controlAfter))
    }

    private mutating func receive(_ now: Moment) throws -> Bool {
        var bytes = 0
        for _ in 0..<options.receivedPerTurn {
            guard let received = held ?? link.receive() else { return false }
            held = nil
            bytes += received.parts.reduce(0) { $0 + $1.count }
            try handle(received, now)
            if held != nil { return false }
            // A peer without a session has had its answer; nothing of it is remembered.
            if !core.isWelcomed(received.peer) { link.release(received.peer) }
            if bytes >= options.receivedBytesPerTurn { break }
        }
        return true
    }

    /// Puts a message aside until the next segment is ready; nothing more is received before.
    mutating func hold(_ received: Received) { held = received }

    // MARK: The journal

    /// Room kept in each segment for control batches, so that settlements can be written where messages cannot.
    var reserve: Int { journal.options.segmentBytes / 8 }

    /// The last publisher was refused because the journal had its limit.
    private var hasRefused = false
    /// Whether publishers are refused because the journal has its limit.
    public var isAtLimit: Bool { hasRefused && journal.isAtLimit }

    enum Room {
        case ready, soon
        case never(WireError)
    }

    /// Whether a batch of this size can be appended now. Begins the next segment where needed; for new messages only within the
    /// journal's limit, as what is written about those that are there is what makes room again.
    mutating func makeRoom(_ bytes: Int, forNew isNew: Bool = false, _ now: Moment) -> Room {
        guard bytes + 2 * reserve <= journal.options.segmentBytes else {
            return .never(
                WireError(
                    .tooLarge,
                    "a batch of \(bytes) bytes; this hub takes \(journal.options.segmentBytes - 2 * reserve); send smaller ones"))
        }
        let fits = journal.room >= bytes + reserve
        if isNew { hasRefused = fits ? journal.isPastLimit : journal.isAtLimit }
        if isNew, hasRefused {
            return .never(
                WireError(
                    .storageFailed,
                    "the journal has its limit of \(journal.options.maxBytes) bytes; nothing was stored, send it again later"))
        }
        if fits { return .ready }
        if journal.canRoll { return roll(for: bytes, now) }
        if let failure = journal.prepareFailure {
            return .never(
                WireError(
                    .storageFailed, "the hub cannot make room on its disk (\(failure)); nothing was stored, send it again later"))
        }
        return .soon
    }

    /// Begins the next segment, which is ready, if a batch of this size fits into it.
    @discardableResult private mutating func roll(for bytes: Int, _ now: Moment) -> Room {
        // What does not fit any more goes after the checkpoint, which does not count it.
        _ = flushControl(now)
        let checkpoint = core.checkpoint()
        // In a segment that has nothing but its head it would not fit either.
        let most = journal.options.segmentBytes - reserve - checkpoint.count - 4 * BatchHeader.size
        guard bytes <= most else {
            return .never(
                WireError(.tooLarge, "a batch of \(bytes) bytes; with its pools this hub takes \(most); send smaller ones"))
        }
        journal.roll()
        append(.checkpoint, checkpoint, now)
        let isAll = flushControl(now)
        release(now)
        return isAll && journal.room >= bytes + reserve ? .ready : .soon
    }

    /// How often something is let go of though nothing was published, milliseconds: twice this, beside `rollAge`, is what a
    /// message may outlive `retainAge` by.
    private var releaseEvery: UInt64 { journal.isAtLimit ? 1000 : min(30_000, journal.options.rollAge) }

    /// Lets go of what is neither needed nor retained, now or as soon as everything appended is on disk. Settlements that cannot
    /// be written only wait where there is room to wait for: else they would wait for the room that they make.
    mutating func release(_ now: Moment) {
        guard flushControl(now) || journal.prepareFailure != nil else { return }
        releasedAt = now.steady
        releasing = (journal.lastOrdinal, min(core.floor(from: carriedBelow), dedupFloor(now)))
        releaseDurable(now)
        considerCompaction(now)
    }

    private mutating func releaseDurable(_ now: Moment) {
        guard let release = releasing, release.ordinal <= journal.durableOrdinal else { return }
        releasing = nil
        journal.forgetCarried { core.needs($0) }
        // A pool that began to read the past meanwhile needs more.
        journal.release(below: min(release.floor, core.floor(from: carriedBelow)), now: now.wall)
    }

    /// The oldest message whose id counts as a duplicate: a hub that starts again knows of ids what the journal still holds.
    func dedupFloor(_ now: Moment) -> UInt64 {
        let byTime = journal.sequence(at: now.wall - min(now.wall, core.options.dedupWindow))
        let byCount = journal.nextSequence - min(journal.nextSequence, UInt64(Core.dedupIDs))
        return max(byTime, byCount)
    }

    @discardableResult mutating func append(
        _ kind: BatchKind, _ body: Bytes, offsets: [UInt32] = [], _ now: Moment
    ) -> UInt64 {
        let ordinal = journal.append(kind, body, offsets: offsets, time: now.wall)
        noteAppended(ordinal, kind, now)
        return ordinal
    }

    mutating func noteAppended(_ ordinal: UInt64, _ kind: BatchKind, _ now: Moment) {
        core.appended(ordinal)
        lastAppend = now.steady
        lastKind = kind
    }

    /// Appends settlements, pools and dead letters since the last time. False if there is no room for all; the rest stays in the
    /// core.
    mutating func flushControl(_ now: Moment) -> Bool {
        while core.controlBytes > 0 {
            guard journal.room > 0, let control = core.takeControl(atMost: journal.room) else { return false }
            append(.control, control, now)
        }
        return true
    }

    /// What the writer must do next; nil while it is busy or if there is nothing.
    public mutating func takeWork() -> JournalWork? {
        guard writing == nil, let work = journal.takeWork() else { return nil }
        writing = work.last
        #if TOCSIN_PLANTED_BUGS
            if PlantedBug.answeredBeforeSync.isPlanted { core.step(.durable(work.last), at: clock.now(), into: &effects) }
        #endif
        return work
    }

    /// The writer has written and synced what it was given. Only then is anything acknowledged. `nanoseconds`: how long it took.
    public mutating func written(nanoseconds: UInt64 = 0) throws {
        guard let ordinal = writing else { return }
        syncs.add(nanoseconds)
        writing = nil
        journal.written(ordinal)
        let now = clock.now()
        releaseDurable(now)
        try tick(now)
        var answers: [Effect] = []
        core.step(.durable(ordinal), at: now, into: &answers)
        // First what somebody is to work on, then the answers; both before anything else is received.
        _ = deliver(now)
        effects.append(contentsOf: answers)
        try perform(now)
    }

    public mutating func takeJob() -> JournalJob? { journal.takeJob() }
    public mutating func finished(_ job: JournalJob, _ error: DiskError?) {
        if error != nil { retryJobsAt = clock.now().steady + 1000 }
        journal.finished(job, error)
    }

    /// Whether everything that was appended is on disk and nothing waits to be written.
    public var isQuiet: Bool { writing == nil && journal.queuedBytes == 0 && core.controlBytes == 0 }

    /// Takes no more messages and gives none out. The hub ends when `isDrained`, or when it has waited long enough.
    public mutating func beginDraining() { isDraining = true }

    /// Whether nothing is with a worker that may still be settled or answered.
    public var isDrained: Bool { core.inFlight == 0 && core.callsInFlight == 0 }

    /// Appends what the core has not journaled yet, before the hub ends.
    public mutating func flush() { _ = flushControl(clock.now()) }

    /// Says goodbye to every peer. Call when no further turn will be taken.
    public mutating func sayGoodbye() {
        for peer in core.peerIDs { _ = link.send(peer, Header(.goodbye), []) }
    }

    // MARK: Pools that read what is old

    /// Gives a pool that begins with the past some of it. True if there is more.
    private mutating func catchUp(_ now: Moment) throws -> Bool {
        guard let (pool, from) = core.catchUp else { return false }
        // What it reads of the past it needs, also where what others needed was carried.
        compaction = nil
        carriedBelow = min(carriedBelow, journal.firstSequence)
        var next = from
        if next < journal.firstSequence {
            next = journal.firstSequence
            core.catchUp(pool, skipTo: next)
        }
        let end = min(core.durableSequence, next + UInt64(options.tappedPerTurn) - 1)
        guard next <= end else {
            core.catchUp(pool, skipTo: next)
            return false
        }
        while next <= end {
            let slice = try journal.message(next)
            var view: EnvelopeView?
            if let slice { view = try EnvelopeView(scanning: slice.envelope) }
            core.catchUp(pool, next, view, at: now)
            withExtendedLifetime(slice) {}
            next += 1
        }
        return true
    }
}
