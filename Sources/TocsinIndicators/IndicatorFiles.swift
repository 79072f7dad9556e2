import CLinux
import Glibc
import Synchronization
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

    /// Reads the files and starts the thread, which ends with this object. Blocking: for a `BlockingPool`.
    ///
    /// - Parameter onNews: called on the thread, after each change.
    /// - Throws: `IndicatorProblem` if the system refuses the thread.
    public init(_ settings: IndicatorSettings, onNews: @escaping @Sendable (News) -> Void) throws(IndicatorProblem) {
        state = try State(settings, onNews)
        do throws(SystemThread.Refused) {
            try SystemThread("indicators") { [state] in state.run() }.detach()
        } catch {
            throw IndicatorProblem("cannot start a thread: \(error)")
        }
    }

    deinit { state.tell { $0.isEnding = true } }

    /// What is in force now.
    public var current: IndicatorLoad { state.shared.withLock { $0.load } }

    /// Reads all files anew, also if none changed; soon, not within the call.
    public func reload() { state.tell { $0.isForced = true } }

    private final class State: Sendable {
        struct Shared {
            var load: IndicatorLoad
            var isForced = false
            var isEnding = false
        }

        let shared: Mutex<Shared>
        private let settings: IndicatorSettings
        private let onNews: @Sendable (News) -> Void
        /// What of the files the load began with.
        private let firstStamp: [String]
        /// A pipe: written to wake the thread.
        private let wakeup: (read: Int32, write: Int32)

        init(_ settings: IndicatorSettings, _ onNews: @escaping @Sendable (News) -> Void) throws(IndicatorProblem) {
            self.settings = settings
            self.onNews = onNews
            // Before they are read: what changes meanwhile is read again.
            firstStamp = IndicatorLoad.stamp(settings)
            shared = Mutex(Shared(load: IndicatorLoad(settings)))
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

        func run() {
            var stamp = firstStamp
            while true {
                wait()
                let (isEnding, isForced) = shared.withLock { shared in
                    defer { shared.isForced = false }
                    return (shared.isEnding, shared.isForced)
                }
                if isEnding { return }
                let now = IndicatorLoad.stamp(settings)
                guard now != stamp || isForced else { continue }
                stamp = now
                let load = IndicatorLoad(settings)
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
            _ = poll(&descriptor, 1, Int32(clamping: max(1, settings.reload.wholeMilliseconds)))
            var bytes = [UInt8](repeating: 0, count: 64)
            while read(wakeup.read, &bytes, bytes.count) > 0 {}
        }
    }
}
