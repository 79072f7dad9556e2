import Logging
import TocsinKit
import TocsinProto
import TocsinSystem

/// Why a responder cannot start.
public struct ResponderProblem: Error, Sendable, CustomStringConvertible {
    public var description: String
}

/// Reacts to changes of incidents: runs runbooks and tells people, and reports both for the incident's timeline.
///
/// Two pools carry the same changes: `responder` for runbooks and `notifier` for notifications. So a receiver that is
/// slow or down holds up notifications only, while both kinds of work have a lease in the hub and move to another
/// responder when this one dies. A delivery is acknowledged when everything that it asked for is done or has failed, is
/// in the ledger, and its reports are on the hub's disk. See `Ledger` for what runs exactly once and where that ends.
public enum ResponderWorker {
    /// The pool of the hub's configuration whose changes start runbooks.
    public static let runbookPool = "responder"
    /// The pool of the hub's configuration whose changes people are told of.
    public static let notificationPool = "notifier"
    /// What both pools take.
    public static let filters = ["incident.>"]
    /// Notifications wait most of the time, for answers and between attempts.
    private static let notificationsAtOnce = 64

    /// Works until its task is cancelled or the client is closed. Then it takes nothing more, lets commands that run go
    /// on for `configuration.stopGrace`, kills them after that, and returns; what was not finished is delivered again.
    ///
    /// - Throws: `ResponderProblem` for a wrong configuration or a ledger that cannot be used, `ClientError` if a pool
    ///   cannot be joined or the hub breaks the protocol.
    public static func run(client: Client, configuration: ResponderConfiguration, logger: Logger) async throws {
        let problems = configuration.problems
        guard problems.isEmpty else { throw ResponderProblem(description: problems.joined(separator: "; ")) }
        let response: Response
        do {
            response = try await Response.open(configuration, logger: logger) { try await client.publish($0) }
        } catch let error as LedgerError {
            throw ResponderProblem(description: error.description)
        }
        let result: Result<Void, any Error>
        do {
            try await consume(client, response, configuration, logger)
            result = .success(())
        } catch {
            result = .failure(error)
        }
        try await response.close()
        logger.info("the responder has stopped")
        try result.get()
    }

    private static func consume(
        _ client: Client, _ response: Response, _ configuration: ResponderConfiguration, _ logger: Logger
    ) async throws {
        let runbooks = try await join(
            runbookPool, client, configuration.visibility, credit: configuration.parallelism)
        let notifications: Subscription
        do {
            notifications = try await join(
                notificationPool, client, configuration.visibility, credit: notificationsAtOnce)
        } catch {
            await runbooks.close()
            throw error
        }
        logger.info(
            "the responder has started",
            metadata: [
                "runbooks": "\(configuration.runbooks.count)", "notifications": "\(configuration.notifications.count)",
            ])
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await consume(
                    runbooks, limit: configuration.parallelism, configuration, logger, response.runRunbooks)
            }
            group.addTask {
                try await consume(notifications, limit: notificationsAtOnce, configuration, logger, response.notify)
            }
            // One that ends, ends the other.
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// The hub's configuration declares the pools; on a hub that has none of that name this does.
    private static func join(
        _ pool: String, _ client: Client, _ visibility: Duration, credit: Int
    ) async throws -> Subscription {
        do {
            return try await client.subscribe(pool: pool, credit: credit)
        } catch ClientError.refused(.unknownPool, _, _) {
            try await client.declare(
                .with {
                    $0.name = pool
                    $0.filters = filters
                    $0.visibilityMs = UInt32(visibility.milliseconds)
                })
            return try await client.subscribe(pool: pool, credit: credit)
        }
    }

    /// Works through one pool until the task is cancelled or the subscription ends.
    private static func consume(
        _ subscription: Subscription, limit: Int, _ configuration: ResponderConfiguration, _ logger: Logger,
        _ handle: @escaping PoolWorker.Handle
    ) async throws {
        let worker = PoolWorker(
            limit: limit, visibility: configuration.visibility, logger: logger,
            settle: { subscription.settle([($0, $1)]) }, handle: handle)
        // A task of its own: the subscription stays open after a cancellation until what was under way is settled.
        let taking = Task {
            for try await batch in subscription {
                let arrived = ContinuousClock.now
                for delivery in batch.deliveries() { await worker.take(delivery, arrived: arrived) }
            }
        }
        let stop: @Sendable () async -> Void = {
            await worker.stop(grace: configuration.stopGrace)
            await subscription.close()
        }
        try await withTaskCancellationHandler {
            let result = await taking.result
            await stop()
            try result.get()
        } onCancel: {
            Task { await stop() }
        }
    }
}
