import CLinux
import Glibc
import Synchronization
public import TocsinPolicy
import TocsinPosix

/// The indicators of a configuration, kept up to date: a thread of its own looks at the files now and then, reads those that
/// changed, and puts the new set in the place of the old as a whole, while others go on with the one they have. Thread-safe.
///
/// A new set of which a file cannot be used does not take the place of the old one, until the file changes again. At the start
/// there is none that is older: then what can be used is.
public final class IndicatorFiles: Sendable {
    private let state: State

    /// What came of reading files that changed.
    public enum News: Sendable {
        case loaded(IndicatorLoad)
        /// The set is still the one before.
        case refused([IndicatorProblem])
    }

    /// Starts the thread, which ends with this object, and returns when it has read the files.
    ///
    /// - Parameter onNews: called on the thread, after each change.
    /// - Throws: `IndicatorProblem` if the system refuses the thread; what is wrong with files is in `current`.
    public static func open(
        _ policy: IndicatorPolicy, onNews: @escaping @Sendable (News) -> Void
    ) async throws(IndicatorProblem) -> IndicatorFiles {
        let state = try State(policy, onNews)
        let refused = await withCheckedContinuation { (isReady: CheckedContinuation<IndicatorProblem?, Never>) in
            do throws(SystemThread.Refused) {
                try SystemThread("indicators") { state.run { isReady.resume(returning: nil) } }.detach()
            } catch {
                isReady.resume(returning: IndicatorProblem("cannot start a thread for indicators: \(error)"))
            }
        }
        if let refused { throw refused }
        return IndicatorFiles(state)
    }

    private init(_ state: State) { self.state = state }

    deinit { state.tell { $0.isEnding = true } }

    /// What is in force now.
    public var current: IndicatorLoad { state.shared.withLock { $0.load } }

    /// Reads all files anew, also if none changed; soon, not within the call.
    public func reload() { state.tell { $0.isForced = true } }

    private final class State: Sendable {
        struct Shared {
            var load = IndicatorLoad()
            var isForced = false
            var isEnding = false
        }

        let shared = Mutex(Shared())
        private let policy: IndicatorPolicy
        private let onNews: @Sendable (News) -> Void
        /// A pipe: written to wake the thread.
        private let wakeup: (read: Int32, write: Int32)

        init(_ policy: IndicatorPolicy, _ onNews: @escaping @Sendable (News) -> Void) throws(IndicatorProblem) {
            self.policy = policy
            self.onNews = onNews
            var ends: [Int32] = [-1, -1]
            guard pipe2(&ends, O_CLOEXEC | O_NONBLOCK) == 0 else {
                throw IndicatorProblem("no descriptor for indicators: \(errorText(errno))")
            }
            wakeup = (ends[0], ends[1])
        }

        deinit {
            close(wakeup.read)
            close(wakeup.write)
        }

        func tell(_ change: (inout Shared) -> Void) {
            shared.withLock { change(&$0) }
            // A pipe that is full wakes as well.
            var byte: UInt8 = 0
            _ = write(wakeup.write, &byte, 1)
        }

        /// The thread; `isReady` is called once the files were read.
        func run(_ isReady: () -> Void) {
            // Before they are read: what changes meanwhile is read again.
            var stamp = IndicatorLoad.stamp(policy)
            let first = IndicatorLoad(policy)
            shared.withLock { $0.load = first }
            isReady()
            while true {
                wait()
                let (isEnding, isForced) = shared.withLock { shared in
                    defer { shared.isForced = false }
                    return (shared.isEnding, shared.isForced)
                }
                if isEnding { return }
                let now = IndicatorLoad.stamp(policy)
                guard now != stamp || isForced else { continue }
                stamp = now
                let load = IndicatorLoad(policy)
                if !load.problems.isEmpty {
                    onNews(.refused(load.problems))
                } else if load.set.version != shared.withLock({ $0.load.set.version }) || isForced {
                    shared.withLock { $0.load = load }
                    onNews(.loaded(load))
                }
            }
        }

        /// Until it is time to look, or somebody woke it.
        private func wait() {
            var descriptor = pollfd(fd: wakeup.read, events: Int16(POLLIN), revents: 0)
            _ = poll(&descriptor, 1, Int32(clamping: max(1, policy.reload.wholeMilliseconds)))
            var bytes = [UInt8](repeating: 0, count: 64)
            while read(wakeup.read, &bytes, bytes.count) > 0 {}
        }
    }
}
