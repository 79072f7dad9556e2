import GRPCCore
import GRPCZeroMQTransport
import Logging
import Synchronization
import TestSupport
import Testing
import TocsinKit
import TocsinPosix
import TocsinProto
import TocsinServices

@testable import TocsinArchive

/// Goal: any number of watchers see every change once and in order, whenever they begin and however slow they are.
@Suite("The feed of changes", .timeLimit(.minutes(5)), .serialized)
struct FeedTests {
    typealias World = WorkerTests.World

    private func change(_ number: UInt64) -> Tocsin_V1_IncidentChange {
        .with {
            $0.verb = "noted"
            $0.incident.number = number
        }
    }

    private func publish(_ numbers: ClosedRange<UInt64>, by client: Client) async throws {
        try await client.publish(numbers.map { try Message(change($0), subject: "incident.noted.checkout") })
    }

    /// What a watcher is told, as it comes.
    private final class Seen: Sendable {
        private let state = Mutex<(numbers: [UInt64], missed: [ClosedRange<UInt64>])>(([], []))
        var numbers: [UInt64] { state.withLock { $0.numbers } }
        var missed: [ClosedRange<UInt64>] { state.withLock { $0.missed } }

        func note(_ response: Tocsin_V1_WatchIncidentsResponse) {
            state.withLock { state in
                switch response.what {
                case .change(let change)?: state.numbers.append(change.incident.number)
                case .missed(let missed)?: state.missed.append(missed.first...missed.last)
                case nil: break
                }
            }
        }
    }

    @Test("more watchers than a peer may have taps see what happens, with one tap, and leave nothing")
    func many() async throws {
        let world = try await World()
        let archiver = world.archiver("first")
        _ = try await world.call { try await $0.getAccounting(.init()) }
        let incidents = Tocsin_V1_IncidentService.Client(wrapping: GRPCClient(transport: HubClientTransport(world.client)))
        let admin = Tocsin_V1_BrokerAdmin.Client(wrapping: GRPCClient(transport: HubClientTransport(world.client)))
        let seen = (0..<100).map { _ in Seen() }
        let watchers = seen.map { seen in
            Task {
                try await incidents.watchIncidents(.init()) { response in
                    for try await item in response.messages { seen.note(item) }
                }
            }
        }
        // The watchers begin with what happens from now on, each at a moment of its own: until the last has, it happens again.
        var count: UInt64 = 0
        #expect(
            try await eventually(seconds: 60) {
                count += 1
                try await publish(count...count, by: world.client)
                return seen.allSatisfy { !$0.numbers.isEmpty }
            })
        try await publish(count + 1...count + 10, by: world.client)
        for seen in seen {
            #expect(await eventually(seconds: 60) { seen.numbers.last == count + 10 })
            let numbers = seen.numbers
            #expect(numbers == Array((numbers.first ?? 0)...(count + 10)) && seen.missed.isEmpty)
        }
        let status = try await admin.getStatus(.init())
        #expect(status.taps == 1 && status.callsInFlight >= 100)
        for watcher in watchers { watcher.cancel() }
        for watcher in watchers { _ = await watcher.result }
        #expect(try await eventually(seconds: 60) { try await admin.getStatus(.init()).callsInFlight <= 1 })
        archiver.cancel()
        try await archiver.value
        try await world.end()
    }

    @Test("who begins before the feed does reads from the hub and goes on with the feed: nothing twice, nothing left out")
    func replay() async throws {
        let world = try await World()
        let client = world.client
        try await publish(1...301, by: client)
        let start = MachineClock.wall() + 1
        let feed = ChangeFeed(from: start)
        let seen = Seen()
        let watcher = Task { try await feed.watch(since: 1, client, .silent) { seen.note($0) } }
        #expect(await eventually(seconds: 60) { seen.numbers.count == 301 })
        let filling = Task { try await feed.run(client, .silent) }
        // What the next messages have for a time is then not before the feed's beginning.
        #expect(await eventually { MachineClock.wall() > start })
        try await publish(302...900, by: client)
        #expect(await eventually(seconds: 60) { seen.numbers.count >= 900 })
        #expect(seen.numbers == Array(1...900) && seen.missed.isEmpty)
        // One that begins later has what the feed holds from it, and what is older not at all.
        let late = Seen()
        let second = Task { try await feed.watch(since: start, client, .silent) { late.note($0) } }
        #expect(await eventually(seconds: 60) { late.numbers.last == 900 })
        #expect(late.numbers == Array(302...900))
        for task in [watcher, second, filling] { task.cancel() }
        for task in [watcher, second, filling] { _ = await task.result }
        try await world.end()
    }

    @Test("who is further with the hub than the feed is goes on with the hub until the feed has caught up")
    func overtaking() async throws {
        let world = try await World()
        let client = world.client
        try await publish(1...10, by: client)
        var items: [TapItem] = []
        for try await item in try await client.tap(["incident.>"], from: .time(1)) {
            items.append(item)
            if items.count == 10 { break }
        }
        let feed = ChangeFeed(from: MachineClock.wall() + 60_000)
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let seen = Seen()
        let watcher = Task {
            try await feed.watch(since: 1, client, .silent) { item in
                seen.note(item)
                if seen.numbers == [1, 2] { for await _ in gate { break } }
            }
        }
        #expect(await eventually(seconds: 60) { seen.numbers == [1, 2] })
        await feed.append(items[0], .silent)
        open.yield()
        #expect(await eventually(seconds: 60) { seen.numbers.count >= 10 })
        for item in items.dropFirst() { await feed.append(item, .silent) }
        // The next that the hub tells is where the feed takes over.
        try await publish(11...11, by: client)
        #expect(await eventually(seconds: 60) { seen.numbers.count >= 11 })
        #expect(seen.numbers == Array(1...11) && seen.missed.isEmpty)
        watcher.cancel()
        _ = await watcher.result
        try await world.end()
    }

    @Test("a watcher that falls behind the ring is told what it missed; the ring is bounded")
    func slow() async throws {
        let world = try await World()
        let client = world.client
        let feed = ChangeFeed(from: 1)
        func append(_ numbers: ClosedRange<UInt64>) async throws {
            for number in numbers {
                var message = try Message(change(number), subject: "incident.noted.checkout")
                message.publishedAt = number
                await feed.append(.message(message, sequence: number), .silent)
            }
        }
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let seen = Seen()
        let watcher = Task {
            try await feed.watch(since: 1, client, .silent) { item in
                if seen.numbers.isEmpty { for await _ in gate { break } }
                seen.note(item)
            }
        }
        let size = UInt64(ChangeFeed.entriesMax)
        try await append(1...1)
        try await append(2...(size + 500))
        open.yield()
        #expect(await eventually(seconds: 60) { seen.numbers.last == size + 500 })
        // What it had taken in one go it has; then the gap; then all that the ring held.
        let missed = try #require(seen.missed.first)
        #expect(seen.missed.count == 1 && missed.upperBound == 500)
        let expected = Array(1..<missed.lowerBound) + Array(501...(size + 500))
        #expect(seen.numbers == expected)
        watcher.cancel()
        _ = await watcher.result
        try await world.end()
    }
}
