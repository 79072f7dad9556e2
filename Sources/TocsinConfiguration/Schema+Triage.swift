import TocsinDomain
import TocsinPolicy
import TocsinTriage

extension Schema {
    static func readTriage(_ section: Section) -> (TriageConfiguration, workers: Int) {
        let workers = section.read("workers", .integer(0...64), default: 2, "Triage processes that `tocsin up` runs.")
        let policy = Policy(
            rules: section.sections("rules", "The first that matches an event decides.", rule) ?? [],
            services: section.named("services", "The service catalogue, by name.", service),
            matrix: section.section("matrix", matrix),
            defaultSeverity: section.read(
                "default_severity", .severity, default: .minor, "Of events that say none, or one that is not known."))
        let configuration = TriageConfiguration(
            policy: policy,
            limits: UpdateLimits(
                events: section.read(
                    "update_events", .integer(1...10_000), default: 500, "Events merged into one alert update, at most."),
                bytes: section.read(
                    "update_size", .size(atLeast: 1024), default: 512 << 10,
                    "Size of the events merged into one alert update, at most.")),
            credit: section.read(
                "credit", .integer(1...65_536), default: 1024, "Events one worker holds at the same time."))
        // What is wrong with one rule was reported at that rule.
        let reported = Set(policy.rules.flatMap { Policy(rules: [$0]).problems })
        for problem in configuration.problems where !reported.contains(problem) { section.report(problem) }
        return (configuration, workers)
    }

    private static func rule(_ section: Section) -> TriageRule {
        let name = section.require("name", .word, placeholder: "", "Unique; shown in every alert it decides.")
        let by = section.list(
            "by", .word, absent: "service, source, summary, labels",
            "What tells alerts apart: service, source, summary, labels, or names of labels.")
        let kind = section.read(
            "kind", .choice(TriageRule.Kind.allCases.map(\.rawValue)), absent: "the event's",
            "What the event is taken for.")
        let rule = TriageRule(
            name: name, match: section.section("match", match),
            severity: section.read("severity", .severity, absent: "the event's", "Of the alert."),
            impact: section.read("impact", .level, absent: "by the service's tier", "Scope and harm."),
            urgency: section.read("urgency", .level, absent: "by severity", "How soon it harms."),
            service: section.read("service", .word, absent: "the event's", "Of the alert."),
            by: by?.map { FingerprintField(parsing: $0) },
            group: section.read("group", .word, absent: "the rule's name", "Rules of one group share alerts."),
            suppress: section.read(
                "suppress", .word, absent: "not suppressed", "The reason to record the event and trouble nobody."),
            runbook: section.read("runbook", .text, default: "", "The runbook to run."),
            kind: kind.flatMap { TriageRule.Kind(rawValue: $0) })
        // A name that is missing has been reported already.
        if !name.isEmpty { Policy(rules: [rule]).problems.forEach(section.report) }
        return rule
    }

    private static func match(_ section: Section) -> RuleMatch {
        RuleMatch(
            subjects: section.list("subjects", .filter, default: [], "Subject filters; one must match."),
            sources: section.list("sources", .word, default: [], "Globs (* and ?); one must match the event's source."),
            services: section.list("services", .word, default: [], "Globs; one must match the event's service."),
            labels: section.table("labels", .text, "Label name and glob; each must match."),
            summaryContains: section.list(
                "summary_contains", .word, default: [], "The summary must contain one of these."),
            summaryMatches: section.read(
                "summary_matches", .word, absent: "anything", "The summary must match this regular expression."),
            minimumSeverity: section.read(
                "minimum_severity", .severity, absent: "any", "The event is at least this bad."))
    }

    private static func service(_ section: Section) -> ServiceEntry {
        ServiceEntry(
            tier: section.read("tier", .integer(1...3), default: 2, "1: the business stops; 3: few notice."),
            impact: section.read("impact", .level, absent: "by tier", "Of an outage."),
            owner: section.read("owner", .text, default: "", "The team that owns it."))
    }

    private static func matrix(_ section: Section) -> PriorityMatrix {
        var matrix = PriorityMatrix.standard
        let urgencies: [Level] = [.high, .medium, .low]
        for impact in urgencies {
            let standard = urgencies.map { PriorityMatrix.standard[impact: impact, urgency: $0] }
            let row = section.list(
                impact.name, .priority, default: standard,
                "Priorities of \(impact) impact, by urgency high, medium, low.")
            guard row.count == urgencies.count else {
                section.report(impact.name, "expected three priorities, for urgency high, medium and low")
                continue
            }
            for (urgency, priority) in zip(urgencies, row) { matrix[impact: impact, urgency: urgency] = priority }
        }
        return matrix
    }
}
