import Synchronization

/// Counts calls that were refused, and tells of them at a bounded rate however many there are. Thread-safe.
public final class Refusals: Sendable {
    public struct Refusal: Sendable, Equatable {
        public enum Kind: Sendable {
            /// Nobody known called.
            case unauthenticated
            /// Somebody known did what they may not.
            case denied
        }
        public var kind: Kind
        /// Nil: not known.
        public var caller: String?
        /// "package.Service/Method".
        public var method: String
    }
    /// Since start.
    public struct Counts: Sendable, Equatable {
        public var unauthenticated = 0
        public var denied = 0
    }
    public struct Report: Sendable, Equatable {
        /// The last one.
        public var last: Refusal
        public var counts: Counts
    }
    private struct State {
        var counts = Counts()
        var nextReport: ContinuousClock.Instant?
    }
    private let state = Mutex(State())
    private let report: @Sendable (Report) -> Void
    private static let interval = Duration.seconds(10)

    /// `report` is called with the first and then at most every ten seconds; from any thread.
    public init(report: @escaping @Sendable (Report) -> Void) { self.report = report }

    public var counts: Counts { state.withLock { $0.counts } }

    func add(_ refusal: Refusal) {
        let now = ContinuousClock.now
        let due = state.withLock { state -> Report? in
            switch refusal.kind {
            case .unauthenticated: state.counts.unauthenticated += 1
            case .denied: state.counts.denied += 1
            }
            if let next = state.nextReport, now < next { return nil }
            state.nextReport = now + Self.interval
            return Report(last: refusal, counts: state.counts)
        }
        if let due { report(due) }
    }
}
