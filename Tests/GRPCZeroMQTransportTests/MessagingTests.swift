import GRPCCore
import GRPCZeroMQTransport
import Synchronization
import TestSupport
import Testing
import TocsinGateway
import TocsinKit
import TocsinMessaging
import TocsinProto
import TocsinServices

/// Publisher and Subscriber, served by a gateway before a hub, and clients over HTTP/2.
private struct Stubs: Sendable {
    let world: World
    let publisher: Tocsin_V1_Publisher.Client<AnyHTTP>
    let subscriber: Tocsin_V1_Subscriber.Client<AnyHTTP>
    let admin: Tocsin_V1_BrokerAdmin.Client<AnyHTTP>

    func declare(_ pool: String, _ filter: String) async throws {
        _ = try await subscriber.declarePool(
            .with {
                $0.pool = .with {
                    $0.name = pool
                    $0.filters = [filter]
                    $0.maxAttempts = 2
                }
            })
    }

    @discardableResult
    func publish(_ ids: [String], subject: String = "test.a") async throws -> Tocsin_V1_PublishResponse {
        try await publisher.publish(.with { $0.messages = ids.map { envelope($0, subject) } })
    }

    func status(_ pool: String) async throws -> Tocsin_V1_PoolStatus {
        try await admin.getStatus(.init()).pools.first { $0.name == pool } ?? .init()
    }

    /// Joins a pool; `each` gets what is delivered, one by one, and says how to settle it: nil ends the call.
    func consume(
        _ pool: String, credit: UInt32 = 10,
        _ each: @escaping @Sendable (Tocsin_V1_PoolDelivery) async throws -> Tocsin_V1_Settlement?
    ) async throws {
        let (settlements, give) = AsyncStream.makeStream(of: Tocsin_V1_Settlement.self)
        try await subscriber.consume { requests in
            try await requests.write(
                .with {
                    $0.join = .with {
                        $0.pool = pool
                        $0.credit = credit
                    }
                })
            for await settlement in settlements {
                try await requests.write(.with { $0.settle = .with { $0.settlements = [settlement] } })
            }
        } onResponse: { responses in
            for try await response in responses.messages {
                for delivery in response.deliveries {
                    guard let settlement = try await each(delivery) else {
                        give.finish()
                        continue
                    }
                    give.yield(settlement)
                }
            }
        }
    }
}

private func envelope(_ id: String, _ subject: String) -> Tocsin_V1_Envelope {
    .with {
        $0.id = .init(id.utf8)
        $0.subject = subject
        $0.severity = .minor
        $0.headers = ["from": "test"]
        $0.payload = .init("payload of \(id)".utf8)
    }
}

private func settled(_ delivery: Tocsin_V1_PoolDelivery, _ outcome: Tocsin_V1_Outcome) -> Tocsin_V1_Settlement {
    .with {
        $0.lease = delivery.lease
        $0.outcome = outcome
        $0.reason = "because"
    }
}

private func withStubs(maxCalls: Int = 16, _ body: @escaping @Sendable (Stubs) async throws -> Void) async throws {
    let world = try await World()
    let own = try await world.client("gateway")
    try await withGateway(
        upstream: own,
        services: [
            PublisherService(own),
            SubscriberService(maxCalls: maxCalls) { caller throws(ClientError) in try world.newClient(caller) },
        ]
    ) { client in
        try await body(
            Stubs(
                world: world, publisher: .init(wrapping: client), subscriber: .init(wrapping: client),
                admin: .init(wrapping: client)))
    }
    try await world.stop()
}

/// The code and reason of what must fail.
private func failure(_ body: () async throws -> Void) async -> (code: RPCError.Code, reason: String, message: String)? {
    do {
        try await body()
        return nil
    } catch let error as RPCError {
        return (error.code, error.metadata[stringValues: "tocsin-reason"].first { _ in true } ?? "", error.message)
    } catch {
        return (.unknown, "", "\(error)")
    }
}

@Suite("Publisher and Subscriber for gRPC clients", .timeLimit(.minutes(3))) struct MessagingTests {
    @Test("what is published is stored once, and a refusal names the message, the code and the reason")
    func publish() async throws {
        try await withStubs { (stubs) async throws -> Void in
            try await stubs.declare("tests", "test.>")
            let first = try await stubs.publish(["1", "2"])
            #expect(first.stored == 2 && first.duplicates == 0 && first.firstSequence > 0)
            let again = try await stubs.publish(["2", "3"])
            #expect(again.stored == 1 && again.duplicates == 1)
            let unknown = await failure { try await stubs.publish(["4"], subject: "nobody.takes.it") }
            #expect(unknown?.code == .notFound && unknown?.reason == "UNKNOWN_SUBJECT")
            let bad = await failure {
                _ = try await stubs.publisher.publish(
                    .with { $0.messages = [envelope("5", "test.a"), envelope("6", "no good")] })
            }
            #expect(bad?.code == .invalidArgument && bad?.reason == "BAD_ENVELOPE")
            #expect(bad?.message.contains("messages[1]") == true)
            let severity = await failure {
                _ = try await stubs.publisher.publish(
                    .with {
                        $0.messages = [
                            .with {
                                $0.subject = "test.a"
                                $0.severity = .UNRECOGNIZED(9)
                            }
                        ]
                    })
            }
            #expect(severity?.code == .invalidArgument && severity?.message.contains("messages[0].severity") == true)
            #expect(await failure { _ = try await stubs.publisher.publish(.init()) }?.code == .invalidArgument)
            #expect(try await stubs.status("tests").matched == 3)
            // Without an id each is a new one.
            let anonymous = Tocsin_V1_PublishRequest.with { $0.messages = Array(repeating: envelope("", "test.a"), count: 2) }
            #expect(try await stubs.publisher.publish(anonymous).stored == 2)
        }
    }

    @Test("a consumer gets what was published; ack ends it, retry brings it again, reject and the last attempt give it up")
    func consume() async throws {
        try await withStubs { (stubs) async throws -> Void in
            try await stubs.declare("tests", "test.>")
            try await stubs.publish(["ack", "retry", "reject", "twice"])
            let seen = Mutex<[String: [UInt32]]>([:])
            let working = Task {
                try await stubs.consume("tests") { delivery in
                    #expect(delivery.sequence > 0)
                    let id = String(decoding: delivery.message.id, as: UTF8.self)
                    #expect(delivery.message.payload == .init("payload of \(id)".utf8))
                    #expect(delivery.message.headers == ["from": "test"] && delivery.message.severity == .minor)
                    seen.withLock { $0[id, default: []].append(delivery.attempt) }
                    return switch id {
                    case "ack": settled(delivery, .ack)
                    case "retry": settled(delivery, delivery.attempt == 1 ? .retry : .ack)
                    case "twice": settled(delivery, .retry)
                    default: settled(delivery, .reject)
                    }
                }
            }
            #expect(
                await eventually(seconds: 20) {
                    let status = try? await stubs.status("tests")
                    return status?.acked == 2 && status?.dead == 2
                })
            #expect(seen.withLock { $0 } == ["ack": [1], "retry": [1, 2], "reject": [1], "twice": [1, 2]])
            let letters = try await stubs.admin.listDeadLetters(.with { $0.pool = "tests" }).letters
            #expect(letters.count == 2 && letters.allSatisfy { $0.reason.contains("because") }, "\(letters.map(\.reason))")
            working.cancel()
            _ = await working.result
        }
    }

    @Test("when its requests end, or its caller vanishes, what a consumer holds is given to others at once")
    func handedOn() async throws {
        try await withStubs { (stubs) async throws -> Void in
            try await stubs.declare("tests", "test.>")
            try await stubs.publish(["1"])
            try await stubs.consume("tests") { _ in nil }
            #expect(await eventually(seconds: 20) { (try? await stubs.status("tests").queued) == 1 })
            let holds = Mutex(false)
            let vanishing = Task {
                try await stubs.consume("tests") { delivery in
                    #expect(delivery.attempt == 2)
                    holds.withLock { $0 = true }
                    try await Task.sleep(for: .seconds(60))
                    return nil
                }
            }
            #expect(await eventually(seconds: 20) { holds.withLock { $0 } })
            #expect(try await stubs.status("tests").inFlight == 1)
            vanishing.cancel()
            // The second attempt was the last: one that is lost counts.
            #expect(await eventually(seconds: 20) { (try? await stubs.status("tests").dead) == 1 })
            #expect(await eventually(seconds: 20) { (try? await stubs.status("tests").workers) == 0 })
        }
    }

    @Test("a consumer outlives its hub")
    func restart() async throws {
        try await withStubs { (stubs) async throws -> Void in
            try await stubs.declare("tests", "test.>")
            let seen = Mutex<Set<String>>([])
            let working = Task {
                try await stubs.consume("tests") { delivery in
                    seen.withLock { _ = $0.insert(String(decoding: delivery.message.id, as: UTF8.self)) }
                    return settled(delivery, .ack)
                }
            }
            try await stubs.publish(["1"])
            #expect(await eventually(seconds: 20) { seen.withLock { $0 } == ["1"] })
            try await stubs.world.stopHub()
            try await stubs.world.startHub()
            try await stubs.publish(["2"])
            #expect(await eventually(seconds: 20) { seen.withLock { $0 } == ["1", "2"] })
            working.cancel()
            _ = await working.result
        }
    }

    @Test("what a consumer says wrongly ends its call with the field; a lease of somebody else changes nothing")
    func wrong() async throws {
        try await withStubs(maxCalls: 1) { (stubs) async throws -> Void in
            try await stubs.declare("tests", "test.>")
            func consume(_ requests: [Tocsin_V1_ConsumeRequest]) async -> (RPCError.Code, String)? {
                let told = await failure {
                    try await stubs.subscriber.consume { writer in
                        for request in requests { try await writer.write(request) }
                        try await Task.sleep(for: .seconds(60))
                    } onResponse: { responses in
                        for try await _ in responses.messages {}
                    }
                }
                return told.map { ($0.code, $0.message) }
            }
            let join = Tocsin_V1_ConsumeRequest.with { $0.join = .with { $0.pool = "tests" } }
            func settle(_ lease: [UInt8], _ outcome: Tocsin_V1_Outcome) -> Tocsin_V1_ConsumeRequest {
                .with {
                    $0.settle = .with {
                        $0.settlements = [
                            .with {
                                $0.lease = .init(lease)
                                $0.outcome = outcome
                            }
                        ]
                    }
                }
            }
            let first = await consume([settle([], .ack)])
            #expect(first?.0 == .invalidArgument && first?.1.contains("join") == true)
            #expect(await consume([.with { $0.join = .with { $0.pool = "nobody" } }])?.0 == .notFound)
            let twice = await consume([join, join])
            #expect(twice?.0 == .invalidArgument && twice?.1.contains("settle") == true)
            let lease = await consume([join, settle([1, 2, 3], .ack)])
            #expect(lease?.0 == .invalidArgument && lease?.1.contains("settlements[0].lease") == true)
            let outcome = await consume([join, settle(Array(repeating: 0, count: 25), .unspecified)])
            #expect(outcome?.0 == .invalidArgument && outcome?.1.contains("settlements[0].outcome") == true)

            // The next one holds a message; another lease than that of its delivery settles nothing.
            try await stubs.publish(["1"])
            let working = Task {
                try await stubs.consume("tests") { delivery in
                    var lease = [UInt8](delivery.lease)
                    lease[23] ^= 1
                    var forged = delivery
                    forged.lease = .init(lease)
                    return settled(forged, .ack)
                }
            }
            #expect(await eventually(seconds: 20) { (try? await stubs.status("tests").staleSettlements) == 1 })
            #expect(try await stubs.status("tests").acked == 0)
            // One call at once, and it is open.
            #expect(await failure { try await stubs.consume("tests") { _ in nil } }?.code == .resourceExhausted)
            working.cancel()
            #expect(
                await eventually(seconds: 20) {
                    await failure { try await stubs.declare("more", "more.>") } == nil
                }, "the call that ended has made room")
        }
    }

    @Test("a tap replays from a sequence, goes on with what comes, and ends with its caller")
    func tap() async throws {
        try await withStubs { (stubs) async throws -> Void in
            try await stubs.declare("tests", "test.>")
            let first = try await stubs.publish(["1", "2"]).firstSequence
            let seen = Mutex<[String]>([])
            let watching = Task {
                try await stubs.subscriber.tap(
                    .with {
                        $0.filters = ["test.>"]
                        $0.sequence = first
                    }
                ) { responses in
                    for try await response in responses.messages {
                        guard case .message(let tapped)? = response.what else { continue }
                        #expect(tapped.sequence >= first)
                        seen.withLock { $0.append(String(decoding: tapped.message.id, as: UTF8.self)) }
                    }
                }
            }
            #expect(await eventually(seconds: 20) { seen.withLock { $0 } == ["1", "2"] })
            try await stubs.publish(["3"])
            #expect(await eventually(seconds: 20) { seen.withLock { $0 } == ["1", "2", "3"] })
            watching.cancel()
            _ = await watching.result
            #expect(await eventually(seconds: 20) { (try? await stubs.admin.getStatus(.init()).taps) == 0 })
            let none = await failure {
                try await stubs.subscriber.tap(.init()) { responses in for try await _ in responses.messages {} }
            }
            #expect(none?.code == .invalidArgument)
        }
    }
}
