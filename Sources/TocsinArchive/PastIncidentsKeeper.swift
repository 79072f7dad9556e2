import Logging
import TocsinPosix

/// Reads the incidents of the past when the archiver starts, a few at a time, so that what comes in does not wait.
struct PastIncidentsKeeper: Sendable {
    let store: ArchiveStore
    let logger: Logger

    /// Incidents in one transaction.
    private static let step = 50
    private static let rest = Duration.milliseconds(5)
    private static let pause = Duration.seconds(600)

    /// Until its task ends.
    func run() async {
        await Keeper.run(every: Self.pause, "past incidents cannot be read", logger) {
            while try await store.learnPast(limit: Self.step) { try await Task.sleep(for: Self.rest) }
        }
    }
}
