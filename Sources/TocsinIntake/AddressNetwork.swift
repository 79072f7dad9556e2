/// Addresses with a common beginning, as `10.0.0.0/8` writes them. IPv4 addresses within IPv6 (`::ffff:10.0.0.1`) are IPv4 ones.
public struct AddressNetwork: Sendable, Equatable {
    /// 4 or 16 bytes in network order.
    public let address: [UInt8]
    /// How many bits of it count.
    public let bits: Int

    /// Nil where `address` is no 4 or 16 bytes, or has no so many bits.
    public init?(address: [UInt8], bits: Int) {
        guard [4, 16].contains(address.count), (0...8 * address.count).contains(bits) else { return nil }
        self.address = address
        self.bits = bits
    }

    /// `127.0.0.0/8` and `::1/128`.
    public static let loopback = [
        AddressNetwork(address: [127, 0, 0, 0], bits: 8),
        AddressNetwork(address: Array(repeating: 0, count: 15) + [1], bits: 128),
    ].compactMap { $0 }

    /// Whether the address, 4 or 16 bytes in network order, is one of these.
    public func contains(_ other: [UInt8]) -> Bool {
        var other = other
        if other.count == 16, other[..<10].allSatisfy({ $0 == 0 }), other[10] == 0xFF, other[11] == 0xFF {
            other.removeFirst(12)
        }
        guard other.count == address.count else { return false }
        let whole = bits / 8
        guard address[..<whole] == other[..<whole] else { return false }
        let rest = bits % 8
        return rest == 0 || (address[whole] ^ other[whole]) >> UInt8(8 - rest) == 0
    }
}
