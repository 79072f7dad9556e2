import Testing
import TocsinWire

@testable import TocsinCore

/// An envelope as a publisher would write it.
struct TestMessage: Equatable {
    var id: String
    var subject = "a"
    var severity: WireSeverity = .info
    var key = ""
    var notBefore: UInt64 = 0

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        func text(_ tag: UInt8, _ text: String) {
            if text.isEmpty { return }
            bytes += [tag, UInt8(text.utf8.count)] + Array(text.utf8)
        }
        text(0x0A, id)
        text(0x12, subject)
        bytes += [0x18, severity.rawValue]
        text(0x22, key)
        if notBefore != 0 {
            bytes.append(0x29)
            withUnsafeBytes(of: notBefore.littleEndian) { bytes += $0 }
        }
        return bytes
    }
}

/// One record of the journal as the core sees it.
enum Record {
    case messages(first: UInt64, time: UInt64, [TestMessage])
    case control(Bytes)
}

/// What an engine does around the core, in memory: records what is appended, and is told by the test what is durable.
struct TestHub {
    var core: Core
    var now = Moment(wall: 1_000_000, steady: 1_000)
    var journal: [Record] = []
    var messages: [UInt64: TestMessage] = [:]
    /// Everything the core wanted done since the last `take`.
    var effects: [Effect] = []
    var tokensSeen: Set<UInt64> = []

    init(options: CoreOptions = TestHub.options(), epoch: UInt64 = 1) {
        core = Core(options: options, seed: 42, epoch: epoch)
    }

    static func options() -> CoreOptions {
        var options = CoreOptions()
        options.subjects = [try! SubjectFilter("unrouted.>")]
        return options
    }

    /// A hub started again on the first `count` records of a journal.
    init(replaying journal: [Record], options: CoreOptions, epoch: UInt64, now: Moment) throws {
        self.init(options: options, epoch: epoch)
        self.now = now
        var last: UInt64 = 0
        for record in journal {
            self.journal.append(record)
            switch record {
            case .messages(let first, let time, let batch):
                for (offset, message) in batch.enumerated() {
                    last = first + UInt64(offset)
                    messages[last] = message
                }
                try core.replay(batch, from: first, time: time)
            case .control(let bytes): try core.replayControl(bytes.buffer)
            }
        }
        core.finishReplay(lastBatch: UInt64(journal.count), lastSequence: last, at: now)
    }

    var lastOrdinal: UInt64 { UInt64(journal.count) }

    mutating func step(_ event: Event) { core.step(event, at: now, into: &effects) }

    mutating func advance(_ milliseconds: UInt64) {
        now.wall += milliseconds
        now.steady += milliseconds
        step(.tick)
    }

    mutating func hello(_ peer: PeerID) {
        step(.hello(peer, PeerDescription(name: "peer \(peer)", role: "test", software: "")))
    }

    /// Publishes as an engine does: examine all, step, append at once.
    mutating func publish(_ peer: PeerID, request: UInt64 = 1, _ batch: [TestMessage]) throws {
        var metas: [MessageMeta] = []
        for message in batch {
            let held = Bytes(message.bytes)
            metas.append(try core.examine(try EnvelopeView(scanning: held.buffer)))
        }
        let before = effects.count
        step(.publish(peer, request: request, metas))
        for effect in effects[before...] {
            guard case .appendMessages(let first, let kept) = effect else { continue }
            let stored = kept.map { $0.map { batch[$0] } } ?? batch
            for (offset, message) in stored.enumerated() { messages[first + UInt64(offset)] = message }
            append(.messages(first: first, time: now.wall, stored))
        }
    }

    mutating func append(_ record: Record) {
        journal.append(record)
        core.appended(lastOrdinal)
    }

    /// Journals what the core has gathered, as an engine does before each append that depends on it.
    mutating func flush() {
        if let control = core.takeControl() { append(.control(control)) }
    }

    /// A declaration is journaled before anything published after it.
    mutating func declare(_ peer: PeerID, request: UInt64 = 1, _ definition: PoolDefinition) {
        step(.declare(peer, request: request, definition))
        flush()
    }

    mutating func declare(
        _ peer: PeerID, _ name: String, _ filters: [String] = ["a.>", "a"], visibility: UInt64 = 30_000,
        maxAttempts: UInt32 = 5, fromStart: Bool = false, backoff: UInt64 = 0, exclusive: Bool = false
    ) throws {
        let definition = try PoolDefinition(
            name: name, filters: filters, visibility: visibility, maxAttempts: maxAttempts, fromStart: fromStart,
            backoff: backoff, exclusive: exclusive)
        declare(peer, definition)
    }

    /// Everything that was appended is on disk; pools that are behind are fed.
    mutating func sync() throws {
        flush()
        step(.durable(lastOrdinal))
        while try catchUp() {}
    }

    /// One old message for a pool that is behind; false if there is none.
    mutating func catchUp() throws -> Bool {
        guard let (pool, next) = core.catchUp, next <= core.durableSequence else { return false }
        guard let message = messages[next] else {
            core.catchUp(pool, next, nil, at: now)
            return true
        }
        let held = Bytes(message.bytes)
        core.catchUp(pool, next, try EnvelopeView(scanning: held.buffer), at: now)
        return true
    }

    /// What the core delivers now, in order: subscription, message and row.
    @discardableResult mutating func deliver(atMost limit: Int = 10_000) -> [Delivered] {
        let before = effects.count
        _ = core.deliver(at: now, atMost: limit, into: &effects)
        var result: [Delivered] = []
        for effect in effects[before...] {
            guard case .deliver(let peer, let subscription, let rows) = effect else { continue }
            for row in rows {
                #expect(tokensSeen.insert(row.token).inserted || core.pools.count > 1, "tokens are given once")
                result.append(Delivered(peer: peer, subscription: subscription, row: row, id: messages[row.sequence]?.id ?? "?"))
            }
        }
        return result
    }

    mutating func settle(_ delivered: Delivered, _ outcome: Outcome, delay: UInt32 = 0, reason: String? = nil) {
        let row = SettleEntry(sequence: delivered.row.sequence, token: delivered.row.token, outcome: outcome, delay: delay)
        step(.settle(delivered.peer, subscription: delivered.subscription, [row], reasons: reason.map { [$0] } ?? []))
    }

    mutating func cancel(_ id: String) -> Bool { Array(id.utf8).withUnsafeBytes { core.cancelDelayed(id: $0, at: now) } }

    mutating func expectCancel(_ id: String, _ expected: Bool, _ comment: Comment? = nil) {
        let isCancelled = cancel(id)
        #expect(isCancelled == expected, comment)
    }

    /// The effects since the last call.
    mutating func take() -> [Effect] {
        defer { effects = [] }
        return effects
    }

    /// Statuses among `take()`: id and reason.
    mutating func statuses() -> [(id: UInt64, reason: Reason)] {
        take().compactMap { effect in
            guard case .status(_, let id, let error) = effect else { return nil }
            return (id, error.reason)
        }
    }

    func counters(_ name: String) -> PoolCounters { core.pools[core.poolIndex[name]!].counters }
    func pool(_ name: String) -> Pool { core.pools[core.poolIndex[name]!] }
}

struct Delivered: Equatable {
    var peer: PeerID
    var subscription: UInt64
    var row: DeliveryEntry
    var id: String
}

extension TestHub {
    /// One welcomed worker, peer 1, in the pool "p" with this credit.
    static func withWorker(
        credit: UInt32 = 100, visibility: UInt64 = 30_000, maxAttempts: UInt32 = 5, backoff: UInt64 = 0,
        exclusive: Bool = false, options: CoreOptions = TestHub.options()
    ) throws -> TestHub {
        var hub = TestHub(options: options)
        hub.hello(1)
        try hub.declare(
            1, "p", visibility: visibility, maxAttempts: maxAttempts, backoff: backoff, exclusive: exclusive)
        hub.step(.subscribe(1, subscription: 7, pool: "p", credit: credit))
        try hub.sync()
        hub.effects = []
        return hub
    }

    mutating func publishSynced(_ batch: [TestMessage]) throws {
        try publish(1, batch)
        try sync()
    }

    /// What must be true of a core at any time.
    func checkInvariants(_ comment: @autoclosure () -> String = "") {
        var entries: UInt64 = 0
        for pool in core.pools {
            let leased = UInt64(pool.leases.count)
            entries += pool.waiting
            #expect(UInt64(pool.unsettled.count) == pool.waiting + leased, "\(pool.definition.name) \(comment())")
            #expect(
                pool.counters.matched
                    == pool.counters.acked + pool.counters.cancelled + pool.counters.discarded + UInt64(pool.dead.count)
                    + pool.waiting + leased,
                "\(pool.definition.name) \(comment())")
            #expect(
                pool.counters.deadLettered - pool.counters.revived - pool.counters.discarded == UInt64(pool.dead.count),
                "\(comment())")
            #expect(pool.delayed <= pool.waiting, "\(comment())")
            var held: [UInt64: Int] = [:]
            var keys: Set<UInt64> = []
            var sequences: Set<UInt64> = []
            for token in pool.leases.tokens(where: { _ in true }) {
                let sequence = pool.leases.sequence(of: token)
                guard let lease = pool.leases.find(token, sequence: sequence) else {
                    Issue.record("a lease that is listed is not found \(comment())")
                    continue
                }
                #expect(sequences.insert(sequence).inserted, "one lease a message \(comment())")
                if lease.entry.keyHash != 0 {
                    #expect(keys.insert(lease.entry.keyHash).inserted, "one lease a key \(comment())")
                }
                held[lease.peer &* 1_000 &+ lease.subscription, default: 0] += 1
            }
            for member in pool.members {
                #expect(member.credit >= 0 && member.held >= 0, "\(comment())")
                #expect(member.credit + member.held <= Limits.credit, "\(comment())")
                #expect(held.removeValue(forKey: member.peer &* 1_000 &+ member.subscription) ?? 0 == member.held, "\(comment())")
            }
            #expect(held.isEmpty, "leases belong to members \(comment())")
        }
        #expect(UInt64(core.slab.messages) == entries, "the slab holds just what waits \(comment())")
    }
}

extension Core {
    /// Replays a batch of messages as the journal would hold it.
    mutating func replay(_ batch: [TestMessage], from first: UInt64, time: UInt64) throws {
        var framed: [UInt8] = []
        for message in batch { LengthPrefixed.append(message.bytes, to: &framed) }
        let held = Bytes(framed)
        beginReplay(firstSequence: first)
        try replayMessages(held.buffer, firstSequence: first, time: time)
    }
}
