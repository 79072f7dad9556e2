import TocsinProto

/// Alertmanager's API v2 and its webhook v4: what is posted there, made into events.
///
/// | event | of an alert |
/// |---|---|
/// | kind | resolve if `endsAt` is not after now, else trigger; of the webhook by its `status` |
/// | summary | annotation `summary`, else `description` or `message`, else the label `alertname` |
/// | dedup_key | its fingerprint |
/// | labels | its labels |
/// | details | its annotations; `alertmanager.startsAt`, `alertmanager.endsAt` and `alertmanager.generatorURL` |
/// | observed_at | now: both ends of what it says of time are in the details |
/// | id | of fingerprint, start, end and kind: the same post again is stored once, a later one extends the alert |
public struct Alertmanager: Sendable {
    /// A name in `Event.details`.
    public enum Detail {
        public static let startsAt = "alertmanager.startsAt"
        public static let endsAt = "alertmanager.endsAt"
        public static let generatorURL = "alertmanager.generatorURL"
        /// Of a resolve that no tool sent: why there is one.
        public static let overdue = "alertmanager.overdue"
        static let all: Set<String> = [startsAt, endsAt, generatorURL, overdue]
    }
    /// The whole body is wrong: what the real service answers.
    public struct BadBody: Error, Sendable, Equatable {
        /// 400, or 422 where the JSON is right and its content is not.
        public var status: Int
        public var code: Int
        public var message: String
    }
    public var mapping: Mapping
    /// An alert of the API that does not say when it ends is over so long after it was last posted, milliseconds.
    public var resolveTimeout: UInt64

    public init(mapping: Mapping, resolveTimeout: UInt64 = 300_000) {
        self.mapping = mapping
        self.resolveTimeout = resolveTimeout
    }

    /// The body of `POST /api/v2/alerts`. `source` is who posts; `now` in milliseconds since 1970.
    public func alerts(_ body: [UInt8], source: String, now: UInt64) throws(BadBody) -> Intake {
        guard case .array(let posted) = try read(body, "alerts") else {
            throw Self.unreadable("alerts", "json: cannot unmarshal into Go value of type models.PostableAlerts")
        }
        var alerts: [Posted] = []
        alerts.reserveCapacity(posted.count)
        for (index, value) in posted.enumerated() {
            var alert = try Posted(value, "\(index)", now: now)
            alert.startsAt = alert.startsAt ?? alert.endsAt ?? now
            alert.endsAt = alert.endsAt ?? now + resolveTimeout
            alerts.append(alert)
        }
        return intake(alerts, source: source, now: now)
    }

    /// The body of Alertmanager's webhook, version 4. The receiver's name is kept as a detail. What fires there has no end:
    /// Alertmanager sends it again only after `repeat_interval`, hours, and says itself when it is resolved.
    public func webhook(_ body: [UInt8], source: String, now: UInt64) throws(BadBody) -> Intake {
        let message = try read(body, "webhook")
        guard message.object != nil, let values = message["alerts"]?.array else {
            throw BadBody(status: 400, code: 400, message: "the body is no webhook message: it has no array alerts")
        }
        if let version = message["version"]?.plain, version != "4" {
            throw BadBody(status: 400, code: 400, message: "webhook version \(version.cut(to: 32)); version 4 is understood")
        }
        var alerts: [Posted] = []
        for (index, value) in values.enumerated() {
            var alert = try Posted(value, "\(index)", now: now)
            for name in ["receiver", "groupKey", "externalURL"] {
                if let text = message[name]?.string, !text.isEmpty { alert.extra["webhook.\(name)"] = text }
            }
            if value["status"]?.string == "resolved" {
                alert.endsAt = min(alert.endsAt ?? now, now)
            } else {
                alert.endsAt = nil
            }
            alerts.append(alert)
        }
        return intake(alerts, source: source, now: now)
    }

    private func read(_ body: [UInt8], _ name: String) throws(BadBody) -> JSON {
        do { return try JSON(body) } catch { throw Self.unreadable(name, error.description) }
    }

    fileprivate static func unreadable(_ name: String, _ why: String) -> BadBody {
        BadBody(status: 400, code: 400, message: "parsing \(name) body from \"\" failed, because \(why)")
    }

    private func intake(_ alerts: [Posted], source: String, now: UInt64) -> Intake {
        var intake = Intake()
        intake.events.reserveCapacity(alerts.count)
        for (index, alert) in alerts.enumerated() {
            if let reason = alert.problem {
                intake.refused.append(.init(index: index, reason: reason))
            } else {
                intake.events.append(event(alert, source: source, now: now))
            }
        }
        return intake
    }

    private func event(_ alert: Posted, source: String, now: UInt64) -> Tocsin_V1_Event {
        var observation = Observation()
        let startsAt = alert.startsAt ?? alert.endsAt ?? now
        observation.kind = alert.endsAt.map { $0 > now } ?? true ? .trigger : .resolve
        let endsAt = alert.endsAt.map { "\($0)" } ?? ""
        observation.source = source
        observation.dedupKey = LabelSet.text(LabelSet.fingerprint(alert.labels))
        observation.id = "\(observation.dedupKey).\(startsAt).\(endsAt).\(observation.kind == .trigger ? "firing" : "resolved")"
        observation.observedAt = now
        observation.labels = alert.labels
        observation.details = alert.annotations
        observation.details.merge(alert.extra) { $1 }
        observation.details[Detail.startsAt] = Timestamp.text(startsAt)
        observation.details[Detail.endsAt] = alert.endsAt.map { Timestamp.text($0) }
        if !alert.generatorURL.isEmpty { observation.details[Detail.generatorURL] = alert.generatorURL }
        for name in ["summary", "description", "message"] where observation.summary.isEmpty {
            observation.summary = alert.annotations[name] ?? ""
        }
        if observation.summary.isEmpty { observation.summary = alert.labels["alertname"] ?? "" }
        return mapping.event(.alertmanager, observation, now: now)
    }
}

/// One alert as it was posted.
private struct Posted {
    var labels: [String: String] = [:]
    var annotations: [String: String] = [:]
    /// What the webhook says of all its alerts.
    var extra: [String: String] = [:]
    /// Milliseconds since 1970; nil: not said.
    var startsAt: UInt64?
    var endsAt: UInt64?
    var generatorURL = ""
    private var hasLabels = false

    init(_ value: JSON, _ place: String, now: UInt64) throws(Alertmanager.BadBody) {
        guard let members = value.object else {
            throw Alertmanager.unreadable("alerts", "json: \(value.kind) at \(place), expected an alert")
        }
        for (name, value) in members where !value.isNull {
            switch name {
            case "labels":
                labels = try Self.pairs(value, "\(place).labels")
                hasLabels = true
            case "annotations": annotations = try Self.pairs(value, "\(place).annotations")
            case "startsAt": startsAt = try Self.time(value, "\(place).startsAt")
            case "endsAt": endsAt = try Self.time(value, "\(place).endsAt")
            case "generatorURL":
                guard let text = value.string else {
                    throw Alertmanager.unreadable("alerts", "json: \(value.kind) at \(place).\(name), expected a string")
                }
                generatorURL = text
            // What a later version adds is passed over.
            default: break
            }
        }
        guard hasLabels else {
            throw Alertmanager.BadBody(status: 422, code: 602, message: "\(place).labels in body is required")
        }
    }

    private static func pairs(_ value: JSON, _ place: String) throws(Alertmanager.BadBody) -> [String: String] {
        guard let members = value.object else {
            throw Alertmanager.unreadable("alerts", "json: \(value.kind) at \(place), expected an object of strings")
        }
        var pairs: [String: String] = [:]
        pairs.reserveCapacity(members.count)
        for (name, value) in members {
            guard let text = value.string else {
                throw Alertmanager.unreadable("alerts", "json: \(value.kind) at \(place).\(name.cut(to: 64)), expected a string")
            }
            pairs[name] = text
        }
        for (name, value) in pairs where value.isEmpty { pairs[name] = nil }
        return pairs
    }

    /// Nil for Go's zero time, which says that there is none.
    private static func time(_ value: JSON, _ place: String) throws(Alertmanager.BadBody) -> UInt64? {
        guard let text = value.string, let time = Timestamp.parse(text) else {
            throw Alertmanager.unreadable(
                "alerts", "\(value.plain.cut(to: 64)) at \(place) is no time as RFC 3339 has it")
        }
        return time == 0 ? nil : time
    }

    /// Why the alert is not taken, as the original says it.
    var problem: String? {
        if let startsAt, let endsAt, endsAt < startsAt { return "start time must be before end time" }
        if labels.isEmpty { return "at least one label pair required" }
        for name in labels.keys where name.isEmpty { return "invalid label set: invalid name \"\"" }
        for name in annotations.keys where name.isEmpty { return "invalid annotations: invalid name \"\"" }
        return nil
    }
}
