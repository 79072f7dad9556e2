import Synchronization
import TestSupport
import Testing
import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinProto
import TocsinWire

/// A disk whose nth call fails, once. Notes a sync that is tried again: of a file whose sync has failed and that was not made anew.
/// The folder's may be: what it covers are names of files that are made anew, or that nobody needs.
private final class FailingDisk: Disk {
    private struct State {
        var calls = 0
        var failed: String?
        var unsynced: Set<String> = []
        var retried: [String] = []
    }
    private let base: MemoryDisk
    private let nth: Int
    private let code: DiskError.Code
    private let state = Mutex(State())

    init(_ base: MemoryDisk, nth: Int, code: DiskError.Code) {
        self.base = base
        self.nth = nth
        self.code = code
    }

    var calls: Int { state.withLock { $0.calls } }
    /// The call that failed.
    var failed: String? { state.withLock { $0.failed } }
    var retriedSyncs: [String] { state.withLock { $0.retried } }

    private func count(_ verb: String, _ name: String) throws(DiskError) {
        let isFailing = state.withLock { state in
            state.calls += 1
            if verb == "create" { state.unsynced.remove(name) }
            if verb == "sync", state.unsynced.contains(name) { state.retried.append(name) }
            guard state.calls == nth else { return false }
            state.failed = "\(verb) \(name)"
            if verb == "sync", name != "the folder" { state.unsynced.insert(name) }
            return true
        }
        if isFailing { throw DiskError(code, "cannot \(verb) \(name)") }
    }

    func list() throws(DiskError) -> [String] {
        try count("list", "")
        return try base.list()
    }
    func size(_ name: String) throws(DiskError) -> Int {
        try count("size", name)
        return try base.size(name)
    }
    func create(_ name: String, size: Int) throws(DiskError) {
        try count("create", name)
        try base.create(name, size: size)
    }
    func write(_ name: String, at offset: Int, _ parts: [UnsafeRawBufferPointer]) throws(DiskError) {
        try count("write", name)
        try base.write(name, at: offset, parts)
    }
    func sync(_ name: String) throws(DiskError) {
        try count("sync", name)
        try base.sync(name)
    }
    func read(_ name: String, at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
        try count("read", name)
        return try base.read(name, at: offset, into: target)
    }
    func rename(_ name: String, to target: String) throws(DiskError) {
        try count("rename", name)
        try base.rename(name, to: target)
    }
    func remove(_ name: String) throws(DiskError) {
        try count("remove", name)
        try base.remove(name)
    }
    func syncFolder() throws(DiskError) {
        try count("sync", "the folder")
        try base.syncFolder()
    }
}

/// What peers know of a hub that may end at any moment.
private struct Story {
    /// Batches by request, until they are answered.
    var asked: [UInt64: [String]] = [:]
    var accepted: Set<String> = []
    var refused = 0
    /// Messages that a worker has acknowledged or rejected.
    var settled: Set<UInt64> = []
    /// Ids by sequence, as far as they were delivered.
    var ids: [UInt64: String] = [:]
    /// Ended, and with what.
    var end: String?
}

/// Goal: whichever file operation fails, and however, nothing that was acknowledged is lost, and the hub goes on or ends as
/// PROTOCOL.md says (rules 5 and 21). Method: one story – a start, batches over several segments, settlements, segments that go, an
/// orderly end, another start – on a disk whose nth call fails, for each n and each kind of error; then a power cut and a start on a
/// good disk, which must have everything.
@Suite("Failing disk", .timeLimit(.minutes(2))) struct FailingDiskTests {
    private static let batches = 16
    private static let options: EngineOptions = {
        var options = EngineOptions()
        options.journal.segmentBytes = 4096
        options.journal.retainBytes = 0
        options.journal.recentBytes = 0
        options.journal.blockCacheBytes = 500
        options.journal.blockBytes = 500
        options.core.dedupWindow = 1
        do { options.pools = [try PoolDefinition(name: "work", filters: ["a.>"], visibility: 86_400_000)] } catch {
            preconditionFailure("\(error)")
        }
        return options
    }()

    @Test("every call of the disk, failing once: nothing acknowledged is lost, and no sync is tried again")
    func everyCall() throws {
        let whole = try run(nth: .max, code: .full, keeping: 0)
        #expect(whole.story.end == nil && whole.story.accepted.count == Self.batches * 4)
        let calls = whole.disk.calls
        #expect(calls > 80, "the story has only \(calls) calls")
        var ended = 0
        var refused = 0
        for nth in 1...calls {
            for (index, code) in [DiskError.Code.other(errno: 5), .full].enumerated() {
                // What nobody synced is gone with the power, or not.
                let (story, disk) = try run(nth: nth, code: code, keeping: (nth + index).isMultiple(of: 2) ? 0 : .max)
                let place = "call \(nth) (\(disk.failed ?? "none")) failed with \(code)"
                #expect(disk.failed != nil, "\(place)")
                #expect(disk.retriedSyncs.isEmpty, "\(place): \(disk.retriedSyncs) synced again")
                if let end = story.end {
                    ended += 1
                    #expect(end.contains("cannot "), "\(place): the hub ended with \(end)")
                } else {
                    // What has gone on has answered everything.
                    #expect(story.accepted.count == Self.batches * 4, "\(place): \(story.accepted.count) accepted")
                }
                refused += story.refused
            }
        }
        // The failures came where they end a hub and where they only make it refuse.
        #expect(ended > 20 && ended < calls * 2 - 20 && refused > 0, "\(ended) of \(calls * 2) ended, \(refused) refused")
    }

    private func run(nth: Int, code: DiskError.Code, keeping: Int) throws -> (story: Story, disk: FailingDisk) {
        let memory = MemoryDisk()
        let disk = FailingDisk(memory, nth: nth, code: code)
        let clock = TestClock()
        var story = Story()
        for life in 0..<2 where story.end == nil {
            do {
                var hub = try TestEngine(disk, Self.options, clock: clock)
                try live(&hub, life, &story)
            } catch let error as DiskError {
                story.end = error.description
            } catch let error as JournalError {
                #expect(error.code == .disk, "call \(nth) (\(disk.failed ?? "none")): \(error)")
                story.end = error.description
            }
        }
        memory.cutPower(keeping: keeping)
        try check(story, memory, clock, "call \(nth) (\(disk.failed ?? "none")) failed with \(code)")
        return (story, disk)
    }

    /// Publishes half of the batches, each again until it is accepted, and settles most of what is delivered.
    private func live(_ hub: inout TestEngine<FailingDisk>, _ life: Int, _ story: inout Story) throws {
        try hub.hello(1)
        try hub.hello(2)
        let subscription = try hub.subscribe(2, "work", credit: 64)
        try hub.run()
        for batch in 0..<Self.batches / 2 {
            let ids = (0..<4).map { "\(life)-\(batch)-\($0)" }
            for _ in 0..<20 where !ids.allSatisfy(story.accepted.contains) {
                let request = hub.publish(1, try ids.map { try envelope(id: $0, subject: "a.b", payload: 200) })
                story.asked[request] = ids
                try hub.run()
                for answer in hub.peers.take(.accepted, of: 1) { story.accepted.formUnion(story.asked[answer.header.id] ?? []) }
                for answer in hub.peers.take(.status, of: 1) where answer.header.reason != 0 {
                    #expect(answer.header.reason == Reason.storageFailed.rawValue)
                    story.refused += 1
                    hub.clock.milliseconds += 1000
                }
            }
            try settle(&hub, subscription, &story)
        }
        hub.clock.milliseconds += 61_000
        try hub.hello(1)
        try hub.run()
    }

    private func settle(_ hub: inout TestEngine<FailingDisk>, _ subscription: UInt64, _ story: inout Story) throws {
        for message in hub.peers.take(.deliver, of: 2) {
            var row = 0
            var entries: [SettleEntry] = []
            _ = try LengthPrefixed.forEach(in: message.body[1].buffer) { (_, _, bytes) throws(WireError) in
                let entry = DeliveryEntry(message.body[0].buffer, at: row)
                let id = String(decoding: try EnvelopeView(scanning: bytes).id, as: UTF8.self)
                story.ids[entry.sequence] = id
                row += 1
                // One in nine stays with the worker, and one goes to the dead letters.
                guard entry.sequence % 9 != 8 else { return }
                let outcome: Outcome = entry.sequence % 9 == 7 ? .reject : .ack
                if outcome == .ack { story.settled.insert(entry.sequence) }
                entries.append(SettleEntry(sequence: entry.sequence, token: entry.token, outcome: outcome))
            }
            hub.settle(2, subscription, entries)
        }
        try hub.run()
    }

    /// A hub on a good disk has everything that was accepted and not acknowledged by a worker: as a dead letter, or it delivers it.
    private func check(_ story: Story, _ memory: MemoryDisk, _ clock: TestClock, _ place: String) throws {
        var hub = try TestEngine(memory, Self.options, clock: clock)
        var there = Set(story.settled.compactMap { story.ids[$0] })
        for letter in hub.engine.core.deadLetters(pool: "work", atMost: .max) ?? [] {
            there.insert(story.ids[letter.sequence] ?? "unknown")
        }
        try hub.hello(2)
        _ = try hub.subscribe(2, "work", credit: 65_536)
        try hub.run()
        for message in hub.peers.take(.deliver, of: 2) {
            _ = try LengthPrefixed.forEach(in: message.body[1].buffer) { (_, _, bytes) throws(WireError) in
                there.insert(String(decoding: try EnvelopeView(scanning: bytes).id, as: UTF8.self))
            }
        }
        let lost = story.accepted.subtracting(there)
        #expect(lost.isEmpty, "\(place): lost \(lost.sorted())")
    }
}
