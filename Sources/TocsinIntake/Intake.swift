public import TocsinProto

/// What came of one request or datagram of a foreign tool: what is to be published, and what is wrong with the rest.
public struct Intake: Sendable, Equatable {
    /// One part that is not taken.
    public struct Refusal: Sendable, Equatable {
        /// Which part of the request, counted from 0.
        public var index: Int
        /// A sentence: what is wrong, where, what to do.
        public var reason: String

        public init(index: Int, reason: String) {
            self.index = index
            self.reason = reason
        }
    }
    /// In the order in which they came.
    public var events: [Tocsin_V1_Event]
    /// By index, ascending.
    public var refused: [Refusal]

    public init(events: [Tocsin_V1_Event] = [], refused: [Refusal] = []) {
        self.events = events
        self.refused = refused
    }
}

/// Where accepted events go: the hub.
public protocol EventSink: Sendable {
    /// Returns once all of `events` are on the hub's disk. The same events may be offered again after an error: what is
    /// stored under an id is not stored twice.
    ///
    /// - Throws: why they may not be stored, and when to come again. `CancellationError` is `unavailable`.
    func accept(_ events: [Tocsin_V1_Event]) async throws(SinkError)
}

/// Why events were not taken.
public enum SinkError: Error, Sendable, Equatable {
    /// More is under way than the gateway holds at once. HTTP 429.
    case overloaded(retryAfter: Duration)
    /// The hub is away or can store nothing now; some of the events may be stored. HTTP 503.
    case unavailable(retryAfter: Duration, reason: String)
    /// The event at this place will never be taken. HTTP 400.
    case refused(index: Int, reason: String)
}
