public import TocsinProto

/// PagerDuty's Events API v2: one event, or one change, made into an event of ours.
///
/// | event | of the body |
/// |---|---|
/// | kind | trigger; resolve. An acknowledgement is a trigger's repetition without effect and makes no event |
/// | source | `payload.source` |
/// | service | whose routing key it is, as at PagerDuty: a resolve, which has no payload, finds its trigger by it and the key |
/// | summary, severity_hint, observed_at | `payload.summary`, `payload.severity`, `payload.timestamp` |
/// | dedup_key | `dedup_key`, or one that is made and returned |
/// | labels | source, component, group, class, and members of `custom_details` that are no objects |
/// | details | client, client_url, links, images, and all other members of `custom_details` |
public struct PagerDuty: Sendable {
    /// What is answered: 202 with the key, or 400 with the errors.
    public enum Outcome: Sendable, Equatable {
        /// `event` is nil where there is nothing to publish.
        case accepted(event: Tocsin_V1_Event?, dedupKey: String)
        case invalid(errors: [String])
    }
    /// Of a body, bytes (PagerDuty's own bound).
    public static let bodyBytesMax = 512_000
    public var mapping: Mapping
    /// Whose routing key it is; empty: the mapping's service.
    public var service: String

    public init(mapping: Mapping, service: String = "") {
        self.mapping = mapping
        self.service = service
    }

    /// The routing key of a body, which may carry the token; nil where there is none.
    public static func routingKey(_ body: JSON) -> String? { body["routing_key"]?.string }

    /// The body of `POST /v2/enqueue`. `makeKey` gives the dedup key of a trigger without one.
    public func event(_ body: JSON, now: UInt64, makeKey: () -> String = EventID.random) -> Outcome {
        var errors: [String] = []
        guard body.object != nil else { return .invalid(errors: ["the body is \(body.kind); it must be an object"]) }
        checkRoutingKey(body, &errors)
        let action = body["event_action"]?.string ?? ""
        let isTrigger = action == "trigger"
        if !["trigger", "acknowledge", "resolve"].contains(action) {
            errors.append("'event_action' is missing or invalid; it must be trigger, acknowledge or resolve")
        }
        let key = text(body, "dedup_key", required: !isTrigger, limit: 255, &errors)
        let payload = body["payload"] ?? .null
        var observation = Observation()
        if isTrigger {
            if payload.object == nil { errors.append("'payload' is missing or blank") }
            observation = content(payload, "payload.", &errors)
            observation.severity = text(payload, "severity", of: "payload.", required: true, limit: 16, &errors)
            if !observation.severity.isEmpty, !["critical", "error", "warning", "info"].contains(observation.severity) {
                errors.append("'payload.severity' is invalid; it must be critical, error, warning or info")
            }
        } else if payload.object != nil {
            // Said again by some clients, and of use; nothing of it is required.
            var ignored: [String] = []
            observation = content(payload, "payload.", &ignored)
        }
        guard errors.isEmpty else { return .invalid(errors: errors) }
        observation.dedupKey = key.isEmpty ? makeKey() : key
        guard action != "acknowledge" else { return .accepted(event: nil, dedupKey: key) }
        observation.kind = isTrigger ? .trigger : .resolve
        if observation.summary.isEmpty { observation.summary = "resolved: \(key)" }
        keepRest(of: body, in: &observation)
        return accepted(observation, now)
    }

    /// The body of `POST /v2/change/enqueue`: recorded with severity info.
    public func change(_ body: JSON, now: UInt64) -> Outcome {
        var errors: [String] = []
        guard body.object != nil else { return .invalid(errors: ["the body is \(body.kind); it must be an object"]) }
        checkRoutingKey(body, &errors)
        let payload = body["payload"] ?? .null
        if payload.object == nil { errors.append("'payload' is missing or blank") }
        var observation = content(payload, "payload.", &errors, needsSource: false)
        guard errors.isEmpty else { return .invalid(errors: errors) }
        observation.severity = "info"
        observation.dedupKey = EventID.random()
        observation.labels["event"] = "change"
        keepRest(of: body, in: &observation)
        return accepted(observation, now)
    }

    private func accepted(_ observation: Observation, _ now: UInt64) -> Outcome {
        var observation = observation
        observation.service = service.isEmpty ? mapping.service : service
        return .accepted(event: mapping.event(.pagerduty, observation, now: now), dedupKey: observation.dedupKey)
    }

    private func checkRoutingKey(_ body: JSON, _ errors: inout [String]) {
        guard let key = body["routing_key"]?.string, !key.isEmpty else {
            errors.append("'routing_key' is missing or blank")
            return
        }
        if key.unicodeScalars.count != 32 { errors.append("'routing_key' must be 32 characters long") }
    }

    private func text(
        _ object: JSON, _ name: String, of place: String = "", required: Bool, limit: Int = .max, _ errors: inout [String]
    ) -> String {
        let value = object[name] ?? .null
        guard let text = value.string, !text.isEmpty else {
            if required || !(value.isNull || value.string != nil) { errors.append("'\(place)\(name)' is missing or blank") }
            return ""
        }
        if text.unicodeScalars.count > limit { errors.append("'\(place)\(name)' is longer than \(limit) characters") }
        return text
    }

    /// Long texts are cut by the mapping: what is refused is lost, and senders count differently.
    private func content(
        _ payload: JSON, _ place: String, _ errors: inout [String], needsSource: Bool = true
    ) -> Observation {
        var observation = Observation()
        observation.summary = text(payload, "summary", of: place, required: true, &errors)
        observation.source = text(payload, "source", of: place, required: needsSource, &errors)
        if let text = payload["timestamp"]?.string, !text.isEmpty { observation.observedAt = Timestamp.parse(text) ?? 0 }
        for name in ["source", "component", "group", "class"] {
            if let text = payload[name]?.string, !text.isEmpty { observation.labels[name] = text }
        }
        for (name, value) in (payload["custom_details"] ?? .null).object ?? [] {
            switch value {
            case .string, .number, .bool: observation.labels[name] = observation.labels[name] ?? value.plain
            case .object, .array: observation.details[name] = value.text
            case .null: break
            }
        }
        if let text = payload["custom_details"]?.string { observation.details["custom_details"] = text }
        return observation
    }

    private func keepRest(of body: JSON, in observation: inout Observation) {
        for name in ["client", "client_url", "links", "images"] {
            if let value = body[name], !value.isNull { observation.details["pagerduty.\(name)"] = value.plain }
        }
    }
}
