/// What the exit code of a Nagios plugin says of a service. Raw values are the words that plugins print.
public enum PluginStatus: String, Sendable, CaseIterable {
    case ok = "OK"
    case warning = "WARNING"
    case critical = "CRITICAL"
    case unknown = "UNKNOWN"

    /// Nil (ended by a signal) and every code but 0, 1 and 2 are UNKNOWN.
    public init(exit: Int32?) {
        switch exit {
        case 0: self = .ok
        case 1: self = .warning
        case 2: self = .critical
        default: self = .unknown
        }
    }
}

/// The output of a Nagios plugin, as its guidelines have it: a line `TEXT|PERFORMANCE DATA`; then more lines of text, of
/// which one may again have a `|`, behind which all that follows is more performance data.
public struct PluginOutput: Equatable, Sendable {
    /// At most 512 bytes.
    public private(set) var summary = ""
    /// As the plugin wrote it, on one line, at most 1,024 bytes.
    public private(set) var performance = ""
    /// At most 4,096 bytes.
    public private(set) var more = ""
    /// The first 256 of the performance data, also where `performance` does not have room for them, understood when asked for. What
    /// cannot be is left out.
    public var data: [PerformanceDatum] { PerformanceDatum.all(in: wholePerformance, most: Self.dataMost) }
    private var wholePerformance: ArraySlice<UInt8> = []

    public static let dataMost = 256

    /// Of any bytes: those that are no UTF-8 become U+FFFD.
    public init(_ bytes: [UInt8]) {
        let newline = bytes.firstIndex(of: UInt8(ascii: "\n")) ?? bytes.endIndex
        let (first, data) = Self.split(bytes[..<newline])
        let (rest, moreData) = Self.split(bytes[newline...].dropFirst())
        summary = Self.text(first, limit: 512)
        more = Self.text(rest, limit: 4096)
        var all = Self.trimmed(data)
        let second = Self.trimmed(moreData)
        if !all.isEmpty && !second.isEmpty { all.append(UInt8(ascii: " ")) }
        all += second.map { $0 == UInt8(ascii: "\n") ? UInt8(ascii: " ") : $0 }
        performance = Self.text(all, limit: 1024)
        wholePerformance = all
    }

    private static func split(_ bytes: ArraySlice<UInt8>) -> (before: ArraySlice<UInt8>, after: ArraySlice<UInt8>) {
        let bar = bytes.firstIndex(of: UInt8(ascii: "|")) ?? bytes.endIndex
        return (bytes[..<bar], bytes[bar...].dropFirst())
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var slice = bytes.drop(while: isSpace)
        while let last = slice.last, isSpace(last) { slice.removeLast() }
        return slice
    }

    private static func text(_ bytes: ArraySlice<UInt8>, limit: Int) -> String {
        trimmed(bytes).withUnsafeBytes { TocsinDomain.text($0, limit: limit) }
    }
}

/// One `'label'=value[UOM];[warn];[crit];[min];[max]` of a plugin's performance data.
public struct PerformanceDatum: Equatable, Sendable {
    /// Without quotes, at most 256 bytes.
    public var label: String
    /// Nil: the plugin could not tell (`U`).
    public var value: Double?
    /// Of measurement, as it stands there: nothing, `s`, `us`, `ms`, `%`, `B`, `KB`, `MB`, `TB`, `c` (a counter) or another,
    /// at most 16 bytes.
    public var unit: String
    public var warning: PluginRange?
    public var critical: PluginRange?
    public var minimum: Double?
    public var maximum: Double?

    public init(
        label: String, value: Double?, unit: String = "", warning: PluginRange? = nil, critical: PluginRange? = nil,
        minimum: Double? = nil, maximum: Double? = nil
    ) {
        self.label = label
        self.value = value
        self.unit = unit
        self.warning = warning
        self.critical = critical
        self.minimum = minimum
        self.maximum = maximum
    }

    /// What the value itself says, by the ranges beside it; UNKNOWN without a value.
    public var status: PluginStatus {
        guard let value else { return .unknown }
        if critical?.alerts(value) == true { return .critical }
        return warning?.alerts(value) == true ? .warning : .ok
    }

    /// The data that stand in `bytes`, in order, at most `most`; what cannot be understood is passed over, to the next
    /// space. A label in quotes may hold spaces, `=`, and `''` for a quote.
    public static func all(in bytes: ArraySlice<UInt8>, most: Int) -> [PerformanceDatum] {
        var found: [PerformanceDatum] = []
        var rest = bytes.drop(while: isSpace)
        while !rest.isEmpty, found.count < most {
            if let label = takeLabel(&rest) {
                let fields = takeWord(&rest).split(separator: UInt8(ascii: ";"), maxSplits: 5, omittingEmptySubsequences: false)
                if let datum = PerformanceDatum(label: label, fields: fields) { found.append(datum) }
            } else {
                _ = takeWord(&rest)
            }
            rest = rest.drop(while: isSpace)
        }
        return found
    }

    private init?(label: String, fields: [ArraySlice<UInt8>]) {
        guard let first = fields.first else { return nil }
        self.init(label: label, value: nil)
        if !first.elementsEqual("U".utf8) {
            guard let (value, unit) = number(startOf: first) else { return nil }
            self.value = value
            self.unit = unit.withUnsafeBytes { text($0, limit: 16) }
        }
        if fields.count > 1 { warning = PluginRange(fields[1]) }
        if fields.count > 2 { critical = PluginRange(fields[2]) }
        if fields.count > 3 { minimum = number(startOf: fields[3])?.value }
        if fields.count > 4 { maximum = number(startOf: fields[4])?.value }
    }

    /// Takes a label and the `=` behind it; nil, with nothing taken, where there is none.
    private static func takeLabel(_ rest: inout ArraySlice<UInt8>) -> String? {
        let quote = UInt8(ascii: "'")
        let equals = UInt8(ascii: "=")
        var label: [UInt8] = []
        var index = rest.startIndex
        if rest.first == quote {
            index += 1
            while true {
                guard index < rest.endIndex else { return nil }
                if rest[index] == quote {
                    index += 1
                    guard index < rest.endIndex, rest[index] == quote else { break }
                }
                label.append(rest[index])
                index += 1
            }
            guard index < rest.endIndex, rest[index] == equals else { return nil }
        } else {
            guard let end = rest.firstIndex(where: { $0 == equals || isSpace($0) }), rest[end] == equals else { return nil }
            label = Array(rest[..<end])
            index = end
        }
        guard !label.isEmpty else { return nil }
        rest = rest[(index + 1)...]
        return label.withUnsafeBytes { text($0, limit: 256) }
    }

    private static func takeWord(_ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let word = rest.prefix { !isSpace($0) }
        rest = rest[word.endIndex...]
        return word
    }
}

/// A threshold of a plugin: `[@][start:]end`. Without `@` a value outside alerts, with it one inside; both ends belong to
/// the inside. `~` is minus infinity, a start that is not there 0, an end that is not there infinity.
public struct PluginRange: Equatable, Sendable {
    public var start: Double
    public var end: Double
    public var alertsInside: Bool

    public init(_ start: Double, _ end: Double, alertsInside: Bool = false) {
        self.start = start
        self.end = end
        self.alertsInside = alertsInside
    }

    /// Nil for what is no range, and for one that ends before it begins.
    public init?(_ text: String) { self.init(Array(text.utf8)[...]) }

    init?(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        alertsInside = rest.first == UInt8(ascii: "@")
        if alertsInside { rest = rest.dropFirst() }
        guard !rest.isEmpty else { return nil }
        start = 0
        if let colon = rest.firstIndex(of: UInt8(ascii: ":")) {
            let before = rest[..<colon]
            if before.elementsEqual("~".utf8) {
                start = -.infinity
            } else if !before.isEmpty {
                guard let value = number(before) else { return nil }
                start = value
            }
            rest = rest[(colon + 1)...]
        }
        end = .infinity
        if !rest.isEmpty {
            guard let value = number(rest) else { return nil }
            end = value
        }
        guard start <= end else { return nil }
    }

    public func alerts(_ value: Double) -> Bool { (start <= value && value <= end) == alertsInside }
}

private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

private func number(_ bytes: ArraySlice<UInt8>) -> Double? {
    guard let (value, rest) = number(startOf: bytes), rest.isEmpty else { return nil }
    return value
}

/// The decimal number that `bytes` begin with, and what follows it; finite. A comma counts as the point: plugins write their
/// users' locale.
private func number(startOf bytes: ArraySlice<UInt8>) -> (value: Double, rest: ArraySlice<UInt8>)? {
    func isDigit(_ index: Int) -> Bool { index < bytes.endIndex && (0x30...0x39).contains(bytes[index]) }
    func isSign(_ index: Int) -> Bool { index < bytes.endIndex && (bytes[index] == 0x2B || bytes[index] == 0x2D) }
    var index = bytes.startIndex
    if isSign(index) { index += 1 }
    let whole = index
    while isDigit(index) { index += 1 }
    var digits = index - whole
    if index < bytes.endIndex, bytes[index] == UInt8(ascii: ".") || bytes[index] == UInt8(ascii: ",") {
        index += 1
        let fraction = index
        while isDigit(index) { index += 1 }
        digits += index - fraction
    }
    guard digits > 0 else { return nil }
    if index < bytes.endIndex, bytes[index] | 0x20 == UInt8(ascii: "e") {
        var exponent = index + 1
        if isSign(exponent) { exponent += 1 }
        if isDigit(exponent) {
            while isDigit(exponent) { exponent += 1 }
            index = exponent
        }
    }
    // Longer ones are not written by anybody; the bound keeps the conversion cheap.
    guard index - bytes.startIndex <= 64 else { return nil }
    let text = String(decoding: bytes[..<index].map { $0 == UInt8(ascii: ",") ? UInt8(ascii: ".") : $0 }, as: UTF8.self)
    guard let value = Double(text), value.isFinite else { return nil }
    return (value, bytes[index...])
}
