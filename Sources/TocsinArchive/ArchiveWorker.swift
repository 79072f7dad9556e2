import GRPCCore
import GRPCZeroMQTransport
import Glibc
import Logging
import TocsinKit
import TocsinPolicy
import TocsinPosix
import TocsinProto
import TocsinSystem

/// The archiver: applies alerts, reports and commands to the system of record, and tells the world what changed.
///
/// Exactly one archiver works on a database; others wait as standbys and take over when it ends, however it ends. A message
/// is acknowledged to the hub after its effect is committed, and has its effect once however often it is delivered.
public enum ArchiveWorker {
    /// Works until its task is cancelled or the client is closed.
    ///
    /// - Parameter policies: the policies to judge by from then on, each as it comes. Does not end.
    /// - Throws: `ArchiveError` if the archive cannot be opened or is found damaged, `ClientError` if the pool cannot be
    ///   joined or the service not offered.
    public static func run(
        client: Client, configuration: ArchiveConfiguration, policies: AsyncStream<Policy>, logger: Logger
    ) async throws {
        let blocking = BlockingPool(threads: 1)
        do {
            let lock = try await takeLock(configuration, blocking, logger)
            let path = configuration.databasePath
            let master = try await MasterKey.load(
                configuration.masterKey ?? .file(MasterKeySource.beside(path)), database: path, pool: blocking)
            let vault = Vault(master, personalLabels: configuration.personalLabels)
            let policy = try configuration.judging()
            let store = try await blocking.run { _ in
                try ArchiveStore(
                    path: path, policy: policy, vault: vault, lock: lock,
                    auditKey: configuration.auditKeyPath)
            }
            logger.info("the archiver has started", metadata: ["archive": "\(configuration.databasePath)"])
            let result: Result<Void, any Error>
            do {
                try await ActiveArchiver(
                    client: client, configuration: configuration, policies: policies, store: store, logger: logger
                ).run()
                result = .success(())
            } catch {
                result = .failure(error)
            }
            // A task of its own: the lock has to be let go though this one is cancelled.
            try await Task { try await blocking.run { _ in try store.close() } }.value
            try result.get()
        } catch is CancellationError {
            logger.info("the archiver has stopped")
            return
        }
        logger.info("the archiver has stopped")
    }

    /// Waits until no other archiver has the database.
    private static func takeLock(
        _ configuration: ArchiveConfiguration, _ blocking: BlockingPool, _ logger: Logger
    ) async throws -> ArchiveLock {
        let path = configuration.databasePath
        let name = configuration.name
        var isStandby = false
        while true {
            let lock = try await blocking.run { _ in try ArchiveLock.take(databasePath: path, holder: name) }
            if let lock {
                if isStandby { logger.notice("the other archiver has ended; taking over") }
                return lock
            }
            if !isStandby {
                isStandby = true
                let holder = try await blocking.run { _ in ArchiveLock.holder(databasePath: path) }
                logger.notice(
                    "standing by: another archiver has the archive",
                    metadata: ["archive": "\(path)", "holder": "\(holder)"])
            }
            try await Task.sleep(for: .milliseconds(250))
        }
    }
}

/// An archiver that holds the lock.
private struct ActiveArchiver: Sendable {
    let client: Client
    let configuration: ArchiveConfiguration
    let policies: AsyncStream<Policy>
    let store: ArchiveStore
    let logger: Logger

    func run() async throws {
        let (signal, hint) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        // An hour: for watchers that come back after an interruption.
        let hour: UInt64 = 3_600_000
        let feed = ChangeFeed(from: max(MachineClock.wall(), hour) - hour)
        let hub = HubAccess(client: client, feed: feed, logger: logger)
        let server = IncidentServer(
            store: store, hub: hub, seesEverything: Set(configuration.seesEverything), now: MachineClock.wall,
            changed: { hint.yield() })
        let publisher = OutboxPublisher(store: store, logger: logger) { try await client.publish($0) }
        let consumer = ArchiveConsumer(store: store, batchMax: configuration.batchMax, logger: logger) { hint.yield() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask { await publisher.run(signal) }
            group.addTask { await HoldKeeper(store: store, logger: logger) { hint.yield() }.run() }
            group.addTask { for await policy in policies { await use(policy) } }
            group.addTask { await CheckpointKeeper(store: store, logger: logger).run() }
            group.addTask { await PastIncidentsKeeper(store: store, logger: logger).run() }
            group.addTask {
                await PredictionKeeper(store: store, logger: logger) { _ = try await client.publish($0) }.run()
            }
            group.addTask {
                await RetentionKeeper(store: store, policy: configuration.retention, logger: logger).run()
            }
            group.addTask {
                let admin = ArchiveAdminServer(store: store, hubRetention: configuration.hubRetention, now: MachineClock.wall)
                let transport = HubServerTransport(
                    client, exclusive: [IncidentServer.service, ArchiveAdminServer.service])
                try await GRPCServer(
                    transport: transport, services: [server, admin], interceptors: [CallerInterceptor()]
                ).serve()
            }
            group.addTask { try await consume(consumer) }
            group.addTask { try await feed.run(client, logger) }
            // Publisher and keepers go on for as long as the others; whichever of these ends, ends all.
            try await group.next()
        }
    }

    private func use(_ policy: Policy) async {
        do {
            try await store.use(policy, now: MachineClock.wall())
            logger.notice("the policy has been read again", metadata: ["version": "\(policy.version)"])
        } catch {
            logger.error("the policy cannot be used, it stays as it is: \(error)")
        }
    }

    /// Until the client is closed or the task is cancelled.
    private func consume(_ consumer: ArchiveConsumer) async throws {
        var backoff = Backoff()
        while !Task.isCancelled {
            let subscription = try await client.subscribe(pool: configuration.pool, credit: configuration.credit)
            let began = ContinuousClock.now
            guard let blockage = try await consume(subscription, consumer) else { return }
            // Each time costs what was under way an attempt, so a disk with next to no room is not tried in haste.
            if began.duration(to: .now) > Backoff.longest { backoff = Backoff() }
            logger.error(
                "the archive cannot be written; nothing is acknowledged until it can",
                metadata: ["reason": "\(blockage.error)"])
            try await waitUntilWritable(consumer, blockage, &backoff)
            logger.notice("the archive can be written again")
        }
    }

    /// Applies what the subscription delivers until it ends (nil) or the archive cannot be written. Then the pool is left:
    /// what was not settled goes back to the hub, and uses up one attempt, not one for each try.
    private func consume(_ subscription: Subscription, _ consumer: ArchiveConsumer) async throws -> Blockage? {
        let intake = Intake(limit: configuration.credit)
        return try await withTaskCancellationHandler {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    do {
                        for try await batch in subscription { await intake.put(batch.deliveries()) }
                    } catch {
                        await intake.end()
                        throw error
                    }
                    await intake.end()
                }
                let result: Result<Blockage?, any Error>
                do {
                    result = .success(try await consumer.run(intake) { subscription.settle($0) })
                } catch {
                    result = .failure(error)
                }
                await subscription.close()
                await intake.end()
                try await group.waitForAll()
                return try result.get()
            }
        } onCancel: {
            Task { await subscription.close() }
        }
    }

    private func waitUntilWritable(
        _ consumer: ArchiveConsumer, _ blockage: Blockage, _ backoff: inout Backoff
    ) async throws {
        while true {
            await backoff.wait()
            try Task.checkCancellation()
            do {
                return try await consumer.retry(blockage)
            } catch let error as ArchiveError where error.isTransient {
                continue
            }
        }
    }
}
