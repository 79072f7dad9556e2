import Glibc

/// Indicators, compiled once for searching and never changed. A search takes about a microsecond, however many there are.
/// Thread-safe.
public final class IndicatorSet: Sendable {
    /// Tells sets apart: 16 hexadecimal digits that depend on what was loaded and on nothing else. It belongs to a decision, so
    /// that what was decided can be decided again.
    public let version: String
    /// Values, by type.
    public let counts: [IndicatorType: Int]

    private let records: [Record]
    /// All ids, names and values.
    private let text: [UInt8]
    /// What many indicators have in common.
    private let contexts: [Context]
    private let values: ValueTable
    private let v4: PrefixTable<UInt32>
    private let v6: PrefixTable<UInt128>
    private let falsePositives: FalsePositives

    /// More are not taken, so that numbers and places in `text` fit in 32 bits.
    public static let countMax = 1_000_000
    private static let idBytesMax = 256
    private static let nameBytesMax = 256

    private struct Record: Sendable {
        var value: Slice
        var id: Slice
        var name: Slice
        var context: UInt32
        /// The next indicator with the same value, or `none`.
        var next = UInt32.max
        var validFrom: UInt64
        var validUntil: UInt64
        var type: IndicatorType
        /// 255: nobody said.
        var confidence: UInt8
    }

    /// A place in `text`.
    struct Slice: Sendable {
        var start: UInt32
        var count: UInt32
    }

    private struct Context: Sendable, Hashable {
        var source: String
        var labels: [String]
    }

    /// No indicators.
    public static let empty = IndicatorSet([], version: "0000000000000000")

    /// Indicators as `Indicator` wants them; of more than `countMax` the first. What a false-positive list has that cannot be
    /// used is told to `skip`, with the list's index.
    public init(
        _ indicators: [Indicator], falsePositives: [FalsePositiveList] = [], version: String,
        skip: (Int, String) -> Void = { _, _ in }
    ) {
        self.version = version
        self.falsePositives = FalsePositives(falsePositives, skip: skip)
        let indicators = indicators.prefix(Self.countMax)
        var text: [UInt8] = []
        text.reserveCapacity(
            indicators.reduce(0) {
                $0 + min($1.value.utf8.count, Normalised.bytesMax) + min($1.id.utf8.count, Self.idBytesMax)
                    + min($1.name.utf8.count, Self.nameBytesMax)
            })
        func add(_ string: String, _ limit: Int = Normalised.bytesMax) -> Slice {
            let start = text.count
            text += string.utf8.prefix(limit)
            return Slice(start: UInt32(start), count: UInt32(text.count - start))
        }
        var records: [Record] = []
        records.reserveCapacity(indicators.count)
        var contexts: [Context] = []
        var numberOfContext: [Context: UInt32] = [:]
        var counts: [IndicatorType: Int] = [:]
        var prefixes4: [(address: UInt32, bits: Int, number: UInt32)] = []
        var prefixes6: [(address: UInt128, bits: Int, number: UInt32)] = []
        for indicator in indicators {
            let number = UInt32(records.count)
            switch indicator.type {
            case .ipv4, .ipv6:
                switch AddressPrefix(indicator.value) {
                case .v4(let address, let bits): prefixes4.append((address, bits, number))
                case .v6(let address, let bits): prefixes6.append((address, bits, number))
                case nil: continue
                }
            default: break
            }
            let context = Context(source: indicator.source, labels: indicator.labels)
            let contextNumber = numberOfContext[context] ?? UInt32(contexts.count)
            if contextNumber == contexts.count {
                contexts.append(context)
                numberOfContext[context] = contextNumber
            }
            counts[indicator.type, default: 0] += 1
            records.append(
                Record(
                    value: add(indicator.value), id: add(indicator.id, Self.idBytesMax),
                    name: add(indicator.name, Self.nameBytesMax), context: contextNumber, validFrom: indicator.validFrom,
                    validUntil: indicator.validUntil ?? .max, type: indicator.type, confidence: indicator.confidence ?? .max))
        }
        var values = ValueTable(count: records.count)
        text.withUnsafeBufferPointer { bytes in
            // From the last to the first, so that each chain is in the order in which they came.
            for number in records.indices.reversed() where !records[number].type.isAddress {
                let value = bytes[records[number].value]
                let type = records[number].type
                let before = values.insert(UInt32(number), type, value) { other in
                    records[Int(other)].type == type && equal(bytes[records[Int(other)].value], value)
                }
                records[number].next = before ?? .max
            }
        }
        self.records = records
        self.text = text
        self.contexts = contexts
        self.values = values
        self.counts = counts
        v4 = PrefixTable(prefixes4)
        v6 = PrefixTable(prefixes6)
    }

    /// All values.
    public var count: Int { records.count }

    /// What it keeps in memory, but for the false-positive lists.
    public var bytes: Int {
        text.capacity + records.capacity * MemoryLayout<Record>.stride + values.bytes + v4.bytes + v6.bytes
    }
}

extension IndicatorSet {
    /// Calls `body` with the number of each indicator that names the observable, the most specific first, until it returns
    /// false. One value's indicators come in the order in which they were loaded.
    func forEach(naming observable: Observable, _ body: (_ number: UInt32) -> Bool) {
        switch observable {
        case .address(.v4(let address, _)): v4.forEach(covering: address, body)
        case .address(.v6(let address, _)): v6.forEach(covering: address, body)
        case .text(.domain, let name):
            var name = name
            // As long as there are two labels.
            while let dot = name.firstIndex(of: UInt8(ascii: ".")) {
                guard forEach(of: .domain, equalTo: name, body) else { return }
                name = UnsafeBufferPointer(rebasing: name[(dot + 1)...])
            }
        case .text(.url, let url):
            guard forEach(of: .url, equalTo: url, body), let slash = url.firstIndex(of: UInt8(ascii: "/")) else { return }
            // An indicator may leave the scheme open.
            if slash > 0 { _ = forEach(of: .url, equalTo: UnsafeBufferPointer(rebasing: url[slash...]), body) }
        case .text(let type, let value): _ = forEach(of: type, equalTo: value, body)
        }
    }

    private func forEach(
        of type: IndicatorType, equalTo value: UnsafeBufferPointer<UInt8>, _ body: (_ number: UInt32) -> Bool
    ) -> Bool {
        guard counts[type] != nil else { return true }
        return text.withUnsafeBufferPointer { text in
            records.withUnsafeBufferPointer { records in
                var next = values.find(type, value) { number in
                    records[Int(number)].type == type && equal(text[records[Int(number)].value], value)
                }
                while let number = next {
                    guard body(number) else { return false }
                    next = records[Int(number)].next == .max ? nil : records[Int(number)].next
                }
                return true
            }
        }
    }

    /// The name of the false-positive list that has what was observed, or the value of the indicator that names it: of a network
    /// only what was observed counts.
    func falsePositiveList(of indicator: Indicator, observed: String) -> String? {
        if let list = falsePositives.list(of: observed, type: indicator.type) { return list }
        return indicator.type.isAddress || observed == indicator.value
            ? nil : falsePositives.list(of: indicator.value, type: indicator.type)
    }

    /// As it was loaded.
    func indicator(_ number: UInt32) -> Indicator {
        let record = records[Int(number)]
        let context = contexts[Int(record.context)]
        return Indicator(
            id: string(record.id), name: string(record.name), type: record.type, value: string(record.value),
            source: context.source, confidence: record.confidence == .max ? nil : record.confidence, labels: context.labels,
            validFrom: record.validFrom, validUntil: record.validUntil == .max ? nil : record.validUntil)
    }

    private func string(_ slice: Slice) -> String {
        String(decoding: text[Int(slice.start)..<Int(slice.start + slice.count)], as: UTF8.self)
    }
}

/// Numbers by type and value: open addressing, at most half full. The values themselves are the caller's.
private struct ValueTable: Sendable {
    private var slots: [UInt32]
    private static let none = UInt32.max

    init(count: Int) {
        var capacity = 16
        while capacity < 2 * count { capacity *= 2 }
        slots = Array(repeating: Self.none, count: capacity)
    }

    var bytes: Int { slots.capacity * MemoryLayout<UInt32>.stride }

    /// Puts `number` in the place of the one with the same value, which is returned.
    mutating func insert(
        _ number: UInt32, _ type: IndicatorType, _ value: UnsafeBufferPointer<UInt8>, isSame: (UInt32) -> Bool
    ) -> UInt32? {
        let place = place(type, value, isSame)
        let before = slots[place]
        slots[place] = number
        return before == Self.none ? nil : before
    }

    func find(_ type: IndicatorType, _ value: UnsafeBufferPointer<UInt8>, isSame: (UInt32) -> Bool) -> UInt32? {
        let number = slots[place(type, value, isSame)]
        return number == Self.none ? nil : number
    }

    /// Where the value is, or where it would be.
    @inline(__always)
    private func place(_ type: IndicatorType, _ value: UnsafeBufferPointer<UInt8>, _ isSame: (UInt32) -> Bool) -> Int {
        // Keyed anew by each process, so that nobody can make values that collide.
        var hasher = Hasher()
        hasher.combine(type.rawValue)
        hasher.combine(bytes: UnsafeRawBufferPointer(value))
        let mask = slots.count - 1
        var place = hasher.finalize() & mask
        while slots[place] != Self.none, !isSame(slots[place]) { place = (place + 1) & mask }
        return place
    }
}

extension UnsafeBufferPointer<UInt8> {
    fileprivate subscript(slice: IndicatorSet.Slice) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(rebasing: self[Int(slice.start)..<Int(slice.start + slice.count)])
    }
}

private func equal(_ a: UnsafeBufferPointer<UInt8>, _ b: UnsafeBufferPointer<UInt8>) -> Bool {
    guard a.count == b.count, let left = a.baseAddress, let right = b.baseAddress else { return a.count == b.count }
    return memcmp(left, right, a.count) == 0
}
