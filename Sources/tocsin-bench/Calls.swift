import ArgumentParser
import GRPCCore
import GRPCZeroMQTransport
import TocsinKit

/// Messages are bytes: what is measured is the way, not protobuf.
private struct Raw: MessageSerializer, MessageDeserializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }
    func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] { bytes.withUnsafeBytes { Array($0) } }
}

private let echo = MethodDescriptor(fullyQualifiedService: "tocsin.bench.Bench", method: "Echo", type: .unary)
/// Is never answered: for calls that must be in flight.
private let wait = MethodDescriptor(fullyQualifiedService: "tocsin.bench.Bench", method: "Wait", type: .unary)
private let flow = MethodDescriptor(fullyQualifiedService: "tocsin.bench.Bench", method: "Flow", type: .serverStreaming)

/// Echoes a request; or sends as many messages as the request has in its first eight bytes, each as long as the rest.
private struct BenchService: RegistrableRPCService {
    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(forMethod: echo, deserializer: Raw(), serializer: Raw()) { request, _ in
            var only: [UInt8] = []
            for try await message in request.messages { only = message }
            return StreamingServerResponse(single: ServerResponse(message: only))
        }
        router.registerHandler(forMethod: wait, deserializer: Raw(), serializer: Raw()) { _, _ in
            try await Task.sleep(for: .seconds(86_400))
            return StreamingServerResponse(single: ServerResponse(message: []))
        }
        router.registerHandler(forMethod: flow, deserializer: Raw(), serializer: Raw()) { request, _ in
            var wish: [UInt8] = []
            for try await message in request.messages { wish = message }
            let count = wish.prefix(8).reduce(0) { $0 << 8 | Int($1) }
            let message = Array(wish.dropFirst(8))
            return StreamingServerResponse { writer in
                for _ in 0..<count { try await writer.write(message) }
                return [:]
            }
        }
    }
}

/// Serves the calls that `Call` makes, until it is killed.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Serves tocsin.bench.Bench over gRPC through the hub.")
    @OptionGroup var connection: Connection

    /// Prints "ready" when the hub knows the service.
    func run() async throws {
        let client = try await connection.open(as: "server")
        let server = GRPCServer(transport: HubServerTransport(client), services: [BenchService()])
        let serving = Task { try await server.serve() }
        let calls = GRPCClient(transport: HubClientTransport(client))
        while true {
            do {
                _ = try await calls.ask([])
                break
            } catch let error as RPCError where error.code == .unavailable || error.code == .unimplemented {
                try await Task.sleep(for: .milliseconds(5))
            }
        }
        report("ready")
        try await serving.value
    }
}

/// Makes calls: one after another, many at once, or one whose answer is a stream.
struct Call: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Calls tocsin.bench.Bench through the hub, and measures.")

    enum Shape: String, ExpressibleByArgument, CaseIterable { case sequential, parallel, stream }

    @OptionGroup var connection: Connection
    @Option(help: "sequential, parallel or stream.") var shape = Shape.sequential
    @Option(help: "Calls; of a stream, its messages.") var count = 10_000
    @Option(help: "Calls in flight at once, for parallel.") var inFlight = 256
    @Option(help: "Bytes of each message.") var size = 64

    func run() async throws {
        let client = try await connection.open(as: "caller")
        let calls = GRPCClient(transport: HubClientTransport(client))
        let message = [UInt8](repeating: 7, count: size)
        let (count, inFlight) = (count, inFlight)
        // Connections, caches and the server's first threads are not what is measured.
        for _ in 0..<100 { _ = try await calls.ask(message) }
        let began = monotonic()
        var times: [UInt64] = []
        var received = count
        switch shape {
        case .sequential:
            times.reserveCapacity(count)
            for _ in 0..<count {
                let sent = monotonic()
                _ = try await calls.ask(message)
                times.append(monotonic() - sent)
            }
        case .parallel:
            try await withThrowingTaskGroup(of: Void.self) { group in
                for worker in 0..<inFlight {
                    group.addTask { for _ in stride(from: worker, to: count, by: inFlight) { _ = try await calls.ask(message) } }
                }
                try await group.waitForAll()
            }
        case .stream: received = try await calls.stream(count, message)
        }
        let ended = monotonic()
        await client.close()
        times.sort()
        let (p50, p99) = times.isEmpty ? (0, 0) : (times[times.count / 2], times[times.count * 99 / 100])
        report("{\"count\":\(received),\"began\":\(began),\"ended\":\(ended),\"p50\":\(p50),\"p99\":\(p99)}")
    }
}

extension GRPCClient<HubClientTransport> {
    fileprivate func ask(_ message: [UInt8]) async throws -> [UInt8] {
        try await unary(
            request: ClientRequest(message: message), descriptor: echo, serializer: Raw(), deserializer: Raw(), options: .defaults
        ) { try $0.message }
    }

    /// How many messages came.
    fileprivate func stream(_ count: Int, _ message: [UInt8]) async throws -> Int {
        let wish = withUnsafeBytes(of: UInt64(count).bigEndian) { Array($0) } + message
        return try await serverStreaming(
            request: ClientRequest(message: wish), descriptor: flow, serializer: Raw(), deserializer: Raw(), options: .defaults
        ) { response in
            var received = 0
            for try await _ in response.messages { received += 1 }
            return received
        }
    }
}
