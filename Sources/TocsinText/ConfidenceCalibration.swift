/// How often predictions of each confidence were right: what a confidence is worth.
///
/// The confidence that a model states falls into one of sixteen bins; of each the recent predictions and the right ones among them
/// are counted. What a bin is worth is their share, drawn to its middle while there are few, and made to rise with the stated
/// confidence by pooling neighbours that do not (isotonic regression: Zadrozny, Elkan, "Transforming classifier scores into
/// accurate multiclass probability estimates", 2002). Between the middles of bins it is interpolated.
struct ConfidenceCalibration: Sendable, Equatable {
    struct Bin: Sendable, Equatable {
        var predictions: UInt32 = 0
        var right: UInt32 = 0
    }

    static let binCount = 16
    /// When a bin has as many, they count half, so that the recent ones decide.
    static let predictionsMax: UInt32 = 256
    /// As many predictions stand for the stated confidence itself.
    private static let prior: Float = 8

    private(set) var bins = [Bin](repeating: Bin(), count: Self.binCount)
    private var values: [Float] = []

    init() { fit() }

    /// Nil if there are not as many bins as must be, or if one has more right predictions than predictions, or too many.
    init?(bins: [Bin]) {
        guard bins.count == Self.binCount,
            bins.allSatisfy({ $0.predictions < Self.predictionsMax && $0.right <= $0.predictions })
        else { return nil }
        self.bins = bins
        fit()
    }

    mutating func count(stated: Float, isRight: Bool) {
        let index = min(Self.binCount - 1, max(0, Int(stated * Float(Self.binCount))))
        bins[index].predictions += 1
        bins[index].right += isRight ? 1 : 0
        if bins[index].predictions >= Self.predictionsMax {
            bins[index].predictions /= 2
            bins[index].right /= 2
        }
        fit()
    }

    /// The share of right predictions to expect; rises with `stated`, which is within 0…1.
    func value(stated: Float) -> Float {
        let place = min(Float(Self.binCount - 1), max(0, stated * Float(Self.binCount) - 0.5))
        let below = Int(place)
        let above = min(Self.binCount - 1, below + 1)
        return values[below] + (values[above] - values[below]) * (place - Float(below))
    }

    private mutating func fit() {
        struct Pool {
            var right: Float
            var weight: Float
            var count: Int
            var value: Float { right / weight }
        }
        var pools: [Pool] = []
        for (index, bin) in bins.enumerated() {
            let middle = (Float(index) + 0.5) / Float(Self.binCount)
            var pool = Pool(
                right: Float(bin.right) + middle * Self.prior, weight: Float(bin.predictions) + Self.prior, count: 1)
            while let last = pools.last, last.value >= pool.value {
                pools.removeLast()
                pool.right += last.right
                pool.weight += last.weight
                pool.count += last.count
            }
            pools.append(pool)
        }
        values = pools.flatMap { pool in [Float](repeating: pool.value, count: pool.count) }
    }
}
