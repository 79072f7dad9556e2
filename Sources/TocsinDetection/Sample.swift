import TocsinDomain

/// One number of one series.
struct Sample: Equatable, Sendable {
    var series: Series
    var value: Double
    /// Milliseconds since 1970; nil: now.
    var time: UInt64?
    /// Nobody sent it again: it is what was, or zero.
    var isRepeated = false
}

/// A name with labels, as Prometheus writes them: `http_requests_total{code="500",method="GET"}`.
struct Series: Hashable, Sendable, CustomStringConvertible {
    var name: String
    /// Sorted by name.
    private(set) var labels: [Label]

    struct Label: Hashable, Sendable {
        var name: String
        var value: String
    }

    /// Of its name and of a label's; of a label's value. Series are names of conditions, and parts of events.
    static let nameBytes = 256
    static let valueBytes = 1024
    static let labelsMax = 64

    init(_ name: String, _ labels: [Label] = []) {
        self.name = name
        self.labels = labels.sorted { $0.name < $1.name }
    }

    subscript(label: String) -> String? { labels.first { $0.name == label }?.value }

    var description: String {
        labels.isEmpty ? name : "\(name){\(labels.map { "\($0.name)=\"\($0.value)\"" }.joined(separator: ","))}"
    }
}

/// Which series a rule is about: `name`, `name{label="value",other!="value",third=~"prefix*"}`. `*` in the name and in values
/// of `=~` and `!~` stands for anything.
public struct SeriesSelector: Sendable, Equatable, CustomStringConvertible {
    public let description: String
    private let name: Glob
    private let matchers: [Matcher]

    private struct Matcher: Equatable {
        var label: String
        /// A literal, or a pattern.
        var value: String
        var pattern: Glob?
        var isNot: Bool

        func matches(_ found: String) -> Bool { (pattern?.matches(found) ?? (found == value)) != isNot }
    }

    /// - Throws: `ConfigurationProblem`, which says what is wrong with the text.
    public init(_ text: String) throws(ConfigurationProblem) {
        description = text
        var reader = TextReader(text)
        let name = reader.take { $0 != UInt8(ascii: "{") && !TextReader.isSpace($0) }
        guard !name.isEmpty else { throw ConfigurationProblem("\"\(text)\" has no name of a series") }
        var matchers: [Matcher] = []
        reader.skipSpace()
        if reader.skip("{") {
            while !reader.skip("}") {
                let label = reader.take { TextReader.isName($0) }
                let isNot = reader.skip("!")
                let isEqual = reader.skip("=")
                let isPattern = reader.skip("~")
                guard !label.isEmpty, isEqual || (isNot && isPattern), let value = reader.quoted() else {
                    throw ConfigurationProblem("\"\(text)\": write labels as name=\"value\", with =, !=, =~ or !~ between them")
                }
                let pattern = isPattern ? Glob(value, one: nil) : nil
                matchers.append(Matcher(label: label, value: value, pattern: pattern, isNot: isNot))
                guard reader.skip(",") || reader.next == UInt8(ascii: "}") else {
                    throw ConfigurationProblem("\"\(text)\": labels end with } and have commas between them")
                }
            }
        }
        reader.skipSpace()
        guard reader.isAtEnd else { throw ConfigurationProblem("\"\(text)\": nothing may follow the labels") }
        self.name = Glob(name, one: nil)
        self.matchers = matchers
    }

    private init(any name: String) {
        description = name
        self.name = Glob(name, one: nil)
        matchers = []
    }

    /// Every series.
    public static let any = SeriesSelector(any: "*")

    func matches(_ series: Series) -> Bool {
        name.matches(series.name) && matchers.allSatisfy { $0.matches(series[$0.label] ?? "") }
    }
}

/// Reads a short text from its start.
struct TextReader {
    private let bytes: ArraySlice<UInt8>
    private var at: Int

    init(_ text: some StringProtocol) { self.init(Array(text.utf8)[...]) }

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        at = bytes.startIndex
    }

    var next: UInt8? { at < bytes.endIndex ? bytes[at] : nil }
    var isAtEnd: Bool { at == bytes.endIndex }

    static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }

    static func isName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "."), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    mutating func skipSpace() { while let byte = next, Self.isSpace(byte) { at += 1 } }

    /// Space, then `mark` if it is there.
    mutating func skip(_ mark: Unicode.Scalar) -> Bool {
        skipSpace()
        guard next == UInt8(ascii: mark) else { return false }
        at += 1
        return true
    }

    /// Space, then as much as belongs.
    mutating func take(while belongs: (UInt8) -> Bool) -> String {
        skipSpace()
        let start = at
        while let byte = next, belongs(byte) { at += 1 }
        return String(decoding: bytes[start..<at], as: UTF8.self)
    }

    /// A text in quotation marks, with `\\`, `\"` and `\n`; nil if there is none, or it does not end.
    mutating func quoted() -> String? {
        guard skip("\"") else { return nil }
        var text: [UInt8] = []
        while let byte = next {
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard let escaped = next else { return nil }
                at += 1
                text.append(escaped == UInt8(ascii: "n") ? 0x0A : escaped)
            default: text.append(byte)
            }
        }
        return nil
    }
}
