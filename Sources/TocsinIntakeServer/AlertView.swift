import Logging
import Synchronization
import TocsinIntake
public import TocsinKit
import TocsinProto
import TocsinWire

/// The alerts that fire and the silences, as the stream has them: read from its beginning by a tap, kept up to date, never written
/// to by a request. So every gateway gives the same answer, and one that starts again has lost nothing the hub keeps. Thread-safe.
///
/// It also says, every second, which alerts are over because nobody sent them again, and publishes silences again before the hub lets
/// go of them. Nobody is held to be silent who could not be heard: after the start, and after the hub was away or took nothing, no
/// alert is over for as long as whoever sends it needs to do so again.
public final class AlertView: Sendable {
    struct Tables: Sendable {
        var alerts = AlertTable()
        var silences = SilenceTable()
        /// Highest sequence that was read.
        var sequence: UInt64 = 0
        /// Everything there was when reading began has been read.
        var isReady = false
        /// No alert is overdue before, milliseconds since 1970.
        var patientUntil: UInt64 = 0
    }
    private let tables = Mutex(Tables())
    private let sink: any MessageSink
    private let logger: Logger
    private let clock: @Sendable () -> UInt64
    private let patience: UInt64
    /// Milliseconds since 1970.
    let startedAt: UInt64
    private static let events = "event.\(SourceKind.alertmanager.rawValue)."
    static let eventFilter = "\(events)>"
    private static let markSubject = "silence.read"

    /// - Parameters:
    ///   - resolveTimeout: how long an alert of Alertmanager's API fires that does not say when it ends, and none is overdue after
    ///     somebody could not be heard, milliseconds.
    ///   - clock: milliseconds since 1970.
    public init(
        sink: any MessageSink, logger: Logger, resolveTimeout: UInt64 = 300_000, clock: @escaping @Sendable () -> UInt64
    ) {
        patience = resolveTimeout
        self.sink = sink
        self.logger = logger
        self.clock = clock
        startedAt = clock()
    }

    var isReady: Bool { tables.withLock { $0.isReady } }

    /// A copy: whoever reads holds nobody up.
    ///
    /// - Throws: `unavailable` while the stream is being read.
    func read() throws(IntakeFailure) -> Tables {
        let tables = tables.withLock { $0 }
        guard tables.isReady else {
            throw .sink(.unavailable(retryAfter: .seconds(1), reason: "the stream is being read; ask again in a second"))
        }
        return tables
    }

    /// As they are to be published.
    func distinguished(_ events: [Tocsin_V1_Event]) -> [Tocsin_V1_Event] {
        tables.withLock { tables in events.map { tables.alerts.distinguished($0) } }
    }

    /// Somebody could not be heard.
    func bePatient() {
        let until = clock() + patience
        tables.withLock { $0.patientUntil = max($0.patientUntil, until) }
    }

    /// Whether there is no place any more for one of these alerts.
    func isFull(for events: [Tocsin_V1_Event]) -> Bool {
        tables.withLock { tables in events.contains { $0.kind != .resolve && tables.alerts.isFull(for: $0.labels) } }
    }

    /// Waits until `condition` holds, at most a second: for what was published a moment ago.
    func wait(_ condition: @Sendable (Tables) -> Bool) async {
        let end = ContinuousClock.now + .seconds(1)
        while ContinuousClock.now < end, !tables.withLock({ condition($0) }) {
            do { try await Task.sleep(for: .milliseconds(2)) } catch { return }
        }
    }

    // MARK: Reading

    /// Reads the stream until the task is cancelled. `client` is the hub's; `journal` tells which sequences it keeps.
    public func run(_ client: Client, journal: @escaping @Sendable () async throws -> ClosedRange<UInt64>) async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.follow(client) }
            group.addTask { await self.tend(client, journal) }
        }
    }

    private func follow(_ client: Client) async {
        while !Task.isCancelled {
            do {
                let next = tables.withLock { $0.sequence } + 1
                let tap = try await client.tap([Self.eventFilter, "silence.>"], from: .sequence(next), credit: 8192)
                // It comes back when everything before it has been read.
                let mark = Message(subject: Self.markSubject, payload: [])
                let marking = Task { [sink] in
                    while true {
                        do { return try await sink.publish([mark]) } catch { try await Task.sleep(for: .seconds(1)) }
                    }
                }
                defer { marking.cancel() }
                for try await item in tap {
                    switch item {
                    case .message(let message, let sequence): apply(message, sequence: sequence, mark: mark.id)
                    case .gap: bePatient()
                    }
                }
                return
            } catch is CancellationError {
                return
            } catch {
                bePatient()
                logger.warning("alerts and silences cannot be read now, trying again: \(error)")
                do { try await Task.sleep(for: .seconds(1)) } catch { return }
            }
        }
    }

    func apply(_ message: Message, sequence: UInt64, mark: [UInt8] = []) {
        do {
            if message.subject == Self.markSubject {
                if message.id == mark {
                    bePatient()
                    tables.withLock { $0.isReady = true }
                }
            } else if message.subject.hasPrefix(SilenceTable.subjects) {
                // What may be published is decided by subjects, so what a message is too.
                let silence = try message.decode(Tocsin_V1_Silence.self)
                let isTaken =
                    message.subject == SilenceTable.subject(silence.id)
                    && tables.withLock { $0.silences.apply(silence, sequence: sequence, now: message.publishedAt) }
                if !isTaken { logger.warning("message \(sequence) is no silence that can be applied") }
            } else if message.subject.hasPrefix(Self.events) {
                let event = try message.decode(Tocsin_V1_Event.self)
                if !event.drill { tables.withLock { $0.alerts.apply(event, publishedAt: message.publishedAt) } }
            }
        } catch {
            logger.warning("message \(sequence) on \(message.subject) cannot be read: \(error)")
        }
        tables.withLock { $0.sequence = max($0.sequence, sequence) }
    }

    // MARK: What time does

    private func tend(_ client: Client, _ journal: @Sendable () async throws -> ClosedRange<UInt64>) async {
        var ticks = 0
        while true {
            do { try await Task.sleep(for: .seconds(1)) } catch { return }
            if !client.isConnected { bePatient() }
            guard isReady else { continue }
            await resolveOverdue()
            ticks += 1
            if ticks % 10 == 0 { await keepSilences(journal) }
        }
    }

    func resolveOverdue() async {
        let now = clock()
        let events = tables.withLock { tables in
            tables.alerts.contradicted() + (now < tables.patientUntil ? [] : tables.alerts.overdue(now: now))
        }
        guard !events.isEmpty else { return }
        do throws(SinkError) { try await sink.accept(events) } catch {
            bePatient()
            logger.warning("\(events.count) alerts are over, or not, and the hub does not take it now, trying again: \(error)")
        }
    }

    /// Publishes again, under an id that all gateways give, those in the older half of what the hub keeps.
    private func keepSilences(_ journal: @Sendable () async throws -> ClosedRange<UInt64>) async {
        do {
            let kept = try await journal()
            let middle = kept.lowerBound + (kept.upperBound - kept.lowerBound) / 2
            let old = tables.withLock { tables in
                tables.silences.prune(now: clock())
                tables.alerts.prune(now: clock())
                // What is far from the journal's end will not be let go of while little is kept.
                return kept.lowerBound > 1 ? tables.silences.older(than: middle, now: clock()) : []
            }
            guard !old.isEmpty else { return }
            try await sink.publish(try Self.messages(old, again: kept.lowerBound))
        } catch {
            logger.warning("silences are not kept up now, trying again: \(error)")
        }
    }

    /// One for each silence. `again` tells apart the times that one and the same is published.
    static func messages(_ silences: [Tocsin_V1_Silence], again: UInt64 = 0) throws(SinkError) -> [Message] {
        var messages: [Message] = []
        for (index, silence) in silences.enumerated() {
            do {
                messages.append(
                    try Message(
                        silence,
                        id: Array(
                            EventID.of(["silence", silence.id, "\(silence.updatedAt)", "\(silence.endsAt)", "\(again)"]).utf8),
                        subject: SilenceTable.subject(silence.id)))
            } catch { throw .refused(index: index, reason: "\(error)") }
        }
        return messages
    }
}
