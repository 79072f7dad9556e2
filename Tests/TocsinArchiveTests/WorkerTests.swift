import Foundation
import GRPCCore
import GRPCZeroMQTransport
import Logging
import Testing
import TocsinHub
import TocsinKit
import TocsinProto
import TocsinServices

@testable import TocsinArchive

/// Goal: the archiver at work: alerts in, incidents served, changes out; a standby takes over; stopping lets go of everything.
/// Method: a real hub on a thread of the test, with clients over loopback.
@Suite("The archiver and a hub", .timeLimit(.minutes(2)), .serialized)
struct WorkerTests {
    /// A hub with the pools an archiver needs, and a client to play the rest of the world.
    final class World {
        let folder = NSTemporaryDirectory() + "tocsin-archiver-\(UUID().uuidString)"
        let hub: Hub
        let endpoint: String
        let client: Client
        private let ended = DispatchSemaphore(value: 0)

        init() async throws {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            var options = HubOptions(directory: folder + "/hub")
            options.allowsPlainTCP = true
            options.endpoints = ["ipc://\(folder)/socket"]
            endpoint = options.endpoints[0]
            let hub = try Hub(options, logger: .silent)
            self.hub = hub
            let ended = ended
            let thread = Thread {
                do {
                    try hub.run()
                } catch {
                    Issue.record(error)
                }
                ended.signal()
            }
            thread.start()
            client = try Client(ClientOptions(endpoint: endpoint, name: "world", role: "client"), logger: .silent)
            try await client.ready(within: .seconds(20))
            for (name, filter) in [("archive", ["alert.>", "response.>"]), ("response", ["incident.>"])] {
                var pool = Tocsin_V1_PoolSpec()
                pool.name = name
                pool.filters = filter
                try await client.declare(pool)
            }
        }

        func archiver(_ name: String) -> Task<Void, any Error> {
            let endpoint = endpoint
            let configuration = ArchiveConfiguration(name: name, databasePath: folder + "/archive.sqlite")
            return Task {
                let client = try Client(
                    ClientOptions(endpoint: endpoint, name: name, role: "archiver"), logger: .silent)
                let result: Result<Void, any Error>
                do {
                    try await ArchiveWorker.run(
                        client: client, configuration: configuration, policies: AsyncStream.makeStream().stream, logger: .silent)
                    result = .success(())
                } catch {
                    result = .failure(error)
                }
                await client.close()
                try result.get()
            }
        }

        func publish(_ updates: [Tocsin_V1_AlertUpdate]) async throws {
            try await client.publish(
                updates.map {
                    try TocsinKit.Message(
                        $0, id: Array($0.id.utf8), subject: "alert.critical.checkout", severity: .critical,
                        key: $0.fingerprint)
                })
        }

        /// The answer, as soon as there is a server and the answer is as wanted.
        func call<Response>(
            _ method: (Tocsin_V1_IncidentService.Client<HubClientTransport>) async throws -> Response,
            until isWanted: (Response) -> Bool = { _ in true }
        ) async throws -> Response {
            let incidents = Tocsin_V1_IncidentService.Client(wrapping: GRPCClient(transport: HubClientTransport(client)))
            let deadline = ContinuousClock.now + .seconds(30)
            while true {
                do {
                    let response = try await method(incidents)
                    if isWanted(response) { return response }
                } catch let error as RPCError where error.code == .unimplemented || error.code == .unavailable {
                    // Nobody serves it yet, or the server has just gone.
                }
                guard ContinuousClock.now < deadline else {
                    throw ClientError.timedOut("an answer did not become as wanted")
                }
                try await Task.sleep(for: .milliseconds(20))
            }
        }

        func end() async throws {
            await client.close()
            hub.stop()
            let ended = ended
            await withCheckedContinuation { continuation in
                Thread {
                    ended.wait()
                    continuation.resume()
                }.start()
            }
            try FileManager.default.removeItem(atPath: folder)
        }
    }

    @Test(
        "alerts become incidents that are served, commands are done, changes reach the hub once each, and nothing waits"
    )
    func works() async throws {
        let world = try await World()
        let archiver = world.archiver("first")
        try await world.publish((0..<500).map { update("f\($0 % 5)", ["e\($0)"]) })
        let accounting = try await world.call {
            try await $0.getAccounting(.init())
        } until: {
            $0.handled == 500 && $0.outbox == 0
        }
        #expect(accounting.applied == 500 && accounting.redelivered == 0)
        let list = try await world.call { try await $0.listIncidents(.init()) }
        #expect(list.total == 5 && list.incidents.allSatisfy { $0.events == 100 })
        let acknowledge = Tocsin_V1_AcknowledgeIncidentRequest.with {
            $0.requestID = "c1"
            $0.number = 1
            $0.actor = "alice"
        }
        let done = try await world.call { try await $0.acknowledgeIncident(acknowledge) }
        #expect(done.incident.state == .acknowledged && done.incident.assignee == "alice")

        let subscription = try await world.client.subscribe(pool: "response", credit: 100)
        var ids: [String] = []
        for try await batch in subscription {
            for delivery in batch.deliveries() {
                ids.append(String(decoding: delivery.message.id, as: UTF8.self))
                subscription.settle([(delivery, .ack)])
            }
            if ids.count >= 6 { break }
        }
        #expect(Set(ids) == Set((1...5).map { "incident/\($0)/1" } + ["incident/1/2"]) && ids.count == 6)

        archiver.cancel()
        try await archiver.value
        // The lock is free and the database whole.
        let store = try TestArchive.open(world.folder + "/archive.sqlite")
        #expect(try await store.accounting().handled == 500)
        try store.close()
        try await world.end()
    }

    @Test("a standby takes over when the active archiver ends, and every event still counts once")
    func takesOver() async throws {
        let world = try await World()
        let first = world.archiver("first")
        try await world.publish((0..<100).map { update("f\($0 % 3)", ["a\($0)"]) })
        _ = try await world.call {
            try await $0.getAccounting(.init())
        } until: {
            $0.handled == 100
        }
        let second = world.archiver("second")
        try await world.publish((0..<400).map { update("f\($0 % 3)", ["b\($0)"]) })
        first.cancel()
        try await first.value
        let accounting = try await world.call {
            try await $0.getAccounting(.init())
        } until: {
            $0.handled == 500 && $0.outbox == 0
        }
        #expect(accounting.applied == 500)
        #expect(ArchiveLock.holder(databasePath: world.folder + "/archive.sqlite").hasPrefix("second,"))
        second.cancel()
        try await second.value
        try await world.end()
    }

    @Test("a standby can be stopped while it waits")
    func standbyStops() async throws {
        let world = try await World()
        let path = world.folder + "/archive.sqlite"
        let lock = try #require(try ArchiveLock.take(databasePath: path, holder: "test"))
        let standby = world.archiver("standby")
        standby.cancel()
        try await standby.value
        lock.release()
        try await world.end()
    }

    @Test("an archive that cannot be opened ends the worker with the reason")
    func cannotOpen() async throws {
        let world = try await World()
        try Data(repeating: 65, count: 4096).write(to: URL(fileURLWithPath: world.folder + "/archive.sqlite"))
        do {
            try await world.archiver("first").value
            Issue.record("it ran")
        } catch let error as ArchiveError {
            #expect(error.code == .foreign)
        }
        try await world.end()
    }
}
