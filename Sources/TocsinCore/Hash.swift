/// A keyed, fast 64-bit hash for routing decisions: multiply-and-fold (the construction of wyhash). The seed is the
/// journal's own random identity, so that peers cannot aim at collisions and replay computes the same values.
public struct RoutingHash: Sendable {
    let seed: (UInt64, UInt64)

    public init(seed: UInt64) {
        self.seed = (seed ^ 0x9E37_79B9_7F4A_7C15, (seed &* 0xD6E8_FEB8_6659_FD93) ^ 0xC2B2_AE3D_27D4_EB4F)
    }

    /// 64 bits of `bytes`; `lane` selects one of several independent hashes.
    public func hash(_ bytes: UnsafeRawBufferPointer, lane: UInt64 = 0) -> UInt64 {
        var state = seed.0 ^ (lane &* 0xA076_1D64_78BD_642F)
        var offset = 0
        while bytes.count - offset >= 16 {
            state = Self.fold(
                bytes.littleEndian(UInt64.self, at: offset) ^ seed.1 ^ lane,
                bytes.littleEndian(UInt64.self, at: offset + 8) ^ state)
            offset += 16
        }
        var a: UInt64 = 0
        var b: UInt64 = 0
        var shift: UInt64 = 0
        while offset < bytes.count {
            if shift < 64 { a |= UInt64(bytes[offset]) << shift } else { b |= UInt64(bytes[offset]) << (shift - 64) }
            shift += 8
            offset += 1
        }
        return Self.fold(Self.fold(a ^ seed.1, b ^ state) ^ UInt64(bytes.count), 0xE703_7ED1_A0B4_28DB ^ lane)
    }

    static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high ^ product.low
    }
}
