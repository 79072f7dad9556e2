import GRDB
import Logging
import Synchronization
import Testing
import TocsinKit
import TocsinProto

@testable import TocsinArchive

/// Goal: a delivery is settled after its effect is committed, and as it deserves. Method: deliveries made by hand.
@Suite("Deliveries", .timeLimit(.minutes(1)))
struct ConsumerTests {
    private static func delivery(_ message: Message, _ sequence: UInt64) -> Delivery {
        Delivery(message: message, sequence: sequence, token: sequence, attempt: 1, session: 1)
    }

    private static func alert(_ fingerprint: String, _ event: String, _ sequence: UInt64) throws -> Delivery {
        delivery(try Message(update(fingerprint, [event]), subject: "alert.critical.checkout"), sequence)
    }

    private static func consumer(_ archive: TestArchive, changed: @escaping @Sendable () -> Void = {})
        -> ArchiveConsumer
    {
        ArchiveConsumer(store: archive.store, batchMax: 2, logger: Logger.silent, changed: changed)
    }

    @Test("what was committed is acknowledged, what can never be applied rejected, and changes are announced")
    func settles() async throws {
        let archive = try TestArchive()
        let announced = Mutex(0)
        let consumer = Self.consumer(archive) { announced.withLock { $0 += 1 } }
        let deliveries = [
            try Self.alert("f", "a", 1), Self.delivery(Message(subject: "alert.x", payload: [0xFF]), 2),
            Self.delivery(Message(subject: "event.x", payload: []), 3),
            Self.delivery(try Message(report("r", "noted"), subject: "response.step.x"), 4),
        ]
        let settlements = try await consumer.apply(deliveries).map(\.1)
        #expect(settlements[0] == .ack && settlements[3] == .ack)
        guard case .reject(let unreadable) = settlements[1], case .reject(let foreign) = settlements[2] else {
            Issue.record("\(settlements)")
            return
        }
        #expect(unreadable.contains("alert.x") && foreign.contains("alert.>, response.>, silence.> and change.>"))
        #expect(announced.withLock { $0 } == 1)
        #expect(try await archive.verbs(1).last == "noted")
    }

    @Test("when the archive cannot be written nothing is settled, and only room for what waits lets it go on")
    func cannotWrite() async throws {
        let archive = try TestArchive()
        try await archive.store.write { db in
            let pages = try Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0
            try db.execute(sql: "PRAGMA max_page_count = \(pages)")
        }
        let intake = Intake(limit: 1000)
        var big = update("f", ["a"])
        big.events = (0..<5000).map { index in .with { $0.id = "a rather long id of an event, number \(index)" } }
        await intake.put([Self.delivery(try Message(big, subject: "alert.critical.checkout"), 1)])
        var settled = 0
        let consumer = Self.consumer(archive)
        let blockage = try #require(try await consumer.run(intake) { settled += $0.count })
        #expect(blockage.error.code == .storage && settled == 0 && blockage.items.map(\.sequence) == [1])
        // A little can be written, and that is not enough.
        try await archive.store.write { try $0.execute(sql: "UPDATE counters SET value = value") }
        await #expect(throws: ArchiveError.self) { try await consumer.retry(blockage) }
        try await archive.store.write { try $0.execute(sql: "PRAGMA max_page_count = 1000000") }
        try await consumer.retry(blockage)
        try await consumer.retry(blockage)
        let accounting = try await archive.store.accounting()
        #expect(accounting.handled == 5000 && accounting.applied == 5000)
    }

    @Test("a message that breaks the transaction is rejected alone")
    func poison() async throws {
        let archive = try TestArchive()
        // A constraint that one of the messages violates, as a fault of the program would.
        try await archive.store.write { db in
            try db.execute(
                sql: """
                    CREATE TRIGGER fault BEFORE INSERT ON alerts WHEN NEW.fingerprint = 'bad'
                    BEGIN SELECT RAISE(ABORT, 'no such luck'); END
                    """)
        }
        let deliveries = try [Self.alert("good", "a", 1), Self.alert("bad", "b", 2), Self.alert("fine", "c", 3)]
        let settlements = try await Self.consumer(archive).apply(deliveries).map(\.1)
        #expect(settlements[0] == .ack && settlements[2] == .ack)
        guard case .reject(let reason) = settlements[1] else {
            Issue.record("\(settlements)")
            return
        }
        #expect(reason.contains("no such luck"))
        #expect(try await archive.count("events") == 2)
    }

    @Test("what gathers while a batch is written is taken together, up to the limit")
    func intake() async throws {
        let intake = Intake(limit: 3)
        for sequence in 1...3 { await intake.put([try Self.alert("f", "e\(sequence)", UInt64(sequence))]) }
        #expect(await intake.take(2)?.map(\.sequence) == [1, 2])
        await intake.put([try Self.alert("f", "e4", 4)])
        await intake.end()
        await intake.put([try Self.alert("f", "e5", 5)])
        #expect(await intake.take(10)?.map(\.sequence) == [3, 4])
        #expect(await intake.take(10) == nil)
    }

    @Test("a full intake holds the producer until something is taken, and an empty one the consumer")
    func backpressure() async throws {
        let intake = Intake(limit: 2)
        let deliveries = try (1...100).map { try Self.alert("f", "e\($0)", UInt64($0)) }
        async let producing: Void = {
            for delivery in deliveries { await intake.put([delivery]) }
            await intake.end()
        }()
        var sequences: [UInt64] = []
        while let taken = await intake.take(10) {
            #expect(taken.count <= 2)
            sequences += taken.map(\.sequence)
        }
        await producing
        #expect(sequences == Array(1...100))
    }
}
