import Testing
import TocsinKit

@testable import TocsinResponse

@Suite("The responder's configuration")
struct ConfigurationTests {
    private func good() -> ResponderConfiguration {
        ResponderConfiguration(
            name: "responder-1", directory: "/var/lib/tocsin",
            runbooks: [
                Runbook(
                    name: "restart-checkout", match: RunbookMatch(services: ["checkout"]),
                    steps: [RunbookStep(name: "restart it", command: ["systemctl", "restart", "checkout"])],
                    verify: Verification(.http(url: "http://127.0.0.1:8080/health", expectStatus: [200...299])))
            ],
            notifications: [
                NotificationTarget(
                    name: "ops", channel: .webhook(url: "https://chat.example/hook", headers: ["Authorization": "x"])),
                NotificationTarget(name: "log", channel: .command(["logger", "-t", "tocsin"])),
            ])
    }

    private func problems(_ change: (inout ResponderConfiguration) -> Void) -> [String] {
        var configuration = good()
        change(&configuration)
        return configuration.problems
    }

    @Test("a good one has no problems")
    func noProblems() {
        #expect(good().problems == [])
        #expect(problems { $0.notifications[0].verbs.append("runbook-failed") } == [])
    }

    @Test("a run longer than the pool's visibility time is refused, with both times")
    func tooLong() {
        // 60 + 2 for the step, 10 × (5 + 2 + 1) for the verification, 10 for reports.
        #expect(good().runbooks[0].longestRun == .seconds(142))
        #expect(problems { $0.visibility = .seconds(152) } == [])
        let found = problems { $0.visibility = .seconds(151) }
        #expect(found.count == 1)
        #expect(found.first?.contains("runbook \"restart-checkout\": a run may take 142 s") == true)
        #expect(found.first?.contains("visibility time of 151 s") == true)
        let slow = problems {
            $0.notifications[0].timeout = .seconds(300)
            $0.notifications[0].attempts = 4
        }
        #expect(slow.first?.contains("notification \"ops\": its attempts may take") == true)
    }

    @Test("each mistake is named")
    func mistakes() {
        func expect(_ part: String, line: Int = #line, _ change: (inout ResponderConfiguration) -> Void) {
            let found = problems(change)
            #expect(found.count == 1 && found[0].contains(part), "line \(line): \(found)")
        }
        expect("no name") { $0.name = "" }
        expect("no directory") { $0.directory = "" }
        expect("parallelism 0") { $0.parallelism = 0 }
        expect("visibility") {
            $0.visibility = .zero
            $0.runbooks = []
            $0.notifications = []
        }
        expect("stop_grace") { $0.stopGrace = .seconds(-1) }
        expect("two runbooks are named \"restart-checkout\"") { $0.runbooks.append($0.runbooks[0]) }
        expect("two notifications are named \"ops\"") { $0.notifications.append($0.notifications[0]) }
        expect("has spaces in it") { $0.runbooks[0].name = "two words" }
        expect("is empty") { $0.notifications[0].name = "" }
        expect("0 steps") { $0.runbooks[0].steps = [] }
        expect("33 steps") { $0.runbooks[0].steps = Array(repeating: $0.runbooks[0].steps[0], count: 33) }
        expect("step 1 \"restart it\": the command is empty") { $0.runbooks[0].steps[0].command = [] }
        expect("NUL byte") { $0.runbooks[0].steps[0].command = ["a", "b\0"] }
        expect("the timeout must be") { $0.runbooks[0].steps[0].timeout = .zero }
        expect("\"A=B\" cannot be") { $0.runbooks[0].steps[0].environment = ["A=B": "c"] }
        expect("no verb is given") { $0.runbooks[0].match.verbs = [] }
        expect("would never end") { $0.runbooks[0].match.verbs = ["opened", "runbook-failed"] }
        expect("would never end") { $0.notifications[0].verbs = ["notified"] }
        expect("is not a verb") { $0.notifications[0].verbs = ["in cident"] }
        expect("verify: attempts 0") { $0.runbooks[0].verify?.attempts = 0 }
        expect("verify: the interval") { $0.runbooks[0].verify?.interval = .seconds(-1) }
        expect("not an http or https URL") {
            $0.runbooks[0].verify?.probe = .http(url: "ftp://x", expectStatus: [200...200])
        }
        expect("no status is expected") { $0.runbooks[0].verify?.probe = .http(url: "http://x/", expectStatus: []) }
        expect("is not in 100 to 599") {
            $0.runbooks[0].verify?.probe = .http(url: "http://x/", expectStatus: [0...200])
        }
        expect("attempts 21") { $0.notifications[0].attempts = 21 }
        expect("the backoff must be") { $0.notifications[0].backoff = .seconds(-1) }
        expect("not an http or https URL") { $0.notifications[0].channel = .webhook(url: "http://", headers: [:]) }
        expect("control character") {
            $0.notifications[0].channel = .webhook(url: "http://x/", headers: ["A": "b\r\nc"])
        }
        expect("set by the responder itself") {
            $0.notifications[0].channel = .webhook(url: "http://x/", headers: ["idempotency-KEY": "b"])
        }
        expect("the command is empty") { $0.notifications[1].channel = .command([""]) }
    }

    @Test("problems do not repeat what may be secret")
    func secrets() {
        let found = problems {
            $0.notifications[0].channel = .webhook(url: "htp://x/s3cret", headers: ["A": "s3cret\n"])
        }
        #expect(found.count == 2)
        #expect(found.allSatisfy { !$0.contains("s3cret") })
    }
}
