import Glibc
import TestSupport
import Testing
import TocsinPosix
import TocsinSystem

@testable import TocsinDetection

/// Goal: each probe tells well from not well and says why. Method: real servers, ports, commands and the machine's own numbers.
@Suite("Probes", .timeLimit(.minutes(1)))
struct ProbeTests {
    private let pool = BlockingPool(threads: 4)

    // MARK: HTTP

    private func http(_ check: HTTPCheck, timeout: Duration = .seconds(5)) async throws -> Observation {
        let seen = try await HTTPProber(check: check, severity: "critical", timeout: timeout, pool: pool).probe()
        #expect(seen.count == 1)
        return seen[0]
    }

    @Test("a server that answers as expected is well; a wrong status or body is not")
    func httpAnswers() async throws {
        let server = try LoopbackServer { request, _ in
            switch request.path {
            case "/well": .init(200, body: "all is well")
            case "/moved": .init(302, headers: ["Location": "/well"])
            default: .init(503, body: "overloaded")
            }
        }
        defer { server.stop() }
        let well = try await http(HTTPCheck(url: server.url + "/well", expectBody: "is well", headers: ["X-A": "b"]))
        #expect(well.healthy)
        #expect(well.details["status"] == "200" && well.details["latency_ms"] != nil)
        #expect(server.requests.first?.headers["x-a"] == "b")

        let status = try await http(HTTPCheck(url: server.url + "/other"))
        #expect(!status.healthy && status.severity == "critical")
        #expect(status.summary == "\(server.url)/other answers with status 503")
        #expect(status.details["output"] == "overloaded")
        #expect(try await http(HTTPCheck(url: server.url + "/other", expectStatus: [200...299, 503...503])).healthy)

        let body = try await http(HTTPCheck(url: server.url + "/well", expectBody: "is fine"))
        #expect(!body.healthy && body.summary.hasSuffix("answers 200, but without \"is fine\" in its body"))

        #expect(try await http(HTTPCheck(url: server.url + "/moved")).healthy)
        #expect(try await !http(HTTPCheck(url: server.url + "/moved", followRedirects: false)).healthy)
    }

    @Test("a server that is down, or silent for too long, is not well")
    func httpSilence() async throws {
        let server = try LoopbackServer { _, _ in .init(200, delayMs: 1000) }
        let slow = try await http(HTTPCheck(url: server.url), timeout: .milliseconds(150))
        #expect(!slow.healthy && slow.details["status"] == "no answer")
        #expect(slow.summary.contains("timed out"))
        let (descriptor, port) = try LoopbackServer.listen(isListening: false)
        defer { close(descriptor) }
        let down = try await http(HTTPCheck(url: "http://127.0.0.1:\(port)/"))
        #expect(!down.healthy && down.summary.hasPrefix("http://127.0.0.1:\(port)/: "))
        server.stop()
    }

    @Test("user, password and query of a URL appear in no event")
    func secrets() async throws {
        let server = try LoopbackServer { _, _ in .init(500) }
        defer { server.stop() }
        let url = "http://anna:s3cret@127.0.0.1:\(server.port)/a?token=t0ken#x"
        let seen = try await http(HTTPCheck(url: url))
        #expect(seen.details["url"] == "http://127.0.0.1:\(server.port)/a")
        let text = "\(seen)"
        #expect(!text.contains("s3cret") && !text.contains("t0ken") && !text.contains("anna"))
        #expect(HTTPProber.withoutSecrets("https://a@b@c?x") == "https://c")
        #expect(HTTPProber.withoutSecrets("nonsense") == "nonsense")
    }

    // MARK: TCP

    @Test("a port that listens is well; one that does not is not")
    func tcp() async throws {
        let (descriptor, port) = try LoopbackServer.listen()
        let (deaf, refusing) = try LoopbackServer.listen(isListening: false)
        defer {
            close(descriptor)
            close(deaf)
        }
        func look(_ port: Int) async throws -> Observation {
            let prober = TCPProber(
                check: TCPCheck(host: "127.0.0.1", port: port), severity: "major", timeout: .seconds(5), pool: pool)
            return try await prober.probe()[0]
        }
        let well = try await look(port)
        #expect(well.healthy && well.summary == "127.0.0.1:\(port) accepts connections")
        let down = try await look(refusing)
        #expect(!down.healthy && down.severity == "major" && down.summary.contains("refused"))
    }

    // MARK: Commands

    private func command(
        _ script: String, timeout: Duration = .seconds(10), environment: [String: String] = [:]
    ) async throws -> Observation {
        let prober = CommandProber(
            check: CommandCheck(argv: ["sh", "-c", script, "secret-argument"], environment: environment),
            severity: "critical", timeout: timeout, pool: pool)
        return try await prober.probe()[0]
    }

    @Test(
        "exit codes mean what they mean to Nagios",
        arguments: [
            (0, "OK", true, "critical"), (1, "WARNING", false, "minor"), (2, "CRITICAL", false, "critical"),
            (3, "UNKNOWN", false, "major"), (127, "UNKNOWN", false, "major"),
        ])
    func exitCodes(code: Int, status: String, healthy: Bool, severity: String) async throws {
        let seen = try await command("echo \"DISK - /var at $LEVEL|/var=91%;90;95\"; exit \(code)", environment: ["LEVEL": "91%"])
        #expect(seen.healthy == healthy && seen.severity == severity)
        #expect(seen.summary == "DISK - /var at 91%")
        #expect(seen.details["status"] == status && seen.details["exit"] == "exit code \(code)")
        #expect(seen.details["perfdata"] == "/var=91%;90;95")
        #expect(!"\(seen)".contains("secret-argument"))
    }

    @Test("a command that is too slow, killed, missing or mute is UNKNOWN and says so")
    func commandTrouble() async throws {
        let slow = try await command("echo started; sleep 30", timeout: .milliseconds(200))
        #expect(!slow.healthy && slow.details["status"] == "UNKNOWN" && slow.summary.hasPrefix("sh timed out after"))
        let killed = try await command("kill -9 $$")
        #expect(killed.details["status"] == "UNKNOWN" && killed.summary == "sh: killed by signal 9")
        let mute = try await command("exit 2")
        #expect(mute.details["status"] == "CRITICAL" && mute.summary == "sh: exit code 2")
        let onlyErrors = try await command("echo 'no such thing' >&2; exit 2")
        #expect(onlyErrors.summary == "no such thing")
        let missing = CommandProber(
            check: CommandCheck(argv: ["no-such-plugin-here"]), severity: "critical", timeout: .seconds(1), pool: pool)
        let seen = try await missing.probe()[0]
        #expect(!seen.healthy && seen.severity == "major" && seen.summary.contains("no-such-plugin-here"))
    }

    // MARK: Host

    private static let stat = """
        cpu  100 0 100 700 100 0 0 0 50 0
        cpu0 100 0 100 700 100 0 0 0 50 0
        """

    @Test("CPU use is what was not idle between two looks")
    func cpu() throws {
        let first = try #require(CPUTimes(stat: Self.stat))
        #expect(first.total == 1000 && first.idle == 800)
        let second = try #require(CPUTimes(stat: "cpu 160 0 120 700 120 0 0 0 90 0\n"))
        #expect(second.busy(since: first) == 80)
        #expect(first.busy(since: first) == nil && first.busy(since: second) == nil)
        for text in ["", "cpu", "cpu 1 2 3", "cpu0 1 2 3 4", "cpu a b c d", "cpu -1 2 3 4"] {
            #expect(CPUTimes(stat: text) == nil, "\(text)")
        }
    }

    @Test("memory and load are read from the kernel's texts, and nonsense is not a number")
    func texts() throws {
        let memory = HostMetrics.memoryUsed(meminfo: "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n")
        #expect(memory == 75)
        #expect(HostMetrics.memoryUsed(meminfo: "MemTotal: 1000 kB\n") == nil)
        #expect(HostMetrics.memoryUsed(meminfo: "MemTotal: 0 kB\nMemAvailable: 0 kB\n") == nil)
        #expect(HostMetrics.memoryUsed(meminfo: "MemTotal: nan kB\nMemAvailable: inf kB\n") == nil)
        #expect(HostMetrics.load(loadavg: "3.25 2.0 1.0 1/100 4242\n") == 3.25)
        #expect(HostMetrics.load(loadavg: "inf 1 1") == nil && HostMetrics.load(loadavg: "") == nil)
    }

    @Test("each limit of a host is a condition of its own")
    func host() async throws {
        let folder = try TemporaryFolder()
        func write(_ name: String, _ text: String) throws {
            try WholeFile.replace("\(folder.path)/\(name)", with: Array(text.utf8))
        }
        try write("stat", Self.stat)
        try write("meminfo", "MemTotal: 1000 kB\nMemAvailable: 250 kB\n")
        try write("loadavg", "3.25 2.0 1.0 1/100 4242\n")
        let check = HostCheck(cpuAbove: 50, memoryAbove: 80, diskAbove: 100, diskPaths: ["/", "/no/such"], loadAbove: 3)
        var prober = HostProber(check: check, severity: "major", pool: pool, proc: folder.path)
        let first = try await prober.probe()
        #expect(first.map(\.aspect) == ["memory", "load", "disk:/", "disk:/no/such"], "CPU use needs two looks")
        #expect(first.map(\.healthy) == [true, false, true, false])
        #expect(first[1].summary == "The load average is 3.3, the limit is 3.0")
        #expect(first[3].summary.contains("/no/such"))

        try write("stat", "cpu 160 0 120 700 120 0 0 0 90 0\n")
        let cpu = try await prober.probe()[0]
        #expect(cpu.aspect == "cpu" && !cpu.healthy && cpu.summary == "CPU use is 80.0%, the limit is 50.0%")

        try write("meminfo", "nothing")
        let unknown = try await prober.probe().first { $0.aspect == "memory" }
        #expect(unknown?.healthy == false && unknown?.summary == "Memory use is unknown, the limit is 80.0%")
    }

    @Test("on this machine, limits that nothing can keep all fire")
    func thisHost() async throws {
        let check = HostCheck(cpuAbove: -1, memoryAbove: 0, diskAbove: -1, loadAbove: -1)
        var prober = HostProber(check: check, severity: "major", pool: pool)
        _ = try await prober.probe()
        // The counters have moved on once the kernel's tick has.
        let fired = try await eventually {
            let seen = try await prober.probe()
            return seen.map(\.aspect) == ["cpu", "memory", "load", "disk:/"] && seen.allSatisfy { !$0.healthy }
        }
        #expect(fired)
    }
}
