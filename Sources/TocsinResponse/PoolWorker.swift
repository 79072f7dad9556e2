import Logging
import TocsinKit

/// Handles the deliveries of one pool: one incident's changes one after another, different incidents at the same time,
/// each settled when it is handled.
///
/// The hub gives out one change of an incident at a time, but after a lost connection it gives again what this worker
/// is still at: such a delivery does not begin anything, it is what the work under way is settled with.
actor PoolWorker {
    typealias Handle = @Sendable (Change, Lease) async throws -> Void
    typealias Settle = @Sendable (Delivery, Settlement) -> Void

    static let retryDelay = Duration.seconds(5)

    private let limit: Int
    private let visibility: Duration
    private let handle: Handle
    private let settle: Settle
    private let logger: Logger
    /// Jobs not ended, by the sequence of their message.
    private var jobs: [UInt64: Job] = [:]
    /// The last job of each incident that has one.
    private var tails: [UInt64: UInt64] = [:]
    private var room: CheckedContinuation<Void, Never>?
    private var isStopping = false

    private struct Job {
        /// The newest delivery of the message.
        var delivery: Delivery
        var task: Task<Void, Never>
    }

    /// At most `limit` changes at a time.
    init(limit: Int, visibility: Duration, logger: Logger, settle: @escaping Settle, handle: @escaping Handle) {
        self.limit = limit
        self.visibility = visibility
        self.handle = handle
        self.settle = settle
        self.logger = logger
    }

    /// Begins to handle a delivery; waits for room first. Called by one task. After `stop` it does nothing: what is not
    /// settled when the subscription closes is given to other workers.
    func take(_ delivery: Delivery, arrived: ContinuousClock.Instant) async {
        guard !isStopping else { return }
        if jobs[delivery.sequence] != nil {
            jobs[delivery.sequence]?.delivery = delivery
            return
        }
        let change: Change
        do {
            change = try Change(delivery.message)
        } catch {
            logger.warning("a change cannot be understood", metadata: ["reason": "\(error)"])
            settle(delivery, .reject(reason: error.description))
            return
        }
        if jobs.count >= limit { await withCheckedContinuation { room = $0 } }
        guard !isStopping else { return }
        let lease = Lease(end: arrived + visibility)
        let before = tails[change.number].flatMap { jobs[$0]?.task }
        let task = Task {
            await before?.value
            let settlement = await self.outcome(change, lease)
            self.end(delivery.sequence, change.number, settlement)
        }
        jobs[delivery.sequence] = Job(delivery: delivery, task: task)
        tails[change.number] = delivery.sequence
    }

    /// Takes nothing more, lets what is under way go on for `grace` and then cancels it. Returns when all has ended.
    func stop(grace: Duration) async {
        isStopping = true
        makeRoom()
        let tasks = jobs.values.map(\.task)
        let timer = Task {
            do {
                try await Task.sleep(for: grace)
            } catch {
                return
            }
            for task in tasks { task.cancel() }
        }
        for task in tasks { await task.value }
        timer.cancel()
    }

    /// Nil: not to be settled, as it was cancelled.
    private nonisolated func outcome(_ change: Change, _ lease: Lease) async -> Settlement? {
        do {
            try Task.checkCancellation()
            try await handle(change, lease)
            return .ack
        } catch is CancellationError {
            return nil
        } catch {
            logger.warning(
                "a change is to be delivered again",
                metadata: ["incident": "\(change.number)", "change": "\(change.id)", "reason": "\(error)"])
            return .retry(after: Self.retryDelay, reason: "\(error)".prefix(utf8: 512))
        }
    }

    private func end(_ sequence: UInt64, _ incident: UInt64, _ settlement: Settlement?) {
        let job = jobs.removeValue(forKey: sequence)
        if tails[incident] == sequence { tails[incident] = nil }
        if let job, let settlement { settle(job.delivery, settlement) }
        makeRoom()
    }

    private func makeRoom() {
        room?.resume()
        room = nil
    }
}
