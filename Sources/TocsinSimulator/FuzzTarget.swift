/// What a fuzzer feeds with bytes: each takes any bytes at all, and promises something whatever they are. The same bytes always do
/// the same.
public enum FuzzTarget: String, CaseIterable, Sendable {
    /// Messages of hostile peers to a hub that has an honest one: nothing they send ends the hub, what it has written is a sound
    /// journal, and the honest peer is served during it and after.
    case wire
    /// The files of a journal: a hub starts with them or says why not, `journal verify` agrees with it, and what `journal repair`
    /// has mended a hub starts with.
    case folder
    /// Batches of a journal whose checksums fit, given to the hub's core at its start.
    case records

    /// - Throws: `Violation` if a promise was broken.
    public func run(_ input: UnsafeRawBufferPointer) throws(Violation) {
        do {
            switch self {
            case .wire: try WireFuzz.run(input)
            case .folder: try FolderFuzz.run(input)
            case .records: try RecordFuzz.run(input)
            }
        } catch let violation as Violation {
            throw violation
        } catch {
            throw Violation(rule: "errors", description: "\(self) ended with an error that is not its to end with: \(error)")
        }
    }

    /// Inputs to begin with: what well-behaved peers and hubs really write, by name. The corpus has them and what a fuzzer has made
    /// of them.
    ///
    /// - Throws: `Violation` if they cannot be made.
    public func seeds() throws(Violation) -> [(name: String, bytes: [UInt8])] {
        do {
            return switch self {
            case .wire: try WireFuzz.seeds()
            case .folder: try FolderFuzz.seeds()
            case .records: try RecordFuzz.seeds()
            }
        } catch {
            throw Violation(rule: "seeds", description: "\(error)")
        }
    }
}

/// Reads an input as a program: whatever is missing at its end is zeros.
struct FuzzReader {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { offset >= bytes.count }

    mutating func byte() -> UInt8 {
        guard offset < bytes.count else { return 0 }
        defer { offset += 1 }
        return bytes[offset]
    }

    /// Two bytes, the low one first.
    mutating func word() -> Int { Int(byte()) | Int(byte()) << 8 }

    /// A word, and so many bytes, or as many as there are.
    mutating func block() -> UnsafeRawBufferPointer {
        let count = min(word(), bytes.count - offset)
        defer { offset += count }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
    }
}

/// Writes such a program.
struct FuzzWriter {
    private(set) var bytes: [UInt8] = []

    mutating func byte(_ value: UInt8) { bytes.append(value) }
    mutating func word(_ value: Int) { bytes += [UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)] }
    mutating func block(_ content: some Collection<UInt8>) {
        word(min(content.count, 0xFFFF))
        bytes += content.prefix(0xFFFF)
    }
}
