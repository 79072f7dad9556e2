/// The terms of a text, in its order: what the classifier learns by and the index finds by.
///
/// Words are folded to lower case and lose the endings of English plurals and verbs (step 1 of Porter's stemmer, "An algorithm
/// for suffix stripping", 1980), so that `Failed`, `failing` and `fails` are one term. A name that is put together
/// (`NullPointerException`, `node_load_15`, `org.eclipse.jdt`, `read-only`) gives its parts and then itself. Function words
/// are left out, but for those that say which way: `not`, `down`, `above`.
///
/// Bytes that are not ASCII count as letters and are compared as they are. Everything is bounded; no bytes are an error. A text
/// costs time in proportion to its length. Reading again reuses the memory. Not for use by several threads at once.
public struct TextTerms: Sendable {
    /// Of a text; what is beyond is not looked at.
    public static let bytesMax = 65_536
    /// Of a text; further ones are not looked at.
    public static let termsMax = 8192
    /// Of a word or name that are compared; two that differ only beyond are one term.
    public static let termBytesMax = 64

    public enum Kind: UInt8, Sendable {
        case word
        /// A name that is put together; its parts stand before it.
        case compound
        /// Decimal digits. One of more than five digits is the same term as any other such.
        case number
        /// Digits among letters beyond what names have: hashes, addresses, identifiers. All are the same term.
        case identifier
    }

    public struct Term: Sendable, Hashable {
        /// The term itself; the same in every process and release.
        public var hash: UInt64
        public var kind: Kind
        /// Where it stands in the text, in bytes.
        public var range: Range<Int>
    }

    public private(set) var terms: [Term] = []
    private var word: [UInt8] = []

    public init() { word.reserveCapacity(Self.termBytesMax) }

    public init(_ text: String) {
        self.init()
        read(text)
    }

    /// Replaces the terms by those of `text`.
    public mutating func read(_ text: String) { read(text.utf8.span) }

    /// Replaces the terms by those of `text`, which is taken as UTF-8.
    public mutating func read(_ text: Span<UInt8>) {
        terms.removeAll(keepingCapacity: true)
        let end = min(text.count, Self.bytesMax)
        var index = 0
        while index < end, terms.count < Self.termsMax {
            if Class(text[index]).isWord {
                index = readName(text, index, end)
            } else {
                index += 1
            }
        }
    }

    // -- names and their parts --------------------------------------------------------------------------------------

    private enum Class {
        case lower, upper, digit, joint, apostrophe, other

        init(_ byte: UInt8) {
            switch byte {
            case 0x61...0x7A, 0x80...: self = .lower
            case 0x41...0x5A: self = .upper
            case 0x30...0x39: self = .digit
            case UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"): self = .joint
            case UInt8(ascii: "'"): self = .apostrophe
            default: self = .other
            }
        }

        var isWord: Bool {
            switch self {
            case .lower, .upper, .digit: true
            case .joint, .apostrophe, .other: false
            }
        }
    }

    /// Reads what stands together and returns where it ends.
    private mutating func readName(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
        let before = terms.count
        var partStart = start
        var partCount = 0
        var index = start + 1
        while index < end {
            let byte = Class(text[index])
            let isFollowed = index + 1 < end && Class(text[index + 1]).isWord
            if byte == .joint || byte == .apostrophe {
                guard isFollowed else { break }
                if byte == .joint {
                    addPart(text, partStart..<index)
                    partCount += 1
                    partStart = index + 1
                }
                index += 1
            } else if !byte.isWord {
                break
            } else if byte == .upper, index > partStart, startsPart(text, index, end) {
                addPart(text, partStart..<index)
                partCount += 1
                partStart = index
            }
            index += 1
        }
        addPart(text, partStart..<index)
        if partCount > 0 { addCompound(text, start..<index, before) }
        return index
    }

    /// Whether the capital at `index` begins a word: behind a small letter or digit, or before a small letter, as the second in
    /// `HTTPServer`.
    private func startsPart(_ text: Span<UInt8>, _ index: Int, _ end: Int) -> Bool {
        switch Class(text[index - 1]) {
        case .lower, .digit: true
        case .upper: index + 1 < end && Class(text[index + 1]) == .lower && text[index + 1] != UInt8(ascii: "s")
        case .joint, .apostrophe, .other: false
        }
    }

    private mutating func addPart(_ text: Span<UInt8>, _ range: Range<Int>) {
        guard terms.count < Self.termsMax else { return }
        var digits = 0
        var changes = 0
        var wasDigit = false
        word.removeAll(keepingCapacity: true)
        for index in range {
            let byte = text[index]
            guard byte != UInt8(ascii: "'") else { continue }
            let isDigit = byte >= 0x30 && byte <= 0x39
            digits += isDigit ? 1 : 0
            changes += isDigit != wasDigit ? 1 : 0
            wasDigit = isDigit
            if word.count < Self.termBytesMax { word.append(Self.folded(byte)) }
        }
        if digits == word.count || digits == range.count {
            let hash = word.count > 5 ? Self.longNumber : Self.hash(word)
            terms.append(Term(hash: hash, kind: .number, range: range))
        } else if digits > 0, changes > 3 || digits > 5 {
            terms.append(Term(hash: Self.identifier, kind: .identifier, range: range))
        } else {
            guard word.count > 1, !StopWords.contains(word) else { return }
            if digits == 0 { Stemmer.shorten(&word) }
            terms.append(Term(hash: Self.hash(word), kind: .word, range: range))
        }
    }

    private mutating func addCompound(_ text: Span<UInt8>, _ range: Range<Int>, _ before: Int) {
        // Versions and addresses are told by their parts.
        guard terms[before...].contains(where: { $0.kind == .word }), terms.count < Self.termsMax else { return }
        word.removeAll(keepingCapacity: true)
        for index in range.prefix(Self.termBytesMax) { word.append(Self.folded(text[index])) }
        terms.append(Term(hash: Self.hash(word), kind: .compound, range: range))
    }

    private static func folded(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte }

    // -- hashes -----------------------------------------------------------------------------------------------------

    private static let longNumber = hash(Array("<number>".utf8))
    private static let identifier = hash(Array("<identifier>".utf8))

    /// FNV-1a with 64 bits, and a last mixing, so that the low bits depend on all.
    static func hash(_ bytes: [UInt8], _ seed: UInt64 = 0xCBF2_9CE4_8422_2325) -> UInt64 {
        var hash = seed
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return mixed(hash)
    }

    /// The finalizer of MurmurHash3.
    static func mixed(_ value: UInt64) -> UInt64 {
        var hash = (value ^ value >> 33) &* 0xFF51_AFD7_ED55_8CCD
        hash = (hash ^ hash >> 33) &* 0xC4CE_B9FE_1A85_EC53
        return hash ^ hash >> 33
    }
}

/// English function words, but for those that tell a state or a direction.
enum StopWords {
    static func contains(_ word: [UInt8]) -> Bool { word.count <= 8 && packed.contains(pack(word)) }

    private static let packed = Set(
        """
        a about after again all also am an and any are as at be because been before being both but by can cant could did do does
        doing done during each etc few for from further get gets getting got had has have having he her here hers him his how i
        if in into is it its itself just let like may me might more most much must my of on once or other our ours own
        per please same shall she should since so some such than that the their them then there these they this those through to
        until upon us use used using very via was we were what when where which while who whom whose why will with within would
        you your yours
        """.split(whereSeparator: \.isWhitespace).filter { $0.utf8.count <= 8 }.map { pack(Array($0.utf8)) })

    private static func pack(_ word: [UInt8]) -> UInt64 { word.reduce(0) { $0 << 8 | UInt64($1) } }
}

/// Step 1 of Porter's stemmer, which also drops a last `e`, so that none has to be put back.
enum Stemmer {
    static func shorten(_ word: inout [UInt8]) {
        guard word.count > 3 else { return }
        dropPlural(&word)
        dropVerb(&word)
        if word.count > 4, word.last == UInt8(ascii: "e") { word.removeLast() }
        if word.count > 2, word.last == UInt8(ascii: "y"), hasVowel(word, word.count - 1) {
            word[word.count - 1] = UInt8(ascii: "i")
        }
    }

    private static func dropPlural(_ word: inout [UInt8]) {
        guard word.last == UInt8(ascii: "s") else { return }
        if ends(word, "sses") || ends(word, "ies") {
            word.removeLast(2)
        } else if !ends(word, "ss"), !ends(word, "us"), !ends(word, "is") {
            word.removeLast()
        }
    }

    private static func dropVerb(_ word: inout [UInt8]) {
        guard !ends(word, "eed") else { return }
        let ending = ends(word, "ed") ? 2 : ends(word, "ing") ? 3 : 0
        guard ending > 0, hasVowel(word, word.count - ending) else { return }
        word.removeLast(ending)
        if word.count > 2, let last = word.last, word[word.count - 2] == last, !isVowel(last), last != UInt8(ascii: "l"),
            last != UInt8(ascii: "s"), last != UInt8(ascii: "z")
        {
            word.removeLast()
        }
    }

    private static func ends(_ word: [UInt8], _ ending: StaticString) -> Bool {
        let count = ending.utf8CodeUnitCount
        guard word.count > count else { return false }
        return ending.withUTF8Buffer { ending in
            for index in 0..<count where word[word.count - count + index] != ending[index] { return false }
            return true
        }
    }

    private static func hasVowel(_ word: [UInt8], _ count: Int) -> Bool { word[..<count].contains { isVowel($0) } }

    private static func isVowel(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a"), UInt8(ascii: "e"), UInt8(ascii: "i"), UInt8(ascii: "o"), UInt8(ascii: "u"), UInt8(ascii: "y"):
            true
        default: false
        }
    }
}
