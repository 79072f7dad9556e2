import TocsinDomain
import TocsinPolicy
import TocsinProto
import TocsinWire

/// What an alert update says that has not been said before, with everything from outside brought within bounds.
struct AlertFacts: Sendable, Equatable, Codable {
    var fingerprint: String
    var isResolve: Bool
    var service: String
    var summary: String
    var severity: Severity
    var priority: Priority
    var impact: Level
    /// The rule that decided, and why.
    var rule: String
    var runbook: String
    var labels: [String: String]
    var drill: Bool
    /// Who saw it.
    var source: String
    /// The first threat indicator that its events match, in words; empty: there is none.
    var threat: String
    /// Alerts with the same one, that is not empty, are one incident's. Says nothing of whom it is about.
    var correlationKey: String
    /// How many new observations: an event that stands for several counts as them.
    var events: UInt64
    /// When the first and the last of them were observed, and when triage judged them.
    var firstAt: UInt64
    var lastAt: UInt64
    var triagedAt: UInt64

    /// `fresh`: the indices of the events that were not seen before; not empty. No time is later than `now`.
    init(_ update: Tocsin_V1_AlertUpdate, fresh: [Int], now: UInt64) {
        fingerprint = update.fingerprint
        isResolve = update.kind == .resolve
        service = TextLimit.clip(update.service, to: TextLimit.name)
        summary = TextLimit.clip(update.summary, to: TextLimit.title)
        severity = Severity(update.severity)
        priority = Self.priority(of: update, severity)
        impact = Level(rawValue: UInt8(clamping: update.impact.rawValue)) ?? severity.impact
        rule = TextLimit.clip(update.rule, to: TextLimit.cause)
        runbook = TextLimit.clip(update.runbook, to: TextLimit.name)
        labels = Self.bounded(update.labels)
        drill = update.drill
        source = TextLimit.clip(update.source, to: TextLimit.name)
        threat = TextLimit.clip(update.indicators.first.map(Self.words) ?? "", to: TextLimit.cause)
        correlationKey =
            update.correlationKey.isEmpty ? "" : [UInt8](CanonicalBytes(update.correlationKey).digest.prefix(16)).hexadecimal
        events = Self.observations(in: update, fresh)
        firstAt = now
        lastAt = 0
        for index in fresh {
            let observed = update.events[index].observedAt
            guard observed > 0 else { continue }
            firstAt = min(firstAt, observed)
            lastAt = max(lastAt, min(observed, now))
        }
        if lastAt == 0 { lastAt = now }
        triagedAt = update.triagedAt == 0 ? now : min(max(update.triagedAt, firstAt), now)
    }

    private static func words(for threat: Tocsin_V1_IndicatorMatch) -> String {
        var text = "\(threat.type) \(threat.value) in \(threat.place) is \(threat.indicator) of \(threat.source)"
        if !threat.labels.isEmpty { text += ": " + threat.labels.joined(separator: ", ") }
        return text
    }

    /// An event that stands for several counts as them.
    static func observations(in update: Tocsin_V1_AlertUpdate, _ events: [Int]) -> UInt64 {
        events.reduce(0) { $0 + UInt64(max(1, update.events[$1].count)) }
    }

    /// What was held back is told together with what comes now.
    mutating func add(earlier: AlertFacts) {
        events += earlier.events
        firstAt = min(firstAt, earlier.firstAt)
        lastAt = max(lastAt, earlier.lastAt)
        severity = max(severity, earlier.severity)
        priority = min(priority, earlier.priority)
        impact = max(impact, earlier.impact)
        if runbook.isEmpty { runbook = earlier.runbook }
        if threat.isEmpty { threat = earlier.threat }
    }

    /// Triage bounds labels; this is for what other publishers send, so that a change always fits a message.
    private static func bounded(_ labels: [String: String]) -> [String: String] {
        func size(_ label: (key: String, value: String)) -> Int { label.key.utf8.count + label.value.utf8.count }
        guard labels.reduce(0, { $0 + size($1) }) > TextLimit.labels else { return labels }
        var kept: [String: String] = [:]
        var bytes = 0
        for label in labels.sorted(by: { $0.key < $1.key }) where bytes + size(label) <= TextLimit.labels {
            kept[label.key] = label.value
            bytes += size(label)
        }
        return kept
    }

    /// Without a priority nobody could acknowledge the incident, so one is found whatever triage left out.
    private static func priority(of update: Tocsin_V1_AlertUpdate, _ severity: Severity) -> Priority {
        if let priority = Priority(rawValue: UInt8(clamping: update.priority.rawValue)) { return priority }
        if let impact = Level(rawValue: UInt8(clamping: update.impact.rawValue)),
            let urgency = Level(rawValue: UInt8(clamping: update.urgency.rawValue))
        {
            return PriorityMatrix.standard[impact: impact, urgency: urgency]
        }
        switch severity {
        case .critical: return .p1
        case .major: return .p2
        case .minor: return .p3
        case .info: return .p4
        }
    }
}

extension AlertView {
    /// As it was said: what is sealed matches nothing.
    init(_ update: Tocsin_V1_AlertUpdate) {
        self.init(
            fingerprint: update.fingerprint, service: update.service, source: update.source, summary: update.summary,
            severity: Severity(update.severity), labels: update.labels, drill: update.drill)
    }

    /// Of an alert that is sealed.
    init(_ alert: AlertRecord, drill: Bool = false, _ sealer: Sealer) throws {
        self.init(
            fingerprint: alert.fingerprint, service: alert.service, source: alert.source,
            summary: try sealer.open(alert.summary), severity: alert.severity,
            labels: try alert.labels.mapValues { try sealer.open($0) }, drill: drill)
    }

    /// Of facts that are sealed.
    init(_ facts: AlertFacts, _ sealer: Sealer) throws {
        self.init(
            fingerprint: facts.fingerprint, service: facts.service, source: facts.source,
            summary: try sealer.open(facts.summary), severity: facts.severity,
            labels: try facts.labels.mapValues { try sealer.open($0) }, drill: facts.drill)
    }
}
