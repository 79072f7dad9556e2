import Logging
import TocsinPosix

/// Removes what the policy lets go, a few incidents at a time, so that what comes in does not wait.
struct RetentionKeeper: Sendable {
    let store: ArchiveStore
    let policy: RetentionPolicy
    let logger: Logger

    /// Incidents in one transaction.
    private static let step = 20
    private static let rest = Duration.milliseconds(100)
    private static let pause = Duration.seconds(600)

    /// Until its task ends.
    func run() async {
        await Keeper.run(every: Self.pause, "retention waits", logger) { try await purge() }
    }

    private func purge() async throws {
        var total = 0
        while true {
            let count = try await store.purge(policy, limit: Self.step, now: MachineClock.wall())
            if count == 0 { break }
            total += count
            try await Task.sleep(for: Self.rest)
        }
        if total > 0 { logger.notice("incidents were removed by retention", metadata: ["incidents": "\(total)"]) }
    }
}
