import TocsinDomain
import TocsinProto
import TocsinWire

/// A rule with everything parsed and compiled once, and its condition in words.
struct CompiledRule: Sendable {
    let rule: TriageRule
    /// `summary matches "HTTP 5.." and service web*`; what an alert says of why.
    let condition: String
    /// What it asks of an event's fields, each at most once; all have to hold.
    let conditions: [(field: RuleField.Name, test: RuleField.Test)]
    private var contains: TextPattern?
    private var pattern: TextPattern?

    /// Throws what is wrong with the rule, in one sentence.
    init(_ rule: TriageRule) throws(PolicyProblem) {
        let here = "triage rule \"\(rule.name)\": "
        self.rule = rule
        conditions = try Self.conditions(rule.match, here)
        contains = try Self.literals(rule.match.summaryContains, here)
        pattern = try Self.pattern(rule.match.summaryMatches, here)
        if rule.by != nil, rule.match.minimumSeverity != nil {
            throw PolicyProblem(
                here
                    + "\"by\" cannot go with a minimum severity, because a resolve need not repeat the severity of its trigger; move \"by\" to a rule without one"
            )
        }
        if rule.by?.isEmpty == true {
            throw PolicyProblem(here + "\"by\" names nothing, so every event would be the same alert; name a field")
        }
        if rule.group != nil, rule.by == nil {
            throw PolicyProblem(here + "\"group\" has an effect only together with \"by\"; add \"by\" or leave it out")
        }
        if rule.suppress?.allSatisfy(\.isWhitespace) == true {
            throw PolicyProblem(here + "\"suppress\" is the reason to suppress; say it in a few words")
        }
        condition = Self.words(for: rule.match)
    }

    /// Whether an event matches whose fields do; `severity` is what its hint is taken for.
    mutating func matches(summary: String, severity: Severity) -> Bool {
        if let minimum = rule.match.minimumSeverity, severity < minimum { return false }
        if contains?.matches(summary) == false { return false }
        return pattern?.matches(summary) != false
    }

    private static func conditions(
        _ match: RuleMatch, _ here: String
    ) throws(PolicyProblem) -> [(field: RuleField.Name, test: RuleField.Test)] {
        var conditions: [(field: RuleField.Name, test: RuleField.Test)] = []
        if !match.subjects.isEmpty { conditions.append((.subject, .filters(try filters(match.subjects, here)))) }
        if !match.sources.isEmpty { conditions.append((.source, .globs(match.sources.map { Glob($0) }))) }
        if !match.services.isEmpty { conditions.append((.service, .globs(match.services.map { Glob($0) }))) }
        for (name, value) in match.labels { conditions.append((.label(name), .globs([Glob(value)]))) }
        return conditions
    }

    private static func filters(_ texts: [String], _ here: String) throws(PolicyProblem) -> [SubjectFilter] {
        var filters: [SubjectFilter] = []
        for text in texts {
            do throws(WireError) {
                filters.append(try SubjectFilter(text))
            } catch {
                throw PolicyProblem(here + error.message)
            }
        }
        return filters
    }

    private static func literals(_ texts: [String], _ here: String) throws(PolicyProblem) -> TextPattern? {
        if texts.isEmpty { return nil }
        if texts.contains("") { throw PolicyProblem(here + "every summary contains the empty text; leave it out") }
        do throws(TextPattern.Problem) {
            return try TextPattern(anyOf: texts)
        } catch {
            throw PolicyProblem(here + "the texts that the summary may contain are too many; \(error.message)")
        }
    }

    private static func pattern(_ text: String?, _ here: String) throws(PolicyProblem) -> TextPattern? {
        guard let text else { return nil }
        do throws(TextPattern.Problem) {
            return try TextPattern(text)
        } catch {
            throw PolicyProblem(here + "the expression \(quoted(text)) is wrong \(error)")
        }
    }

    private static func words(for match: RuleMatch) -> String {
        var parts: [String] = []
        func list(_ name: String, _ texts: [String]) {
            if !texts.isEmpty { parts.append(name + " " + texts.joined(separator: " or ")) }
        }
        list("subject", match.subjects)
        list("source", match.sources)
        list("service", match.services)
        for (name, value) in match.labels.sorted(by: { $0.key < $1.key }) { parts.append("label \(name)=\(value)") }
        list("summary contains", match.summaryContains.map(quoted))
        if let pattern = match.summaryMatches { parts.append("summary matches \(quoted(pattern))") }
        if let minimum = match.minimumSeverity { parts.append("severity at least \(minimum)") }
        return parts.isEmpty ? "every event" : parts.joined(separator: " and ")
    }
}

/// What is wrong with a policy: one sentence saying what, where and what to do.
public struct PolicyProblem: Error, Sendable, Equatable, CustomStringConvertible {
    public var message: String

    package init(_ message: String) { self.message = message }

    public var description: String { message }
}

/// In quotes and at most 64 characters: texts from outside appear in sentences.
func quoted(_ text: String) -> String { "\"\(text.prefix(64))\(text.count > 64 ? "…" : "")\"" }

extension Policy {
    /// Everything that is wrong with it; empty if nothing is.
    public var problems: [String] {
        var problems: [String] = []
        var names: Set<String> = []
        for rule in rules {
            problems += Self.problems(of: rule)
            if rule.name == "default" {
                problems.append(
                    "triage rule \"default\": the name is taken by the rule for what no other matches; choose another")
            }
            if let problem = Self.problem(ofName: rule.name, among: &names, "triage rule") { problems.append(problem) }
        }
        for (name, service) in services.sorted(by: { $0.key < $1.key }) where !(1...3).contains(service.tier) {
            problems.append("service \"\(name)\": tier \(service.tier) is not one of 1, 2 and 3")
        }
        return problems + attentionProblems
    }
}
