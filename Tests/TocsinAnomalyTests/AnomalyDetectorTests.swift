import Glibc
import TestSupport
import Testing
import TocsinAnomaly

/// Series made for each question, with what is unusual planted where the test knows it.
@Suite struct AnomalyDetectorTests {
    static let interval: UInt64 = 300_000
    static let day = 288

    @Test("What is no number is said to be unusable, and nothing is learnt from it")
    func unusable() {
        var random = SplitMix64.seeded()
        var detector = AnomalyDetector()
        for index in 0..<500 { _ = detector.observe(noise(&random), at: UInt64(index) * Self.interval) }
        let before = detector
        for value in [Double.nan, .signalingNaN, .infinity, -.infinity] {
            let assessment = detector.observe(value, at: .max)
            #expect(assessment.reason == .unusable)
            #expect(assessment.score == 0)
        }
        #expect(detector == before)
    }

    /// Method: bit patterns and times at random, with runs of one value and of ordinary ones between.
    @Test("Any values at any times are taken: scores stay within 0...1, memory below 16 KiB")
    func anything() {
        var random = SplitMix64.seeded()
        var detector = AnomalyDetector()
        for _ in 0..<300 {
            let kind = random.below(4)
            let fixed = Double(bitPattern: random.next())
            for _ in 0..<random.below(100) {
                let value =
                    switch kind {
                    case 0: Double(bitPattern: random.next())
                    case 1: fixed
                    case 2: noise(&random) * 1e-308
                    default: noise(&random)
                    }
                let time = random.chance(0.5) ? random.next() : UInt64(random.below(1_000_000))
                let assessment = detector.observe(value, at: time)
                #expect((0...1).contains(assessment.score))
                #expect((assessment.score...1).contains(assessment.rarity))
            }
        }
        #expect(bytes(of: detector) < 16_384)
        #expect(bytes(of: detector) > 10_000, "the count of bytes does not see the detector's arrays")
    }

    @Test("The same points give the same scores")
    func deterministic() {
        let random = SplitMix64.seeded()
        func run() -> [Assessment] {
            var random = random
            var detector = AnomalyDetector()
            return (0..<3000).map { detector.observe(seasonal($0, &random), at: UInt64($0) * Self.interval) }
        }
        #expect(run() == run())
    }

    /// Method: what `Assessment.score` states, on ten months of steady days together, with as much again for chance.
    @Test("Steady days with noise have no more high scores than stated")
    func steady() {
        var random = SplitMix64.seeded()
        let points = 30 * Self.day
        let stated: [(threshold: Double, perTenThousand: Double)] = [(0.5, 4), (0.6, 0.6)]
        var alerts = [0, 0]
        for _ in 0..<10 {
            var detector = AnomalyDetector()
            for index in 0..<points {
                let assessment = detector.observe(seasonal(index, &random), at: UInt64(index) * Self.interval)
                for (index, rate) in stated.enumerated() where assessment.score >= rate.threshold { alerts[index] += 1 }
            }
        }
        for (count, rate) in zip(alerts, stated) {
            #expect(Double(count) <= 2 * rate.perTenThousand * Double(10 * points) / 10_000)
        }
    }

    enum Planted: CaseIterable {
        case spike, dip, level, missedTrough, flat, variance

        /// The value in the place of `usual`, `offset` points after the change.
        func value(_ usual: Double, offset: Int, _ random: inout SplitMix64) -> Double {
            switch self {
            case .spike: offset < 2 ? usual + 60 : usual
            case .dip: offset < 2 ? usual - 60 : usual
            case .level: usual + 20
            case .missedTrough: 50 + noise(&random)
            case .flat: 40
            case .variance: usual + 8 * noise(&random)
            }
        }

        /// Several fit where it depends on the noise which is the first to stand out.
        var reasons: Set<Assessment.Reason> {
            switch self {
            case .spike, .dip: [.spike, .rate, .season]
            case .level: [.level, .season, .rate, .spike]
            case .missedTrough: [.season, .level, .rate]
            case .flat: [.flat, .season, .level, .rate, .spike]
            case .variance: [.variance, .rate, .season, .spike]
            }
        }
    }

    /// Method: four weeks of steady days, then the change at noon, six times. Chance may have made the detector say something
    /// shortly before, after which it keeps quiet; so not each must be found, within twelve hours.
    @Test("What is planted is found, whatever the unit", arguments: Planted.allCases, [1e-9, 1e12])
    func planted(change: Planted, unit: Double) {
        var random = SplitMix64.seeded()
        var found = 0
        let start = 28 * Self.day + Self.day / 2
        for _ in 0..<6 {
            var detector = AnomalyDetector()
            for index in 0..<start {
                _ = detector.observe(seasonal(index, &random) * unit, at: UInt64(index) * Self.interval)
            }
            for offset in 0..<144 {
                let value = change.value(seasonal(start + offset, &random), offset: offset, &random)
                let assessment = detector.observe(value * unit, at: UInt64(start + offset) * Self.interval)
                guard assessment.score >= AnomalyDetector.threshold else { continue }
                #expect(change.reasons.contains(assessment.reason))
                found += 1
                break
            }
        }
        #expect(found >= (change == .missedTrough ? 1 : 4))
    }

    @Test("The expected range is where values were at this time of day")
    func expectedRange() throws {
        var random = SplitMix64.seeded()
        var detector = AnomalyDetector()
        for index in 0..<7 * Self.day {
            _ = detector.observe(seasonal(index, &random), at: UInt64(index) * Self.interval)
        }
        let midnight = detector.observe(500, at: UInt64(7 * Self.day) * Self.interval)
        let expected = try #require(midnight.expected)
        #expect(midnight.seen == 500)
        #expect(midnight.rarity > 0.5)
        #expect(expected.contains(50))
        #expect(expected.upperBound < 70)
    }

    /// Method: a backup that makes a peak every night at three, beside one that comes once, at noon. Ten series of four weeks.
    @Test("What comes every night is hardly said any more; the same peak at noon is")
    func habit() {
        var random = SplitMix64.seeded()
        var saidAtNight = 0
        var saidAtNoon = 0
        for _ in 0..<10 {
            var detector = AnomalyDetector()
            for index in 0..<28 * Self.day {
                let night = index % Self.day - 36
                let value = noise(&random) + ((0..<3).contains(night) ? 40 : 0)
                let score = detector.observe(value, at: UInt64(index) * Self.interval).score
                if index >= 21 * Self.day, (0..<6).contains(night), score >= AnomalyDetector.threshold { saidAtNight += 1 }
            }
            let noon = UInt64(28 * Self.day + Self.day / 2) * Self.interval
            let scores = (0..<3).map { detector.observe(40, at: noon + $0 * Self.interval).score }
            if scores.contains(where: { $0 >= AnomalyDetector.threshold }) { saidAtNoon += 1 }
        }
        #expect(saidAtNight <= 20, "of 70 nights")
        #expect(saidAtNoon >= 8, "of 10")
    }
}

/// About normal, with deviation 1: the sum of twelve uniform numbers.
private func noise(_ random: inout SplitMix64) -> Double {
    (0..<12).reduce(-6) { sum, _ in sum + Double.random(in: 0..<1, using: &random) }
}

/// A daily wave of 20 around 50, with noise.
private func seasonal(_ index: Int, _ random: inout SplitMix64) -> Double {
    50 + 20 * sin(2 * .pi * Double(index % 288) / 288) + noise(&random)
}

/// Of a value and the arrays in it, found by reflection.
private func bytes(of value: some Any) -> Int { MemoryLayout.size(ofValue: value) + bytesBehind(value) }

private func bytesBehind(_ value: Any) -> Int {
    let header = 32
    switch value {
    case let array as [Double]: return header + 8 * array.capacity
    case let array as [Float]: return header + 4 * array.capacity
    default:
        let mirror = Mirror(reflecting: value)
        var bytes = mirror.children.reduce(0) { $0 + bytesBehind($1.value) }
        if mirror.displayStyle == .collection {
            bytes += header + mirror.children.reduce(0) { $0 + size(of: $1.value) }
        }
        return bytes
    }
}

private func size(of value: Any) -> Int {
    func open<T>(_ value: T) -> Int { MemoryLayout<T>.stride }
    return _openExistential(value, do: open)
}
