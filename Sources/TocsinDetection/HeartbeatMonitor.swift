import Crypto
import Logging
import TocsinKit
import TocsinPosix
import TocsinProto
import TocsinSystem
import TocsinWire

/// Watches for heartbeats that do not come.
///
/// All it knows it reads from the hub's log when it starts, so nothing is lost with it, and any number of detectors may watch: their
/// events have the same ids, and the hub keeps one of each. It says of nothing that it is missed while it may not have seen it: it
/// sends a mark through the hub now and then, and what was not there before the mark came back is missed.
actor HeartbeatMonitor {
    private let check: Check
    private let heartbeat: HeartbeatCheck
    private let maker: EventMaker
    private let client: Client
    private let outlet: Outlet
    private let logger: Logger
    private let mark: String
    private var table: HeartbeatTable
    /// The mark came back: what is past has been read.
    private var isLive = false
    /// When the last mark came back, or was sent by whoever watched before; milliseconds since 1970, nil: nobody did.
    private var marked: UInt64?
    private var leftSaid = 0

    init(detector: String, check: Check, heartbeat: HeartbeatCheck, client: Client, outlet: Outlet, logger: Logger) {
        self.check = check
        self.heartbeat = heartbeat
        self.client = client
        self.outlet = outlet
        self.logger = logger
        maker = EventMaker(detector: detector, check: check)
        mark = randomID()
        table = Self.table(heartbeat, check)
    }

    private static func table(_ heartbeat: HeartbeatCheck, _ check: Check) -> HeartbeatTable {
        HeartbeatTable(heartbeat, severity: check.severity, repeatAfter: check.repeatInterval, now: MachineClock.wall())
    }

    /// Runs until its task is cancelled.
    nonisolated func run() async {
        var complained = false
        while !Task.isCancelled {
            do { try await watch() } catch is CancellationError { return } catch ClientError.closed { return } catch {
                if !complained { logger.warning("heartbeats cannot be watched, trying again: \(error)") }
                complained = true
                do { try await Task.sleep(for: .seconds(1)) } catch { return }
            }
        }
    }

    nonisolated private func watch() async throws {
        await begin()
        let start = MachineClock.wall() - min(MachineClock.wall(), UInt64(heartbeat.remember.wholeMilliseconds))
        let tap = try await client.tap(["heartbeat.>"], from: .time(start))
        defer { Task { await tap.close() } }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.sendMarks() }
            group.addTask { for try await item in tap { try await self.take(item) } }
            try await group.next()
            group.cancelAll()
        }
    }

    private func begin() {
        isLive = false
        marked = nil
        table = Self.table(heartbeat, check)
    }

    /// A mark now and then. The hub may be away: then none comes back, and nothing is missed meanwhile.
    nonisolated private func sendMarks() async throws {
        while true {
            var beat = Tocsin_V1_Heartbeat()
            beat.note = mark
            beat.observedAt = MachineClock.wall()
            do {
                try await client.publish([Message(beat, subject: "heartbeat.\(Self.markName)")])
            } catch ClientError.timedOut(let reason) {
                logger.debug("the hub does not answer: \(reason)")
            }
            try await Task.sleep(for: check.interval)
        }
    }

    private static let markName = "tocsin-mark"

    private func take(_ item: TapItem) async throws {
        guard case .message(let message, let sequence) = item else { return }
        let beat: Tocsin_V1_Heartbeat
        do { beat = try message.decode(Tocsin_V1_Heartbeat.self) } catch {
            logger.warning(
                "a message that is no heartbeat is left out",
                metadata: ["subject": "\(message.subject)", "sequence": "\(sequence)", "reason": "\(error)"])
            return
        }
        let now = MachineClock.wall()
        if message.subject.description == "heartbeat.\(Self.markName)" {
            guard beat.note == mark else {
                if !isLive { marked = min(message.publishedAt, now) }
                return
            }
            forgive(now)
            isLive = true
            try await say(table.judge(beat.observedAt))
            return
        }
        // A sender's clock may be ahead.
        let time = isLive ? now : min(message.publishedAt, now)
        try await say(table.take(beat, sequence: sequence, at: time, isPast: !isLive))
        if table.left > leftSaid {
            logger.warning("heartbeats of more than \(HeartbeatTable.namesMax) names come; those of new names are not watched")
            leftSaid = table.left
        }
    }

    /// Between two marks is an interval. What is more than some is time in which the hub could not be reached, or nobody watched.
    private func forgive(_ now: UInt64) {
        let usual = UInt64(check.interval.wholeMilliseconds)
        defer { marked = now }
        guard let marked else { return table.forgive(now, now: now) }
        let gap = now - min(now, marked)
        if gap > max(5000, 3 * usual) { table.forgive(gap - usual, now: now) }
    }

    private func say(_ notices: [HeartbeatTable.Notice]) async throws {
        guard !notices.isEmpty else { return }
        try await outlet.deliver(try notices.map { try message($0) })
    }

    private func message(_ notice: HeartbeatTable.Notice) throws -> Message {
        let now = MachineClock.wall()
        let every = "every \(Self.shown(notice.interval))"
        let ago = notice.last == 0 ? "it never came" : "the last came \(Self.shown(now - min(now, notice.last))) ago"
        let summary =
            switch notice.kind {
            case .missed: "\(notice.name) gives no sign of life: \(ago), it is to come \(every)"
            case .failed: "\(notice.name) failed" + (notice.note.isEmpty ? "" : ": \(notice.note)")
            case .back: "\(notice.name) is alive"
            }
        var labels = maker.baseLabels
        labels["heartbeat"] = notice.name
        var details = maker.baseDetails
        details["every"] = Self.shown(notice.interval)
        if notice.last != 0 { details["last_ms"] = "\(notice.last)" }
        if !notice.note.isEmpty { details["output"] = notice.note }
        let digest = SHA256.hash(data: Array("tocsin.heartbeat.1|\(notice.identity)".utf8))
        return try maker.message(
            EventMaker.Content(
                id: Array(digest.prefix(16)).hexadecimal, kind: notice.kind == .back ? .resolve : .trigger,
                service: notice.service, summary: summary, severity: notice.severity, dedupKey: "heartbeat/\(notice.name)",
                labels: labels, details: details, observedAt: now))
    }

    /// `90s`, `5m`, `2h`, `1d`: as configurations have it, rounded down.
    static func shown(_ milliseconds: UInt64) -> String {
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)] as [(String, UInt64)]
        where milliseconds >= 2 * size || (milliseconds >= size && milliseconds % size == 0) {
            return "\(milliseconds / size)\(unit)"
        }
        return milliseconds < 1000 ? "\(milliseconds)ms" : "\(milliseconds / 1000)s"
    }
}
