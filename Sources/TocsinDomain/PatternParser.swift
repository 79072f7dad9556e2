/// Reads the syntax of `TextPattern`. Recursion is bounded by `depthMax`.
struct PatternParser {
    private let bytes: [UInt8]
    private var offset = 0
    private var depth = 0
    private var ignoresCase = false

    private static let depthMax = 50
    private static let countMax = 500
    private static let anyASCII = ByteSet("\n").asciiComplement

    init(_ source: String) { bytes = Array(source.utf8) }

    mutating func parse() throws(TextPattern.Problem) -> PatternNode {
        if bytes.starts(with: Array("(?i)".utf8)) {
            ignoresCase = true
            offset = 4
        }
        let node = try alternatives()
        if offset < bytes.count { throw problem("this \")\" closes no group; write \"\\)\" for the character") }
        return node
    }

    private var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private func problem(_ message: String, at position: Int? = nil) -> TextPattern.Problem {
        TextPattern.Problem(offset: position ?? offset, message: message)
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard let byte = current, byte == UInt8(ascii: character) else { return false }
        offset += 1
        return true
    }

    private mutating func alternatives() throws(TextPattern.Problem) -> PatternNode {
        var branches = [try sequence()]
        while take("|") { branches.append(try sequence()) }
        return branches.count == 1 ? branches[0] : .alternatives(branches)
    }

    private mutating func sequence() throws(TextPattern.Problem) -> PatternNode {
        var parts: [PatternNode] = []
        while let byte = current, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
            parts.append(try repetition(of: try atom()))
        }
        return .sequence(parts)
    }

    private mutating func repetition(of node: PatternNode) throws(TextPattern.Problem) -> PatternNode {
        let start = offset
        let result: PatternNode
        if take("*") {
            result = .repeated(node, min: 0, max: nil)
        } else if take("+") {
            result = .repeated(node, min: 1, max: nil)
        } else if take("?") {
            result = .repeated(node, min: 0, max: 1)
        } else if take("{") {
            guard let min = number() else {
                throw problem("a count is missing; write \"\\{\" for the character", at: start)
            }
            var max: Int? = min
            if take(",") { max = number() }
            guard take("}") else { throw problem("this count is not closed by \"}\"", at: start) }
            guard min <= max ?? min, min <= Self.countMax, max ?? 0 <= Self.countMax else {
                throw problem("counts go from small to large, up to \(Self.countMax)", at: start)
            }
            result = .repeated(node, min: min, max: max)
        } else {
            return node
        }
        // Lazy or not makes no difference to whether something is found.
        _ = take("?")
        if let byte = current, [UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "{")].contains(byte) {
            throw problem("a repetition cannot be repeated; put a group around it")
        }
        return result
    }

    private mutating func number() -> Int? {
        var value: Int?
        while let byte = current, ByteSet.digit.contains(byte) {
            // Anything above the limit is refused, so it need not be counted exactly.
            value = min((value ?? 0) * 10 + Int(byte - UInt8(ascii: "0")), 1_000_000)
            offset += 1
        }
        return value
    }

    private mutating func atom() throws(TextPattern.Problem) -> PatternNode {
        let start = offset
        guard let byte = current else { return .sequence([]) }
        offset += 1
        switch byte {
        case UInt8(ascii: "."): return .character(Self.anyASCII, beyondASCII: true)
        case UInt8(ascii: "^"): return .assert(.textStart)
        case UInt8(ascii: "$"): return .assert(.textEnd)
        case UInt8(ascii: "("): return try group(from: start)
        case UInt8(ascii: "["): return try characterClass(from: start)
        case UInt8(ascii: "\\"):
            if take("b") { return .assert(.wordBoundary) }
            if take("B") { return .assert(.noWordBoundary) }
            let (set, beyondASCII) = try escape()
            return .character(set, beyondASCII: beyondASCII)
        case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"), UInt8(ascii: "{"):
            throw problem("there is nothing to repeat here; put \"\\\" before the character to mean itself", at: start)
        case 0x80...:
            // The bytes of one character stay together, so that a repetition after it is of all of them.
            var parts = [PatternNode.bytes(ByteSet(byte))]
            while let next = current, next & 0xC0 == 0x80 {
                parts.append(.bytes(ByteSet(next)))
                offset += 1
            }
            return .sequence(parts)
        default: return .bytes(folded(ByteSet(byte)))
        }
    }

    private mutating func group(from start: Int) throws(TextPattern.Problem) -> PatternNode {
        if take("?") {
            let isName = take("<") && current != UInt8(ascii: "=") && current != UInt8(ascii: "!")
            if isName {
                while let byte = current, ByteSet.word.contains(byte) { offset += 1 }
                guard take(">") else { throw problem("this group's name is not closed by \">\"", at: start) }
            } else if !take(":") {
                throw problem(
                    "of the groups that begin with \"(?\" only \"(?:\" and \"(?<name>\" are understood, and \"(?i)\" at the start; lookaround is not",
                    at: start)
            }
        }
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthMax else {
            throw problem("groups are nested more than \(Self.depthMax) deep", at: start)
        }
        let node = try alternatives()
        guard take(")") else { throw problem("this group is not closed by \")\"", at: start) }
        return node
    }

    private mutating func characterClass(from start: Int) throws(TextPattern.Problem) -> PatternNode {
        let isNegated = take("^")
        var set = ByteSet()
        var beyondASCII = false
        var isFirst = true
        while isFirst || current != UInt8(ascii: "]") {
            guard let byte = current else { throw problem("this \"[\" is not closed by \"]\"", at: start) }
            isFirst = false
            guard let low = try classMember(byte, into: &set, &beyondASCII) else { continue }
            let rangeFollows =
                current == UInt8(ascii: "-") && offset + 1 < bytes.count && bytes[offset + 1] != UInt8(ascii: "]")
            guard rangeFollows else {
                set.insert(low)
                continue
            }
            offset += 1
            let highOffset = offset
            guard let high = try classMember(bytes[offset], into: &set, &beyondASCII), low <= high else {
                throw problem("a range goes from a smaller to a larger character", at: highOffset)
            }
            set.formUnion(ByteSet(low...high))
        }
        offset += 1
        set = folded(set)
        return isNegated
            ? .character(set.asciiComplement, beyondASCII: !beyondASCII) : .character(set, beyondASCII: beyondASCII)
    }

    /// One member of a class: its byte if it may begin or end a range, nil if it was a set, which is then in `set`.
    private mutating func classMember(
        _ byte: UInt8, into set: inout ByteSet, _ beyondASCII: inout Bool
    ) throws(TextPattern.Problem) -> UInt8? {
        guard byte < 0x80 else {
            throw problem("only ASCII characters are understood between \"[\" and \"]\"; use alternatives, \"(?:ä|ö)\"")
        }
        offset += 1
        guard byte == UInt8(ascii: "\\") else { return byte }
        let isShorthand = current.map { ByteSet("dDwWsS").contains($0) } ?? false
        let (members, beyond) = try escape()
        if isShorthand {
            set.formUnion(members)
            beyondASCII = beyondASCII || beyond
            return nil
        }
        return (0..<0x80).first { members.contains($0) }
    }

    /// What follows a backslash: ASCII members, and whether characters beyond ASCII belong too.
    private mutating func escape() throws(TextPattern.Problem) -> (ByteSet, Bool) {
        guard let byte = current else { throw problem("the expression ends with \"\\\"") }
        offset += 1
        switch byte {
        case UInt8(ascii: "d"): return (.digit, false)
        case UInt8(ascii: "D"): return (ByteSet.digit.asciiComplement, true)
        case UInt8(ascii: "w"): return (.word, false)
        case UInt8(ascii: "W"): return (ByteSet.word.asciiComplement, true)
        case UInt8(ascii: "s"): return (.space, false)
        case UInt8(ascii: "S"): return (ByteSet.space.asciiComplement, true)
        case UInt8(ascii: "t"): return (ByteSet("\t"), false)
        case UInt8(ascii: "n"): return (ByteSet("\n"), false)
        case UInt8(ascii: "r"): return (ByteSet("\r"), false)
        default:
            guard byte < 0x80, !ByteSet.word.contains(byte) else {
                throw problem("this escape is not understood; see the list of those that are", at: offset - 2)
            }
            return (ByteSet(byte), false)
        }
    }

    private func folded(_ set: ByteSet) -> ByteSet { ignoresCase ? set.caseFolded : set }
}
