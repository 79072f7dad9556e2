import Synchronization
import TestSupport
import Testing
import TocsinKit
import TocsinProto

@Suite("Calls through the hub", .timeLimit(.minutes(3))) struct CallTests {
    /// Any message serves; this one has a text.
    private func text(_ text: String) -> Tocsin_V1_Gap { .with { $0.reason = text } }

    private func code(_ client: Client, _ method: String, timeout: Duration = .seconds(20)) async -> UInt32? {
        do {
            let _: Tocsin_V1_Gap = try await client.call(method, text("?"), timeout: timeout)
            return 0
        } catch ClientError.call(let code, _) {
            return code
        } catch {
            Issue.record(error)
            return nil
        }
    }

    @Test("a call reaches the worker that serves it with its metadata; the answer or the failure comes back")
    func unary() async throws {
        let world = try await World()
        let server = try await world.client("server")
        try await server.serve("test.Echo") { call in
            if call.method == "test.Echo/Fail" { throw CallFailure(code: 9, message: "not in this state") }
            let request = try Tocsin_V1_Gap(serializedBytes: call.request)
            return try Tocsin_V1_Gap.with { $0.reason = "\(request.reason) \(call.metadata["who"] ?? "")" }.serializedBytes()
        }
        let caller = try await world.client("caller")
        let answers = try await withThrowingTaskGroup(of: String.self) { group in
            for number in 0..<100 {
                group.addTask {
                    let answer: Tocsin_V1_Gap = try await caller.call(
                        "test.Echo/Say", self.text("\(number)"), metadata: ["who": "me"])
                    return answer.reason
                }
            }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(answers == Set((0..<100).map { "\($0) me" }))
        let error = await #expect(throws: ClientError.self) {
            let _: Tocsin_V1_Gap = try await caller.call("test.Echo/Fail", self.text(""))
        }
        #expect(error?.description == "not in this state (code 9)")
        await caller.close()
        await server.close()
        try await world.stop()
    }

    @Test("nobody serves it: UNIMPLEMENTED; past its deadline: DEADLINE_EXCEEDED, and the handler is cancelled")
    func late() async throws {
        let world = try await World()
        let caller = try await world.client("caller")
        #expect(await code(caller, "test.Nobody/Here") == 12)
        let server = try await world.client("server")
        let cancelled = Mutex(false)
        try await server.serve("test.Slow") { _ in
            do {
                try await Task.sleep(for: .seconds(600))
            } catch {
                cancelled.withLock { $0 = true }
                throw error
            }
            return []
        }
        #expect(await code(caller, "test.Slow/Wait", timeout: .milliseconds(100)) == 4)
        #expect(await eventually(seconds: 20) { cancelled.withLock { $0 } })
        await caller.close()
        await server.close()
        try await world.stop()
    }

    @Test("a server that goes ends its calls as UNAVAILABLE; of an exclusive service the one standing by takes over")
    func serverGone() async throws {
        let world = try await World()
        let caller = try await world.client("caller")
        let arrived = Mutex(0)
        var servers: [Client] = []
        for name in ["first", "second"] {
            let server = try await world.client(name)
            try await server.serve("test.One", exclusive: true) { call in
                if call.method == "test.One/Hang" {
                    arrived.withLock { $0 += 1 }
                    try await Task.sleep(for: .seconds(600))
                }
                return try Tocsin_V1_Gap.with { $0.reason = name }.serializedBytes()
            }
            servers.append(server)
        }
        let before: Tocsin_V1_Gap = try await caller.call("test.One/Name", text(""))
        #expect(before.reason == "first")
        let hanging = Task { await code(caller, "test.One/Hang") }
        #expect(await eventually(seconds: 20) { arrived.withLock { $0 } == 1 })
        await servers[0].close()
        #expect(await hanging.value == 14)
        let after: Tocsin_V1_Gap = try await caller.call("test.One/Name", text(""))
        #expect(after.reason == "second")
        await servers[1].close()
        await caller.close()
        try await world.stop()
    }
}
