import Glibc

/// The score of the Numenta Anomaly Benchmark, after its paper (Lavin and Ahmad, 2015) and as its scorer computes it.
///
/// Each labelled window that has an alert earns up to the profile's weight for true positives, more for an early one; each without
/// costs a false negative; each alert outside costs a false positive, little just after a window. One threshold serves all series,
/// the best there is. 0 is a detector that says nothing, 100 one that says each window's first point and nothing else.
struct NABProfile: Sendable, Equatable {
    var name: String
    var truePositive: Double
    var falseNegative: Double
    var falsePositive: Double

    /// The benchmark's own, for labels that come without profiles.json.
    static let standard = NABProfile(name: "standard", truePositive: 1, falseNegative: 1, falsePositive: 0.11)
}

/// One series as the benchmark sees it.
struct LabelledScores: Sendable {
    var category: String
    var scores: [Double]
    /// Indices of the first and the last point of each window, ascending.
    var windows: [ClosedRange<Int>]
}

/// What a threshold is worth over some series.
struct NABResult: Sendable, Equatable {
    var threshold: Double
    /// The sum of all rewards and costs, before normalisation.
    var raw: Double
    var found: Int
    var windows: Int
    var falseAlerts: Int

    /// 0 for no alert at all, 100 for a perfect detector; nil without windows, when neither differs.
    func normalized(_ profile: NABProfile) -> Double? {
        let null = -profile.falseNegative * Double(windows)
        let perfect = profile.truePositive * Double(windows)
        return windows == 0 ? nil : 100 * (raw - null) / (perfect - null)
    }
}

struct NABScorer {
    let profile: NABProfile
    /// What an alert at each point is worth; the highest score first.
    private let points: [Point]
    private let windowCount: Int

    private struct Point {
        var score: Double
        var worth: Double
        /// Of all series' windows; nil outside.
        var window: Int?
    }

    init(_ series: [LabelledScores], profile: NABProfile) {
        self.profile = profile
        var points: [Point] = []
        var windowCount = 0
        for one in series {
            Self.append(one, firstWindow: windowCount, profile, to: &points)
            windowCount += one.windows.count
        }
        points.sort { $0.score > $1.score }
        self.points = points
        self.windowCount = windowCount
    }

    /// The threshold with the highest score; above 1, so that there is no alert, if all alerts cost more than they bring.
    func best() -> NABResult {
        var tally = Tally(profile, windowCount)
        var best = tally.result(threshold: 1.1)
        var index = 0
        while index < points.count {
            let threshold = points[index].score
            while index < points.count, points[index].score == threshold {
                tally.alert(points[index])
                index += 1
            }
            if tally.raw > best.raw { best = tally.result(threshold: threshold) }
        }
        return best
    }

    /// The score with an alert wherever a score is `threshold` or more.
    func result(threshold: Double) -> NABResult {
        var tally = Tally(profile, windowCount)
        for point in points.prefix(while: { $0.score >= threshold }) { tally.alert(point) }
        return tally.result(threshold: threshold)
    }

    private struct Tally {
        let profile: NABProfile
        private(set) var raw: Double
        /// The best alert of each window.
        private var windows: [Double?]
        private var falseAlerts = 0

        init(_ profile: NABProfile, _ windowCount: Int) {
            self.profile = profile
            raw = -profile.falseNegative * Double(windowCount)
            windows = Array(repeating: nil, count: windowCount)
        }

        mutating func alert(_ point: Point) {
            guard let window = point.window else {
                raw += point.worth
                falseAlerts += 1
                return
            }
            let before = windows[window] ?? -profile.falseNegative
            let after = max(before, point.worth)
            windows[window] = after
            raw += after - before
        }

        func result(threshold: Double) -> NABResult {
            NABResult(
                threshold: threshold, raw: raw, found: windows.count { $0 != nil }, windows: windows.count,
                falseAlerts: falseAlerts)
        }
    }

    /// The first 15 % of a series, 750 points at most, are for learning: alerts there count for nothing.
    private static func append(
        _ series: LabelledScores, firstWindow: Int, _ profile: NABProfile, to points: inout [Point]
    ) {
        let probation = min(Int(0.15 * Double(series.scores.count)), 750)
        var next = 0
        for (index, score) in series.scores.enumerated() {
            while next < series.windows.count, series.windows[next].upperBound < index { next += 1 }
            guard index >= probation else { continue }
            if next < series.windows.count, series.windows[next].contains(index) {
                let window = series.windows[next]
                let position = -Double(window.upperBound - index + 1) / Double(window.count)
                let worth = sigmoid(position) / sigmoid(-1) * profile.truePositive
                points.append(Point(score: score, worth: worth, window: firstWindow + next))
            } else {
                // In lengths of the last window, counted from its end.
                var position = 3.0
                if next > 0, series.windows[next - 1].count > 1 {
                    let window = series.windows[next - 1]
                    position = Double(index - window.upperBound) / Double(window.count - 1)
                }
                points.append(Point(score: score, worth: sigmoid(position) * profile.falsePositive, window: nil))
            }
        }
    }

    /// The benchmark's scaled sigmoid: near 1 at a window's start (-1), 0 at its end (0), -1 far behind it (3 and more).
    private static func sigmoid(_ position: Double) -> Double { position >= 3 ? -1 : 2 / (1 + exp(5 * position)) - 1 }
}
