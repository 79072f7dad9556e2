import TestSupport
import Testing
import TocsinWire

@testable import TocsinCore

/// What a hub must know again after a restart, kept in the plainest form beside the core: sets and counts, no queues.
struct Knowledge {
    struct PoolKnowledge {
        var acked: Set<UInt64> = []
        var dead: Set<UInt64> = []
        /// Deliveries that were given back, by message.
        var attempts: [UInt64: Int] = [:]
        var settlements: UInt64 = 0
        var deadLettered: UInt64 = 0
        var revived: UInt64 = 0
        var cancelled: Set<UInt64> = []
        var discarded: Set<UInt64> = []
    }
    var pools: [String: PoolKnowledge] = [:]
}

/// One random history of a hub: producers, workers and admins that do anything at any time, with the knowledge that each
/// journal record brings, so that the journal can be cut anywhere and the rest compared.
struct History {
    var random: SplitMix64
    var hub: TestHub
    var options: CoreOptions
    var live = Knowledge()
    /// What is known when the journal ends after so many records.
    var known: [Knowledge] = [Knowledge()]
    /// Definitions and where in the journal each began: number of records before it.
    var declared: [(definition: PoolDefinition, after: Int, createdAfter: UInt64)] = []
    /// Given to a worker and, as far as the worker knows, not settled.
    var outstanding: [Delivered] = []
    var nextID = 0
    var nextSubscription: UInt64 = 1
    var published: [TestMessage] = []
    /// Without delays, retries in the future and revivals, in which order is promised for a key.
    let calm: Bool

    init(seed: UInt64, calm: Bool) throws {
        random = SplitMix64(state: seed)
        options = TestHub.options()
        options.subjects = [try SubjectFilter(">")]
        options.deadLetters = 6
        options.deadLetterWait = 700
        options.aging = 3_000
        self.calm = calm
        hub = TestHub(options: options)
        for peer in UInt64(1)...3 { hub.hello(peer) }
        try declare()
    }

    // MARK: Steps

    mutating func step() throws {
        switch random.below(20) {
        case 0...4: try publish()
        case 5...8: deliver()
        case 9...12: settle()
        case 13: record(hub.core.takeControl())
        case 14: hub.step(.durable(UInt64.random(in: hub.core.durableBatch...hub.lastOrdinal, using: &random)))
        case 15: for _ in 0..<random.below(30) where try !hub.catchUp() { break }
        case 16: advance()
        case 17: if random.chance(0.1) { try declare() } else if random.chance(0.05) { checkpoint() }
        case 18: membership()
        default: if !calm { random.chance(0.5) ? revive() : random.chance(0.7) ? cancel() : discard() }
        }
        observeDead()
    }

    private mutating func record(_ control: Bytes?) {
        guard let control else { return }
        hub.append(.control(control))
        known.append(live)
    }

    private mutating func publish() throws {
        welcome(1)
        var batch: [TestMessage] = []
        for _ in 0...random.below(5) {
            if random.chance(0.15), let old = published.randomElement(using: &random) {
                batch.append(old)
                continue
            }
            nextID += 1
            batch.append(
                TestMessage(
                    id: "m\(nextID)", subject: ["a", "a.x", "a.y.z", "unrouted.u"][random.below(4)],
                    severity: WireSeverity(rawValue: UInt8(random.below(4) + 1))!,
                    key: random.chance(0.6) ? "k\(random.below(4))" : "",
                    notBefore: !calm && random.chance(0.2) ? hub.now.wall + UInt64(random.below(2_000)) : 0))
        }
        let before = hub.journal.count
        try hub.publish(1, batch)
        published += batch
        if hub.journal.count > before { known.append(known[before]) }
    }

    private mutating func deliver() {
        for delivered in hub.deliver(atMost: 1 + random.below(20)) { outstanding.append(delivered) }
    }

    private mutating func settle() {
        for _ in 0..<random.below(6) {
            guard let index = outstanding.indices.randomElement(using: &random) else { return }
            let delivered = random.chance(0.9) ? outstanding.remove(at: index) : outstanding[index]
            guard
                let number = hub.core.peers[delivered.peer]?.subscriptions.first(where: { $0.id == delivered.subscription })?.pool
            else { continue }
            let pool = hub.core.pools[number]
            let isLatest = pool.leases.find(delivered.row.token, sequence: delivered.row.sequence).map {
                $0.peer == delivered.peer && $0.subscription == delivered.subscription
            }
            let outcome = random.chance(0.7) ? Outcome.ack : random.chance(0.7) ? .retry : .reject
            hub.settle(delivered, outcome, delay: !calm && random.chance(0.5) ? UInt32(random.below(1_500)) : 0, reason: "r")
            let name = pool.definition.name
            guard isLatest == true else {
                #expect(hub.counters(name).staleSettlements == pool.counters.staleSettlements + 1)
                continue
            }
            if outcome == .ack {
                #expect(live.pools[name, default: .init()].acked.insert(delivered.row.sequence).inserted, "acked once")
                live.pools[name]?.settlements += 1
            }
        }
    }

    private mutating func advance() {
        hub.advance(UInt64(random.below(900)))
        for peer in hub.core.peerOrder where random.chance(0.97) { hub.step(.heartbeat(peer, id: 0)) }
    }

    private mutating func declare() throws {
        guard declared.count < 5 else { return }
        welcome(1)
        let definition = try PoolDefinition(
            name: "p\(declared.count)", filters: [["a.>", "a"], ["a.x"], [">"]][random.below(3)],
            visibility: UInt64(300 + random.below(3_000)), maxAttempts: UInt32(1 + random.below(4)),
            fromStart: random.chance(0.5),
            backoff: !calm && random.chance(0.3) ? UInt64(random.below(400)) : 0, exclusive: random.chance(0.2))
        record(hub.core.takeControl())
        declared.append((definition, hub.journal.count, hub.core.lastSequence))
        let before = hub.journal.count
        hub.declare(1, definition)
        for _ in before..<hub.journal.count { known.append(live) }
    }

    /// As a journal does when it begins a segment.
    private mutating func checkpoint() {
        record(hub.core.takeControl())
        record(hub.core.checkpoint())
    }

    private mutating func welcome(_ peer: PeerID) {
        if hub.core.peers[peer] == nil { hub.hello(peer) }
    }

    private mutating func membership() {
        let peer = UInt64(1 + random.below(3))
        welcome(peer)
        switch random.below(8) {
        case 0: hub.step(.lost(peer))
        case 1:
            guard let open = hub.core.peers[peer]?.subscriptions.randomElement(using: &random) else { return }
            hub.step(.unsubscribe(peer, subscription: open.id))
        case 2:
            guard let open = hub.core.peers[peer]?.subscriptions.randomElement(using: &random) else { return }
            hub.step(.credit(peer, subscription: open.id, UInt32(1 + random.below(3))))
        default:
            guard let pool = declared.randomElement(using: &random)?.definition.name else { return }
            nextSubscription += 1
            hub.step(.subscribe(peer, subscription: nextSubscription, pool: pool, credit: UInt32(1 + random.below(8))))
        }
    }

    private mutating func revive() {
        guard let pool = declared.randomElement(using: &random)?.definition.name else { return }
        let dead = Array(live.pools[pool]?.dead ?? []).sorted()
        guard let one = dead.randomElement(using: &random) else { return }
        let sequences = random.chance(0.3) ? [] : [one]
        let revived = hub.core.retryDeadLetters(pool: pool, sequences, at: hub.now) ?? 0
        #expect(revived == (sequences.isEmpty ? dead.count : 1))
        live.pools[pool]?.revived += UInt64(revived)
        live.pools[pool]?.dead.subtract(sequences.isEmpty ? dead : sequences)
    }

    /// Of messages stored for later, some are due, settled or dead by now: then nothing changes.
    private mutating func cancel() {
        let later = hub.messages.filter { $0.value.notBefore > 0 }.sorted { $0.key < $1.key }
        guard let (sequence, message) = later.randomElement(using: &random), sequence <= hub.core.durableSequence else { return }
        let before = hub.core.pools
        let isCancelled = hub.cancel(message.id)
        var isChanged = false
        for (was, pool) in zip(before, hub.core.pools) where pool.counters.cancelled != was.counters.cancelled {
            isChanged = true
            #expect(pool.counters.cancelled == was.counters.cancelled + 1)
            #expect(live.pools[pool.definition.name, default: .init()].cancelled.insert(sequence).inserted, "cancelled once")
        }
        #expect(isCancelled == isChanged)
    }

    private mutating func discard() {
        guard let pool = declared.randomElement(using: &random)?.definition.name else { return }
        guard let one = Array(live.pools[pool]?.dead ?? []).sorted().randomElement(using: &random) else { return }
        let discarded = hub.core.discardDeadLetters(pool: pool, [one, one])
        #expect(discarded == 1)
        live.pools[pool]?.dead.remove(one)
        live.pools[pool]?.discarded.insert(one)
    }

    /// Dead letters come about in many ways; they are seen by comparing.
    private mutating func observeDead() {
        for pool in hub.core.pools {
            let name = pool.definition.name
            let dead = Set(pool.dead.keys)
            let new = dead.subtracting(live.pools[name]?.dead ?? [])
            live.pools[name, default: .init()].deadLettered += UInt64(new.count)
            live.pools[name]?.dead = dead
        }
    }

    // MARK: Comparing

    /// Sequences a pool must have been offered when the journal ends after `count` records.
    func matched(_ index: Int, records count: Int) -> Set<UInt64> {
        let pool = declared[index]
        var result: Set<UInt64> = []
        for record in hub.journal.prefix(count) {
            guard case .messages(let first, _, let batch) = record else { continue }
            for (offset, message) in batch.enumerated() {
                let sequence = first + UInt64(offset)
                guard sequence > pool.createdAfter || pool.definition.fromStart else { continue }
                if pool.definition.filters.contains(where: { $0.matches(message.subject) }) { result.insert(sequence) }
            }
        }
        return result
    }
}

extension SplitMix64 {
    init(_ seed: UInt64) { self.init(state: seed) }
}
