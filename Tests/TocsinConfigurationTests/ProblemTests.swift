import Testing

@testable import TocsinConfiguration

@Suite("What is wrong with a configuration is said exactly")
struct ProblemTests {
    /// The sentences about `text`, without the file's name.
    private func problems(
        _ text: String, overrides: [String: Override] = [:], sourceLocation: SourceLocation = #_sourceLocation
    ) -> [String] {
        do throws(ConfigurationError) {
            _ = try ConfigurationLoader.parse(
                text, file: "t.yaml", path: "/etc/tocsin/t.yaml", overrides: overrides, workingFolder: "/work folder")
            return []
        } catch {
            return error.problems.map(\.description)
        }
    }

    @Test("an unknown key is refused at its place, with the key that was meant")
    func unknownKey() {
        #expect(
            problems("hub:\n  heartbeet: 2s\n") == [
                "t.yaml:2:3: unknown key \"heartbeet\" in hub; did you mean \"heartbeat\"?"
            ])
    }

    @Test("an unknown key that is like none gets the list of keys")
    func unlikeKey() {
        #expect(
            problems("log:\n  zzzzzz: 1\n") == [
                "t.yaml:2:3: unknown key \"zzzzzz\" in log; the keys here are level, format"
            ])
    }

    @Test("a wrong type is refused with what was expected and what was found")
    func wrongTypes() {
        #expect(
            problems("hub:\n  heartbeat: 10\n") == [
                "t.yaml:2:14: hub.heartbeat: expected a duration of at least 100ms, such as 10s or 5m, found \"10\""
            ])
        #expect(
            problems("hub:\n  heartbeat: [2s]\n") == [
                "t.yaml:2:14: hub.heartbeat: expected a duration of at least 100ms, such as 10s or 5m, found a list"
            ])
        #expect(
            problems("hub: tcp://127.0.0.1:7117\n") == [
                "t.yaml:1:6: hub: expected keys and values, found \"tcp://127.0.0.1:7117\""
            ])
        #expect(
            problems("policy:\n  rules:\n    name: r\n") == [
                "t.yaml:3:5: policy.rules: expected a list, found a mapping; begin each element with \"- \""
            ])
    }

    @Test("a wrong word gets the word that was meant")
    func wrongWord() {
        #expect(
            problems("log:\n  level: inof\n") == [
                "t.yaml:2:10: log.level: expected one of trace, debug, info, notice, warning, error, critical, found "
                    + "\"inof\"; did you mean \"info\"?"
            ])
    }

    @Test("a missing key is reported at the section that lacks it")
    func missingKey() {
        #expect(
            problems("detectors:\n  - name: d\n    checks:\n      - name: c\n        tcp: {port: 80}\n") == [
                "t.yaml:4:9: detectors[0].checks[0]: \"service\" is missing; expected a text that is not empty"
            ])
    }

    @Test("all problems are reported at once, in the order of the file")
    func allAtOnce() {
        let found = problems("log: {level: loud}\nhub:\n  aging: x\nextra: 1\n")
        #expect(found.count == 3)
        #expect(found.map { $0.prefix(8) } == ["t.yaml:1", "t.yaml:3", "t.yaml:4"])
    }

    @Test("a flood of problems is shown in part and counted in full")
    func flood() throws {
        let text = (0..<100).map { "key\($0): 1\n" }.joined()
        let error = try #require(throws: ConfigurationError.self) {
            try ConfigurationLoader.parse(text, file: "t.yaml", path: nil, workingFolder: "/")
        }
        #expect(error.problems.count == 100)
        let lines = error.description.split(separator: "\n")
        #expect(lines.count == 21)
        #expect(lines.last == "and 80 more")
    }

    @Test("what is not YAML is reported with line and column")
    func notYAML() {
        let found = problems("hub:\n  heartbeat: [1,\nlog: {}\n")
        #expect(found.count == 1)
        let expected = "t.yaml:4:1: not valid YAML: while parsing a flow sequence that began in line 2"
        #expect(found.first?.hasPrefix(expected) == true)
    }

    @Test("a tab where spaces are needed is named")
    func tab() {
        let found = problems("hub:\n\theartbeat: 2s\n")
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("t.yaml:2:1: not valid YAML: ") == true)
        #expect(found.first?.hasSuffix("; indent with spaces, not with tabs") == true)
    }

    @Test("a key given twice is refused")
    func twice() {
        #expect(
            problems("log:\n  level: info\n  level: debug\n").map { $0.replacing(/:\d+:\d+/, with: "") } == [
                "t.yaml: the key \"level\" is there more than once; keep one"
            ])
    }

    @Test("what flags and environment say is checked like the file, and named")
    func overrides() {
        #expect(
            problems("", overrides: ["log.level": Override("loud", from: .environment("TOCSIN_LOG"))]).first?
                .hasPrefix("TOCSIN_LOG: log.level: expected one of trace") == true)
        #expect(
            problems("", overrides: ["endpoint": Override("127.0.0.1:7117", from: .flag("--endpoint"))]) == [
                "--endpoint: endpoint: expected a ZeroMQ endpoint such as tcp://127.0.0.1:7117 or "
                    + "ipc:///run/tocsin/hub, found \"127.0.0.1:7117\""
            ])
    }

    @Test("exactly one kind is needed for a check")
    func oneKind() {
        #expect(
            problems(
                """
                detectors:
                  - name: d
                    checks:
                      - {name: c, service: s, tcp: {port: 1}, http: {url: "http://h"}}
                """)
                == [
                    "t.yaml:4:9: detectors[0].checks[0]: give exactly one of http, tcp, dns, ping, command, process, unit, file, host, "
                        + "metrics, log, heartbeat; 2 are given"
                ])
    }

    @Test("what a role finds wrong with its configuration is reported at the place")
    func rolesAreAsked() {
        let found = problems(
            """
            detectors:
              - name: d
                checks:
                  - {name: c, service: s, http: {url: "ftp://h"}}
            policy:
              rules:
                - {name: r, match: {summary_matches: "("}}
            responders:
              visibility: 30s
              runbooks:
                - name: slow
                  steps: [{name: s, command: [sleep, "60"], timeout: 60s}]
            """)
        #expect(found.count == 3)
        #expect(found.first?.hasPrefix("t.yaml:4:9: detectors[0].checks[0]: check \"c\": \"ftp://h\" is not") == true)
        #expect(found.dropFirst().first?.hasPrefix("t.yaml:7:7: policy.rules[0]: triage rule \"r\":") == true)
        #expect(found.last?.contains("runbook \"slow\"") == true)
    }

    @Test("pools keep the filters that their roles need, and may change their limits")
    func pools() throws {
        #expect(
            problems("hub:\n  pools:\n    - {name: triage, filters: [x.>]}\n") == [
                "t.yaml:3:31: hub.pools[0].filters: those of the pool \"triage\" are given by its role; leave them out"
            ])
        #expect(problems("hub:\n  pools:\n    - {name: mine}\n").count == 1)
        #expect(problems("hub:\n  pools:\n    - {name: a b, filters: [x]}\n").count == 1)
    }

    @Test("a file that is not there, where one was named, is a problem")
    func missingFile() {
        #expect(throws: ConfigurationError.self) {
            try ConfigurationLoader.load(file: "/nonexistent/tocsin.yaml")
        }
    }

    @Test("a gateway that other machines reach has TLS and knows its clients, unless it is asked for by name otherwise")
    func openGateway() throws {
        let open = problems("gateway: {listen: 0.0.0.0:7118}\n")
        #expect(open.count == 2)
        #expect(open.contains { $0.contains("allow_plaintext: true") } && open.contains { $0.contains("allow_anyone: true") })
        #expect(problems("gateway: {listen: 0.0.0.0:7118, allow_plaintext: true, allow_anyone: true}\n") == [])
        let useless = problems("gateway: {clients: [{name: a, token_sha256: \(String(repeating: "0a", count: 32))}]}\n")
        #expect(useless.count == 1 && useless[0].contains("neither a role nor rules"))
        let wrong = problems("gateway: {clients: [{name: a, certificate: a, role: sensro, publish: [a..b]}]}\n")
        #expect(wrong.contains { $0.contains("did you mean \"sensor\"") } && wrong.contains { $0.contains("publish[0]") })
    }
}
