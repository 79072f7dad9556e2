import Glibc
import Synchronization

/// A thread that does one thing after another and tells what came of each; the loop hands it work and never waits for it.
final class WorkerThread<Work: Sendable, Outcome: Sendable>: @unchecked Sendable {
    // Sound because `pending`, `outcomes` and `stopping` are only touched between lock() and unlock() of `mutex`.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let wakeup: UnsafeMutablePointer<pthread_cond_t>
    private var pending: [Work] = []
    private var outcomes: [Outcome] = []
    private var stopping = false
    private var thread = pthread_t()
    private let perform: @Sendable (Work) -> Outcome
    private let done: @Sendable () -> Void

    /// `perform` runs on the thread, `done` after each outcome was put where `takeOutcomes` finds it.
    init(_ name: String, perform: @escaping @Sendable (Work) -> Outcome, done: @escaping @Sendable () -> Void) throws(HubError) {
        self.perform = perform
        self.done = done
        mutex = .allocate(capacity: 1)
        wakeup = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(wakeup, nil)
        thread = try startThread(name) { [self] in work() }
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(wakeup)
        mutex.deallocate()
        wakeup.deallocate()
    }

    /// The loop hands over at most one piece at a time, so this holds at most one.
    func submit(_ work: Work) {
        pthread_mutex_lock(mutex)
        pending.append(work)
        pthread_cond_signal(wakeup)
        pthread_mutex_unlock(mutex)
    }

    func takeOutcomes() -> [Outcome] {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        let taken = outcomes
        outcomes.removeAll(keepingCapacity: true)
        return taken
    }

    /// Finishes what was submitted and ends the thread.
    func stop() {
        pthread_mutex_lock(mutex)
        stopping = true
        pthread_cond_signal(wakeup)
        pthread_mutex_unlock(mutex)
        pthread_join(thread, nil)
    }

    private func work() {
        while let next = next() {
            let outcome = perform(next)
            pthread_mutex_lock(mutex)
            outcomes.append(outcome)
            pthread_mutex_unlock(mutex)
            done()
        }
    }

    private func next() -> Work? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while pending.isEmpty, !stopping { pthread_cond_wait(wakeup, mutex) }
        return pending.isEmpty ? nil : pending.removeFirst()
    }
}

/// Starts a joinable thread on which every signal is blocked: they are handled in one place, by the executable.
func startThread(_ name: String, _ body: @escaping @Sendable () -> Void) throws(HubError) -> pthread_t {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    var thread = pthread_t()
    let context = Unmanaged.passRetained(Box(body))
    let code = pthread_create(
        &thread, nil,
        { context in
            guard let context else { return nil }
            Unmanaged<Box>.fromOpaque(context).takeRetainedValue().body()
            return nil
        }, context.toOpaque())
    guard code == 0 else {
        context.release()
        throw HubError(code: .other, description: "cannot start the thread \(name): \(String(cString: strerror(code)))")
    }
    return thread
}
