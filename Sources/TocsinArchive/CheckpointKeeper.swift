import Logging
import TocsinPosix

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
        while !Task.isCancelled {
            do {
                try await step()
                try await Task.sleep(for: Self.pause)
            } catch is CancellationError {
                return
            } catch {
                logger.warning("no checkpoint of the audit trail could be kept", metadata: ["reason": "\(error)"])
                do { try await Task.sleep(for: Self.pause) } catch { return }
            }
        }
    }

    private func step() async throws {
        let kept = try await store.keepCheckpoint(
            everyRecords: Self.records, interval: Self.interval, now: MachineClock.wall())
        guard let kept else { return }
        logger.info(
            "checkpoint of the audit trail",
            metadata: [
                "archive": "\(Hexadecimal.text(kept.archiveID))", "record": "\(kept.sequence)",
                "hash": "\(Hexadecimal.text(kept.hash))", "time": "\(kept.time)",
                "key": "\(Hexadecimal.text(kept.publicKey))", "signature": "\(Hexadecimal.text(kept.signature))",
            ])
    }
}
