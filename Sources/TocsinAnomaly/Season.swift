/// Milliseconds since 1970 as slots of a day or a week: which one, of equal length, it is now.
private func slot(of time: UInt64, period: UInt64, count: Int) -> Int { Int(time % period / (period / UInt64(count))) }

private let day: UInt64 = 86_400_000

/// The values at each time of day. Whatever the sampling interval: a slot that never has values knows nothing.
struct DayOfValues: Sendable, Equatable {
    private static let slotCount = 48
    /// Neighbouring slots whose range counts too, at each side: what happens daily is not always on time.
    private static let neighbours = 2

    private var lows = [Double](repeating: .nan, count: slotCount)
    private var highs = [Double](repeating: .nan, count: slotCount)
    private var means = [Double](repeating: .nan, count: slotCount)
    private var current: Int?
    private var low = 0.0
    private var high = 0.0
    private var sum = 0.0
    private var count = 0.0

    /// What was on the days before at this time of day.
    struct Expectation {
        /// Of this time, give or take an hour.
        var range: ClosedRange<Double>?
        var mean: Double?
    }

    /// Counts the value in; it is part of what is expected from tomorrow on.
    mutating func expectation(of value: Double, at time: UInt64) -> Expectation {
        let slot = slot(of: time, period: day, count: Self.slotCount)
        if slot != current {
            if let current { learn(current) }
            (current, low, high, sum, count) = (slot, value, value, 0, 0)
        }
        low = min(low, value)
        high = max(high, value)
        sum += value
        count += 1
        var range: ClosedRange<Double>?
        for offset in -Self.neighbours...Self.neighbours {
            let index = (slot + offset + Self.slotCount) % Self.slotCount
            guard !means[index].isNaN else { continue }
            range = min(range?.lowerBound ?? lows[index], lows[index])...max(range?.upperBound ?? highs[index], highs[index])
        }
        return Expectation(range: range, mean: means[slot].isNaN ? nil : means[slot])
    }

    /// The range widens at once and narrows by a fifth a day.
    private mutating func learn(_ slot: Int) {
        let mean = sum / count
        if means[slot].isNaN {
            (lows[slot], highs[slot], means[slot]) = (low, high, mean)
        } else {
            lows[slot] = min(low, lows[slot] + 0.2 * (low - lows[slot]))
            highs[slot] = max(high, highs[slot] + 0.2 * (high - highs[slot]))
            means[slot] += 0.3 * (mean - means[slot])
        }
    }
}

/// How surprising the hours of a day, or of a week, usually are: what comes every day at this hour is no surprise.
struct Habit: Sendable, Equatable {
    private let period: UInt64
    private let rate: Float
    private var peaks: [Float]
    private var current: Int?
    private var peak: Float = 0

    static func daily() -> Habit { Habit(days: 1, rate: 0.15) }
    static func weekly() -> Habit { Habit(days: 7, rate: 0.3) }

    private init(days: Int, rate: Float) {
        period = UInt64(days) * day
        peaks = Array(repeating: 0, count: days * 24)
        self.rate = rate
    }

    /// The surprise that this hour usually has at most. Counts this one in; it is expected from the next period on.
    mutating func expectation(of surprise: Double, at time: UInt64) -> Double {
        let slot = slot(of: time, period: period, count: peaks.count)
        if slot != current {
            if let current { peaks[current] += rate * (peak - peaks[current]) }
            (current, peak) = (slot, 0)
        }
        peak = max(peak, Float(surprise))
        return Double(peaks[slot])
    }
}
