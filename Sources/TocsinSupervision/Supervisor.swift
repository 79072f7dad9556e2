import CLinux
import Glibc
import Synchronization
import TocsinPosix
import TocsinSystem

/// What happens to the processes of a `Supervisor`.
public enum SupervisorEvent: Sendable {
    case started(String, pid: Int32)
    /// The program said that it does its work.
    case ready(String, after: Duration)
    /// It ended unasked, and will be started again after `restart`; nil: it is not worth another try.
    case ended(String, ProcessEnd, restart: Duration?)
    /// It ended as it was asked to.
    case stopped(String, ProcessEnd)
    /// It did not end when it was asked to, and is killed.
    case killed(String)
    /// It could not be started; another try after `retry`.
    case failed(String, String, retry: Duration)
}

/// Keeps processes running: starts each again when it ends, with growing waits, and stops them all, in order, at the end.
///
/// All of it happens on one thread of its own, which lives as long as the process: the system ties "the parent is gone" to
/// the thread that started the child. Thread-safe.
public final class Supervisor: Sendable {
    private let mailbox: Mailbox

    /// - Parameters:
    ///   - backoff: the waits between restarts.
    ///   - hopeless: exit codes after which another start would end the same way (wrong usage, wrong configuration).
    ///   - onEvent: called on the supervisor's thread, which it should not hold up.
    /// - Throws: `SupervisorError` if there is no thread or descriptor for it.
    public init(
        backoff: Backoff = Backoff(), hopeless: Set<Int32> = [], onEvent: @escaping @Sendable (SupervisorEvent) -> Void
    ) throws(SupervisorError) {
        mailbox = try Mailbox()
        let loop = SupervisorLoop(mailbox: mailbox, backoff: backoff, hopeless: hopeless, onEvent: onEvent)
        try loop.startThread()
    }

    /// Starts a process and keeps it running.
    public func start(_ spec: ProcessSpec) { mailbox.post(.start(spec)) }

    /// Sends a signal to those processes of these names that run.
    public func signal(_ number: Int32, to names: Set<String>) { mailbox.post(.signal(number, names)) }

    /// Stops every process, higher stages first: SIGTERM, and SIGKILL after `grace`. Returns when all are gone; nothing can
    /// be started afterwards.
    public func stop(grace: Duration = .seconds(10)) async {
        await withCheckedContinuation { continuation in
            mailbox.post(.stop(grace: grace) { continuation.resume() })
        }
    }

    /// Kills every process, and returns when the signals are sent: for the moment before this process ends at once. Blocks
    /// for a second at most.
    public func killAll() {
        let isDone = CancellationSignal()
        mailbox.post(.kill(isDone))
        let deadline = monotonicNow() + .seconds(1)
        while !isDone.isSet && monotonicNow() < deadline { usleep(1000) }
    }
}

/// Requests to the supervisor's thread, and a pipe that wakes it.
final class Mailbox: Sendable {
    enum Request: Sendable {
        case start(ProcessSpec)
        case signal(Int32, Set<String>)
        case stop(grace: Duration, done: @Sendable () -> Void)
        case kill(CancellationSignal)
    }

    private let requests = Mutex<[Request]>([])
    let wakeup: Int32
    private let waker: Int32

    init() throws(SupervisorError) {
        var ends: [Int32] = [-1, -1]
        guard pipe2(&ends, O_CLOEXEC | O_NONBLOCK) == 0 else {
            throw SupervisorError("cannot make a pipe: \(errorText(errno))")
        }
        wakeup = ends[0]
        waker = ends[1]
    }

    deinit {
        close(wakeup)
        close(waker)
    }

    func post(_ request: Request) {
        requests.withLock { $0.append(request) }
        var byte: UInt8 = 1
        // A pipe that is full wakes the thread as well.
        _ = write(waker, &byte, 1)
    }

    func take() -> [Request] {
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(wakeup, &bytes, bytes.count) > 0 {}
        return requests.withLock { requests in
            defer { requests = [] }
            return requests
        }
    }
}
