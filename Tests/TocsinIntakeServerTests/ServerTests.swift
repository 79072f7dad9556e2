import Foundation
import Glibc
import Logging
import Testing
import TocsinGateway
import TocsinIntake

@testable import TocsinIntakeServer

@Suite("The HTTP server keeps its bounds") struct ServerTests {
    /// Runs `body` with the port of a server on `hub`.
    private func serving(
        _ hub: FakeHub, bodyBytesMax: Int = 4096, bodiesBytesMax: Int = 1 << 20, timeout: Duration = .seconds(30),
        grants: [Access.Grant] = [], _ body: (Int) async throws -> Void
    ) async throws {
        var options = IntakeOptions(host: "127.0.0.1", port: 0, grants: grants)
        options.bodiesBytesMax = bodiesBytesMax
        options.bodyBytesMax = bodyBytesMax
        options.timeout = timeout
        let server = IntakeServer(
            options, sink: hub, view: hub.service().view, protocols: IntakeProtocols(), logger: Logger(label: "test"),
            clock: { hub.now })
        let running = Task { try await server.serve() }
        do {
            try await body(try await server.port)
        } catch {
            running.cancel()
            throw error
        }
        server.beginGracefulShutdown()
        try await running.value
    }

    /// Sends `bytes` over a connection of its own and reads until the other side closes it or what came ends with `end`.
    private func exchange(_ port: Int, _ bytes: [UInt8], until end: String? = nil) async -> String {
        await withCheckedContinuation { continuation in
            // A thread of its own: reading blocks.
            Thread.detachNewThread { continuation.resume(returning: Self.blocking(port, bytes, end)) }
        }
    }

    private static func blocking(_ port: Int, _ bytes: [UInt8], _ end: String?) -> String {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var timeout = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { return "no connection" }
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { break }
            sent += count
        }
        var received: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else { break }
            received += chunk[..<count]
            if let end, String(decoding: received, as: UTF8.self).hasSuffix(end) { break }
        }
        return String(decoding: received, as: UTF8.self)
    }

    private func request(_ head: String, _ body: String = "", close: Bool = true) -> [UInt8] {
        Array(
            "\(head)\r\nHost: x\r\nContent-Type: application/json\r\n\(close ? "Connection: close\r\n" : "")Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
                .utf8)
    }

    @Test("requests on one connection are answered one after another", .timeLimit(.minutes(1))) func keepAlive() async throws {
        let hub = FakeHub()
        try await serving(hub) { port in
            let alerts = request("POST /api/v2/alerts HTTP/1.1", #"[{"labels":{"a":"b"}}]"#, close: false)
            let answers = await exchange(port, alerts + request("GET /-/healthy HTTP/1.1"))
            #expect(answers.hasPrefix("HTTP/1.1 200"))
            #expect(answers.hasSuffix("\r\n\r\nOK"))
        }
        #expect(hub.events.count == 1)
    }

    @Test("a body past the bound is 413, announced or not, and none of it is taken", .timeLimit(.minutes(1)))
    func tooLarge() async throws {
        let hub = FakeHub()
        try await serving(hub, bodyBytesMax: 1000) { port in
            let large = String(repeating: " ", count: 1001)
            #expect(await exchange(port, request("POST /api/v2/alerts HTTP/1.1", large)).hasPrefix("HTTP/1.1 413"))
            let chunked =
                "POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n\(large)\r\n0\r\n\r\n"
            #expect(await exchange(port, Array(chunked.utf8)).hasPrefix("HTTP/1.1 413"))
        }
        #expect(hub.events.isEmpty)
    }

    @Test("a body that does not come in time is given up", .timeLimit(.minutes(1))) func slow() async throws {
        try await serving(FakeHub(), timeout: .milliseconds(200)) { port in
            let head = "POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n[1"
            let answer = await exchange(port, Array(head.utf8))
            #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 408"))
        }
    }

    @Test("why there is no port is said to whoever asks, before and after", .timeLimit(.minutes(1))) func taken() async throws {
        let hub = FakeHub()
        try await serving(hub) { port in
            let server = IntakeServer(
                IntakeOptions(host: "127.0.0.1", port: port), sink: hub, view: hub.service().view, protocols: IntakeProtocols(),
                logger: Logger(label: "test"), clock: { hub.now })
            await #expect(throws: (any Error).self) { () async throws -> Void in try await server.serve() }
            await #expect(throws: (any Error).self) { () async throws -> Void in _ = try await server.port }
        }
    }

    @Test("who is not known is told so before a body is read; where the token is in it, it is read", .timeLimit(.minutes(1)))
    func unknown() async throws {
        let hub = FakeHub()
        try await serving(hub, grants: [grant("a", .sensor, token: "t")]) { port in
            let head = "Host: x\r\nContent-Type: application/json\r\nContent-Length: 9999999999\r\n\r\n"
            #expect(await exchange(port, Array("POST /api/v2/alerts HTTP/1.1\r\n\(head)[".utf8)).hasPrefix("HTTP/1.1 401"))
            #expect(await exchange(port, Array("POST /v2/enqueue HTTP/1.1\r\n\(head)[".utf8)).hasPrefix("HTTP/1.1 413"))
            #expect(await exchange(port, request("POST /v2/enqueue HTTP/1.1", "{}")).hasPrefix("HTTP/1.1 401"))
        }
    }

    @Test("bodies are counted as they come, not as they are announced", .timeLimit(.minutes(1))) func budget() async throws {
        let hub = FakeHub()
        try await serving(hub, bodyBytesMax: 4096, bodiesBytesMax: 4096, timeout: .seconds(2)) { port in
            let slow = "POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Length: 4095\r\n\r\n["
            async let waiting = exchange(port, Array(slow.utf8))
            for _ in 0..<20 {
                let answer = await exchange(port, request("POST /api/v2/alerts HTTP/1.1", #"[{"labels":{"a":"b"}}]"#))
                #expect(answer.hasPrefix("HTTP/1.1 200"))
            }
            _ = await waiting
        }
    }

    @Test("what is no HTTP ends the connection and harms nobody", .timeLimit(.minutes(1))) func garbage() async throws {
        try await serving(FakeHub()) { port in
            #expect(await exchange(port, [0x16, 0x03, 0x01, 0xFF, 0x0D, 0x0A, 0x0D, 0x0A]).hasPrefix("HTTP/1.1 400"))
            #expect(await exchange(port, request("GET /-/healthy HTTP/1.1")).hasPrefix("HTTP/1.1 200"))
        }
    }

    /// Goal: what is compressed is bounded by what it becomes. The bytes are `gzip` of `[]`.
    @Test("gzip is undone, within the bound") func gzip() throws {
        let brackets: [UInt8] = [31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 139, 142, 5, 0, 41, 187, 76, 13, 2, 0, 0, 0]
        #expect(try Inflate.bytes(brackets, limit: 2) == Array("[]".utf8))
        #expect(throws: Inflate.Problem.self) { () throws -> Void in _ = try Inflate.bytes(brackets, limit: 1) }
        #expect(throws: Inflate.Problem.self) { () throws -> Void in _ = try Inflate.bytes(Array(brackets.dropLast(9)), limit: 9)
        }
        #expect(throws: Inflate.Problem.self) { () throws -> Void in _ = try Inflate.bytes([1, 2, 3], limit: 9) }
    }
}
