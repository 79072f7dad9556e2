import TocsinCalendar
import TocsinDomain
import TocsinWire

/// Something in a policy that is allowed and surely not meant.
public struct PolicyFinding: Sendable, Equatable {
    public enum Level: String, Sendable, CaseIterable, Comparable {
        /// Worth knowing.
        case note
        /// Has not the effect that it seems to have.
        case warning
        /// Nobody would be told, or nothing would be done.
        case error

        public static func < (a: Level, b: Level) -> Bool {
            (allCases.firstIndex(of: a) ?? 0) < (allCases.firstIndex(of: b) ?? 0)
        }
    }
    public var level: Level
    /// Where, as keys of the configuration have it: `routes[2]`, `services.shop`; empty: the policy as a whole.
    public var place: String
    /// One sentence: what, and what to do.
    public var message: String
}

/// What is looked at beside the policy.
public struct PolicyLintContext: Sendable {
    /// Names of notification targets and of runbooks; nil: not known.
    public var targets: [String]?
    public var runbooks: [String]?
    /// Milliseconds since 1970: windows that are over then never come.
    public var now: UInt64

    public init(targets: [String]? = nil, runbooks: [String]? = nil, now: UInt64) {
        self.targets = targets
        self.runbooks = runbooks
        self.now = now
    }
}

extension Policy {
    /// Everything in it that is surely not meant, in the order of the file. The policy itself has no `problems`.
    public func findings(_ context: PolicyLintContext) -> [PolicyFinding] {
        var lint = PolicyLint(policy: self, context: context)
        lint.rules()
        lint.services()
        lint.windows()
        lint.routes()
        lint.inhibitions()
        lint.maintenance()
        return lint.findings
    }
}

private struct PolicyLint {
    let policy: Policy
    let context: PolicyLintContext
    private(set) var findings: [PolicyFinding] = []

    init(policy: Policy, context: PolicyLintContext) {
        self.policy = policy
        self.context = context
    }

    private mutating func add(_ level: PolicyFinding.Level, _ place: String, _ message: String) {
        findings.append(PolicyFinding(level: level, place: place, message: message))
    }

    private static func meant(_ word: String, _ candidates: some Sequence<String>) -> String {
        Suggestion.closest(to: word, in: candidates.sorted()).map { "; did you mean \"\($0)\"?" } ?? ""
    }

    // MARK: Rules

    mutating func rules() {
        let rules = policy.rules
        for (index, rule) in rules.enumerated() {
            let place = "rules[\(index)]"
            if let earlier = rules[..<index].first(where: { hides($0, rule) }) {
                add(
                    .warning, place,
                    "rule \"\(rule.name)\" never decides: what it matches, \"\(earlier.name)\" before it matches too")
            }
            if rule.suppress != nil, rule.match.isEverything {
                add(
                    .warning, place,
                    "rule \"\(rule.name)\" suppresses every event that no rule before it matches; give it a \"match\"")
            }
            if let service = rule.service, !policy.services.isEmpty, policy.services[service] == nil {
                add(
                    .warning, place,
                    "rule \"\(rule.name)\" gives alerts the service \"\(service)\", which is not in the catalogue"
                        + Self.meant(service, policy.services.keys))
            }
            if let runbooks = context.runbooks, !rule.runbook.isEmpty, !runbooks.contains(rule.runbook) {
                add(
                    .error, place,
                    "rule \"\(rule.name)\" suggests the runbook \"\(rule.runbook)\", which is not there"
                        + Self.meant(rule.runbook, runbooks))
            }
            group(rule, place)
        }
    }

    /// Whether the second never decides because the first is before it. One without a least severity would still say what makes an
    /// alert, where the first has one.
    private func hides(_ first: TriageRule, _ second: TriageRule) -> Bool {
        if first.match.minimumSeverity != nil, second.match.minimumSeverity == nil { return false }
        return first.match.covers(second.match)
    }

    private mutating func group(_ rule: TriageRule, _ place: String) {
        guard let by = rule.by, let group = rule.group else { return }
        let others = policy.rules.filter { $0.name != rule.name && $0.by != nil && ($0.group ?? $0.name) == group }
        if others.isEmpty {
            add(.warning, place, "rule \"\(rule.name)\" is alone in the group \"\(group)\"; another rule has to name it, too")
        }
        if let other = others.first(where: { $0.by != by }) {
            add(
                .warning, place,
                "rules \"\(rule.name)\" and \"\(other.name)\" of the group \"\(group)\" never match together: their \"by\" differs"
            )
        }
    }

    // MARK: Services

    mutating func services() {
        var claimed: [String: String] = [:]
        for (name, service) in policy.services.sorted(by: { $0.key < $1.key }) {
            let place = "services.\(name)"
            for alias in service.aliases {
                if policy.services[alias] != nil {
                    add(
                        .warning, place,
                        "service \"\(name)\" has the alias \"\(alias)\", which is a service itself and stays that")
                }
            }
            for (kind, globs) in [("alias", service.aliases), ("host", service.hosts)] {
                for glob in globs {
                    if let other = claimed["\(kind) \(glob)"] {
                        add(.warning, place, "the \(kind) \"\(glob)\" is also of service \"\(other)\", which has it first")
                    } else {
                        claimed["\(kind) \(glob)"] = name
                    }
                }
            }
        }
        for cycle in cycles() {
            let way = (cycle + [cycle[0]]).joined(separator: " → ")
            add(.error, "services.\(cycle[0])", "services depend on each other in a circle: \(way)")
        }
    }

    /// Circles of `depends_on`, each once, beginning with its first by name.
    private func cycles() -> [[String]] {
        var found: [[String]] = []
        var finished: Set<String> = []
        for start in policy.services.keys.sorted() {
            // Depth first, without recursion: a catalogue may be deep.
            var path: [(name: String, next: Int)] = [(start, 0)]
            while let last = path.last {
                let dependencies = policy.services[last.name]?.dependsOn ?? []
                guard last.next < dependencies.count, !finished.contains(last.name) else {
                    finished.insert(last.name)
                    path.removeLast()
                    continue
                }
                path[path.count - 1].next += 1
                let next = dependencies[last.next]
                if let index = path.firstIndex(where: { $0.name == next }) {
                    found.append(Self.rotated(path[index...].map(\.name)))
                } else if !finished.contains(next), policy.services[next] != nil {
                    path.append((next, 0))
                }
            }
        }
        return found
    }

    private static func rotated(_ cycle: [String]) -> [String] {
        guard let first = cycle.min(), let index = cycle.firstIndex(of: first) else { return cycle }
        return Array(cycle[index...] + cycle[..<index])
    }

    /// Names without marks that no service of the catalogue has.
    private mutating func unknownServices(_ match: AlertMatch, _ what: String, _ place: String) {
        if policy.services.isEmpty { return }
        for glob in match.services {
            let isThere = policy.services.keys.contains { Glob(glob).matches($0) }
            if !isThere {
                add(
                    .warning, place,
                    "\(what) is of the service \"\(glob)\", which is not in the catalogue"
                        + Self.meant(glob, policy.services.keys))
            }
        }
    }

    // MARK: Windows

    /// Why a window has no effect any more; nil if it has.
    private func absence(_ window: RecurringWindow) -> (PolicyFinding.Level, String)? {
        if window.next(after: 0) == nil, !window.contains(0) { return (.error, "never comes") }
        if window.next(after: context.now) == nil, !window.contains(context.now) {
            return (.warning, "is over and never comes again")
        }
        return nil
    }

    mutating func windows() {
        let used = Set(policy.routes.flatMap { $0.within + $0.outside })
        for (name, window) in policy.times.sorted(by: { $0.key < $1.key }) {
            if let (level, words) = absence(window) { add(level, "times.\(name)", "the window \"\(name)\" (\(window)) \(words)") }
            if !used.contains(name) { add(.note, "times.\(name)", "no route names the window \"\(name)\"") }
        }
    }

    // MARK: Routes

    mutating func routes() {
        if policy.routes.isEmpty { return }
        for (index, route) in policy.routes.enumerated() {
            let place = "routes[\(index)]"
            if let earlier = policy.routes[..<index].first(where: { !$0.continues && $0.covers(route) }) {
                add(
                    .warning, place,
                    "route \"\(route.name)\" is never reached: what it matches, \"\(earlier.name)\" before it matches too")
            }
            if let both = route.within.first(where: { route.outside.contains($0) }), route.within.count == 1 {
                add(.error, place, "route \"\(route.name)\" never matches: it is within and outside of \"\(both)\"")
            }
            if let targets = context.targets {
                for target in route.page where !targets.contains(target) {
                    add(
                        .error, place,
                        "route \"\(route.name)\" tells \"\(target)\", which is no notification" + Self.meant(target, targets))
                }
            }
            if route.page.isEmpty, route.note.isEmpty, !route.continues {
                add(.note, place, "route \"\(route.name)\" tells nobody and does not say why; add a \"note\"")
            }
            unknownServices(route.match, "route \"\(route.name)\"", place)
        }
        if !policy.routes.contains(where: { $0.isEverything }) {
            add(.note, "routes", "there is no route for every incident: where none matches, each notification decides for itself")
        }
        for target in context.targets ?? [] where !policy.routes.contains(where: { $0.page.contains(target) }) {
            add(.warning, "routes", "no route tells the notification \"\(target)\"")
        }
    }

    // MARK: Inhibition and maintenance

    mutating func inhibitions() {
        let compiled = policy.inhibitions.map { rule in
            (rule: rule, source: MatcherSet(rule.source), target: MatcherSet(rule.target))
        }
        for (index, one) in compiled.enumerated() {
            let place = "inhibit[\(index)]"
            let name = one.rule.name
            if Set(one.rule.source) == Set(one.rule.target) {
                add(
                    .error, place,
                    "inhibition \"\(name)\" does nothing: its sources are its targets, and those never inhibit each other")
            } else if one.source.mayBe(one.target) {
                add(
                    .warning, place,
                    "inhibition \"\(name)\" can silence its own sources: an alert may match both; exclude one from the other with !="
                )
            }
            for (other, second) in compiled.enumerated() where other > index {
                if one.target.mayBe(second.source), second.target.mayBe(one.source) {
                    add(
                        .warning, "inhibit[\(other)]",
                        "inhibitions \"\(name)\" and \"\(second.rule.name)\" can silence each other: only the one that fires first is told"
                    )
                }
            }
        }
    }

    mutating func maintenance() {
        for (index, maintenance) in policy.maintenance.enumerated() {
            let place = "maintenance[\(index)]"
            let name = maintenance.name
            if let (level, words) = absence(maintenance.window) {
                add(level, place, "maintenance \"\(name)\" (\(maintenance.window)) \(words)")
            }
            if maintenance.match == AlertMatch() {
                add(.warning, place, "maintenance \"\(name)\" holds every alert; give it a \"match\"")
            }
            unknownServices(maintenance.match, "maintenance \"\(name)\"", place)
        }
    }
}

/// Matchers that all have to hold.
private struct MatcherSet {
    private let matchers: [Matcher]

    init(_ texts: [String]) {
        matchers = texts.compactMap { text in
            do throws(Matcher.Problem) { return try Matcher(parsing: text) } catch { return nil }
        }
    }

    /// Whether one alert might match both: false only where two matchers of a label surely exclude each other.
    func mayBe(_ other: MatcherSet) -> Bool {
        !matchers.contains { one in
            other.matchers.contains { $0.name == one.name && ($0.excludes(one) || one.excludes($0)) }
        }
    }
}

extension Matcher {
    /// Whether a value that this one is equal to is none of the other's.
    fileprivate func excludes(_ other: Matcher) -> Bool {
        guard self.operator == .equal else {
            return self.operator == .matches && other.operator == .matchesNot && value == other.value
        }
        var other = other
        return !other.matches(value)
    }
}

extension Glob {
    /// Whether all that the other matches is matched by this; no only means that it is not sure.
    fileprivate func covers(_ other: Glob) -> Bool {
        if source == other.source { return true }
        // A mark for one character must not stand for a mark for many.
        return !(source.contains("?") && other.source.contains("*")) && matches(other.source)
    }
}

/// Whether a list of which one has to match, empty for any, holds wherever the other does.
private func covers(_ globs: [String], _ others: [String]) -> Bool {
    globs.isEmpty || !others.isEmpty && others.allSatisfy { other in globs.contains { Glob($0).covers(Glob(other)) } }
}

private func covers(_ labels: [String: String], _ others: [String: String]) -> Bool {
    labels.allSatisfy { name, glob in others[name].map { Glob(glob).covers(Glob($0)) } ?? false }
}

extension RuleMatch {
    fileprivate var isEverything: Bool {
        subjects.isEmpty && sources.isEmpty && services.isEmpty && labels.isEmpty && summaryContains.isEmpty
            && summaryMatches == nil && minimumSeverity == nil
    }

    /// Whether what the other matches is matched by this; no only means that it is not sure.
    fileprivate func covers(_ other: RuleMatch) -> Bool {
        if let minimumSeverity, other.minimumSeverity.map({ $0 < minimumSeverity }) ?? true { return false }
        if let summaryMatches, summaryMatches != other.summaryMatches { return false }
        let containsAll =
            summaryContains.isEmpty
            || !other.summaryContains.isEmpty
                && other.summaryContains.allSatisfy { text in summaryContains.contains { text.contains($0) } }
        return containsAll && coversSubjects(other) && TocsinPolicy.covers(sources, other.sources)
            && TocsinPolicy.covers(services, other.services) && TocsinPolicy.covers(labels, other.labels)
    }

    private func coversSubjects(_ other: RuleMatch) -> Bool {
        func filters(_ texts: [String]) -> [SubjectFilter] {
            texts.compactMap { text in
                do throws(WireError) { return try SubjectFilter(text) } catch { return nil }
            }
        }
        if subjects.isEmpty { return true }
        let (own, others) = (filters(subjects), filters(other.subjects))
        return !others.isEmpty && others.allSatisfy { other in own.contains { $0.covers(other) } }
    }
}

extension Route {
    fileprivate var isEverything: Bool { match == AlertMatch() && minimumPriority == nil && within.isEmpty && outside.isEmpty }

    /// Whether what the other matches is matched by this, at any time; no only means that it is not sure.
    fileprivate func covers(_ other: Route) -> Bool {
        if let minimum = match.minimumSeverity, other.match.minimumSeverity.map({ $0 < minimum }) ?? true { return false }
        if let minimumPriority, other.minimumPriority.map({ $0 > minimumPriority }) ?? true { return false }
        if let drill = match.drill, other.match.drill != drill { return false }
        let isWithin = within.isEmpty || !other.within.isEmpty && Set(other.within).isSubset(of: within)
        return isWithin && Set(outside).isSubset(of: other.outside) && TocsinPolicy.covers(match.sources, other.match.sources)
            && TocsinPolicy.covers(match.services, other.match.services)
            && TocsinPolicy.covers(match.labels, other.match.labels)
    }
}
