import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinWire

/// One history: a hub on a simulated disk and network, its clients, and what befalls them. One thread, no waiting; what happens
/// next is drawn from the seed.
final class World {
    typealias HubEngine = Engine<SimulatedDisk, SimulatedLink, SimulatedTime>

    /// A running hub: the engine, and what its two threads are at.
    final class Hub {
        var engine: HubEngine
        var work: JournalWork?
        /// What came of it, until the loop has taken notice.
        var workDone: DiskError??
        /// For the thread that does one after another.
        var jobs: [JournalJob] = []
        var jobsDone: [(JournalJob, DiskError?)] = []
        /// Only the turn planned last happens.
        var turnPlanned: UInt64 = 0
        var turnAt: UInt64 = .max

        init(_ engine: HubEngine) { self.engine = engine }
    }

    let options: SimulationOptions
    let clock = VirtualClock()
    let trace: Trace
    let disk: SimulatedDisk
    let network: SimulatedNetwork
    let checker: Checker
    var coverage = Coverage()
    /// Faults may happen.
    var isTroubled = true

    var random: SplitMix64
    var engineOptions = EngineOptions()
    var troubles = Troubles()
    var clients: [Client] = []
    var poolNames: [String] = []
    var hub: Hub?
    /// At rest, and what was to be looked at then was.
    var isOver = false
    /// When it must be over, microseconds.
    var deadline: UInt64 = 0
    private var schedule = Schedule()
    private let journalSeed: UInt64

    init(seed: UInt64, options: SimulationOptions, sink: ((String) -> Void)?) {
        self.options = options
        random = SplitMix64(seed: seed)
        trace = Trace(clock: clock, sink: sink)
        disk = SimulatedDisk(random: random.fork(), trace: trace)
        checker = Checker(clock: clock, trace: trace, disk: disk)
        network = SimulatedNetwork(random: random.fork(), clock: clock, trace: trace, checker: checker)
        journalSeed = random.next()
        disk.mutation = options.mutation
        network.mutation = options.mutation
        network.deliver = { [unowned self] time, connection, parts in
            schedule.add(at: time) { [unowned self] in toClient(connection, parts) }
        }
        disk.wrote = { [unowned self] in checker.wrote($0, $1, $2) }
        populate()
    }

    // MARK: Running

    func after(_ microseconds: UInt64, _ action: @escaping () -> Void) { schedule.add(at: clock.now + microseconds, action) }

    /// Runs the history to its end, or to the first violation.
    func run() -> Violation? {
        startHub()
        for client in clients {
            after(random.within(0...500_000)) { client.start() }
            wakeAgain(client)
        }
        plan()
        after(options.duration * 1000) { [unowned self] in endTroubles() }
        if options.mutation == .stoppedClock {
            after(options.duration * 1000) { [unowned self] in clock.stoppedAt = clock.now }
        }
        deadline = (options.duration + options.patience) * 1000
        while !isOver, checker.violation == nil, let (time, action) = schedule.next() {
            clock.now = time
            action()
            if disk.isDead { endHub("in the middle of a file operation") }
            if time > deadline {
                checker.fail("liveness", "after \(options.patience) ms without faults \(unrest ?? "it is not over")")
            }
        }
        return checker.violation
    }

    private func wakeAgain(_ client: Client) {
        after(random.within(50_000...250_000)) { [unowned self] in
            read(client)
            client.wake()
            wakeAgain(client)
        }
    }

    // MARK: Messages

    func send(_ connection: Connection, _ parts: [Bytes]) {
        guard !connection.isSevered else {
            network.coverage.messagesLost += 1
            return
        }
        connection.lastToHub = network.arrival(after: connection.lastToHub)
        carry(connection, parts, at: connection.lastToHub)
        guard isTroubled, random.chance(troubles.repeats), Self.mayRepeat(parts) else { return }
        // Once more, and after others that were sent later: what a peer may do that tries again.
        network.coverage.messagesRepeated += 1
        carry(connection, parts, at: connection.lastToHub + random.within(0...(random.chance(0.5) ? 2000 : 2_000_000)))
    }

    /// Of a stream a frame that came twice would be a message that was sent twice.
    private static func mayRepeat(_ parts: [Bytes]) -> Bool {
        do {
            let header = try Header(parts[0].buffer)
            switch header.kind {
            case .message, .headers, .window: return false
            case .call: return header.flags & Header.halfClose != 0
            default: return true
            }
        } catch { return true }
    }

    private func carry(_ connection: Connection, _ parts: [Bytes], at time: UInt64) {
        schedule.add(at: time) { [unowned self] in
            guard !connection.isSevered else {
                network.coverage.messagesLost += 1
                return
            }
            network.arrive(connection, parts)
            wakeHub()
        }
    }

    private func toClient(_ connection: Connection, _ parts: [Bytes]) {
        connection.waiting.append(parts)
        read(clients[connection.client])
    }

    /// A client reads what has come, unless it is stalled.
    private func read(_ client: Client) {
        while let connection = client.connection, !connection.isSevered, clock.now >= client.stalledUntil,
            !connection.waiting.isEmpty
        {
            connection.unread -= 1
            client.receive(connection.waiting.removeFirst())
        }
    }

    // MARK: The hub's loop

    /// What came makes the loop turn soon.
    private func wakeHub() {
        guard let hub else { return }
        let soon = clock.now + random.within(10...300)
        if hub.turnAt > soon { planTurn(hub, at: soon) }
    }

    func planTurn(_ hub: Hub, at time: UInt64) {
        hub.turnPlanned += 1
        hub.turnAt = time
        let planned = hub.turnPlanned
        schedule.add(at: time) { [unowned self] in
            guard self.hub === hub, hub.turnPlanned == planned else { return }
            turn(hub)
        }
    }

    /// One round of the production loop: what the threads have done, the turn, what they do next.
    private func turn(_ hub: Hub) {
        hub.turnAt = .max
        do {
            if let failure = try settleWork(hub) { return endHub("the disk failed: \(failure)") }
            checker.firstKept = hub.engine.journal.firstSequence
            let (segments, last) = (hub.engine.journal.bytes, hub.engine.core.lastSequence)
            let more = try hub.engine.turn()
            checker.turned(kept: hub.engine.journal.firstSequence)
            let pending = hub.engine.core.lastSequence - hub.engine.core.durableSequence
            if pending > UInt64(engineOptions.core.pendingMessages) {
                checker.fail("bounds", "\(pending) messages wait for the disk, \(engineOptions.core.pendingMessages) may")
            }
            let limit = engineOptions.journal.maxBytes
            if limit > 0, hub.engine.core.lastSequence > last, hub.engine.journal.bytes > limit {
                checker.fail(
                    "bounds", "messages are stored though the journal takes \(hub.engine.journal.bytes) bytes of \(limit)")
            }
            if hub.engine.journal.bytes != segments { trace.note("segments", UInt64(hub.engine.journal.bytes)) }
            hand(hub)
            let wait = more ? random.within(10...200) : max(hub.engine.untilDue * 1000, 10)
            planTurn(hub, at: clock.now + (network.hasArrived ? random.within(10...200) : wait))
        } catch {
            // Reading failed, or what was read had changed.
            if !disk.isDead, disk.faults.read == 0 { checker.fail("start", "the hub ends: \(error)") }
            endHub("reading: \(error)")
        }
    }

    private func settleWork(_ hub: Hub) throws -> DiskError? {
        if let done = hub.workDone, let work = hub.work {
            hub.work = nil
            hub.workDone = nil
            if let failure = done { return failure }
            checker.durable(work.last)
            try hub.engine.written()
        }
        for (job, failure) in hub.jobsDone {
            hub.engine.finished(job, failure)
            guard failure == nil else { continue }
            switch job {
            case .prepare: coverage.segmentsMade += 1
            case .remove(let segments): coverage.segmentsRemoved += segments.count
            }
        }
        hub.jobsDone = []
        return nil
    }

    private func hand(_ hub: Hub) {
        if let work = hub.engine.takeWork() {
            hub.work = work
            after(latency()) { [unowned self] in
                guard self.hub === hub else { return }
                hub.workDone = .some(attempt { () throws(DiskError) in try work.perform(on: disk) })
                if disk.isDead { coverage.crashesInWrites += 1 }
                wakeHub()
            }
        }
        if let job = hub.engine.takeJob() {
            hub.jobs.append(job)
            if hub.jobs.count == 1 { perform(hub, job) }
        }
    }

    private func perform(_ hub: Hub, _ job: JournalJob) {
        after(latency()) { [unowned self] in
            guard self.hub === hub else { return }
            hub.jobsDone.append((job, attempt { () throws(DiskError) in try job.perform(on: disk) }))
            if disk.isDead { coverage.crashesInJobs += 1 }
            wakeHub()
            hub.jobs.removeFirst()
            if let next = hub.jobs.first { perform(hub, next) }
        }
    }

    private func attempt(_ body: () throws(DiskError) -> Void) -> DiskError? {
        do {
            try body()
            return nil
        } catch { return error }
    }

    private func latency() -> UInt64 {
        isTroubled && random.chance(troubles.slowDisk) ? random.within(100_000...2_500_000) : random.within(80...4000)
    }

    // MARK: Starting and ending

    func startHub() {
        guard hub == nil else { return }
        disk.reopen()
        checker.findSurvivors()
        let flipped = isTroubled && random.chance(troubles.flip) ? flip() : nil
        if isTroubled, random.chance(troubles.crashInRecovery) { disk.operationsLeft = random.below(12) }
        do {
            let engine = try HubEngine(
                disk: disk, link: SimulatedLink(network: network), clock: SimulatedTime(clock: clock), options: engineOptions,
                newSeed: journalSeed)
            if let flipped {
                checker.fail(
                    "start", "byte \(flipped.offset) of \(flipped.name) has changed, and the hub starts as if nothing were")
            }
            started(engine)
        } catch let error as JournalError where error.code == .corrupt {
            guard let flipped else { return checker.fail("start", "the hub refuses to start: \(error)") }
            coverage.refusedStarts += 1
            trace.note("refused", 0, 0, 0, 0, error.description)
            let isNamed = error.description.contains(flipped.name) && error.description.contains("offset")
            if !isNamed, flipped.offset >= 64 { checker.fail("start", "a changed byte is refused without its place: \(error)") }
            disk.flip(flipped.name, at: flipped.offset, flipped.masks)
            after(random.within(1000...100_000)) { [unowned self] in startHub() }
        } catch {
            if let flipped { disk.flip(flipped.name, at: flipped.offset, flipped.masks) }
            if disk.isDead { coverage.crashesInRecovery += 1 }
            if !isTroubled, !disk.isDead { return checker.fail("start", "the hub cannot start: \(error)") }
            endHub("at start: \(error)")
        }
    }

    private func started(_ engine: HubEngine) {
        let hub = Hub(engine)
        self.hub = hub
        coverage.recoveries += 1
        if engine.recovery.torn != nil { coverage.tornTails += 1 }
        trace.note("started", engine.journal.identity.epoch, engine.journal.lastOrdinal, engine.journal.nextSequence)
        checker.recovered(state(engine))
        for pool in engineOptions.pools {
            do {
                try checker.declare(
                    pool.name, pool.filters.map(\.description),
                    PoolTerms(
                        visibility: pool.visibility, maxAttempts: Int(pool.maxAttempts), fromStart: pool.fromStart,
                        backoff: pool.backoff, exclusive: pool.exclusive))
            } catch { checker.fail("answer", "\(error)") }
        }
        // Armed for recovery, it may strike in what follows.
        planTurn(hub, at: clock.now + random.within(10...1000))
    }

    func state(_ engine: HubEngine) -> HubState {
        var dead: [String: [(sequence: UInt64, attempts: Int)]] = [:]
        for name in engine.core.poolNames {
            dead[name] = engine.core.deadLetters(pool: name, atMost: .max)?.map { ($0.sequence, Int($0.attempts)) }
        }
        return HubState(
            pools: engine.core.poolSnapshots(at: clock.moment), dead: dead, durableSequence: engine.core.durableSequence,
            firstSequence: engine.journal.firstSequence)
    }

    /// The hub's process is over, and maybe the power with it; it is started again after a while.
    func endHub(_ why: String, powerCut: Bool? = nil) {
        trace.note("hub-ends", 0, 0, 0, 0, why)
        coverage.crashes += 1
        hub = nil
        network.hubEnded()
        checker.hubEnded()
        disk.reopen()
        if powerCut ?? random.chance(0.6) {
            if options.mutation == .forgetfulDisk, let last = checker.records.last(where: { $0.ordinal <= checker.verified }) {
                disk.forgetSynced(last.file, at: last.offset, count: last.count)
            }
            disk.cutPower()
        }
        // ZeroMQ connects again by itself, and the hub will not know who it is.
        for client in clients where client.connection != nil && random.chance(0.7) {
            client.connection = network.connect(client.index)
            coverage.connectionsRemade += 1
        }
        after(random.within(1000...(random.chance(0.2) ? 4_000_000 : 200_000))) { [unowned self] in startHub() }
    }

    /// Everything is written: the journal must tell of all that happened, and replaying it would give what the hub has.
    func checkQuiet(_ hub: Hub, _ rule: String) {
        if let fact = checker.unjournaled.keys.first {
            checker.fail("fact", "everything is written, and the journal does not know that \(fact)")
        }
        checker.compare(state(hub.engine), rule)
    }

    /// As the production hub stops: goodbye, and everything accepted is written.
    func stopHub() {
        guard let hub else { return }
        coverage.orderlyStops += 1
        hub.engine.sayGoodbye()
        do {
            for _ in 0..<100 where !hub.engine.isQuiet || hub.work != nil {
                hub.engine.flush()
                if hub.work == nil { hub.work = hub.engine.takeWork() }
                if let work = hub.work, hub.workDone == nil {
                    hub.workDone = .some(attempt { () throws(DiskError) in try work.perform(on: disk) })
                }
                if try settleWork(hub) != nil { return endHub("the disk failed at the stop") }
            }
            if hub.engine.isQuiet, !disk.isDead { checkQuiet(hub, "recovery") }
        } catch { trace.note("stop-failed") }
        endHub("stopped in order")
    }
}
