import TocsinCalendar
import TocsinDomain

/// An `AlertMatch` with its globs, and in words.
struct CompiledMatch: Sendable {
    private let match: AlertMatch
    private let services: [Glob]
    private let sources: [Glob]
    private let labels: [(name: String, value: Glob)]

    init(_ match: AlertMatch) {
        self.match = match
        services = match.services.map { Glob($0) }
        sources = match.sources.map { Glob($0) }
        labels = match.labels.sorted { $0.key < $1.key }.map { ($0.key, Glob($0.value)) }
    }

    /// `labels` are the alert's `matchable`.
    func matches(_ alert: AlertView, _ labels: [String: String]) -> Bool {
        matches(severity: alert.severity, drill: alert.drill) && matchesText(alert, labels)
    }

    func matches(severity: Severity, drill: Bool) -> Bool {
        if let minimum = match.minimumSeverity, severity < minimum { return false }
        return match.drill.map { $0 == drill } ?? true
    }

    /// Whether it looks at nothing that only an alert has.
    var isOfIncidents: Bool { services.isEmpty && sources.isEmpty && labels.isEmpty }

    func matchesText(_ alert: AlertView, _ values: [String: String]) -> Bool {
        if !services.isEmpty, !services.contains(where: { $0.matches(alert.service) }) { return false }
        if !sources.isEmpty, !sources.contains(where: { $0.matches(alert.source) }) { return false }
        for (name, glob) in labels {
            guard let value = values[name], glob.matches(value) else { return false }
        }
        return true
    }

    /// `service web* and severity at least major`; empty if it matches everything.
    var words: [String] {
        var parts: [String] = []
        if !match.services.isEmpty { parts.append("service " + match.services.joined(separator: " or ")) }
        if !match.sources.isEmpty { parts.append("source " + match.sources.joined(separator: " or ")) }
        for (name, value) in match.labels.sorted(by: { $0.key < $1.key }) { parts.append("label \(name)=\(value)") }
        if let minimum = match.minimumSeverity { parts.append("severity at least \(minimum)") }
        if let drill = match.drill { parts.append(drill ? "a drill" : "no drill") }
        return parts
    }
}

struct CompiledMaintenance: Sendable {
    let maintenance: Maintenance
    let match: CompiledMatch

    init(_ maintenance: Maintenance) {
        self.maintenance = maintenance
        match = CompiledMatch(maintenance.match)
    }
}

struct CompiledInhibition: Sendable {
    let inhibition: Inhibition
    private var source: [Matcher]
    private var target: [Matcher]

    init(_ inhibition: Inhibition) throws(PolicyProblem) {
        self.inhibition = inhibition
        source = try Self.matchers(inhibition.source, "source", inhibition)
        target = try Self.matchers(inhibition.target, "target", inhibition)
    }

    private static func matchers(
        _ texts: [String], _ key: String, _ inhibition: Inhibition
    ) throws(PolicyProblem) -> [Matcher] {
        let here = "inhibition \"\(inhibition.name)\": "
        if texts.isEmpty { throw PolicyProblem(here + "\"\(key)\" has no matchers, so every alert would be one; give one") }
        var matchers: [Matcher] = []
        for text in texts {
            do throws(Matcher.Problem) { matchers.append(try Matcher(parsing: text)) } catch {
                throw PolicyProblem(here + "\(key): \(error); write name=\"value\", or with !=, =~ or !~")
            }
        }
        return matchers
    }

    mutating func isSource(_ labels: [String: String]) -> Bool { source.match(labels) }

    mutating func isTarget(_ labels: [String: String]) -> Bool { target.match(labels) }

    /// Each value with its length, so that no two lists have one key.
    func key(_ labels: [String: String]) -> String {
        inhibition.equal.map { name in
            let value = labels[name] ?? ""
            return "\(value.utf8.count):\(value)"
        }.joined()
    }

    /// Which alerts it is of, in words.
    func words(_ labels: [String: String]) -> String {
        let target = inhibition.target.joined(separator: " and ")
        guard !inhibition.equal.isEmpty else { return target }
        let equal = inhibition.equal.map { "\($0)=\(quoted(labels[$0] ?? ""))" }.joined(separator: ", ")
        return target + "; the same " + equal
    }
}

struct CompiledRoute: Sendable {
    let route: Route
    /// In words.
    let condition: String
    private let match: CompiledMatch
    private let within: [RecurringWindow]
    private let outside: [RecurringWindow]

    init(_ route: Route, times: [String: RecurringWindow]) throws(PolicyProblem) {
        self.route = route
        match = CompiledMatch(route.match)
        within = try Self.windows(route.within, times, route)
        outside = try Self.windows(route.outside, times, route)
        var words = match.words
        if let priority = route.minimumPriority { words.append("priority at least \(priority)") }
        if !route.within.isEmpty { words.append("within " + route.within.joined(separator: " or ")) }
        if !route.outside.isEmpty { words.append("outside " + route.outside.joined(separator: " and ")) }
        condition = words.isEmpty ? "every incident" : words.joined(separator: " and ")
    }

    private static func windows(
        _ names: [String], _ times: [String: RecurringWindow], _ route: Route
    ) throws(PolicyProblem) -> [RecurringWindow] {
        var windows: [RecurringWindow] = []
        for name in names {
            guard let window = times[name] else {
                let guess = Suggestion.closest(to: name, in: times.keys.sorted()).map { "did you mean \"\($0)\"?" }
                throw PolicyProblem(
                    "route \"\(route.name)\": there is no time window \(quoted(name)); " + (guess ?? "add it to \"times\""))
            }
            windows.append(window)
        }
        return windows
    }

    func matches(_ incident: IncidentView, at time: UInt64) -> Bool {
        guard match.matches(severity: incident.severity, drill: incident.drill) else { return false }
        if let lowest = route.minimumPriority, incident.priority > lowest { return false }
        if !within.isEmpty, !within.contains(where: { $0.contains(time) }) { return false }
        if outside.contains(where: { $0.contains(time) }) { return false }
        return match.isOfIncidents || incident.alerts.contains { match.matchesText($0, $0.matchable) }
    }
}
