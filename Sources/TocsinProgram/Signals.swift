import Glibc
import Synchronization
import TocsinSystem

/// SIGINT and SIGTERM, taken by the main thread. The first asks the program to stop, if it said how; the second ends it now.
package enum Signals {
    private struct Handlers {
        var stop: (@Sendable () -> Void)?
        var stopNow: (@Sendable () -> Void)?
        /// How long stopping may take.
        var patience: Duration = .seconds(20)
    }

    private static let handlers = Mutex(Handlers())

    /// Blocks the two signals in the calling thread, and so in all that it starts. Called first in the program, on its main
    /// thread. A write to a pipe or connection that is gone is an error and not the end, except to standard output; see
    /// `Terminal`.
    package static func block() {
        var set = stopSignals()
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
    }

    /// From now on the first signal calls `stop`, on the main thread. The process is ended after a second one, or when
    /// stopping takes longer than `patience`; `now` is called just before.
    package static func onStop(
        patience: Duration = .seconds(20), now: (@Sendable () -> Void)? = nil, stop: @escaping @Sendable () -> Void
    ) {
        handlers.withLock { $0 = Handlers(stop: stop, stopNow: now, patience: patience) }
    }

    /// Takes signals until the process ends.
    package static func serve() -> Never {
        var set = stopSignals()
        var number: Int32 = 0
        while sigwait(&set, &number) != 0 {}
        let handlers = handlers.withLock { $0 }
        guard let stop = handlers.stop else { end(by: number) }
        stop()
        let second = wait(for: handlers.patience)
        handlers.stopNow?()
        guard let second else {
            Terminal.say("tocsin: did not stop within \(handlers.patience.components.seconds) s; ending now")
            _exit(ExitCodes.timedOut.rawValue)
        }
        _exit(128 + second)
    }

    /// The next signal, or nil if none comes in time.
    private static func wait(for patience: Duration) -> Int32? {
        var set = stopSignals()
        let deadline = monotonicNow() + patience
        while true {
            let (seconds, attoseconds) = max(.zero, deadline - monotonicNow()).components
            var timeout = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
            let number = sigtimedwait(&set, nil, &timeout)
            if number > 0 { return number }
            // A child that ends interrupts the wait.
            if errno != EINTR { return nil }
        }
    }

    private static func stopSignals() -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGTERM)
        return set
    }

    /// As if the signal had not been taken, so that a shell sees what it expects.
    private static func end(by number: Int32) -> Never {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, number)
        signal(number, SIG_DFL)
        kill(getpid(), number)
        pthread_sigmask(SIG_UNBLOCK, &set, nil)
        _exit(128 + number)
    }
}
