import Foundation
import Glibc
import Synchronization

/// A tiny HTTP server for tests: one thread, one request per connection, on 127.0.0.1 and a port the system picks.
public final class LoopbackServer: Sendable {
    public struct Request: Sendable {
        public var method: String
        public var path: String
        /// Names in lower case.
        public var headers: [String: String]
        public var body: [UInt8]
    }

    public struct Answer: Sendable {
        public var status: Int
        public var headers: [String: String]
        public var body: [UInt8]
        /// Says nothing for so long, to provoke timeouts.
        public var delayMs: UInt32

        public init(_ status: Int, headers: [String: String] = [:], body: String = "", delayMs: UInt32 = 0) {
            self.status = status
            self.headers = headers
            self.body = Array(body.utf8)
            self.delayMs = delayMs
        }
    }

    public let port: Int
    private let listener: Int32
    private let log = Mutex<[Request]>([])
    private let stopping = Atomic<Bool>(false)

    public var requests: [Request] { log.withLock { $0 } }
    public var url: String { "http://127.0.0.1:\(port)" }

    public struct Failure: Error { public var what: String }

    /// A socket on a port of the system's choice (`port` 0) and that port. One that does not listen refuses connections, and nobody
    /// else gets its port while it is open.
    public static func listen(port: Int = 0, isListening: Bool = true) throws -> (descriptor: Int32, port: Int) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(what: "socket: \(errno)") }
        var reuse: Int32 = isListening ? 1 : 0
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        address.sin_port = UInt16(port).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && (!isListening || Glibc.listen(descriptor, 64) == 0)
                    && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard bound else {
            let code = errno
            close(descriptor)
            throw Failure(what: "bind: \(code)")
        }
        return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
    }

    /// `answer` gets each request and its number, from 1.
    public init(port: Int = 0, answer: @escaping @Sendable (Request, Int) -> Answer) throws {
        (listener, self.port) = try Self.listen(port: port)
        let box = Box(server: self, answer: answer)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                let box = Unmanaged<Box>.fromOpaque(context).takeRetainedValue()
                box.server.serve(box.answer)
                return nil
            }, Unmanaged.passRetained(box).toOpaque())
        guard code == 0 else { throw Failure(what: "pthread_create: \(code)") }
        pthread_detach(thread)
    }

    /// New connections are refused when this returns.
    public func stop() {
        guard !stopping.exchange(true, ordering: .sequentiallyConsistent) else { return }
        shutdown(listener, Int32(SHUT_RDWR))
    }

    private final class Box: Sendable {
        let server: LoopbackServer
        let answer: @Sendable (Request, Int) -> Answer
        init(server: LoopbackServer, answer: @escaping @Sendable (Request, Int) -> Answer) {
            self.server = server
            self.answer = answer
        }
    }

    private func serve(_ answer: @Sendable (Request, Int) -> Answer) {
        var number = 0
        while !stopping.load(ordering: .sequentiallyConsistent) {
            let connection = accept(listener, nil, nil)
            if connection < 0 {
                if errno == EINTR { continue }
                break
            }
            if let request = Self.read(connection) {
                number += 1
                log.withLock { $0.append(request) }
                let answer = answer(request, number)
                if answer.delayMs > 0 { usleep(answer.delayMs * 1000) }
                var head = "HTTP/1.1 \(answer.status) Status\r\nContent-Length: \(answer.body.count)\r\nConnection: close\r\n"
                for (name, value) in answer.headers { head += "\(name): \(value)\r\n" }
                Self.write(connection, Array((head + "\r\n").utf8) + answer.body)
            }
            close(connection)
        }
        close(listener)
    }

    private static func write(_ connection: Int32, _ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    private static func read(_ connection: Int32) -> Request? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            if let request = parse(bytes) { return request }
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0, bytes.count < 4 << 20 else { return nil }
            bytes += buffer.prefix(count)
        }
    }

    private static func parse(_ bytes: [UInt8]) -> Request? {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.range(of: "\r\n\r\n") else { return nil }
        let lines = text[..<end.lowerBound].split(separator: "\r\n")
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count == 3 else { return nil }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
        }
        let body = bytes.dropFirst(text[..<end.upperBound].utf8.count)
        guard body.count >= Int(headers["content-length"] ?? "0") ?? 0 else { return nil }
        return Request(method: String(words[0]), path: String(words[1]), headers: headers, body: Array(body))
    }
}
