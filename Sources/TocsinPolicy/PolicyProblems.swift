import TocsinCalendar
import TocsinDomain

extension Policy {
    /// What is wrong with the name of the next of a kind; `seen` are those before it.
    package static func problem(ofName name: String, among seen: inout Set<String>, _ kind: String) -> String? {
        if name.isEmpty { return "a \(kind) has no name; give it one" }
        return seen.insert(name).inserted ? nil : "\(kind) \"\(name)\": two have this name; rename one"
    }

    /// What is wrong with one part alone.
    package static func problems(of rule: TriageRule) -> [String] {
        do throws(PolicyProblem) { _ = try CompiledRule(rule) } catch { return [error.message] }
        return []
    }

    package static func problems(of route: Route, times: [String: RecurringWindow]) -> [String] {
        do throws(PolicyProblem) { _ = try CompiledRoute(route, times: times) } catch { return [error.message] }
        return []
    }

    package static func problems(of inhibition: Inhibition) -> [String] {
        do throws(PolicyProblem) { _ = try CompiledInhibition(inhibition) } catch { return [error.message] }
        return []
    }

    /// What is wrong with routes, inhibitions, maintenance, flapping and prediction.
    var attentionProblems: [String] {
        var problems: [String] = []
        func check(_ kind: String, _ names: [String]) {
            var seen: Set<String> = []
            for name in names {
                if let problem = Self.problem(ofName: name, among: &seen, kind) { problems.append(problem) }
            }
        }
        check("route", routes.map(\.name))
        check("inhibition", inhibitions.map(\.name))
        check("maintenance", maintenance.map(\.name))
        for (name, service) in services.sorted(by: { $0.key < $1.key }) {
            for other in service.dependsOn where services[other] == nil {
                let guess = Suggestion.closest(to: other, in: services.keys.sorted()).map { "did you mean \"\($0)\"?" }
                problems.append(
                    "service \"\(name)\" depends on \(quoted(other)), which is not in the catalogue; " + (guess ?? "add it"))
            }
        }
        for route in routes { problems += Self.problems(of: route, times: times) }
        for rule in inhibitions { problems += Self.problems(of: rule) }
        if let flapping {
            if !(2...100).contains(flapping.changes) {
                problems.append("flapping changes \(flapping.changes) is not in 2 to 100")
            }
            for (name, duration) in [("within", flapping.within), ("hold", flapping.hold)]
            where !(.seconds(1)...Duration.seconds(86_400)).contains(duration) {
                problems.append("flapping \(name) \(duration.components.seconds) s is not in 1 s to 1 day")
            }
        }
        if let prediction {
            if !(prediction.threshold > 0 && prediction.threshold <= 1) {
                problems.append("prediction threshold \(prediction.threshold) is not above 0 and at most 1")
            }
            if !(1...1000).contains(prediction.support) {
                problems.append("prediction support \(prediction.support) is not in 1 to 1000")
            }
            if !(.seconds(60)...Duration.seconds(86_400)).contains(prediction.window) {
                problems.append("prediction window \(prediction.window.components.seconds) s is not in 1 minute to 1 day")
            }
        }
        if !(.zero...Duration.seconds(7 * 86_400)).contains(correlation.window) {
            problems.append("correlation window \(correlation.window.components.seconds) s is not in 0 s to 7 days")
        }
        if let similarity = correlation.similarity, !(0...1).contains(similarity) {
            problems.append("correlation text \(similarity) is not in 0 to 1")
        }
        return problems
    }
}
