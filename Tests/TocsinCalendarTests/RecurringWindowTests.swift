import TestSupport
import Testing

@testable import TocsinCalendar

@Suite struct RecurringWindowTests {
    private func time(_ text: String) throws -> TimeOfDay { try #require(TimeOfDay(parsing: text)) }

    private func window(
        _ zone: String, _ from: String, _ to: String, _ days: RecurringWindow.Days = .init()
    ) throws -> RecurringWindow {
        try RecurringWindow(.daily(days, from: time(from), to: time(to)), zone: .named(zone))
    }

    /// A time of UTC.
    private func utc(_ text: String) throws -> UInt64 { UInt64(try local(text)) * 1000 }

    @Test(
        "An occurrence is as long as the clock says, on both edges of daylight time",
        arguments: [
            // Zone, window, when it begins and ends in UTC.
            ("Europe/Berlin", "22:00", "06:00", "2026-03-28 21:00", "2026-03-29 04:00"),  // 7 h
            ("Europe/Berlin", "22:00", "06:00", "2026-10-24 20:00", "2026-10-25 05:00"),  // 9 h
            ("Europe/Berlin", "22:00", "06:00", "2026-11-28 21:00", "2026-11-29 05:00"),  // 8 h
            ("Europe/Berlin", "02:30", "03:15", "2026-03-29 01:00", "2026-03-29 01:15"),
            ("Europe/Berlin", "01:00", "02:30", "2026-03-29 00:00", "2026-03-29 01:00"),
            ("Europe/Berlin", "02:30", "03:00", "2026-10-25 00:30", "2026-10-25 02:00"),
            ("Europe/Berlin", "01:00", "02:30", "2026-10-24 23:00", "2026-10-25 00:30"),
            ("Europe/Berlin", "00:00", "24:00", "2026-03-28 23:00", "2026-03-29 22:00"),  // 23 h
            ("Europe/Berlin", "00:00", "24:00", "2026-10-24 22:00", "2026-10-25 23:00"),  // 25 h
            ("America/New_York", "22:00", "06:00", "2026-03-08 03:00", "2026-03-08 10:00"),
            ("America/New_York", "22:00", "06:00", "2026-11-01 02:00", "2026-11-01 11:00"),
            ("Australia/Lord_Howe", "22:00", "06:00", "2026-10-03 11:30", "2026-10-03 19:00"),  // 7 h 30 min
            ("Australia/Lord_Howe", "22:00", "06:00", "2026-04-04 11:00", "2026-04-04 19:30"),  // 8 h 30 min
            ("Asia/Kolkata", "22:00", "06:00", "2026-03-28 16:30", "2026-03-29 00:30"),
            ("UTC", "22:00", "06:00", "2400-02-29 22:00", "2400-03-01 06:00"),
            ("Europe/Berlin", "22:00", "06:00", "2400-03-25 21:00", "2400-03-26 04:00"),
        ])
    func edges(zone: String, from: String, to: String, begin: String, end: String) throws {
        let window = try window(zone, from, to)
        let (begin, end) = (try utc(begin), try utc(end))
        #expect(window.next(after: begin - 1) == begin)
        #expect(window.contains(begin))
        #expect(window.contains(end - 1))
        #expect(window.end(after: begin) == end)
        #expect(window.end(after: end - 1) == end)
        #expect(window.contains(begin - 1) == (from == "00:00"))
        #expect(window.contains(end) == (to == "24:00"))
        #expect(try #require(window.next(after: begin)) > begin)
    }

    @Test("An occurrence of which the clock shows nothing does not take place")
    func nothingShown() throws {
        let window = try window("Europe/Berlin", "02:00", "03:00")
        let change = try utc("2026-03-29 01:00")
        for time in [change - 1, change, change + 1] {
            #expect(!window.contains(time))
            #expect(window.end(after: time) == nil)
        }
        // Of the day after.
        #expect(window.next(after: change - 1) == (try utc("2026-03-30 00:00")))
        // The whole day was left out.
        let samoa = try self.window(
            "Pacific/Apia", "08:00", "17:00",
            .init(first: CivilDay(parsing: "2011-12-30"), last: CivilDay(parsing: "2011-12-30")))
        #expect(samoa.next(after: 0) == nil)
    }

    @Test(
        "A window is on the days that all that is set says, each the day it begins on",
        arguments: [
            // Weekdays, days of the month, ordinals; the days of March 2026, which begins on a Sunday.
            ("mon,tue", [], "", [2, 3, 9, 10, 16, 17, 23, 24, 30, 31]),
            ("", [1, 15, -1], "", [1, 15, 31]),
            ("", [], "second tue", [10]),
            ("", [], "last sun", [29]),
            ("", [], "-2 sun,first mon", [2, 22]),
            ("", [], "fifth tue", [31]),
            ("", [], "fifth wed", []),
            ("fri", [13], "", [13]),
            ("sun", [-31, -30], "", [1]),
        ])
    func days(weekdays: String, daysOfMonth: [Int], ordinals: String, expected: [Int]) throws {
        let days = RecurringWindow.Days(
            weekdays: Set(weekdays.split(separator: ",").compactMap { Weekday(parsing: $0) }), daysOfMonth: Set(daysOfMonth),
            ordinals: Set(ordinals.split(separator: ",").compactMap { RecurringWindow.Ordinal(parsing: $0) }))
        let window = try window("Europe/Berlin", "22:00", "06:00", days)
        let begin = try #require(CivilDay(parsing: "2026-03-01")).number
        let found = (0..<31).filter { days.contains(CivilDay(number: begin + $0)) }.map { $0 + 1 }
        #expect(found == expected)
        for day in expected {
            let night = UInt64((begin + day) * 86_400 * 1000)  // Midnight of UTC in the night that begins on it.
            #expect(window.contains(night))
        }
    }

    @Test("The first and the last day bound when it begins, not when it ends")
    func bounds() throws {
        let window = try window(
            "UTC", "22:00", "06:00",
            .init(first: CivilDay(parsing: "2026-12-01"), last: CivilDay(parsing: "2026-12-02")))
        #expect(window.next(after: 0) == (try utc("2026-12-01 22:00")))
        #expect(window.next(after: try utc("2026-12-01 22:00")) == (try utc("2026-12-02 22:00")))
        #expect(window.next(after: try utc("2026-12-02 22:00")) == nil)
        #expect(window.contains(try utc("2026-12-03 05:59")))
        #expect(!window.contains(try utc("2026-12-01 05:59")))
        #expect(!window.contains(try utc("2026-12-03 22:00")))
    }

    @Test("One that comes once lasts from its begin to its end, over days and over a change of the clock")
    func once() throws {
        let window = try RecurringWindow(
            .once(#require(CivilTime(parsing: "2026-10-24 22:00")), #require(CivilTime(parsing: "2026-10-26T06:00"))),
            zone: .named("Europe/Berlin"))
        let (begin, end) = (try utc("2026-10-24 20:00"), try utc("2026-10-26 05:00"))
        #expect(window.next(after: 0) == begin)
        #expect(window.next(after: begin) == nil)
        #expect(!window.contains(begin - 1))
        #expect(window.contains(begin))
        #expect(window.end(after: try utc("2026-10-25 12:00")) == end)
        #expect(!window.contains(end))
        #expect(window.description == "2026-10-24 22:00 to 2026-10-26 06:00 Europe/Berlin")
    }

    @Test("A day that never comes never comes, and one that seldom comes is found")
    func seldom() throws {
        let never = try window(
            "UTC", "00:00", "24:00", .init(weekdays: [.monday], ordinals: [#require(.init(parsing: "last sun"))]))
        #expect(never.next(after: 0) == nil)
        let lastSunday = try window(
            "UTC", "00:00", "24:00", .init(weekdays: [.sunday], daysOfMonth: [-1], first: CivilDay(parsing: "2096-01-01")))
        #expect(lastSunday.next(after: 0) == (try utc("2096-09-30 00:00")))
        #expect(never.next(after: .max) == nil)
        #expect(never.contains(.max) == false)
    }

    @Test(
        "What can never be is refused",
        arguments: [
            (
                "2026-03-02 00:00", "2026-03-02 00:00",
                "it ends at 2026-03-02 00:00, which is not after its begin at 2026-03-02 00:00"
            ),
            (
                "2026-03-02 10:00", "2026-03-01 12:00",
                "it ends at 2026-03-01 12:00, which is not after its begin at 2026-03-02 10:00"
            ),
        ])
    func refused(from: String, to: String, message: String) throws {
        let pattern = RecurringWindow.Pattern.once(
            try #require(CivilTime(parsing: from)), try #require(CivilTime(parsing: to)))
        #expect(throws: CalendarProblem(message)) { () throws -> Void in
            _ = try RecurringWindow(pattern, zone: .utc)
        }
    }

    @Test("Days and times that do not exist are not parsed")
    func parsing() {
        for text in [
            "2026-02-29", "2026-13-01", "2026-00-01", "2026-1-1", "1969-12-31", "26-01-01", "2026-01-32", "", "2026-01-01x",
        ] {
            #expect(CivilDay(parsing: text) == nil, "\(text)")
        }
        #expect(CivilDay(parsing: "2028-02-29")?.description == "2028-02-29")
        for text in ["24:01", "25:00", "12:60", "12", "12:5", ":30", "-1:00", "12:30:00", ""] {
            #expect(TimeOfDay(parsing: text) == nil, "\(text)")
        }
        #expect(TimeOfDay(parsing: "7:05")?.description == "07:05")
        #expect(Weekday(parsing: "Thursday") == .thursday)
        #expect(Weekday(parsing: "thur") == nil)
        for text in [
            "sixth mon", "0 mon", "6 mon", "mon", "last", "last foo", "9223372036854775808 mon", "-9223372036854775808 mon",
        ] {
            #expect(RecurringWindow.Ordinal(parsing: text) == nil, "\(text)")
        }
    }

    /// An oracle without occurrences: minute by minute, what the clock shows. It differs only in the hour that is shown twice.
    @Test("A minute is in the window exactly when the clock shows a time between its ends")
    func agreesWithTheClock() throws {
        var random = SplitMix64.seeded()
        for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Nuuk"] {
            let rules = try TimeZoneRules.named(zone)
            for _ in 0..<40 {
                let (from, to) = (random.below(96) * 15, random.below(97) * 15)
                guard from != to, to > 0 else { continue }
                let window = try RecurringWindow(
                    .daily(.init(), from: #require(TimeOfDay(minutes: from)), to: #require(TimeOfDay(minutes: to))), zone: rules)
                let start = try local("2026-01-01 00:00") + random.below(365 * 2) * 43_200
                for minute in stride(from: start, to: start + 3 * 86_400, by: 900) {
                    let shown = rules.localSeconds(at: minute)
                    if case .fold = rules.moment(localSeconds: shown) { continue }
                    let clock = ((shown / 60) % 1440 + 1440) % 1440
                    let isBetween = from < to ? clock >= from && clock < to : clock >= from || clock < to
                    #expect(window.contains(UInt64(minute) * 1000) == isBetween, "\(window) at \(minute)")
                }
            }
        }
    }
}
