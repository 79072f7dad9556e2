import FoundationEssentials
import Glibc
import TestSupport
import Testing
import TocsinKit
import TocsinSystem

@testable import TocsinResponse

@Suite("Runbooks", .timeLimit(.minutes(1)))
struct RunbookTests {
    @Test("steps run in order with the incident in their environment, and each is on the timeline")
    func success() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let steps = [
            shell(
                "first",
                "echo \"$TOCSIN_INCIDENT $TOCSIN_SERVICE $TOCSIN_LABEL_HOST $TOCSIN_STEP\" >> \(folder.path)/log"),
            shell("second", "echo second >> \(folder.path)/log; echo out; echo err >&2"),
        ]
        let response = try await responder(in: folder, hub: hub, runbooks: [runbook("restart", steps)])
        try await response.runRunbooks(for: change(labels: ["host": "h1"]), lease: longLease)
        #expect(try folder.read("log") == "42 checkout h1 first\nsecond\n")
        #expect(try hub.verbs() == ["runbook-started", "runbook-step", "runbook-step", "runbook-succeeded"])
        let reports = try hub.reports()
        #expect(reports[2].text.hasPrefix("step 2 of 2 \"second\": exit code 0 after"))
        #expect(reports[2].text.hasSuffix("\nout\nerr"))
        #expect(reports.allSatisfy { $0.actor == "runbook:restart" && $0.incident == 42 && $0.time == 5_000 })
        #expect(reports.allSatisfy { !$0.mitigated }, "nothing was verified")
        #expect(Set(reports.map(\.id)).count == 4)
    }

    @Test("the first step that fails ends the run, and the report says why")
    func failure() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let steps = [shell("bad", "echo no such unit >&2; exit 3"), shell("never", "touch \(folder.path)/never")]
        let verify = Verification(.command(["true"]))
        let response = try await responder(in: folder, hub: hub, runbooks: [runbook(steps, verify: verify)])
        try await response.runRunbooks(for: change(), lease: longLease)
        #expect(try hub.verbs() == ["runbook-started", "runbook-step", "runbook-failed"])
        let end = try #require(try hub.reports().last)
        #expect(end.text.contains("step 1 of 2 \"bad\": exit code 3"))
        #expect(end.text.contains("no such unit"))
        #expect(!end.mitigated)
        #expect(!folder.has("never"))
    }

    @Test("a step past its timeout is killed with its children and has failed")
    func timeout() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let script = "sleep 600 & echo $! > \(folder.path)/child; wait"
        let steps = [shell("slow", script, timeout: .milliseconds(300))]
        let response = try await responder(in: folder, hub: hub, runbooks: [runbook(steps)])
        try await response.runRunbooks(for: change(), lease: longLease)
        #expect(try hub.reports().last?.text.contains("timed out after") == true)
        let digits = try folder.read("child").prefix { $0.isNumber }
        let child = try #require(pid_t(String(digits)))
        #expect(await eventually { kill(child, 0) != 0 || Self.isZombie(child) })
    }

    /// Without an init that reaps orphans, a killed grandchild stays as a zombie.
    private static func isZombie(_ pid: pid_t) -> Bool {
        do {
            let stat = String(decoding: try Data(contentsOf: URL(filePath: "/proc/\(pid)/stat")), as: UTF8.self)
            return stat.contains(") Z ")
        } catch {
            return true
        }
    }

    @Test("a program that cannot be started has failed, and output is bounded")
    func badProgramAndBigOutput() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let missing = RunbookStep(name: "a", command: ["/no/such/program"])
        let response = try await responder(
            in: folder, hub: hub,
            runbooks: [runbook("missing", [missing]), runbook("loud", [shell("b", "yes | head -c 10000000")])])
        try await response.runRunbooks(for: change(), lease: longLease)
        let reports = try hub.reports()
        #expect(reports.filter { $0.verb == "runbook-failed" }.map(\.actor) == ["runbook:missing"])
        #expect(
            reports.first { $0.verb == "runbook-failed" }?.text.contains("cannot start \"/no/such/program\"") == true)
        #expect(reports.allSatisfy { $0.text.utf8.count < 1500 })
        #expect(reports.last?.verb == "runbook-succeeded")
    }

    @Test("a fix is said to mitigate only when it was verified, and verification is tried again")
    func verification() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let server = try LoopbackServer { _, number in .init(number < 3 ? 503 : 200) }
        defer { server.stop() }
        let verify = Verification(
            .http(url: server.url + "/health", expectStatus: [200...299]), attempts: 5, interval: .milliseconds(5))
        let response = try await responder(
            in: folder, hub: hub, runbooks: [runbook([shell("a", "true")], verify: verify)])
        try await response.runRunbooks(for: change(), lease: longLease)
        let end = try #require(try hub.reports().last)
        #expect(end.verb == "runbook-succeeded")
        #expect(end.mitigated)
        #expect(end.text == "1 step succeeded; verified at attempt 3: status 200")
        #expect(server.requests.count == 3)
    }

    @Test("a fix that cannot be verified has failed")
    func notVerified() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let script = "echo x >> \(folder.path)/attempts; echo still down; exit 1"
        let verify = Verification(.command(["/bin/sh", "-c", script]), attempts: 3, interval: .milliseconds(1))
        let closed = Verification(
            .http(url: "http://127.0.0.1:1/", expectStatus: [200...200]), attempts: 1, interval: .milliseconds(1))
        let response = try await responder(
            in: folder, hub: hub,
            runbooks: [
                runbook("one", [shell("a", "true")], verify: verify),
                runbook("two", [shell("a", "true")], verify: closed),
            ])
        try await response.runRunbooks(for: change(), lease: longLease)
        let ends = try hub.reports().filter { $0.verb == "runbook-failed" }
        #expect(ends.count == 2)
        #expect(ends.first?.text.contains("not verified in 3 attempts; the last: exit code 1") == true)
        #expect(ends.first?.text.contains("still down") == true)
        #expect(ends.last?.text.contains("not verified in 1 attempt") == true)
        #expect(ends.allSatisfy { !$0.mitigated })
        #expect(try folder.read("attempts") == "x\nx\nx\n")
    }

    @Test("a change that is delivered again runs nothing again, also after a restart")
    func exactlyOnce() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let runbooks = [runbook([shell("a", "echo x >> \(folder.path)/runs")])]
        for _ in 0..<3 {
            let response = try await responder(in: folder, hub: hub, runbooks: runbooks)
            try await response.runRunbooks(for: change(), lease: longLease)
            try await response.runRunbooks(for: change(), lease: longLease)
            try await response.close()
        }
        #expect(try folder.read("runs") == "x\n")
        #expect(hub.published == 3)
        let response = try await responder(in: folder, hub: hub, runbooks: runbooks)
        try await response.runRunbooks(for: change("reopened", version: 7), lease: longLease)
        #expect(try folder.read("runs") == "x\nx\n")
    }

    @Test("when reports cannot be published the run is not lost and not repeated: they are published later")
    func publishFails() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        hub.fail(times: 1_000)
        let runbooks = [
            runbook([shell("a", "echo x >> \(folder.path)/runs")], verify: Verification(.command(["true"])))
        ]
        let response = try await responder(in: folder, hub: hub, runbooks: runbooks)
        await #expect(throws: FakeHub.Away.self) {
            try await response.runRunbooks(for: change(), lease: longLease)
        }
        #expect(hub.messages.isEmpty)
        try await response.close()
        hub.fail(times: 0)
        let again = try await responder(in: folder, hub: hub, runbooks: runbooks)
        try await again.runRunbooks(for: change(), lease: longLease)
        #expect(try hub.verbs() == ["runbook-started", "runbook-step", "runbook-succeeded"])
        #expect(try hub.reports().last?.mitigated == true)
        #expect(try folder.read("runs") == "x\n")
    }

    @Test("a hub that is away for a moment costs neither order nor a report")
    func publishFailsOnce() async throws {
        for failures in 1...3 {
            let folder = try TemporaryFolder()
            let hub = FakeHub()
            hub.fail(times: failures)
            let response = try await responder(
                in: folder, hub: hub, runbooks: [runbook([shell("a", "true"), shell("b", "true"), shell("c", "true")])])
            try await response.runRunbooks(for: change(), lease: longLease)
            #expect(
                try hub.verbs() == [
                    "runbook-started", "runbook-step", "runbook-step", "runbook-step", "runbook-succeeded",
                ])
        }
    }

    /// The responder dies while a step runs: here its task is cancelled, which kills the command and leaves the ledger
    /// as a crash does.
    private func interrupt(_ folder: TemporaryFolder, _ hub: FakeHub, _ runbooks: [Runbook]) async throws {
        let response = try await responder(in: folder, hub: hub, runbooks: runbooks)
        let change = try change()
        let task = Task { try await response.runRunbooks(for: change, lease: longLease) }
        #expect(await eventually { folder.has("second") })
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        try await response.close()
    }

    private func interruptible(_ folder: TemporaryFolder, idempotent: Bool) -> [Runbook] {
        [
            runbook([
                shell("one", "echo one >> \(folder.path)/log"),
                shell(
                    "two",
                    "echo two >> \(folder.path)/log; [ -e \(folder.path)/second ] || { touch \(folder.path)/second; sleep 60; }",
                    timeout: .seconds(90), idempotent: idempotent),
                shell("three", "echo three >> \(folder.path)/log"),
            ])
        ]
    }

    @Test("a run that was interrupted goes on with the step that was interrupted")
    func interruptedIdempotent() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let runbooks = interruptible(folder, idempotent: true)
        try await interrupt(folder, hub, runbooks)
        let response = try await responder(in: folder, hub: hub, runbooks: runbooks)
        try await response.runRunbooks(for: change(), lease: longLease)
        #expect(try folder.read("log") == "one\ntwo\ntwo\nthree\n")
        #expect(
            try hub.verbs() == [
                "runbook-started", "runbook-step", "runbook-step", "runbook-step", "runbook-succeeded",
            ])
    }

    @Test("a step that must not run twice is not repeated, and its run has failed")
    func interruptedOnce() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let runbooks = interruptible(folder, idempotent: false)
        try await interrupt(folder, hub, runbooks)
        for _ in 0..<2 {
            let response = try await responder(in: folder, hub: hub, runbooks: runbooks)
            try await response.runRunbooks(for: change(), lease: longLease)
            try await response.close()
        }
        #expect(try folder.read("log") == "one\ntwo\n")
        #expect(try hub.verbs() == ["runbook-started", "runbook-step", "runbook-step", "runbook-failed"])
        #expect(try hub.reports().last?.text.contains("not known whether it ran to its end; not repeated") == true)
    }

    @Test("a crash between a step's failure and the end of its run continues nothing")
    func failedBeforeCrash() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let ledger = try await Ledger.open(directory: folder.path, name: "responder-1", logger: quiet)
        let run = "incident/42/1/restart"
        try await ledger.record(.runStarted(run: run, steps: ["one", "two"], time: 100))
        try await ledger.record(.stepStarted(run: run, step: 0))
        try await ledger.record(
            .stepFinished(run: run, step: 0, StepOutcome(succeeded: false, text: "step 1: exit code 9", time: 200)))
        try await ledger.close()
        let response = try await responder(
            in: folder, hub: hub, runbooks: [runbook([shell("one", "true"), shell("two", "touch \(folder.path)/two")])])
        try await response.runRunbooks(for: change(), lease: longLease)
        #expect(!folder.has("two"))
        #expect(try hub.verbs() == ["runbook-started", "runbook-step", "runbook-failed"])
        #expect(try hub.reports().map(\.time) == [100, 200, 5_000])
        #expect(try hub.reports().last?.text == "step 1: exit code 9")
    }

    @Test("a report whose first publication failed goes out with the flush")
    func reporter() async throws {
        let hub = FakeHub()
        hub.fail(times: 1)
        let reporter = Reporter { try await hub.publish($0) }
        await reporter.add(Message(id: [1], subject: "a", payload: []))
        try await reporter.flush()
        #expect(hub.messages.map(\.id) == [[1]])
        hub.fail(times: 2)
        await reporter.add(Message(id: [2], subject: "a", payload: []))
        await #expect(throws: FakeHub.Away.self) { try await reporter.flush() }
        try await reporter.flush()
        #expect(hub.messages.map(\.id) == [[1], [2]])
    }

    @Test("a run whose runbook was changed in between is not continued")
    func changedRunbook() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        try await interrupt(folder, hub, interruptible(folder, idempotent: true))
        let response = try await responder(
            in: folder, hub: hub, runbooks: [runbook([shell("other", "touch \(folder.path)/other")])])
        try await response.runRunbooks(for: change(), lease: longLease)
        #expect(!folder.has("other"))
        #expect(try hub.reports().last?.verb == "runbook-failed")
        #expect(try hub.reports().last?.text.contains("steps were changed") == true)
    }

    @Test("a run that could outlive its lease is not begun, but one that has ended is reported")
    func shortLease() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let runbooks = [runbook([shell("a", "touch \(folder.path)/ran", timeout: .seconds(60))])]
        let response = try await responder(in: folder, hub: hub, runbooks: runbooks)
        let short = Lease(end: .now + .seconds(30))
        await #expect(throws: NotNow.self) { try await response.runRunbooks(for: change(), lease: short) }
        #expect(!folder.has("ran") && hub.messages.isEmpty)
        hub.fail(times: 1_000)
        await #expect(throws: FakeHub.Away.self) { try await response.runRunbooks(for: change(), lease: longLease) }
        hub.fail(times: 0)
        try await response.runRunbooks(for: change(), lease: short)
        #expect(try hub.reports().last?.verb == "runbook-succeeded")
    }

    @Test("an incident that names a runbook nobody configured is told so")
    func unknownRunbook() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let response = try await responder(in: folder, hub: hub)
        try await response.runRunbooks(for: change(runbook: "lost"), lease: longLease)
        try await response.runRunbooks(for: change(runbook: "lost"), lease: longLease)
        #expect(try hub.verbs() == ["runbook-failed"])
        #expect(try hub.reports().first?.actor == "runbook:lost")
    }
}
