import TocsinCalendar
import TocsinDomain
import TocsinPolicy
import TocsinPosix
import TocsinReplay
import TocsinWire

/// Cases of a policy, as a YAML file has them.
public struct PolicyCaseFile: Sendable {
    /// The one that the file has or names; nil: none.
    public var policy: Policy?
    public var cases: [PolicyCase]
}

extension ConfigurationLoader {
    /// Reads the cases of `file`. Blocks on it.
    ///
    /// - Throws: `ConfigurationError` with everything that is wrong.
    public static func cases(
        file: String, workingFolder: String = currentFolder()
    ) throws(ConfigurationError) -> PolicyCaseFile {
        let path = Paths.absolute(file, under: workingFolder)
        let node = try node(of: path, shownAs: file)
        return try read(node, file: file, path: path, workingFolder: workingFolder) { root in
            let hasPolicy = root.has("policy")
            let policy = root.sectionOrFile("policy", Schema.policyDoc) { Schema.readPolicy($0, targets: []) }
            let cases = root.sections("cases", "What is tried.", CaseSchema.read) ?? []
            if cases.isEmpty { root.report("\"cases\" is missing; give at least one") }
            return PolicyCaseFile(policy: hasPolicy ? policy : nil, cases: cases)
        }
    }
}

/// What a case may say. Each function reads one section.
private enum CaseSchema {
    /// A Monday.
    private static let start = CivilTime(parsing: "2026-01-05 12:00")?.localSeconds ?? 0

    static func read(_ section: Section) -> PolicyCase {
        let name = section.require("name", .word, placeholder: "", "What it shows.")
        var zone = TimeZoneRules.utc
        let zoneName = section.read("zone", .word, default: "UTC", "Whose clocks the times are of.")
        do throws(CalendarProblem) { zone = try TimeZoneRules.named(zoneName) } catch { section.report("zone", error.message) }
        let at = section.read("at", .civilTime, absent: "2026-01-05 12:00", "When it begins.")
        let start = UInt64(at.map { zone.seconds(localSeconds: $0.localSeconds) } ?? start) * 1000
        var now = start
        let steps =
            section.sections("steps", "What happens, in order.") { section in step(section, zone, &now) } ?? []
        if steps.isEmpty { section.report("\"steps\" is missing; give at least one") }
        return PolicyCase(name: name, start: start, steps: steps, place: section.source.description)
    }

    private static func step(_ section: Section, _ zone: TimeZoneRules, _ now: inout UInt64) -> PolicyCase.Step {
        var step = PolicyCase.Step(place: section.source.description)
        let at = section.read("at", .civilTime, absent: "at once", "When, on the clocks of the zone.")
        let after = section.read("after", .duration, absent: "at once", "So long after the step before.")
        if at != nil, after != nil { section.report("give one of \"at\" and \"after\"") }
        if let at {
            let time = UInt64(max(0, zone.seconds(localSeconds: at.localSeconds))) * 1000
            if time < now { section.report("at", "\(at) is before the step before") }
            step.time = max(time, now)
        } else if let after {
            step.time = now + UInt64(after.wholeMilliseconds)
        }
        now = step.time ?? now
        let actions = ["event", "events", "silence", "expire"].filter(section.has)
        if actions.count > 1 { section.report("give one of \(actions.joined(separator: " and ")) in a step") }
        let single = section.optional("event", event)
        let several = section.sections("events", absent: "none", "Events that come at the same time.", event)
        let silence = section.optional("silence", silence)
        let expired = section.read("expire", .word, absent: "none", "The id of a silence that is ended.")
        if let events = single.map({ [$0] }) ?? several {
            step.action = .events(events)
        } else if let silence {
            step.action = .silence(silence)
        } else if let expired {
            step.action = .expire(expired)
        }
        step.expectation = section.section("expect", expectation)
        return step
    }

    private static func event(_ section: Section) -> PolicyCase.Event {
        var event = PolicyCase.Event()
        event.id = section.read("id", .text, default: "", "To speak of it later.")
        event.subject = section.read("subject", .subject, default: event.subject, "What it is published on.")
        event.summary = section.read("summary", .text, default: event.summary, "One line for a person.")
        event.service = section.read("service", .text, default: "", "What it is about.")
        event.severity = section.read("severity", .text, default: "", "As a tool says it.")
        event.key = section.read("key", .text, default: "", "What tells it apart from other conditions of the service.")
        event.source = section.read("source", .text, default: event.source, "Who saw it.")
        event.labels = section.table("labels", .text, "Identity.")
        event.details = section.table("details", .text, "Evidence.")
        event.isResolve = section.read("resolve", .flag, default: false, "The condition is over.")
        event.drill = section.read("drill", .flag, default: false, "An exercise.")
        event.times = section.read("times", .integer(1...10_000), default: 1, "So many of them.")
        return event
    }

    private static func silence(_ section: Section) -> PolicyCase.Silence {
        let matchers = section.list("matchers", .word, absent: "required", "service=\"shop\", all of which have to match.") ?? []
        if matchers.isEmpty { section.report("\"matchers\" is missing; give at least one") }
        for text in matchers {
            do throws(Matcher.Problem) { _ = try Matcher(parsing: text) } catch { section.report("matchers", "\(error)") }
        }
        return PolicyCase.Silence(
            id: section.require("id", .word, placeholder: "", "To speak of it later."), matchers: matchers,
            duration: section.read("for", .duration(atLeast: .seconds(1)), default: .seconds(3600), "How long it holds."),
            author: section.read("by", .text, default: "", "Who set it."),
            reason: section.read("reason", .text, default: "", "Why."))
    }

    private static func expectation(_ section: Section) -> PolicyCase.Expectation {
        let any = "any"
        var expected = PolicyCase.Expectation()
        expected.of = section.read("of", .word, absent: "the latest event", "The id of the event whose alert it is about.")
        expected.service = section.read("service", .text, absent: any, "Of the alert.")
        expected.severity = section.read("severity", .severity, absent: any, "As triage judged it.")
        expected.priority = section.read("priority", .priority, absent: any, "As triage judged it.")
        expected.rule = section.read("rule", .word, absent: any, "That decided; default: none.")
        expected.runbook = section.read("runbook", .text, absent: any, "That is suggested.")
        expected.suppressed = section.read("suppressed", .flag, absent: any, "A rule says: recorded, and no alert.")
        expected.alert = section.read(
            "alert", .choice(["firing", "resolved", "suppressed", "none"]), absent: any, "Its state.")
        expected.heldBy = section.read(
            "held_by", .text, absent: any, "silence ID, maintenance NAME, inhibition NAME, flapping; \"\": nothing.")
        expected.incident = section.read("incident", .integer(0...1_000_000), absent: any, "Its number, from 1; 0: none.").map {
            UInt64($0)
        }
        expected.incidentState = section.read(
            "incident_state", .choice(IncidentState.allCases.map(\.name)), absent: any, "Of the incident of the alert."
        ).flatMap { name in IncidentState.allCases.first { $0.name == name } }
        expected.incidentSeverity = section.read("incident_severity", .severity, absent: any, "Of the incident of the alert.")
        expected.incidentPriority = section.read("incident_priority", .priority, absent: any, "Of the incident of the alert.")
        expected.incidents = section.read("incidents", .integer(0...1_000_000), absent: any, "How many there are, open or not.")
        expected.told = section.list("told", .word, absent: any, "With what verbs the world was told since the step before.")
        expected.page = section.list(
            "page", .word, absent: any, "Whom; [\"*\"]: each target decides for itself."
        )?.sorted()
        return expected
    }
}

extension Scalar where Value == CivilTime {
    static var civilTime: Scalar {
        Scalar(
            name: "time", expected: "a time such as 2026-03-29 02:30", parse: { CivilTime(parsing: $0) }, format: \.description)
    }
}

extension Scalar where Value == String {
    static var subject: Scalar {
        Scalar(
            name: "subject", expected: "a subject such as event.http.checkout",
            parse: { text in
                var copy = text
                return copy.withUTF8 { Subject.problem(in: UnsafeRawBufferPointer($0)) } == nil ? text : nil
            }, format: { $0 })
    }
}
