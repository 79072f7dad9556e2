import Crypto
import TocsinWire

/// Ids of events.
public enum EventID {
    /// The same for the same parts, and for no others: the first 128 bits, in hexadecimal digits, of a SHA-256 over the parts,
    /// each with its length before it.
    public static func of(_ parts: [String]) -> String {
        var bytes: [UInt8] = []
        for part in parts {
            withUnsafeBytes(of: UInt64(part.utf8.count).littleEndian) { bytes.append(contentsOf: $0) }
            bytes.append(contentsOf: part.utf8)
        }
        return SHA256.hash(data: bytes).prefix(16).hexadecimal
    }

    /// 128 random bits in hexadecimal digits.
    public static func random() -> String {
        var generator = SystemRandomNumberGenerator()
        let (high, low): (UInt64, UInt64) = (generator.next(), generator.next())
        return (0..<16).map { UInt8(truncatingIfNeeded: ($0 < 8 ? high : low) >> UInt64(8 * ($0 & 7))) }.hexadecimal
    }
}
