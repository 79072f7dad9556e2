import Glibc
import Logging
import TocsinPosix
import TocsinSystem

/// What one responder does with a change, apart from how changes reach it.
struct Response: Sendable {
    private let configuration: ResponderConfiguration
    private let ledger: Ledger
    private let publish: Publish
    private let executor: RunbookExecutor
    private let notifier: Notifier
    private let wallClock: @Sendable () -> UInt64

    /// - Throws: `LedgerError`.
    static func open(
        _ configuration: ResponderConfiguration, logger: Logger, wallClock: @escaping @Sendable () -> UInt64 = MachineClock.wall,
        publish: @escaping Publish
    ) async throws -> Response {
        let ledger = try await Ledger.open(
            directory: configuration.directory, name: configuration.name, logger: logger)
        return Response(configuration, ledger, logger, wallClock, publish)
    }

    private init(
        _ configuration: ResponderConfiguration, _ ledger: Ledger, _ logger: Logger,
        _ wallClock: @escaping @Sendable () -> UInt64, _ publish: @escaping Publish
    ) {
        self.configuration = configuration
        self.ledger = ledger
        self.publish = publish
        self.wallClock = wallClock
        executor = RunbookExecutor(
            ledger: ledger, publish: publish, pool: BlockingPool(threads: max(1, configuration.parallelism)),
            logger: logger, wallClock: wallClock)
        notifier = Notifier(
            targets: configuration.notifications, ledger: ledger, publish: publish, logger: logger, wallClock: wallClock
        )
    }

    /// Runs what the change triggers, one runbook after another: two that repair the same service at once could harm
    /// it.
    @Sendable func runRunbooks(for change: Change, lease: Lease) async throws {
        let plan = ResponsePlan(change, configuration)
        for run in plan.runs { try await executor.run(run, lease: lease) }
        if let name = plan.unknownRunbook {
            let end = RunEnd(
                succeeded: false, mitigated: false, text: "no runbook of this name is configured", time: wallClock())
            try await publish([ReportFactory(change: change, runbook: name).end(end)])
        }
    }

    /// Tells every target of the change at the same time. Each is tried, whatever becomes of the others.
    @Sendable func notify(of change: Change, lease: Lease) async throws {
        let plan = ResponsePlan(change, configuration)
        try await withThrowingTaskGroup(of: (any Error)?.self) { group in
            for notification in plan.notifications {
                group.addTask {
                    do {
                        try await notifier.notify(notification, lease: lease)
                        return nil
                    } catch {
                        return error
                    }
                }
            }
            var failure: (any Error)?
            for try await error in group where error != nil { failure = failure ?? error }
            if let failure { throw failure }
        }
    }

    func close() async throws { try await ledger.close() }
}
