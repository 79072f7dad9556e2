import TocsinPosix
import TocsinProto

/// Which heartbeats come, and which are missed: a pure table. Times are milliseconds since 1970, by the watching detector's clock.
struct HeartbeatTable: Sendable {
    /// So many names at most; those past it are counted.
    static let namesMax = 10_000

    /// What there is to say of a heartbeat.
    struct Notice: Equatable, Sendable {
        enum Kind: Equatable, Sendable {
            case missed
            case failed
            case back
        }
        var kind: Kind
        var name: String
        var service: String
        var severity: String
        /// When it last came; 0: never.
        var last: UInt64
        var interval: UInt64
        var note: String
        /// The same from every detector that watches: what it is about, as a text.
        var identity: String
    }

    private struct Entry {
        /// 0: nobody said how often it comes, so it is never missed.
        var interval: UInt64
        var grace: UInt64
        var service: String
        var severity: String
        /// It is configured, so it does not end.
        var isExpected: Bool
        /// When it last came, or when watching began, where it never did.
        var since: UInt64
        var last: UInt64 = 0
        /// Of the message it last came with; 0: never.
        var sequence: UInt64 = 0
        /// Said to be missed or failed, when, and how often.
        var saidAt: UInt64?
        var times = 0
        /// The last one said that the job failed.
        var hasFailed = false
        var note = ""
        /// The heartbeat before this one was missed, or said that the job failed: what another detector, or this one before it
        /// was restarted, may have said is to be taken back.
        var mayBeReported = false
    }

    private let severity: String
    private let repeatAfter: UInt64
    private var entries: [String: Entry] = [:]
    /// Heartbeats of names there was no room for.
    private(set) var left = 0

    /// `now`: what is expected and never came is missed from here on.
    init(_ check: HeartbeatCheck, severity: String, repeatAfter: Duration, now: UInt64) {
        self.severity = severity
        self.repeatAfter = UInt64(max(1, repeatAfter.wholeMilliseconds))
        for expected in check.expected {
            let interval = UInt64(max(1, expected.every.wholeMilliseconds))
            entries[expected.name] = Entry(
                interval: interval, grace: expected.grace.map { UInt64($0.wholeMilliseconds) } ?? interval / 10,
                service: expected.service ?? expected.name, severity: expected.severity ?? severity, isExpected: true, since: now)
        }
    }

    /// Takes a heartbeat in. Empty while what is past is read: that is judged as a whole, by `judge`.
    mutating func take(_ beat: Tocsin_V1_Heartbeat, sequence: UInt64, at time: UInt64, isPast: Bool) -> [Notice] {
        let known = entries[beat.name]
        if beat.ended {
            guard let known, !known.isExpected else { return [] }
            entries[beat.name] = nil
            return known.saidAt != nil || known.mayBeReported ? [notice(.back, beat.name, known)] : []
        }
        guard var entry = known ?? enrolled(beat, at: time) else { return [] }
        let wasLate = entry.sequence != 0 && isLate(entry, at: time)
        let before = entry
        // What a job says of itself holds, unless the configuration says something.
        if !entry.isExpected { adopt(beat, &entry) }
        let wasReported = entry.saidAt != nil || entry.mayBeReported || entry.hasFailed || wasLate
        (entry.since, entry.last, entry.sequence) = (time, time, sequence)
        (entry.saidAt, entry.times) = (nil, 0)
        (entry.hasFailed, entry.note) = (beat.failed, beat.note)
        defer { entries[beat.name] = entry }
        guard !isPast else {
            entry.mayBeReported = wasReported
            return []
        }
        entry.mayBeReported = false
        if beat.failed {
            entry.saidAt = time
            return [notice(.failed, beat.name, entry)]
        }
        // Of the service that it was reported for.
        var back = entry
        back.service = before.service.isEmpty ? entry.service : before.service
        return wasReported ? [notice(.back, beat.name, back)] : []
    }

    /// What is missed at a time up to which every heartbeat has been taken in, and what is to be said again. The first time, what
    /// failed in the past is said, and what was missed then and came again is told to be over, in case nobody has.
    mutating func judge(_ now: UInt64) -> [Notice] {
        var notices: [Notice] = []
        for (name, var entry) in entries {
            if isLate(entry, at: now) {
                let isDue = entry.saidAt.map { now >= $0 && now - $0 >= repeatAfter } ?? true
                guard isDue else { continue }
                (entry.saidAt, entry.times) = (now, entry.times + 1)
                notices.append(notice(.missed, name, entry))
            } else if entry.hasFailed {
                guard entry.saidAt == nil else { continue }
                entry.saidAt = now
                notices.append(notice(.failed, name, entry))
            } else if entry.mayBeReported {
                notices.append(notice(.back, name, entry))
                entry.mayBeReported = false
            }
            entries[name] = entry
        }
        return notices.sorted { $0.name < $1.name }
    }

    /// For so long nothing could come, or nobody looked: it does not count against anybody.
    mutating func forgive(_ milliseconds: UInt64, now: UInt64) {
        for (name, entry) in entries { entries[name]?.since = min(now, entry.since &+ min(milliseconds, now)) }
    }

    private func isLate(_ entry: Entry, at time: UInt64) -> Bool {
        entry.interval > 0 && time > entry.since && time - entry.since > entry.interval + entry.grace
    }

    private mutating func enrolled(_ beat: Tocsin_V1_Heartbeat, at time: UInt64) -> Entry? {
        guard beat.intervalMs > 0 || beat.failed, !beat.name.isEmpty else { return nil }
        guard entries.count < Self.namesMax else {
            left += 1
            return nil
        }
        return Entry(interval: 0, grace: 0, service: "", severity: "", isExpected: false, since: time)
    }

    private func adopt(_ beat: Tocsin_V1_Heartbeat, _ entry: inout Entry) {
        if beat.intervalMs > 0 {
            // A year at most, so that sums stay far from their limits.
            entry.interval = min(beat.intervalMs, 366 * 86_400_000)
            entry.grace = beat.graceMs > 0 ? min(beat.graceMs, 366 * 86_400_000) : entry.interval / 10
        }
        // What is left out is as it was said before.
        if !beat.service.isEmpty || entry.service.isEmpty { entry.service = beat.service.isEmpty ? beat.name : beat.service }
        if !beat.severityHint.isEmpty || entry.severity.isEmpty {
            entry.severity = beat.severityHint.isEmpty ? severity : beat.severityHint
        }
    }

    private func notice(_ kind: Notice.Kind, _ name: String, _ entry: Entry) -> Notice {
        Notice(
            kind: kind, name: name, service: entry.service, severity: entry.severity, last: entry.last, interval: entry.interval,
            note: kind == .missed ? "" : entry.note, identity: "\(kind)|\(name)|\(entry.sequence)|\(entry.times)")
    }
}
