import CLinux
import Glibc

/// A thread on which every signal is blocked: they are handled in one place, by the executable.
package struct SystemThread: Sendable {
    private let thread: pthread_t

    /// No thread can be started: the limit is reached.
    package struct Refused: Error, CustomStringConvertible {
        package let code: Int32
        package var description: String { String(cString: strerror(code)) }
    }

    /// Starts it. Tell `join` or `detach` once.
    ///
    /// - Parameter name: as the system's tools show it, at most 15 bytes.
    package init(_ name: String, _ body: @escaping @Sendable () -> Void) throws(Refused) {
        final class Box: Sendable {
            let name: String
            let body: @Sendable () -> Void
            init(_ name: String, _ body: @escaping @Sendable () -> Void) {
                self.name = name
                self.body = body
            }
        }
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        // It inherits the mask of the thread that starts it.
        pthread_sigmask(SIG_BLOCK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var thread = pthread_t()
        let context = Unmanaged.passRetained(Box(name, body))
        let code = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                let box = Unmanaged<Box>.fromOpaque(context).takeRetainedValue()
                pthread_setname_np(pthread_self(), box.name)
                box.body()
                return nil
            }, context.toOpaque())
        guard code == 0 else {
            context.release()
            throw Refused(code: code)
        }
        self.thread = thread
    }

    /// Waits for its end.
    package func join() { pthread_join(thread, nil) }

    /// Nobody waits for its end.
    package func detach() { pthread_detach(thread) }
}
