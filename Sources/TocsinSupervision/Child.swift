import CLinux
import Glibc
import TocsinPosix
import TocsinSystem

/// A program to keep running.
public struct ProcessSpec: Sendable {
    /// Unique; for people.
    public var name: String
    /// The program's path and its arguments.
    public var argv: [String]
    /// Added to this process's environment.
    public var environment: [String: String]
    /// When everything is stopped, higher stages go first, and one stage is gone before the next is asked.
    public var stage: Int

    public init(name: String, argv: [String], environment: [String: String] = [:], stage: Int = 0) {
        self.name = name
        self.argv = argv
        self.environment = environment
        self.stage = stage
    }
}

/// How a process ended.
public struct ProcessEnd: Sendable, Equatable, CustomStringConvertible {
    /// Nil if a signal ended it.
    public var exitCode: Int32?
    public var signal: Int32?
    public var uptime: Duration

    public var description: String {
        exitCode.map { "exit code \($0)" } ?? "killed by signal \(signal ?? 0)"
    }
}

/// What a program says to the supervisor that started it, and asks of the system because of it.
public enum SupervisedProcess {
    static let readyVariable = "TOCSIN_READY_FD"
    static let parentVariable = "TOCSIN_PARENT"

    /// To be called early, and on the main thread, in a program that a supervisor may have started; without one it does
    /// nothing. From then on the process gets SIGTERM when the supervisor is gone, however that ended; if it is gone
    /// already, returns false.
    public static func attach() -> Bool {
        guard let text = variable(parentVariable), let parent = pid_t(text) else { return true }
        unsetenv(parentVariable)
        _ = tocsin_signal_at_parent_death(SIGTERM)
        // Commands that this process runs must not keep the pipe open: its end is how the supervisor sees ours.
        if let descriptor = readyDescriptor { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        return getppid() == parent
    }

    /// Tells the supervisor, if there is one, that the program does its work now.
    public static func sayReady() {
        guard let descriptor = readyDescriptor else { return }
        var byte: UInt8 = 1
        // A supervisor that is gone needs no answer.
        _ = write(descriptor, &byte, 1)
    }

    private static var readyDescriptor: Int32? { variable(readyVariable).flatMap { Int32($0) } }

    private static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}

/// One run of a program. Used on the supervisor's thread.
struct RunningProcess {
    let pid: pid_t
    let started: Duration
    /// A byte comes when it is ready, the end of file when it has ended.
    private(set) var pipe: Int32
    private(set) var isReady = false

    /// Starts it: in a process group of its own, with standard input from /dev/null, default signals, and no other file
    /// but its end of the pipe. Throws a sentence.
    init(_ spec: ProcessSpec) throws(SupervisorError) {
        var ends: [Int32] = [-1, -1]
        guard let program = spec.argv.first, pipe2(&ends, O_CLOEXEC) == 0 else {
            throw SupervisorError("cannot make a pipe for \(spec.name): \(errorText(errno))")
        }
        let childEnd: Int32 = 3
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], childEnd)
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addclosefrom_np(&actions, childEnd + 1)

        let attributes = SpawnAttributes()

        var environment = spec.environment
        environment[SupervisedProcess.readyVariable] = "\(childEnd)"
        environment[SupervisedProcess.parentVariable] = "\(getpid())"
        let arguments = CStrings(spec.argv)
        let variables = CStrings(mergedEnvironment(environment))
        var pid: pid_t = 0
        let code = posix_spawn(&pid, program, &actions, attributes.pointer, arguments.pointers, variables.pointers)
        close(ends[1])
        guard code == 0 else {
            close(ends[0])
            throw SupervisorError("cannot start \(spec.name) (\(program)): \(errorText(code))")
        }
        self.pid = pid
        started = monotonicNow()
        pipe = ends[0]
        _ = fcntl(pipe, F_SETFL, fcntl(pipe, F_GETFL) | O_NONBLOCK)
    }

    /// Reads the pipe; true when this says for the first time that the program is ready.
    mutating func readPipe() -> Bool {
        guard pipe >= 0 else { return false }
        var byte: UInt8 = 0
        let count = read(pipe, &byte, 1)
        if count == 1 {
            defer { isReady = true }
            return !isReady
        }
        if count == 0 || (errno != EAGAIN && errno != EINTR) { closePipe() }
        return false
    }

    mutating func closePipe() {
        if pipe >= 0 { close(pipe) }
        pipe = -1
    }

    /// Its end, once it has come; it is reaped then.
    func end() -> ProcessEnd? {
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
        let signal = status & 0x7F
        return ProcessEnd(
            exitCode: signal == 0 ? (status >> 8) & 0xFF : nil, signal: signal == 0 ? nil : signal,
            uptime: monotonicNow() - started)
    }

    /// To the process alone.
    func signal(_ number: Int32) { kill(pid, number) }

    /// To the process and what it has started in its group.
    func signalGroup(_ number: Int32) { kill(-pid, number) }
}

/// Why a process could not be started, in one sentence.
public struct SupervisorError: Error, CustomStringConvertible, Sendable {
    public var description: String
    init(_ description: String) { self.description = description }
}
