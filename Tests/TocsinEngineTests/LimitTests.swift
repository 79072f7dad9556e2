import TestSupport
import Testing
import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinWire

/// Goal: a hub whose journal has its limit refuses publishers, and becomes free again by what workers make of its messages, however
/// much that is (PROTOCOL.md, rule 5).
@Suite("A journal at its limit", .timeLimit(.minutes(1))) struct LimitTests {
    private static let options: EngineOptions = {
        var options = CompactionTests.options
        options.journal.maxBytes = 5 * options.journal.segmentBytes
        do { options.pools = [try PoolDefinition(name: "work", filters: [">"], maxAttempts: 100)] } catch {
            preconditionFailure("\(error)")
        }
        return options
    }()

    /// Publishes until it is refused; returns how many messages were taken.
    private func fill(_ hub: inout TestEngine<MemoryDisk>) throws -> Int {
        for number in 1...1000 {
            hub.publish(1, [try envelope(id: "\(hub.clock.milliseconds)-\(number)", subject: "a.b", payload: 300)])
            try hub.run()
            guard let answer = hub.peers.take(.status, of: 1).first(where: { $0.header.reason != 0 }) else { continue }
            #expect(answer.header.reason == Reason.storageFailed.rawValue)
            let sentence = String(decoding: answer.body[0].array, as: UTF8.self)
            #expect(sentence.contains("the journal has its limit of \(Self.options.journal.maxBytes) bytes"))
            #expect(hub.engine.isAtLimit && hub.engine.journal.bytes <= Self.options.journal.maxBytes)
            return number - 1
        }
        Issue.record("the hub is never full")
        return 0
    }

    @Test("it takes settlements, more than fit into it, and then messages again; a start between changes nothing")
    func becomesFree() throws {
        let disk = MemoryDisk()
        let clock = TestClock()
        var hub = try TestEngine(disk, Self.options, clock: clock)
        try hub.hello(1)
        let taken = try fill(&hub)
        #expect(taken > 60)
        hub = try TestEngine(disk, Self.options, clock: clock)
        try hub.hello(1)
        try hub.run()
        #expect(try fill(&hub) == 0)
        // One at a time, each in a batch of its own, and first given back ten times.
        let subscription = try hub.subscribe(1, "work", credit: 1)
        var settled: Set<UInt64> = []
        for _ in 1...20 * taken where settled.count < taken {
            try hub.run()
            for (_, entry) in hub.delivered(1) {
                let outcome: Outcome = entry.attempt <= 10 ? .retry : .ack
                if outcome == .ack { settled.insert(entry.sequence) }
                hub.settle(1, subscription, [SettleEntry(sequence: entry.sequence, token: entry.token, outcome: outcome)])
            }
        }
        #expect(settled.count == taken, "each is delivered and settled")
        clock.milliseconds += 2000
        try hub.run()
        #expect(hub.engine.journal.bytes <= Self.options.journal.maxBytes - Self.options.journal.segmentBytes)
        #expect(try fill(&hub) > 30)
        #expect(try JournalExamination(disk).isSound)
    }
}
