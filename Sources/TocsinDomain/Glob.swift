/// A text with a mark for any text, also none, and perhaps one for a single character: `*` and `?` unless others are given. The
/// whole text must match; case matters. Time is at most the product of the lengths.
package struct Glob: Sendable, Equatable {
    package let source: String
    private let pattern: [UInt8]
    private let any: UInt8
    /// Nil: there is none.
    private let one: UInt8?
    private let isLiteral: Bool

    /// `any` and `one` are ASCII.
    package init(_ source: String, any: Unicode.Scalar = "*", one: Unicode.Scalar? = "?") {
        self.source = source
        self.any = UInt8(ascii: any)
        self.one = one.map { UInt8(ascii: $0) }
        pattern = Array(source.utf8)
        isLiteral = !source.unicodeScalars.contains { $0 == any || $0 == one }
    }

    package func matches(_ text: String) -> Bool {
        if isLiteral { return text == source }
        var work = Int.max
        return matches(text, work: &work)
    }

    /// The same where time is bounded: each step takes one of `work`; no match when none is left.
    package func matches(_ text: String, work: inout Int) -> Bool {
        var text = text
        return text.withUTF8 { matches($0, &work) }
    }

    private func matches(_ text: UnsafeBufferPointer<UInt8>, _ work: inout Int) -> Bool {
        var position = 0
        var read = 0
        // Where to go on when what follows the last `any` fails: that takes one byte more.
        var star: (position: Int, read: Int)?
        while read < text.count {
            guard work > 0 else { return false }
            work -= 1
            if position < pattern.count, pattern[position] == any {
                star = (position, read)
                position += 1
            } else if position < pattern.count, pattern[position] == one {
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
        return pattern[position...].allSatisfy { $0 == any }
    }
}
