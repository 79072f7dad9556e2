/// A text with `*` (any text, also none) and `?` (one character). The whole text must match; case matters. Time is at most
/// the product of the lengths.
struct Glob: Sendable {
    let source: String
    private let pattern: [UInt8]
    private let isLiteral: Bool

    init(_ source: String) {
        self.source = source
        pattern = Array(source.utf8)
        isLiteral = !pattern.contains(UInt8(ascii: "*")) && !pattern.contains(UInt8(ascii: "?"))
    }

    func matches(_ text: String) -> Bool {
        if isLiteral { return text == source }
        var text = text
        return text.withUTF8 { matches($0) }
    }

    private func matches(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        var position = 0
        var read = 0
        // Where to go on when what follows the last `*` fails: the `*` takes one byte more.
        var star: (position: Int, read: Int)?
        while read < text.count {
            if position < pattern.count, pattern[position] == UInt8(ascii: "*") {
                star = (position, read)
                position += 1
            } else if position < pattern.count, pattern[position] == UInt8(ascii: "?") {
                position += 1
                read += 1
                while read < text.count, text[read] & 0xC0 == 0x80 { read += 1 }
            } else if position < pattern.count, pattern[position] == text[read] {
                position += 1
                read += 1
            } else if let last = star {
                star = (last.position, last.read + 1)
                position = last.position + 1
                read = last.read + 1
            } else {
                return false
            }
        }
        return pattern[position...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
