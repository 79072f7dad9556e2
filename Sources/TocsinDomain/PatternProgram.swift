/// A set of byte values.
struct ByteSet: Hashable, Sendable {
    private var low: UInt64 = 0
    private var second: UInt64 = 0
    private var third: UInt64 = 0
    private var high: UInt64 = 0

    init() {}

    init(_ byte: UInt8) { insert(byte) }

    init(_ range: ClosedRange<UInt8>) {
        for byte in range { insert(byte) }
    }

    init(_ text: StaticString) {
        text.withUTF8Buffer { for byte in $0 { insert(byte) } }
    }

    func contains(_ byte: UInt8) -> Bool {
        let bit: UInt64 = 1 << UInt64(byte & 63)
        switch byte >> 6 {
        case 0: return low & bit != 0
        case 1: return second & bit != 0
        case 2: return third & bit != 0
        default: return high & bit != 0
        }
    }

    mutating func insert(_ byte: UInt8) {
        let bit: UInt64 = 1 << UInt64(byte & 63)
        switch byte >> 6 {
        case 0: low |= bit
        case 1: second |= bit
        case 2: third |= bit
        default: high |= bit
        }
    }

    mutating func formUnion(_ other: ByteSet) {
        low |= other.low
        second |= other.second
        third |= other.third
        high |= other.high
    }

    func union(_ other: ByteSet) -> ByteSet {
        var result = self
        result.formUnion(other)
        return result
    }

    /// The ASCII bytes that are not in the set.
    var asciiComplement: ByteSet {
        var result = ByteSet()
        result.low = ~low
        result.second = ~second
        return result
    }

    /// With the other case of each ASCII letter.
    var caseFolded: ByteSet {
        var result = self
        for byte in UInt8(ascii: "A")...UInt8(ascii: "Z") {
            if contains(byte) { result.insert(byte | 0x20) }
            if contains(byte | 0x20) { result.insert(byte) }
        }
        return result
    }

    static let digit = ByteSet(UInt8(ascii: "0")...UInt8(ascii: "9"))
    static let space = ByteSet(" \t\n\r\u{0B}\u{0C}")
    static let word = digit.union(ByteSet(UInt8(ascii: "a")...UInt8(ascii: "z")))
        .union(ByteSet(UInt8(ascii: "A")...UInt8(ascii: "Z"))).union(ByteSet(UInt8(ascii: "_")))
}

/// A parsed expression.
indirect enum PatternNode {
    case bytes(ByteSet)
    case assert(Assertion)
    case sequence([PatternNode])
    case alternatives([PatternNode])
    /// `max` nil: without limit.
    case repeated(PatternNode, min: Int, max: Int?)

    /// One character of valid UTF-8: an ASCII byte of the set, or, where `beyondASCII`, any longer sequence.
    static func character(_ ascii: ByteSet, beyondASCII: Bool) -> PatternNode {
        guard beyondASCII else { return .bytes(ascii) }
        let tail = PatternNode.bytes(ByteSet(0x80...0xBF))
        return .alternatives([
            .bytes(ascii),
            .sequence([.bytes(ByteSet(0xC2...0xDF)), tail]),
            .sequence([.bytes(ByteSet(0xE0...0xEF)), tail, tail]),
            .sequence([.bytes(ByteSet(0xF0...0xF4)), tail, tail, tail]),
        ])
    }
}

enum Assertion: Sendable {
    case textStart, textEnd, wordBoundary, noWordBoundary
}

/// One instruction of the non-deterministic automaton (Thompson's construction).
enum Instruction: Sendable {
    case match
    case bytes(ByteSet, next: Int)
    case split(Int, Int)
    case assert(Assertion, next: Int)
}

/// Turns an expression into a program, from its end to its start, so that every target exists already.
struct PatternCompiler {
    private(set) var program: [Instruction] = [.match]
    /// Bounds the memory of a program and the cost of one step.
    private static let instructionsMax = 4000

    /// Returns the entry.
    mutating func compile(_ node: PatternNode) throws(TextPattern.Problem) -> Int { try emit(node, next: 0) }

    private mutating func append(_ instruction: Instruction) throws(TextPattern.Problem) -> Int {
        guard program.count < Self.instructionsMax else {
            throw TextPattern.Problem(
                offset: 0,
                message: "the expression is too large once its repetitions are written out; use smaller counts")
        }
        program.append(instruction)
        return program.count - 1
    }

    private mutating func emit(_ node: PatternNode, next: Int) throws(TextPattern.Problem) -> Int {
        switch node {
        case .bytes(let set): return try append(.bytes(set, next: next))
        case .assert(let assertion): return try append(.assert(assertion, next: next))
        case .sequence(let parts):
            var entry = next
            for part in parts.reversed() { entry = try emit(part, next: entry) }
            return entry
        case .alternatives(let parts):
            var entry: Int?
            for part in parts.reversed() {
                let branch = try emit(part, next: next)
                if let other = entry { entry = try append(.split(branch, other)) } else { entry = branch }
            }
            return entry ?? next
        case .repeated(let part, let min, let max):
            var entry = next
            if let max {
                for _ in 0..<(max - min) {
                    let body = try emit(part, next: entry)
                    entry = try append(.split(body, next))
                }
            } else {
                let loop = try append(.split(next, next))
                program[loop] = .split(try emit(part, next: loop), next)
                entry = loop
            }
            for _ in 0..<min { entry = try emit(part, next: entry) }
            return entry
        }
    }
}
