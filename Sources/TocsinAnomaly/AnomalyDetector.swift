import Glibc

/// Finds what is unusual in one series of numbers, point by point, from nothing but the points before. See `Anomaly.md`.
///
/// A value type, for one thread at a time. Takes any values at any times; the same points give the same scores. Less than 16 KiB.
package struct AnomalyDetector: Sendable, Equatable {
    /// The score from which on a point is worth someone's attention, for all series alike. Lower finds more, and is wrong more often;
    /// see `Assessment.score`.
    package static let threshold = 0.5

    /// Points before which nothing is said.
    private static let warmUp = 100
    /// Values are cut off here, so that no difference is infinite.
    private static let largest = 1e150

    /// What is measured of each point, in the order of `measure`, and what it is a sign of.
    private static let reasons: [Assessment.Reason] = [
        .spike, .rate, .level, .level, .level, .level, .level, .variance, .season, .season, .season, .flat,
    ]

    private var count = 0
    private var last = 0.0
    private var recent = RecentValues()
    private var dayOfValues = DayOfValues()
    /// Mean distance of values from the median.
    private var spread = 0.0
    private var shortMean = 0.0
    private var mediumMean = 0.0
    private var longSpread = 0.0
    private var rankMean = 0.0
    private var dayDrift = 0.0
    private var sumUp = 0.0
    private var sumDown = 0.0
    private var run = 0.0
    private var tails = [TailEstimate](repeating: TailEstimate(), count: reasons.count)
    private var daily = Habit.daily()
    private var weekly = Habit.weekly()
    private var surprises = TailEstimate()
    private var quiet = Quiet()

    package init() {}

    /// Takes the next point of the series. `time`: milliseconds since 1970.
    package mutating func observe(_ value: Double, at time: UInt64) -> Assessment {
        guard value.isFinite else {
            return Assessment(score: 0, rarity: 0, seen: value, expected: recent.range, reason: .unusable)
        }
        let clamped = min(max(value, -Self.largest), Self.largest)
        let expectation = dayOfValues.expectation(of: clamped, at: time)
        let expected = expectation.range ?? recent.range
        if count == 0 { (last, shortMean, mediumMean) = (clamped, clamped, clamped) }
        count += 1
        let statistics = measure(clamped, expectation)
        let growth = TailEstimate.growth(after: count)
        var surprise = 0.0
        var foremost = (rarity: 0.0, index: 0)
        for index in statistics.indices {
            let rarity = tails[index].rarity(of: statistics[index], growth: growth)
            // A few that are very rare weigh more than many that are a little rare.
            surprise += pow(rarity, 1.2)
            if rarity > foremost.rarity { foremost = (rarity, index) }
        }
        let habitual = max(daily.expectation(of: surprise, at: time), weekly.expectation(of: surprise, at: time))
        let rarity = surprises.rarity(of: max(0, surprise - 0.8 * habitual), growth: growth)
        let said = quiet.say(rarity, after: count)
        guard count > Self.warmUp else {
            return Assessment(score: 0, rarity: 0, seen: value, expected: expected, reason: .usual)
        }
        let score = Self.score(said)
        return Assessment(
            score: score, rarity: Self.score(rarity), seen: value, expected: expected,
            reason: score == 0 ? .usual : Self.reasons[foremost.index])
    }

    /// How far the point is from what was, in many ways; each 0 or more, and larger where more unusual.
    private mutating func measure(_ value: Double, _ expectation: DayOfValues.Expectation) -> InlineArray<12, Double> {
        let median = recent.median ?? value
        let deviation = value - median
        let bound = count > 20 ? 10 * spread : Self.largest
        let bounded = min(max(deviation, -bound), bound)
        spread += max(0.001, 1 / Double(count)) * (abs(bounded) - spread)
        longSpread += 0.01 * (abs(bounded) - longSpread)
        shortMean += (value - shortMean) / 4
        mediumMean += (median + bounded - mediumMean) / 30
        let rank = recent.rank(of: value)
        rankMean += (rank - 0.5 - rankMean) / 30
        let step = abs(value - last)
        run = step == 0 ? run + 1 : 0
        let fromDay = expectation.mean.map { value - $0 } ?? 0
        dayDrift += (fromDay - dayDrift) / 30
        let outside = expectation.range.map { max(0, $0.lowerBound - value, value - $0.upperBound) } ?? abs(deviation)
        // Two cumulative sums of what is beyond half the spread, up and down.
        let limited = min(max(deviation, -3 * spread), 3 * spread)
        sumUp = min(max(0, sumUp + limited - spread / 2), 100 * spread)
        sumDown = min(max(0, sumDown - limited - spread / 2), 100 * spread)
        last = value
        recent.append(value)
        return [
            abs(deviation),
            step,
            abs(shortMean - median),
            abs(shortMean - mediumMean),
            abs(mediumMean - median),
            abs(rankMean) / (0.51 - abs(rankMean)),
            max(sumUp, sumDown),
            spread > 0 ? longSpread / spread : 1,
            outside,
            abs(fromDay),
            abs(dayDrift),
            run,
        ]
    }

    /// Decades of rarity as 0...1. Memory being bounded, there are never more than 4.4.
    private static func score(_ decades: Double) -> Double { min(1, decades / 4.5) }
}
