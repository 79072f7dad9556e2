import TocsinWire

/// The identity of an alert as Prometheus and Alertmanager compute it.
public enum LabelSet {
    /// FNV-1a of 64 bits over the labels in the order of their names, each `name 0xFF value 0xFF`
    /// (prometheus/common, model/signature.go).
    public static func fingerprint(_ labels: [String: String]) -> UInt64 {
        var hash: UInt64 = 14_695_981_039_346_656_037
        func add(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 1_099_511_628_211 }
        for (name, value) in labels.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
            name.utf8.forEach(add)
            add(0xFF)
            value.utf8.forEach(add)
            add(0xFF)
        }
        return hash
    }

    /// Sixteen hexadecimal digits, as the API shows it.
    public static func text(_ fingerprint: UInt64) -> String {
        (0..<8).map { UInt8(truncatingIfNeeded: fingerprint >> UInt64(56 - 8 * $0)) }.hexadecimal
    }
}
