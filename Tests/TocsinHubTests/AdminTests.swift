import GRPCCore
import TestSupport
import Testing
import TocsinHub
import TocsinKit
import TocsinProto
import TocsinServices

/// Goal: what people and tools ask of a hub beside publishing and consuming, over real sockets.
@Suite("Taking back, giving up, standing by, and ending", .timeLimit(.minutes(3))) struct AdminTests {
    @Test("a message published for later is cancelled by its id, durably")
    func cancel() async throws {
        let world = try await World()
        let client = try await world.client("one")
        try await client.pool("p", "event.>")
        var later = messages(1...2)
        for index in later.indices { later[index].notBefore = 4_000_000_000_000 }
        try await client.publish(later)
        let request = Tocsin_V1_CancelDelayedRequest.with { $0.ids = [.init("1".utf8), .init("never".utf8)] }
        let answer = try await client.admin.cancelDelayed(request)
        #expect(answer.cancelled == [.init("1".utf8)])
        try await world.stop()
        try await world.start()
        try await client.ready(within: .seconds(20))
        let pool = try await client.status(of: "p")
        #expect(pool.delayed == 1 && pool.cancelled == 1 && pool.matched == 2)
        let again = try await client.admin.cancelDelayed(request)
        #expect(again.cancelled.isEmpty)
        let error = await #expect(throws: RPCError.self) { try await client.admin.cancelDelayed(.init()) }
        #expect(error?.code == .invalidArgument)
        await client.close()
        try await world.stop()
    }

    @Test("a dead letter tells why each attempt failed; discarded, it is gone, also after a restart")
    func history() async throws {
        let world = try await World()
        let client = try await world.client("one")
        try await client.pool("p", "event.>", attempts: 2)
        try await client.publish(messages(1...2))
        var reader = try await Reader(client, pool: "p", credit: 1)
        for _ in 1...2 {
            for attempt in 1...2 {
                let delivery = try await reader.next(settling: .retry(after: .zero, reason: "no database"))
                #expect(delivery.attempt == attempt)
            }
        }
        #expect(try await eventually(seconds: 20) { try await client.deadLetters().count == 2 })
        let letter = try #require(try await client.deadLetters().first)
        #expect(letter.history.map(\.reason) == ["no database"] && letter.history.map(\.attempt) == [1])
        #expect(letter.reason.contains("no database") && letter.attempts == 2)
        let request = Tocsin_V1_DiscardDeadLettersRequest.with {
            $0.pool = "p"
            $0.sequences = [letter.sequence]
        }
        let answer = try await client.admin.discardDeadLetters(request)
        #expect(answer.discarded == 1)
        try await world.stop()
        try await world.start()
        try await client.ready(within: .seconds(20))
        #expect(try await client.deadLetters().map(\.sequence) == [2])
        let pool = try await client.status(of: "p")
        #expect(pool.discarded == 1 && pool.dead == 1)
        await client.close()
        try await world.stop()
    }
}
