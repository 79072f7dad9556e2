import CLinux
import Glibc
import Synchronization
import TocsinPosix

/// Told to blocking work when its task was cancelled; the work looks at it now and then and ends early.
public final class CancellationSignal: Sendable {
    private let flag = Atomic<Bool>(false)
    public init() {}
    public var isSet: Bool { flag.load(ordering: .acquiring) }
    public func set() { flag.store(true, ordering: .releasing) }
}

/// Why work was not taken by a `BlockingPool`.
public enum BlockingPoolError: Error, CustomStringConvertible {
    case full(waiting: Int)
    case noThread(errno: Int32)

    public var description: String {
        switch self {
        case .full(let waiting):
            "\(waiting) blocking operations are already waiting for a thread; start fewer at a time"
        case .noThread(let code): "cannot start a thread: \(errorText(code)); raise the limit of threads"
        }
    }
}

/// A few threads of its own for work that blocks (files, `waitpid`, curl), so that Swift's cooperative pool never does.
///
/// Threads are started as they are needed, up to the limit, and end with the pool. All signals are blocked on them, so
/// a write to a closed pipe is an error and not the end of the process. Thread-safe.
public final class BlockingPool: Sendable {
    private let state: PoolState

    /// At most `threads` operations run and at most `queue` more wait.
    public init(threads: Int, queue: Int = 1024) {
        precondition(threads > 0 && queue >= 0, "a pool needs at least one thread")
        state = PoolState(threadsMax: threads, queueMax: queue)
    }

    deinit { state.stop() }

    /// Runs `work` on a thread of the pool. When the calling task is cancelled the signal is set; work that has not begun
    /// by then does not.
    ///
    /// - Throws: what `work` throws, `CancellationError`, or `BlockingPoolError`.
    public func run<Value: Sendable>(
        _ work: @escaping @Sendable (CancellationSignal) throws -> Value
    ) async throws -> Value {
        let cancelled = CancellationSignal()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Value, any Error>) in
                let job: @Sendable () -> Void = {
                    if cancelled.isSet {
                        continuation.resume(throwing: CancellationError())
                    } else {
                        continuation.resume(with: Result { try work(cancelled) })
                    }
                }
                do {
                    try state.submit(job)
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        } onCancel: {
            cancelled.set()
        }
    }
}

/// What the threads of a pool share with it. Kept apart from `BlockingPool` so that idle threads do not keep that alive.
private final class PoolState: @unchecked Sendable {
    // Sound because the stored variables are only touched between lock() and unlock() of `mutex`.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let wakeup: UnsafeMutablePointer<pthread_cond_t>
    private var jobs: [@Sendable () -> Void] = []
    private var head = 0
    private var threads = 0
    private var idle = 0
    private var stopping = false
    private let threadsMax: Int
    private let queueMax: Int

    init(threadsMax: Int, queueMax: Int) {
        self.threadsMax = threadsMax
        self.queueMax = queueMax
        mutex = .allocate(capacity: 1)
        wakeup = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(wakeup, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(wakeup)
        mutex.deallocate()
        wakeup.deallocate()
    }

    func submit(_ job: @escaping @Sendable () -> Void) throws {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        let waiting = jobs.count - head
        guard waiting < queueMax + idle else { throw BlockingPoolError.full(waiting: waiting) }
        if waiting >= idle && threads < threadsMax {
            do { try startThread() } catch {
                if threads == 0 { throw BlockingPoolError.noThread(errno: error.code) }
            }
        }
        jobs.append(job)
        pthread_cond_signal(wakeup)
    }

    func stop() {
        pthread_mutex_lock(mutex)
        stopping = true
        pthread_cond_broadcast(wakeup)
        pthread_mutex_unlock(mutex)
    }

    /// Called with the lock held.
    private func startThread() throws(SystemThread.Refused) {
        try SystemThread("blocking") { [self] in work() }.detach()
        threads += 1
    }

    private func work() {
        while let job = next() { job() }
    }

    /// Waits for a job; nil once the pool is gone and every job was done.
    private func next() -> (@Sendable () -> Void)? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while head == jobs.count && !stopping {
            idle += 1
            pthread_cond_wait(wakeup, mutex)
            idle -= 1
        }
        guard head < jobs.count else { return nil }
        let job = jobs[head]
        head += 1
        if head == jobs.count || head > 512 {
            jobs.removeFirst(head)
            head = 0
        }
        return job
    }
}

/// Now, in the only clock that is not set back.
public func monotonicNow() -> Duration { .nanoseconds(Int64(clamping: MachineClock.steady())) }

extension Duration {
    /// Whole milliseconds, rounded up, clamped to what the system's calls take.
    public var milliseconds: Int {
        let (seconds, attoseconds) = components
        if seconds > 2_000_000 { return 2_000_000_000 }
        if seconds < 0 { return 0 }
        return max(0, Int(seconds) * 1000 + Int((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000))
    }
}
