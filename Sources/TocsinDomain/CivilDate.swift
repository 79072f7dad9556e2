/// The proleptic Gregorian calendar, without zones.
package enum CivilDate {
    /// Days from 1970-01-01 to a date, negative before it; `month` 1...12, `day` 1...31. A day that the month does not have counts
    /// into the next.
    ///
    /// Source: H. Hinnant, "chrono-compatible low-level date algorithms": years begin in March, so that the leap day is their last.
    package static func days(year: Int, month: Int, day: Int) -> Int {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// The date so many days after 1970-01-01; the inverse of `days`, after the same source.
    package static func date(_ days: Int) -> (year: Int, month: Int, day: Int) {
        let days = days + 719_468
        let era = (days >= 0 ? days : days - 146_096) / 146_097
        let dayOfEra = days - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (
            year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month: month, day: dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        )
    }

    /// The day of the week, 1 (Monday) to 7 (Sunday) as in ISO 8601.
    package static func weekday(_ days: Int) -> Int { ((days + 3) % 7 + 7) % 7 + 1 }

    /// How many days the month has; `month` 1...12.
    package static func daysInMonth(year: Int, month: Int) -> Int {
        days(year: month == 12 ? year + 1 : year, month: month == 12 ? 1 : month + 1, day: 1)
            - days(year: year, month: month, day: 1)
    }
}
