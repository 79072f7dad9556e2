import TocsinDomain
import TocsinPosix

/// What clocks show in one zone of the IANA database, at any time. All times are seconds since 1970 in UTC; years -9999 to 9999,
/// beyond them the nearest.
///
/// Source: RFC 9636 (TZif, version 2 and later; the footer says what follows the last transition).
public struct TimeZoneRules: Sendable, Equatable {
    /// `Europe/Berlin`.
    public let name: String
    private let initialOffset: Int
    /// In the order of time.
    private let transitions: [Transition]
    private let future: PosixRule?

    public static let utc = TimeZoneRules(name: "UTC", initialOffset: 0, transitions: [], future: nil)
    /// Where Debian, Alpine, Fedora and others have the database.
    public static let systemFolder = "/usr/share/zoneinfo"

    init(name: String, initialOffset: Int, transitions: [Transition], future: PosixRule?) {
        self.name = name
        self.initialOffset = initialOffset
        self.future = future
        // Looked up much faster than worked out.
        let last = transitions.last?.at ?? .min
        let year = max(1900, CivilDate.date(floorDivide(Self.clamped(last), 86_400)).year)
        let foreseen = year < 2100 ? future?.transitions(years: year, 2100).filter { $0.at > last } ?? [] : []
        self.transitions = transitions + foreseen
    }

    /// A year has 31,556,952 seconds on average.
    private static let range = -31_556_952 * 12_000...31_556_952 * 8_029

    private static func clamped(_ seconds: Int) -> Int { min(max(seconds, range.lowerBound), range.upperBound) }

    /// Seconds east of UTC.
    public func offset(at seconds: Int) -> Int {
        let seconds = Self.clamped(seconds)
        if let future, transitions.last.map({ $0.at <= seconds }) ?? true {
            let year = CivilDate.date(floorDivide(seconds, 86_400)).year
            // The change before it may be one of the year before, by the clock of UTC or as the only one of a zone.
            let last = future.transitions(years: year - 1, year + 1).last { $0.at <= seconds }
            return last?.offset ?? future.standard
        }
        return index(at: seconds).map { transitions[$0].offset } ?? initialOffset
    }

    /// The last transition that is not after `seconds`.
    private func index(at seconds: Int) -> Int? {
        var low = 0
        var high = transitions.count
        while low < high {
            let middle = (low + high) / 2
            if transitions[middle].at <= seconds { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? nil : low - 1
    }

    /// What the clock shows, in seconds since 1970-01-01 00:00 on that clock.
    public func localSeconds(at seconds: Int) -> Int {
        let seconds = Self.clamped(seconds)
        return seconds + offset(at: seconds)
    }

    /// When a clock shows something.
    public enum Moment: Sendable, Equatable {
        case once(Int)
        /// Never, because the clock was put forward over it. `moved`: when it would have shown it, had it not been; `change`:
        /// when it was.
        case gap(moved: Int, change: Int)
        /// Twice, because the clock was put back.
        case fold(first: Int, second: Int)
    }

    /// When the clock shows `localSeconds` (since 1970-01-01 00:00 on that clock).
    public func moment(localSeconds: Int) -> Moment {
        let local = Self.clamped(localSeconds)
        // No offset is more than 26 hours; RFC 9636, 3.2.
        let reach = 26 * 3600
        var begin = local - reach
        var offset = offset(at: begin)
        var shown: [Int] = []
        var gap: Moment?
        for change in changes(from: begin, through: local + reach) + [Transition(at: .max, offset: 0)] {
            let moment = local - offset
            if moment < change.at {
                if moment >= begin { shown.append(moment) }
            } else if local < change.at + change.offset {
                gap = .gap(moved: moment, change: change.at)
            }
            (begin, offset) = (change.at, change.offset)
        }
        switch (shown.min(), shown.max()) {
        case (let first?, let last?): return first == last ? .once(first) : .fold(first: first, second: last)
        default: return gap ?? .once(local - self.offset(at: local))
        }
    }

    /// When the clock shows `localSeconds`. A time in the gap that the clock is put forward over in spring is moved forward by the
    /// length of the gap; of the two of autumn it is the first. Source: RFC 5545, 3.3.5, says the same of calendars.
    public func seconds(localSeconds: Int) -> Int {
        switch moment(localSeconds: localSeconds) {
        case .once(let moment), .gap(let moment, _), .fold(let moment, _): moment
        }
    }

    /// Transitions after `first` through `last`, in order.
    private func changes(from first: Int, through last: Int) -> [Transition] {
        var found: [Transition] = []
        var next = index(at: first).map { $0 + 1 } ?? 0
        while next < transitions.count, transitions[next].at <= last {
            found.append(transitions[next])
            next += 1
        }
        guard let future else { return found }
        let known = transitions.last?.at ?? .min
        let years = [first, last].map { CivilDate.date(floorDivide($0, 86_400)).year }
        return found
            + future.transitions(years: years[0] - 1, years[1] + 1).filter { $0.at > first && $0.at <= last && $0.at > known }
    }
}

func floorDivide(_ a: Int, _ b: Int) -> Int { a >= 0 ? a / b : (a - b + 1) / b }
