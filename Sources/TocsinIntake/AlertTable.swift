public import TocsinProto

/// The alerts that fire, as Alertmanager's API tells of them: a fold over the events on `event.alertmanager.>`, so that every gateway
/// that has read the stream gives the same answer. Pure.
///
/// An alert that is not sent again is over at its `endsAt`: `overdue` makes the event that says so, with an id made of the alert and
/// that time, so that of several gateways one is heard. One without an end fires until a resolve comes.
public struct AlertTable: Sendable {
    public struct Alert: Sendable, Equatable {
        public var fingerprint: UInt64
        /// The latest that was said of it.
        public var event: Tocsin_V1_Event
        /// Milliseconds since 1970; the earliest of those said while it fired.
        public var startsAt: UInt64
        public var endsAt: UInt64?
        /// The overdue resolve of an earlier end, which is in the stream behind what prolonged it.
        var contradiction: String?
        /// When it was published last.
        public var updatedAt: UInt64

        public var annotations: [String: String] {
            event.details.filter { !Alertmanager.Detail.all.contains($0.key) && $0.key != "truncated" }
        }
        public var generatorURL: String { event.details[Alertmanager.Detail.generatorURL] ?? "" }
    }
    private var alerts: [UInt64: Alert] = [:]
    /// Those that were resolved before their end: by which event, and until when the same may be posted again.
    private var resolved: [UInt64: (by: String, until: UInt64)] = [:]
    private let countMax: Int
    /// How long after its end an alert is still waited for, milliseconds: what says that it goes on may be on its way.
    static let grace: UInt64 = 1000
    /// How long a resolve of an alert without an end is remembered, milliseconds: longer than the hub knows the ids of messages.
    static let memory: UInt64 = 86_400_000

    public init(countMax: Int = 100_000) { self.countMax = countMax }

    public var count: Int { alerts.count }

    /// Whether an alert of these labels has no place any more.
    public func isFull(for labels: [String: String]) -> Bool {
        alerts.count >= countMax && alerts[LabelSet.fingerprint(labels)] == nil
    }

    /// An event of the stream. `publishedAt` in milliseconds since 1970.
    public mutating func apply(_ event: Tocsin_V1_Event, publishedAt: UInt64) {
        let fingerprint = LabelSet.fingerprint(event.labels)
        guard event.kind != .resolve else { return resolve(fingerprint, by: event, publishedAt: publishedAt) }
        let endsAt = Self.end(of: event)
        guard let startsAt = event.details[Alertmanager.Detail.startsAt].flatMap(Timestamp.parse),
            endsAt != nil || event.details[Alertmanager.Detail.endsAt] == nil, !isFull(for: event.labels)
        else { return }
        let before = alerts[fingerprint]?.startsAt ?? startsAt
        alerts[fingerprint] = Alert(
            fingerprint: fingerprint, event: event, startsAt: min(before, startsAt), endsAt: endsAt, updatedAt: publishedAt)
    }

    private mutating func resolve(_ fingerprint: UInt64, by event: Tocsin_V1_Event, publishedAt: UInt64) {
        guard let alert = alerts[fingerprint] else { return }
        if event.details[Alertmanager.Detail.overdue] != nil, let end = Self.end(of: event), alert.endsAt ?? .max > end {
            alerts[fingerprint]?.contradiction = event.id
            return
        }
        alerts[fingerprint] = nil
        let until = alert.endsAt ?? publishedAt + min(Self.memory, .max - publishedAt)
        if until > publishedAt, resolved.count < countMax { resolved[fingerprint] = (event.id, until) }
    }

    private static func end(of event: Tocsin_V1_Event) -> UInt64? {
        event.details[Alertmanager.Detail.endsAt].flatMap(Timestamp.parse)
    }

    /// `event` as it is to be published: one of an alert that was resolved before its end is no repetition of what was said before,
    /// though it is the same, and gets another id.
    public func distinguished(_ event: Tocsin_V1_Event) -> Tocsin_V1_Event {
        guard event.kind != .resolve, let before = resolved[LabelSet.fingerprint(event.labels)] else { return event }
        var event = event
        event.id = EventID.of([event.id, before.by])
        return event
    }

    /// Forgets resolves that are of no consequence any more.
    public mutating func prune(now: UInt64) { resolved = resolved.filter { $0.value.until > now } }

    /// By fingerprint.
    public func firing(now: UInt64) -> [Alert] {
        alerts.values.filter { $0.endsAt ?? .max > now }.sorted { $0.fingerprint < $1.fingerprint }
    }

    /// Resolves for alerts that were to be sent again and were not, at most `limit`. They stay until the resolve comes by the stream.
    public func overdue(now: UInt64, limit: Int = 4096) -> [Tocsin_V1_Event] {
        var events: [Tocsin_V1_Event] = []
        for alert in alerts.values where events.count < limit {
            guard let endsAt = alert.endsAt, endsAt + Self.grace <= now else { continue }
            var event = alert.event
            event.kind = .resolve
            event.id = EventID.of(["overdue", LabelSet.text(alert.fingerprint), "\(endsAt)", alert.event.id])
            event.observedAt = endsAt
            event.details[Alertmanager.Detail.overdue] = "it was not sent again before its end"
            events.append(event)
        }
        return events
    }

    /// Triggers for alerts that go on though an overdue resolve crossed what prolonged them, at most `limit`.
    public func contradicted(limit: Int = 4096) -> [Tocsin_V1_Event] {
        var events: [Tocsin_V1_Event] = []
        for alert in alerts.values where events.count < limit {
            guard let resolve = alert.contradiction else { continue }
            var event = alert.event
            event.id = EventID.of(["again", resolve])
            events.append(event)
        }
        return events
    }
}
