import Logging

/// Work of the archiver that comes round.
enum Keeper {
    /// Does `step`, rests, and again, until its task ends. What goes wrong is logged as `complaint` and tried again with the next
    /// round.
    static func run(
        every rest: Duration, _ complaint: Logger.Message, _ logger: Logger, _ step: () async throws -> Void
    ) async {
        while !Task.isCancelled {
            do {
                try await step()
            } catch is CancellationError {
                return
            } catch {
                logger.warning(complaint, metadata: ["reason": "\(error)"])
            }
            do { try await Task.sleep(for: rest) } catch { return }
        }
    }
}
