import Foundation
import Glibc
import TestSupport
import Testing
import TocsinDomain

@testable import TocsinCalendar

/// Seconds from 1970-01-01 00:00 to `2026-03-29 02:30`, on whatever clock shows that.
func local(_ text: String) throws -> Int { try #require(CivilTime(parsing: text)).localSeconds }

@Suite struct TimeZoneRulesTests {
    private typealias Moment = TimeZoneRules.Moment

    private static let hour = 3600

    @Test(
        "A local time in the gap of spring is moved by the gap, of the two of autumn the first is taken",
        arguments: [
            // Zone, what the clock shows, when in UTC, when again; of a gap: moved, and when the clock was put forward.
            ("Europe/Berlin", "2026-03-29 01:59", "2026-03-29 00:59", "", false),
            ("Europe/Berlin", "2026-03-29 02:00", "2026-03-29 01:00", "2026-03-29 01:00", true),
            ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29 01:30", "2026-03-29 01:00", true),
            ("Europe/Berlin", "2026-03-29 03:00", "2026-03-29 01:00", "", false),
            ("Europe/Berlin", "2026-10-25 01:59", "2026-10-24 23:59", "", false),
            ("Europe/Berlin", "2026-10-25 02:00", "2026-10-25 00:00", "2026-10-25 01:00", false),
            ("Europe/Berlin", "2026-10-25 02:59", "2026-10-25 00:59", "2026-10-25 01:59", false),
            ("Europe/Berlin", "2026-10-25 03:00", "2026-10-25 02:00", "", false),
            ("America/New_York", "2026-03-08 02:30", "2026-03-08 07:30", "2026-03-08 07:00", true),
            ("America/New_York", "2026-11-01 01:30", "2026-11-01 05:30", "2026-11-01 06:30", false),
            ("America/New_York", "2026-11-01 02:00", "2026-11-01 07:00", "", false),
            // Half an hour.
            ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03 15:45", "2026-10-03 15:30", true),
            ("Australia/Lord_Howe", "2026-10-04 02:30", "2026-10-03 15:30", "", false),
            ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04 14:45", "2026-04-04 15:15", false),
            ("Asia/Kolkata", "2026-03-29 02:30", "2026-03-28 21:00", "", false),
            // Winter time is the one that is put on.
            ("Europe/Dublin", "2026-03-29 01:30", "2026-03-29 01:30", "2026-03-29 01:00", true),
            // A day that there was not.
            ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 22:00", "2011-12-30 10:00", true),
            // What follows the table.
            ("Europe/Berlin", "2399-03-28 02:30", "2399-03-28 01:30", "2399-03-28 01:00", true),
            ("America/New_York", "9000-07-01 12:00", "9000-07-01 16:00", "", false),
            ("America/Nuuk", "2500-03-27 23:30", "2500-03-28 01:30", "2500-03-28 01:00", true),
        ])
    func edges(zone: String, shown: String, first: String, second: String, isGap: Bool) throws {
        let rules = try TimeZoneRules.named(zone)
        let expected: Moment =
            if isGap { .gap(moved: try local(first), change: try local(second)) } else if second.isEmpty {
                .once(try local(first))
            } else { .fold(first: try local(first), second: try local(second)) }
        #expect(rules.moment(localSeconds: try local(shown)) == expected)
        #expect(rules.seconds(localSeconds: try local(shown)) == (try local(first)))
    }

    @Test("Before the table the first local time holds, and no time is too far away")
    func extremes() throws {
        let berlin = try TimeZoneRules.named("Europe/Berlin")
        #expect(berlin.offset(at: .min) == 3208)
        #expect([3600, 7200].contains(berlin.offset(at: .max)))
        #expect(TimeZoneRules.utc.seconds(localSeconds: 12) == 12)
        _ = berlin.moment(localSeconds: .min)
        _ = berlin.moment(localSeconds: .max)
    }

    @Test(
        "A name that is no zone is refused, with the one that may be meant",
        arguments: [
            ("Europe/Berln", "there is no time zone \"Europe/Berln\"; did you mean \"Europe/Berlin\"?"),
            ("europe/berlin", "there is no time zone \"europe/berlin\"; did you mean \"Europe/Berlin\"?"),
            ("New York", "\"New York\" is not the name of a time zone; write it as in Europe/Berlin"),
            ("New_York", "there is no time zone \"New_York\"; did you mean \"America/New_York\"?"),
            ("../etc/passwd", "\"../etc/passwd\" is not the name of a time zone; write it as in Europe/Berlin"),
            ("/etc/passwd", "\"/etc/passwd\" is not the name of a time zone; write it as in Europe/Berlin"),
            ("", "\"\" is not the name of a time zone; write it as in Europe/Berlin"),
            ("leapseconds", "\"leapseconds\" is not a time zone: its file does not begin as one"),
        ])
    func refusedNames(name: String, message: String) throws {
        #expect(throws: CalendarProblem(message)) { () throws -> Void in _ = try TimeZoneRules.named(name) }
    }

    @Test("Without the database UTC is there, and the error says what to install")
    func noDatabase() throws {
        let folder = try TemporaryFolder()
        #expect(try TimeZoneRules.named("UTC", folder: folder.path) == .utc)
        let problem = CalendarProblem("there is no time zone \"Europe/Berlin\"; \(folder.path) has no time zones: install tzdata")
        #expect(throws: problem) { () throws -> Void in
            _ = try TimeZoneRules.named("Europe/Berlin", folder: folder.path)
        }
    }

    @Test("Damaged files are refused or read, and never trap: each cut, and bytes changed at random")
    func damagedFiles() throws {
        var random = SplitMix64.seeded()
        let whole = Array(try Data(contentsOf: URL(filePath: "\(TimeZoneRules.systemFolder)/Australia/Lord_Howe")))
        for length in 0..<whole.count {
            #expect(throws: CalendarProblem.self) { () throws -> Void in
                _ = try TimeZoneRules(name: "X", bytes: Array(whole[..<length]))
            }
        }
        var read = 0
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0...random.below(3) { bytes[random.below(bytes.count)] = UInt8.random(in: 0...255, using: &random) }
            guard let rules = try? TimeZoneRules(name: "X", bytes: bytes) else { continue }
            read += 1
            for time in [Int.min, -4_000_000_000, 0, 1_775_000_000, 9_000_000_000, Int.max] {
                _ = rules.moment(localSeconds: rules.localSeconds(at: time))
            }
        }
        #expect(read > 100)
    }

    @Test(
        "Rules that RFC 9636 does not allow are refused",
        arguments: [
            "", "CE", "CET", "CET-25", "CET-1CEST", "CET-1CEST,M3.5.0", "CET-1CEST,M13.5.0,M10.5.0", "CET-1CEST,M3.6.0,M10.5.0",
            "CET-1CEST,M3.0.0,M10.5.0", "CET-1CEST,M3.5.7,M10.5.0", "CET-1CEST,J0,J365", "CET-1CEST,J1,J366", "<CET-1",
            "CET-1CEST,M3.5.0/168,M10.5.0", "CET-1CEST,M3.5.0,M10.5.0x", "CET-1:60", "CET-99999999999999999999",
        ])
    func wrongRules(text: String) { #expect(PosixRule(parsing: text.utf8) == nil) }

    @Test("Daylight time all year, days of the year with and without 29 February, and minutes in offsets")
    func unusualRules() throws {
        func zone(_ text: String) throws -> TimeZoneRules {
            let rule = try #require(PosixRule(parsing: text.utf8))
            return TimeZoneRules(name: text, initialOffset: 0, transitions: [], future: rule)
        }
        let allYear = try zone("EST5EDT,0/0,J365/25")
        for time in ["2026-01-01 04:00", "2026-01-01 05:00", "2026-07-01 00:00", "2026-12-31 23:59", "2300-01-01 04:30"] {
            #expect(allYear.offset(at: try local(time)) == -4 * Self.hour)
        }
        // 1 March is day 60 of J in every year, and 60 from zero only in leap years.
        let days = try zone("<+0330>-3:30<+0430>,J60/0,60/0")
        #expect(days.offset(at: try local("2028-02-29 20:29")) == 3 * Self.hour + 1800)
        let other = try zone("<-00>0<+01>,60/0,J300")
        #expect(other.offset(at: try local("2028-03-01 00:00")) == Self.hour)
        #expect(other.offset(at: try local("2027-03-01 12:00")) == 0)
        #expect(other.offset(at: try local("2027-03-02 00:00")) == Self.hour)
    }

    /// The independent implementation: CPython's zoneinfo, in C. One line a question: zone, UTC, offset, and for the local time that
    /// is so many seconds later whether it is a gap, a fold or neither, and the time it is taken for.
    private static let program = """
        import sys, zoneinfo
        from datetime import datetime, timedelta, timezone
        epoch = datetime(1970, 1, 1)
        for line in sys.stdin:
            name, at, later = line.split()
            zone = zoneinfo.ZoneInfo(name)
            moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=int(at))
            offset = int(moment.astimezone(zone).utcoffset().total_seconds())
            shown = epoch + timedelta(seconds=int(at) + offset + int(later))
            first, second = (
                int(((shown - shown.replace(tzinfo=zone, fold=fold).utcoffset()) - epoch).total_seconds()) for fold in (0, 1))
            kind = "once" if first == second else "gap" if first > second else "fold"
            print(offset, kind, first)
        """

    private static let python = "/usr/bin/python3"

    @Test(
        "CPython's zoneinfo says the same at 10,000 random times of all zones, half of them near a change",
        .enabled(if: access(python, X_OK) == 0, "\(python) is not there"), .timeLimit(.minutes(2)))
    func agreesWithPython() throws {
        var random = SplitMix64.seeded()
        let folder = try TemporaryFolder()
        let names = TimeZoneRules.names(in: TimeZoneRules.systemFolder).sorted()
        let zones = names.compactMap { try? TimeZoneRules.named($0) }
        #expect(zones.count > 400)
        var questions: [(zone: TimeZoneRules, at: Int, later: Int)] = []
        let span = CivilDate.days(year: 1850, month: 1, day: 1) * 86_400...CivilDate.days(year: 2600, month: 1, day: 1) * 86_400
        for _ in 0..<10_000 {
            let zone = zones[random.below(zones.count)]
            var at = Int.random(in: span, using: &random)
            if random.chance(0.5) { at = change(of: zone, near: at) + random.below(20_000) - 10_000 }
            questions.append((zone, at, random.below(20_000) - 10_000))
        }
        let file = "\(folder.path)/questions"
        let text = questions.map { "\($0.zone.name) \($0.at) \($0.later)\n" }.joined()
        try Data(text.utf8).write(to: URL(filePath: file))
        let process = Process()
        process.executableURL = URL(filePath: Self.python)
        process.arguments = ["-c", Self.program]
        process.standardInput = try FileHandle(forReadingFrom: URL(filePath: file))
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let answers = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).split(separator: "\n")
        process.waitUntilExit()
        try #require(answers.count == questions.count)
        for (question, answer) in zip(questions, answers) {
            let offset = question.zone.offset(at: question.at)
            let ours =
                switch question.zone.moment(localSeconds: question.at + offset + question.later) {
                case .once(let moment): "once \(moment)"
                case .gap(let moment, _): "gap \(moment)"
                case .fold(let moment, _): "fold \(moment)"
                }
            #expect("\(offset) \(ours)" == answer, "\(question.zone.name) at \(question.at), \(question.later) s later")
        }
    }

    /// A change of the clock in the two years after `time`, found by halving; `time` if there is none.
    private func change(of zone: TimeZoneRules, near time: Int) -> Int {
        let step = 30 * 86_400
        guard var high = (1...24).map({ time + $0 * step }).first(where: { zone.offset(at: $0) != zone.offset(at: time) }) else {
            return time
        }
        var low = high - step
        while high - low > 1 {
            let middle = (low + high) / 2
            if zone.offset(at: middle) == zone.offset(at: low) { low = middle } else { high = middle }
        }
        return high
    }
}
