import Foundation
import GRPCCore
import GRPCZeroMQTransport
import Logging
import Synchronization
import TestSupport
import Testing
import TocsinHub
import TocsinKit
import TocsinProto
import TocsinServices

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

struct NotNow: Error, CustomStringConvertible {
    var description: String
}

/// One run of a hub on a thread of its own, as its loop blocks.
final class HubRun: Sendable {
    private enum State {
        case starting, ready
        case ended(HubError?)
    }
    let hub: Hub
    private let state = Mutex(State.starting)

    /// Returns when the hub is ready; throws why it is not.
    init(_ options: HubOptions) async throws {
        hub = try Hub(options, logger: quiet)
        Thread { [self] in
            do throws(HubError) {
                try hub.run { state.withLock { $0 = .ready } }
                state.withLock { $0 = .ended(nil) }
            } catch {
                state.withLock { $0 = .ended(error) }
            }
        }.start()
        let isReady = try await eventually(seconds: 20) {
            try state.withLock {
                if case .ended(let error?) = $0 { throw error }
                if case .ready = $0 { return true }
                return false
            }
        }
        guard isReady else { throw NotNow(description: "the hub did not start") }
    }

    func stop() async throws {
        hub.stop()
        let isOver = try await eventually(seconds: 20) {
            try state.withLock {
                guard case .ended(let error) = $0 else { return false }
                if let error { throw error }
                return true
            }
        }
        guard isOver else { throw NotNow(description: "the hub did not stop") }
    }
}

/// A hub over ipc in a folder of its own, which can be stopped and started again on the same data and address.
final class World: Sendable {
    let folder: TemporaryFolder
    let options: HubOptions
    private let run = Mutex<HubRun?>(nil)

    init(heartbeat: UInt64 = 500) async throws {
        folder = try TemporaryFolder()
        var options = HubOptions(directory: folder.path + "/hub")
        options.allowsPlainTCP = true
        options.endpoints = ["ipc://\(folder.path)/socket"]
        // Written whole at the start.
        options.engine.journal.segmentBytes = 1 << 20
        options.engine.core.heartbeat = heartbeat
        options.engine.core.serviceGrace = 0
        self.options = options
        try await start()
    }

    func start() async throws {
        let started = try await HubRun(options)
        run.withLock { $0 = started }
    }

    /// Returns when everything accepted is on disk and the folder is free. Tests call it last, so that the folder can go.
    func stop() async throws { try await run.withLock { $0.take() }?.stop() }

    func client(_ name: String, spool: String? = nil) async throws -> Client {
        let client = try idle(name, spool: spool)
        try await client.ready(within: .seconds(20))
        return client
    }

    /// A client that is not waited for.
    func idle(_ name: String, spool: String? = nil) throws -> Client {
        try Client(
            ClientOptions(
                endpoint: options.endpoints[0], name: name, role: "test", spoolDirectory: spool.map { "\(folder.path)/\($0)" },
                welcomeTimeout: .milliseconds(300)), logger: quiet)
    }
}

extension Client {
    func pool(_ name: String, _ filter: String, attempts: UInt32 = 5) async throws {
        try await declare(
            .with {
                $0.name = name
                $0.filters = [filter]
                $0.maxAttempts = attempts
            })
    }

    /// The hub's own service.
    var admin: Tocsin_V1_BrokerAdmin.Client<HubClientTransport> {
        .init(wrapping: GRPCClient(transport: HubClientTransport(self)))
    }

    func status() async throws -> Tocsin_V1_GetStatusResponse { try await admin.getStatus(.init()) }
    func status(of pool: String) async throws -> Tocsin_V1_PoolStatus {
        try #require(try await status().pools.first { $0.name == pool })
    }
    func deadLetters() async throws -> [Tocsin_V1_DeadLetter] { try await admin.listDeadLetters(.init()).letters }
}

/// Deliveries one by one.
struct Reader {
    let subscription: Subscription
    private var iterator: Subscription.AsyncIterator
    private var pending: [Delivery] = []

    init(_ client: Client, pool: String, credit: Int = 100) async throws {
        subscription = try await client.subscribe(pool: pool, credit: credit)
        iterator = subscription.makeAsyncIterator()
    }

    mutating func next() async throws -> Delivery {
        while pending.isEmpty {
            guard let batch = try await iterator.next() else { throw NotNow(description: "the subscription ended") }
            pending = batch.deliveries()
        }
        return pending.removeFirst()
    }

    mutating func next(settling settlement: Settlement) async throws -> Delivery {
        let delivery = try await next()
        subscription.settle([(delivery, settlement)])
        return delivery
    }
}

/// "e 1", "e 2" ... as ids and payloads.
func messages(_ numbers: some Sequence<Int>, subject: String = "event.test", key: String = "") -> [TocsinKit.Message] {
    numbers.map { message("\($0)", subject: subject, key: key) }
}

func message(_ text: String, subject: String = "event.test", key: String = "") -> TocsinKit.Message {
    TocsinKit.Message(id: Array(text.utf8), subject: subject, severity: .minor, key: key, payload: Array(text.utf8))
}

extension TocsinKit.Message {
    var text: String { String(decoding: payload, as: UTF8.self) }
}
