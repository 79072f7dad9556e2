import Glibc
import TocsinPosix
import TocsinSystem

/// Times, given in milliseconds since 1970, as people and programs read them.
package enum TimeText {
    /// So long ago, in milliseconds since 1970.
    package static func before(_ duration: Duration) -> UInt64 {
        let (now, back) = (MachineClock.wall(), UInt64(max(0, duration.components.seconds)) * 1000)
        return now > back ? now - back : 0
    }

    /// `2026-05-01T12:31:07.123Z` (RFC 3339).
    package static func utc(_ milliseconds: UInt64) -> String {
        var parts = tm()
        var seconds = time_t(milliseconds / 1000)
        gmtime_r(&seconds, &parts)
        return "\(format("%Y-%m-%dT%H:%M:%S", parts)).\(padded(Int(milliseconds % 1000), 3))Z"
    }

    /// For programs: the number itself, null where there is no time.
    package static func json(_ milliseconds: UInt64) -> JSON { milliseconds == 0 ? .null : .unsigned(milliseconds) }

    /// In the zone of this machine: `12:31:07`, with the date when it is not today's.
    package static func local(_ milliseconds: UInt64, now: UInt64 = MachineClock.wall()) -> String {
        func parts(_ milliseconds: UInt64) -> tm {
            var parts = tm()
            var seconds = time_t(milliseconds / 1000)
            localtime_r(&seconds, &parts)
            return parts
        }
        let (then, today) = (parts(milliseconds), parts(now))
        let isToday = then.tm_year == today.tm_year && then.tm_yday == today.tm_yday
        return format(isToday ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", then)
    }

    /// `45s`, `3m`, `2h`, `5d`: one unit, rounded down.
    package static func age(since milliseconds: UInt64, now: UInt64 = MachineClock.wall()) -> String {
        span(milliseconds: now > milliseconds ? now - milliseconds : 0)
    }

    package static func span(milliseconds: UInt64) -> String {
        let seconds = milliseconds / 1000
        switch seconds {
        case 0..<60: return "\(seconds)s"
        case 60..<3600: return "\(seconds / 60)m"
        case 3600..<86_400: return "\(seconds / 3600)h"
        default: return "\(seconds / 86_400)d"
        }
    }

    /// How long something took: `0.5s`, `12.0s`, and above a minute as `span` has it.
    package static func took(milliseconds: UInt64) -> String {
        milliseconds < 60_000
            ? "\(milliseconds / 1000).\(milliseconds % 1000 / 100)s" : span(milliseconds: milliseconds)
    }

    private static func format(_ pattern: String, _ parts: tm) -> String {
        var parts = parts
        var buffer = [CChar](repeating: 0, count: 64)
        let count = strftime(&buffer, buffer.count, pattern, &parts)
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func padded(_ number: Int, _ digits: Int) -> String {
        let text = "\(number)"
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}
