import Glibc
import TocsinPosix

/// A thread that does one thing after another and tells what came of each; the loop hands it work and never waits for it.
final class WorkerThread<Work: Sendable, Outcome: Sendable>: @unchecked Sendable {
    // Sound because `pending`, `outcomes` and `stopping` are only touched between lock() and unlock() of `mutex`.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let wakeup: UnsafeMutablePointer<pthread_cond_t>
    private var pending: [Work] = []
    private var outcomes: [Outcome] = []
    private var stopping = false
    private var thread: SystemThread?
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
        do { thread = try SystemThread(name) { [self] in work() } } catch {
            throw HubError(code: .other, description: "cannot start the thread \(name): \(error)")
        }
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
        thread?.join()
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
