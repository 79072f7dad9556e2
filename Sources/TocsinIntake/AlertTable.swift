public import TocsinProto

/// The alerts that fire, as Alertmanager's API tells of them: a fold over the events on `event.alertmanager.>`, so that every gateway
/// that has read the stream gives the same answer. Pure.
///
/// An alert that is not sent again is over at its `endsAt`: `overdue` makes the event that says so, with an id made of the alert and
/// that time, so that of several gateways one is heard.
public struct AlertTable: Sendable {
    public struct Alert: Sendable, Equatable {
        public var fingerprint: UInt64
        /// The latest that was said of it.
        public var event: Tocsin_V1_Event
        /// Milliseconds since 1970; the earliest of those said while it fired.
        public var startsAt: UInt64
        public var endsAt: UInt64
        /// When it was published last.
        public var updatedAt: UInt64

        public var annotations: [String: String] {
            event.details.filter { !Alertmanager.Detail.all.contains($0.key) && $0.key != "truncated" }
        }
        public var generatorURL: String { event.details[Alertmanager.Detail.generatorURL] ?? "" }
    }
    private var alerts: [UInt64: Alert] = [:]
    private let countMax: Int
    /// How long after its end an alert is still waited for, milliseconds: what says that it goes on may be on its way.
    static let grace: UInt64 = 1000

    public init(countMax: Int = 100_000) { self.countMax = countMax }

    public var count: Int { alerts.count }

    /// Whether an alert of these labels has no place any more.
    public func isFull(for labels: [String: String]) -> Bool {
        alerts.count >= countMax && alerts[LabelSet.fingerprint(labels)] == nil
    }

    /// An event of the stream. `publishedAt` in milliseconds since 1970.
    public mutating func apply(_ event: Tocsin_V1_Event, publishedAt: UInt64) {
        let fingerprint = LabelSet.fingerprint(event.labels)
        guard event.kind != .resolve else {
            alerts[fingerprint] = nil
            return
        }
        guard let startsAt = event.details[Alertmanager.Detail.startsAt].flatMap(Timestamp.parse),
            let endsAt = event.details[Alertmanager.Detail.endsAt].flatMap(Timestamp.parse), !isFull(for: event.labels)
        else { return }
        let before = alerts[fingerprint]?.startsAt ?? startsAt
        alerts[fingerprint] = Alert(
            fingerprint: fingerprint, event: event, startsAt: min(before, startsAt), endsAt: endsAt, updatedAt: publishedAt)
    }

    /// By fingerprint.
    public func firing(now: UInt64) -> [Alert] {
        alerts.values.filter { $0.endsAt > now }.sorted { $0.fingerprint < $1.fingerprint }
    }

    /// Resolves for alerts that were to be sent again and were not, at most `limit`. They stay until the resolve comes by the stream.
    public func overdue(now: UInt64, limit: Int = 4096) -> [Tocsin_V1_Event] {
        var events: [Tocsin_V1_Event] = []
        for alert in alerts.values where alert.endsAt + Self.grace <= now && events.count < limit {
            var event = alert.event
            event.kind = .resolve
            event.id = EventID.of(["overdue", LabelSet.text(alert.fingerprint), "\(alert.endsAt)", alert.event.id])
            event.observedAt = alert.endsAt
            event.details["resolved"] = "it was not sent again before its end"
            events.append(event)
        }
        return events
    }
}
