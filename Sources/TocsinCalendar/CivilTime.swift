import TocsinDomain

/// What is wrong with a zone, a date or a window: one sentence that says what, and what to do.
public struct CalendarProblem: Error, Sendable, Equatable, CustomStringConvertible {
    public var message: String

    init(_ message: String) { self.message = message }

    public var description: String { message }
}

/// A day of the week, numbered as in ISO 8601.
public enum Weekday: Int, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    case monday = 1
    case tuesday, wednesday, thursday, friday, saturday, sunday

    /// `mon` or `Monday`, in any case; nil for anything else.
    public init?(parsing text: some StringProtocol) {
        let word = text.lowercased()
        guard let day = Weekday.allCases.first(where: { word == $0.description || word == $0.name }) else { return nil }
        self = day
    }

    /// `mon`, `tue`, ...
    public var description: String { String(name.prefix(3)) }

    /// `monday`, `tuesday`, ...
    public var name: String {
        switch self {
        case .monday: "monday"
        case .tuesday: "tuesday"
        case .wednesday: "wednesday"
        case .thursday: "thursday"
        case .friday: "friday"
        case .saturday: "saturday"
        case .sunday: "sunday"
        }
    }
}

/// A day of the proleptic Gregorian calendar, of no zone; from year 1970 to 9999 where it was parsed.
public struct CivilDay: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Days since 1970-01-01.
    public let number: Int

    public init(number: Int) { self.number = number }

    /// `2026-03-29`; nil for anything else and for days that do not exist.
    public init?(parsing text: some StringProtocol) {
        let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].count == 4, parts[1].count == 2, parts[2].count == 2,
            let year = digits(parts[0]), let month = digits(parts[1]), let day = digits(parts[2]),
            (1970...9999).contains(year), (1...12).contains(month),
            (1...CivilDate.daysInMonth(year: year, month: month)).contains(day)
        else { return nil }
        number = CivilDate.days(year: year, month: month, day: day)
    }

    public var weekday: Weekday {
        // CivilDate gives 1 to 7.
        Weekday(rawValue: CivilDate.weekday(number)) ?? .monday
    }

    public static func < (a: CivilDay, b: CivilDay) -> Bool { a.number < b.number }

    public var description: String {
        let (year, month, day) = CivilDate.date(number)
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
    }
}

/// A time that a clock on the wall shows, in minutes since midnight: 0 to 1440, the last being the end of the day.
public struct TimeOfDay: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let minutes: Int

    /// `7:30` or `07:30`, at most `24:00`; nil for anything else.
    public init?(parsing text: some StringProtocol) {
        let parts = text.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count == 2, (1...2).contains(parts[0].count), parts[1].count == 2,
            let hour = digits(parts[0]), let minute = digits(parts[1]), minute < 60
        else { return nil }
        self.init(minutes: hour * 60 + minute)
    }

    public init?(minutes: Int) {
        guard (0...1440).contains(minutes) else { return nil }
        self.minutes = minutes
    }

    private init(_ minutes: Int) { self.minutes = minutes }

    /// The beginning of a day.
    public static let midnight = TimeOfDay(0)
    /// The end of a day.
    public static let endOfDay = TimeOfDay(1440)

    public static func < (a: TimeOfDay, b: TimeOfDay) -> Bool { a.minutes < b.minutes }

    public var description: String { "\(padded(minutes / 60, 2)):\(padded(minutes % 60, 2))" }
}

/// A day and a time of it, of no zone.
public struct CivilTime: Sendable, Hashable, Comparable, CustomStringConvertible {
    public var day: CivilDay
    public var time: TimeOfDay

    public init(_ day: CivilDay, _ time: TimeOfDay) {
        self.day = day
        self.time = time
    }

    /// `2026-03-29 02:30`, or with a `T` between them; nil for anything else.
    public init?(parsing text: some StringProtocol) {
        let parts = text.split(maxSplits: 1, whereSeparator: { $0 == " " || $0 == "T" })
        guard parts.count == 2, let day = CivilDay(parsing: parts[0]), let time = TimeOfDay(parsing: parts[1]) else { return nil }
        self.init(day, time)
    }

    /// Seconds from 1970-01-01 00:00 on the same clock.
    public var localSeconds: Int { day.number * 86_400 + time.minutes * 60 }

    public static func < (a: CivilTime, b: CivilTime) -> Bool { a.localSeconds < b.localSeconds }

    public var description: String { "\(day) \(time)" }
}

/// A number of nothing but decimal digits, at most nine; else nil.
func digits(_ bytes: some Collection<UInt8>) -> Int? {
    guard (1...9).contains(bytes.count) else { return nil }
    var value = 0
    for byte in bytes {
        let digit = byte &- UInt8(ascii: "0")
        guard digit < 10 else { return nil }
        value = value * 10 + Int(digit)
    }
    return value
}

func padded(_ number: Int, _ width: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
}
