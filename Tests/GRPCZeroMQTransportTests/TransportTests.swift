import GRPCCore
import GRPCProtobuf
import GRPCZeroMQTransport
import InteropSuite
import Synchronization
import TestSupport
import Testing
import TocsinKit
import TocsinWire

/// Goal: what this transport promises beyond gRPC's cases: flow control, limits, ends of peers, shutting down, reconnecting.
@Suite("gRPC transport through the hub", .timeLimit(.minutes(3))) struct TransportTests {
    typealias Service = Tocsin_Interop_V1_TestService

    private func code(_ call: () async throws -> Void) async -> RPCError.Code? {
        do {
            try await call()
            return nil
        } catch let error as RPCError {
            return error.code
        } catch {
            Issue.record(error)
            return nil
        }
    }

    @Test("far more than the window goes each way at once, in order, each once")
    func volume() async throws {
        let world = try await World()
        try await world.with { client, _ in
            let sizes = (0..<4_000).map { Int32(($0 * 7919) % 2_000) }
            let received = try await Service.Client(wrapping: client).duplexCall { writer in
                for size in sizes {
                    try await writer.write(
                        .with {
                            $0.responseSizes = [size]
                            $0.payload = .with { $0.body = .init(repeating: 1, count: Int(size)) }
                        })
                }
            } onResponse: { response in
                try await response.messages.reduce(into: []) { $0.append(Int32($1.payload.body.count)) }
            }
            #expect(received == sizes)
        }
        try await world.stop()
    }

    @Test("a writer waits for a reader that is slow, and what is on its way stays within the window")
    func backPressure() async throws {
        let world = try await World()
        let (gate, opens) = AsyncStream.makeStream(of: Void.self)
        try await world.with([SlowService(gate: gate)]) { client, _ in
            let written = Counter()
            let size = 10_000
            let call = Task {
                try await Service.Client(wrapping: client).inputCall { writer in
                    for _ in 0..<500 {
                        try await writer.write(.with { $0.payload = .with { $0.body = .init(repeating: 1, count: size) } })
                        written.add()
                    }
                }
            }
            // What fits into the window, and the message that goes past it.
            let fits = Limits.callWindow / size + 1
            #expect(await eventually { written.value >= fits - 1 })
            try await Task.sleep(for: .milliseconds(100))
            #expect(written.value <= fits)
            opens.finish()
            let answer = try await call.value
            #expect(answer.aggregatedPayloadSize == 5_000_000)
        }
        try await world.stop()
    }

    @Test("every status code comes back with its message and its trailing metadata")
    func codes() async throws {
        let world = try await World()
        try await world.with { client, _ in
            let service = Service.Client(wrapping: client)
            for code in 1...16 {
                var metadata = Metadata()
                metadata.addBinary([1, 2, UInt8(code)], forKey: "x-grpc-test-echo-trailing-bin")
                let status = Tocsin_Interop_V1_EchoStatus.with {
                    $0.code = Int32(code)
                    $0.message = "status \(code)"
                }
                let error = await #expect(throws: RPCError.self) {
                    try await service.unaryCall(.with { $0.responseStatus = status }, metadata: metadata)
                }
                #expect(error?.code.rawValue == code)
                #expect(error?.message == "status \(code)")
                let details = error.map { Array($0.metadata[binaryValues: "x-grpc-test-echo-trailing-bin"]) }
                #expect(details == [[1, 2, UInt8(code)]])
            }
        }
        try await world.stop()
    }

    @Test("garbage is INVALID_ARGUMENT, too much is RESOURCE_EXHAUSTED, each way; the connection goes on")
    func badInput() async throws {
        let world = try await World()
        try await world.with { client, _ in
            let service = Service.Client(wrapping: client)
            let garbage = await code {
                try await client.unary(
                    request: ClientRequest(message: [0xFF, 0xFF]), descriptor: Service.Method.UnaryCall.descriptor,
                    serializer: Raw(), deserializer: Raw(), options: .defaults
                ) { _ = try $0.message }
            }
            #expect(garbage == .invalidArgument)
            let large = Tocsin_Interop_V1_Payload.with { $0.body = .init(repeating: 1, count: Limits.callMessageBytes) }
            #expect(await code { _ = try await service.unaryCall(.with { $0.payload = large }) } == .resourceExhausted)
            #expect(
                await code { _ = try await service.unaryCall(.with { $0.responseSize = Int32(Limits.callMessageBytes) }) }
                    == .resourceExhausted)
            let long: Metadata = ["long": .string(String(repeating: "x", count: Limits.metadataBytes))]
            #expect(await code { _ = try await service.emptyCall(.init(), metadata: long) } == .resourceExhausted)
            let fits = Tocsin_Interop_V1_Payload.with { $0.body = .init(repeating: 1, count: Limits.callMessageBytes - 100) }
            let request = Tocsin_Interop_V1_UnaryRequest.with {
                $0.payload = fits
                $0.responseSize = Int32(Limits.callMessageBytes - 100)
            }
            let answer = try await service.unaryCall(request)
            #expect(answer.payload.body.count == Limits.callMessageBytes - 100)
        }
        try await world.stop()
    }

    @Test("a server sees how long its caller waits; its call is cancelled at the deadline, by the caller, and when that vanishes")
    func cancellation() async throws {
        let world = try await World()
        let hanging = HangingService()
        try await world.with([hanging]) { client, served in
            let service = Service.Client(wrapping: client)
            var options = CallOptions.defaults
            options.timeout = .seconds(2)
            let late = await code { _ = try await service.emptyCall(.init(), options: options) }
            #expect(late == .deadlineExceeded)
            #expect(await eventually { hanging.ended.withLock { $0 } == 1 })
            let timeout = try #require(hanging.timeouts.withLock { $0.first })
            #expect(timeout.hasSuffix("m") && (1...2000).contains(Int(timeout.dropLast()) ?? 0), "\(timeout)")
            let call = Task { try await service.emptyCall(.init()) }
            #expect(await eventually { hanging.begun.withLock { $0 } == 2 })
            call.cancel()
            #expect(await eventually { hanging.ended.withLock { $0 } == 2 })
            let vanishing = Task { await code { _ = try await service.emptyCall(.init()) } }
            #expect(await eventually { hanging.begun.withLock { $0 } == 3 })
            await served.caller.close()
            #expect(await vanishing.value == .unavailable)
            #expect(await eventually { hanging.ended.withLock { $0 } == 3 })
        }
        try await world.stop()
    }

    @Test("a server that shuts down takes no new calls and ends those it has; a client likewise")
    func shutdown() async throws {
        let world = try await World()
        let (gate, opens) = AsyncStream.makeStream(of: Void.self)
        let slow = SlowService(gate: gate)
        try await world.with([slow]) { client, served in
            let service = Service.Client(wrapping: client)
            let running = Task {
                try await service.inputCall { writer in
                    try await writer.write(.with { $0.payload = .with { $0.body = .init(repeating: 1, count: 5) } })
                }
            }
            #expect(await eventually { slow.begun.value == 1 })
            served.server.beginGracefulShutdown()
            let isGone = await eventually { await code { _ = try await service.emptyCall(.init()) } == .unavailable }
            #expect(isGone)
            client.beginGracefulShutdown()
            await #expect(throws: (any Error).self) { try await service.emptyCall(.init()) }
            opens.finish()
            let answer = try await running.value
            #expect(answer.aggregatedPayloadSize == 5)
            try await served.task.value
        }
        try await world.stop()
    }

    @Test("a hub that goes ends the calls as UNAVAILABLE; when it is back, so are the services")
    func reconnect() async throws {
        let world = try await World()
        let hanging = HangingService()
        try await world.with([hanging]) { client, _ in
            let service = Service.Client(wrapping: client)
            let call = Task { await code { _ = try await service.emptyCall(.init()) } }
            #expect(await eventually { hanging.begun.withLock { $0 } == 1 })
            try await world.stopHub()
            #expect(await call.value == .unavailable)
            #expect(await eventually { hanging.ended.withLock { $0 } == 1 })
            try await world.startHub()
            let isBack = await eventually(seconds: 20) { await code { _ = try await service.unaryCall(.init()) } == nil }
            #expect(isBack)
        }
        try await world.stop()
    }

    @Test("of an exclusive service the first worker is active; when it is lost its calls are UNAVAILABLE and the next takes over")
    func exclusive() async throws {
        let world = try await World()
        let name = Service.descriptor.fullyQualifiedService
        let first = HangingService()
        let second = HangingService()
        let calls = GRPCClient(transport: HubClientTransport(try await world.client("caller")))
        let service = Service.Client(wrapping: calls)
        var workers: [TocsinKit.Client] = []
        var serving: [Task<Void, any Error>] = []
        for (index, hanging) in [first, second].enumerated() {
            let worker = try await world.client("worker-\(index)")
            workers.append(worker)
            let server = GRPCServer(transport: HubServerTransport(worker, exclusive: [name]), services: [hanging])
            serving.append(Task { try await server.serve() })
            let isServed = await eventually { await code { _ = try await service.unaryCall(.init()) } == nil }
            #expect(isServed)
        }
        let call = Task { await code { _ = try await service.emptyCall(.init()) } }
        #expect(await eventually { first.begun.withLock { $0 } == 1 })
        await workers[0].close()
        #expect(await call.value == .unavailable)
        let late = Task { await code { _ = try await service.emptyCall(.init()) } }
        #expect(await eventually { second.begun.withLock { $0 } == 1 })
        late.cancel()
        #expect(await late.value == .cancelled)
        for task in serving { task.cancel() }
        for task in serving { _ = await task.result }
        try await world.stop()
    }

    @Test("interceptors work as with any transport")
    func interceptors() async throws {
        let world = try await World()
        let seen = SeenInterceptor()
        try await world.with(interceptors: [seen], clientInterceptors: [MarkInterceptor()]) { client, _ in
            _ = try await Service.Client(wrapping: client).emptyCall(.init())
            #expect(seen.marks.withLock { $0 }.contains("tocsin.interop.v1.TestService/EmptyCall yes"))
        }
        try await world.stop()
    }
}

private final class Counter: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }
    func add() { count.withLock { $0 += 1 } }
}

/// Bytes as they are.
private struct Raw: MessageSerializer, MessageDeserializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }
    func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] { bytes.withUnsafeBytes { Array($0) } }
}

private struct MarkInterceptor: ClientInterceptor {
    func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingClientRequest<Input>, context: ClientContext,
        next: (StreamingClientRequest<Input>, ClientContext) async throws -> StreamingClientResponse<Output>
    ) async throws -> StreamingClientResponse<Output> {
        var request = request
        request.metadata.addString("yes", forKey: "Mark")
        return try await next(request, context)
    }
}

private final class SeenInterceptor: ServerInterceptor {
    let marks = Mutex<[String]>([])

    func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>, context: ServerContext,
        next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        let mark = request.metadata[stringValues: "mark"].first { _ in true } ?? "no"
        marks.withLock { $0.append("\(context.descriptor.fullyQualifiedMethod) \(mark)") }
        return try await next(request, context)
    }
}

/// Reads nothing of an `InputCall` before the gate opens.
private struct SlowService: Tocsin_Interop_V1_TestService.SimpleServiceProtocol {
    let gate: AsyncStream<Void>
    let begun = Counter()

    func inputCall(
        request: RPCAsyncSequence<Tocsin_Interop_V1_InputRequest, any Error>, context: ServerContext
    ) async throws -> Tocsin_Interop_V1_InputResponse {
        begun.add()
        for await _ in gate {}
        let total = try await request.reduce(0) { $0 + $1.payload.body.count }
        return .with { $0.aggregatedPayloadSize = Int32(total) }
    }

    func emptyCall(request: Tocsin_Interop_V1_Empty, context: ServerContext) async throws -> Tocsin_Interop_V1_Empty { .init() }
    func unaryCall(
        request: Tocsin_Interop_V1_UnaryRequest, context: ServerContext
    ) async throws -> Tocsin_Interop_V1_UnaryResponse { .init() }
    func outputCall(
        request: Tocsin_Interop_V1_OutputRequest, response: RPCWriter<Tocsin_Interop_V1_OutputResponse>, context: ServerContext
    ) async throws {}
    func duplexCall(
        request: RPCAsyncSequence<Tocsin_Interop_V1_OutputRequest, any Error>,
        response: RPCWriter<Tocsin_Interop_V1_OutputResponse>, context: ServerContext
    ) async throws {}
}

/// Never answers an `EmptyCall`.
private final class HangingService: Tocsin_Interop_V1_TestService.ServiceProtocol {
    let begun = Mutex(0)
    let ended = Mutex(0)
    let timeouts = Mutex<[String]>([])

    func emptyCall(
        request: ServerRequest<Tocsin_Interop_V1_Empty>, context: ServerContext
    ) async throws -> ServerResponse<Tocsin_Interop_V1_Empty> {
        let timeout = request.metadata[stringValues: "grpc-timeout"].first { _ in true } ?? "none"
        timeouts.withLock { $0.append(timeout) }
        begun.withLock { $0 += 1 }
        defer { ended.withLock { $0 += 1 } }
        try await Task.sleep(for: .seconds(600))
        return ServerResponse(message: .init())
    }

    func unaryCall(
        request: ServerRequest<Tocsin_Interop_V1_UnaryRequest>, context: ServerContext
    ) async throws -> ServerResponse<Tocsin_Interop_V1_UnaryResponse> { ServerResponse(message: .init()) }
    func inputCall(
        request: StreamingServerRequest<Tocsin_Interop_V1_InputRequest>, context: ServerContext
    ) async throws -> ServerResponse<Tocsin_Interop_V1_InputResponse> { ServerResponse(message: .init()) }
    func outputCall(
        request: ServerRequest<Tocsin_Interop_V1_OutputRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Tocsin_Interop_V1_OutputResponse> { StreamingServerResponse { _ in [:] } }
    func duplexCall(
        request: StreamingServerRequest<Tocsin_Interop_V1_OutputRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Tocsin_Interop_V1_OutputResponse> { StreamingServerResponse { _ in [:] } }
}
