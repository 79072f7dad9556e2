import Logging
import TocsinPosix

/// Looks again at alerts that were held back, when it is time.
struct HoldKeeper: Sendable {
    let store: ArchiveStore
    let logger: Logger
    /// Called when there is something to be published.
    let changed: @Sendable () -> Void

    /// How late an alert may be told of, when what held it is over.
    private static let pause = Duration.seconds(1)

    /// Until its task ends.
    func run() async {
        await Keeper.run(every: Self.pause, "alerts that are held back wait", logger) {
            var isMoreDue = true
            while isMoreDue {
                try Task.checkCancellation()
                let looked = try await store.reconsider(now: MachineClock.wall())
                if looked.changes > 0 { changed() }
                isMoreDue = looked.isMoreDue
            }
        }
    }
}
