/// How many took how long, in fixed steps: what Prometheus calls a histogram.
struct DurationHistogram {
    /// Upper bounds in microseconds, ascending; what took longer is counted in `count` alone.
    static let bounds: [UInt64] = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000]

    /// Of each bound, those that took no longer and longer than the bound before.
    private(set) var buckets = [UInt64](repeating: 0, count: bounds.count)
    private(set) var count: UInt64 = 0
    private(set) var nanoseconds: UInt64 = 0

    mutating func add(_ nanoseconds: UInt64) {
        count += 1
        self.nanoseconds &+= nanoseconds
        if let bucket = Self.bounds.firstIndex(where: { nanoseconds <= $0 * 1000 }) { buckets[bucket] += 1 }
    }
}
