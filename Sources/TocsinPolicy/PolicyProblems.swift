extension Policy {
    /// What is wrong with routes, inhibitions, maintenance and flapping.
    var attentionProblems: [String] {
        var problems: [String] = []
        func check(_ kind: String, _ names: [String]) {
            var seen: Set<String> = []
            for name in names where name.isEmpty || !seen.insert(name).inserted {
                problems.append(
                    name.isEmpty ? "a \(kind) has no name; give it one" : "\(kind) \"\(name)\": two have this name; rename one")
            }
        }
        check("route", routes.map(\.name))
        check("inhibition", inhibitions.map(\.name))
        check("maintenance", maintenance.map(\.name))
        for route in routes {
            do throws(PolicyProblem) { _ = try CompiledRoute(route, times: times) } catch { problems.append(error.message) }
        }
        for rule in inhibitions {
            do throws(PolicyProblem) { _ = try CompiledInhibition(rule) } catch { problems.append(error.message) }
        }
        if let flapping {
            if !(2...100).contains(flapping.changes) {
                problems.append("flapping changes \(flapping.changes) is not in 2 to 100")
            }
            for (name, duration) in [("within", flapping.within), ("hold", flapping.hold)]
            where !(.seconds(1)...Duration.seconds(86_400)).contains(duration) {
                problems.append("flapping \(name) \(duration) is not in 1 s to 1 day")
            }
        }
        if !(.zero...Duration.seconds(7 * 86_400)).contains(correlation.window) {
            problems.append("correlation window \(correlation.window) is not in 0 s to 7 days")
        }
        if let similarity = correlation.similarity, !(0...1).contains(similarity) {
            problems.append("correlation text \(similarity) is not in 0 to 1")
        }
        return problems
    }
}
