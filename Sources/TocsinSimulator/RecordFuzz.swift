import TocsinCore
import TocsinJournal
import TocsinWire

/// An input is batches: a byte for its kind (even: control records, odd: messages; bit 7: it stands for what is lost), and a block,
/// its body.
enum RecordFuzz {
    static func run(_ input: UnsafeRawBufferPointer) throws {
        var core = Core(options: CoreOptions(), seed: 7, epoch: 3)
        var reader = FuzzReader(input)
        var next: UInt64 = 1
        var time: UInt64 = 1_700_000_000_000
        var ordinal: UInt64 = 0
        do {
            while !reader.isAtEnd {
                let kind = reader.byte()
                let body = reader.block()
                ordinal += 1
                time += 1
                if kind & 0x80 != 0 {
                    let count = Int(kind & 0x7F)
                    try core.replayLost(firstSequence: next, count: count, records: body)
                    next += UInt64(count)
                } else if kind & 1 != 0 {
                    try core.replayMessages(body, firstSequence: next, time: time)
                    next = core.lastSequence + 1
                } else {
                    // For people, as `journal inspect` shows it.
                    try ControlFact.read(body) { (fact, _) in _ = fact.text }
                    try core.replayControl(body)
                }
            }
        } catch {
            // No hub starts with it.
            return
        }
        try use(&core, next: next, lastBatch: ordinal, time: time)
    }

    /// A core that has read it works.
    private static func use(_ core: inout Core, next: UInt64, lastBatch: UInt64, time: UInt64) throws {
        var now = Moment(wall: time, steady: 5_000)
        core.finishReplay(lastBatch: lastBatch, lastSequence: next - 1, at: now)
        var effects: [Effect] = []
        core.step(.hello(1, PeerDescription(name: "a", role: "b", software: "c")), at: now, into: &effects)
        for (index, pool) in core.poolNames.enumerated() {
            core.step(.subscribe(1, subscription: UInt64(index + 1), pool: pool, credit: 1000), at: now, into: &effects)
        }
        _ = core.poolSnapshots(at: now)
        for name in core.poolNames {
            _ = core.deadLetters(pool: name, atMost: 100)
            _ = core.retryDeadLetters(pool: name, [], at: now)
        }
        for _ in 0..<20 {
            effects = []
            _ = core.deliver(at: now, atMost: 100, into: &effects)
            for case .deliver(let peer, let subscription, let table) in effects {
                let entries = table.map { SettleEntry(sequence: $0.sequence, token: $0.token, outcome: .ack) }
                core.step(.settle(peer, subscription: subscription, entries, reasons: []), at: now, into: &effects)
            }
            now.steady += 1000
            now.wall += 1000
            core.step(.tick, at: now, into: &effects)
        }
        _ = core.floor
        _ = core.checkpoint()
        guard let control = core.takeControl() else { return }
        do {
            try ControlFact.read(control.buffer) { (_, _) in }
        } catch {
            throw Violation(rule: "records", description: "what the core has written it cannot read: \(error)")
        }
    }

    /// The batches of the journals that the seeds of `FolderFuzz` are.
    static func seeds() throws -> [(name: String, bytes: [UInt8])] {
        try WireFuzz.seeds(mistakes: [.none]).map { (name, program) in
            let disk = FuzzedHub.emptyDisk()
            var hub = try FuzzedHub(disk, segmentBytes: 4096)
            try hub.begin()
            _ = try program.withUnsafeBytes { try WireFuzz.play($0, on: &hub) }
            for _ in 0..<300 { try hub.turn() }
            var writer = FuzzWriter()
            _ = try JournalSurvey(disk) { batch in
                guard batch.header.kind != .mark else { return }
                writer.byte(batch.header.kind == .messages ? 1 : 0)
                writer.block(batch.body)
            }
            return (name, writer.bytes)
        }
    }
}
