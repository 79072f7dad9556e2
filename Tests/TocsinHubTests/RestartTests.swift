import Synchronization
import TestSupport
import Testing
import TocsinKit
import TocsinProto

/// Goal: a hub that goes and comes back loses nothing and stores nothing twice, with and without a spool.
@Suite("A hub that goes and comes back", .timeLimit(.minutes(3))) struct RestartTests {
    @Test("a connected publisher and worker go on by themselves: nothing is lost, nothing stored twice")
    func restart() async throws {
        let world = try await World()
        let publisher = try await world.client("publisher")
        try await publisher.pool("p", "event.>")
        let worker = try await world.client("worker")
        let subscription = try await worker.subscribe(pool: "p", credit: 20)
        let seen = Mutex<[UInt64: Set<String>]>([:])
        let working = Task {
            for try await batch in subscription {
                let deliveries = batch.deliveries()
                seen.withLock { for each in deliveries { $0[each.sequence, default: []].insert(each.message.text) } }
                subscription.settle(deliveries.map { ($0, .ack) })
            }
        }
        let published = Mutex(0)
        let publishing = Task {
            for number in 1...300 {
                try await publisher.publish(messages(number...number, key: "one"))
                published.withLock { $0 = number }
            }
        }
        for moment in [50, 150] {
            #expect(await eventually(seconds: 20) { published.withLock { $0 } >= moment })
            try await world.stop()
            try await world.start()
        }
        try await publishing.value
        #expect(try await eventually(seconds: 20) { try await publisher.status(of: "p").acked == 300 })
        let status = try await publisher.status()
        #expect(status.accepted == 300 && status.epoch == 3)
        seen.withLock {
            #expect($0.count == 300)
            for (sequence, texts) in $0 { #expect(texts == ["\(sequence)"]) }
        }
        await worker.close()
        try await working.value
        await publisher.close()
        try await world.stop()
    }

    @Test("while the hub is away messages go to the spool; they survive the client and are drained in order before newer ones")
    func spool() async throws {
        let world = try await World()
        let first = try await world.client("sensor", spool: "spool")
        try await first.pool("p", "event.>")
        try await first.publishOrSpool(messages(1...5))
        #expect(first.spooled == 0)
        try await world.stop()
        #expect(await eventually(seconds: 20) { !first.isConnected })
        for number in 6...25 { try await first.publishOrSpool(messages(number...number)) }
        #expect(first.spooled == 20)
        await first.close()

        let second = try world.idle("sensor", spool: "spool")
        #expect(second.spooled == 20)
        try await second.publishOrSpool(messages(26...30))
        #expect(second.spooled == 25)
        let refused = #expect(throws: ClientError.self) { try world.idle("other", spool: "spool") }
        guard case .badOption? = refused else {
            Issue.record("\(String(describing: refused))")
            return
        }
        try await world.start()
        // Some while it is drained.
        for number in 31...35 { try await second.publishOrSpool(messages(number...number)) }
        #expect(await eventually(seconds: 20) { second.spooled == 0 })
        let status = try await second.status()
        #expect(status.accepted == 35 && status.duplicates == 0)
        var reader = try await Reader(second, pool: "p")
        for number in 1...35 {
            let delivery = try await reader.next(settling: .ack)
            #expect(delivery.message.text == "\(number)" && delivery.sequence == UInt64(number))
        }
        await second.close()
        try await world.stop()
    }

    @Test("a client that was connected drains its spool when the hub is back, with nobody asking")
    func drained() async throws {
        let world = try await World()
        let client = try await world.client("sensor", spool: "spool")
        try await client.pool("p", "event.>")
        for round in 0..<2 {
            try await world.stop()
            #expect(await eventually(seconds: 20) { !client.isConnected })
            try await client.publishOrSpool(messages(10 * round..<10 * round + 10))
            #expect(client.spooled == 10)
            try await world.start()
            #expect(await eventually(seconds: 20) { client.spooled == 0 })
        }
        #expect(try await client.status().accepted == 20)
        await client.close()
        try await world.stop()
    }

    @Test("a message the hub would refuse is refused at once, and does not go to the spool")
    func refusedAtOnce() async throws {
        let world = try await World()
        let client = try await world.client("sensor", spool: "spool")
        try await world.stop()
        #expect(await eventually(seconds: 20) { !client.isConnected })
        let error = await #expect(throws: ClientError.self) {
            try await client.publishOrSpool(messages(1...2) + messages(3...3, subject: "no good"))
        }
        guard case .refused(.badEnvelope, _, index: 2)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(client.spooled == 0)
        await client.close()
    }
}
