import TocsinDomain

/// What follows the last transition of a zone file: a standard offset and, maybe, a rule for every year.
///
/// Source: POSIX.1-2024, 8.3, TZ, with the extension of RFC 9636, 3.3.1: hours of a change may be -167 to 167.
struct PosixRule: Sendable, Equatable {
    /// Seconds east of UTC.
    let standard: Int
    let daylight: Daylight?

    struct Daylight: Sendable, Equatable {
        var offset: Int
        var begin: Change
        var end: Change
    }

    /// When the clocks change: a day of the year and a time on the clock before the change.
    struct Change: Sendable, Equatable {
        enum Day: Sendable, Equatable {
            /// 1 to 365; 29 February is never counted.
            case julian(Int)
            /// 0 to 365; 29 February is counted.
            case zeroBased(Int)
            /// Month 1 to 12, week 1 to 5 (5: the last), weekday 0 (Sunday) to 6.
            case weekday(month: Int, week: Int, weekday: Int)
        }
        var day: Day
        /// Seconds from midnight.
        var time: Int

        /// Seconds from 1970-01-01 00:00 on the clock before the change.
        func localSeconds(year: Int) -> Int {
            let first = CivilDate.days(year: year, month: 1, day: 1)
            let number: Int
            switch day {
            case .julian(let day):
                let isAfterFebruary = day >= 60 && CivilDate.daysInMonth(year: year, month: 2) == 29
                number = first + day - 1 + (isAfterFebruary ? 1 : 0)
            case .zeroBased(let day): number = first + day
            case .weekday(let month, let week, let weekday):
                let start = CivilDate.days(year: year, month: month, day: 1)
                // 7 is Sunday to CivilDate, 0 to POSIX.
                let ahead = (weekday - CivilDate.weekday(start) % 7 + 7) % 7
                let last = CivilDate.daysInMonth(year: year, month: month) - 1
                var day = ahead + (week - 1) * 7
                if day > last { day -= 7 }
                number = start + day
            }
            return number * 86_400 + time
        }
    }

    /// Throws nothing of its own: nil if the text is not what RFC 9636 allows.
    init?(parsing text: some Sequence<UInt8>) {
        var scanner = Scanner(bytes: Array(text))
        guard scanner.name(), let west = scanner.time(hoursMax: 24) else { return nil }
        standard = -west
        if scanner.isAtEnd {
            daylight = nil
            return
        }
        guard scanner.name() else { return nil }
        var offset = standard + 3600
        if scanner.next != UInt8(ascii: ",") {
            guard let west = scanner.time(hoursMax: 24) else { return nil }
            offset = -west
        }
        guard let begin = scanner.change(), let end = scanner.change(), scanner.isAtEnd else { return nil }
        daylight = Daylight(offset: offset, begin: begin, end: end)
    }

    /// The changes of the years from `first` through `last`, in order. With none the standard offset holds.
    func transitions(years first: Int, _ last: Int) -> [Transition] {
        guard let daylight else { return [] }
        var found: [Transition] = []
        for year in first...max(first, last) {
            let begin = Transition(at: daylight.begin.localSeconds(year: year) - standard, offset: daylight.offset)
            let end = Transition(at: daylight.end.localSeconds(year: year) - daylight.offset, offset: standard)
            found += begin.at < end.at ? [begin, end] : [end, begin]
        }
        // A year that ends as the next begins (daylight time all year): what begins prevails.
        return found.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }.map(\.element)
    }

    private struct Scanner {
        let bytes: [UInt8]
        var index = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        var isAtEnd: Bool { index == bytes.count }
        var next: UInt8? { index < bytes.count ? bytes[index] : nil }

        mutating func take(_ byte: Character) -> Bool {
            guard next == byte.asciiValue else { return false }
            index += 1
            return true
        }

        /// `CET`, or `<+0330>`.
        mutating func name() -> Bool {
            let isQuoted = take("<")
            let start = index
            while let byte = next, isLetter(byte) || isQuoted && (isDigit(byte) || byte == 0x2B || byte == 0x2D) { index += 1 }
            return index - start >= 3 && (!isQuoted || take(">"))
        }

        mutating func number(upTo most: Int) -> Int? {
            let start = index
            while let byte = next, isDigit(byte), index - start < 4 { index += 1 }
            guard let value = digits(bytes[start..<index]), value <= most else { return nil }
            return value
        }

        /// `[+-]h[:mm[:ss]]` in seconds.
        mutating func time(hoursMax: Int) -> Int? {
            let isNegative = take("-")
            if !isNegative { _ = take("+") }
            guard let hours = number(upTo: hoursMax) else { return nil }
            var seconds = hours * 3600
            for unit in [60, 1] {
                guard take(":") else { break }
                guard let value = number(upTo: 59) else { return nil }
                seconds += value * unit
            }
            return isNegative ? -seconds : seconds
        }

        /// `,M3.5.0/2`, `,J60` or `,59/-1`.
        mutating func change() -> Change? {
            guard take(","), let day = day() else { return nil }
            guard take("/") else { return Change(day: day, time: 7200) }
            guard let time = time(hoursMax: 167) else { return nil }
            return Change(day: day, time: time)
        }

        private mutating func day() -> Change.Day? {
            if take("M") {
                guard let month = number(upTo: 12), month > 0, take("."), let week = number(upTo: 5), week > 0, take("."),
                    let weekday = number(upTo: 6)
                else { return nil }
                return .weekday(month: month, week: week, weekday: weekday)
            }
            if take("J") {
                guard let day = number(upTo: 365), day > 0 else { return nil }
                return .julian(day)
            }
            return number(upTo: 365).map { .zeroBased($0) }
        }

        private func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- UInt8(ascii: "a") < 26 }

        private func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }
    }
}

/// From this moment on (seconds since 1970, UTC) clocks are so many seconds east of UTC.
struct Transition: Sendable, Equatable {
    var at: Int
    var offset: Int
}
