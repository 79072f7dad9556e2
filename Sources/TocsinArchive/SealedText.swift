import FoundationEssentials

/// Text with sealed pieces in it, as the tables and the records have it.
///
/// A piece is U+FDD0, Base64 (of the URL alphabet, without padding) and U+FDD1. Both are noncharacters, which Unicode has set
/// aside for a program's own use: in text from outside they are replaced before anything else, so nothing from there is ever
/// taken for a sealed piece.
enum SealedText {
    private static let begin = Unicode.Scalar(UInt16(0xFDD0))!
    private static let end = Unicode.Scalar(UInt16(0xFDD1))!
    // EF B7 90 and EF B7 91 in UTF-8.
    private static let lead: UInt8 = 0xEF

    /// Text from outside that can be taken for nothing sealed.
    static func escape(_ text: String) -> String {
        guard mayHavePieces(text), text.unicodeScalars.contains(where: { $0 == begin || $0 == end }) else { return text }
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars { result.append(scalar == begin || scalar == end ? "\u{FFFD}" : scalar) }
        return String(result)
    }

    static func piece(_ bytes: Data) -> String {
        var text = String(begin)
        for character in bytes.base64EncodedString().unicodeScalars {
            switch character {
            case "+": text.unicodeScalars.append("-")
            case "/": text.unicodeScalars.append("_")
            case "=": break
            default: text.unicodeScalars.append(character)
            }
        }
        text.unicodeScalars.append(end)
        return text
    }

    /// The text with what `open` makes of each sealed piece in its place.
    static func replacing(_ text: String, _ open: (Data) throws -> String) rethrows -> String {
        guard mayHavePieces(text) else { return text }
        var result = String.UnicodeScalarView()
        var rest = text.unicodeScalars[...]
        while let start = rest.firstIndex(of: begin) {
            result += rest[..<start]
            rest = rest[rest.index(after: start)...]
            guard let stop = rest.firstIndex(of: end) else {
                result.append("\u{FFFD}")
                break
            }
            // What is no piece is shown as what cannot be read.
            result += (try bytes(rest[..<stop]).map(open) ?? "\u{FFFD}").unicodeScalars
            rest = rest[rest.index(after: stop)...]
        }
        return String(result + rest)
    }

    /// What every piece begins with that begins with these bytes, a multiple of 3.
    static func beginning(_ bytes: Data) -> String {
        precondition(bytes.count % 3 == 0)
        return String(piece(bytes).unicodeScalars.dropLast())
    }

    /// The text without what is sealed in it: where that was, is what no text from outside has.
    static func plain(_ text: String) -> String { replacing(text) { _ in String(begin) } }

    /// Every sealed piece in the text.
    static func pieces(in text: String) -> [Data] {
        var found: [Data] = []
        _ = replacing(text) {
            found.append($0)
            return ""
        }
        return found
    }

    private static func bytes(_ encoded: Substring.UnicodeScalarView) -> Data? {
        var text = ""
        for scalar in encoded {
            switch scalar {
            case "-": text.unicodeScalars.append("+")
            case "_": text.unicodeScalars.append("/")
            default: text.unicodeScalars.append(scalar)
            }
        }
        while text.utf8.count % 4 != 0 { text.append("=") }
        return Data(base64Encoded: text)
    }

    /// Nearly no text has this byte, and looking for it is cheap.
    private static func mayHavePieces(_ text: String) -> Bool { text.utf8.contains(lead) }
}

/// Personal values to look for in texts: upper and lower case of ASCII letters alike, longer ones before those that are within
/// them.
struct PersonalValues {
    /// A shorter one is found only as a word of its own: "al" is not in "signal".
    private static let bytesAnywhere = 6
    private static let bytesMin = 2

    /// In lower case, the longest first.
    private let values: [[UInt8]]

    init(_ values: some Sequence<String>) {
        let distinct = Set(values.map { Array($0.utf8.map(Self.lower)) }.filter { $0.count >= Self.bytesMin })
        self.values = distinct.sorted { ($1.count, $0.debugDescription) < ($0.count, $1.debugDescription) }
    }

    /// The text with what `seal` makes of each place where one of the values stands.
    func replacing(in text: String, _ seal: (String) throws -> String) rethrows -> String {
        guard !values.isEmpty else { return text }
        let original = Array(text.utf8)
        let bytes = original.map(Self.lower)
        var result = ""
        var copied = 0
        var index = 0
        while index < bytes.count {
            guard let value = values.first(where: { Self.stands($0, in: bytes, at: index) }) else {
                index += 1
                continue
            }
            result += String(decoding: original[copied..<index], as: UTF8.self)
            index += value.count
            result += try seal(String(decoding: original[(index - value.count)..<index], as: UTF8.self))
            copied = index
        }
        return result + String(decoding: original[copied...], as: UTF8.self)
    }

    func occur(in text: String) -> Bool {
        let bytes = text.utf8.map(Self.lower)
        return bytes.indices.contains { index in values.contains { Self.stands($0, in: bytes, at: index) } }
    }

    private static func stands(_ value: [UInt8], in bytes: [UInt8], at index: Int) -> Bool {
        guard bytes[index] == value[0], bytes.count - index >= value.count,
            bytes[index..<(index + value.count)].elementsEqual(value)
        else { return false }
        guard value.count < bytesAnywhere else { return true }
        let end = index + value.count
        return (index == 0 || !isWord(bytes[index - 1])) && (end == bytes.count || !isWord(bytes[end]))
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...0xFF: true
        default: false
        }
    }

    private static func lower(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
}
