import Foundation
import SwiftProtobuf
import Synchronization
import TestSupport
import Testing
import TocsinHub
import TocsinKit
import TocsinProto
import TocsinTransport
import TocsinWire

/// A peer made of nothing but a socket. One thread.
private struct RawPeer {
    private let socket: ZMQSocket
    private var poller: Poller
    private let events: EventCounter

    init(_ endpoint: String) throws {
        let context = try Context()
        socket = try ZMQSocket(.dealer, context: context)
        try socket.connect(endpoint)
        events = try EventCounter()
        poller = Poller(socket: socket, descriptor: events.descriptor)
        _ = try poller.wait(timeout: 10_000, toSend: true)
    }

    func send(_ header: [UInt8], _ body: [[UInt8]] = []) throws {
        guard try socket.send(([header] + body).map({ Bytes($0) })) == .sent else {
            throw NotNow(description: "the socket takes no message")
        }
    }
    func send(_ header: Header, _ body: [[UInt8]] = []) throws { try send(header.bytes, body) }

    /// The next message that is not of these kinds.
    mutating func receive(skipping skipped: Set<Kind> = [.heartbeat]) throws -> (header: Header, body: [[UInt8]]) {
        var parts: [Bytes] = []
        while true {
            while !(try socket.receive(into: &parts)) {
                guard try poller.wait(timeout: 20_000) == .receive else { throw NotNow(description: "the hub does not answer") }
            }
            let header = try Header(parts[0].buffer)
            if !skipped.contains(header.kind) { return (header, parts.dropFirst().map(\.array)) }
        }
    }

    mutating func hello() throws {
        try send(Header(.hello), [try Tocsin_V1_Hello.with { $0.name = "raw" }.serializedBytes()])
        guard try receive().header.kind == .welcome else { throw NotNow(description: "the hub gives no welcome") }
    }
}

private func framed(_ messages: [[UInt8]]) -> [UInt8] {
    var frame: [UInt8] = []
    for message in messages { LengthPrefixed.append(message, to: &frame) }
    return frame
}

private func envelope(_ id: String, _ subject: String) throws -> [UInt8] {
    try Tocsin_V1_Envelope.with {
        $0.id = Data(id.utf8)
        $0.subject = subject
    }.serializedBytes()
}

/// Goal: whatever comes from the network gets its named status, ends nothing and disturbs nobody. Method: a bare socket beside a
/// client at work.
@Suite("Malformed traffic", .timeLimit(.minutes(3))) struct RawTests {
    private func patched(_ offset: Int, _ byte: UInt8) -> [UInt8] {
        var bytes = Header(.heartbeat, id: 5).bytes
        bytes[offset] = byte
        return bytes
    }

    /// What is sent, and the reason it is refused with. Ids are 7; 0 where the header cannot be read.
    private func cases() throws -> [(name: String, header: [UInt8], body: [[UInt8]], reason: Reason)] {
        let good = framed([try envelope("x", "event.test")])
        let junk: [UInt8] = [0xFF, 0xFF, 0xFF]
        func header(_ kind: Kind, _ count: Int = 0) -> [UInt8] { Header(kind, id: 7, count: count).bytes }
        func row(_ outcome: UInt8) -> [UInt8] { [UInt8](repeating: 0, count: 16) + [outcome] + [UInt8](repeating: 0, count: 7) }
        return [
            ("short header", Array(header(.heartbeat).dropLast()), [], .truncated),
            ("long header", header(.heartbeat) + [0], [], .truncated),
            ("magic", patched(0, 0), [], .badMagic),
            ("version", patched(4, 2), [], .badVersion),
            ("kind", Array(header(.heartbeat).prefix(5)) + [99] + header(.heartbeat).dropFirst(6), [], .unknownKind),
            ("a hub's kind", header(.welcome), [[]], .unknownKind),
            ("no body", header(.publish, 1), [], .frameCount),
            ("three bodies", header(.publish, 1), [good, good, good], .frameCount),
            ("body of a heartbeat", header(.heartbeat), [[1]], .frameCount),
            ("cut prefix", header(.publish, 1), [[0, 0, 0]], .badLengthPrefix),
            ("prefix too long", header(.publish, 1), [[0, 0, 0, 0, 9, 1]], .badLengthPrefix),
            ("compressed", header(.publish, 1), [[1] + good.dropFirst()], .badLengthPrefix),
            ("count", header(.publish, 2), [good], .badLengthPrefix),
            ("message of 2 MiB", header(.publish, 1), [framed([[UInt8](repeating: 1, count: 2 << 20)])], .tooLarge),
            ("body of 9 MiB", header(.publish, 1), [[UInt8](repeating: 0, count: 9 << 20)], .tooLarge),
            ("envelope", header(.publish, 1), [framed([junk])], .badEnvelope),
            ("empty envelope", header(.publish, 1), [framed([[]])], .badEnvelope),
            ("subject", header(.publish, 1), [framed([try envelope("x", "no good")])], .badEnvelope),
            ("unknown subject", header(.publish, 1), [framed([try envelope("x", "evnt")])], .unknownSubject),
            ("declare", header(.declare), [junk], .badBody),
            (
                "pool without filters", header(.declare), [try Tocsin_V1_PoolSpec.with { $0.name = "q" }.serializedBytes()],
                .badPool
            ),
            (
                "unknown pool", header(.subscribe),
                [
                    try Tocsin_V1_Subscribe.with {
                        $0.pool = "none"
                        $0.credit = 1
                    }.serializedBytes()
                ], .unknownPool
            ),
            ("no credit", header(.subscribe), [try Tocsin_V1_Subscribe.with { $0.pool = "p" }.serializedBytes()], .badCredit),
            ("credit for nothing", header(.credit, 1), [], .unknownSubscription),
            ("settling nothing", header(.settle, 1), [row(1)], .unknownSubscription),
            ("outcome", header(.settle, 1), [row(4)], .badBody),
            ("cut row", header(.settle, 1), [Array(row(1).dropLast())], .badBody),
            ("leaving nothing", header(.unsubscribe), [], .unknownSubscription),
            (
                "filter of a tap", header(.tap),
                [
                    try Tocsin_V1_Tap.with {
                        $0.filters = ["a..b"]
                        $0.credit = 1
                    }.serializedBytes()
                ], .badPool
            ),
            (
                "nobody serves it", header(.call, 1),
                [try Tocsin_V1_CallHead.with { $0.method = "a.B/C" }.serializedBytes(), framed([[]])], .unknownService
            ),
            ("answer to no call", header(.reply, 1), [try Tocsin_V1_CallTail().serializedBytes(), framed([[]])], .unknownCall),
        ]
    }

    private struct Answer: Sendable {
        var header: Header
        var body: [[UInt8]]
    }

    /// One answer to each case, in a session that goes on. Blocks its thread, as a bare socket has to stay on one.
    private func misbehave(_ endpoint: String) throws -> (early: Answer, cases: [Answer], after: [Answer]) {
        var peer = try RawPeer(endpoint)
        func answer(skipping skipped: Set<Kind> = [.heartbeat]) throws -> Answer {
            let message = try peer.receive(skipping: skipped)
            return Answer(header: message.header, body: message.body)
        }
        try peer.send(Header(.publish, id: 9, count: 1), [framed([try envelope("y", "event.test")])])
        let early = try answer()
        try peer.hello()
        var answers: [Answer] = []
        for each in try cases() {
            try peer.send(each.header, each.body)
            answers.append(try answer())
        }
        try peer.send(Header(.heartbeat, id: 77))
        let alive = try answer(skipping: [])
        try peer.send(Header(.publish, id: 8, count: 1), [framed([try envelope("last", "event.test")])])
        return (early, answers, [alive, try answer()])
    }

    @Test("each malformed message gets its named status; the session and the other peers go on")
    func malformed() async throws {
        // Long, as the bare socket says nothing by itself.
        let world = try await World(heartbeat: 10_000)
        let client = try await world.client("one")
        try await client.pool("p", "event.>")
        let publishing = Task {
            var number = 0
            while !Task.isCancelled {
                number += 1
                do {
                    let receipt = try await client.publish(messages(number...number))
                    #expect(receipt.stored == 1)
                } catch is CancellationError {
                    break
                }
            }
            return number
        }
        let endpoint = world.options.endpoints[0]
        let answers = try await onThread { try misbehave(endpoint) }
        publishing.cancel()
        let number = try await publishing.value
        #expect(number > 0)

        #expect(answers.early.header.id == 9 && answers.early.header.reason == Reason.notWelcomed.rawValue)
        var refused: [Reason: UInt64] = [.notWelcomed: 1]
        for (each, answer) in zip(try cases(), answers.cases) {
            #expect(answer.header.kind == .status, "\(each.name)")
            #expect(answer.header.reason == each.reason.rawValue, "\(each.name): reason \(answer.header.reason)")
            let hasID = ![.truncated, .badMagic, .badVersion].contains(each.reason)
            #expect(answer.header.id == (hasID ? 7 : 0), "\(each.name): id \(answer.header.id)")
            let status = try Tocsin_V1_Status(serializedBytes: try #require(answer.body.first))
            #expect(status.reason == each.reason.name && status.code == each.reason.code, "\(each.name): \(status.reason)")
            #expect(!status.message.isEmpty, "\(each.name)")
            refused[each.reason, default: 0] += 1
        }
        #expect(answers.after.map(\.header.kind) == [.heartbeat, .accepted] && answers.after.map(\.header.id) == [77, 8])
        let status = try await client.status()
        for (reason, count) in refused { #expect(status.refused[reason.name] == count, "\(reason.name)") }
        #expect(status.peers.map(\.name).contains("one"))
        await client.close()
        try await world.stop()
    }

    @Test("a worker that falls silent is lost after three heartbeats: what it held goes to another")
    func silent() async throws {
        let world = try await World(heartbeat: 1_000)
        let client = try await world.client("one")
        try await client.pool("p", "event.>")
        try await client.publish(messages(1...1))
        let endpoint = world.options.endpoints[0]
        let isLost = DispatchSemaphore(value: 0)
        let isGiven = Atomic<Bool>(false)
        async let told = onThread {
            var peer = try RawPeer(endpoint)
            try peer.hello()
            try peer.send(
                Header(.subscribe, id: 1),
                [
                    try Tocsin_V1_Subscribe.with {
                        $0.pool = "p"
                        $0.credit = 1
                    }.serializedBytes()
                ])
            let delivered = try peer.receive(skipping: [.heartbeat, .status]).header
            isGiven.store(true, ordering: .releasing)
            _ = isLost.wait(timeout: .now() + 20)
            try peer.send(Header(.heartbeat, id: 5))
            return [delivered, try peer.receive().header]
        }
        // Else it might be given to the other first.
        #expect(await eventually(seconds: 20) { isGiven.load(ordering: .acquiring) })
        var reader = try await Reader(client, pool: "p")
        #expect(try await reader.next(settling: .ack).attempt == 2)
        isLost.signal()
        let headers = try await told
        #expect(headers[0].kind == .deliver)
        #expect(headers[1].kind == .status && headers[1].reason == Reason.notWelcomed.rawValue && headers[1].id == 5)
        await client.close()
        try await world.stop()
    }

    private func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            Thread { continuation.resume(with: Result(catching: body)) }.start()
        }
    }
}

@Suite("A hub that cannot start says why", .timeLimit(.minutes(3))) struct StartTests {
    private func failure(_ options: HubOptions) async throws -> HubError {
        let error = await #expect(throws: HubError.self) { _ = try await HubRun(options) }
        return try #require(error)
    }

    @Test("its folder is in use")
    func folderInUse() async throws {
        let world = try await World()
        var options = world.options
        options.endpoints = ["ipc://\(world.folder.path)/other"]
        let error = try await failure(options)
        #expect(error.code == .inUse)
        #expect(error.description.hasPrefix("the folder \(world.options.directory) is in use by another hub"))
        try await world.stop()
        try await HubRun(options).stop()
    }

    @Test("its port is taken")
    func portTaken() async throws {
        let folder = try TemporaryFolder()
        var options = HubOptions(directory: folder.path + "/a")
        options.allowsPlainTCP = true
        options.engine.journal.segmentBytes = 1 << 20
        options.endpoints = ["tcp://127.0.0.1:*"]
        let first = try await HubRun(options)
        options.endpoints = first.hub.endpoints
        options.directory = folder.path + "/b"
        let error = try await failure(options)
        #expect(error.code == .bind)
        #expect(error.description.hasPrefix("cannot bind \(options.endpoints[0]): the address is in use"))
        try await first.stop()
        try await HubRun(options).stop()
    }

    @Test("its journal is damaged, its folder cannot be made, or its options cannot work")
    func others() async throws {
        let world = try await World()
        try await world.stop()
        let segment = world.options.directory + "/segment-00000001.log"
        let handle = try #require(FileHandle(forWritingAtPath: segment))
        try handle.write(contentsOf: [0])
        try handle.close()
        let damaged = try await failure(world.options)
        #expect(damaged.code == .corrupt && damaged.description.contains("segment-00000001.log"))

        var options = world.options
        options.directory = segment + "/x"
        let impossible = try await failure(options)
        #expect(impossible.code == .disk && impossible.description.contains("cannot create the folder \(segment)/x"))

        options.endpoints = []
        options.engine.journal.segmentBytes = 5
        let wrong = try await failure(options)
        #expect(wrong.code == .options)
        #expect(wrong.description.contains("no endpoint") && wrong.description.contains("a segment has 1 MiB to 1 GiB"))
    }

    @Test("a hub that is told to end refuses what is new, and waits for what workers hold to be settled")
    func drain() async throws {
        let world = try await World()
        let client = try await world.client("worker")
        try await client.pool("p", "event.>")
        try await client.publish(messages(1...1))
        var reader = try await Reader(client, pool: "p", credit: 1)
        let held = try await reader.next()
        var peer = try RawPeer(world.options.endpoints[0])
        try peer.hello()
        let stopping = Task { try await world.stop() }
        var published = 1
        let isRefused = try await eventually(seconds: 20) {
            let body = framed([try envelope("raw \(published)", "event.test")])
            try peer.send(Header(.publish, id: 7, count: 1), [body])
            let answer = try peer.receive().header
            if answer.kind == .accepted { published += 1 }
            return answer.kind == .status && answer.reason == Reason.shuttingDown.rawValue
        }
        #expect(isRefused)
        reader.subscription.settle([(held, .ack)])
        try await stopping.value
        try await world.start()
        try await client.ready(within: .seconds(20))
        let pool = try await client.status(of: "p")
        #expect(pool.acked == 1 && pool.matched == UInt64(published))
        await client.close()
        try await world.stop()
    }
}
