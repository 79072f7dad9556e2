import Crypto
import TocsinCalendar

extension Policy {
    /// Tells policies apart: what means the same has the same one, however it was written. 12 hexadecimal digits of a SHA-256.
    public var version: String {
        var encoder = MeaningEncoder()
        encoder.add(self)
        let digits = Array("0123456789abcdef".utf8)
        let digest = SHA256.hash(data: encoder.bytes).prefix(6)
        return String(decoding: digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

/// Writes a value with all that is in it, so that no field can be forgotten: names and values, each with its length, tables and sets
/// in an order of their own.
private struct MeaningEncoder {
    private(set) var bytes: [UInt8] = []

    mutating func add(_ value: Any) {
        let mirror = Mirror(reflecting: value)
        switch mirror.displayStyle {
        // A window says all of itself, and of its zone the name: what the zone's clocks showed long ago does not matter.
        case _ where value is RecurringWindow || mirror.children.isEmpty && mirror.displayStyle != .collection:
            add(text: "\(value)")
        case .dictionary, .set: unordered(mirror)
        default:
            add(text: "\(mirror.children.count)")
            for child in mirror.children {
                add(text: child.label ?? "")
                add(child.value)
            }
        }
    }

    private mutating func unordered(_ mirror: Mirror) {
        let elements = mirror.children.map { child in
            var encoder = MeaningEncoder()
            encoder.add(child.value)
            return encoder.bytes
        }
        add(text: "\(elements.count)")
        for element in elements.sorted(by: { $0.lexicographicallyPrecedes($1) }) { bytes += element }
    }

    private mutating func add(text: String) {
        bytes += Array("\(text.utf8.count):\(text)".utf8)
    }
}
