import TocsinWire

/// What a key is for: a set of permissions with a name. The table of all of them is in `SecurityMatrix.md`.
public enum Role: String, Sendable, CaseIterable {
    /// A detector, or anything that reports events, on any host.
    case sensor
    case triage
    case responder
    case archiver
    /// A person who acts on incidents.
    case `operator`
    /// A person or a board that looks.
    case observer
    /// A gateway: passes on the calls of others and says whose they are.
    case gateway
    /// May do everything at the hub.
    case admin

    /// One line for a person.
    public var purpose: String {
        switch self {
        case .sensor: "reports events"
        case .triage: "makes alerts of events"
        case .responder: "runs runbooks, notifies"
        case .archiver: "keeps the incidents and serves them"
        case .operator: "sees and acts on incidents"
        case .observer: "sees incidents"
        case .gateway: "passes on the calls of others"
        case .admin: "everything"
        }
    }

    /// Read from the texts of `rules`, which a test proves to be well-formed.
    public var permissions: Permissions {
        do { return try Permissions(speaksForOthers: self == .gateway).replacing(rules) } catch { return Permissions() }
    }

    private static let looking =
        [
            "GetIncident", "ListIncidents", "WatchIncidents", "GetAccounting", "TraceEvent", "ExplainDecisions", "ListAlerts",
            "ListSilences", "ListChanges", "FindSimilarIncidents",
        ].map { "tocsin.v1.IncidentService/\($0)" } + ["tocsin.v1.BrokerAdmin/GetStatus"]

    private var rules: [RuleKind: [String]] {
        switch self {
        case .sensor: [.publish: ["event.>", "heartbeat.>", "change.>"], .read: ["heartbeat.>"]]
        case .triage: [.publish: ["alert.>"], .consume: ["triage"], .read: ["event.>"]]
        case .responder:
            [.publish: ["response.>"], .consume: ["responder", "notifier"], .read: ["incident.>"], .call: Self.looking]
        case .archiver:
            // It publishes the events that callers of its service report.
            [
                .publish: ["incident.>", "event.>"], .consume: ["archive"],
                .read: ["alert.>", "response.>", "silence.>", "change.>", "incident.>"],
                .serve: ["tocsin.v1.IncidentService", "tocsin.v1.ArchiveAdmin"],
            ]
        case .operator:
            [
                .publish: ["event.>", "silence.>", "change.>"],
                .read: ["incident.>", "!incident.need-to-know.>", "alert.>", "event.alertmanager.>"],
                .call: [
                    "tocsin.v1.IncidentService/*", "tocsin.v1.BrokerAdmin/GetStatus", "tocsin.v1.BrokerAdmin/ListDeadLetters",
                    "tocsin.v1.BrokerAdmin/RetryDeadLetters",
                ],
            ]
        case .observer: [.read: ["incident.>", "!incident.need-to-know.>"], .call: Self.looking]
        case .gateway: [.publish: [">"], .consume: ["*"], .read: [">"], .call: ["*"]]
        case .admin: [.publish: [">"], .consume: ["*"], .read: [">"], .call: ["*"], .serve: ["*"]]
        }
    }
}
