import Glibc
import Synchronization
import Testing

@testable import TocsinSupervision

/// Events as they come, to wait for.
private final class Recorder: Sendable {
    private let events = Mutex<[SupervisorEvent]>([])

    func add(_ event: SupervisorEvent) { events.withLock { $0.append(event) } }
    var all: [SupervisorEvent] { events.withLock { $0 } }

    /// Waits until `find` gives something, at most ten seconds and a thousand tries: other tests may have all processors.
    func first<Value: Sendable>(_ find: @Sendable (SupervisorEvent) -> Value?) async throws -> Value {
        let deadline = ContinuousClock.now + .seconds(10)
        var tries = 0
        while tries < 1000 || ContinuousClock.now < deadline {
            tries += 1
            if let value = all.compactMap(find).first { return value }
            try await Task.sleep(for: .milliseconds(5))
        }
        throw Missing()
    }

    struct Missing: Error {}
}

private func shell(_ name: String, _ script: String, stage: Int = 0) -> ProcessSpec {
    ProcessSpec(name: name, argv: ["/bin/sh", "-c", script], stage: stage)
}

private let quick = Backoff(first: .milliseconds(10), longest: .milliseconds(50))

@Suite("Processes are kept running and stopped in order", .timeLimit(.minutes(3)))
struct SupervisorTests {
    @Test("waits between restarts double up to the longest, and a long run is forgiven")
    func backoff() {
        var backoff = Backoff(first: .seconds(1), longest: .seconds(5), forgivenAfter: .seconds(60))
        #expect(backoff.wait(afterRunOf: .zero) == .seconds(1))
        #expect(backoff.wait(afterRunOf: .zero) == .seconds(2))
        #expect(backoff.wait(afterRunOf: .seconds(59)) == .seconds(4))
        #expect(backoff.wait(afterRunOf: .zero) == .seconds(5))
        #expect(backoff.wait(afterRunOf: .zero) == .seconds(5))
        #expect(backoff.wait(afterRunOf: .seconds(60)) == .seconds(1))
        #expect(backoff.wait(afterRunOf: .zero) == .seconds(2))
    }

    @Test("a signal reaches the processes it is for, and no other")
    func signals() async throws {
        let recorder = Recorder()
        let supervisor = try Supervisor(backoff: quick, onEvent: recorder.add)
        let script = "trap 'exit 7' HUP; printf x >&$TOCSIN_READY_FD; while :; do sleep 0.01; done"
        for name in ["p", "q"] {
            supervisor.start(shell(name, script))
            _ = try await recorder.first { if case .ready(name, _) = $0 { true } else { nil } }
        }
        supervisor.signal(SIGHUP, to: ["p", "nobody"])
        let end = try await recorder.first { if case .ended("p", let end, _) = $0 { end } else { nil } }
        #expect(end.exitCode == 7)
        await supervisor.stop()
        #expect(!recorder.all.contains { if case .ended("q", _, _) = $0 { true } else { false } })
    }

    @Test("a program that says it is ready is reported ready, and gone after stop")
    func ready() async throws {
        let recorder = Recorder()
        let supervisor = try Supervisor(backoff: quick, onEvent: recorder.add)
        supervisor.start(shell("p", "printf x >&$TOCSIN_READY_FD; exec sleep 60"))
        let pid = try await recorder.first { if case .started("p", let pid) = $0 { pid } else { nil } }
        _ = try await recorder.first { if case .ready("p", _) = $0 { true } else { nil } }
        await supervisor.stop()
        #expect(kill(pid, 0) == -1)
        let end = try await recorder.first { if case .stopped("p", let end) = $0 { end } else { nil } }
        #expect(end.signal == SIGTERM)
    }

    @Test("a program that dies is started again")
    func restart() async throws {
        let recorder = Recorder()
        let supervisor = try Supervisor(backoff: quick, onEvent: recorder.add)
        supervisor.start(shell("p", "exec sleep 60"))
        let first = try await recorder.first { if case .started("p", let pid) = $0 { pid } else { nil } }
        kill(first, SIGKILL)
        let second = try await recorder.first { event -> Int32? in
            if case .started("p", let pid) = event, pid != first { pid } else { nil }
        }
        let end = try await recorder.first { if case .ended("p", let end, _) = $0 { end } else { nil } }
        #expect(end.signal == SIGKILL)
        #expect(kill(second, 0) == 0)
        await supervisor.stop()
        #expect(kill(second, 0) == -1)
    }

    @Test("a program whose exit code says that it is hopeless is not started again")
    func hopeless() async throws {
        let recorder = Recorder()
        let supervisor = try Supervisor(backoff: quick, hopeless: [78], onEvent: recorder.add)
        supervisor.start(shell("p", "exit 78"))
        let isOver = try await recorder.first { event -> Bool? in
            if case .ended("p", let end, let restart) = event { end.exitCode == 78 && restart == nil } else { nil }
        }
        #expect(isOver)
        await supervisor.stop()
        #expect(recorder.all.count { if case .started = $0 { true } else { false } } == 1)
    }

    @Test("a program that cannot be started is reported and tried again")
    func cannotStart() async throws {
        let recorder = Recorder()
        let supervisor = try Supervisor(backoff: quick, onEvent: recorder.add)
        supervisor.start(ProcessSpec(name: "p", argv: ["/nonexistent/program"]))
        let reason = try await recorder.first { if case .failed("p", let reason, _) = $0 { reason } else { nil } }
        #expect(reason == "cannot start p (/nonexistent/program): No such file or directory")
        await supervisor.stop()
    }

    @Test("higher stages are gone before lower ones are asked, and the stubborn are killed with what they started")
    func order() async throws {
        let recorder = Recorder()
        let supervisor = try Supervisor(backoff: quick, onEvent: recorder.add)
        supervisor.start(shell("low", "printf x >&3; exec sleep 60", stage: 0))
        supervisor.start(shell("high", "trap '' TERM; printf x >&3; while :; do sleep 0.05; done", stage: 1))
        for name in ["low", "high"] {
            _ = try await recorder.first { if case .ready(name, _) = $0 { true } else { nil } }
        }
        await supervisor.stop(grace: .milliseconds(200))
        let order = recorder.all.compactMap { event -> String? in
            switch event {
            case .killed(let name): "killed \(name)"
            case .stopped(let name, _): "stopped \(name)"
            case .started, .ready, .ended, .failed: nil
            }
        }
        #expect(order == ["killed high", "stopped high", "stopped low"])
    }
}
