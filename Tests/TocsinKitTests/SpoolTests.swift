import Foundation
import Logging
import Synchronization
import TestSupport
import Testing
import TocsinWire

@testable import TocsinKit

/// Goal: what was spooled is published once the hub takes it, and nothing is given up that the hub may still take.
@Suite("Spool", .timeLimit(.minutes(3))) struct SpoolTests {
    /// A hub that does as it is told; refused messages are those it refuses by name.
    private final class FakeHub: Sendable {
        struct State {
            var stored: [Int] = []
            var tries = 0
            var refused: [Int: Reason] = [:]
            /// What every batch is answered with.
            var failure: ClientError?
        }
        let state = Mutex(State())

        func publish(_ batch: EncodedBatch, _ ticket: Ticket) {
            ticket.complete(
                Result {
                    let numbers = try ids(batch)
                    try state.withLock { state in
                        state.tries += 1
                        if let failure = state.failure { throw failure }
                        for (index, number) in numbers.enumerated() {
                            if let reason = state.refused[number] { throw ClientError.refused(reason, "\(number)", index: index) }
                        }
                        state.stored += numbers
                    }
                    return .done
                })
        }

        func set(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }
        var stored: [Int] { state.withLock { $0.stored } }
        var tries: Int { state.withLock { $0.tries } }
    }

    private func spool(
        _ folder: TemporaryFolder, _ hub: FakeHub, bytesMax: Int = 1 << 30, patience: Int64 = 60_000, logger: Logger = quiet
    ) throws -> Spool {
        try Spool(
            directory: folder.path, bytesMax: bytesMax, logger: logger, subjectPatience: patience, isConnected: { true },
            publisher: { batch, ticket in hub.publish(batch, ticket) })
    }

    @Test("a message refused for what it is is kept aside and told, the others are published in order")
    func refused() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        hub.set { $0.refused = [7: .badEnvelope, 40: .tooLarge, 44: .badEnvelope] }
        let (logger, said) = listening()
        let spool = try spool(folder, hub, logger: logger)
        try await spool.append(try encoded(0..<40, payload: 1000))
        try await spool.append(try encoded(40..<45))
        #expect(await eventually { spool.count == 0 })
        #expect(hub.stored == (0..<44).filter { $0 != 7 && $0 != 40 })
        await spool.close()
        let kept = try Data(contentsOf: URL(filePath: folder.path + "/refused.spool"))
        #expect(kept.count > 1000 && kept.count < 2000, "three messages: \(kept.count) bytes")
        #expect(said().filter { $0.contains("kept in \(folder.path)/refused.spool and not published") }.count == 3)
    }

    @Test(
        "what the hub cannot store now stays, however it says so",
        arguments: [
            ClientError.timedOut("away"), .refused(.storageFailed, "full", index: 0), .refused(.shuttingDown, "bye", index: 0),
            .refused(.notAllowed, "no", index: 0), .refused(.tooMany, "much", index: 0),
        ])
    func passing(failure: ClientError) async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        hub.set { $0.failure = failure }
        let spool = try spool(folder, hub)
        try await spool.append(try encoded(0..<5))
        #expect(await eventually { hub.tries >= 1 })
        spool.wake()
        #expect(await eventually { hub.tries >= 2 })
        #expect(spool.count == 5 && hub.stored == [])
        hub.set { $0.failure = nil }
        spool.wake()
        #expect(await eventually { spool.count == 0 })
        #expect(hub.stored == [0, 1, 2, 3, 4])
        await spool.close()
        #expect(try !folder.names().contains("refused.spool"))
    }

    @Test("a subject that nothing takes yet is waited for, and only then kept aside")
    func unknownSubject() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        hub.set { $0.refused = [1: .unknownSubject] }
        var spool = try spool(folder, hub)
        try await spool.append(try encoded(0..<3))
        #expect(await eventually { hub.tries >= 1 })
        #expect(spool.count == 3 && hub.stored == [])
        // The pool is declared.
        hub.set { $0.refused = [:] }
        spool.wake()
        #expect(await eventually { spool.count == 0 })
        #expect(hub.stored == [0, 1, 2])
        await spool.close()
        hub.set { $0.refused = [11: .unknownSubject, 13: .unknownSubject] }
        spool = try self.spool(folder, hub, patience: 0)
        try await spool.append(try encoded(10..<15))
        #expect(await eventually { spool.count == 0 })
        #expect(hub.stored == [0, 1, 2, 10, 12, 14])
        await spool.close()
        #expect(try folder.names().contains("refused.spool"))
    }

    @Test("a full spool refuses and keeps what it has; when the hub has taken it there is room again")
    func full() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        hub.set { $0.failure = .timedOut("away") }
        let spool = try spool(folder, hub, bytesMax: 20_000)
        try await spool.append(try encoded(0..<1, payload: 15_000))
        let error = await #expect(throws: ClientError.self) { try await spool.append(try encoded(1..<2, payload: 15_000)) }
        guard case .spoolFull(let said)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(said.contains(folder.path) && said.contains("is the hub running?"))
        #expect(spool.count == 1)
        hub.set { $0.failure = nil }
        spool.wake()
        #expect(await eventually { spool.count == 0 })
        try await spool.append(try encoded(2..<3, payload: 15_000))
        #expect(await eventually { spool.count == 0 })
        #expect(hub.stored == [0, 2])
        await spool.close()
    }

    @Test("damage is told in the log as an error, a write that was not finished as a warning, and what is whole is published")
    func told() async throws {
        let folder = try TemporaryFolder()
        let files = try SpoolFiles(directory: folder.path, bytesMax: 1 << 20)
        for number in 1...3 { try files.append([try encoded(number...number)]) }
        files.release()
        let path = folder.path + "/" + (try #require(try folder.names().first { $0.hasSuffix(".spool") }))
        var bytes = Array(try Data(contentsOf: URL(filePath: path)))
        bytes[20] ^= 1
        try Data(bytes.dropLast()).write(to: URL(filePath: path))
        let hub = FakeHub()
        let (logger, said) = listening()
        let spool = try spool(folder, hub, logger: logger)
        try await spool.append(try encoded(9...9))
        #expect(await eventually { spool.count == 0 })
        #expect(hub.stored == [2, 9])
        await spool.close()
        #expect(said().contains { $0.hasPrefix("error: \(path) is damaged") })
        #expect(said().contains { $0.hasPrefix("warning: \(path): the last write") })
    }

    @Test("appends that race with close end, kept or not, and what was kept is there for the next owner")
    func close() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        hub.set { $0.failure = .timedOut("away") }
        var kept = 0
        for round in 0..<20 {
            let spool = try spool(folder, hub)
            #expect(spool.count == kept)
            let appends = (0..<10).map { number in
                Task { try await spool.append(try encoded(100 * round + number...100 * round + number)) }
            }
            await Task.yield()
            await spool.close()
            for append in appends {
                switch await append.result {
                case .success: kept += 1
                case .failure(ClientError.closed): break
                case .failure(let error): Issue.record(error)
                }
            }
        }
        #expect(try SpoolFiles(directory: folder.path, bytesMax: 1 << 20).count == kept)
    }
}
