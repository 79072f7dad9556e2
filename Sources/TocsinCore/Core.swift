import DequeModule
import HeapModule
import TocsinWire

/// The hub's routing state machine: sessions, pools, leases, duplicates, calls. Pure: `step` is its only way to change, it
/// reads no clock, socket, file or random source, and the same events give the same effects. One thread at a time.
public struct Core {
    public let options: CoreOptions
    let hash: RoutingHash
    let epoch: UInt64
    let slab = EntrySlab()

    var pools: [Pool] = []
    var poolIndex: [String: Int] = [:]
    var routes: [UInt64: Route] = [:]
    var dedup: DedupWindow
    var pending: Deque<PendingBatch> = []
    var pendingCount = 0
    var timers = Heap<Timer>()
    var timerOrder: UInt64 = 0
    var delayedMessages = DelayedMessages()

    var peers: [PeerID: Peer] = [:]
    var peerOrder: [PeerID] = []
    var services: [String: Service] = [:]
    /// Services that somebody has offered since the start, up to `knownServicesMax`.
    var knownServices: Set<String> = []
    /// Until then nobody knows who will be back.
    var graceUntil: UInt64 = 0
    var calls: [UInt64: Call] = [:]
    var callIndex: [CallKey: UInt64] = [:]
    var callDeadlines = Heap<CallDeadline>()
    var nextCall = Limits.servedCallID + 1
    var lastSweep: UInt64 = 0
    /// Where the next round of deliveries begins, so that no pool is always last.
    private var nextPool = 0
    /// Timers and leases one tick ends at most; `untilDue` is 0 while there are more.
    private static let expiriesATick = 8_192

    /// Ordinals of the batch appended last and of the last one known to be on disk.
    public internal(set) var lastBatch: UInt64 = 0
    public internal(set) var durableBatch: UInt64 = 0
    /// Sequence of the message stored last.
    public internal(set) var lastSequence: UInt64 = 0
    /// Every message up to here is on disk and offered to the pools.
    public internal(set) var durableSequence: UInt64 = 0
    public internal(set) var accepted: UInt64 = 0
    public internal(set) var duplicates: UInt64 = 0

    var control = ControlWriter()
    /// Acknowledged since the last control batch, by pool.
    var acked: [[UInt64]] = []
    /// Answers that wait for the next control batch.
    var controlAnswers: [Answer] = []
    var replaying = Replay()

    struct Route {
        var subject: [UInt8]
        var mask: UInt64
        var space: UInt64
        var stored: Bool
    }
    struct PendingBatch {
        /// 0 until it is appended.
        var batch: UInt64
        var firstSequence: UInt64
        var metas: [MessageMeta]
        var answer: Answer
    }
    enum Answer {
        case accepted(PeerID, request: UInt64, stored: Int, duplicates: Int)
        case declared(PeerID, request: UInt64)
        case replied(call: UInt64, CallFrame)
    }
    struct Timer: Comparable {
        var due: UInt64
        var order: UInt64
        var pool: Int
        var waiting: Waiting
        static func < (a: Timer, b: Timer) -> Bool { (a.due, a.order) < (b.due, b.order) }
        static func == (a: Timer, b: Timer) -> Bool { (a.due, a.order) == (b.due, b.order) }
    }
    struct Peer {
        var description: PeerDescription
        var connected: UInt64
        var heard: UInt64
        var said: UInt64
        /// Pool by subscription, in order of joining.
        var subscriptions: [(id: UInt64, pool: Int)] = []
        var services: [String] = []
        var calls = 0
        var serving = 0
    }

    /// `seed`: the journal's identity, for keyed hashes. `epoch`: number of this start of the hub.
    public init(options: CoreOptions, seed: UInt64, epoch: UInt64) {
        self.options = options
        self.epoch = epoch
        hash = RoutingHash(seed: seed)
        dedup = DedupWindow(window: options.dedupWindow)
    }

    /// The only way anything changes after replay. Effects are appended to `effects`.
    public mutating func step(_ event: Event, at now: Moment, into effects: inout [Effect]) {
        switch event {
        case .hello(let peer, let description): hello(peer, description, now, &effects)
        case .lost(let peer): forget(peer, why: "it left", now, &effects)
        case .durable(let batch): durable(batch, now, &effects)
        case .tick: tick(now, &effects)
        case .heartbeat(let peer, let id):
            guard welcomed(peer, id: id, now, &effects) else { return }
            effects.append(.heartbeat(peer, id: id))
        case .publish(let peer, let request, let metas):
            guard welcomed(peer, id: request, now, &effects) else { return }
            publish(peer, request, metas, now, &effects)
        case .declare(let peer, let request, let definition):
            guard welcomed(peer, id: request, now, &effects) else { return }
            do {
                try declare(definition)
                if let pool = poolIndex[definition.name] {
                    pools[pool].leases.limitDeadlines(to: now.steady + definition.visibility)
                }
                controlAnswers.append(.declared(peer, request: request))
            } catch { effects.append(.status(peer, id: request, error)) }
        case .subscribe(let peer, let subscription, let pool, let credit):
            guard welcomed(peer, id: subscription, now, &effects) else { return }
            do {
                try subscribe(peer, subscription, pool, credit)
                effects.append(.status(peer, id: subscription, WireError(.ok, "")))
            } catch { effects.append(.status(peer, id: subscription, error)) }
        case .credit(let peer, let subscription, let more):
            guard welcomed(peer, id: subscription, now, &effects) else { return }
            do { try addCredit(peer, subscription, more) } catch {
                effects.append(.status(peer, id: subscription, error))
            }
        case .settle(let peer, let subscription, let entries, let reasons):
            guard welcomed(peer, id: subscription, now, &effects) else { return }
            do { try settle(peer, subscription, entries, reasons, now) } catch {
                effects.append(.status(peer, id: subscription, error))
            }
        case .unsubscribe(let peer, let subscription):
            guard welcomed(peer, id: subscription, now, &effects) else { return }
            do { try unsubscribe(peer, subscription, now) } catch {
                effects.append(.status(peer, id: subscription, error))
            }
        case .serve(let peer, let request, let service, let exclusive):
            guard welcomed(peer, id: request, now, &effects) else { return }
            serve(peer, request, service, exclusive, &effects)
        case .withdraw(let peer, let request, let service):
            guard welcomed(peer, id: request, now, &effects) else { return }
            peers[peer]?.services.removeAll { $0 == service }
            withdraw(peer, service)
            effects.append(.status(peer, id: request, WireError(.ok, "")))
        case .call(let peer, let id, let service, let timeout, let frame):
            guard welcomed(peer, id: id, now, &effects) else { return }
            do { try call(peer, id, service, timeout, frame, now, &effects) } catch {
                effects.append(.status(peer, id: id, error))
            }
        case .message(let peer, let id, let frame):
            guard welcomed(peer, id: id, now, &effects) else { return }
            message(peer, id, frame, &effects)
        case .headers(let peer, let id, let frame):
            guard welcomed(peer, id: id, now, &effects) else { return }
            headers(peer, id, frame, &effects)
        case .reply(let peer, let id, let frame):
            guard welcomed(peer, id: id, now, &effects) else { return }
            reply(peer, id, frame, &effects)
        case .cancel(let peer, let id):
            guard welcomed(peer, id: id, now, &effects) else { return }
            cancel(peer, id, &effects)
        case .window(let peer, let id, let more):
            guard welcomed(peer, id: id, now, &effects) else { return }
            window(peer, id, more, &effects)
        // Also from a peer without a session: it is told, and it counts.
        case .broken(let peer, let id, let error): broken(peer, id, error, &effects)
        case .answered(let call, let frame): answered(call, frame, &effects)
        case .refused(let call, let error): refused(call, error, &effects)
        }
    }

    // MARK: Sessions

    /// Whether a peer has a session; also notes that it was heard. Tells it to say hello if it has none.
    public mutating func welcomed(_ peer: PeerID, id: UInt64, _ now: Moment, _ effects: inout [Effect]) -> Bool {
        guard peers[peer] != nil else {
            effects.append(.status(peer, id: id, WireError(.notWelcomed, "no session: send hello and wait for welcome")))
            return false
        }
        peers[peer]?.heard = now.steady
        return true
    }

    private mutating func hello(
        _ peer: PeerID, _ description: PeerDescription, _ now: Moment, _ effects: inout [Effect]
    ) {
        if peers[peer] == nil {
            guard peers.count < Limits.peers else {
                effects.append(.status(peer, id: 0, WireError(.tooMany, "the hub has \(Limits.peers) peers; try again later")))
                return
            }
            peerOrder.append(peer)
            peers[peer] = Peer(
                description: description, connected: now.steady, heard: now.steady, said: now.steady)
        } else {
            peers[peer]?.description = description
            peers[peer]?.heard = now.steady
        }
        effects.append(.welcome(peer))
    }

    private mutating func forget(_ peer: PeerID, why: String, _ now: Moment, _ effects: inout [Effect]) {
        guard let gone = peers[peer] else { return }
        for (subscription, _) in gone.subscriptions {
            leave(peer, subscription, why: "worker \(gone.description.name) lost: \(why)", now)
        }
        endCalls(of: peer, gone, &effects)
        peers[peer] = nil
        peerOrder.removeAll { $0 == peer }
        effects.append(.forgotten(peer, why: why))
    }

    private mutating func subscribe(
        _ peer: PeerID, _ subscription: UInt64, _ name: String, _ credit: UInt32
    ) throws(WireError) {
        guard let pool = poolIndex[name] else {
            throw WireError(.unknownPool, "there is no pool \"\(name.shortened(to: 64))\"; declare it first")
        }
        guard credit >= 1, credit <= UInt32(Limits.credit) else {
            throw WireError(.badCredit, "credit \(credit); 1 to \(Limits.credit) are possible")
        }
        guard let known = peers[peer], known.subscriptions.count < Limits.subscriptions else {
            throw WireError(.tooMany, "a peer has at most \(Limits.subscriptions) subscriptions")
        }
        guard !known.subscriptions.contains(where: { $0.id == subscription }) else {
            throw WireError(.badBody, "subscription \(subscription) is open already")
        }
        peers[peer]?.subscriptions.append((subscription, pool))
        pools[pool].members.append(Membership(peer: peer, subscription: subscription, credit: Int(credit)))
    }

    private func openPool(_ peer: PeerID, _ subscription: UInt64) -> Int? {
        peers[peer]?.subscriptions.first { $0.id == subscription }?.pool
    }

    private func pool(of peer: PeerID, _ subscription: UInt64) throws(WireError) -> Int {
        guard let pool = openPool(peer, subscription) else {
            throw WireError(.unknownSubscription, "subscription \(subscription) is not open")
        }
        return pool
    }

    private mutating func addCredit(_ peer: PeerID, _ subscription: UInt64, _ more: UInt32) throws(WireError) {
        let pool = try pool(of: peer, subscription)
        guard let member = pools[pool].member(peer, subscription) else { return }
        let total = pools[pool].members[member].credit + pools[pool].members[member].held + Int(more)
        guard more >= 1, total <= Limits.credit else {
            throw WireError(.badCredit, "\(more) more would make \(total); 1 to \(Limits.credit) are possible")
        }
        pools[pool].members[member].credit += Int(more)
    }

    private mutating func unsubscribe(_ peer: PeerID, _ subscription: UInt64, _ now: Moment) throws(WireError) {
        _ = try pool(of: peer, subscription)
        leave(peer, subscription, why: "the worker left the pool", now)
    }

    private mutating func leave(_ peer: PeerID, _ subscription: UInt64, why: String, _ now: Moment) {
        guard let pool = openPool(peer, subscription) else { return }
        peers[peer]?.subscriptions.removeAll { $0.id == subscription }
        pools[pool].members.removeAll { $0.peer == peer && $0.subscription == subscription }
        let held = pools[pool].leases.tokens { $0.peer == peer && $0.subscription == subscription }
        // Newest first, so that putting each back at the front leaves them in their old order.
        for token in held.reversed() { giveBack(pool, token, reason: why, now) }
    }

    // MARK: Settling

    private mutating func settle(
        _ peer: PeerID, _ subscription: UInt64, _ entries: [SettleEntry], _ reasons: [String], _ now: Moment
    ) throws(WireError) {
        let pool = try pool(of: peer, subscription)
        var nextReason = 0
        var credit = 0
        for entry in entries {
            var reason = ""
            if entry.outcome != .ack {
                if nextReason < reasons.count { reason = reasons[nextReason] }
                nextReason += 1
            }
            guard let lease = pools[pool].leases.find(entry.token, sequence: entry.sequence), lease.peer == peer,
                lease.subscription == subscription
            else {
                pools[pool].counters.staleSettlements += 1
                continue
            }
            credit += 1
            pools[pool].leases.remove(entry.token)
            switch entry.outcome {
            case .ack:
                finish(pool, lease)
                pools[pool].failures.forget(entry.sequence)
                pools[pool].counters.acked += 1
                acked[pool].append(entry.sequence)
            case .retry:
                let delay = entry.delay > 0 ? UInt64(entry.delay) : pools[pool].definition.wait(after: lease.entry.attempts)
                again(pool, lease, after: delay, reason: reason.isEmpty ? "retry asked" : reason, now)
            case .reject: giveUp(pool, lease, reason: reason.isEmpty ? "rejected" : reason, now)
            }
        }
        giveCredit(pool, peer, subscription, credit)
    }

    /// Deliveries that ended, settled or not, make room for as many more.
    private mutating func giveCredit(_ pool: Int, _ peer: PeerID, _ subscription: UInt64, _ count: Int) {
        guard count > 0, let member = pools[pool].member(peer, subscription) else { return }
        pools[pool].members[member].credit += count
        pools[pool].members[member].held -= count
    }

    private mutating func finish(_ pool: Int, _ lease: Lease) {
        pools[pool].unsettled.remove(lease.entry.sequence)
        pools[pool].release(lane: lease.lane)
    }

    /// A delivery that ended without a settlement.
    private mutating func giveBack(_ pool: Int, _ token: UInt64, after delay: UInt64 = 0, reason: String, _ now: Moment) {
        guard let lease = pools[pool].leases.find(token, sequence: pools[pool].leases.sequence(of: token)) else { return }
        pools[pool].leases.remove(token)
        again(pool, lease, after: delay, reason: reason, now)
    }

    private mutating func again(_ pool: Int, _ lease: Lease, after delay: UInt64, reason: String, _ now: Moment) {
        guard lease.entry.attempts < pools[pool].definition.maxAttempts else {
            return giveUp(pool, lease, reason: "attempt \(lease.entry.attempts), the last: \(reason)", now)
        }
        putBack(pool, lease, after: delay, reason: reason, now)
    }

    private mutating func putBack(_ pool: Int, _ lease: Lease, after delay: UInt64, reason: String, _ now: Moment) {
        pools[pool].counters.redelivered += 1
        let failed = FailedAttempt(
            attempt: lease.entry.attempts, time: now.wall, reason: reason.shortened(to: FailureHistory.reasonMax))
        pools[pool].failures.add(failed, to: lease.entry.sequence)
        control.attempt(pool: pool, sequence: lease.entry.sequence, failed)
        var entry = lease.entry
        entry.next = EntrySlab.none
        if let waiting = pools[pool].putBack(entry, lane: lease.lane, wait: delay > 0, slab) {
            schedule(pool, waiting, due: now.wall + delay)
        }
    }

    private mutating func giveUp(_ pool: Int, _ lease: Lease, reason: String, _ now: Moment) {
        guard pools[pool].dead.count < options.deadLetters else {
            return putBack(pool, lease, after: options.deadLetterWait, reason: reason, now)
        }
        finish(pool, lease)
        let letter = DeadLetterEntry(
            sequence: lease.entry.sequence, attempts: lease.entry.attempts, reason: reason.shortened(to: 1024), time: now.wall,
            severity: lease.entry.severity, keyHash: lease.entry.keyHash)
        pools[pool].dead[letter.sequence] = letter
        pools[pool].counters.deadLettered += 1
        control.dead(pool: pool, letter)
    }

    mutating func schedule(_ pool: Int, _ waiting: Waiting, due: UInt64) {
        timerOrder += 1
        timers.insert(Timer(due: due, order: timerOrder, pool: pool, waiting: waiting))
    }

    // MARK: Time

    private mutating func tick(_ now: Moment, _ effects: inout [Effect]) {
        var left = Self.expiriesATick
        while left > 0, let timer = timers.min, timer.due <= now.wall {
            left -= 1
            timers.removeMin()
            pools[timer.pool].resume(timer.waiting, now: seconds(now), slab)
        }
        for pool in pools.indices {
            left = Self.expiriesATick
            while left > 0, let (token, lease) = pools[pool].leases.first, lease.deadline <= now.steady {
                left -= 1
                giveCredit(pool, lease.peer, lease.subscription, 1)
                giveBack(
                    pool, token, after: pools[pool].definition.wait(after: lease.entry.attempts),
                    reason: "not settled within \(pools[pool].definition.visibility) ms", now)
            }
        }
        expireCalls(now, &effects)
        guard now.steady >= lastSweep + options.heartbeat / 4 else { return }
        lastSweep = now.steady
        for peer in peerOrder {
            guard let known = peers[peer] else { continue }
            if now.steady > known.heard + options.heartbeat * 3 {
                forget(peer, why: "no word for \(now.steady - known.heard) ms", now, &effects)
            } else {
                // A word to everyone who holds something finds out at once when the connection is gone.
                let holds = !known.subscriptions.isEmpty || known.serving > 0
                if holds || now.steady > known.said + options.heartbeat {
                    peers[peer]?.said = now.steady
                    effects.append(.heartbeat(peer, id: 0))
                }
            }
        }
    }

    /// Steady milliseconds until something is due, at most `limit`.
    public func untilDue(_ now: Moment, atMost limit: UInt64) -> UInt64 {
        var wait = limit
        if let timer = timers.min { wait = min(wait, timer.due > now.wall ? timer.due - now.wall : 0) }
        for pool in pools {
            if let (_, lease) = pool.leases.first {
                wait = min(wait, lease.deadline > now.steady ? lease.deadline - now.steady : 0)
            }
        }
        if let call = callDeadlines.min { wait = min(wait, call.due > now.steady ? call.due - now.steady : 0) }
        return wait
    }

    func seconds(_ now: Moment) -> UInt32 { UInt32(truncatingIfNeeded: now.steady / 1000) }

    // MARK: Delivering

    /// Gives what is ready to workers with credit, at most `limit` messages; false if more could go. Called once a turn, after
    /// the events of the turn.
    public mutating func deliver(at now: Moment, atMost limit: Int, into effects: inout [Effect]) -> Bool {
        var left = limit
        let second = seconds(now)
        let aging = UInt32(options.aging / 1000)
        for step in pools.indices {
            let index = (nextPool + step) % pools.count
            while pools[index].hasReady(), let member = pools[index].nextWithCredit() {
                guard left > 0 else {
                    nextPool = index + 1
                    return false
                }
                let membership = pools[index].members[member]
                // A share each, so that a few messages do not all go to one worker.
                let ready = Int(pools[index].waiting - pools[index].delayed)
                let sharing = pools[index].definition.exclusive ? 1 : pools[index].members.count
                let share = (ready + sharing - 1) / sharing
                let count = min(membership.credit, options.deliveryBatch, left, max(share, 1))
                var table: [DeliveryEntry] = []
                table.reserveCapacity(count)
                while table.count < count, let (taken, lane) = pools[index].takeNext(now: second, aging: aging, slab) {
                    let entry = taken.attempted
                    let token = pools[index].leases.insert(
                        entry, peer: membership.peer, subscription: membership.subscription,
                        deadline: now.steady + pools[index].definition.visibility, lane: lane)
                    table.append(DeliveryEntry(sequence: entry.sequence, token: token, attempt: UInt16(entry.attempts)))
                }
                left -= table.count
                pools[index].members[member].credit -= table.count
                #if TOCSIN_PLANTED_BUGS
                    if PlantedBug.creditOffByOne.isPlanted { pools[index].members[member].credit += 1 }
                #endif
                pools[index].members[member].held += table.count
                guard !table.isEmpty else { break }
                effects.append(.deliver(membership.peer, subscription: membership.subscription, table))
            }
        }
        return true
    }
}
