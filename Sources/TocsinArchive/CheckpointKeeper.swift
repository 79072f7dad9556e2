import Logging
import TocsinPosix
import TocsinWire

/// Keeps checkpoints of the audit trail, in the archive and in the log, which is often kept elsewhere.
struct CheckpointKeeper: Sendable {
    let store: ArchiveStore
    let logger: Logger

    /// Whichever is first, if something has changed.
    private static let records: Int64 = 10_000
    private static let interval: UInt64 = 3_600_000
    private static let pause = Duration.seconds(30)

    /// Until its task ends.
    func run() async {
        await Keeper.run(every: Self.pause, "no checkpoint of the audit trail could be kept", logger) { try await step() }
    }

    private func step() async throws {
        let kept = try await store.keepCheckpoint(
            everyRecords: Self.records, interval: Self.interval, now: MachineClock.wall())
        guard let kept else { return }
        logger.info(
            "checkpoint of the audit trail",
            metadata: [
                "archive": "\(kept.archiveID.hexadecimal)", "record": "\(kept.sequence)",
                "hash": "\(kept.hash.hexadecimal)", "time": "\(kept.time)",
                "key": "\(kept.publicKey.hexadecimal)", "signature": "\(kept.signature.hexadecimal)",
            ])
    }
}
