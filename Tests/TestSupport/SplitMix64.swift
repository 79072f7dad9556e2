import Glibc

/// A small deterministic generator, so that a failure can be repeated with `TOCSIN_SEED`.
public struct SplitMix64: RandomNumberGenerator {
    public private(set) var state: UInt64

    public init(state: UInt64) { self.state = state }

    /// With the seed of `TOCSIN_SEED`, else one from the clock; prints it.
    public static func seeded(_ function: StaticString = #function) -> SplitMix64 {
        let given = getenv("TOCSIN_SEED").flatMap { UInt64(String(cString: $0)) }
        let seed = given ?? UInt64(bitPattern: Int64(time(nil)))
        print("\(function): TOCSIN_SEED=\(seed)")
        return SplitMix64(state: seed)
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    public mutating func chance(_ probability: Double) -> Bool { Double.random(in: 0..<1, using: &self) < probability }

    public mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }

    /// Random bytes, at most `most` of them.
    public mutating func bytes(upTo most: Int) -> [UInt8] {
        (0..<below(most + 1)).map { _ in UInt8.random(in: 0...255, using: &self) }
    }
}
