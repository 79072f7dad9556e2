import Testing
import TocsinDomain
import TocsinKit
import TocsinProto

@testable import TocsinResponse

@Suite("What a change triggers")
struct PlanTests {
    private func runs(_ change: Change, _ match: RunbookMatch, drills: Bool = false) -> Bool {
        let runbook = Runbook(name: "restart", match: match, steps: [shell("a", "true")], drills: drills)
        let configuration = ResponderConfiguration(name: "r", directory: "/", runbooks: [runbook])
        return !ResponsePlan(change, configuration).runs.isEmpty
    }

    @Test("a runbook runs for its verbs, services and severities, or when the incident names it")
    func matching() throws {
        let web = RunbookMatch(services: ["web-*", "checkout"], minimumSeverity: .major)
        #expect(runs(try change(), web))
        #expect(runs(try change("reopened"), web))
        #expect(runs(try change(services: ["db", "web-1"]), web))
        #expect(runs(try change(severity: .major), web))
        #expect(!runs(try change("acknowledged"), web))
        #expect(!runs(try change("mitigated"), web))
        #expect(!runs(try change(services: ["web"]), web))
        #expect(!runs(try change(services: []), web))
        #expect(!runs(try change(severity: .minor), web))
        #expect(!runs(try change(severity: .unspecified), web))
        #expect(runs(try change(services: ["db"], severity: .info, runbook: "restart"), web))
        #expect(!runs(try change("closed", runbook: "restart"), web))
        #expect(!runs(try change(), RunbookMatch()))
        #expect(runs(try change(runbook: "restart"), RunbookMatch()))
        #expect(runs(try change("acknowledged"), RunbookMatch(services: ["*"], verbs: ["acknowledged"])))
    }

    @Test("a drill runs only runbooks and tells only targets that are for drills")
    func drills() throws {
        let all = RunbookMatch(services: ["*"])
        #expect(!runs(try change(drill: true), all))
        #expect(!runs(try change(runbook: "restart", drill: true), all))
        #expect(runs(try change(drill: true), all, drills: true))
        for drills in [false, true] {
            let target = NotificationTarget(name: "ops", channel: .command(["true"]), drills: drills)
            let configuration = ResponderConfiguration(name: "r", directory: "/", notifications: [target])
            #expect(ResponsePlan(try change(drill: true), configuration).notifications.isEmpty != drills)
        }
    }

    @Test("what a runbook or a notification brought about starts no other")
    func noLoops() throws {
        let all = RunbookMatch(services: ["*"], verbs: ["mitigated"])
        #expect(runs(try change("mitigated", actor: "alice"), all))
        #expect(!runs(try change("mitigated", actor: "runbook:other"), all))
        let target = NotificationTarget(name: "ops", channel: .command(["true"]))
        let configuration = ResponderConfiguration(name: "r", directory: "/", notifications: [target])
        #expect(ResponsePlan(try change("mitigated", actor: "runbook:other"), configuration).notifications.count == 1)
        #expect(ResponsePlan(try change("opened", actor: "notify:ops"), configuration).notifications.isEmpty)
    }

    @Test("a target is told of its verbs from its severity on")
    func notifications() throws {
        let target = NotificationTarget(
            name: "ops", channel: .command(["true"]), minimumSeverity: .major, verbs: ["opened", "resolved"])
        let configuration = ResponderConfiguration(name: "r", directory: "/", notifications: [target])
        func count(_ change: Change) -> Int { ResponsePlan(change, configuration).notifications.count }
        #expect(count(try change()) == 1)
        #expect(count(try change("resolved", severity: .major)) == 1)
        #expect(count(try change("reopened")) == 0)
        #expect(count(try change(severity: .minor)) == 0)
        let plan = ResponsePlan(try change(), configuration)
        #expect(plan.notifications.map(\.id) == ["incident/42/1/ops"])
    }

    @Test("a runbook that the incident names and nobody configured is noticed when the incident opens")
    func unknownRunbook() throws {
        let configuration = ResponderConfiguration(name: "r", directory: "/")
        #expect(ResponsePlan(try change(runbook: "lost"), configuration).unknownRunbook == "lost")
        #expect(ResponsePlan(try change("updated", runbook: "lost"), configuration).unknownRunbook == nil)
        #expect(ResponsePlan(try change(runbook: "lost", drill: true), configuration).unknownRunbook == nil)
        #expect(ResponsePlan(try change(), configuration).unknownRunbook == nil)
    }

    @Test("commands get the incident in variables, whatever its labels hold")
    func environment() throws {
        let change = try change(
            services: ["db", "checkout"], title: "Down\0now",
            labels: ["host-name": "a", "host.name": "b", "ülk": "c", "long": String(repeating: "é", count: 9_000)])
        let match = RunbookMatch(services: ["check*"])
        let run = PlannedRun(Runbook(name: "restart", match: match, steps: []), change)
        let variables = run.environment
        #expect(variables["TOCSIN_INCIDENT"] == "42")
        #expect(variables["TOCSIN_SERVICE"] == "checkout")
        #expect(variables["TOCSIN_SERVICES"] == "db,checkout")
        #expect(variables["TOCSIN_SEVERITY"] == "critical")
        #expect(variables["TOCSIN_PRIORITY"] == "P1")
        #expect(variables["TOCSIN_STATE"] == "triaged")
        #expect(variables["TOCSIN_TITLE"] == "Down now")
        #expect(variables["TOCSIN_VERB"] == "opened")
        #expect(variables["TOCSIN_CHANGE"] == "incident/42/1")
        #expect(variables["TOCSIN_DRILL"] == "false")
        #expect(variables["TOCSIN_RUNBOOK"] == "restart")
        #expect(variables["TOCSIN_LABEL_HOST_NAME"] == "a")
        #expect(variables["TOCSIN_LABEL___LK"] == "c")
        #expect(variables["TOCSIN_LABEL_LONG"]?.utf8.count == 4096)
        #expect(run.id == "incident/42/1/restart")
    }

    @Test(
        "globs match whole names",
        arguments: [
            ("*", "", true), ("*", "web", true), ("web", "web", true), ("web", "web2", false), ("w?b", "wéb", true),
            ("w?b", "wb", false), ("*-db", "a-db-db", true), ("a*b*c", "axxbyyc", true), ("a*b*c", "axxc", false),
            ("", "", true), ("", "a", false), ("**", "a", true),
        ])
    func globs(pattern: String, name: String, matches: Bool) {
        #expect(ServiceGlob(pattern).matches(name) == matches)
    }

    @Test("a payload that is no change of an incident is refused with the reason")
    func malformed() throws {
        func problem(_ message: Message) -> String? {
            do {
                _ = try Change(message)
                return nil
            } catch {
                return error.description
            }
        }
        let good = try change().proto
        #expect(problem(try Message(good, subject: "incident.opened.web")) == nil)
        #expect(
            problem(Message(subject: "incident.opened.web", payload: [0xFF, 1, 2]))?.contains("not an IncidentChange")
                == true)
        #expect(problem(Message(subject: "a", payload: []))?.contains("no incident number") == true)
        let other = try Message(Tocsin_V1_Event(), subject: "incident.opened.web")
        #expect(problem(other)?.contains("tocsin.v1.Event") == true)
        for id in ["", "with space", "line\nbreak", String(repeating: "x", count: 129)] {
            var bad = good
            bad.id = id
            #expect(problem(try Message(bad, subject: "a"))?.contains("no usable id") == true)
        }
        var bad = good
        bad.verb = ""
        #expect(problem(try Message(bad, subject: "a"))?.contains("no verb") == true)
    }

    @Test("report ids come from the change and the step alone, and fit a message id")
    func reportIDs() throws {
        let run = PlannedRun(runbook("restart", [shell("a", "true")]), try change())
        let reports = ReportFactory(run)
        let started = try reports.started(run, at: 1)
        #expect(String(decoding: started.id, as: UTF8.self) == "incident/42/1/runbook:restart/started")
        #expect(started.subject == "response.runbook-started.restart")
        #expect(started.key == "incident-42")
        #expect(started.severity == .critical)
        let first = try reports.step(0, StepOutcome(succeeded: true, text: "a", time: 1))
        let again = try reports.step(0, StepOutcome(succeeded: false, text: "b", time: 2))
        #expect(first.id == again.id)

        let long = "incident/18446744073709551615/18446744073709551615/runbook:" + String(repeating: "n", count: 64)
        #expect(ReportFactory.messageID(long + "/end").count == 64)
        #expect(ReportFactory.messageID(long + "/end") != ReportFactory.messageID(long + "/started"))
    }

    @Test("an excerpt is the first lines, without control characters, and cuts no character")
    func excerpts() {
        #expect(Excerpt.of(Array("one\r\ntwo  \n\n".utf8)) == "one\ntwo")
        #expect(Excerpt.of(Array("a\u{1B}[31mb\tc".utf8)) == "a [31mb c")
        #expect(Excerpt.of([]) == "")
        #expect(Excerpt.of([0xFF, 0x41]) == "\u{FFFD}A")
        let lines = (1...50).map { "line \($0)" }.joined(separator: "\n")
        #expect(Excerpt.of(Array(lines.utf8)).split(separator: "\n").count == 10)
        let long = Excerpt.of(Array(String(repeating: "é", count: 5_000).utf8))
        #expect(long.utf8.count == 1024 && !long.contains("\u{FFFD}"))
        #expect(Excerpt.of(stdout: Array("out\n".utf8), stderr: Array("err\n".utf8)) == "out\nerr")
    }
}
