import TestSupport
import Testing
import TocsinWire

@testable import TocsinCore

/// Goal: control records on disk are these bytes, also next year, and today's reader reads them. Method: the files of
/// Tests/Golden/journal, put together by hand from the format's description: tag, then LEB128 varints, and texts with their
/// length.
@Suite("Control records on disk") struct ControlGoldenTests {
    private func cases() throws -> [(fact: ControlFact, file: String, write: (inout ControlWriter) -> Void)] {
        let pool = try PoolDefinition(
            name: "work", filters: ["a.>"], visibility: 30_000, maxAttempts: 5, fromStart: true, backoff: 1000, exclusive: true)
        let failed = FailedAttempt(attempt: 3, time: 1000, reason: "no")
        let letter = DeadLetterEntry(sequence: 9, attempts: 5, reason: "bad", time: 1000, severity: 4, keyHash: 128)
        var counters = PoolCounters()
        (counters.acked, counters.deadLettered, counters.revived) = (1, 2, 3)
        (counters.cancelled, counters.discarded) = (4, 5)
        return [
            (
                .pool(pool, createdAfter: 300, catchingUp: true), "pool",
                { $0.pool(pool, createdAfter: 300, catchingUp: true) }
            ), (.acked(pool: 2, [5, 6, 4]), "acked", { $0.acked(pool: 2, [5, 6, 4]) }),
            (.attempt(pool: 1, sequence: 7, failed), "attempt", { $0.attempt(pool: 1, sequence: 7, failed) }),
            (.dead(pool: 0, letter), "dead", { $0.dead(pool: 0, letter) }),
            (.revived(pool: 0, sequence: 9), "revived", { $0.revived(pool: 0, sequence: 9) }),
            (.counters(pool: 0, counters), "counters", { $0.counters(pool: 0, counters) }),
            (.cancelled(pool: 0, sequence: 10), "cancelled", { $0.cancelled(pool: 0, sequence: 10) }),
            (.discarded(pool: 0, sequence: 11), "discarded", { $0.discarded(pool: 0, sequence: 11) }),
        ]
    }

    @Test("each record is written as these bytes and read back, alone and one after another, with filling behind")
    func records() throws {
        let cases = try cases()
        var all = ControlWriter()
        for (fact, file, write) in cases {
            var writer = ControlWriter()
            write(&writer)
            write(&all)
            let golden = try GoldenFiles.bytes("journal", "record-" + file).hexadecimal
            let written = writer.bytes.hexadecimal
            #expect(written == golden, "\(fact)")
        }
        var read: [ControlFact] = []
        try (all.bytes + [0, 0, 0]).withUnsafeBytes { try ControlFact.read($0) { (fact, _) in read.append(fact) } }
        #expect(read == cases.map(\.fact))
    }

    @Test("a file for every record, and no other")
    func complete() throws {
        let names = try GoldenFiles.names(in: "journal").filter { $0.hasPrefix("record-") }
        #expect(names == Set(try cases().map { "record-" + $0.file }))
        #expect(names.count == (0...UInt8.max).compactMap(ControlTag.init).count)
    }
}
