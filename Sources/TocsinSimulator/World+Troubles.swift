import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinWire

/// How likely what is in one history. Each history has some of them only, so that each is seen without the others too.
struct Troubles {
    /// Mean milliseconds between two of a kind; 0: never.
    var crash = 0
    var stop = 0
    var lostConnection = 0
    var stall = 0
    var clientCrash = 0
    var pause = 0
    var clockJump = 0
    var diskFull = 0
    /// Probabilities.
    var crashInRecovery = 0.0
    var flip = 0.0
    var slowDisk = 0.0
    var repeats = 0.0
    var disk = SimulatedDisk.Faults.none
}

/// Bytes that were changed while the hub was down.
struct Flip {
    var name: String
    var offset: Int
    var masks: [UInt8]
}

extension World {
    /// Draws sizes, faults and clients.
    func populate() {
        var draw = random.fork()
        func sometimes(_ range: ClosedRange<Int>) -> Int { draw.chance(0.6) ? draw.within(range) : 0 }
        func rarely(_ most: Double) -> Double { draw.chance(0.4) ? most * Double(draw.within(1...10)) / 10 : 0 }

        engineOptions.core.heartbeat = draw.pick([400, 1000, 2000])
        engineOptions.core.aging = draw.pick([1000, 3000, 30_000])
        engineOptions.core.dedupWindow = draw.pick([1500, 8000, 120_000])
        engineOptions.core.deliveryBatch = draw.pick([1, 4, 256])
        engineOptions.core.pendingMessages = draw.pick([20, 1 << 20, 1 << 20])
        engineOptions.core.deadLetters = draw.pick([4, 100_000])
        engineOptions.core.deadLetterWait = 1500
        engineOptions.journal.segmentBytes = draw.pick([48 << 10, 96 << 10, 256 << 10])
        engineOptions.journal.retainBytes = draw.pick([0, 0, 256 << 10])
        engineOptions.journal.retainAge = draw.pick([2000, 7 * 86_400_000])
        engineOptions.journal.recentBytes = draw.pick([1 << 10, 32 << 10, 8 << 20])
        engineOptions.journal.blockCacheBytes = draw.pick([1 << 10, 64 << 10])
        engineOptions.journal.blockBytes = draw.pick([1 << 10, 16 << 10])
        engineOptions.receivedPerTurn = draw.pick([1, 4, 256])
        engineOptions.deliveredPerTurn = draw.pick([1, 8, 8192])
        engineOptions.markAfter = draw.pick([50, 200])
        // Where ids are remembered for long, so are the messages: what does not fit would never come to rest.
        var limit = SplitMix64(seed: draw.state)
        if engineOptions.core.dedupWindow < 10_000, limit.chance(0.3) {
            engineOptions.journal.maxBytes = engineOptions.journal.segmentBytes * limit.within(5...12)
        }
        checker.deadLetters = engineOptions.core.deadLetters
        checker.deadLetterWait = engineOptions.core.deadLetterWait
        checker.aging = engineOptions.core.aging
        checker.dedupWindow = engineOptions.core.dedupWindow
        network.latency = draw.pick([200, 3000, 60_000])
        if draw.chance(0.3) { network.highWater = draw.within(3...30) }

        troubles.crash = sometimes(1000...8000)
        troubles.stop = sometimes(5000...20_000)
        troubles.lostConnection = sometimes(500...5000)
        troubles.stall = sometimes(1000...6000)
        troubles.clientCrash = sometimes(1000...6000)
        troubles.pause = sometimes(3000...15_000)
        troubles.clockJump = sometimes(5000...20_000)
        troubles.diskFull = sometimes(4000...15_000)
        troubles.crashInRecovery = rarely(0.5)
        troubles.flip = rarely(0.5)
        troubles.slowDisk = rarely(0.05)
        troubles.repeats = rarely(0.1)
        troubles.disk = SimulatedDisk.Faults(
            write: rarely(0.004), sync: rarely(0.004), read: rarely(0.004), folder: rarely(0.2))
        disk.faults = troubles.disk

        populate(&draw)
    }

    private func populate(_ draw: inout SplitMix64) {
        let filters = draw.pick([["event.>", "alert.>"], ["event.web.*", "alert.>"], [">"]])
        let main = PoolTerms(
            visibility: 3000, maxAttempts: 4, backoff: draw.pick([0, 0, 100]), exclusive: draw.chance(0.15))
        do {
            // One pool of the configuration; the others come with their workers.
            engineOptions.pools = [
                try PoolDefinition(
                    name: "main", filters: filters, visibility: main.visibility, maxAttempts: UInt32(main.maxAttempts),
                    backoff: main.backoff, exclusive: main.exclusive)
            ]
            engineOptions.core.subjects = [try SubjectFilter("event.>"), try SubjectFilter("alert.>")]
        } catch { checker.fail("answer", "\(error)") }
        var plans = [PoolPlan(name: "main", filters: filters, terms: main)]
        let alerts = PoolTerms(
            visibility: UInt64(draw.within(500...2000)), maxAttempts: draw.within(1...6), backoff: draw.pick([0, 0, 50, 700]),
            exclusive: draw.chance(0.3))
        plans.append(PoolPlan(name: "alerts", filters: ["alert.*"], terms: alerts))
        if draw.chance(0.6) {
            let late = PoolTerms(visibility: 1500, maxAttempts: 3, fromStart: true)
            plans.append(PoolPlan(name: "late", filters: ["event.web.>"], terms: late))
        }
        poolNames = plans.map(\.name)
        func add(_ make: (Int, SplitMix64) -> Client) { clients.append(make(clients.count, draw.fork())) }
        let keys = draw.within(1...8)
        let payload = draw.pick([40, 1000, 5000, 9000])
        for number in 1...draw.within(1...3) {
            let messages = draw.within(40...160)
            add {
                Producer(
                    index: $0, name: "p\(number)", world: self, random: $1, messages: messages, keys: keys, payload: payload)
            }
        }
        for plan in plans {
            let isAngry = draw.chance(0.08)
            for number in 1...draw.within(1...3) {
                let credit = isAngry ? 200 : draw.pick([1, 3, 20, 200])
                let slowness = draw.pick([1000, 50_000, 700_000] as [UInt64])
                add {
                    Worker(
                        index: $0, name: "\(plan.name)-\(number)", world: self, random: $1, plan: plan, credit: credit,
                        slowness: slowness, isAngry: isAngry)
                }
            }
        }
        for (number, filters) in [[">"], ["alert.>", "event.db"]].enumerated() {
            do {
                let parsed = try filters.map { try SubjectFilter($0) }
                let credit = draw.within(1...60)
                let isLive = draw.chance(0.4)
                add {
                    Tap(
                        index: $0, name: "tap-\(number)", world: self, random: $1, filters: parsed, credit: credit, isLive: isLive
                    )
                }
            } catch { checker.fail("answer", "\(error)") }
        }
        for number in 1...2 { add { Server(index: $0, name: "server-\(number)", world: self, random: $1) } }
        add { Caller(index: $0, name: "caller", world: self, random: $1) }
    }

    // MARK: Trouble

    /// Each kind of trouble comes again and again, at random distances.
    func plan() {
        again(troubles.crash) { [unowned self] in
            guard hub != nil else { return }
            // At once, or in one of the next file operations.
            if random.chance(0.3) { endHub("killed") } else { disk.operationsLeft = random.below(4) }
        }
        again(troubles.stop) { [unowned self] in
            guard random.chance(0.5), let hub else { return stopHub() }
            hub.engine.beginDraining()
            checker.isDraining = true
            after(random.within(1000...2_000_000)) { [unowned self] in if self.hub === hub { stopHub() } }
        }
        again(troubles.lostConnection) { [unowned self] in loseConnection() }
        again(troubles.stall) { [unowned self] in
            random.pick(clients).stalledUntil = clock.now + random.within(100_000...8_000_000)
        }
        again(troubles.clientCrash) { [unowned self] in
            let client = random.pick(clients)
            if random.chance(0.2) { return client.goodbye() }
            client.crash(noticedWithin: random.pick([1000, 10_000_000]))
            after(random.within(1000...5_000_000)) { client.start() }
        }
        again(troubles.pause) { [unowned self] in
            guard let hub else { return }
            coverage.pauses += 1
            planTurn(hub, at: clock.now + random.within(100_000...8_000_000))
        }
        again(troubles.clockJump) { [unowned self] in
            coverage.clockJumps += 1
            checker.setBack.append((checker.messages.count, clock.moment.wall))
            clock.wallOffset = clock.wallOffset &+ random.within(0...8000) &- 4000
            trace.note("clock-set", clock.moment.wall)
        }
        again(troubles.diskFull) { [unowned self] in
            disk.capacity = 0
            after(random.within(500_000...6_000_000)) { [unowned self] in disk.capacity = .max }
        }
    }

    private func again(_ mean: Int, _ action: @escaping () -> Void) {
        guard mean > 0 else { return }
        after(random.within(0...UInt64(2000 * mean))) { [unowned self] in
            guard isTroubled else { return }
            action()
            again(mean, action)
        }
    }

    /// A connection breaks; the hub's side finds out now or much later, the client's side makes a new one or stays mute.
    private func loseConnection() {
        let client = random.pick(clients)
        guard let connection = client.connection else { return }
        network.sever(connection, noticedWithin: random.pick([1000, 10_000_000]))
        guard random.chance(0.6) else { return }
        client.connection = network.connect(client.index)
        coverage.connectionsRemade += 1
    }

    /// Changes a bit, or a sector, of a batch that a later batch says was durable; or a bit of the beginning of a segment.
    func flip() -> Flip? {
        let visible = disk.visible
        let kept = checker.records.filter { record in visible.contains { $0.name == record.file } }
        let mark = kept.map(\.durable).max() ?? 0
        let candidates = kept.filter { $0.ordinal <= mark }
        guard !candidates.isEmpty else { return nil }
        let record = random.pick(candidates)
        // The last byte of the body at most: what follows is padding.
        var flip = Flip(
            name: record.file, offset: record.offset + random.below(64 + record.bodyCount), masks: [1 << UInt8(random.below(8))])
        if random.chance(0.1) {
            flip.offset = random.below(32)
        } else if random.chance(0.4), let file = visible.first(where: { $0.name == record.file }) {
            let start = flip.offset / SimulatedDisk.sector * SimulatedDisk.sector
            let sector = file.bytes[start..<min(start + SimulatedDisk.sector, file.bytes.count)]
            let isZeroed = random.chance(0.5)
            let masks = sector.map { isZeroed ? $0 : UInt8(truncatingIfNeeded: random.next()) }
            let hit = kept.filter { $0.file == flip.name && $0.offset < sector.endIndex && $0.end > start }
            let isChanged = hit.contains { record in
                (max(record.offset, start)..<min(record.end, sector.endIndex)).contains { masks[$0 - start] != 0 }
            }
            // What says that the first of them was durable must be elsewhere.
            let first = hit.map(\.ordinal).min() ?? 0
            let isKnown = kept.contains { other in
                other.durable >= first && !hit.contains { $0.ordinal == other.ordinal }
            }
            if isChanged, isKnown { flip = Flip(name: record.file, offset: start, masks: masks) }
        }
        if flip.masks.count > 1 { coverage.sectorsFlipped += 1 } else { coverage.flips += 1 }
        trace.note("flip", UInt64(flip.offset), UInt64(flip.masks[0]), UInt64(flip.masks.count), 0, flip.name)
        disk.flip(flip.name, at: flip.offset, flip.masks)
        return flip
    }

    // MARK: Rest

    /// From here on nothing goes wrong any more.
    func endTroubles() {
        trace.note("troubles-end")
        isTroubled = false
        disk.faults = .none
        disk.operationsLeft = nil
        disk.capacity = .max
        network.highWater = 100_000
        network.latency = 1000
        for client in clients {
            client.stalledUntil = 0
            client.start()
        }
        lookForRest()
    }

    /// A minute after the troubles somebody is still refused because the journal has its limit.
    var isStuckAtLimit: Bool {
        guard let hub, clock.now > (options.duration + 60_000) * 1000 else { return false }
        return hub.engine.isAtLimit && clients.contains { $0 is Producer && !$0.isAtRest }
    }

    private func lookForRest() {
        after(300_000) { [unowned self] in
            guard unrest == nil, let hub else { return lookForRest() }
            checkQuiet(hub, "liveness")
            checker.checkFates()
            deadline += 100_000_000
            guard random.chance(0.1) else { return end(hub) }
            // Once a minute the hub lets go of what nobody needs.
            let needed = checker.needed
            after(62_000_000) { [unowned self] in
                // A stop that was begun before the troubles ended may have come in between.
                guard unrest == nil, let hub = self.hub else {
                    return checker.fail("liveness", "after it was at rest \(unrest ?? "")")
                }
                checker.checkSize(
                    hub.engine.journal.bytes, needed: needed, segmentBytes: engineOptions.journal.segmentBytes,
                    retainBytes: engineOptions.journal.retainBytes)
                end(hub)
            }
        }
    }

    private func end(_ hub: Hub) {
        let bytes = disk.visible.reduce(0) { $0 + ($1.name.hasPrefix("segment-") ? $1.bytes.count : 0) }
        if bytes != hub.engine.journal.bytes {
            checker.fail("bounds", "the segments take \(bytes) bytes on disk, the hub says \(hub.engine.journal.bytes)")
        }
        endHub("the end", powerCut: true)
        after(10_000_000) { [unowned self] in
            if self.hub == nil { checker.fail("liveness", "the hub did not start again") }
            isOver = true
        }
    }

    /// What is not yet as it must become, nil at rest.
    var unrest: String? {
        guard let hub else { return "the hub is down" }
        if let client = clients.first(where: { !$0.isAtRest }) { return "\(client.name) waits" }
        let unsettled = hub.engine.core.poolSnapshots(at: clock.moment).first { $0.queued + $0.inFlight > 0 }
        if let pool = unsettled { return "\(pool.name) has \(pool.queued) queued and \(pool.inFlight) in flight" }
        if hub.engine.core.callsInFlight > 0 { return "\(hub.engine.core.callsInFlight) calls are in flight" }
        if !hub.engine.isQuiet || hub.work != nil { return "the journal is not written" }
        if !hub.jobs.isEmpty || hub.engine.journal.isJobFailing { return "a segment is still being made or removed" }
        return nil
    }
}
