import GRPCCore
import GRPCZeroMQTransport
import TestSupport
import Testing
import TocsinHub
import TocsinKit
import TocsinProto
import TocsinServices
import TocsinSystem

@testable import TocsinResponse

/// A real hub on a thread of its own, which can be stopped and started again on the same data and port.
private final class RunningHub: Sendable {
    let folder: TemporaryFolder
    let endpoint: String
    private let hub: Hub
    private let ended: Task<Void, any Error>

    init(_ folder: TemporaryFolder, endpoint: String = "tcp://127.0.0.1:*") async throws {
        self.folder = folder
        var options = HubOptions(directory: folder.path + "/hub")
        options.allowsPlainTCP = true
        options.endpoints = [endpoint]
        let hub = try Hub(options, logger: quiet)
        let pool = BlockingPool(threads: 1)
        self.hub = hub
        ended = Task { try await pool.run { _ in try hub.run() } }
        guard await eventually({ !hub.endpoints.isEmpty }) else { throw NotNow(description: "the hub did not start") }
        self.endpoint = hub.endpoints[0]
    }

    func stop() async throws {
        hub.stop()
        try await ended.value
    }

    func client(_ name: String) async throws -> Client {
        let client = try Client(ClientOptions(endpoint: endpoint, name: name, role: "test"), logger: quiet)
        try await client.ready(within: .seconds(10))
        return client
    }
}

/// Reads what the responder reports, as the archiver would: each id once.
private struct Archive {
    let seen = FakeHub()
    private let reading: Task<Void, any Error>

    init(_ client: Client) async throws {
        try await client.declare(
            .with {
                $0.name = "archive"
                $0.filters = ["response.>"]
            })
        let subscription = try await client.subscribe(pool: "archive", credit: 100)
        reading = Task { [seen] in
            for try await batch in subscription {
                for delivery in batch.deliveries() {
                    try await seen.publish([delivery.message])
                    subscription.settle([(delivery, .ack)])
                }
            }
        }
    }

    func verbs(_ actor: String) throws -> [String] { try seen.reports().filter { $0.actor == actor }.map(\.verb) }
    func stop() { reading.cancel() }
}

/// Goal: the responder as a process would run it, between a real hub, an archiver and a receiver.
@Suite("A responder on a hub", .timeLimit(.minutes(2)))
struct HubTests {
    private func publish(_ client: Client, _ changes: Change...) async throws {
        try await client.publish(
            changes.map {
                try Message(
                    $0.proto, id: Array($0.id.utf8), subject: "incident.\($0.verb).checkout", severity: .critical,
                    key: "incident-\($0.number)")
            })
    }

    /// Until the hub takes incidents: the responder has declared its pools.
    private func start(
        _ configuration: ResponderConfiguration, _ client: Client, _ observer: Client
    ) async throws -> Task<Void, any Error> {
        let worker = Task { try await ResponderWorker.run(client: client, configuration: configuration, logger: quiet) }
        let joined = try await eventually { try await pools(observer).filter { $0.workers == 1 }.count == 3 }
        #expect(joined, "the pools archive, responder and notifier have a worker each")
        return worker
    }

    private func pools(_ client: Client) async throws -> [Tocsin_V1_PoolStatus] {
        let broker = Tocsin_V1_BrokerAdmin.Client(wrapping: GRPCClient(transport: HubClientTransport(client)))
        // A hub that is being restarted has none, for those who wait for it.
        do { return try await broker.getStatus(.init()).pools } catch let error as RPCError where error.code == .unavailable {
            return []
        }
    }

    @Test("a change runs its runbook and tells its receiver, and what cannot be read becomes a dead letter")
    func handles() async throws {
        let folder = try TemporaryFolder()
        let hub = try await RunningHub(folder)
        let observer = try await hub.client("observer")
        let archive = try await Archive(observer)
        let receiver = try LoopbackServer { _, _ in .init(200) }
        defer { receiver.stop() }
        let client = try await hub.client("responder-1")
        let configuration = ResponderConfiguration(
            name: "responder-1", directory: folder.path + "/responder",
            runbooks: [
                runbook([shell("a", "echo x >> \(folder.path)/runs")], verify: Verification(.command(["true"])))
            ], notifications: [NotificationTarget(name: "ops", channel: .webhook(url: receiver.url, headers: [:]))])
        let worker = try await start(configuration, client, observer)

        try await publish(observer, try change(), try change("updated", version: 2), try change(number: 43))
        try await observer.publish([Message(subject: "incident.opened.checkout", key: "x", payload: [0xFF])])
        #expect(
            try await eventually {
                try await pools(observer).filter { $0.name != "archive" }.allSatisfy { $0.acked == 3 && $0.dead == 1 }
            })
        #expect(await eventually { archive.seen.messages.count == 8 })
        #expect(try archive.seen.reports().filter { $0.verb == "runbook-succeeded" && $0.mitigated }.count == 2)
        #expect(try archive.verbs("notify:ops") == ["notified", "notified"])
        #expect(receiver.requests.count == 2)
        #expect(try folder.read("runs") == "x\nx\n")

        worker.cancel()
        try await worker.value
        archive.stop()
        await client.close()
        await observer.close()
        try await hub.stop()
    }

    @Test("a responder that is stopped leaves its run to the next, which goes on where it ended")
    func movesOn() async throws {
        let folder = try TemporaryFolder()
        let hub = try await RunningHub(folder)
        let observer = try await hub.client("observer")
        let archive = try await Archive(observer)
        let steps = [
            shell("one", "echo one >> \(folder.path)/log"),
            shell(
                "two",
                "[ -e \(folder.path)/second ] || { touch \(folder.path)/second; sleep 60; }; echo two >> \(folder.path)/log",
                timeout: .seconds(90)),
        ]
        let configuration = ResponderConfiguration(
            name: "responder-1", directory: folder.path, runbooks: [runbook(steps)], stopGrace: .milliseconds(50))
        let first = try await hub.client("responder-1")
        let stopped = try await start(configuration, first, observer)
        try await publish(observer, try change())
        #expect(await eventually { folder.has("second") })
        stopped.cancel()
        try await stopped.value
        await first.close()

        let second = try await hub.client("responder-1")
        let worker = try await start(configuration, second, observer)
        #expect(try await eventually { try archive.verbs("runbook:restart").count == 4 })
        #expect(
            try archive.verbs("runbook:restart") == [
                "runbook-started", "runbook-step", "runbook-step", "runbook-succeeded",
            ])
        #expect(try folder.read("log") == "one\ntwo\n")
        worker.cancel()
        try await worker.value
        archive.stop()
        await second.close()
        await observer.close()
        try await hub.stop()
    }

    @Test("a hub that restarts while a runbook runs costs no report and no second run")
    func hubRestarts() async throws {
        let folder = try TemporaryFolder()
        let hub = try await RunningHub(folder)
        let observer = try await hub.client("observer")
        let archive = try await Archive(observer)
        let script = """
            echo x >> \(folder.path)/runs
            until [ -e \(folder.path)/go ]; do sleep 0.02; done
            """
        let configuration = ResponderConfiguration(
            name: "responder-1", directory: folder.path,
            runbooks: [runbook([shell("a", script, timeout: .seconds(60))])])
        let client = try await hub.client("responder-1")
        let worker = try await start(configuration, client, observer)
        try await publish(observer, try change())
        #expect(await eventually { folder.has("runs") })
        try await hub.stop()
        let again = try await RunningHub(folder, endpoint: hub.endpoint)
        #expect(
            try await eventually(seconds: 30) {
                try await pools(observer).contains { $0.name == "responder" && $0.inFlight == 1 }
            }, "the change was delivered again, while its run goes on")
        try folder.write("go")
        #expect(
            try await eventually(seconds: 30) {
                try await pools(observer).contains { $0.name == "responder" && $0.acked == 1 }
            })
        #expect(await eventually { archive.seen.messages.count == 3 })
        #expect(try archive.verbs("runbook:restart") == ["runbook-started", "runbook-step", "runbook-succeeded"])
        #expect(try folder.read("runs") == "x\n")
        worker.cancel()
        try await worker.value
        archive.stop()
        await client.close()
        await observer.close()
        try await again.stop()
    }

    @Test("a wrong configuration and a ledger in use are told before anything is taken")
    func refuses() async throws {
        let folder = try TemporaryFolder()
        let client = try Client(
            ClientOptions(endpoint: "tcp://127.0.0.1:1", name: "r", role: "responder"), logger: quiet)
        let bad = ResponderConfiguration(name: "", directory: folder.path)
        await #expect {
            try await ResponderWorker.run(client: client, configuration: bad, logger: quiet)
        } throws: {
            "\($0)" == "the responder has no name"
        }
        let holder = try await Ledger.open(directory: folder.path, name: "r", logger: quiet)
        let good = ResponderConfiguration(name: "r", directory: folder.path)
        await #expect {
            try await ResponderWorker.run(client: client, configuration: good, logger: quiet)
        } throws: {
            $0 is ResponderProblem && "\($0)".contains("used by another responder")
        }
        try await holder.close()
        await client.close()
    }
}
