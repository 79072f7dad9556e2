import TocsinCalendar
import TocsinDomain
import TocsinPolicy
import TocsinPosix

extension Schema {
    static let policyDoc =
        "How what is reported is judged and who is told: the keys below, or the name of a YAML file that has them (relative to this one)."

    /// `targets`: the notification targets of the same configuration; empty: they are not known here.
    static func readPolicy(_ section: Section, targets: [String]) -> Policy {
        let reports = PolicyReports()
        var policy = Policy()
        policy.rules =
            section.sections("rules", "The first that matches an event decides.") { rule($0, reports) } ?? []
        policy.services = section.named("services", "The service catalogue, by name.", service)
        policy.matrix = section.section("matrix", matrix)
        policy.defaultSeverity = section.read(
            "default_severity", .severity, default: .minor, "Of events that say none, or one that is not known.")
        policy.correlation = section.section("correlation", correlation)
        policy.times = section.named("times", "Windows that routes name, by name.") { window($0) ?? .always }
        policy.routes =
            section.sections("routes", "Who is told of an incident: the first that matches decides.") {
                route($0, times: policy.times, targets: targets, reports)
            } ?? []
        policy.inhibitions =
            section.sections("inhibit", "While one alert fires, others are explained by it and tell nobody.") {
                inhibition($0, reports)
            } ?? []
        policy.maintenance =
            section.sections("maintenance", "Planned work: while it lasts, its alerts tell nobody.") {
                maintenance($0, reports)
            } ?? []
        policy.flapping = section.section("flapping", flapping)
        policy.prediction = section.section("prediction", prediction)
        policy.indicators = section.section("indicators", indicators)
        policy.classifier = section.optional("classifier", classifier) ?? nil
        for problem in policy.problems where reports.isNew(problem) { section.report(problem) }
        return policy
    }

    /// What was reported at its place while the policy was read. One thread.
    private final class PolicyReports {
        private var reported: Set<String> = []
        private var names: [String: Set<String>] = [:]

        func isNew(_ problem: String) -> Bool { reported.insert(problem).inserted }

        func check(_ section: Section, _ kind: String, _ name: String, _ problems: @autoclosure () -> [String]) {
            // A name that is missing has been reported already.
            guard !name.isEmpty else { return }
            let problem = Policy.problem(ofName: name, among: &names[kind, default: []], kind)
            for problem in [problem].compactMap(\.self) + problems() where isNew(problem) { section.report(problem) }
        }
    }

    private static func rule(_ section: Section, _ reports: PolicyReports) -> TriageRule {
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
            correlate: section.list(
                "correlate", .word, default: [],
                "Labels: alerts of the rule with the same values of all of them are one incident's."),
            suppress: section.read(
                "suppress", .word, absent: "not suppressed", "The reason to record the event and trouble nobody."),
            runbook: section.read("runbook", .text, default: "", "The runbook to run."),
            kind: kind.flatMap { TriageRule.Kind(rawValue: $0) })
        reports.check(section, "triage rule", name, Policy.problems(of: rule))
        return rule
    }

    private static func match(_ section: Section) -> RuleMatch {
        RuleMatch(
            subjects: section.list("subjects", .filter, default: [], "Subject filters; one must match."),
            sources: section.list("sources", .word, default: [], "Globs (* and ?); one must match the event's source."),
            services: section.list(
                "services", .word, default: [], "Globs; one must match the event's service, as it came or in the catalogue."),
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
            owner: section.read("owner", .text, default: "", "The team that owns it."),
            dependsOn: section.list(
                "depends_on", .word, default: [], "Services of the catalogue without which it does not work."),
            aliases: section.list("aliases", .word, default: [], "Globs: what else tools call it."),
            hosts: section.list(
                "hosts", .word, default: [],
                "Globs: events with such a label host, instance, node or pod are about it, unless they name a service that is known."
            ))
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

    private static func correlation(_ section: Section) -> Correlation {
        let similarity = section.read(
            "text", .number(0...1), default: 0.6,
            "How similar what two tools say must be to be one incident; 0: it is not looked at.")
        return Correlation(
            window: section.read(
                "window", .duration, default: .seconds(300), "How long after its last alert began another may join an incident."),
            services: section.read("services", .flag, default: true, "Alerts of one service of the catalogue are one incident."),
            topology: section.read(
                "topology", .flag, default: true, "Alerts of a service and of what it depends on are one incident."),
            similarity: similarity == 0 ? nil : similarity)
    }

    private static func flapping(_ section: Section) -> Flapping? {
        let isOn = section.read("enabled", .flag, default: true, "Whether alerts that fire and resolve too often are held.")
        let flapping = Flapping(
            changes: section.read(
                "changes", .integer(2...100), default: 6, "So many changes between firing and resolved are too often, ..."),
            within: section.read("within", .duration(atLeast: .seconds(1)), default: .seconds(600), "... within so long."),
            hold: section.read(
                "hold", .duration(atLeast: .seconds(1)), default: .seconds(900), "It is over when there were fewer for so long."))
        return isOn ? flapping : nil
    }

    private static func prediction(_ section: Section) -> Prediction? {
        let prediction = Prediction(
            threshold: section.read(
                "threshold", .number(0...1), default: 0.5,
                "How sure it must be that what preceded past incidents precedes one now, to warn; 0: nobody is warned."),
            support: section.read("support", .integer(1...1000), default: 3, "So many incidents it preceded, at least."),
            window: section.read(
                "window", .duration(atLeast: .seconds(60)), default: .seconds(1800), "How long before them it began, at most."))
        return prediction.threshold == 0 ? nil : prediction
    }

    private static func indicators(_ section: Section) -> IndicatorPolicy {
        let files = section.paths("files", "STIX bundles, MISP events, lists with an indicator a line, and folders of them.")
        let falsePositives = section.paths(
            "false_positives", "MISP warninglists, lists with a value a line, and folders of them: what is known to be benign.")
        let words = ["unchanged"] + Severity.allCases.map(\.name)
        let severity = section.read(
            "severity", .choice(words), default: Severity.major.name, "What mentions an indicator is at least this bad.")
        return IndicatorPolicy(
            files: files, falsePositives: falsePositives,
            reload: section.read(
                "reload", .duration(atLeast: .milliseconds(100)), default: .seconds(30),
                "How often files are looked at for changes."),
            severity: Severity.allCases.first { $0.name == severity },
            minimumConfidence: UInt8(
                section.read(
                    "minimum_confidence", .integer(0...100), default: 0,
                    "Indicators of less confidence are not used; those that say none are.")))
    }

    /// Nil if it cannot be read.
    private static func classifier(_ section: Section) -> EventClassifier? {
        let path = section.path(
            "model", default: "required",
            "A file of `tocsin classifier learn`. One that is not there yet has learnt nothing.")
        let threshold = section.read(
            "threshold", .number(0...1), default: 0.7, "What the classifier tells with less confidence is not taken.")
        guard !section.document.isExplaining else { return nil }
        guard section.has("model") else {
            section.report("\"model\" is missing; name a file of `tocsin classifier learn`")
            return nil
        }
        do {
            let bytes = try WholeFile.read(path, limit: IncidentModel.encodedBytesMax)
            return EventClassifier(try bytes.map { try IncidentModel(decoding: $0) } ?? IncidentModel(), threshold: threshold)
        } catch {
            section.report("model", "\(error)")
            return nil
        }
    }

    private static func alertMatch(_ section: Section) -> AlertMatch {
        AlertMatch(
            services: section.list("services", .word, default: [], "Globs; one must match the alert's service."),
            sources: section.list("sources", .word, default: [], "Globs; one must match the alert's source."),
            labels: section.table(
                "labels", .text, "Label name and glob; each must match. alertname is the summary where it is no label."),
            minimumSeverity: section.read("minimum_severity", .severity, absent: "any", "At least this bad."),
            drill: section.read("drill", .flag, absent: "either", "Whether it is an exercise."))
    }

    private static func route(
        _ section: Section, times: [String: RecurringWindow], targets: [String], _ reports: PolicyReports
    ) -> Route {
        var route = Route(name: section.require("name", .word, placeholder: "", "Unique; shown in every incident it decides."))
        section.section("match") { section in
            route.match = alertMatch(section)
            route.minimumPriority = section.read(
                "minimum_priority", .priority, absent: "any", "At least this urgent: P2 is P1 and P2.")
            route.within = section.list("within", .word, default: [], "Names of times; one must hold the time.")
            route.outside = section.list("outside", .word, default: [], "Names of times; none may hold the time.")
        }
        let isSet = section.has("page")
        route.page =
            section.list(
                "page", .word, absent: "required", "Names of responders.notifications that are told; []: nobody.") ?? []
        if !isSet, !section.document.isExplaining { section.report("\"page\" is missing; write whom to tell, or [] for nobody") }
        route.continues = section.read("continue", .flag, default: false, "Further routes are tried, and add theirs.")
        route.note = section.read("note", .text, default: "", "Why, for who asks.")
        if !targets.isEmpty {
            for target in route.page where !targets.contains(target) {
                let guess = Suggestion.closest(to: target, in: targets).map { "did you mean \"\($0)\"?" }
                section.report(
                    "page", "there is no notification \"\(target)\"; " + (guess ?? "there are " + targets.joined(separator: ", "))
                )
            }
        }
        reports.check(section, "route", route.name, Policy.problems(of: route, times: times))
        return route
    }

    private static func inhibition(_ section: Section, _ reports: PolicyReports) -> Inhibition {
        func matchers(_ key: String, _ doc: String) -> [String] {
            section.list(key, .word, absent: "required", doc) ?? []
        }
        let rule = Inhibition(
            name: section.require("name", .word, placeholder: "", "Unique; shown in every alert it holds."),
            source: matchers("source", "Matchers (service=\"db\", severity=~\"major|critical\") of the alert that explains."),
            target: matchers("target", "Matchers of the alerts that are explained."),
            equal: section.list("equal", .word, default: [], "Labels that have to be the same in both."))
        if !section.document.isExplaining { reports.check(section, "inhibition", rule.name, Policy.problems(of: rule)) }
        return rule
    }

    private static func maintenance(_ section: Section, _ reports: PolicyReports) -> Maintenance {
        let maintenance = Maintenance(
            name: section.require("name", .word, placeholder: "", "Unique; shown in every alert it holds."),
            match: section.section("match", alertMatch),
            window: section.section("window") { window($0) ?? .always },
            reason: section.read("reason", .text, default: "", "Why, for who asks."))
        if !section.has("window"), !section.document.isExplaining { section.report("\"window\" is missing; say when it is") }
        reports.check(section, "maintenance", maintenance.name, [])
        return maintenance
    }

    /// Nil if it was reported to be wrong.
    private static func window(_ section: Section) -> RecurringWindow? {
        var zone = TimeZoneRules.utc
        let name = section.read("zone", .word, default: "UTC", "Whose clocks: a time zone of the IANA database.")
        do throws(CalendarProblem) { zone = try TimeZoneRules.named(name) } catch { section.report("zone", error.message) }
        let from = section.read("from", .windowEnd, absent: "00:00", "When it begins; with a date it comes once.")
        let to = section.read("to", .windowEnd, absent: "24:00", "When it ends, on the next day if that is not later.")
        let days = RecurringWindow.Days(
            weekdays: Set(section.list("weekdays", .weekdays, default: [], "Days it begins on: mon, or mon-fri.").joined()),
            daysOfMonth: Set(
                section.list(
                    "days_of_month", .integer(-31...31), default: [], "Days it begins on: 1 to 31, or -1 for the last.")),
            ordinals: Set(
                section.list("nth_weekday", .ordinal, default: [], "Days it begins on: second tue, or last sun.")),
            first: section.read("first_day", .civilDay, absent: "any", "Before it, it does not begin."),
            last: section.read("last_day", .civilDay, absent: "any", "After it, it does not begin."))
        let pattern: RecurringWindow.Pattern
        switch (from, to) {
        case (.once(let begin)?, .once(let end)?):
            if days != RecurringWindow.Days() { section.report("a window with dates comes once; leave the days out") }
            pattern = .once(begin, end)
        case (.once?, _), (_, .once?):
            section.report("give a date in both \"from\" and \"to\", or in neither")
            return nil
        case (let begin, let end):
            pattern = .daily(days, from: begin?.time ?? .midnight, to: end?.time ?? .endOfDay)
        }
        do throws(CalendarProblem) { return try RecurringWindow(pattern, zone: zone) } catch {
            section.report(error.message)
            return nil
        }
    }
}

/// `22:00`, or `2026-03-29 22:00`.
enum WindowEnd: Sendable {
    case daily(TimeOfDay)
    case once(CivilTime)

    var time: TimeOfDay {
        switch self {
        case .daily(let time): time
        case .once(let civil): civil.time
        }
    }
}

extension Scalar where Value == WindowEnd {
    static var windowEnd: Scalar {
        Scalar(
            name: "time", expected: "a time such as 22:00, or with a date, 2026-03-29 22:00",
            parse: { text in
                TimeOfDay(parsing: text).map { .daily($0) } ?? CivilTime(parsing: text).map { .once($0) }
            },
            format: { end in
                switch end {
                case .daily(let time): "\(time)"
                case .once(let civil): "\(civil)"
                }
            })
    }
}

extension Scalar where Value == [Weekday] {
    /// `mon`, or `fri-mon`.
    static var weekdays: Scalar {
        Scalar(
            name: "weekdays", expected: "a day such as mon, or days such as mon-fri",
            words: Weekday.allCases.map(\.description),
            parse: { text in
                let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Weekday(parsing: $0) }
                guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1] else { return nil }
                let count = (last.rawValue - first.rawValue + 7) % 7
                return (0...count).compactMap { Weekday(rawValue: (first.rawValue - 1 + $0) % 7 + 1) }
            },
            format: { days in days.count == 1 ? "\(days[0])" : "\(days[0])-\(days[days.count - 1])" })
    }
}

extension Scalar where Value == RecurringWindow.Ordinal {
    static var ordinal: Scalar {
        Scalar(
            name: "nth weekday", expected: "a weekday of the month such as first mon, or last sun",
            parse: { RecurringWindow.Ordinal(parsing: $0) }, format: \.description)
    }
}

extension Scalar where Value == CivilDay {
    static var civilDay: Scalar {
        Scalar(name: "date", expected: "a date such as 2026-03-29", parse: { CivilDay(parsing: $0) }, format: \.description)
    }
}
