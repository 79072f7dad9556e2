/// A part of a message: a word, a delimiter, or a parameter, which is what surely varies.
struct Token: Equatable {
    /// `parameter`, `value`, the byte of a delimiter, or a hash of the word.
    var identity: UInt64
    /// Where it stands in the line, in bytes.
    var start: Int32
    var end: Int32
    /// A month or a day of the week.
    var isCalendar = false

    static let parameter: UInt64 = 0
    /// `true`, `null`, `root`: a value, if others stand in its place.
    static let value: UInt64 = 256
    /// Words are above it.
    static let wordsBegin: UInt64 = 512

    var isDelimiter: Bool { Self.isDelimiter(identity) }
    static func isDelimiter(_ identity: UInt64) -> Bool { identity > parameter && identity < value }
}

/// Divides a message into tokens. What is a parameter by its form becomes one at once: whatever has a digit (numbers, times,
/// addresses, ids), paths, URLs, mail addresses, a host with a port. Parameters with nothing but commas and the like between
/// them are one.
struct LineScanner {
    /// What is beyond is not looked at.
    static let tokensMax = 128
    static let bytesMax = 4096

    private(set) var tokens: [Token] = []
    /// Of all tokens' identities.
    private(set) var signature: UInt64 = 0
    /// Of the number of tokens and of the delimiters and their places: what the messages of a template have in common.
    private(set) var skeleton: UInt64 = 0

    private let classes: [UInt8]
    /// Classes of bytes, as bits. Delimiters have none.
    private static let lower: UInt8 = 1
    private static let upper: UInt8 = 2
    private static let digit: UInt8 = 4
    private static let slash: UInt8 = 8
    private static let dot: UInt8 = 16
    private static let mark: UInt8 = 32
    private static let notHexadecimal: UInt8 = 64
    private static let space: UInt8 = 128
    private static let alphanumeric = lower | upper | digit

    init() {
        classes = (0...255).map { byte in
            switch UInt8(byte) {
            case 0x30...0x39: Self.digit
            case 0x41...0x46: Self.upper
            case 0x47...0x5A: Self.upper | Self.notHexadecimal
            case 0x61...0x66: Self.lower
            case 0x67...0x7A, 0x80...: Self.lower | Self.notHexadecimal
            case UInt8(ascii: "/"), UInt8(ascii: "\\"): Self.slash | Self.notHexadecimal
            case UInt8(ascii: "."): Self.dot | Self.notHexadecimal
            case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "@"), UInt8(ascii: "$"), UInt8(ascii: "%"),
                UInt8(ascii: "~"):
                Self.mark | Self.notHexadecimal
            case 0...0x20, 0x7F: Self.space
            default: 0
            }
        }
    }

    /// Reads `line` from `start` on; `tokens`, `signature` and `skeleton` are about it then.
    mutating func scan(_ line: Span<UInt8>, from start: Int) {
        tokens.removeAll(keepingCapacity: true)
        let count = min(line.count, start + Self.bytesMax)
        var index = start
        while index < count, tokens.count < Self.tokensMax {
            let byteClass = classes[Int(line[index])]
            if byteClass & Self.space != 0 {
                index += 1
            } else if isWritten(line, index, count) {
                addParameter(index, index + 3, isClosed: true)
                index += 3
            } else if byteClass == 0 {
                addDelimiter(line[index], index)
                index += 1
            } else {
                index = scanWord(line, index, count)
            }
        }
        while tokens.last?.identity == UInt64(UInt8(ascii: ".")) { tokens.removeLast() }
        var all: UInt64 = 0x9E37_79B9_7F4A_7C15
        var shape = UInt64(tokens.count)
        for token in tokens {
            all = (all ^ token.identity) &* 0xFF51_AFD7_ED55_8CCD
            all ^= all >> 32
            shape = (shape ^ (token.isDelimiter ? token.identity : 0)) &* 0xC4CE_B9FE_1A85_EC53
            shape ^= shape >> 29
        }
        signature = all
        skeleton = shape
    }

    /// Whether a parameter is written there as templates have it: `<*>`.
    private func isWritten(_ line: Span<UInt8>, _ index: Int, _ count: Int) -> Bool {
        line[index] == UInt8(ascii: "<") && index + 2 < count && line[index + 1] == UInt8(ascii: "*")
            && line[index + 2] == UInt8(ascii: ">")
    }

    // MARK: Words

    /// Takes in the word that begins at `start`, with what belongs to it, and returns where to go on.
    private mutating func scanWord(_ line: Span<UInt8>, _ start: Int, _ count: Int) -> Int {
        var index = start
        var seen: UInt8 = 0
        var slashes = 0
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        while index < count {
            let byte = line[index]
            let byteClass = classes[Int(byte)]
            if byteClass == 0 || byteClass & Self.space != 0 { break }
            if byteClass & Self.dot != 0, index + 1 < count, line[index + 1] == byte { break }
            seen |= byteClass
            if byteClass & Self.slash != 0 { slashes += 1 }
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
            index += 1
        }
        if index == start {
            // A row of dots, as they lead the eye from a name to its value.
            while index < count, line[index] == line[start] { index += 1 }
            addDelimiter(line[start], start)
            return index
        }
        let end = index
        if seen & Self.alphanumeric == 0, slashes == 0 {
            addDelimiter(line[start], start)
            return end
        }
        if let end = parameterEnd(line, start, end, count, seen: seen, slashes: slashes) {
            let isClosed = end < count && (line[end] == UInt8(ascii: ">") || line[end] == UInt8(ascii: ":"))
            addParameter(start, end, isClosed: isClosed)
            return end
        }
        if seen & Self.dot != 0, line[end - 1] == UInt8(ascii: ".") {
            // A full stop is not of the word.
            hash = 0xCBF2_9CE4_8422_2325
            for at in start..<end - 1 { hash = (hash ^ UInt64(line[at])) &* 0x100_0000_01B3 }
            addWord(line, start, end - 1, hash)
        } else {
            addWord(line, start, end, hash)
        }
        return end
    }

    private mutating func addWord(_ line: Span<UInt8>, _ start: Int, _ end: Int, _ hash: UInt64) {
        if Words.isValue(line, start, end) {
            add(Token.value, start, end)
        } else if tokens.last?.identity == Token.parameter, Words.isUnit(line, start, end) {
            addParameter(start, end, isClosed: true)
        } else {
            let identity = hash ^ hash >> 29
            add(identity < Token.wordsBegin ? identity + Token.wordsBegin : identity, start, end)
            tokens[tokens.count - 1].isCalendar = Words.isCalendar(line, start, end)
        }
    }

    /// Where the parameter that begins at `start` ends; nil if the word from there to `end` is none.
    private func parameterEnd(
        _ line: Span<UInt8>, _ start: Int, _ end: Int, _ count: Int, seen: UInt8, slashes: Int
    ) -> Int? {
        let next = end < count ? line[end] : 0
        if next == UInt8(ascii: ":"), end + 1 < count {
            // `scheme://`, `C:\`, and a host with a port.
            let second = line[end + 1]
            if second == UInt8(ascii: "/"), end + 2 < count, line[end + 2] == second { return pathEnd(line, end, count) }
            if second == UInt8(ascii: "\\"), end - start == 1 { return pathEnd(line, end, count) }
            if seen & Self.dot != 0, classes[Int(second)] & Self.digit != 0 { return portEnd(line, end + 1, count) }
            if seen & Self.notHexadecimal == 0, end - start <= 4, let end = addressEnd(line, start, count) { return end }
        }
        if classes[Int(line[start])] & Self.slash != 0 { return pathEnd(line, end, count) }
        let isPath = slashes >= 2 || slashes == 1 && seen & (Self.mark | Self.dot) != 0
        return seen & Self.digit != 0 || isPath || seen & Self.mark != 0 && hasAt(line, start, end) ? end : nil
    }

    /// The end of a path or URL, of which something up to `start` was read.
    private func pathEnd(_ line: Span<UInt8>, _ start: Int, _ count: Int) -> Int {
        var index = start
        loop: while index < count {
            switch line[index] {
            case 0...0x20, UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: ","),
                UInt8(ascii: ";"), UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "["), UInt8(ascii: "]"),
                UInt8(ascii: "{"), UInt8(ascii: "}"), UInt8(ascii: "|"):
                break loop
            default: index += 1
            }
        }
        // A colon at the end is not of the path.
        return index > start && line[index - 1] == UInt8(ascii: ":") ? index - 1 : index
    }

    private func portEnd(_ line: Span<UInt8>, _ start: Int, _ count: Int) -> Int {
        var index = start
        while index < count, classes[Int(line[index])] & Self.digit != 0 { index += 1 }
        return index
    }

    /// The end of a hardware or IPv6 address: four or more groups of up to four hexadecimal digits.
    private func addressEnd(_ line: Span<UInt8>, _ start: Int, _ count: Int) -> Int? {
        var index = start
        var groups = 0
        var length = 0
        while index < count {
            let byteClass = classes[Int(line[index])]
            if line[index] == UInt8(ascii: ":") {
                groups += length > 0 ? 1 : 0
                length = 0
            } else if byteClass & Self.alphanumeric != 0, byteClass & Self.notHexadecimal == 0, length < 4 {
                length += 1
            } else {
                break
            }
            index += 1
        }
        if index < count, classes[Int(line[index])] & Self.alphanumeric != 0 { return nil }
        return groups + (length > 0 ? 1 : 0) >= 4 ? index : nil
    }

    private func hasAt(_ line: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
        guard end - start > 2 else { return false }
        return (start + 1..<end - 1).contains { line[$0] == UInt8(ascii: "@") }
    }

    // MARK: Tokens

    private mutating func add(_ identity: UInt64, _ start: Int, _ end: Int) {
        tokens.append(Token(identity: identity, start: Int32(start), end: Int32(end)))
    }

    private mutating func addDelimiter(_ byte: UInt8, _ index: Int) {
        if let last = tokens.last {
            // A row of the same is one.
            if last.identity == UInt64(byte) { return }
            // Nothing between brackets is a parameter left empty.
            if Int(last.end) == index, let opening = Self.opening(byte), last.identity == UInt64(opening) {
                add(Token.parameter, index, index)
            }
        }
        add(UInt64(byte), index, index + 1)
    }

    private static func opening(_ closing: UInt8) -> UInt8? {
        switch closing {
        case UInt8(ascii: ")"): UInt8(ascii: "(")
        case UInt8(ascii: "]"): UInt8(ascii: "[")
        case UInt8(ascii: "}"): UInt8(ascii: "{")
        default: nil
        }
    }

    /// - Parameter isClosed: what follows would close `<`, so that this is not a sign.
    private mutating func addParameter(_ start: Int, _ end: Int, isClosed: Bool) {
        guard let last = tokens.last else { return add(Token.parameter, start, end) }
        if last.identity == Token.parameter {
            tokens[tokens.count - 1].end = Int32(end)
        } else if last.isCalendar {
            // The month or day of a date.
            tokens.removeLast()
            addParameter(Int(last.start), end, isClosed: true)
        } else if last.isDelimiter, Self.joins(UInt8(last.identity)), tokens.count >= 2,
            tokens[tokens.count - 2].identity == Token.parameter
        {
            tokens.removeLast()
            tokens[tokens.count - 1].end = Int32(end)
        } else if Int(last.end) == start, last.isDelimiter, Self.isSign(UInt8(last.identity), isClosed: isClosed) {
            tokens.removeLast()
            addParameter(Int(last.start), end, isClosed: true)
        } else {
            add(Token.parameter, start, end)
        }
    }

    /// Whether parameters with this between them are one.
    private static func joins(_ delimiter: UInt8) -> Bool {
        switch delimiter {
        case UInt8(ascii: ","), UInt8(ascii: ":"), UInt8(ascii: ";"), UInt8(ascii: "#"), UInt8(ascii: "+"), UInt8(ascii: "*"),
            UInt8(ascii: "&"), UInt8(ascii: "|"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "^"):
            true
        default: false
        }
    }

    /// Whether it is of the number behind it.
    private static func isSign(_ delimiter: UInt8, isClosed: Bool) -> Bool {
        switch delimiter {
        case UInt8(ascii: "-"), UInt8(ascii: "+"): true
        case UInt8(ascii: "<"), UInt8(ascii: ">"): !isClosed
        default: false
        }
    }
}
