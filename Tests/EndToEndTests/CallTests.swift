import GRPCCore
import GRPCZeroMQTransport
import Glibc
import Logging
import Testing
import TocsinKit
import TocsinProto
import TocsinServices

/// Goal: calls end when the worker that serves them is killed. Method: hub and worker are processes of their own.
@Suite("Calls and the death of their server", .timeLimit(.minutes(3))) struct CallTests {
    private struct Raw: MessageSerializer, MessageDeserializer {
        func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }
        func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] { bytes.withUnsafeBytes { Array($0) } }
    }

    private static func call(_ calls: GRPCClient<HubClientTransport>, _ method: String) async throws -> [UInt8] {
        try await calls.unary(
            request: ClientRequest(message: [1, 2, 3]),
            descriptor: MethodDescriptor(fullyQualifiedService: "tocsin.bench.Bench", method: method, type: .unary),
            serializer: Raw(), deserializer: Raw(), options: .defaults
        ) { try $0.message }
    }

    @Test("kill -9 of the worker during 1,000 calls: each ends as UNAVAILABLE, at once; a worker that comes after it serves")
    func killed() async throws {
        try await Workplace.with { place in
            _ = try place.start("hub")
            let server = try place.start("serve", "--endpoint", place.endpoint, program: "tocsin-bench")
            try await wait(until: "the service is offered") { server.output.contains("ready") }
            let client = try Client(
                ClientOptions(endpoint: place.endpoint, name: "caller", role: "test"),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            let calls = GRPCClient(transport: HubClientTransport(client))
            let waiting = (0..<1_000).map { _ in Task { try await Self.call(calls, "Wait") } }
            let broker = Tocsin_V1_BrokerAdmin.Client(wrapping: calls)
            // The question is a call too.
            try await wait(until: "all calls are with the worker") { try await broker.getStatus(.init()).callsInFlight == 1_001 }
            server.signal(SIGKILL)
            let began = ContinuousClock.now
            for call in waiting {
                let error = await #expect(throws: RPCError.self) { try await call.value }
                #expect(error?.code == .unavailable)
            }
            print("1,000 calls ended \(ContinuousClock.now - began) after their worker was killed")
            let next = try place.start("serve", "--endpoint", place.endpoint, program: "tocsin-bench")
            try await wait(until: "the service is offered again") { next.output.contains("ready") }
            let answer = try await Self.call(calls, "Echo")
            #expect(answer == [1, 2, 3])
            await client.close()
        }
    }
}
