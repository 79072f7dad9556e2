import CLinux
import Glibc
import TocsinPosix
import TocsinSystem

/// The supervisor's thread and what only it touches.
final class SupervisorLoop: @unchecked Sendable {
    // Sound because after `startThread` every stored variable is used on that thread alone.
    private let mailbox: Mailbox
    private let backoff: Backoff
    private let hopeless: Set<Int32>
    private let onEvent: @Sendable (SupervisorEvent) -> Void
    private var children: [Child] = []
    private var stopping: Stopping?

    private struct Child {
        let spec: ProcessSpec
        var backoff: Backoff
        var state: State

        enum State {
            case running(RunningProcess)
            case waiting(until: Duration)
            case gone
        }

        var running: RunningProcess? { if case .running(let process) = state { process } else { nil } }
    }

    private struct Stopping {
        let grace: Duration
        var done: [@Sendable () -> Void]
        /// The stage that was asked to stop, and until when it may take.
        var stage: Int?
        var deadline: Duration = .zero
        var isKilling = false
    }

    init(
        mailbox: Mailbox, backoff: Backoff, hopeless: Set<Int32>, onEvent: @escaping @Sendable (SupervisorEvent) -> Void
    ) {
        self.mailbox = mailbox
        self.backoff = backoff
        self.hopeless = hopeless
        self.onEvent = onEvent
    }

    /// It waits for its own pipes only.
    func startThread() throws(SupervisorError) {
        do { try SystemThread("supervisor") { [self] in run() }.detach() } catch {
            throw SupervisorError("cannot start a thread: \(error)")
        }
    }

    /// Never returns: see `Supervisor`.
    private func run() {
        while true {
            for request in mailbox.take() { handle(request) }
            for index in children.indices { look(at: index) }
            continueStopping()
            waitForNews()
        }
    }

    private func handle(_ request: Mailbox.Request) {
        switch request {
        case .start(let spec):
            guard stopping == nil else { return }
            children.append(Child(spec: spec, backoff: backoff, state: .waiting(until: .zero)))
        case .signal(let number, let names):
            for child in children where names.contains(child.spec.name) { child.running?.signal(number) }
        case .stop(let grace, let done):
            if stopping == nil { stopping = Stopping(grace: grace, done: []) }
            stopping?.done.append(done)
            for index in children.indices {
                if case .waiting = children[index].state { children[index].state = .gone }
            }
        case .kill(let isDone):
            for index in children.indices {
                children[index].running?.signalGroup(SIGKILL)
                if case .waiting = children[index].state { children[index].state = .gone }
            }
            if stopping == nil { stopping = Stopping(grace: .zero, done: []) }
            isDone.set()
        }
    }

    private func look(at index: Int) {
        let name = children[index].spec.name
        switch children[index].state {
        case .gone: return
        case .waiting(let until):
            guard monotonicNow() >= until else { return }
            do throws(SupervisorError) {
                let process = try RunningProcess(children[index].spec)
                children[index].state = .running(process)
                onEvent(.started(name, pid: process.pid))
            } catch {
                let wait = children[index].backoff.wait(afterRunOf: .zero)
                children[index].state = .waiting(until: monotonicNow() + wait)
                onEvent(.failed(name, error.description, retry: wait))
            }
        case .running(var process):
            if process.readPipe() { onEvent(.ready(name, after: monotonicNow() - process.started)) }
            children[index].state = .running(process)
            guard let end = process.end() else { return }
            process.closePipe()
            if stopping != nil {
                children[index].state = .gone
                onEvent(.stopped(name, end))
            } else if let code = end.exitCode, hopeless.contains(code) {
                children[index].state = .gone
                onEvent(.ended(name, end, restart: nil))
            } else {
                let wait = children[index].backoff.wait(afterRunOf: end.uptime)
                children[index].state = .waiting(until: monotonicNow() + wait)
                onEvent(.ended(name, end, restart: wait))
            }
        }
    }

    /// One stage after the other.
    private func continueStopping() {
        guard var now = stopping else { return }
        let running = children.filter { $0.running != nil }
        guard let stage = running.map(\.spec.stage).max() else {
            stopping?.done = []
            for done in now.done { done() }
            return
        }
        if stage != now.stage {
            now.stage = stage
            now.isKilling = false
            now.deadline = monotonicNow() + now.grace
            for child in running where child.spec.stage == stage { child.running?.signalGroup(SIGTERM) }
        } else if monotonicNow() >= now.deadline && !now.isKilling {
            now.isKilling = true
            for child in running where child.spec.stage == stage {
                onEvent(.killed(child.spec.name))
                child.running?.signalGroup(SIGKILL)
            }
        }
        stopping = now
    }

    /// Until a pipe or the mailbox has something, or something is due. A second at most, in case a program has closed its
    /// pipe and then ended.
    private func waitForNews() {
        var polled = [pollfd(fd: mailbox.wakeup, events: Int16(POLLIN), revents: 0)]
        var wait = Duration.seconds(1)
        for child in children {
            switch child.state {
            case .gone: continue
            case .waiting(let until): wait = min(wait, until - monotonicNow())
            case .running(let process):
                if process.pipe >= 0 {
                    polled.append(pollfd(fd: process.pipe, events: Int16(POLLIN), revents: 0))
                } else {
                    // Its end is near.
                    wait = min(wait, .milliseconds(20))
                }
            }
        }
        if let stopping, !stopping.isKilling, stopping.stage != nil {
            wait = min(wait, stopping.deadline - monotonicNow())
        }
        _ = poll(&polled, nfds_t(polled.count), Int32(max(.zero, wait).milliseconds))
    }
}
