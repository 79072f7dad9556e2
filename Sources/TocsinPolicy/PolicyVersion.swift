import Crypto
import TocsinCalendar
import TocsinWire

extension Policy {
    /// Tells policies apart: what means the same has the same one, however it was written. 12 hexadecimal digits of a SHA-256.
    public var version: String {
        var encoder = MeaningEncoder()
        encoder.add(self)
        return SHA256.hash(data: encoder.bytes).prefix(6).hexadecimal
    }
}

/// Writes a value with all that is in it, so that no field can be forgotten: names and values, each with its length, tables and sets
/// in an order of their own.
private struct MeaningEncoder {
    private(set) var bytes: [UInt8] = []

    mutating func add(_ value: Any) {
        let mirror = Mirror(reflecting: value)
        switch mirror.displayStyle {
        // Those say all of themselves: of a zone the name, because what its clocks showed long ago does not matter; of a model its
        // version.
        case _ where value is RecurringWindow || value is EventClassifier,
            _ where mirror.children.isEmpty && mirror.displayStyle != .collection:
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
