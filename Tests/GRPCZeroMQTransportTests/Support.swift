import Foundation
import GRPCCore
import GRPCZeroMQTransport
import InteropSuite
import Logging
import Synchronization
import TestSupport
import TocsinHub
import TocsinKit

private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A hub over ipc in a folder of its own, a worker that serves `InteropService`, and a caller.
final class World: Sendable {
    let folder: TemporaryFolder
    private let options: HubOptions
    private let hub = Mutex<Hub?>(nil)
    private let tasks = Mutex<[Task<Void, any Error>]>([])
    private let clients = Mutex<[TocsinKit.Client]>([])

    init() async throws {
        folder = try TemporaryFolder()
        var options = HubOptions(directory: folder.path + "/hub")
        options.allowsPlainTCP = true
        options.endpoints = ["ipc://\(folder.path)/socket"]
        options.engine.journal.segmentBytes = 1 << 20
        options.engine.core.heartbeat = 500
        options.engine.core.serviceGrace = 0
        self.options = options
        try await startHub()
    }

    func startHub() async throws {
        let started = try Hub(options, logger: quiet)
        let isReady = Mutex(false)
        hub.withLock { $0 = started }
        let ended = Task.detached { await Self.run(started) { isReady.withLock { $0 = true } } }
        tasks.withLock { $0.append(Task { try await ended.value.get() }) }
        guard await eventually(seconds: 20, { isReady.withLock { $0 } }) else { throw NotNow() }
    }

    private static func run(_ hub: Hub, _ ready: @escaping @Sendable () -> Void) async -> Result<Void, any Error> {
        await withCheckedContinuation { continuation in
            Thread {
                do {
                    try hub.run(ready: ready)
                    continuation.resume(returning: .success(()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }.start()
        }
    }

    /// Returns when it has ended.
    func stopHub() async throws {
        hub.withLock { $0.take() }?.stop()
        for task in tasks.withLock({ $0 }) { try await task.value }
        tasks.withLock { $0 = [] }
    }

    func stop() async throws {
        for client in clients.withLock({ $0 }) { await client.close() }
        try await stopHub()
    }

    func client(_ name: String) async throws -> TocsinKit.Client {
        let client = try newClient(name)
        clients.withLock { $0.append(client) }
        try await client.ready(within: .seconds(20))
        return client
    }

    /// Closed by the caller.
    func newClient(_ name: String) throws(ClientError) -> TocsinKit.Client {
        try TocsinKit.Client(
            ClientOptions(endpoint: options.endpoints[0], name: name, role: "test", welcomeTimeout: .milliseconds(300)),
            logger: quiet)
    }

    /// Runs `body` with a gRPC client, while `services` are served by a worker of their own.
    func with(
        _ services: [any RegistrableRPCService] = [InteropService()], interceptors: [any ServerInterceptor] = [],
        clientInterceptors: [any ClientInterceptor] = [],
        _ body: @Sendable (GRPCClient<HubClientTransport>, Served) async throws -> Void
    ) async throws {
        let worker = try await client("worker")
        let caller = try await client("caller")
        let server = GRPCServer(transport: HubServerTransport(worker), services: services, interceptors: interceptors)
        let serving = Task { try await server.serve() }
        let grpc = GRPCClient(transport: HubClientTransport(caller), interceptors: clientInterceptors)
        let connected = Task { try await grpc.runConnections() }
        let offered = await eventually(seconds: 20) { await self.isServed(caller) }
        guard offered else { throw NotNow() }
        do {
            try await body(grpc, Served(server: server, task: serving, worker: worker, caller: caller))
        } catch {
            serving.cancel()
            connected.cancel()
            throw error
        }
        grpc.beginGracefulShutdown()
        server.beginGracefulShutdown()
        try await connected.value
        try await serving.value
    }

    private func isServed(_ client: TocsinKit.Client) async -> Bool {
        do {
            let call = try await client.openCall(
                "tocsin.interop.v1.TestService/UnaryCall", timeout: .seconds(5), singleRequest: true)
            defer { client.closeCall(call) }
            try call.begin([])
            try await call.write([])
            call.finish()
            while let incoming = try await call.next() {
                if case .tail(let tail) = incoming { return tail.code == 0 }
            }
        } catch {}
        return false
    }
}

struct Served: Sendable {
    var server: GRPCServer<HubServerTransport>
    var task: Task<Void, any Error>
    var worker: TocsinKit.Client
    var caller: TocsinKit.Client
}

struct NotNow: Error {}
