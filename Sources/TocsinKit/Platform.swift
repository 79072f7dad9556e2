import Glibc
import TocsinPosix

/// Milliseconds of a clock that never goes back.
func steadyNow() -> Int64 { Int64(MachineClock.steady() / 1_000_000) }

extension Duration {
    /// Whole milliseconds, at least 0; what does not fit is cut to about 100 years, so that sums do not overflow.
    var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = components
        if seconds < 0 { return 0 }
        return min(seconds, 3_000_000_000) * 1000 + attoseconds / 1_000_000_000_000_000
    }
}

/// Starts a detached thread with all signals blocked: they are handled in one place, which is not here.
///
/// - Throws: `ClientError.badOption` if the limit of threads is reached.
func startThread(_ name: String, _ body: @escaping @Sendable () -> Void) throws(ClientError) {
    do { try SystemThread(name, body).detach() } catch {
        throw .badOption("cannot start a thread: \(error); raise the limit of threads")
    }
}
