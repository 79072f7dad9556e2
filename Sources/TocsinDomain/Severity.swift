/// How bad what happened is. The raw values are those of `tocsin.v1.Severity` on the wire; higher is worse.
public enum Severity: UInt8, Sendable, Codable, CaseIterable, Comparable, CustomStringConvertible {
    /// Nobody is needed.
    case info = 1
    case minor = 2
    case major = 3
    case critical = 4

    public static func < (a: Severity, b: Severity) -> Bool { a.rawValue < b.rawValue }

    /// The name people see and configuration files use: `critical`, `major`, `minor`, `info`.
    public var name: String {
        switch self {
        case .info: "info"
        case .minor: "minor"
        case .major: "major"
        case .critical: "critical"
        }
    }

    public var description: String { name }

    /// A severity as some tool or person says it: our own names, syslog keywords and numbers (0 emergency to 7 debug), SEV1
    /// to SEV5, P1 to P5, log levels, Nagios and PagerDuty words. Case, spaces, `-` and `_` do not matter. Nil for an
    /// unknown word, so that the caller decides what not knowing means.
    public init?(parsing text: String) {
        guard text.utf8.count <= 32 else { return nil }
        var word: [UInt8] = []
        word.reserveCapacity(16)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "-"), UInt8(ascii: "_"): continue
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): word.append(byte | 0x20)
            default: word.append(byte)
            }
        }
        switch String(decoding: word, as: UTF8.self) {
        case "critical", "crit", "fatal", "emergency", "emerg", "panic", "alert", "page", "disaster", "blocker", "0",
            "1", "2",
            "sev0", "sev1", "s1", "severity1", "p0", "p1", "priority1":
            self = .critical
        case "major", "error", "err", "high", "severe", "failure", "3", "sev2", "s2", "severity2", "p2", "priority2":
            self = .major
        case "minor", "warning", "warn", "medium", "moderate", "average", "low", "ticket", "4", "sev3", "s3",
            "severity3",
            "sev4", "s4", "severity4", "p3", "priority3", "p4", "priority4":
            self = .minor
        case "info", "information", "informational", "notice", "debug", "trace", "ok", "none", "normal", "5", "6", "7",
            "sev5",
            "s5", "severity5", "p5", "priority5":
            self = .info
        default: return nil
        }
    }

    /// How urgently an event is delivered that says of itself what `hint` says; triage decides what it really is. An unknown
    /// word, or none, is `major`: better too soon.
    public init(hint: String) { self = Severity(parsing: hint) ?? .major }
}

/// One axis of the priority matrix: impact (scope × harm) or urgency (time to harm). Raw values as on the wire.
public enum Level: UInt8, Sendable, Codable, CaseIterable, Comparable, CustomStringConvertible {
    case low = 1
    case medium = 2
    case high = 3

    public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }

    public var name: String {
        switch self {
        case .low: "low"
        case .medium: "medium"
        case .high: "high"
        }
    }

    public var description: String { name }

    /// `high`, `medium`, `low` in any case, `h`, `m`, `l`, or the ITSM numbers 1 (high) to 3 (low). Nil for another word.
    public init?(parsing text: String) {
        switch text.lowercased() {
        case "high", "h", "1": self = .high
        case "medium", "med", "moderate", "m", "2": self = .medium
        case "low", "l", "3": self = .low
        default: return nil
        }
    }
}

extension Severity {
    /// How far it reaches where nobody says more of it. What needs nobody has no impact to speak of.
    public var impact: Level {
        switch self {
        case .critical: .high
        case .major: .medium
        case .minor, .info: .low
        }
    }

    /// How soon it harms where nobody says more of it.
    public var urgency: Level { impact }
}

/// In which order incidents are worked on, from impact × urgency. Sorted ascending, the most urgent (`p1`) comes first.
public enum Priority: UInt8, Sendable, Codable, CaseIterable, Comparable, CustomStringConvertible {
    case p1 = 1
    case p2 = 2
    case p3 = 3
    case p4 = 4
    case p5 = 5

    public static func < (a: Priority, b: Priority) -> Bool { a.rawValue < b.rawValue }

    /// `P1` to `P5`.
    public var name: String { "P\(rawValue)" }

    public var description: String { name }

    /// `P1`, `p1` or `1`. Nil for another word.
    public init?(parsing text: String) {
        let digits = text.hasPrefix("P") || text.hasPrefix("p") ? text.dropFirst() : Substring(text)
        guard let number = UInt8(digits), let priority = Priority(rawValue: number) else { return nil }
        self = priority
    }
}

/// Priority by impact and urgency.
public struct PriorityMatrix: Sendable, Equatable {
    /// Row by row, impact high to low; in a row urgency high to low.
    private var cells: [Priority]

    /// The usual ITIL matrix: HH P1; HM, MH P2; HL, MM, LH P3; ML, LM, LL P4.
    public static let standard = PriorityMatrix(
        high: (.p1, .p2, .p3), medium: (.p2, .p3, .p4), low: (.p3, .p4, .p4))

    /// One row for each impact; in a row the priorities for urgency high, medium and low.
    public init(
        high: (Priority, Priority, Priority), medium: (Priority, Priority, Priority),
        low: (Priority, Priority, Priority)
    ) {
        cells = [high.0, high.1, high.2, medium.0, medium.1, medium.2, low.0, low.1, low.2]
    }

    /// The priority of one cell.
    public subscript(impact impact: Level, urgency urgency: Level) -> Priority {
        get { cells[Self.index(impact, urgency)] }
        set { cells[Self.index(impact, urgency)] = newValue }
    }

    private static func index(_ impact: Level, _ urgency: Level) -> Int {
        3 * (3 - Int(impact.rawValue)) + (3 - Int(urgency.rawValue))
    }
}
