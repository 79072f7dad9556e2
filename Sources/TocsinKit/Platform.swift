import Glibc
import TocsinPosix

/// Milliseconds of a clock that never goes back.
func steadyNow() -> Int64 { Int64(MachineClock.steady() / 1_000_000) }

/// Starts a detached thread with all signals blocked: they are handled in one place, which is not here.
///
/// - Throws: `ClientError.badOption` if the limit of threads is reached.
func startThread(_ name: String, _ body: @escaping @Sendable () -> Void) throws(ClientError) {
    do { try SystemThread(name, body).detach() } catch {
        throw .badOption("cannot start a thread: \(error); raise the limit of threads")
    }
}
