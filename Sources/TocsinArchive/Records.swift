import TocsinDomain
import TocsinProto

/// An incident as the archive keeps it: with people's names sealed (`Sealer`). Times are milliseconds since 1970, 0 where not
/// reached.
struct IncidentRecord: Sendable, Equatable {
    var number: UInt64
    var state: IncidentState
    var title: String
    var services: [String]
    var severity: Severity
    var priority: Priority
    var assignee = ""
    var detectedAt: UInt64
    var triagedAt: UInt64 = 0
    /// The first acknowledgement by a person; it stays when the incident is reopened, for it is what was measured.
    var acknowledgedAt: UInt64 = 0
    var mitigatedAt: UInt64 = 0
    var resolvedAt: UInt64 = 0
    var closedAt: UInt64 = 0
    var alertsFiring: UInt32 = 0
    var alertsTotal: UInt32 = 0
    var events: UInt64 = 0
    var cause = ""
    var runbook = ""
    var reopened: UInt32 = 0
    var drill = false
    var updatedAt: UInt64 = 0
    /// Grows by one with each change that is told to the world. Counting further events is none.
    var version: UInt64 = 0
    /// Entries on the timeline.
    var entries: UInt64 = 0
    /// Who stopped the harm, while it is stopped.
    var mitigatedBy = ""
    /// The earlier incident of the same alert; 0: none.
    var recurs: UInt64 = 0
    /// The widest that was reported, as far as known.
    var impact: Level?
    /// The worst severity that was known when a person set the severity; nil: nobody did.
    var judgedSeverity: Severity?
    /// The incident it was merged into; 0: none.
    var mergedInto: UInt64 = 0
    /// The incident it was split off from; 0: none.
    var splitFrom: UInt64 = 0
    /// How far what is known of it may be passed on; nil: not said.
    var trafficLight: TrafficLight?
    /// Those who may see it; empty: whoever may see incidents.
    var needToKnow: [String] = []
    /// The routes that match it, and whom they name.
    var routes: [String] = []
    var pages: [String] = []
    /// Of the alert that opened it.
    var labels: [String: String] = [:]

    /// Whether what triage judged so is worse than all that was known, so that severity or priority rise by themselves.
    func isRaised(by severity: Severity, _ priority: Priority) -> Bool {
        let isNews = judgedSeverity.map { severity > $0 } ?? true
        return isNews && (severity > self.severity || priority < self.priority)
    }

    var proto: Tocsin_V1_Incident {
        var incident = Tocsin_V1_Incident()
        incident.number = number
        incident.state = Tocsin_V1_IncidentState(rawValue: Int(state.rawValue)) ?? .unspecified
        incident.title = title
        incident.services = services
        incident.severity = severity.proto
        incident.priority = Tocsin_V1_Priority(rawValue: Int(priority.rawValue)) ?? .unspecified
        incident.assignee = assignee
        incident.detectedAt = detectedAt
        incident.triagedAt = triagedAt
        incident.acknowledgedAt = acknowledgedAt
        incident.mitigatedAt = mitigatedAt
        incident.resolvedAt = resolvedAt
        incident.closedAt = closedAt
        incident.alertsFiring = alertsFiring
        incident.alertsTotal = alertsTotal
        incident.events = events
        incident.cause = cause
        incident.runbook = runbook
        incident.reopened = reopened
        incident.drill = drill
        incident.updatedAt = updatedAt
        incident.version = version
        incident.mergedInto = mergedInto
        incident.splitFrom = splitFrom
        incident.trafficLight = trafficLight.flatMap { Tocsin_V1_TrafficLight(rawValue: Int($0.rawValue)) } ?? .unspecified
        incident.needToKnow = needToKnow
        incident.routes = routes
        incident.pages = pages
        return incident
    }
}

/// An alert: the events of one fingerprint.
struct AlertRecord: Sendable, Equatable {
    var fingerprint: String
    var state: AlertState = .resolved
    var service: String
    var summary: String
    /// The highest of this episode.
    var severity: Severity
    var firstAt: UInt64
    var lastAt: UInt64
    /// Of all episodes.
    var events: UInt64 = 0
    /// How often it began to fire and was told.
    var episode: UInt32 = 0
    var rule: String
    /// Its latest incident; 0: it never fired.
    var incident: UInt64 = 0
    var labels: [String: String]
    /// The widest, and the most urgent, of this episode; nil: not known.
    var impact: Level?
    var priority: Priority?
    /// Who saw it.
    var source = ""
    /// When it began and ended of late, milliseconds since 1970, in order.
    var changes: [UInt64] = []

    static let changesMax = 128

    var proto: Tocsin_V1_Alert {
        var alert = Tocsin_V1_Alert()
        alert.fingerprint = fingerprint
        alert.state = state.rawValue
        alert.service = service
        alert.summary = summary
        alert.severity = severity.proto
        alert.firstAt = firstAt
        alert.lastAt = lastAt
        alert.events = events
        alert.episode = episode
        alert.rule = rule
        alert.labels = labels
        alert.incident = incident
        alert.source = source
        return alert
    }
}

/// One line of an incident's timeline. Written once, never changed.
struct TimelineRecord: Sendable, Equatable {
    /// Within the incident, from 1.
    var sequence: UInt64
    var time: UInt64
    var actor: String
    var verb: String
    var text: String
    var before: String
    var after: String

    var proto: Tocsin_V1_TimelineEntry {
        var entry = Tocsin_V1_TimelineEntry()
        entry.sequence = sequence
        entry.time = time
        entry.actor = actor
        entry.verb = verb
        entry.text = text
        entry.before = before
        entry.after = after
        return entry
    }
}

/// A transition that was not made, and why.
struct RefusalRecord: Sendable, Equatable {
    var time: UInt64
    var incident: UInt64
    var actor: String
    var action: String
    var refusal: TransitionRefusal
}

/// The events of one fingerprint that a rule set aside.
struct SuppressionRecord: Sendable, Equatable {
    var fingerprint: String
    var service: String
    var summary: String
    var rule: String
    var events: UInt64
    var firstAt: UInt64
    var lastAt: UInt64
}

extension Severity {
    var proto: Tocsin_V1_Severity { Tocsin_V1_Severity(rawValue: Int(rawValue)) ?? .info }

    /// What is not set or not known is read as info, as everywhere on the wire.
    init(_ proto: Tocsin_V1_Severity) {
        self = Severity(rawValue: UInt8(clamping: proto.rawValue)) ?? .info
    }
}

/// Bounds of what is kept of texts from outside, in bytes of UTF-8.
enum TextLimit {
    static let title = 512
    static let name = 128
    static let cause = 2 << 10
    static let report = 4 << 10
    static let note = 16 << 10
    static let labels = 16 << 10

    /// `text`, cut between characters if it is longer than `limit` bytes.
    static func clip(_ text: String, to limit: Int) -> String {
        guard text.utf8.count > limit else { return text }
        var end = text.utf8.index(text.utf8.startIndex, offsetBy: limit - 3)
        while end.samePosition(in: text.unicodeScalars) == nil { end = text.utf8.index(before: end) }
        return text[..<end] + "…"
    }
}
