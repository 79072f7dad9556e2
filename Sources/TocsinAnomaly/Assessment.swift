/// What a detector says of one point.
package struct Assessment: Sendable, Equatable {
    /// What is unusual about a point.
    package enum Reason: String, Sendable, CaseIterable {
        /// Nothing, or nothing that was not said already: the score is 0.
        case usual
        /// The value is not a finite number, and nothing was learnt from it.
        case unusable
        /// The value is far from the recent ones.
        case spike
        /// Values stay elsewhere than they were.
        case level
        /// Values move more than they did.
        case variance
        /// The value is unlike those of this time of day.
        case season
        /// The same value came again and again, where values used to differ.
        case flat
        /// The step from the last value is larger than steps have been.
        case rate
    }

    /// How unusual the point is, 0...1, after what was said already: a point that is no more unusual than one that had its say
    /// shortly before has 0. The same threshold serves every series. On steady days with noise 0.5 comes about four times in 10,000
    /// points, 0.6 less than once.
    package var score: Double
    /// As `score`, whatever was said before: stays high for as long as the points are unusual.
    package var rarity: Double
    /// The value that was given.
    package var seen: Double
    /// Where values have been: at this time of day, if days are known, else recently. Nil before there were values.
    package var expected: ClosedRange<Double>?
    /// What `score` is for.
    package var reason: Reason
}
