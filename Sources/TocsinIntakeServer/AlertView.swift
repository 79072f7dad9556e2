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
/// go of them.
public final class AlertView: Sendable {
    struct Tables: Sendable {
        var alerts = AlertTable()
        var silences = SilenceTable()
        /// Highest sequence that was read.
        var sequence: UInt64 = 0
        /// Everything there was when reading began has been read.
        var isReady = false
    }
    private let tables = Mutex(Tables())
    private let sink: any MessageSink
    private let logger: Logger
    private let clock: @Sendable () -> UInt64
    /// Milliseconds since 1970.
    let startedAt: UInt64
    private static let filters = ["event.\(SourceKind.alertmanager.rawValue).>", "silence.>"]
    private static let markSubject = "silence.read"

    /// - Parameter clock: milliseconds since 1970.
    public init(sink: any MessageSink, logger: Logger, clock: @escaping @Sendable () -> UInt64) {
        self.sink = sink
        self.logger = logger
        self.clock = clock
        startedAt = clock()
    }

    var isReady: Bool { tables.withLock { $0.isReady } }

    /// - Throws: `unavailable` while the stream is being read.
    func read<Value: Sendable>(_ body: (inout Tables) -> Value) throws(IntakeFailure) -> Value {
        let value = tables.withLock { tables in tables.isReady ? body(&tables) : nil }
        guard let value else {
            throw .sink(.unavailable(retryAfter: .seconds(1), reason: "the stream is being read; ask again in a second"))
        }
        return value
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
            group.addTask { await self.tend(journal) }
        }
    }

    private func follow(_ client: Client) async {
        while !Task.isCancelled {
            do {
                let tap = try await client.tap(Self.filters, from: .sequence(tables.withLock { $0.sequence } + 1), credit: 8192)
                // It comes back when everything before it has been read.
                let mark = Message(subject: Self.markSubject, payload: [])
                let marking = Task { [sink] in
                    while true {
                        do { return try await sink.publish([mark]) } catch { try await Task.sleep(for: .seconds(1)) }
                    }
                }
                defer { marking.cancel() }
                for try await item in tap {
                    guard case .message(let message, let sequence) = item else { continue }
                    apply(message, sequence: sequence, mark: mark.id)
                }
                return
            } catch is CancellationError {
                return
            } catch {
                logger.warning("alerts and silences cannot be read now, trying again: \(error)")
                do { try await Task.sleep(for: .seconds(1)) } catch { return }
            }
        }
    }

    func apply(_ message: Message, sequence: UInt64, mark: [UInt8] = []) {
        do {
            if message.subject == Self.markSubject {
                if message.id == mark { tables.withLock { $0.isReady = true } }
            } else if message.type == Tocsin_V1_Silence.protoMessageName {
                let silence = try message.decode(Tocsin_V1_Silence.self)
                let isTaken = tables.withLock { $0.silences.apply(silence, sequence: sequence) }
                if !isTaken { logger.warning("message \(sequence) is no silence that can be applied") }
            } else {
                let event = try message.decode(Tocsin_V1_Event.self)
                if !event.drill { tables.withLock { $0.alerts.apply(event, publishedAt: message.publishedAt) } }
            }
        } catch {
            logger.warning("message \(sequence) on \(message.subject) cannot be read: \(error)")
        }
        tables.withLock { $0.sequence = max($0.sequence, sequence) }
    }

    // MARK: What time does

    private func tend(_ journal: @Sendable () async throws -> ClosedRange<UInt64>) async {
        var ticks = 0
        while true {
            do { try await Task.sleep(for: .seconds(1)) } catch { return }
            guard isReady else { continue }
            await resolveOverdue()
            ticks += 1
            if ticks % 10 == 0 { await keepSilences(journal) }
        }
    }

    func resolveOverdue() async {
        let events = tables.withLock { $0.alerts.overdue(now: clock()) }
        guard !events.isEmpty else { return }
        do throws(SinkError) { try await sink.accept(events) } catch {
            logger.warning("\(events.count) alerts are over and the hub does not take it now, trying again: \(error)")
        }
    }

    /// Publishes again, under an id that all gateways give, those in the older half of what the hub keeps.
    private func keepSilences(_ journal: @Sendable () async throws -> ClosedRange<UInt64>) async {
        do {
            let kept = try await journal()
            let middle = kept.lowerBound + (kept.upperBound - kept.lowerBound) / 2
            let old = tables.withLock { tables in
                tables.silences.prune(now: clock())
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
