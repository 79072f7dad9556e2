import Logging
import TocsinTransport

/// Says that connections were ended, at most every ten seconds however many they are.
struct ConnectionReport {
    private var ended = ConnectionWatch.Ended()
    private var nextAt: UInt64 = 0
    private static let interval: UInt64 = 10_000

    /// `now`: milliseconds of the steady clock. Call often, also when nothing was ended.
    mutating func add(_ more: ConnectionWatch.Ended, at now: UInt64, to logger: Logger) {
        ended.excess += more.excess
        ended.endless += more.endless
        guard now >= nextAt, ended != ConnectionWatch.Ended() else { return }
        if ended.endless > 0 {
            logger.warning(
                "ended connections whose peers send a message without end", metadata: ["connections": "\(ended.endless)"])
        }
        if ended.excess > 0 {
            logger.warning(
                "ended connections without a session: there are as many as may be (hub.limits.connections)",
                metadata: ["connections": "\(ended.excess)"])
        }
        ended = ConnectionWatch.Ended()
        nextAt = now + Self.interval
    }
}
