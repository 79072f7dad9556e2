import TocsinDomain
import TocsinResponse

extension Schema {
    static func readResponders(_ section: Section, data: String) -> ResponderSettings {
        let before = section.document.problems.count
        let settings = ResponderSettings(
            workers: section.read(
                "workers", .integer(0...64), default: 1, "Responder processes that `tocsin up` runs."),
            directory: section.path("directory", default: "\(data)/responders", "Folder of what was run and when."),
            runbooks: section.sections("runbooks", "Commands that put something right.", runbook) ?? [],
            notifications: section.sections("notifications", "Whom to tell.", notification) ?? [],
            parallelism: section.read(
                "parallelism", .integer(1...256), default: 8, "Incidents one responder handles at the same time."),
            visibility: section.read(
                "visibility", .duration(atLeast: .seconds(1)), default: .seconds(900),
                "Longer than the longest runbook: a responder that says nothing for this long is replaced by another."),
            stopGrace: section.read(
                "stop_grace", .duration, default: .seconds(10),
                "How long commands that run may go on when a responder is stopped."))
        // What is wrong with a single value has been reported already, with its place.
        if section.document.problems.count == before {
            settings.configuration(name: "responder").problems.forEach(section.report)
        }
        return settings
    }

    private static func runbook(_ section: Section) -> Runbook {
        let name = section.require("name", .word, placeholder: "", "Unique; a triage rule may name it.")
        let match = section.section("match") { section in
            RunbookMatch(
                services: section.list(
                    "services", .word, default: [], "Globs. Without any, only incidents that name the runbook."),
                minimumSeverity: section.read("minimum_severity", .severity, default: .minor, "At least this bad."),
                verbs: section.list("verbs", .word, default: RunbookMatch().verbs, "Changes that start it."))
        }
        let steps = section.sections("steps", absent: "required", "Run in order; the first failure ends the run.", step)
        if steps?.isEmpty ?? true { section.report("\"steps\" is missing; give at least one command") }
        return Runbook(
            name: name, match: match, steps: steps ?? [], verify: section.optional("verify", verification),
            drills: section.read("drills", .flag, default: false, "Run for drills too."))
    }

    private static func step(_ section: Section) -> RunbookStep {
        RunbookStep(
            name: section.require("name", .word, placeholder: "", "Shown on the timeline."),
            command: argv(section, "command"),
            timeout: section.read(
                "timeout", .duration(atLeast: .milliseconds(1)), default: .seconds(60), "Past it the command is killed."
            ),
            environment: section.table("environment", .text, "Added to its environment.", secret: true),
            idempotent: section.read(
                "idempotent", .flag, default: true, "May be run again if the responder died while it ran."))
    }

    private static func verification(_ section: Section) -> Verification {
        let command = section.list("command", .text, absent: "not used", "Succeeds with exit code 0.")
        let http = section.optional("http") { section in
            Verification.Probe.http(
                url: section.require("url", .word, placeholder: "http://unset", "Asked with GET."),
                expectStatus: section.list("expect_status", .statuses, default: [200...299], "Statuses that are well."))
        }
        if (command == nil) == (http == nil) { section.report("give one of command and http") }
        return Verification(
            http ?? .command(command ?? []),
            attempts: section.read("attempts", .integer(1...10_000), default: 10, "Tries until it succeeds."),
            interval: section.read("interval", .duration, default: .seconds(1), "Between two tries."),
            timeout: section.read("timeout", .duration(atLeast: .milliseconds(1)), default: .seconds(5), "Of one try."))
    }

    private static func notification(_ section: Section) -> NotificationTarget {
        let name = section.require("name", .word, placeholder: "", "Unique; shown on the timeline.")
        let command = section.list(
            "command", .text, absent: "not used", "Gets the change as JSON on standard input, and TOCSIN_* variables.")
        let webhook = section.optional("webhook") { section in
            NotificationTarget.Channel.webhook(
                url: section.require(
                    "url", .word, placeholder: "http://unset", "Gets the change as JSON by POST.", secret: true),
                headers: section.table("headers", .text, "Headers of the request.", secret: true))
        }
        if (command == nil) == (webhook == nil) { section.report("give one of command and webhook") }
        if let command, command.first?.isEmpty ?? true { section.report("command", "give a program and its arguments") }
        let fallback = NotificationTarget(name: "", channel: .command([]))
        return NotificationTarget(
            name: name, channel: webhook ?? .command(command ?? []),
            minimumSeverity: section.read("minimum_severity", .severity, default: .minor, "At least this bad."),
            verbs: section.list("verbs", .word, default: fallback.verbs, "Changes that are told."),
            timeout: section.read(
                "timeout", .duration(atLeast: .milliseconds(1)), default: fallback.timeout, "Of one attempt."),
            attempts: section.read("attempts", .integer(1...100), default: fallback.attempts, "At most this many."),
            backoff: section.read(
                "backoff", .duration, default: fallback.backoff, "Before the second attempt; doubled each time."))
    }

    private static func argv(_ section: Section, _ key: String) -> [String] {
        let argv = section.list(
            key, .text, absent: "required", "The program, looked up in PATH, and its arguments; no shell in between.")
        if argv?.first?.isEmpty ?? true { section.report("\"\(key)\" is missing; give a program and its arguments") }
        return argv ?? []
    }
}
