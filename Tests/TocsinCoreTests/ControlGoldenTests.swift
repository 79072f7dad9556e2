import Testing
import TocsinWire

@testable import TocsinCore

/// Goal: control records on disk are these bytes, also next year, and today's reader reads them. The bytes were put together by
/// hand from the format's description: tag, then LEB128 varints, and texts with their length.
@Suite("Control records on disk") struct ControlGoldenTests {
    private func cases() throws -> [(fact: ControlFact, hex: String, write: (inout ControlWriter) -> Void)] {
        let pool = try PoolDefinition(
            name: "work", filters: ["a.>"], visibility: 30_000, maxAttempts: 5, fromStart: true, backoff: 1000, exclusive: true)
        let failed = FailedAttempt(attempt: 3, time: 1000, reason: "no")
        let letter = DeadLetterEntry(sequence: 9, attempts: 5, reason: "bad", time: 1000, severity: 4, keyHash: 128)
        var counters = PoolCounters()
        (counters.acked, counters.deadLettered, counters.revived) = (1, 2, 3)
        (counters.cancelled, counters.discarded) = (4, 5)
        return [
            (
                .pool(pool, createdAfter: 300, catchingUp: true), "0104776f726b0103612e3eb0ea010501e80701ac0201",
                { $0.pool(pool, createdAfter: 300, catchingUp: true) }
            ), (.acked(pool: 2, [5, 6, 4]), "0202030a0203", { $0.acked(pool: 2, [5, 6, 4]) }),
            (
                .attempt(pool: 1, sequence: 7, failed), "03010703e807026e6f",
                { $0.attempt(pool: 1, sequence: 7, failed) }
            ), (.dead(pool: 0, letter), "04000905e80704800103626164", { $0.dead(pool: 0, letter) }),
            (.revived(pool: 0, sequence: 9), "050009", { $0.revived(pool: 0, sequence: 9) }),
            (.counters(pool: 0, counters), "06000102030405", { $0.counters(pool: 0, counters) }),
            (.cancelled(pool: 0, sequence: 10), "07000a", { $0.cancelled(pool: 0, sequence: 10) }),
            (.discarded(pool: 0, sequence: 11), "08000b", { $0.discarded(pool: 0, sequence: 11) }),
        ]
    }

    @Test("each record is written as these bytes and read back, alone and one after another, with filling behind")
    func records() throws {
        let cases = try cases()
        var all = ControlWriter()
        for (fact, hex, write) in cases {
            var writer = ControlWriter()
            write(&writer)
            write(&all)
            let written = writer.bytes.hexadecimal
            #expect(written == hex, "\(fact)")
        }
        var read: [ControlFact] = []
        try (all.bytes + [0, 0, 0]).withUnsafeBytes { try ControlFact.read($0) { (fact, _) in read.append(fact) } }
        #expect(read == cases.map(\.fact))
    }
}
