/// Does not say twice what is one happening: after something was said, for a while only what is clearly rarer is said.
struct Quiet: Sendable, Equatable {
    private var said = 0.0
    private var saidAt = 0

    /// Decades of rarity at the `count`th point: `rarity`, or 0 if enough was said already. It is quiet for longer in a series
    /// that is known for longer, up to 300 points.
    mutating func say(_ rarity: Double, after count: Int) -> Double {
        let rest = min(300, 50 + 3 * count / 100)
        if count - saidAt > rest { said = 0 }
        guard rarity > said + 0.5 else { return 0 }
        if rarity > 1.5 { (said, saidAt) = (rarity, count) }
        return rarity
    }
}
