import GRPCCore
import Synchronization
import TestSupport
import Testing
import TocsinKit
import TocsinProto
import TocsinServices

/// Goal: what a publisher gives the hub reaches a worker, whatever happens to either. Method: a real hub and real clients.
@Suite("Publish and consume", .timeLimit(.minutes(3))) struct DeliveryTests {
    @Test("a message is acknowledged, delivered as it was published, acknowledged by its worker, and gone")
    func whole() async throws {
        let world = try await World()
        let client = try await world.client("one")
        try await client.pool("p", "event.>")
        var sent = messages(1...10)
        sent[0].headers = ["a": "b", "": "empty"]
        sent[0].key = "key"
        sent[0].severity = .critical
        sent[0].type = "some.Type"
        sent[0].payload = [UInt8](repeating: 0xA5, count: 100_000)
        #expect(try await client.publish(sent) == Receipt(firstSequence: 1, stored: 10, duplicates: 0))
        #expect(try await client.publish(sent) == Receipt(firstSequence: 0, stored: 0, duplicates: 10))
        var reader = try await Reader(client, pool: "p", credit: 3)
        for index in 0..<10 {
            let delivery = try await reader.next(settling: .ack)
            var expected = sent[index]
            expected.publishedAt = delivery.message.publishedAt
            #expect(delivery.message == expected && delivery.message.publishedAt > 0)
            #expect(delivery.sequence == UInt64(index + 1) && delivery.attempt == 1)
        }
        #expect(try await eventually(seconds: 20) { try await client.status(of: "p").acked == 10 })
        let pool = try await client.status(of: "p")
        #expect(pool.queued == 0 && pool.inFlight == 0 && pool.dead == 0 && pool.matched == 10)
        let status = try await client.status()
        #expect(status.accepted == 10 && status.duplicates == 10 && status.lastSequence == 10)
        await client.close()
        try await world.stop()
    }

    @Test("a subject nothing takes is refused with the message's index, and the client goes on")
    func refused() async throws {
        let world = try await World()
        let client = try await world.client("one")
        try await client.pool("p", "event.>")
        let error = await #expect(throws: ClientError.self) {
            try await client.publish(messages(1...2) + messages(3...3, subject: "evnt.test"))
        }
        guard case .refused(.unknownSubject, _, index: 2)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(try await client.publish(messages(1...2)).stored == 2, "nothing of the batch was stored before")
        await client.close()
        try await world.stop()
    }

    @Test("with two workers each key's messages come in order, one at a time, each once")
    func keys() async throws {
        final class Log: Sendable {
            let seen = Mutex(Seen())
        }
        struct Seen {
            var last: [String: Int] = [:]
            var held: Set<String> = []
            var count = 0
            var faults: [String] = []
        }
        let world = try await World()
        let publisher = try await world.client("publisher")
        try await publisher.pool("p", "event.>")
        let log = Log()
        let workers = [try await world.client("a"), try await world.client("b")]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in workers {
                let subscription = try await worker.subscribe(pool: "p", credit: 5)
                group.addTask {
                    for try await batch in subscription {
                        for delivery in batch.deliveries() {
                            let key = delivery.message.key
                            let number = Int(delivery.message.text) ?? -1
                            log.seen.withLock { seen in
                                if !seen.held.insert(key).inserted { seen.faults.append("\(key): two at a time") }
                                if seen.last[key, default: -1] >= number { seen.faults.append("\(key): \(number) is late") }
                                seen.last[key] = number
                            }
                            await Task.yield()
                            log.seen.withLock {
                                $0.held.remove(key)
                                $0.count += 1
                            }
                            subscription.settle([(delivery, .ack)])
                        }
                    }
                }
            }
            for start in stride(from: 0, to: 400, by: 20) {
                try await publisher.publish((start..<start + 20).map { message("\($0)", key: "k\($0 % 7)") })
            }
            #expect(try await eventually(seconds: 20) { try await publisher.status(of: "p").acked == 400 })
            for worker in workers { await worker.close() }
            try await group.waitForAll()
        }
        log.seen.withLock {
            #expect($0.faults == [])
            #expect($0.count == 400)
        }
        await publisher.close()
        try await world.stop()
    }

    @Test("a retry comes again, a reject and too many attempts become dead letters, and a person can retry those")
    func deadLetters() async throws {
        let world = try await World()
        let client = try await world.client("one")
        try await client.pool("p", "event.>", attempts: 2)
        try await client.publish([message("again"), message("bad"), message("hopeless")])
        var reader = try await Reader(client, pool: "p")
        var attempts: [String: Int] = [:]
        for _ in 0..<5 {
            let delivery = try await reader.next()
            let text = delivery.message.text
            attempts[text, default: 0] += 1
            #expect(delivery.attempt == attempts[text])
            let settlement: Settlement =
                switch text {
                case "again": attempts[text] == 1 ? .retry(after: .milliseconds(10), reason: "not yet") : .ack
                case "bad": .reject(reason: "cannot be read")
                default: .retry(after: .zero, reason: "try \(delivery.attempt)")
                }
            reader.subscription.settle([(delivery, settlement)])
        }
        #expect(attempts == ["again": 2, "bad": 1, "hopeless": 2])
        #expect(try await eventually(seconds: 20) { try await client.deadLetters().count == 2 })
        let letters = try await client.deadLetters().sorted { $0.sequence < $1.sequence }
        #expect(letters.map(\.sequence) == [2, 3] && letters.map(\.attempts) == [1, 2])
        #expect(letters[0].reason.contains("cannot be read") && letters[1].reason.contains("try 2"))
        #expect(letters.allSatisfy { $0.pool == "p" && $0.time > 0 && !$0.envelope.isEmpty })

        let one = try await client.admin.retryDeadLetters(
            .with {
                $0.pool = "p"
                $0.sequences = [3, 99]
            })
        #expect(one.retried == 1)
        #expect(try await reader.next(settling: .ack).message.text == "hopeless")
        let all = try await client.admin.retryDeadLetters(.with { $0.pool = "p" })
        #expect(all.retried == 1)
        #expect(try await reader.next(settling: .ack).message.text == "bad")
        #expect(try await eventually(seconds: 20) { try await client.status(of: "p").acked == 3 })
        #expect(try await client.deadLetters().isEmpty)
        await client.close()
        try await world.stop()
    }

    @Test("what a worker held when its client closed is given to another, with the next attempt")
    func workerGone() async throws {
        let world = try await World()
        let publisher = try await world.client("publisher")
        try await publisher.pool("p", "event.>")
        let first = try await world.client("first")
        var held = try await Reader(first, pool: "p")
        try await publisher.publish(messages(1...3))
        for _ in 1...3 { #expect(try await held.next().attempt == 1) }
        let second = try await world.client("second")
        var reader = try await Reader(second, pool: "p")
        await first.close()
        for number in 1...3 {
            let delivery = try await reader.next(settling: .ack)
            #expect(delivery.message.text == "\(number)" && delivery.attempt == 2)
        }
        #expect(try await eventually(seconds: 20) { try await publisher.status(of: "p").acked == 3 })
        await second.close()
        await publisher.close()
        try await world.stop()
    }

    @Test("a live tap sees what comes, a replay what was, both in order and only what matches, and pools lose nothing")
    func taps() async throws {
        let world = try await World()
        let client = try await world.client("one")
        try await client.pool("p", "event.>")
        try await client.publish(messages(1...5))
        let live = try await client.tap(["event.web.*"])
        let all = try await client.tap([">"], from: .sequence(3), credit: 2)
        let timed = try await client.tap(["event.test"], from: .time(1))
        try await client.publish(messages(6...7) + messages(8...9, subject: "event.web.http"))
        #expect(try await take(2, live) == ["8 8", "9 9"])
        #expect(try await take(7, all) == (3...9).map { "\($0) \($0)" })
        #expect(try await take(7, timed) == (1...7).map { "\($0) \($0)" })
        await live.close()
        var iterator = live.makeAsyncIterator()
        #expect(try await iterator.next() == nil)
        #expect(try await client.status(of: "p").queued == 9)
        await client.close()
        try await world.stop()
    }

    /// "sequence text"
    private func take(_ count: Int, _ tap: Tap) async throws -> [String] {
        var seen: [String] = []
        var iterator = tap.makeAsyncIterator()
        while seen.count < count, let item = try await iterator.next() {
            switch item {
            case .message(let message, let sequence): seen.append("\(sequence) \(message.text)")
            case .gap(let first, let last, _): seen.append("gap \(first) \(last)")
            }
        }
        return seen
    }
}
