// The worker that tools/conform tests for TocsinKit and GRPCZeroMQTransport; `tools/conform --help` says what it must do.
import GRPCCore
import GRPCZeroMQTransport
import Glibc
import Logging
import TocsinKit
import TocsinProto

/// Messages are any bytes.
struct Raw: MessageSerializer, MessageDeserializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }
    func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] { bytes.withUnsafeBytes { Array($0) } }
}

struct Conformance: RegistrableRPCService {
    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        func serve(
            _ method: String,
            _ handler: @escaping @Sendable (RPCAsyncSequence<[UInt8], any Error>, RPCWriter<[UInt8]>) async throws -> Void
        ) {
            router.registerHandler(
                forMethod: MethodDescriptor(fullyQualifiedService: "conform.v1.Conformance", method: method),
                deserializer: Raw(), serializer: Raw()
            ) { request, _ in
                StreamingServerResponse { writer in
                    try await handler(request.messages, writer)
                    return Metadata(request.metadata.lazy.filter { $0.key == "conform-trailer" })
                }
            }
        }
        serve("Echo") { requests, writer in for try await request in requests { try await writer.write(request) } }
        serve("Fail") { _, _ in throw RPCError(code: .failedPrecondition, message: "conform") }
        serve("Wait") { _, _ in try await Task.sleep(for: .seconds(3600)) }
        serve("Flood") { _, writer in while true { try await writer.write([UInt8](repeating: 7, count: 1000)) } }
    }
}

/// Works on one message, as its payload says.
func settlement(of message: Message, _ client: Client) async -> Settlement {
    switch String(decoding: message.payload, as: UTF8.self) {
    case "retry": return .retry(after: .milliseconds(1500), reason: "conform retry")
    case "reject": return .reject(reason: "conform reject")
    case "slow": try? await Task.sleep(for: .seconds(2))
    case "publish":
        do {
            try await client.publish([Message(id: message.id, subject: "conformed.message", payload: message.payload)])
        } catch {
            return .retry(after: .zero, reason: "\(error)")
        }
    default: break
    }
    return .ack
}

// The main thread takes the signal; the others, which begin with its mask, do the work.
var signals = sigset_t()
sigemptyset(&signals)
sigaddset(&signals, SIGTERM)
pthread_sigmask(SIG_BLOCK, &signals, nil)

let endpoint = getenv("TOCSIN_ENDPOINT").map { String(cString: $0) } ?? "ipc://tocsin-data/hub.sock"
let client = try Client(
    ClientOptions(endpoint: endpoint, name: "conform-swift", role: "worker"), logger: Logger(label: "conform-swift"))
let server = GRPCServer(transport: HubServerTransport(client), services: [Conformance()])

/// Until it is cancelled; then what it has begun is settled, and said goodbye.
let work = Task.detached {
    try await client.declare(.with { ($0.name, $0.filters) = ("conform", ["conform.>"]) })
    let subscription = try await client.subscribe(pool: "conform", credit: 4)
    try await withThrowingDiscardingTaskGroup { group in
        group.addTask { try await server.serve() }
        // Not a child of what is cancelled: what was begun is ended.
        var begun: [Task<Void, Never>] = []
        do {
            for try await batch in subscription {
                for delivery in batch.deliveries() {
                    begun.append(
                        Task.detached {
                            subscription.settle([(delivery, await settlement(of: delivery.message, client))])
                        })
                }
            }
        } catch is CancellationError {
            for task in begun { await task.value }
        }
        server.beginGracefulShutdown()
        await client.close()
    }
}

Task.detached {
    do {
        try await work.value
        exit(0)
    } catch {
        print("tocsin-conform-worker: \(error)")
        exit(1)
    }
}
var number: Int32 = 0
sigwait(&signals, &number)
work.cancel()
while true { pause() }
