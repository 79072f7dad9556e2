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
}
