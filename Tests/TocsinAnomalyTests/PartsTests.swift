import Glibc
import TestSupport
import Testing

@testable import TocsinAnomaly

/// The parts of the detector, each against its definition.
@Suite struct PartsTests {
    /// Method: the same by sorting the last values anew for each question.
    @Test("Recent values know their median, range and ranks")
    func recentValues() {
        var random = SplitMix64.seeded()
        var recent = RecentValues()
        var all: [Double] = []
        #expect(recent.median == nil)
        for _ in 0..<2000 {
            // Few different values, so that many are equal.
            let value = Double(random.below(50))
            recent.append(value)
            all.append(value)
            let last = all.suffix(RecentValues.capacity).sorted()
            let asked = Double(random.below(52)) - 1
            let rank = Double(2 * last.count { $0 < asked } + last.count { $0 == asked }) / Double(2 * last.count)
            #expect(recent.median == last[last.count / 2])
            #expect(recent.rank(of: asked) == rank)
            #expect(recent.range == last[last.count / 100]...last[last.count - 1 - last.count / 100])
        }
    }

    /// Method: exponentially distributed values of any unit: one of 100 is to have two decades and more, one of 1,000 three.
    @Test("Rarity is how rare a value is, in decades", arguments: [1e-200, 1, 1e200])
    func rarity(unit: Double) {
        var random = SplitMix64.seeded()
        var tail = TailEstimate()
        var counts = [0, 0, 0]
        let points = 100_000
        for index in 0..<points {
            let value = -log(1 - Double.random(in: 0..<1, using: &random)) * unit
            let rarity = tail.rarity(of: value, growth: TailEstimate.growth(after: index))
            for decades in 1...3 where rarity >= Double(decades) { counts[decades - 1] += 1 }
        }
        #expect((8_000...12_000).contains(counts[0]))
        #expect((600...1_600).contains(counts[1]))
        #expect((20...300).contains(counts[2]))
    }

    @Test("A value beyond all others is rarer the farther it is, at any distance")
    func beyond() {
        var rarities: [Double] = []
        for value in [2.0, 4, 1e6, 1e150] {
            var tail = TailEstimate()
            for index in 0..<1000 { _ = tail.rarity(of: 1 + Double(index % 100) / 100, growth: 1) }
            rarities.append(tail.rarity(of: value, growth: 1))
            #expect(tail.rarity(of: 1e-300, growth: 1) < 0.1)
        }
        #expect(rarities == rarities.sorted())
        #expect(rarities[0] < rarities[1])
    }

    @Test("Soon after something was said, only what is half a decade rarer is said")
    func quiet() {
        var quiet = Quiet()
        #expect(quiet.say(2, after: 1000) == 2)
        #expect(quiet.say(2.5, after: 1001) == 0)
        #expect(quiet.say(2.6, after: 1002) == 2.6)
        // 50 points and three of a hundred that are known.
        #expect(quiet.say(2.6, after: 1082) == 0)
        #expect(quiet.say(2.6, after: 1085) == 2.6)
        #expect(quiet.say(4, after: 100_000) == 4)
        #expect(quiet.say(4, after: 100_300) == 0)
        #expect(quiet.say(4, after: 100_301) == 4)
    }

    @Test("A time of day knows what was there on the days before, and near it")
    func dayOfValues() {
        var day = DayOfValues()
        let hour: UInt64 = 3_600_000
        for index in 0..<48 {
            #expect(day.expectation(of: Double(index % 24), at: UInt64(index) * hour).mean == nil || index >= 24)
        }
        let noon = day.expectation(of: 100, at: 60 * hour)
        #expect(noon.mean == 12)
        #expect(noon.range == 11...13)
        // The peak is expected from then on, less of it with every day.
        _ = day.expectation(of: 18, at: 66 * hour)
        let next = day.expectation(of: 12, at: 84 * hour)
        #expect(next.range == 11...100)
        _ = day.expectation(of: 18, at: 90 * hour)
        #expect(day.expectation(of: 12, at: 108 * hour).range.map { $0.upperBound < 100 && $0.upperBound > 50 } == true)
    }

    @Test("An hour that was surprising every day is expected to be, and no other hour is")
    func habit() {
        var habit = Habit.daily()
        let hour: UInt64 = 3_600_000
        for index in 0..<30 * 24 { _ = habit.expectation(of: index % 24 == 3 ? 10 : 1, at: UInt64(index) * hour) }
        #expect(habit.expectation(of: 1, at: (30 * 24 + 3) * hour) > 9)
        #expect(habit.expectation(of: 1, at: (30 * 24 + 4) * hour) < 1.1)
    }
}
