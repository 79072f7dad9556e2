public import TocsinDomain
public import TocsinProto

/// A silence that can be compared with alerts.
public struct CompiledSilence: Sendable {
    public let silence: Tocsin_V1_Silence
    private var matchers: [Matcher]

    /// - Throws: for a matcher that is none, and a silence without any, which would match everything.
    public init(_ silence: Tocsin_V1_Silence) throws(Matcher.Problem) {
        guard !silence.matchers.isEmpty else { throw Matcher.Problem(description: "the silence has no matchers") }
        self.silence = silence
        matchers = []
        for matcher in silence.matchers { matchers.append(try Matcher(matcher)) }
    }

    /// `time` in milliseconds since 1970.
    public func isActive(at time: UInt64) -> Bool { silence.startsAt <= time && time < silence.endsAt }

    public mutating func matches(_ alert: AlertView) -> Bool { matches(alert.matchable) }

    mutating func matches(_ labels: [String: String]) -> Bool { matchers.match(labels) }
}

/// What an alert that fires and tells says to a rule of inhibition; by `rule` and `key` those are found that it explains.
public struct Inhibitor: Sendable, Hashable {
    /// The name of the rule.
    public var rule: String
    /// Of the values of the labels that have to be equal.
    public var key: String
    /// It is a target of the rule too, and so explains only those that are no source of it.
    public var isTarget: Bool
}

/// Asks for an alert that explains another: one that fires, is kept from telling by nothing, has another fingerprint, and of which
/// `AttentionJudge.inhibitors` gave this rule and key.
public struct InhibitorQuery: Sendable, Hashable {
    public var rule: String
    public var key: String
    /// Only those that are no target of the rule.
    public var excludesTargets: Bool
    /// Not the alert itself.
    public var except: String
}

/// What routes look at.
public struct IncidentView: Sendable, Equatable {
    public var severity: Severity
    public var priority: Priority
    public var drill: Bool
    /// Those that are its own and are not resolved, in any order; the latest if none is. How many are looked at is the caller's to
    /// bound.
    public var alerts: [AlertView]

    public init(severity: Severity, priority: Priority, drill: Bool = false, alerts: [AlertView]) {
        self.severity = severity
        self.priority = priority
        self.drill = drill
        self.alerts = alerts
    }
}

/// Who is to be told of an incident.
public struct Routing: Sendable, Equatable {
    /// The names of the routes that match, in order; empty: none, and each notification target decides for itself.
    public var routes: [String]
    /// The notification targets that they name, each once, in order.
    public var pages: [String]
    /// One for each route that matched, or the one that says that none did; none where the policy has no routes.
    public var decisions: [Decision]

    public init(routes: [String] = [], pages: [String] = [], decisions: [Decision] = []) {
        self.routes = routes
        self.pages = pages
        self.decisions = decisions
    }
}

/// What a policy says of alerts and incidents with a view to the time: pure. Mutating only because patterns learn as they are used.
/// One per thread of work.
public struct AttentionJudge: Sendable {
    private var maintenance: [CompiledMaintenance]
    private var inhibitions: [CompiledInhibition]
    private var routes: [CompiledRoute]

    /// Throws the first of what is wrong with these parts of the policy.
    public init(_ policy: Policy) throws(PolicyProblem) {
        maintenance = policy.maintenance.map(CompiledMaintenance.init)
        inhibitions = []
        for rule in policy.inhibitions { inhibitions.append(try CompiledInhibition(rule)) }
        routes = []
        for route in policy.routes { routes.append(try CompiledRoute(route, times: policy.times)) }
    }

    /// Whether an alert that fires is to trouble somebody at `time` (milliseconds since 1970).
    ///
    /// It is held by the first of: a maintenance window, a silence (of several of one kind by the one that lasts longest), an alert
    /// that explains it. `inhibitor` answers with the fingerprint of such an alert, nil if there is none.
    public mutating func attention(
        of alert: AlertView, at time: UInt64, silences: inout [CompiledSilence],
        inhibitor: (InhibitorQuery) throws -> String?
    ) rethrows -> Attention {
        var attention = Attention()
        let labels = alert.matchable
        if let hold = held(byMaintenance: alert, labels, time, &attention.decisions) {
            (attention.hold, attention.until) = hold
        } else if let hold = held(bySilences: &silences, labels, time, &attention.decisions) {
            (attention.hold, attention.until) = hold
        } else {
            attention.hold = try held(byAnother: alert, labels, &attention.decisions, inhibitor)
        }
        return attention
    }

    private func held(
        byMaintenance alert: AlertView, _ labels: [String: String], _ time: UInt64, _ decisions: inout [Decision]
    ) -> (Hold?, UInt64?)? {
        if maintenance.isEmpty { return nil }
        var longest: (window: Maintenance, end: UInt64)?
        var later: Maintenance?
        for window in maintenance where window.match.matches(alert, labels) {
            guard let end = window.maintenance.window.end(after: time) else {
                if later == nil { later = window.maintenance }
                continue
            }
            if end > longest?.end ?? 0 { longest = (window.maintenance, end) }
        }
        guard let (window, end) = longest else {
            if let later {
                decisions.append(Decision(.maintenance, rule: later.name, "\(later.window)", "not now"))
            } else {
                decisions.append(Decision(.maintenance, "\(counted(maintenance.count, "window"))", "none is of this alert"))
            }
            return nil
        }
        let reason = window.reason.isEmpty ? "" : "; \(window.reason)"
        decisions.append(
            Decision(.maintenance, rule: window.name, "\(window.window)", "held until \(UTCText.time(end))\(reason)"))
        return (.maintenance(window.name), end)
    }

    private func held(
        bySilences silences: inout [CompiledSilence], _ labels: [String: String], _ time: UInt64, _ decisions: inout [Decision]
    ) -> (Hold?, UInt64?)? {
        var active = 0
        var longest: Tocsin_V1_Silence?
        for index in silences.indices where silences[index].isActive(at: time) {
            active += 1
            guard silences[index].matches(labels) else { continue }
            let silence = silences[index].silence
            // Of two that end together the same is chosen always.
            if (silence.endsAt, silence.id) > (longest?.endsAt ?? 0, longest?.id ?? "") { longest = silence }
        }
        guard let silence = longest else {
            if active > 0 { decisions.append(Decision(.silence, counted(active, "silence"), "none is of this alert")) }
            return nil
        }
        let matchers = silence.matchers.map(Matcher.words).joined(separator: " and ")
        let author = silence.createdBy.isEmpty ? "" : "; \(silence.createdBy)"
        let comment = silence.comment.isEmpty ? "" : ": \(shortened(silence.comment, to: 256))"
        decisions.append(
            Decision(
                .silence, rule: silence.id, shortened(matchers, to: 1024),
                "held until \(UTCText.time(silence.endsAt))\(author)\(comment)"))
        return (.silence(id: silence.id), silence.endsAt)
    }

    private mutating func held(
        byAnother alert: AlertView, _ labels: [String: String], _ decisions: inout [Decision],
        _ inhibitor: (InhibitorQuery) throws -> String?
    ) rethrows -> Hold? {
        var asked: [String] = []
        for index in inhibitions.indices where inhibitions[index].isTarget(labels) {
            let rule = inhibitions[index].inhibition
            let query = InhibitorQuery(
                rule: rule.name, key: key(alert, inhibitions[index].key(labels)),
                excludesTargets: inhibitions[index].isSource(labels),
                except: alert.fingerprint)
            guard let other = try inhibitor(query) else {
                asked.append(rule.name)
                continue
            }
            decisions.append(
                Decision(
                    .inhibition, rule: rule.name, inhibitions[index].words(labels), "held while alert \(other) fires"))
            return .inhibition(rule: rule.name, by: other)
        }
        if !asked.isEmpty {
            decisions.append(Decision(.inhibition, asked.joined(separator: ", "), "no alert fires that explains it"))
        }
        return nil
    }

    /// An exercise explains nothing that is real, nor the other way round.
    private func key(_ alert: AlertView, _ key: String) -> String { alert.drill ? key + "\u{1f}drill" : key }

    /// What an alert, while it fires and nothing holds it, says to the rules of inhibition.
    public mutating func inhibitors(_ alert: AlertView) -> [Inhibitor] {
        if inhibitions.isEmpty { return [] }
        let labels = alert.matchable
        var found: [Inhibitor] = []
        for index in inhibitions.indices where inhibitions[index].isSource(labels) {
            found.append(
                Inhibitor(
                    rule: inhibitions[index].inhibition.name, key: key(alert, inhibitions[index].key(labels)),
                    isTarget: inhibitions[index].isTarget(labels)))
        }
        return found
    }

    /// Who is told of an incident that changes at `time` (milliseconds since 1970).
    public func route(_ incident: IncidentView, at time: UInt64) -> Routing {
        var routing = Routing()
        if routes.isEmpty { return routing }
        for route in routes where route.matches(incident, at: time) {
            routing.routes.append(route.route.name)
            for target in route.route.page where !routing.pages.contains(target) { routing.pages.append(target) }
            let whom = route.route.page.isEmpty ? "nobody" : route.route.page.joined(separator: ", ")
            let note = route.route.note.isEmpty ? "" : "; \(route.route.note)"
            let further = route.route.continues ? "; and whom further routes say" : ""
            routing.decisions.append(Decision(.route, rule: route.route.name, route.condition, whom + further + note))
            if !route.route.continues { break }
        }
        if routing.routes.isEmpty {
            routing.decisions.append(
                Decision(.route, counted(routes.count, "route"), "none matches: each target decides for itself"))
        }
        return routing
    }
}

func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

/// At most `limit` characters.
func shortened(_ text: String, to limit: Int) -> String { text.count > limit ? text.prefix(limit) + "…" : text }

/// Times as people read them.
enum UTCText {
    /// `2026-03-29 01:00:00Z`, of milliseconds since 1970.
    static func time(_ milliseconds: UInt64) -> String {
        let seconds = Int(min(milliseconds / 1000, 253_402_300_799))
        let (year, month, day) = CivilDate.date(seconds / 86_400)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(year)-\(two(month))-\(two(day)) \(two(seconds / 3600 % 24)):\(two(seconds / 60 % 60)):\(two(seconds % 60))Z"
    }
}
