/// What a detector says of one point.
package struct Assessment: Sendable, Equatable {
    /// Why a point is unlike those before it.
    package enum Reason: String, Sendable, CaseIterable {
        /// Nothing is unusual.
        case usual
        /// Not a finite number, or no later than the point before: looked at no further.
        case unusable
        /// The value itself is far outside of where values have been.
        case spike
        /// Values stay elsewhere than they were.
        case level
        /// Values move more, or less, than they did.
        case variance
        /// The value is unlike those of this time of day or week.
        case season
        /// The same value again and again, where values used to differ.
        case flat
        /// The change since the point before is larger than changes have been.
        case rate
    }

    /// How unusual, 0...1. The same threshold serves every series: see `AnomalyParameters.threshold`.
    package var score: Double
    /// The value that was given.
    package var seen: Double
    /// Where the value was expected; nil before enough was seen to say so.
    package var expected: ClosedRange<Double>?
    /// What `score` is for.
    package var reason: Reason

    package init(score: Double, seen: Double, expected: ClosedRange<Double>?, reason: Reason) {
        self.score = score
        self.seen = seen
        self.expected = expected
        self.reason = reason
    }
}
