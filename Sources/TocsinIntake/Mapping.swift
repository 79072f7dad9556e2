public import TocsinProto
import TocsinWire

/// What a tool says of one condition, in the terms that all tools share; `Mapping` makes an event of it.
public struct Observation: Sendable, Equatable {
    /// 1 to 64 bytes, the same for the same thing said again; empty: a random one.
    public var id = ""
    public var kind = Tocsin_V1_EventKind.trigger
    /// Which one of its kind speaks: a host, a receiver, a person. Second half of the event's source.
    public var source = ""
    /// What it is about, where the tool has a word for it; empty: `Mapping.serviceLabels` say.
    public var service = ""
    /// One line for a person.
    public var summary = ""
    /// The tool's own word; empty: `Mapping.severityLabels` say.
    public var severity = ""
    /// The tool's own identity of the condition; empty: triage makes a fingerprint.
    public var dedupKey = ""
    /// Milliseconds since 1970.
    public var observedAt: UInt64 = 0
    /// Identity.
    public var labels: [String: String] = [:]
    /// Evidence, and whatever has no other place.
    public var details: [String: String] = [:]

    public init() {}
}

/// How what tools of one kind say becomes the fields of an event. Pure.
///
/// | field | from |
/// |---|---|
/// | service | what the tool calls so; else the first of `serviceLabels` that has a value; else `service` |
/// | severity_hint | what the tool calls so, else the first of `severityLabels`; by `severities`, else the tool's word as it is |
/// | dedup_key | `dedupLabels` with their values, where configured; else the tool's own key |
/// | labels, details | all that the tool says, also what was used for other fields |
public struct Mapping: Sendable, Equatable {
    /// Names of labels, or of details, the first that is there and not empty counts.
    public var serviceLabels: [String]
    /// Where the tool names none.
    public var service: String
    public var severityLabels: [String]
    /// The tool's word, in lower case: the word triage is given.
    public var severities: [String: String]
    /// Labels that tell conditions apart; empty: as the tool has it.
    public var dedupLabels: [String]
    public var bounds = EventBounds()

    public init(
        serviceLabels: [String] = ["service"], service: String = "unknown", severityLabels: [String] = ["severity"],
        severities: [String: String] = [:], dedupLabels: [String] = []
    ) {
        self.serviceLabels = serviceLabels
        self.service = service
        self.severityLabels = severityLabels
        self.severities = severities
        self.dedupLabels = dedupLabels
    }

    /// What holds for a kind where nothing is configured.
    public static func standard(_ kind: SourceKind) -> Mapping {
        switch kind {
        case .alertmanager: Mapping(serviceLabels: ["service", "app", "job"])
        case .pagerduty: Mapping(serviceLabels: [], service: "pagerduty")
        case .cloudevents: Mapping(serviceLabels: ["service", "source"])
        case .otlp: Mapping(serviceLabels: ["service.name"])
        case .nagios: Mapping(serviceLabels: ["host"])
        case .syslog: Mapping(serviceLabels: ["app", "host"])
        case .riemann: Mapping(serviceLabels: ["service", "host"])
        case .form: Mapping()
        }
    }

    /// The event of one observation, within `bounds`. `now`, milliseconds since 1970, is when it was seen if it does not say so.
    public func event(_ kind: SourceKind, _ observation: Observation, now: UInt64) -> Tocsin_V1_Event {
        var event = Tocsin_V1_Event()
        var truncated: [String] = []
        event.id = observation.id.isEmpty ? EventID.random() : observation.id
        event.kind = observation.kind
        let source = observation.source.cut(to: bounds.nameBytes)
        event.source = source.isEmpty ? kind.rawValue : "\(kind.rawValue):\(source)"
        event.service = service(observation).cut(to: Limits.keyBytes)
        event.severityHint = severity(observation).cut(to: bounds.nameBytes)
        event.dedupKey = dedupKey(observation)
        event.observedAt = observation.observedAt == 0 ? now : observation.observedAt
        let summary = observation.summary.utf8.isEmpty ? event.service : observation.summary
        event.summary = Self.oneLine(summary).cut(to: bounds.summaryBytes)
        if summary.utf8.count > bounds.summaryBytes { truncated.append("summary") }
        var room = bounds.totalBytes
        let (labels, details) = (observation.labels, observation.details)
        event.labels = keep(labels, count: bounds.labels, bytes: bounds.labelBytes, room: &room, &truncated)
        event.details = keep(details, count: bounds.details, bytes: bounds.detailBytes, room: &room, &truncated)
        if !truncated.isEmpty { event.details["truncated"] = truncated.joined(separator: " ").cut(to: bounds.detailBytes) }
        return event
    }

    private func service(_ observation: Observation) -> String {
        if !observation.service.isEmpty { return observation.service }
        return first(of: serviceLabels, observation) ?? service
    }

    private func severity(_ observation: Observation) -> String {
        let word = observation.severity.isEmpty ? first(of: severityLabels, observation) ?? "" : observation.severity
        return severities.isEmpty ? word : severities[word.lowercased()] ?? word
    }

    private func first(of names: [String], _ observation: Observation) -> String? {
        for name in names {
            if let value = observation.labels[name] ?? observation.details[name], !value.isEmpty { return value }
        }
        return nil
    }

    private func dedupKey(_ observation: Observation) -> String {
        guard !dedupLabels.isEmpty else { return observation.dedupKey }
        return EventID.of(dedupLabels.flatMap { [$0, observation.labels[$0] ?? observation.details[$0] ?? ""] })
    }

    private func keep(
        _ pairs: [String: String], count: Int, bytes: Int, room: inout Int, _ truncated: inout [String]
    ) -> [String: String] {
        let size = pairs.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        if pairs.count <= count, size <= room,
            pairs.allSatisfy({ $0.key.utf8.count <= bounds.nameBytes && $0.value.utf8.count <= bytes })
        {
            room -= size
            return pairs
        }
        var kept: [String: String] = [:]
        for (name, value) in pairs.sorted(by: { $0.key < $1.key }) {
            let short = (name: name.cut(to: bounds.nameBytes), value: value.cut(to: bytes))
            let size = short.name.utf8.count + short.value.utf8.count
            if kept.count >= count || size > room {
                truncated.append(short.name)
                continue
            }
            if short.name.utf8.count < name.utf8.count || short.value.utf8.count < value.utf8.count {
                truncated.append(short.name)
            }
            kept[short.name] = short.value
            room -= size
        }
        return kept
    }

    /// Line breaks and other controls become spaces.
    private static func oneLine(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else { return text }
        let scalars = text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : $0 }
        return String(String.UnicodeScalarView(scalars))
    }
}

extension Tocsin_V1_Event {
    /// `event.<source kind>.<source>`.
    public var subject: String {
        let parts = source.split(separator: ":", maxSplits: 1)
        let kind = parts.first.map { Subject.token(String($0)) } ?? "none"
        return "event.\(kind).\(Subject.token(parts.count > 1 ? String(parts[1]) : ""))"
    }
}
