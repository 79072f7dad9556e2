import TestSupport
import Testing
import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinWire

/// Goal: a few messages that nobody settles do not hold the journal; they stay, with all that is known of them, over any number
/// of segments and restarts.
@Suite("Compaction", .timeLimit(.minutes(1))) struct CompactionTests {
    static let options: EngineOptions = {
        var options = EngineOptions()
        options.core.dedupWindow = 100
        options.journal.segmentBytes = 8192
        options.journal.retainBytes = 0
        options.journal.recentBytes = 0
        options.journal.blockCacheBytes = 1000
        options.journal.blockBytes = 500
        do { options.pools = [try PoolDefinition(name: "work", filters: [">"], maxAttempts: 3)] } catch {
            preconditionFailure("\(error)")
        }
        return options
    }()

    /// A hub whose dedup window counts no more ids than this hub's.
    private static func start(_ disk: MemoryDisk, _ clock: TestClock) throws -> TestEngine<MemoryDisk> {
        try TestEngine(disk, options, clock: clock)
    }

    /// Publishes and acknowledges messages over several segments.
    private struct Filler {
        var number = 0

        mutating func fill(_ hub: inout TestEngine<MemoryDisk>, _ subscription: UInt64) throws {
            for _ in 0..<40 {
                number += 1
                hub.publish(1, [try envelope(id: "n\(number)", subject: "a.y", payload: 400)])
                try hub.run()
                for (_, entry) in hub.delivered(1) {
                    hub.settle(1, subscription, [SettleEntry(sequence: entry.sequence, token: entry.token, outcome: .ack)])
                }
                try hub.run()
            }
        }
    }

    @Test("dead letters outlive the segments they were in, with their history, and can be retried after restarts")
    func deadLetters() throws {
        let disk = MemoryDisk()
        let clock = TestClock()
        var hub = try Self.start(disk, clock)
        try hub.hello(1)
        let subscription = try hub.subscribe(1, "work", credit: 1000)
        try hub.run()
        hub.publish(1, [try envelope(id: "first", subject: "a.x", payload: 300)])
        try hub.run()
        // Two attempts fail, the third is the last.
        for _ in 0..<3 {
            for (_, entry) in hub.delivered(1) {
                hub.settle(
                    1, subscription, [SettleEntry(sequence: entry.sequence, token: entry.token, outcome: .retry, delay: 0)])
            }
            try hub.run()
        }
        #expect(hub.engine.core.deadLetters(pool: "work", atMost: 9)?.map(\.sequence) == [1])
        let history = hub.engine.core.failures(pool: "work", 1)
        #expect(history.map(\.attempt) == [1, 2])
        var filler = Filler()
        try filler.fill(&hub, subscription)
        #expect(hub.engine.journal.firstSequence > 20)
        #expect(hub.engine.journal.bytes <= 4 * 8192)
        for _ in 0..<2 {
            hub = try Self.start(disk, clock)
            #expect(hub.engine.journal.firstSequence > 20)
            #expect(hub.engine.core.deadLetters(pool: "work", atMost: 9)?.map(\.sequence) == [1])
            #expect(hub.engine.core.failures(pool: "work", 1) == history)
            try hub.hello(1)
            let subscription = try hub.subscribe(1, "work", credit: 1000)
            try hub.run()
            #expect(hub.delivered(1).isEmpty)
            try filler.fill(&hub, subscription)
        }
        #expect(hub.engine.journal.firstSequence > 60)
        let last = try hub.subscribe(1, "work", credit: 1000)
        try hub.revive(1, "work")
        try hub.run()
        let sent = try #require(hub.peers.sent.last { $0.header.kind == .deliver })
        // Its bytes are those that were published.
        var expected: [UInt8] = []
        LengthPrefixed.append(try envelope(id: "first", subject: "a.x", payload: 300), to: &expected)
        #expect(sent.body[1].array == expected)
        let given = hub.delivered(1)
        #expect(given.map(\.entry.sequence) == [1] && given.map(\.entry.attempt) == [1])
        for (subscription, entry) in given {
            hub.settle(1, subscription, [SettleEntry(sequence: entry.sequence, token: entry.token, outcome: .ack)])
        }
        try hub.run()
        try filler.fill(&hub, last)
        // Nobody needs it any more: it is not carried any further.
        #expect(hub.engine.journal.carriedCount == 0)
        #expect(try JournalExamination(disk).isSound)
    }

    /// One turn in which what is delivered is acknowledged. What it gives the writer is on the disk then, and not told yet.
    private static func turn(_ hub: inout TestEngine<MemoryDisk>, _ subscription: UInt64) throws -> JournalWork? {
        hub.clock.milliseconds += 10
        _ = try hub.engine.turn()
        for (_, entry) in hub.delivered(1) {
            hub.settle(1, subscription, [SettleEntry(sequence: entry.sequence, token: entry.token, outcome: .ack)])
        }
        while let job = hub.engine.takeJob() {
            try job.perform(on: hub.disk)
            hub.engine.finished(job, nil)
        }
        guard let work = hub.engine.takeWork() else { return nil }
        try work.perform(on: hub.disk)
        return work
    }

    @Test("a pool that begins with the past while an old segment is about to go gets what it was promised")
    func newPoolMeanwhile() throws {
        let disk = MemoryDisk()
        let clock = TestClock()
        var hub = try Self.start(disk, clock)
        try hub.hello(1)
        let subscription = try hub.subscribe(1, "work", credit: 1000)
        try hub.run()
        hub.publish(1, [try envelope(id: "first", subject: "a.x", payload: 300)])
        try hub.run()
        for (_, entry) in hub.delivered(1) {
            hub.settle(1, subscription, [SettleEntry(sequence: entry.sequence, token: entry.token, outcome: .reject)])
        }
        try hub.run()
        // Until the writer has what is carried out of the first segment.
        var number = 0
        var carrying: JournalWork?
        while carrying == nil {
            try #require(number < 1000)
            number += 1
            hub.publish(1, [try envelope(id: "n\(number)", subject: "a.y", payload: 400)])
            for _ in 0..<10 where carrying == nil {
                guard let work = try Self.turn(&hub, subscription) else { continue }
                if work.batches.contains(where: { $0.header.kind == .carried }) {
                    carrying = work
                } else {
                    try hub.engine.written()
                }
            }
        }
        try hub.declare(1, "late", "a.y", fromStart: true)
        for _ in 0..<3 { _ = try hub.engine.turn() }
        let promised = hub.engine.core.poolSnapshots(at: clock.now()).last?.queued
        try hub.engine.written()
        try hub.run()
        let late = try hub.subscribe(1, "late", credit: 1000)
        try hub.run()
        let given = hub.delivered(1).filter { $0.subscription == late }
        #expect(given.map(\.entry.sequence) == Array(2...UInt64(number + 1)))
        #expect(promised ?? 0 > 1)
    }

    @Test("many dead letters, carried over several segments, do not hold those that come after them")
    func manyDeadLetters() throws {
        var hub = try Self.start(MemoryDisk(), TestClock())
        try hub.hello(1)
        let subscription = try hub.subscribe(1, "work", credit: 1000)
        for number in 1...50 {
            hub.publish(1, [try envelope(id: "dead \(number)", subject: "a.x", payload: 350)])
            try hub.run()
        }
        let rejected = hub.delivered(1).map {
            SettleEntry(sequence: $0.entry.sequence, token: $0.entry.token, outcome: .reject)
        }
        hub.settle(1, subscription, rejected)
        try hub.run()
        var filler = Filler()
        for _ in 0..<20 { try filler.fill(&hub, subscription) }
        #expect(hub.engine.core.deadLetters(pool: "work", atMost: 99)?.count == 50)
        // Four times what they take, and two segments more.
        #expect(hub.engine.journal.bytes <= 14 * 8192, "\(hub.engine.journal.bytes / 8192) segments")
    }

    @Test("what is carried once more is carried once, however long the disk takes for it")
    func slowDisk() throws {
        let disk = MemoryDisk()
        let clock = TestClock()
        var hub = try Self.start(disk, clock)
        try hub.hello(1)
        let subscription = try hub.subscribe(1, "work", credit: 1000)
        hub.publish(1, [try envelope(id: "first", subject: "a.x", payload: 300)])
        try hub.run()
        for (_, entry) in hub.delivered(1) {
            hub.settle(1, subscription, [SettleEntry(sequence: entry.sequence, token: entry.token, outcome: .reject)])
        }
        try hub.run()
        var carried = 0
        for number in 1...200 {
            hub.publish(1, [try envelope(id: "n\(number)", subject: "a.y", payload: 400)])
            var hasCarried = false
            for _ in 0..<10 {
                guard let work = try Self.turn(&hub, subscription) else { continue }
                let count = work.batches.count { $0.header.kind == .carried }
                carried += count
                #expect(count <= 1 && !(hasCarried && count > 0))
                if count > 0 {
                    hasCarried = true
                    for _ in 0..<20 { _ = try hub.engine.turn() }
                }
                try hub.engine.written()
            }
        }
        #expect(carried > 3)
    }

    @Test("dead letters as large as a publish may be are carried too, each alone")
    func large() throws {
        let disk = MemoryDisk()
        let clock = TestClock()
        var hub = try Self.start(disk, clock)
        try hub.hello(1)
        let subscription = try hub.subscribe(1, "work", credit: 1000)
        try hub.run()
        // A hub takes 6144 bytes at once.
        for (id, payload) in [("small", 300), ("large", 6144 - 32), ("second", 4000)] {
            hub.publish(1, [try envelope(id: id, subject: "a.x", payload: payload)])
            try hub.run()
            for (_, entry) in hub.delivered(1) {
                hub.settle(1, subscription, [SettleEntry(sequence: entry.sequence, token: entry.token, outcome: .reject)])
            }
            try hub.run()
        }
        #expect(hub.engine.core.deadLetters(pool: "work", atMost: 9)?.map(\.sequence) == [1, 2, 3])
        var filler = Filler()
        for _ in 0..<3 { try filler.fill(&hub, subscription) }
        #expect(hub.engine.journal.firstSequence > 20)
        hub = try Self.start(disk, clock)
        #expect(hub.engine.core.deadLetters(pool: "work", atMost: 9)?.map(\.sequence) == [1, 2, 3])
        try hub.hello(1)
        try hub.revive(1, "work")
        _ = try hub.subscribe(1, "work", credit: 1000)
        try hub.run()
        #expect(hub.delivered(1).map(\.entry.sequence) == [1, 2, 3])
    }
}
