import Glibc
import TestSupport
import Testing
import TocsinProto
import TocsinSystem

@testable import TocsinDetection

/// Goal: one fault that many checks see is reported by the check that sees its cause; soft and hard states; rhythm.
@Suite("Schedules and dependencies", .timeLimit(.minutes(1)))
struct ScheduleTests {
    @Test("what a check depends on must have been seen to be well since it began to fail")
    func board() {
        let board = CheckBoard()
        #expect(board.obstacle(to: [], since: .seconds(1)) == nil)
        #expect(board.obstacle(to: ["router"], since: .seconds(1)) == "router has not been probed yet")
        board.note("router", isFailing: false, at: .seconds(5))
        #expect(board.obstacle(to: ["router"], since: .seconds(6)) == "router has not been probed since")
        #expect(board.obstacle(to: ["router"], since: .seconds(5)) == nil)
        board.note("router", isFailing: true, at: .seconds(7))
        #expect(board.obstacle(to: ["router"], since: .seconds(5)) == "router fails")
    }

    @Test("a check that others depend on is looked at when they want to know, however long its interval", .timeLimit(.minutes(1)))
    func wanted() async throws {
        let check = Check(name: "shop", service: "s", kind: .tcp(TCPCheck(host: "h", port: 1)), dependsOn: ["router"])
        let board = CheckBoard([check])
        let sleeping = Task { try await board.sleep("router", for: .seconds(3600)) }
        #expect(board.obstacle(to: check.dependsOn, since: .zero) != nil)
        try await sleeping.value
    }

    @Test("a trigger is withheld while it may not be, and comes when it may; a hard failure is not waited with")
    func withheld() {
        let check = Check(name: "c", service: "s", kind: .tcp(TCPCheck(host: "h", port: 1)), failuresToTrigger: 2)
        let failing = Observation(healthy: false, severity: "major", summary: "")
        var state = ProbeState()
        #expect(state.observe(failing, check: check, nowMs: 1, mayTrigger: false) == .nothing && state.isSoft)
        #expect(state.observe(failing, check: check, nowMs: 2, mayTrigger: false) == .withheld && state.isSoft)
        #expect(state.observe(failing, check: check, nowMs: 3) == .trigger && !state.isSoft)
        var hard = failing
        hard.isHard = true
        var other = ProbeState()
        #expect(other.observe(hard, check: check, nowMs: 1) == .trigger)
    }

    @Test("probes go from start to start, sooner while soft, later by less than the jitter")
    func rhythm() {
        var check = Check(name: "c", service: "s", kind: .tcp(TCPCheck(host: "h", port: 1)), interval: .seconds(100))
        check.retryInterval = .seconds(10)
        check.jitter = .seconds(1)
        for _ in 0..<100 {
            var rhythm = Rhythm(check)
            #expect((.seconds(0)..<(.seconds(1))).contains(rhythm.delay()))
            #expect((.seconds(99)..<(.seconds(101))).contains(rhythm.wait(isSoft: false)))
            #expect((.seconds(109)..<(.seconds(111))).contains(rhythm.wait(isSoft: true)))
        }
    }

    private func problems(_ dependencies: [(String, [String])]) -> [String] {
        DetectorConfiguration(
            name: "d", spoolDirectory: "x",
            checks: dependencies.map {
                Check(name: $0, service: "s", kind: .tcp(TCPCheck(host: "h", port: 1)), dependsOn: $1)
            }
        ).problems
    }

    @Test("dependencies that cannot be are found")
    func problems() {
        #expect(problems([("a", []), ("b", ["a"]), ("c", ["a", "b"])]).isEmpty)
        #expect(problems([("a", ["z"])]) == ["check \"a\": it depends on \"z\", which this detector does not have"])
        #expect(problems([("a", ["b"]), ("b", ["a"])]).count == 2)
    }

    @Test("when the machine before it is down, only that is reported; what stays down is reported after")
    func detector() async throws {
        let (descriptor, port) = try LoopbackServer.listen()
        close(descriptor)
        func check(_ name: String, port: Int, dependsOn: [String] = []) -> Check {
            Check(
                name: name, service: name, kind: .tcp(TCPCheck(host: "127.0.0.1", port: port)), interval: .milliseconds(30),
                dependsOn: dependsOn, failuresToTrigger: 2)
        }
        let (deaf, dead) = try LoopbackServer.listen(isListening: false)
        defer { close(deaf) }
        let folder = try TemporaryFolder()
        let sink = MemorySink()
        let configuration = DetectorConfiguration(
            name: "d", spoolDirectory: folder.path,
            checks: [check("shop", port: dead, dependsOn: ["router"]), check("router", port: port)])
        let task = Task { try await Detector.run(sink: sink, configuration: configuration, logger: quiet) }
        #expect(try await eventually { try sink.events().contains { $0.service == "router" && $0.kind == .trigger } })
        // The router comes back; the shop does not.
        let again = try LoopbackServer.listen(port: port)
        defer { close(again.descriptor) }
        #expect(try await eventually { try sink.events().contains { $0.service == "shop" } })
        let kinds = try sink.events().map { "\($0.service) \($0.kind)" }
        #expect(kinds == ["router trigger", "router resolve", "shop trigger"])
        task.cancel()
        try await task.value
    }
}
