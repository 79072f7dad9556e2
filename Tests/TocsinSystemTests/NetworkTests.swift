import Glibc
import TestSupport
import Testing
import TocsinSystem

@Suite(.timeLimit(.minutes(3)))
struct NetworkTests {
    let pool = BlockingPool(threads: 4)

    @Test("method, headers and body go out; status and body come back")
    func exchange() async throws {
        let server = try LoopbackServer { _, _ in .init(201, body: "done") }
        defer { server.stop() }
        var request = HTTPRequest(url: server.url + "/hook?a=1", method: "POST", timeout: .seconds(5))
        request.headers = ["Content-Type": "application/json", "Idempotency-Key": "k-1"]
        request.body = Array("{\"a\":1}".utf8)
        let response = try await request.perform(on: pool)
        #expect(response.status == 201)
        #expect(response.body == Array("done".utf8))
        let seen = try #require(server.requests.first)
        #expect(seen.method == "POST")
        #expect(seen.path == "/hook?a=1")
        #expect(seen.headers["idempotency-key"] == "k-1")
        #expect(seen.body == Array("{\"a\":1}".utf8))
    }

    @Test("redirects are followed only where that is wanted, and never out of http")
    func redirects() async throws {
        let server = try LoopbackServer { request, _ in
            switch request.path {
            case "/file": .init(302, headers: ["Location": "file:///etc/passwd"])
            case "/away": .init(302, headers: ["Location": "/here"])
            default: .init(200, body: "here")
            }
        }
        defer { server.stop() }
        var request = HTTPRequest(url: server.url + "/away", timeout: .seconds(5))
        #expect(try await request.perform(on: pool).status == 200)
        request.followRedirects = false
        #expect(try await request.perform(on: pool).status == 302)
        let file = HTTPRequest(url: server.url + "/file", timeout: .seconds(5))
        await #expect(throws: HTTPError.self) { try await file.perform(on: pool) }
    }

    @Test("a body past the limit ends the transfer and is marked")
    func truncation() async throws {
        let server = try LoopbackServer { _, _ in .init(200, body: String(repeating: "x", count: 300_000)) }
        defer { server.stop() }
        let response = try await HTTPRequest(url: server.url, timeout: .seconds(5), bodyLimit: 1000).perform(on: pool)
        #expect(response.status == 200)
        #expect(response.body.count == 1000)
        #expect(response.bodyTruncated)
    }

    @Test("silence ends with the timeout, and earlier with cancellation")
    func silence() async throws {
        let server = try LoopbackServer { _, _ in .init(200, delayMs: 1500) }
        defer { server.stop() }
        let request = HTTPRequest(url: server.url, timeout: .milliseconds(200))
        await #expect(throws: HTTPError.self) { try await request.perform(on: pool) }
        let patient = HTTPRequest(url: server.url, timeout: .seconds(30))
        let task = Task { try await patient.perform(on: pool) }
        try await Task.sleep(for: .milliseconds(50))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test("a header with a line break is refused, not smuggled")
    func injection() async throws {
        let request = HTTPRequest(url: "http://127.0.0.1:1", headers: ["A": "b\r\nC: d"], timeout: .seconds(1))
        let error = await #expect(throws: HTTPError.self) { try await request.perform(on: pool) }
        #expect(error?.description.contains("control character") == true)
    }

    @Test("a port that listens connects; one that does not says refused")
    func connect() async throws {
        let (descriptor, port) = try LoopbackServer.listen()
        let latency = try await TCPConnection.attempt(host: "localhost", port: port, timeout: .seconds(5), pool: pool)
        #expect(latency < .seconds(5))
        close(descriptor)
        let (deaf, refusing) = try LoopbackServer.listen(isListening: false)
        defer { close(deaf) }
        let error = await #expect(throws: TCPError.self) {
            try await TCPConnection.attempt(host: "127.0.0.1", port: refusing, timeout: .seconds(5), pool: pool)
        }
        #expect(error?.description.contains("refused") == true)
    }
}
