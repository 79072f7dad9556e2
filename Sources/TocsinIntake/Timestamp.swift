import TocsinDomain

/// Times as foreign tools write them.
public enum Timestamp {
    /// RFC 3339 as milliseconds since 1970; times before 1970 are 0. Nil for what is no such time.
    public static func parse(_ text: String) -> UInt64? {
        var text = text
        return text.withUTF8 { bytes in
            func number(_ start: Int, _ count: Int) -> Int? {
                guard start + count <= bytes.count else { return nil }
                var value = 0
                for byte in bytes[start..<start + count] {
                    guard byte &- UInt8(ascii: "0") < 10 else { return nil }
                    value = value * 10 + Int(byte - UInt8(ascii: "0"))
                }
                return value
            }
            func has(_ index: Int, _ letters: StaticString) -> Bool {
                index < bytes.count && (0..<letters.utf8CodeUnitCount).contains { letters.utf8Start[$0] == bytes[index] }
            }
            guard let year = number(0, 4), has(4, "-"), let month = number(5, 2), has(7, "-"), let day = number(8, 2),
                has(10, "Tt "), let hour = number(11, 2), has(13, ":"), let minute = number(14, 2), has(16, ":"),
                let second = number(17, 2), (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61
            else { return nil }
            var index = 19
            var milliseconds = 0
            if has(index, ".") {
                index += 1
                let start = index
                var unit = 100
                while let digit = number(index, 1) {
                    milliseconds += digit * unit
                    unit /= 10
                    index += 1
                }
                if index == start { return nil }
            }
            var shift = 0
            if has(index, "Zz") {
                index += 1
            } else {
                guard has(index, "+-"), let hours = number(index + 1, 2), has(index + 3, ":"), let minutes = number(index + 4, 2)
                else { return nil }
                shift = (hours * 60 + minutes) * (has(index, "-") ? -60 : 60)
                index += 6
            }
            guard index == bytes.count else { return nil }
            let seconds = CivilDate.days(year: year, month: month, day: day) * 86_400 + hour * 3600 + minute * 60 + second - shift
            return UInt64(max(0, seconds * 1000 + milliseconds))
        }
    }

    /// `2026-05-01T12:31:07.123Z`.
    public static func text(_ milliseconds: UInt64) -> String {
        let (days, rest) = (Int(clamping: milliseconds / 86_400_000), Int(milliseconds % 86_400_000))
        // Howard Hinnant's calendar of eras of 400 years, which begin with March.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let part = (5 * dayOfYear + 2) / 153
        let month = part < 10 ? part + 3 : part - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let date = "\(padded(year, 4))-\(padded(month, 2))-\(padded(dayOfYear - (153 * part + 2) / 5 + 1, 2))"
        let time = "\(padded(rest / 3_600_000, 2)):\(padded(rest / 60_000 % 60, 2)):\(padded(rest / 1000 % 60, 2))"
        return "\(date)T\(time).\(padded(rest % 1000, 3))Z"
    }

    private static func padded(_ number: Int, _ digits: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }
}
