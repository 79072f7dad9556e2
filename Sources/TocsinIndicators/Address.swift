import Glibc

/// Addresses with a common beginning: `198.51.100.0/24`, or a single one. IPv4 addresses within IPv6 (`::ffff:192.0.2.1`) are
/// IPv4.
enum AddressPrefix: Sendable, Equatable {
    case v4(UInt32, bits: Int)
    case v6(UInt128, bits: Int)

    private static let mappedBits = 96
    private static let mapped: UInt128 = 0xFFFF << 32

    /// A single address, as its bytes in text; nil for anything else.
    init?(address text: UnsafeBufferPointer<UInt8>) {
        // The longest that inet_pton takes, and a NUL.
        guard (2...45).contains(text.count) else { return nil }
        let isV6 = text.contains(UInt8(ascii: ":"))
        let result = withUnsafeTemporaryAllocation(of: CChar.self, capacity: text.count + 1) { buffer -> AddressPrefix? in
            for (index, byte) in text.enumerated() { buffer[index] = CChar(bitPattern: byte) }
            buffer[text.count] = 0
            guard let base = buffer.baseAddress else { return nil }
            if isV6 {
                var address: UInt128 = 0
                guard inet_pton(AF_INET6, base, &address) == 1 else { return nil }
                return .v6(UInt128(bigEndian: address), bits: 128)
            }
            var address: UInt32 = 0
            guard inet_pton(AF_INET, base, &address) == 1 else { return nil }
            return .v4(UInt32(bigEndian: address), bits: 32)
        }
        guard let result else { return nil }
        self = result.unmapped
    }

    /// An address, or a network in CIDR notation (RFC 4632). Bits beyond the prefix are cleared.
    init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let whole = Array(first.utf8).withUnsafeBufferPointer({ AddressPrefix(address: $0) })
        else { return nil }
        guard parts.count == 2 else {
            self = whole
            return
        }
        guard parts[1].utf8.count <= 3, parts[1].utf8.allSatisfy({ $0 &- UInt8(ascii: "0") < 10 }), let bits = Int(parts[1])
        else { return nil }
        switch whole {
        case .v4(let address, _):
            // Within IPv6 the prefix counts from there.
            let own = first.contains(":") ? bits - Self.mappedBits : bits
            guard (0...32).contains(own) else { return nil }
            self = .v4(address & UInt32.max << (32 - own), bits: own)
        case .v6(let address, _):
            guard (0...128).contains(bits) else { return nil }
            self = .v6(address & UInt128.max << (128 - bits), bits: bits)
        }
    }

    private var unmapped: AddressPrefix {
        guard case .v6(let address, bits: 128) = self, address >> 32 == Self.mapped >> 32 else { return self }
        return .v4(UInt32(truncatingIfNeeded: address), bits: 32)
    }

    var type: IndicatorType { if case .v4 = self { .ipv4 } else { .ipv6 } }

    /// As `init` takes it; without a prefix length if it is a single address. IPv6 after RFC 5952.
    var text: String {
        switch self {
        case .v4(let address, let bits):
            let dotted = "\(address >> 24).\(address >> 16 & 255).\(address >> 8 & 255).\(address & 255)"
            return bits == 32 ? dotted : "\(dotted)/\(bits)"
        case .v6(let address, let bits):
            var bytes = address.bigEndian
            var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
            inet_ntop(AF_INET6, &bytes, &buffer, socklen_t(buffer.count))
            let text = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            return bits == 128 ? text : "\(text)/\(bits)"
        }
    }
}

/// The prefixes of one address family that cover an address, the longest first, each with a number of the caller's.
///
/// The prefixes' first and last addresses cut the address space into runs, within each of which the same prefix is the longest; a
/// search is a binary search for the run, then from each prefix to the one around it. Two equal prefixes are one within the
/// other.
struct PrefixTable<Address: FixedWidthInteger & UnsignedInteger & Sendable>: Sendable {
    /// Where each run begins, ascending.
    private var starts: [Address] = []
    /// The longest prefix of each run; `none` where there is none.
    private var owners: [UInt32] = []
    /// Of each prefix: the caller's number, and the next longer prefix around it.
    private var numbers: [UInt32] = []
    private var parents: [UInt32] = []

    private static var none: UInt32 { .max }

    /// `bits` counts from the most significant; bits of `address` beyond it are 0. At most `UInt32.max` - 1 prefixes.
    init(_ prefixes: [(address: Address, bits: Int, number: UInt32)]) {
        let sorted = prefixes.sorted { ($0.address, $0.bits, $0.number) < ($1.address, $1.bits, $1.number) }
        numbers = sorted.map(\.number)
        parents.reserveCapacity(sorted.count)
        var around: [(prefix: UInt32, last: Address)] = []
        func close() {
            let (_, last) = around.removeLast()
            if last < .max { begin(at: last + 1, with: around.last?.prefix ?? Self.none) }
        }
        for (index, prefix) in sorted.enumerated() {
            while let inner = around.last, inner.last < prefix.address { close() }
            parents.append(around.last?.prefix ?? Self.none)
            around.append((UInt32(index), prefix.address | Address.max >> prefix.bits))
            begin(at: prefix.address, with: UInt32(index))
        }
        while !around.isEmpty { close() }
    }

    private mutating func begin(at start: Address, with owner: UInt32) {
        if starts.last == start {
            owners[owners.count - 1] = owner
        } else {
            starts.append(start)
            owners.append(owner)
        }
    }

    var count: Int { numbers.count }
    /// What it keeps in memory.
    var bytes: Int {
        starts.capacity * MemoryLayout<Address>.stride + (owners.capacity + numbers.capacity + parents.capacity) * 4
    }

    /// Calls `body` with the number of each prefix that covers the address, the longest first, until it returns false.
    @inline(__always)
    func forEach(covering address: Address, _ body: (UInt32) -> Bool) {
        var low = 0
        var high = starts.count
        // The first run that begins after the address.
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return }
        var prefix = owners[low - 1]
        while prefix != Self.none, body(numbers[Int(prefix)]) { prefix = parents[Int(prefix)] }
    }
}
