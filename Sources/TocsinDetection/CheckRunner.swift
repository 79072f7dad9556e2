import Logging
import TocsinKit
import TocsinPosix
import TocsinSystem

/// Runs one check until its task is cancelled.
struct CheckRunner: Sendable {
    let detector: String
    let directory: String
    let check: Check
    let outlet: Outlet
    let board: CheckBoard
    let logger: Logger

    // MARK: Probes

    /// What of a probe survives a restart: which conditions are firing, so that their end is reported even if it came while the
    /// detector was away.
    typealias SavedStates = [String: ProbeState]

    func probe(_ prober: any Prober, pool: BlockingPool) async {
        var prober = prober
        let file = StateFile<SavedStates>(path: statePath(directory, "probe", detector, check.name))
        let maker = EventMaker(detector: detector, check: check)
        do {
            var states = try await load(file, pool: pool)
            var rhythm = Rhythm(check)
            var withheld: String?
            try await Task.sleep(for: rhythm.delay())
            while true {
                let began = monotonicNow()
                do {
                    prober.reported(Set(states.filter { $0.value.firing != nil }.keys))
                    let observations = try await prober.probe()
                    let isFailure = observations.contains { !$0.healthy && !$0.isBetween }
                    let obstacle = isFailure ? board.obstacle(to: check.dependsOn, since: rhythm.failingSince ?? began) : nil
                    try await take(
                        observations, &states, mayTrigger: obstacle == nil, maker: maker, file: file, pool: pool)
                    let isFailing = states.values.contains { $0.failures > 0 }
                    board.note(check.name, isFailing: isFailing, at: began)
                    rhythm.note(isFailing: isFailing, at: began)
                    // Said once, when it begins.
                    let isWithheld = obstacle != nil && isFailing && states.values.contains(where: \.isSoft)
                    if isWithheld && withheld == nil { logger.info("a failure is not reported for now: \(obstacle ?? "")") }
                    withheld = isWithheld ? obstacle : nil
                } catch let error as BlockingPoolError {
                    logger.warning("not probed this time: \(error)")
                }
                let isSoft = states.values.contains(where: \.isSoft)
                // What is well and was never reported needs no memory: aspects come and go.
                states = states.filter { $0.value.firing != nil || $0.value.failures > 0 }
                try await board.sleep(check.name, for: rhythm.wait(isSoft: isSoft))
            }
        } catch is CancellationError {
            return
        } catch {
            logger.error("this check has ended: \(error)")
        }
    }

    private func load(_ file: StateFile<SavedStates>, pool: BlockingPool) async throws -> SavedStates {
        do {
            return try await pool.run { _ in try file.load() } ?? [:]
        } catch let error as StateFileError {
            logger.error("\(error)")
            return [:]
        }
    }

    /// What is on disk always includes whatever the hub may hold to be firing: that a condition fires is written before its
    /// trigger is published, that it does not, after its resolve is. A crash between the two says something twice, and never
    /// leaves an alert that nobody ends.
    private func take(
        _ observations: [Observation], _ states: inout SavedStates, mayTrigger: Bool, maker: EventMaker,
        file: StateFile<SavedStates>, pool: BlockingPool
    ) async throws {
        let now = MachineClock.wall()
        var events: [Message] = []
        var hasTriggers = false
        // Over, and the hub does not know it yet.
        var ending: SavedStates = [:]
        for observation in observations {
            let before = states[observation.aspect]
            let verdict = states[observation.aspect, default: ProbeState()].observe(
                observation, check: check, nowMs: now, mayTrigger: mayTrigger)
            switch verdict {
            case .nothing, .withheld: continue
            case .trigger: hasTriggers = true
            case .resolve: ending[observation.aspect] = before
            }
            events.append(try event(observation, verdict, maker: maker, now: now))
        }
        if hasTriggers { try await save(states.merging(ending) { $1 }, file, pool: pool) }
        for start in stride(from: 0, to: events.count, by: Self.eventsMax) {
            try await outlet.deliver(Array(events[start..<min(start + Self.eventsMax, events.count)]))
        }
        if !ending.isEmpty { try await save(states, file, pool: pool) }
    }

    /// Of one probe, published at once.
    private static let eventsMax = 256

    private func save(_ states: SavedStates, _ file: StateFile<SavedStates>, pool: BlockingPool) async throws {
        let firing = states.filter { $0.value.firing != nil }
        do {
            try await toItsEnd { try await pool.run { _ in try file.save(firing) } }
        } catch let error as StateFileError {
            logger.warning("\(error)")
        } catch let error as BlockingPoolError {
            logger.warning("the state is not saved: \(error)")
        }
    }

    /// Does what a cancellation must not leave half done.
    private func toItsEnd(_ work: @escaping @Sendable () async throws -> Void) async throws {
        try await Task { try await work() }.value
    }

    private func event(
        _ observation: Observation, _ verdict: ProbeState.Verdict, maker: EventMaker, now: UInt64
    ) throws -> Message {
        var labels = maker.baseLabels
        var dedupKey = check.name
        // What several machines may watch under one name is apart by machine.
        if check.kind.isOfMachine, let host = labels["host"] { dedupKey = "\(host)/\(dedupKey)" }
        if !observation.aspect.isEmpty {
            labels["aspect"] = observation.aspect
            dedupKey += "/\(observation.aspect)"
        }
        return try maker.message(
            EventMaker.Content(
                id: randomID(), kind: verdict == .resolve ? .resolve : .trigger, service: check.service,
                summary: observation.summary, severity: observation.severity, dedupKey: dedupKey, labels: labels,
                details: maker.baseDetails.merging(observation.details) { $1 }, observedAt: now))
    }

    // MARK: Logs

    func follow(_ log: LogCheck, pool: BlockingPool) async {
        do {
            let (detector, directory, check, logger) = (detector, directory, check, logger)
            let source = try await pool.run { _ -> any LineSource in
                switch log.source {
                case .file(let path):
                    try LogFollower(
                        path: path, detector: detector, spoolDirectory: directory, check: check, log: log, logger: logger)
                case .journal(let units):
                    try JournalFollower(
                        units: units, detector: detector, spoolDirectory: directory, check: check, log: log,
                        logger: logger)
                }
            }
            var complained = false
            while true {
                do {
                    let batch = try await source.next(pool: pool)
                    complained = false
                    if !batch.events.isEmpty { try await outlet.deliver(batch.events) }
                    try await toItsEnd { try await source.save(pool: pool) }
                    if batch.atEnd { try await Task.sleep(for: check.interval) }
                    try Task.checkCancellation()
                } catch let error as StateFileError {
                    if !complained { logger.warning("\(error); trying again every \(check.interval)") }
                    complained = true
                    try await Task.sleep(for: check.interval)
                } catch let error as BlockingPoolError {
                    logger.warning("not read this time: \(error)")
                    try await Task.sleep(for: check.interval)
                }
            }
        } catch is CancellationError {
            return
        } catch {
            logger.error("this check has ended: \(error)")
        }
    }
}
