import FoundationEssentials
import TestSupport
import Testing
import TocsinKit

@testable import TocsinResponse

@Suite("Notifications", .timeLimit(.minutes(1)))
struct NotifierTests {
    private func webhook(
        _ url: String, name: String = "ops", headers: [String: String] = [:], timeout: Duration = .seconds(5),
        attempts: Int = 4
    ) -> NotificationTarget {
        NotificationTarget(
            name: name, channel: .webhook(url: url, headers: headers), timeout: timeout, attempts: attempts,
            backoff: .milliseconds(1))
    }

    private func object(_ bytes: [UInt8]) throws -> Document {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Document.self, from: Data(bytes))
    }

    /// What a receiver reads.
    private struct Document: Decodable, Equatable {
        struct Incident: Decodable, Equatable {
            var number: UInt64
            var severity: String
            var priority: String
            var state: String
            var title: String
            var services: [String]
            var drill: Bool
            var detectedAt: UInt64?
            var resolvedAt: UInt64?
        }
        struct Entry: Decodable, Equatable {
            var actor: String
            var verb: String
        }
        var id: String
        var verb: String
        var incident: Incident
        var entry: Entry?
    }

    @Test("a webhook gets the change as JSON, with a key that stays the same")
    func webhookBody() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let server = try LoopbackServer { _, _ in .init(202) }
        defer { server.stop() }
        let response = try await responder(
            in: folder, hub: hub,
            notifications: [webhook(server.url + "/hook", headers: ["Authorization": "Bearer s3cret"])])
        let change = try change(labels: ["hostName": "h1", "team-name": "web"])
        try await response.notify(of: change, lease: longLease)
        let request = try #require(server.requests.first)
        #expect(server.requests.count == 1)
        #expect(request.method == "POST" && request.path == "/hook")
        #expect(request.headers["idempotency-key"] == "incident/42/1/ops")
        #expect(request.headers["content-type"] == "application/json")
        #expect(request.headers["authorization"] == "Bearer s3cret")
        let document = try object(request.body)
        #expect(document.id == "incident/42/1" && document.verb == "opened")
        #expect(
            document.incident
                == Document.Incident(
                    number: 42, severity: "critical", priority: "P1", state: "triaged", title: "Checkout is down",
                    services: ["checkout"], drill: false, detectedAt: 1_000, resolvedAt: nil))
        #expect(document.entry == Document.Entry(actor: "tocsin", verb: "opened"))
        let text = String(decoding: request.body, as: UTF8.self)
        #expect(text.contains("\"detected_at\":1000"))
        #expect(text.contains("\"labels\":{\"hostName\":\"h1\",\"team-name\":\"web\"}"), "labels keep their names")
        let report = try #require(try hub.reports().first)
        #expect(report.verb == "notified" && report.actor == "notify:ops")
        #expect(report.text == "told of \"opened\" at attempt 1: status 202")
        #expect(hub.messages.first?.subject == "response.notified.ops")
    }

    @Test("after 408, 429 and 5xx it is tried again, with the same key and body", arguments: [408, 429, 500, 503])
    func retries(status: Int) async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let server = try LoopbackServer { _, number in .init(number < 3 ? status : 200) }
        defer { server.stop() }
        let response = try await responder(in: folder, hub: hub, notifications: [webhook(server.url)])
        try await response.notify(of: change(), lease: longLease)
        #expect(server.requests.count == 3)
        #expect(Set(server.requests.map { $0.headers["idempotency-key"] }).count == 1)
        #expect(Set(server.requests.map(\.body)).count == 1)
        #expect(try hub.reports().map(\.text) == ["told of \"opened\" at attempt 3: status 200"])
    }

    @Test("what a receiver refuses is not sent again, and redirects are not followed", arguments: [400, 401, 404, 302])
    func refused(status: Int) async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let server = try LoopbackServer { request, _ in
            .init(request.path == "/other" ? 200 : status, headers: ["Location": "/other"])
        }
        defer { server.stop() }
        let response = try await responder(in: folder, hub: hub, notifications: [webhook(server.url + "/hook")])
        try await response.notify(of: change(), lease: longLease)
        #expect(server.requests.count == 1)
        #expect(try hub.verbs() == ["notification-failed"])
        #expect(try hub.reports().first?.text.contains("not tried again: status \(status)") == true)
    }

    @Test("attempts are bounded, also without a connection and without an answer, and the URL stays secret")
    func bounded() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let failing = try LoopbackServer { _, _ in .init(500) }
        let slow = try LoopbackServer { _, _ in .init(200, delayMs: 400) }
        defer {
            failing.stop()
            slow.stop()
        }
        let response = try await responder(
            in: folder, hub: hub,
            notifications: [
                webhook(failing.url, name: "failing", attempts: 3),
                webhook("http://127.0.0.1:1/token-s3cret", name: "closed", attempts: 2),
                webhook(slow.url + "/token-s3cret", name: "slow", timeout: .milliseconds(50), attempts: 2),
            ])
        try await response.notify(of: change(), lease: longLease)
        #expect(failing.requests.count == 3)
        let reports = try hub.reports()
        #expect(Set(reports.map(\.actor)) == ["notify:failing", "notify:closed", "notify:slow"])
        #expect(reports.allSatisfy { $0.verb == "notification-failed" && !$0.text.contains("s3cret") })
        #expect(
            reports.first { $0.actor == "notify:failing" }?.text.contains("in 3 attempts; the last: status 500") == true
        )
    }

    @Test("a command gets the change on standard input and in variables, and is tried again when it fails")
    func command() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let script = """
            cat > \(folder.path)/body; echo "$TOCSIN_INCIDENT $TOCSIN_SEVERITY $TOCSIN_NOTIFICATION" >> \(folder.path)/log
            [ -e \(folder.path)/again ] || { touch \(folder.path)/again; exit 1; }
            """
        let target = NotificationTarget(
            name: "ops", channel: .command(["/bin/sh", "-c", script]), backoff: .milliseconds(1))
        let response = try await responder(in: folder, hub: hub, notifications: [target])
        try await response.notify(of: change(), lease: longLease)
        #expect(try folder.read("log") == String(repeating: "42 critical incident/42/1/ops\n", count: 2))
        #expect(try object(Array(folder.read("body").utf8)).incident.number == 42)
        #expect(try hub.reports().first?.text.hasPrefix("told of \"opened\" at attempt 2: exit code 0") == true)
    }

    @Test("what was told is not told again after a redelivery or a restart, only reported again")
    func once() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let server = try LoopbackServer { request, _ in .init(request.path == "/bad" ? 404 : 200) }
        defer { server.stop() }
        let targets = [webhook(server.url + "/good"), webhook(server.url + "/bad", name: "bad")]
        hub.fail(times: 1_000)
        for round in 0..<3 {
            let response = try await responder(in: folder, hub: hub, notifications: targets)
            if round == 0 {
                await #expect(throws: FakeHub.Away.self) { try await response.notify(of: change(), lease: longLease) }
                hub.fail(times: 0)
            } else {
                try await response.notify(of: change(), lease: longLease)
            }
            try await response.close()
        }
        #expect(server.requests.count == 2)
        #expect(Set(try hub.verbs()) == ["notified", "notification-failed"])
    }

    @Test("no attempt begins that could outlive the lease")
    func shortLease() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let server = try LoopbackServer { _, _ in .init(200) }
        defer { server.stop() }
        let response = try await responder(in: folder, hub: hub, notifications: [webhook(server.url)])
        await #expect(throws: NotNow.self) {
            try await response.notify(of: change(), lease: Lease(end: .now + .seconds(15)))
        }
        #expect(server.requests.isEmpty && hub.messages.isEmpty)
    }

    @Test("waits double and end at 30 s")
    func backoff() {
        var target = webhook("http://x/")
        target.backoff = .seconds(4)
        #expect([1, 2, 3, 4, 50].map { target.wait(after: $0) } == [4, 8, 16, 30, 30].map { .seconds($0) })
        target.timeout = .seconds(1)
        target.attempts = 3
        #expect(target.longest == .seconds(3 * 3 + 4 + 8))
        target.attempts = 1
        #expect(target.longest == .seconds(3))
    }
}
