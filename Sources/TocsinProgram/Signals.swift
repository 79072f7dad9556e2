import Glibc
import Synchronization
import TocsinSystem

/// SIGINT and SIGTERM, taken by the main thread: the first asks the program to stop, if it said how, and the second ends it now. And
/// SIGHUP, which asks the program to read again what it works by, if it said how; else it ends it, as it does every program.
package enum Signals {
    private struct Handlers {
        var stop: (@Sendable () -> Void)?
        var stopNow: (@Sendable () -> Void)?
        /// How long stopping may take.
        var patience: Duration = .seconds(20)
        var reload: (@Sendable () -> Void)?
        /// As `nohup` asks for.
        var ignoresHangup = false
    }

    private static let handlers = Mutex(Handlers())

    /// Blocks these signals in the calling thread, and so in all that it starts. Called first in the program, on its main
    /// thread. A write to a pipe or connection that is gone is an error and not the end, except to standard output; see
    /// `Terminal`.
    package static func block() {
        var set = ownSignals()
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
        var hangup = sigaction()
        sigaction(SIGHUP, nil, &hangup)
        // `SIG_IGN` is the address 1.
        let isIgnored = unsafeBitCast(hangup.__sigaction_handler.sa_handler, to: Int.self) == 1
        handlers.withLock { $0.ignoresHangup = isIgnored }
    }

    /// From now on the first signal calls `stop`, on the main thread. The process is ended after a second one, or when
    /// stopping takes longer than `patience`; `now` is called just before.
    package static func onStop(
        patience: Duration = .seconds(20), now: (@Sendable () -> Void)? = nil, stop: @escaping @Sendable () -> Void
    ) {
        handlers.withLock {
            $0.stop = stop
            $0.stopNow = now
            $0.patience = patience
        }
    }

    /// From now on SIGHUP calls `reload`, on the main thread, which it must not hold up.
    package static func onReload(_ reload: @escaping @Sendable () -> Void) { handlers.withLock { $0.reload = reload } }

    /// Takes signals until the process ends.
    package static func serve() -> Never {
        let number = awaitStop()
        let handlers = handlers.withLock { $0 }
        guard number != SIGHUP, let stop = handlers.stop else { end(by: number) }
        stop()
        let second = wait(for: handlers.patience)
        handlers.stopNow?()
        guard let second else {
            Terminal.say("tocsin: did not stop within \(handlers.patience.components.seconds) s; ending now")
            _exit(ExitCodes.timedOut.rawValue)
        }
        _exit(128 + second)
    }

    /// The first signal that ends the program.
    private static func awaitStop() -> Int32 {
        var set = ownSignals()
        var number: Int32 = 0
        while true {
            guard sigwait(&set, &number) == 0 else { continue }
            let handlers = handlers.withLock { $0 }
            guard number == SIGHUP, handlers.reload != nil || handlers.ignoresHangup else { return number }
            handlers.reload?()
        }
    }

    /// The next signal that asks for the end, or nil if none comes in time.
    private static func wait(for patience: Duration) -> Int32? {
        var set = ownSignals()
        let deadline = monotonicNow() + patience
        while true {
            let (seconds, attoseconds) = max(.zero, deadline - monotonicNow()).components
            var timeout = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
            let number = sigtimedwait(&set, nil, &timeout)
            if number > 0, number != SIGHUP { return number }
            if number > 0 { continue }
            // A child that ends interrupts the wait.
            if errno != EINTR { return nil }
        }
    }

    private static func ownSignals() -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGHUP)
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
