import Foundation
import Synchronization
import TestSupport
import Testing
import TocsinProto
import TocsinWire

@testable import TocsinKit

/// Goal: the promises of a client, end to end: with a real hub over ipc, or with none.
@Suite("Client", .timeLimit(.minutes(3))) struct ClientTests {
    /// Everything that can be asked of a client.
    private func asks(_ client: Client, _ number: Int) -> [Task<Void, any Error>] {
        [
            Task {
                try await client.declare(
                    .with {
                        $0.name = "p\(number)"
                        $0.filters = ["event.>"]
                    })
            },
            Task { try await client.serve("a.B\(number)", CallService { $0.finish(.init()) }) },
            Task { _ = try await client.subscribe(pool: "p", credit: 10) },
            Task { _ = try await client.tap(["event.>"]) },
            Task { try await client.ready(within: .seconds(1000)) },
            Task { try await client.publish(messages(number...number)) },
            Task { try await client.ask("a.B/C") },
        ]
    }

    @Test("everything asked before, while and after a client closes ends", arguments: [true, false])
    func close(withHub: Bool) async throws {
        let hub = try RealHub()
        if withHub { try await hub.start() }
        for round in 0..<10 {
            let client = try hub.client("client", timeout: .seconds(1000))
            if withHub, round % 2 == 0 { try await client.ready(within: .seconds(20)) }
            var tasks = asks(client, 0)
            let asking = Task {
                var tasks: [Task<Void, any Error>] = []
                for number in 1..<5 {
                    tasks += asks(client, number)
                    await Task.yield()
                }
                return tasks
            }
            let closing = [Task { await client.close() }, Task { await client.close() }]
            tasks += await asking.value
            for each in closing { await each.value }
            tasks += asks(client, 5)
            for task in tasks {
                switch await task.result {
                case .success: #expect(withHub)
                case .failure(ClientError.closed), .failure(ClientError.call(14, _)): break
                // The hub knows neither the pool nor the service.
                case .failure(ClientError.refused(.unknownPool, _, _)), .failure(ClientError.call(12, _)): #expect(withHub)
                case .failure(ClientError.refused(.unknownSubject, _, _)): #expect(withHub)
                case .failure(let error): Issue.record(error)
                }
            }
        }
        if withHub { try await hub.stop() }
    }

    private func pool(_ client: Client) async throws {
        try await client.declare(
            .with {
                $0.name = "p"
                $0.filters = ["event.>"]
            })
    }

    /// The ids of the first `count` messages of a new pool, in the order in which they come.
    private func delivered(_ client: Client, _ count: Int) async throws -> [Int] {
        var seen: [Int] = []
        let subscription = try await client.subscribe(pool: "p", credit: 100)
        for try await batch in subscription {
            let deliveries = batch.deliveries()
            seen += deliveries.compactMap { Int(String(decoding: $0.message.id, as: UTF8.self)) }
            subscription.settle(deliveries.map { ($0, .ack) })
            if seen.count >= count { break }
        }
        return seen
    }

    @Test("a first publish before the hub's bounds are known is divided when they are: nothing fails, the order is kept")
    func beforeWelcome() async throws {
        let hub = try RealHub()
        let client = try hub.client("client")
        let declaring = Task { try await pool(client) }
        // Batches of 2 MiB, where the hub takes 768 KiB.
        let publishing = Task { try await client.publish(messages(0..<60, payload: 100_000)) }
        #expect(await eventually { client.shared.gate(.waiting).counts.underWay > 0 })
        try await hub.start()
        try await declaring.value
        let receipt = try await publishing.value
        #expect(receipt == Receipt(firstSequence: 1, stored: 60, duplicates: 0))
        #expect(try await delivered(client, 60) == Array(0..<60))
        await client.close()
        try await hub.stop()
    }

    @Test("closing by a task that was cancelled waits as well: nothing that was said before is left behind")
    func closeWhenCancelled() async throws {
        let hub = try RealHub()
        try await hub.start()
        let client = try hub.client("client")
        try await client.ready(within: .seconds(20))
        let closing = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            await client.close()
            return client.isConnected
        }
        #expect(await closing.value == false)
        try await hub.stop()
    }

    /// An envelope as far as a hub looks: of its last field more is promised than is there.
    private func broken(_ id: String) throws -> [UInt8] {
        let routing = Tocsin_V1_Envelope.with {
            $0.id = .init(id.utf8)
            $0.subject = "event.broken"
        }
        return try routing.serializedBytes() + [0x7A, 100]
    }

    @Test("what its publisher wrote and nobody can read becomes a dead letter, a gap to a tap; the rest is worked on and seen")
    func unreadable() async throws {
        let hub = try RealHub()
        try await hub.start()
        let client = try hub.client("client")
        try await pool(client)
        let tap = try await client.tap(["event.>"])
        let good = try messages(1...2).map { message in
            try Tocsin_V1_Envelope.with {
                $0.id = .init(message.id)
                $0.subject = message.subject
            }.serializedBytes() as [UInt8]
        }
        var body: [UInt8] = []
        for envelope in [good[0], try broken("x"), good[1]] { LengthPrefixed.append(envelope, to: &body) }
        _ = try await client.publish(encoded: Bytes(body), count: 3)
        #expect(try await delivered(client, 2) == [1, 2])
        var seen: [String] = []
        for try await item in tap {
            switch item {
            case .message(let message, _): seen.append(String(decoding: message.id, as: UTF8.self))
            case .gap(let first, let last, let reason):
                #expect(first == 2 && last == 2 && reason.contains("cannot be read"))
                seen.append("gap")
            }
            if seen.count == 3 { break }
        }
        #expect(seen == ["1", "gap", "2"])
        let request = try Tocsin_V1_ListDeadLettersRequest().serializedBytes() as [UInt8]
        var letters: [Tocsin_V1_DeadLetter] = []
        let isTold = try await eventually {
            let answer = try await client.ask("tocsin.v1.BrokerAdmin/ListDeadLetters", request)
            letters = try Tocsin_V1_ListDeadLettersResponse(serializedBytes: answer).letters
            return !letters.isEmpty
        }
        #expect(isTold && letters.map(\.sequence) == [2] && letters.allSatisfy { $0.reason.contains("cannot be read") })
        await client.close()
        try await hub.stop()
    }

    @Test("a spool written in batches larger than the hub takes is published whole; only what is too large alone is kept aside")
    func largeSpool() async throws {
        let hub = try RealHub()
        let first = try hub.client("sensor", spool: "spool")
        try await first.publishOrSpool(messages(0..<60, payload: 100_000))
        // Less than a message may have, more than this hub can take at once.
        try await first.publishOrSpool(messages(60..<61, payload: 900_000) + messages(61..<70))
        #expect(first.spooled == 70)
        await first.close()
        try await hub.start()
        let other = try hub.client("other")
        try await pool(other)
        let (logger, said) = listening()
        let second = try hub.client("sensor", spool: "spool", logger: logger)
        #expect(await eventually(seconds: 20) { second.spooled == 0 })
        #expect(try await delivered(other, 69) == (0..<70).filter { $0 != 60 })
        let refused = try Data(contentsOf: URL(filePath: "\(hub.folder.path)/spool/refused.spool"))
        #expect(refused.count > 900_000 && refused.count < 900_200)
        #expect(said().filter { $0.hasPrefix("error") }.count == 1)
        await second.close()
        await other.close()
        try await hub.stop()
    }

    @Test("messages that the hub cannot store at once are kept and tried again, none is lost and none stored twice")
    func backPressure() async throws {
        let hub = try RealHub { $0.engine.core.pendingMessages = 50 }
        try await hub.start()
        let (logger, said) = listening()
        let client = try hub.client("client", logger: logger)
        try await pool(client)
        // Each batch fits, many at once do not.
        let publishing = (0..<60).map { round in
            Task { try await client.publish(messages(40 * round..<40 * round + 40)).stored }
        }
        var stored = 0
        for each in publishing { stored += try await each.value }
        #expect(stored == 2400)
        #expect(said().contains { $0.contains("messages are kept, the hub stores none now: STORAGE_FAILED") })
        await client.close()
        try await hub.stop()
    }

    @Test("what a hub can never store ends at the timeout without a spool, with the reason; with one it stays there")
    func fullHub() async throws {
        let hub = try RealHub { $0.engine.core.pendingMessages = 5 }
        try await hub.start()
        let other = try hub.client("other")
        try await pool(other)
        let plain = try hub.client("plain", timeout: .milliseconds(300))
        try await plain.ready(within: .seconds(20))
        var said = ""
        // Again if the time was over before the hub could answer.
        let isTold = try await eventually(seconds: 20) {
            do {
                try await plain.publish(messages(0..<10))
                return false
            } catch ClientError.timedOut(let text) {
                said = text
                return text.contains("STORAGE_FAILED: ")
            }
        }
        #expect(isTold && said.contains("publish them again with the same ids"), "\(said)")
        let spooling = try hub.client("spooling", spool: "spool", timeout: .milliseconds(300))
        try await spooling.ready(within: .seconds(20))
        try await spooling.publishOrSpool(messages(10..<20))
        try await spooling.publishOrSpool(messages(20..<23))
        #expect(spooling.spooled == 13)
        await spooling.close()
        let later = try hub.client("spooling", spool: "spool")
        #expect(later.spooled == 13)
        await later.close()
        await plain.close()
        await other.close()
        try await hub.stop()
    }

    @Test("a call that finds no free slot ends at its timeout, and says that it was not begun")
    func slots() async throws {
        let hub = try RealHub()
        let client = try hub.client("client")
        let calls = (0..<Limits.calls).map { _ in Task { try await client.ask("a.B/C") } }
        // One more waits when all have a slot.
        let last = Task { try await client.ask("a.B/C") }
        #expect(await eventually { client.shared.calls.counts.waiting == 1 })
        let error = await #expect(throws: ClientError.self) {
            try await client.ask("a.B/D", timeout: .milliseconds(20))
        }
        guard case .call(4, let said)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(
            said == "a.B/D was not begun: 1024 other calls of this client were under way until its timeout; make fewer at once")
        #expect(client.shared.calls.counts.waiting == 1)
        await client.close()
        for call in calls + [last] { await #expect(throws: ClientError.self) { try await call.value } }
    }

    @Test("a publish that finds no room among others ends at its timeout, and says what was not sent")
    func room() async throws {
        let hub = try RealHub()
        let client = try hub.client("client", timeout: .milliseconds(50))
        let gate = client.shared.gate(.waiting)
        for _ in 0..<gate.piecesMax { #expect(try await gate.enter(deadline: steadyNow() + 1000)) }
        let error = await #expect(throws: ClientError.self) { try await client.publish(messages(0..<10)) }
        guard case .timedOut(let said)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(said.hasPrefix("the messages from number 0 on were not sent: too much"))
        #expect(gate.counts.waiting == 0)
        await client.close()
    }

    @Test("a whole publish of many batches ends at one timeout when there is no hub")
    func wholePublish() async throws {
        let hub = try RealHub()
        let client = try hub.client("client", timeout: .milliseconds(200))
        let error = await #expect(throws: ClientError.self) { try await client.publish(messages(0..<60, payload: 900_000)) }
        #expect(error.map { "\($0)".contains("no hub answered at \(hub.endpoint)") } == true)
        await client.close()
    }
}

extension Client {
    /// A unary call without content; throws how it failed.
    /// The first response of a call.
    @discardableResult fileprivate func ask(
        _ method: String, _ request: [UInt8]? = nil, timeout: Duration = .seconds(1000)
    ) async throws -> [UInt8] {
        var response: [UInt8] = []
        let call = try await openCall(method, timeout: timeout, singleRequest: true)
        defer { closeCall(call) }
        try call.begin([])
        if let request { try await call.write(request) }
        call.finish()
        while let incoming = try await call.next() {
            switch incoming {
            case .headers: break
            case .messages(let messages): response = Array(messages.array.dropFirst(LengthPrefixed.prefixSize))
            case .tail(let tail): if tail.code != 0 { throw ClientError.call(code: tail.code, message: tail.message) }
            }
        }
        return response
    }
}
