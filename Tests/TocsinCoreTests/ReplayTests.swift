import TestSupport
import Testing
import TocsinWire

@testable import TocsinCore

/// Goal: what a hub knows after a crash is what its journal says, no more and no less. Method: random histories whose effects
/// on the journal are also kept as plain sets; the journal is cut anywhere, replayed, and the new hub compared with the sets
/// and then drained.
@Suite("Replay", .timeLimit(.minutes(3)))
struct ReplayTests {
    @Test("a core rebuilt from any part of the journal knows what that part says", arguments: [true, false])
    func cuts(calm: Bool) throws {
        let seed = SplitMix64.seeded().state
        for round in 0..<150 {
            try cut(seed: seed &+ UInt64(round), calm: calm, steps: 300)
        }
    }

    private func cut(seed: UInt64, calm: Bool, steps: Int) throws {
        var history = try History(seed: seed, calm: calm)
        let comment = Comment("seed \(seed) calm \(calm)")
        for step in 0..<steps {
            try history.step()
            if step % 20 == 0 { history.hub.checkInvariants("seed \(seed) step \(step)") }
        }
        history.hub.checkInvariants("seed \(seed)")
        #expect(history.known.count == history.hub.journal.count + 1, comment)
        // The crash: anything from what was promised to everything that was written.
        let count = Int.random(in: Int(history.hub.core.durableBatch)...history.hub.journal.count, using: &history.random)
        let known = history.known[count]
        var now = history.hub.now
        now.steady = 500
        now.wall += 100
        var hub = try TestHub(
            replaying: Array(history.hub.journal.prefix(count)), options: history.options, epoch: 2, now: now)
        while try hub.catchUp() {}
        hub.checkInvariants("seed \(seed) after replay")

        var remaining: [String: Set<UInt64>] = [:]
        for (index, declared) in history.declared.enumerated() where declared.after < count {
            let name = declared.definition.name
            let pool = hub.pool(name)
            let facts = known.pools[name] ?? .init()
            let matched = history.matched(index, records: count)
            #expect(pool.definition == declared.definition, comment)
            #expect(Set(pool.dead.keys) == facts.dead, comment)
            #expect(pool.counters.acked == facts.settlements, comment)
            #expect(pool.counters.deadLettered == facts.deadLettered, comment)
            #expect(pool.counters.revived == facts.revived, comment)
            #expect(pool.counters.cancelled == UInt64(facts.cancelled.count), comment)
            #expect(pool.counters.discarded == UInt64(facts.discarded.count), comment)
            #expect(pool.counters.matched == UInt64(matched.count), comment)
            remaining[name] = matched.subtracting(facts.acked).subtracting(facts.dead).subtracting(facts.cancelled)
                .subtracting(facts.discarded)
            #expect(pool.unsettled.count == remaining[name]?.count, comment)
        }
        #expect(hub.core.pools.count == remaining.count, comment)
        try drain(&hub, remaining, comment)
        try resend(&hub, comment)
    }

    /// Everything that is left is delivered once each, in order within each key, and acknowledged.
    private func drain(_ hub: inout TestHub, _ remaining: [String: Set<UInt64>], _ comment: Comment) throws {
        hub.hello(9)
        var bySubscription: [UInt64: String] = [:]
        for (index, name) in remaining.keys.sorted().enumerated() {
            bySubscription[UInt64(index)] = name
            hub.step(.subscribe(9, subscription: UInt64(index), pool: name, credit: 3))
        }
        var left = remaining
        var lastOfKey: [String: UInt64] = [:]
        for _ in 0..<20_000 where left.values.contains(where: { !$0.isEmpty }) {
            let round = hub.deliver()
            if round.isEmpty {
                hub.advance(200)
                hub.step(.heartbeat(9, id: 0))
            }
            for delivered in round {
                let name = bySubscription[delivered.subscription] ?? "?"
                #expect(left[name]?.remove(delivered.row.sequence) != nil, "\(delivered) is not due \(comment)")
                let message = try #require(hub.messages[delivered.row.sequence])
                if !message.key.isEmpty, message.notBefore == 0 {
                    let key = "\(name) \(message.key)"
                    #expect(lastOfKey[key] ?? 0 < delivered.row.sequence, comment)
                    lastOfKey[key] = delivered.row.sequence
                }
                hub.settle(delivered, .ack)
            }
        }
        #expect(left.values.allSatisfy { $0.isEmpty }, "left: \(left) \(comment)")
        hub.checkInvariants("\(comment)")
        for pool in hub.core.pools { #expect(pool.unsettled.isEmpty && pool.waiting == 0 && pool.delayed == 0, comment) }
    }

    /// A producer that did not hear of its batches sends them again: what was kept is not stored twice.
    private func resend(_ hub: inout TestHub, _ comment: Comment) throws {
        let before = hub.core.lastSequence
        for sequence in hub.messages.keys.sorted() {
            try hub.publish(9, [try #require(hub.messages[sequence])])
        }
        #expect(hub.core.lastSequence == before, comment)
    }

    @Test("a whole journal gives the hub that wrote it: queues, dead letters, counters, attempts, in the same order")
    func whole() throws {
        let seed = SplitMix64.seeded().state
        for round in 0..<60 {
            let comment = Comment("seed \(seed &+ UInt64(round))")
            var history = try History(seed: seed &+ UInt64(round), calm: true)
            for _ in 0..<300 { try history.step() }
            // Everyone leaves, and everything is written.
            for peer in UInt64(1)...3 { history.hub.step(.lost(peer)) }
            try history.hub.sync()
            var live = history.hub
            var replayed = try TestHub(replaying: live.journal, options: history.options, epoch: 2, now: live.now)
            try replayed.sync()
            #expect(replayed.core.lastSequence == live.core.lastSequence, comment)
            #expect(replayed.core.durableSequence == live.core.durableSequence, comment)
            #expect(replayed.core.accepted == live.core.accepted, comment)
            #expect(replayed.core.floor(from: 0) == live.core.floor(from: 0), comment)
            for (before, after) in zip(live.core.pools, replayed.core.pools) {
                #expect(before.definition == after.definition, comment)
                #expect(before.dead == after.dead, comment)
                #expect(before.queued == after.queued, comment)
                #expect(before.counters.matched == after.counters.matched, comment)
                #expect(before.counters.acked == after.counters.acked, comment)
            }
            live.advance(10_000)
            replayed.advance(10_000)
            #expect(keyed(&live) == keyed(&replayed), comment)
        }
    }

    /// Deliveries to one greedy worker by pool and key: sequence and attempt.
    private func keyed(_ hub: inout TestHub) -> [String: [[UInt64]]] {
        hub.hello(9)
        for index in hub.core.pools.indices {
            hub.step(.subscribe(9, subscription: UInt64(index), pool: hub.core.pools[index].definition.name, credit: 10_000))
        }
        var result: [String: [[UInt64]]] = [:]
        var round = hub.deliver()
        while !round.isEmpty {
            for delivered in round {
                let message = hub.messages[delivered.row.sequence]
                let key = message?.key ?? "?"
                // Without a key no order is promised, so each message stands for itself.
                let name = "\(delivered.subscription) \(key.isEmpty ? delivered.id : key)"
                result[name, default: []].append([delivered.row.sequence, UInt64(delivered.row.attempt)])
                hub.settle(delivered, .ack)
            }
            round = hub.deliver()
        }
        return result
    }

    /// Goal: settlements that do not fit into a segment are written in parts, around the checkpoint of the next one, and what a
    /// hub knows from them, counters too, is the same. Method: many rejects with long reasons, and acknowledgements, all at once.
    @Test("settlements in parts, with a checkpoint between them, replay as one")
    func controlInParts() throws {
        var hub = TestHub()
        hub.hello(1)
        try hub.declare(1, "p")
        try hub.publish(1, (0..<1000).map { TestMessage(id: "\($0)") })
        try hub.sync()
        hub.step(.subscribe(1, subscription: 1, pool: "p", credit: 1000))
        let declared = hub.journal.count
        for (number, delivered) in hub.deliver().enumerated() {
            if number % 5 == 0 {
                hub.settle(delivered, .reject, reason: String(repeating: "x", count: 900))
            } else {
                hub.settle(delivered, .ack)
            }
        }
        let limit = 9000
        var parts = 0
        while let part = hub.core.takeControl(atMost: limit) {
            #expect(part.count <= limit && part.count > 0)
            hub.append(.control(part))
            parts += 1
            if parts == 5 { hub.append(.control(hub.core.checkpoint())) }
        }
        #expect(parts > 20 && hub.core.controlBytes == 0)
        let all = try TestHub(replaying: hub.journal, options: TestHub.options(), epoch: 2, now: hub.now)
        let live = hub.core.poolSnapshots(at: hub.now)
        #expect(live[0].counters.acked == 800 && live[0].dead == 200)
        #expect(all.core.poolSnapshots(at: hub.now) == live)
        // A hub that has lost the parts before the checkpoint, and the messages with them, still counts them.
        let checkpoint = declared + 5
        let later = try TestHub(
            replaying: Array(hub.journal[checkpoint...]), options: TestHub.options(), epoch: 2, now: hub.now)
        #expect(later.core.poolSnapshots(at: hub.now)[0].counters.acked == 800)
        #expect(later.core.poolSnapshots(at: hub.now)[0].counters.deadLettered == 200)
    }

    @Test("replay of a long journal does not keep what is settled in memory")
    func longJournal() throws {
        var core = Core(options: TestHub.options(), seed: 1, epoch: 1)
        try core.declare(try PoolDefinition(name: "p", filters: ["a"]))
        let taken = core.takeControl()
        let declaration = try #require(taken)
        var replayed = Core(options: TestHub.options(), seed: 1, epoch: 2)
        try replayed.replayControl(declaration.buffer)
        var writer = ControlWriter()
        for sequence in UInt64(1)...150_000 {
            try replayed.replay([TestMessage(id: "\(sequence)", notBefore: 7)], from: sequence, time: 5)
            // Number 3 becomes a dead letter, is passed over by many clearings, and comes back at the end.
            if sequence == 3 {
                writer.dead(
                    pool: 0,
                    DeadLetterEntry(sequence: 3, attempts: 1, reason: "r", time: 1, severity: 1, keyHash: 0))
            } else if sequence > 10 {
                writer.acked(pool: 0, [sequence])
            }
            if sequence % 100 == 0 {
                let control = Bytes(writer.bytes)
                try replayed.replayControl(control.buffer)
                writer = ControlWriter()
            }
        }
        #expect(replayed.slab.count < 100_000)
        writer.revived(pool: 0, sequence: 3)
        let revival = Bytes(writer.bytes)
        try replayed.replayControl(revival.buffer)
        replayed.finishReplay(lastBatch: 9, lastSequence: 150_000, at: Moment(wall: 100, steady: 0))
        #expect(replayed.pools[0].waiting == 10 && replayed.pools[0].unsettled.count == 10)
        #expect(replayed.floor(from: 0) == 1)
    }

    @Test("control records cut anywhere or changed at random are refused or read, never a trap")
    func hostileControl() throws {
        var random = SplitMix64.seeded()
        var writer = ControlWriter()
        writer.pool(try PoolDefinition(name: "p", filters: ["a", "b.>"]), createdAfter: 9, catchingUp: true)
        writer.acked(pool: 0, [1, 9, 5])
        writer.attempt(pool: 0, sequence: 7, FailedAttempt(attempt: 3, time: 1, reason: "é"))
        writer.dead(pool: 0, DeadLetterEntry(sequence: 6, attempts: 1, reason: "é", time: 1, severity: 4, keyHash: 3))
        writer.revived(pool: 0, sequence: 6)
        writer.counters(pool: 0, PoolCounters())
        func replay(_ bytes: [UInt8]) -> Bool {
            var core = Core(options: TestHub.options(), seed: 1, epoch: 1)
            let held = Bytes(bytes)
            do {
                try core.replay((1...10).map { TestMessage(id: "\($0)") }, from: 1, time: 1)
                try core.replayControl(held.buffer)
                core.finishReplay(lastBatch: 1, lastSequence: 10, at: Moment(wall: 1, steady: 1))
                return true
            } catch { return false }
        }
        #expect(replay(writer.bytes))
        for length in 0..<writer.bytes.count { _ = replay(Array(writer.bytes.prefix(length))) }
        #expect(!replay(Array(writer.bytes.dropLast())))
        #expect(!replay([200]))
        #expect(!replay([2, 0, 1, 2]), "acks of a pool that does not exist")
        writer.acked(pool: 0, [1 << 47])
        #expect(!replay(writer.bytes), "acks of a message that is not there yet")
        for _ in 0..<3_000 {
            var bytes = writer.bytes
            for _ in 0...random.below(3) { bytes[random.below(bytes.count)] = UInt8(random.below(24)) }
            _ = replay(bytes)
        }
    }
}
