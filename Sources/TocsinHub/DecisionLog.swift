import Logging
import Synchronization
import TocsinPosix

/// Says what was decided, but not more than ten times a second: a flood of refusals must not be a flood of the log.
final class DecisionLog: Sendable {
    private let logger: Logger
    private let state = Mutex((second: UInt64(0), said: 0, unsaid: 0))
    private static let each = 10

    init(_ logger: Logger) { self.logger = logger }

    func note(_ message: Logger.Message, _ metadata: Logger.Metadata) {
        flush()
        let maySay = state.withLock { state in
            state.said += 1
            if state.said > Self.each { state.unsaid += 1 }
            return state.said <= Self.each
        }
        if maySay { logger.warning(message, metadata: metadata) }
    }

    /// Says how much was left out in a second that is over. Call also when nothing more comes.
    func flush() {
        let second = MachineClock.steady() / 1_000_000_000
        let unsaid = state.withLock { state in
            guard state.second != second else { return 0 }
            defer { state = (second, 0, 0) }
            return state.unsaid
        }
        if unsaid > 0 { logger.warning("more was refused than is logged", metadata: ["more": "\(unsaid)"]) }
    }
}
