import CLinux
import Glibc
import Synchronization
import TocsinPosix

/// What can be wrong before a command runs.
public struct SubprocessError: Error, CustomStringConvertible {
    public var description: String
}

/// Runs commands: each in a process group of its own, with a time limit, bounded output, and always reaped.
public enum Subprocess {
    public struct Result: Sendable, Equatable {
        /// The exit code, or nil if a signal ended it.
        public var exit: Int32?
        public var signal: Int32?
        /// At most `outputLimit` bytes each; the rest was read and dropped.
        public var stdout: [UInt8]
        public var stderr: [UInt8]
        public var timedOut: Bool
        public var duration: Duration

        public var succeeded: Bool { exit == 0 && !timedOut }
        /// "exit code 2", "killed by signal 9", "timed out after 5.0 s".
        public var outcome: String {
            if timedOut { return "timed out after \(duration.milliseconds) ms" }
            if let exit { return "exit code \(exit)" }
            return "killed by signal \(signal ?? 0)"
        }
    }

    /// Runs `argv` (the program is looked up in PATH) and waits for its end.
    ///
    /// The child gets the default signal actions, no file but its standard three, and `environment` over this process's
    /// own. Past `timeout` its group gets SIGTERM and, after `killGrace` or once its leader is gone, SIGKILL: children and
    /// grandchildren go with it. After a normal end, what it left in the background lives on, and its output is no longer
    /// read. When the calling task is cancelled the group is killed and `CancellationError` thrown.
    ///
    /// - Throws: `SubprocessError` if it could not be started, if not even SIGKILL ends it (it hangs in the kernel, on a
    ///   dead network file system for instance), or if somebody else in this process took its exit status;
    ///   `CancellationError`; `BlockingPoolError`.
    public static func run(
        _ argv: [String], environment: [String: String] = [:], stdin: [UInt8] = [], timeout: Duration,
        outputLimit: Int = 64 << 10, killGrace: Duration = .seconds(2), pool: BlockingPool
    ) async throws -> Result {
        try await pool.run { cancelled in
            let child = try RunningChild(argv, environment: environment, stdin: stdin, outputLimit: outputLimit)
            return try child.wait(timeout: timeout, killGrace: killGrace, cancelled: cancelled)
        }
    }
}

/// Children that SIGKILL did not end in time; looked at again before each start, so that they do not stay zombies.
private enum Undead {
    static let processes = Mutex<[pid_t]>([])
    /// A command that hangs in the kernel hangs again next time: past so many nothing more is started.
    static let processesMax = 64

    /// Reaps those that have ended by now; how many are left.
    static func reap() -> Int {
        processes.withLock { processes in
            // 0: not ended yet. An error: it is not ours any more.
            processes.removeAll { waitpid($0, nil, WNOHANG) != 0 }
            return processes.count
        }
    }
}

/// One child process, from its start to its reaping. Used on one thread.
private final class RunningChild {
    private let pid: pid_t
    private let started = monotonicNow()
    private var input: Int32
    private var pending: ArraySlice<UInt8>
    private var outputs: [Output]
    private var buffer = [UInt8](repeating: 0, count: 16 << 10)

    private struct Output {
        var descriptor: Int32
        var bytes: [UInt8] = []
        let limit: Int
    }

    init(_ argv: [String], environment: [String: String], stdin: [UInt8], outputLimit: Int) throws {
        guard let program = argv.first, !program.isEmpty else {
            throw SubprocessError(description: "the command is empty; give a program and its arguments")
        }
        guard !(argv + environment.flatMap { [$0.key, $0.value] }).contains(where: { $0.utf8.contains(0) }) else {
            throw SubprocessError(description: "an argument or variable of \"\(program)\" has a NUL byte in it")
        }
        guard Undead.reap() < Undead.processesMax else {
            throw SubprocessError(
                description: "\"\(program)\" is not started: \(Undead.processesMax) earlier commands hang and cannot be killed")
        }
        var pipes: [(read: Int32, write: Int32)] = []
        func closeAll() {
            for pipe in pipes {
                close(pipe.read)
                close(pipe.write)
            }
        }
        for _ in 0..<3 {
            guard let pipe = Self.pipe() else {
                let code = errno
                closeAll()
                throw SubprocessError(description: "cannot make a pipe for \"\(program)\": \(errorText(code))")
            }
            pipes.append(pipe)
        }
        let spawned = Self.spawn(
            argv, environment: environment, stdin: pipes[0].read, stdout: pipes[1].write, stderr: pipes[2].write)
        guard let pid = spawned.pid else {
            closeAll()
            throw SubprocessError(description: "cannot start \"\(program)\": \(errorText(spawned.code))")
        }
        close(pipes[0].read)
        close(pipes[1].write)
        close(pipes[2].write)
        self.pid = pid
        input = pipes[0].write
        pending = stdin[...]
        outputs = [pipes[1].read, pipes[2].read].map { Output(descriptor: $0, limit: outputLimit) }
        for descriptor in [input, outputs[0].descriptor, outputs[1].descriptor] {
            _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        }
        if pending.isEmpty { closeInput() }
    }

    /// Both ends above 2, even if this process was started without its standard files: 0 to 2 are dealt out in the child one
    /// after another, and must not be overwritten before their turn. Nil: see `errno`.
    private static func pipe() -> (read: Int32, write: Int32)? {
        var ends: [Int32] = [-1, -1]
        guard pipe2(&ends, O_CLOEXEC) == 0 else { return nil }
        for index in ends.indices where ends[index] <= 2 {
            let low = ends[index]
            ends[index] = fcntl(low, F_DUPFD_CLOEXEC, 3)
            let code = errno
            close(low)
            guard ends[index] >= 0 else {
                close(ends[1 - index])
                errno = code
                return nil
            }
        }
        return (ends[0], ends[1])
    }

    private static func spawn(
        _ argv: [String], environment: [String: String], stdin: Int32, stdout: Int32, stderr: Int32
    ) -> (pid: pid_t?, code: Int32) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (number, descriptor) in [stdin, stdout, stderr].enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
        }
        posix_spawn_file_actions_addclosefrom_np(&actions, 3)

        let attributes = SpawnAttributes()

        let arguments = CStrings(argv)
        let variables = CStrings(mergedEnvironment(environment))
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, argv[0], &actions, attributes.pointer, arguments.pointers, variables.pointers)
        return code == 0 ? (pid, 0) : (nil, code)
    }

    /// Moves bytes until the child has ended. Looks for its end at least every 20 ms, as a child may close its output and
    /// go on, or end and leave its output open in a grandchild.
    func wait(timeout: Duration, killGrace: Duration, cancelled: CancellationSignal) throws -> Subprocess.Result {
        let deadline = started + timeout
        var pause: Int32 = 1
        while !hasEnded() {
            if cancelled.isSet || monotonicNow() >= deadline {
                let ending = terminate(grace: killGrace, cancelled: cancelled)
                if cancelled.isSet { throw CancellationError() }
                return result(try status(ending), timedOut: true)
            }
            let moved = transfer(waitMs: pause)
            pause = moved ? 1 : min(20, pause * 2)
        }
        drain()
        return result(try status(reap()), timedOut: false)
    }

    /// SIGTERM to the group, SIGKILL after `grace`, when the leader is gone or on cancellation. The leader is reaped last,
    /// so that its process group cannot be anyone else's by then.
    private func terminate(grace: Duration, cancelled: CancellationSignal) -> Ending {
        kill(-pid, SIGTERM)
        let deadline = monotonicNow() + grace
        while monotonicNow() < deadline && !cancelled.isSet && !hasEnded() { _ = transfer(waitMs: 10) }
        kill(-pid, SIGKILL)
        drain()
        return reap()
    }

    /// What is left in the pipes, without waiting for grandchildren that hold them open.
    private func drain() {
        let deadline = monotonicNow() + .milliseconds(100)
        while transfer(waitMs: 1), monotonicNow() < deadline {}
        closeInput()
        for index in outputs.indices { closeOutput(index) }
    }

    private func result(_ status: Int32, timedOut: Bool) -> Subprocess.Result {
        let signal = status & 0x7F
        return Subprocess.Result(
            exit: signal == 0 ? (status >> 8) & 0xFF : nil, signal: signal == 0 ? nil : signal,
            stdout: outputs[0].bytes, stderr: outputs[1].bytes, timedOut: timedOut, duration: monotonicNow() - started)
    }

    /// Whether the child has ended; it stays a zombie until `reap`. An error means that there is nothing to wait for.
    private func hasEnded() -> Bool {
        var info = siginfo_t()
        let code = waitid(P_PID, id_t(pid), &info, WEXITED | WNOHANG | WNOWAIT)
        return code == 0 ? info.si_signo == SIGCHLD : errno != EINTR
    }

    private enum Ending {
        case status(Int32)
        /// SIGKILL has not ended it within `reapMax`.
        case hangs
        /// The errno of `waitpid`.
        case lost(Int32)
    }

    /// How long a killed process may take to be gone: it first has to come back from the kernel.
    private static let reapMax = Duration.seconds(3)

    private func reap() -> Ending {
        let deadline = monotonicNow() + Self.reapMax
        while true {
            var status: Int32 = 0
            let code = waitpid(pid, &status, WNOHANG)
            if code == pid { return .status(status) }
            if code < 0 && errno != EINTR { return .lost(errno) }
            guard monotonicNow() < deadline else {
                Undead.processes.withLock { $0.append(pid) }
                return .hangs
            }
            poll(nil, 0, 5)
        }
    }

    private func status(_ ending: Ending) throws(SubprocessError) -> Int32 {
        switch ending {
        case .status(let status): return status
        case .hangs:
            throw SubprocessError(description: "process \(pid) hangs in the kernel: SIGKILL does not end it")
        case .lost(let code):
            throw SubprocessError(description: "the exit status of process \(pid) is lost: \(errorText(code))")
        }
    }

    /// Writes to and reads from the child once; true if bytes moved. Waits at most `waitMs` for that.
    private func transfer(waitMs: Int32) -> Bool {
        var polled: [pollfd] = []
        if input >= 0 { polled.append(pollfd(fd: input, events: Int16(POLLOUT), revents: 0)) }
        for output in outputs where output.descriptor >= 0 {
            polled.append(pollfd(fd: output.descriptor, events: Int16(POLLIN), revents: 0))
        }
        guard poll(&polled, nfds_t(polled.count), waitMs) > 0 else { return false }
        var moved = false
        for entry in polled where entry.revents != 0 {
            if entry.fd == input {
                moved = writeInput() || moved
            } else if let index = outputs.firstIndex(where: { $0.descriptor == entry.fd }) {
                moved = readOutput(index) || moved
            }
        }
        return moved
    }

    private func writeInput() -> Bool {
        let count = pending.withUnsafeBytes { write(input, $0.baseAddress, $0.count) }
        if count > 0 {
            pending = pending.dropFirst(count)
            if pending.isEmpty { closeInput() }
            return true
        }
        if errno != EAGAIN && errno != EINTR { closeInput() }
        return false
    }

    private func readOutput(_ index: Int) -> Bool {
        let count = read(outputs[index].descriptor, &buffer, buffer.count)
        if count > 0 {
            let room = outputs[index].limit - outputs[index].bytes.count
            outputs[index].bytes.append(contentsOf: buffer.prefix(min(count, max(0, room))))
            return true
        }
        if count == 0 || (errno != EAGAIN && errno != EINTR) { closeOutput(index) }
        return false
    }

    private func closeInput() {
        if input >= 0 { close(input) }
        input = -1
    }

    private func closeOutput(_ index: Int) {
        if outputs[index].descriptor >= 0 { close(outputs[index].descriptor) }
        outputs[index].descriptor = -1
    }
}
