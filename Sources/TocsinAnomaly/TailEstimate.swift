import Glibc

/// How rare a statistic's value is among those before it, for statistics of any scale: a histogram over the logarithm, with
/// fading memory, and beyond its dense part a power law fitted to the largest values (a peaks-over-threshold estimate).
struct TailEstimate: Sendable, Equatable {
    private static let binCount = 96
    /// Width of a bin, natural logarithm: the histogram spans a factor of 10^10.
    private static let binWidth = 0.25
    /// The share of the largest values that the power law is fitted to.
    private static let tailShare = 0.05
    /// What the tail's exponent is before there are values, and how many values that belief weighs.
    private static let priorExcess = 0.2
    private static let priorWeight = 3.0
    /// Values that are needed before the power law is asked.
    private static let fewest = 20.0
    private static let rarest = 1e-12

    private var weights = [Float](repeating: 0, count: binCount)
    private var total: Float = 0
    /// The weight of the next value. Growing weights are fading ones without touching every bin.
    private var weight: Float = 1
    /// The logarithmic bin that `weights[0]` is; nil before the first value above zero.
    private var base: Int?
    /// The highest bin with any weight.
    private var top = 0

    /// By how much weights grow a point, after `count` points: memory halves in as many points as there were, 500 to 4000, so that
    /// what was odd only because nothing was known yet is soon forgotten.
    static func growth(after count: Int) -> Float { Float(exp2(1 / Double(min(max(count, 500), 4000)))) }

    /// Estimates in decades how rare a value of `statistic` and above is (2: one of 100), then counts it in. Finite, 0 or more.
    mutating func rarity(of statistic: Double, growth: Float) -> Double {
        let position = (statistic > 1e-300 ? log(statistic) : -700) / Self.binWidth
        let floor = Int(position.rounded(.down))
        guard let base = base ?? (statistic > 1e-300 ? floor - Self.binCount * 3 / 4 : nil) else { return 0 }
        self.base = base
        if floor - base >= Self.binCount { raise(by: floor - base - Self.binCount + 1) }
        let bin = max(0, floor - (self.base ?? base))
        let within = floor < (self.base ?? base) ? 0 : position - Double(floor)
        let probability = probability(ofBin: bin, within: within)
        weight *= growth
        weights[bin] += weight
        total += weight
        top = max(top, bin)
        if weight > 1e6 { rescale() }
        // Sums of many weights are off by a little: never below nothing.
        return max(0, -log10(probability))
    }

    private func probability(ofBin bin: Int, within: Double) -> Double {
        var above = weights[bin] * Float(1 - within)
        for index in stride(from: top, to: bin, by: -1) { above += weights[index] }
        let count = Double(total / weight)
        let counted = (Double(above / weight) + 0.5) / (count + 1)
        guard count > Self.fewest, counted < Self.tailShare else { return counted }
        var tail: Float = 0
        var moment: Float = 0
        var edge = top
        while edge >= 0, tail + weights[edge] < Float(Self.tailShare) * total {
            tail += weights[edge]
            moment += weights[edge] * Float(edge)
            edge -= 1
        }
        let threshold = Double(edge + 1)
        let exceeding = Double(tail / weight)
        let excess = (Double(moment / weight) + exceeding * (0.5 - threshold)) * Self.binWidth
        let exponent = (excess + Self.priorExcess * Self.priorWeight) / (exceeding + Self.priorWeight)
        let beyond = max(0, Double(bin) + within - threshold) * Self.binWidth
        let fitted = (exceeding + 0.5) / (count + 1) * exp(-beyond / exponent)
        return max((counted + fitted) / 2, Self.rarest)
    }

    /// Moves the histogram up, so that a larger value has a bin; what falls off below is counted in the lowest.
    private mutating func raise(by bins: Int) {
        var lowest: Float = 0
        for index in 0...min(bins, Self.binCount - 1) { lowest += weights[index] }
        for index in 0..<Self.binCount {
            weights[index] = bins < Self.binCount - index ? weights[index + bins] : 0
        }
        weights[0] = lowest
        base = base.map { $0 + bins }
        top = max(0, top - bins)
    }

    private mutating func rescale() {
        for index in weights.indices { weights[index] /= weight }
        total /= weight
        weight = 1
    }
}
