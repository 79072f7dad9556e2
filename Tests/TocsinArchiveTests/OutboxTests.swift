import Logging
import Synchronization
import Testing
import TocsinKit
import TocsinProto
import TocsinWire

@testable import TocsinArchive

/// Goal: every change reaches the hub, in order, under the same id however often it is tried. Method: a hub made of a closure
/// that deduplicates by id, as the real one does.
@Suite("The outbox", .timeLimit(.minutes(1)))
struct OutboxTests {
    private final class Hub: Sendable {
        let stored = Mutex<[Message]>([])
        let calls = Mutex(0)
        /// Throws to refuse; may be told to fail after storing.
        let check: @Sendable (_ call: Int, [Message]) throws -> Void
        let failAfterStoring: Bool

        init(
            failAfterStoring: Bool = false, check: @escaping @Sendable (Int, [Message]) throws -> Void = { _, _ in }
        ) {
            self.failAfterStoring = failAfterStoring
            self.check = check
        }

        func publish(_ messages: [Message]) async throws {
            let call = calls.withLock { calls in
                calls += 1
                return calls
            }
            try check(call, messages)
            stored.withLock { stored in
                for message in messages where !stored.contains(where: { $0.id == message.id }) {
                    stored.append(message)
                }
            }
            if failAfterStoring { throw ClientError.timedOut("the hub went away") }
        }

        var ids: [String] { stored.withLock { $0.map { String(decoding: $0.id, as: UTF8.self) } } }
    }

    private static func publisher(_ archive: TestArchive, _ hub: Hub) -> OutboxPublisher {
        OutboxPublisher(store: archive.store, logger: Logger.silent, publish: hub.publish)
    }

    private static func archive(incidents: Int = 3) async throws -> TestArchive {
        let archive = try TestArchive()
        for number in 1...incidents { try await archive.apply(update("f\(number)", ["e\(number)"])) }
        return archive
    }

    @Test("changes go out in order and are forgotten once accepted")
    func publishes() async throws {
        let archive = try await Self.archive()
        let hub = Hub()
        let publisher = Self.publisher(archive, hub)
        while try await !publisher.step() {}
        #expect(hub.ids == ["incident/1/1", "incident/2/1", "incident/3/1"])
        #expect(try await archive.store.accounting().outbox == 0)
    }

    @Test("an archiver that died between publish and delete publishes again, under the same ids and bytes")
    func diedInBetween() async throws {
        let archive = try await Self.archive()
        let hub = Hub(failAfterStoring: true)
        await #expect(throws: ClientError.self) { try await Self.publisher(archive, hub).step() }
        #expect(try await archive.store.accounting().outbox == 3)
        let first = hub.stored.withLock { $0 }
        try archive.restart()
        let again = Hub()
        _ = try await Self.publisher(archive, again).step()
        #expect(again.stored.withLock { $0 } == first)
        #expect(try await archive.store.accounting().outbox == 0)
    }

    @Test("what a dead archiver left is published by the next one at its start, without any new change")
    func atStart() async throws {
        let archive = try await Self.archive()
        try archive.restart()
        let hub = Hub()
        let publisher = Self.publisher(archive, hub)
        let (signal, hint) = AsyncStream.makeStream(of: Void.self)
        hint.finish()
        await publisher.run(signal)
        #expect(hub.ids.count == 3)
    }

    @Test("while the hub is away changes wait, and go when it is back")
    func hubAway() async throws {
        let archive = try await Self.archive()
        let hub = Hub { call, _ in if call < 3 { throw ClientError.timedOut("no hub") } }
        let (signal, hint) = AsyncStream.makeStream(of: Void.self)
        hint.finish()
        await Self.publisher(archive, hub).run(signal)
        #expect(hub.ids.count == 3 && hub.calls.withLock { $0 } == 3)
    }

    @Test("a change the hub will never take is set aside with the reason; the others go")
    func setAside() async throws {
        let archive = try await Self.archive()
        let hub = Hub { _, messages in
            if let index = messages.firstIndex(where: { $0.key == "incident-2" }) {
                throw ClientError.refused(.tooLarge, "it is too large", index: index)
            }
        }
        let publisher = Self.publisher(archive, hub)
        while try await !publisher.step() {}
        #expect(hub.ids == ["incident/1/1", "incident/3/1"])
        #expect(try await archive.count("outbox", where: "refused LIKE 'TOO_LARGE%'") == 1)
    }

    @Test("a subject that nothing takes yet is no reason to give a change up")
    func unknownSubject() async throws {
        let archive = try await Self.archive()
        let hub = Hub { call, _ in
            if call == 1 { throw ClientError.refused(.unknownSubject, "nothing takes it", index: 0) }
        }
        let (signal, hint) = AsyncStream.makeStream(of: Void.self)
        hint.finish()
        await Self.publisher(archive, hub).run(signal)
        #expect(hub.ids.count == 3)
    }
}
