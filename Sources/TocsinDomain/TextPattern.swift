/// A regular expression that is searched for in time linear in the text, whatever the expression: summaries come from
/// outside, and nobody may stop triage with a line made for a backtracking matcher.
///
/// The syntax is the part of Swift's and Perl's that allows it: literals, `.`, `[a-z]`, `[^a-z]`, `\d \w \s \D \W \S`, `\b \B`,
/// `^` and `$` (start and end of the text), `( )`, `(?: )`, `(?<name> )`, `|`, `* + ? {n} {n,} {n,m}` (also lazy), and `(?i)` at the
/// start for ASCII letters of either case. No back-references and no lookaround.
///
/// It is a deterministic automaton built as texts need it: at most `statesMax` states, then it begins anew. Hence `matches`
/// is mutating; a copy costs no more than an array copied on write.
public struct TextPattern: Sendable {
    /// The expression as written.
    public let source: String

    private let program: [Instruction]
    private let entry: Int
    private let alphabet: Alphabet
    private var states: [StateKey] = []
    private var indexOfState: [StateKey: Int32] = [:]
    /// Row for each state, column for each class of bytes, and a last column for the end of the text.
    private var transitions: [Int32] = []

    private static let statesMax = 512
    private static let unknown: Int32 = -1
    private static let matched: Int32 = -2

    /// What is wrong with an expression.
    public struct Problem: Error, Sendable, Equatable, CustomStringConvertible {
        /// Where, counted in bytes from 0.
        public var offset: Int
        /// What is wrong and what to do.
        public var message: String
        public var description: String { "at byte \(offset): \(message)" }
    }

    /// Throws `Problem` for a wrong expression.
    public init(_ source: String) throws(Problem) {
        var parser = PatternParser(source)
        try self.init(source: source, node: parser.parse())
    }

    /// Finds any one of the texts, as they are.
    public init(anyOf texts: [String]) throws(Problem) {
        let node = PatternNode.alternatives(texts.map { .sequence($0.utf8.map { .bytes(ByteSet($0)) }) })
        try self.init(source: texts.joined(separator: "|"), node: node)
    }

    private init(source: String, node: PatternNode) throws(Problem) {
        self.source = source
        var compiler = PatternCompiler()
        entry = try compiler.compile(node)
        program = compiler.program
        alphabet = Alphabet(program)
        reset()
    }

    /// Whether the pattern is found anywhere in the text.
    public mutating func matches(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { matches($0) }
    }

    private mutating func matches(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        var state: Int32 = 0
        for byte in bytes {
            state = next(state, Int(alphabet.classOf[Int(byte)]))
            if state == Self.matched { return true }
        }
        return next(state, alphabet.count) == Self.matched
    }

    private mutating func next(_ state: Int32, _ symbol: Int) -> Int32 {
        let known = transitions[Int(state) * (alphabet.count + 1) + symbol]
        return known == Self.unknown ? build(state, symbol) : known
    }

    /// State 0 is the start of a text.
    private mutating func reset() {
        states.removeAll(keepingCapacity: true)
        indexOfState.removeAll(keepingCapacity: true)
        transitions.removeAll(keepingCapacity: true)
        _ = index(of: StateKey(items: [], afterWord: false, atStart: true))
    }

    private mutating func index(of key: StateKey) -> Int32 {
        if let index = indexOfState[key] { return index }
        let index = Int32(states.count)
        states.append(key)
        indexOfState[key] = index
        transitions.append(contentsOf: repeatElement(Self.unknown, count: alphabet.count + 1))
        return index
    }

    /// One transition of the automaton: assertions are decided here, where the bytes before and after are both known.
    private mutating func build(_ state: Int32, _ symbol: Int) -> Int32 {
        let key = states[Int(state)]
        let byte: UInt8? = symbol < alphabet.count ? alphabet.representative[symbol] : nil
        let beforeWord = byte.map { ByteSet.word.contains($0) } ?? false
        var visited = [Bool](repeating: false, count: program.count)
        // A match may begin at every byte.
        var pending = key.items + [Int32(entry)]
        var targets: Set<Int32> = []
        var isMatch = false
        while let item = pending.popLast() {
            guard !visited[Int(item)] else { continue }
            visited[Int(item)] = true
            switch program[Int(item)] {
            case .match: isMatch = true
            case .split(let a, let b): pending += [Int32(a), Int32(b)]
            case .bytes(let set, let target):
                if let byte, set.contains(byte) { targets.insert(Int32(target)) }
            case .assert(let assertion, let target):
                let holds =
                    switch assertion {
                    case .textStart: key.atStart
                    case .textEnd: byte == nil
                    case .wordBoundary: key.afterWord != beforeWord
                    case .noWordBoundary: key.afterWord == beforeWord
                    }
                if holds { pending.append(Int32(target)) }
            }
        }
        if isMatch || byte == nil {
            // After the end nothing follows; state 0 only says "not matched".
            let outcome = isMatch ? Self.matched : 0
            transitions[Int(state) * (alphabet.count + 1) + symbol] = outcome
            return outcome
        }
        let target = StateKey(items: targets.sorted(), afterWord: beforeWord, atStart: false)
        if indexOfState[target] == nil, states.count >= Self.statesMax {
            reset()
            return index(of: target)
        }
        let next = index(of: target)
        transitions[Int(state) * (alphabet.count + 1) + symbol] = next
        return next
    }

    private struct StateKey: Hashable, Sendable {
        var items: [Int32]
        /// The byte before belongs to a word.
        var afterWord: Bool
        var atStart: Bool
    }
}

/// Bytes that no part of a program tells apart share one column of the transition table.
private struct Alphabet: Sendable {
    var classOf: [UInt8]
    var representative: [UInt8]
    var count: Int { representative.count }

    init(_ program: [Instruction]) {
        var sets: Set<ByteSet> = [.word]
        for case .bytes(let set, _) in program { sets.insert(set) }
        let ordered = Array(sets)
        var classes: [[Bool]: UInt8] = [:]
        classOf = []
        representative = []
        for byte in UInt8.min...UInt8.max {
            let signature = ordered.map { $0.contains(byte) }
            if let known = classes[signature] {
                classOf.append(known)
            } else {
                // At most 256 classes, so the number fits.
                let new = UInt8(representative.count)
                classes[signature] = new
                classOf.append(new)
                representative.append(byte)
            }
        }
    }
}
