import CZeroMQ
import Glibc

/// What libzmq or the kernel refused, with its errno and a sentence for a person.
public struct TransportError: Error, Equatable, Sendable, CustomStringConvertible {
    /// An `errno`, or one of libzmq's own.
    public var code: Int32
    public var message: String

    public init(code: Int32, message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }

    /// `doing` says what failed: "cannot bind tcp://127.0.0.1:7117". Called right after the failure, before any other call
    /// can change the thread's errno.
    static func last(_ doing: String) -> TransportError {
        let code = zmq_errno()
        let reason =
            switch code {
            case EADDRINUSE: "the address is in use; another hub may be running, or choose another endpoint"
            case EADDRNOTAVAIL, ENODEV: "this machine has no such address"
            case EACCES, EPERM: "permission denied; choose a port above 1023 or a folder you may write to"
            case ENOENT: "the folder of the socket file does not exist"
            case EINVAL: "the endpoint is not valid; it looks like tcp://127.0.0.1:7117 or ipc:///run/tocsin/hub"
            case EPROTONOSUPPORT: "the protocol is not supported; use tcp:// or ipc://"
            case ENAMETOOLONG: "the path of the socket file is too long"
            case EMFILE: "too many open files or sockets; raise the limit of open files"
            default: String(cString: zmq_strerror(code))
            }
        return TransportError(code: code, message: "\(doing): \(reason)")
    }
}
