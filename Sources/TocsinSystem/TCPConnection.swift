import Glibc
import TocsinPosix

/// No connection: no such host, refused, timed out.
public struct TCPError: Error, CustomStringConvertible {
    public var description: String
}

/// Opens TCP connections to see whether someone listens.
public enum TCPConnection {
    /// Connects to the first address of `host` that answers, and closes again. Returns how long it took. Each address
    /// gets its share of the time that is left, so that one which swallows everything does not hide the next.
    ///
    /// - Throws: `TCPError`; `CancellationError`; `BlockingPoolError`. The name lookup has its own, the resolver's, time limit.
    public static func attempt(
        host: String, port: Int, timeout: Duration, pool: BlockingPool
    ) async throws -> Duration {
        try await pool.run { cancelled in
            let started = monotonicNow()
            var hints = addrinfo()
            hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
            var list: UnsafeMutablePointer<addrinfo>?
            let code = getaddrinfo(host, String(port), &hints, &list)
            defer { if let list { freeaddrinfo(list) } }
            guard code == 0 else {
                throw TCPError(description: "cannot look up \(host): \(String(cString: gai_strerror(code)))")
            }
            var failure: Int32 = ETIMEDOUT
            var next = list
            // A resolver that took all the time leaves a little to connect all the same.
            let deadline = max(started + timeout, monotonicNow() + .milliseconds(100))
            while let address = next {
                next = address.pointee.ai_next
                var addressesLeft = 1
                var other = next
                while let one = other {
                    addressesLeft += 1
                    other = one.pointee.ai_next
                }
                let now = monotonicNow()
                let share = max(.zero, deadline - now) / addressesLeft
                failure = try connect(address.pointee, deadline: now + share, cancelled: cancelled)
                if failure == 0 { return monotonicNow() - started }
            }
            throw TCPError(description: "cannot connect to \(host):\(port): \(errorText(failure))")
        }
    }

    /// 0, or the errno of what went wrong.
    private static func connect(
        _ address: addrinfo, deadline: Duration, cancelled: CancellationSignal
    ) throws -> Int32 {
        let descriptor = socket(
            address.ai_family, address.ai_socktype | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue),
            address.ai_protocol)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        if Glibc.connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 { return 0 }
        guard errno == EINPROGRESS else { return errno }
        while true {
            if cancelled.isSet { throw CancellationError() }
            let left = deadline - monotonicNow()
            if left <= .zero { return ETIMEDOUT }
            var polled = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            // Short waits, to notice a cancellation.
            guard poll(&polled, 1, Int32(min(50, left.milliseconds))) > 0 else { continue }
            var code: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) == 0 ? code : errno
        }
    }
}
