import TocsinDomain

/// A time that comes again (weekdays from 22:00 to 06:00; the second Tuesday of each month) or once, by the clocks of one zone.
///
/// Its ends are times on the clock, so its length varies where the clocks change: 22:00 to 06:00 has 7 hours in the night in which
/// the clock is put forward, 9 in that in which it is put back. An end that the clock is put forward over is when that happens; of
/// one that the clock shows twice it is the first. So an occurrence of which the clock shows nothing does not take place.
public struct RecurringWindow: Sendable, Equatable {
    public let zone: TimeZoneRules
    public let pattern: Pattern

    public enum Pattern: Sendable, Equatable {
        /// The second is left out.
        case once(CivilTime, CivilTime)
        /// From a time of each of these days to one of the same day, or of the next if it is not later.
        case daily(Days, from: TimeOfDay, to: TimeOfDay)
    }

    /// The days on which it begins: all that is set must hold of one.
    public struct Days: Sendable, Equatable {
        /// Empty: any.
        public var weekdays: Set<Weekday>
        /// 1 to 31, and -1 to -31 counted from the end of the month; empty: any.
        public var daysOfMonth: Set<Int>
        /// `second tue`, `last sun`; one must be it. Empty: any.
        public var ordinals: Set<Ordinal>
        public var first: CivilDay?
        /// Itself too.
        public var last: CivilDay?

        public init(
            weekdays: Set<Weekday> = [], daysOfMonth: Set<Int> = [], ordinals: Set<Ordinal> = [], first: CivilDay? = nil,
            last: CivilDay? = nil
        ) {
            self.weekdays = weekdays
            self.daysOfMonth = daysOfMonth
            self.ordinals = ordinals
            self.first = first
            self.last = last
        }

        func contains(_ day: CivilDay) -> Bool {
            if let first, day < first { return false }
            if let last, day > last { return false }
            if !weekdays.isEmpty, !weekdays.contains(day.weekday) { return false }
            if daysOfMonth.isEmpty, ordinals.isEmpty { return true }
            let (year, month, number) = CivilDate.date(day.number)
            let length = CivilDate.daysInMonth(year: year, month: month)
            let isInMonth = daysOfMonth.isEmpty || daysOfMonth.contains(number) || daysOfMonth.contains(number - length - 1)
            let isOrdinal =
                ordinals.isEmpty
                || ordinals.contains {
                    $0.weekday == day.weekday
                        && ($0.number > 0 ? (number - 1) / 7 + 1 == $0.number : (length - number) / 7 + 1 == -$0.number)
                }
            return isInMonth && isOrdinal
        }
    }

    /// The n-th of a weekday in its month.
    public struct Ordinal: Sendable, Hashable, CustomStringConvertible {
        /// 1 to 5, and -1 to -5 counted from the end of the month.
        public let number: Int
        public let weekday: Weekday

        private static let words = ["first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "last": -1]

        /// `first mon`, `second tuesday`, `last sun`, `-2 fri`; nil for anything else.
        public init?(parsing text: some StringProtocol) {
            let parts = text.lowercased().split(separator: " ")
            guard parts.count == 2, let weekday = Weekday(parsing: parts[1]),
                let number = Self.words[String(parts[0])] ?? Int(parts[0]), (1...5).contains(number.magnitude)
            else { return nil }
            self.number = number
            self.weekday = weekday
        }

        public var description: String {
            "\(Self.words.first { $0.value == number }?.key ?? String(number)) \(weekday)"
        }
    }

    /// - Throws: `CalendarProblem` for what can never be.
    public init(_ pattern: Pattern, zone: TimeZoneRules) throws(CalendarProblem) {
        self.pattern = pattern
        self.zone = zone
        switch pattern {
        case .once(let from, let to):
            guard from < to else { throw CalendarProblem("it ends at \(to), which is not after its begin at \(from)") }
        case .daily(let days, let from, _):
            if from == .endOfDay { throw CalendarProblem("it begins at 24:00; write 00:00, and the next day") }
            if let first = days.first, let last = days.last, last < first {
                throw CalendarProblem("its last day \(last) is before its first day \(first)")
            }
            if let wrong = days.daysOfMonth.filter({ !(1...31).contains($0.magnitude) }).min() {
                throw CalendarProblem("\(wrong) is not a day of a month; write 1 to 31, or -1 for the last")
            }
        }
    }

    /// All the time.
    public static let always = RecurringWindow(everyDayFrom: .midnight, to: .endOfDay)

    private init(everyDayFrom from: TimeOfDay, to: TimeOfDay) {
        pattern = .daily(Days(), from: from, to: to)
        zone = .utc
    }

    /// From its begin, until before its end. Milliseconds since 1970.
    private typealias Occurrence = Range<Int>

    private func milliseconds(_ localSeconds: Int) -> Int {
        switch zone.moment(localSeconds: localSeconds) {
        case .once(let moment), .fold(let moment, _), .gap(_, let moment): moment * 1000
        }
    }

    private func occurrence(_ from: CivilTime, _ to: CivilTime) -> Occurrence {
        let begin = milliseconds(from.localSeconds)
        return begin..<max(begin, milliseconds(to.localSeconds))
    }

    /// The one that begins on `day`; empty if none does.
    private func occurrence(on day: CivilDay, _ from: TimeOfDay, _ to: TimeOfDay) -> Occurrence {
        occurrence(CivilTime(day, from), CivilTime(CivilDay(number: day.number + (to > from ? 0 : 1)), to))
    }

    /// The day on the clock.
    private func day(_ milliseconds: Int) -> CivilDay {
        CivilDay(number: floorDivide(zone.localSeconds(at: floorDivide(milliseconds, 1000)), 86_400))
    }

    /// The end of the latest of those that hold `timeMs`.
    private func end(holding timeMs: Int) -> Int? {
        switch pattern {
        case .once(let from, let to):
            let occurrence = occurrence(from, to)
            return occurrence.contains(timeMs) ? occurrence.upperBound : nil
        case .daily(let days, let from, let to):
            let today = day(timeMs).number
            // One that began yesterday may last; and where a clock is put back over midnight, one of tomorrow has begun.
            return (today - 2...today + 1).compactMap { number in
                guard days.contains(CivilDay(number: number)) else { return nil }
                let occurrence = occurrence(on: CivilDay(number: number), from, to)
                return occurrence.contains(timeMs) ? occurrence.upperBound : nil
            }.max()
        }
    }

    /// Times beyond are as the last millisecond of the year 9999.
    private static let timeMax: UInt64 = 253_402_300_799_999

    private func clamped(_ timeMs: UInt64) -> Int { Int(min(timeMs, Self.timeMax)) }

    /// Whether `timeMs` (milliseconds since 1970, UTC) is in it.
    public func contains(_ timeMs: UInt64) -> Bool { end(holding: clamped(timeMs)) != nil }

    /// When what holds `timeMs` is over, in milliseconds since 1970; nil if nothing holds it. Another occurrence may begin just
    /// then.
    public func end(after timeMs: UInt64) -> UInt64? { end(holding: clamped(timeMs)).map { UInt64(max(0, $0)) } }

    /// Weekdays and days of months are together again after 28 years, 40 where 2100 lies between: what has not come then never does.
    private static let daysMax = 41 * 366

    /// When it next begins after `timeMs`, in milliseconds since 1970; nil if it never does.
    public func next(after timeMs: UInt64) -> UInt64? {
        let time = clamped(timeMs)
        switch pattern {
        case .once(let from, let to):
            let occurrence = occurrence(from, to)
            return !occurrence.isEmpty && occurrence.lowerBound > time ? UInt64(occurrence.lowerBound) : nil
        case .daily(let days, let from, let to):
            let first = max(day(time).number - 1, days.first?.number ?? .min)
            for number in first...first + Self.daysMax {
                if let last = days.last, number > last.number { return nil }
                guard days.contains(CivilDay(number: number)) else { continue }
                let occurrence = occurrence(on: CivilDay(number: number), from, to)
                if !occurrence.isEmpty, occurrence.lowerBound > time { return UInt64(occurrence.lowerBound) }
            }
            return nil
        }
    }
}

extension RecurringWindow: CustomStringConvertible {
    /// `mon, tue 22:00 to 06:00 Europe/Berlin`.
    public var description: String {
        switch pattern {
        case .once(let from, let to): return "\(from) to \(to) \(zone.name)"
        case .daily(let days, let from, let to):
            var parts: [String] = []
            func list(_ texts: [String], _ prefix: String = "") {
                if !texts.isEmpty { parts.append(prefix + texts.joined(separator: ", ")) }
            }
            list(days.weekdays.sorted { $0.rawValue < $1.rawValue }.map(\.description))
            list(days.ordinals.map(\.description).sorted())
            list(days.daysOfMonth.sorted().map(String.init), "day ")
            if let first = days.first { parts.append("from \(first)") }
            if let last = days.last { parts.append("until \(last)") }
            return (parts + ["\(from) to \(to) \(zone.name)"]).joined(separator: " ")
        }
    }
}
