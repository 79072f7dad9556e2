import Foundation
import Glibc
import Testing

/// Goal: whatever is wrong is said in one message that names it and what to do, with the documented exit code.
@Suite("What cannot work is said clearly", .timeLimit(.minutes(2)))
struct RefusalTests {
    @Test("a wrong configuration: every problem with file, line and column, for each command that reads it")
    func configuration() async throws {
        try await Workplace.with { place async throws in
            try place.write("hub:\n  hartbeat: 2s\ndetectors:\n  - name: d\n    checks: none\n")
            let expected = """
                tocsin: the configuration has 2 problems:
                tocsin.yaml:2:3: unknown key "hartbeat" in hub; did you mean "heartbeat"?
                tocsin.yaml:5:13: detectors[0].checks: expected a list, found "none"; begin each element with "- "

                """
            for command in [["config", "check"], ["up"], ["hub"], ["list"]] {
                let outcome =
                    command.count == 2 ? try await place.run(command[0], command[1]) : try await place.run(command[0])
                #expect(outcome.code == 78)
                #expect(outcome.errors == expected)
                #expect(outcome.output.isEmpty)
            }
        }
    }

    @Test("a configuration file that is named and not there")
    func missingFile() async throws {
        try await Workplace.with { place async throws in
            let outcome = try await place.run("config", "check", "--config", "nowhere.yaml")
            #expect(outcome.code == 78)
            #expect(
                outcome.errors
                    == "tocsin: the configuration has a problem:\nnowhere.yaml: cannot be read: No such file or directory\n"
            )
        }
    }

    @Test("flags win over the environment, and both are named")
    func precedence() async throws {
        try await Workplace.with { place async throws in
            try place.write("log: {level: error}\n")
            let outcome = try await place.run(
                "config", "show", "--changed", "--log-level", "debug", "--output", "json",
                environment: ["TOCSIN_LOG": "trace", "TOCSIN_DATA": "elsewhere"])
            let settings = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [[String: String]]
            #expect(
                settings == [
                    ["key": "data", "value": "\(place.folder)/elsewhere", "source": "TOCSIN_DATA"],
                    ["key": "endpoint", "value": place.endpoint, "source": "TOCSIN_ENDPOINT"],
                    ["key": "log.level", "value": "debug", "source": "--log-level"],
                    ["key": "hub.allow_plain_tcp", "value": "true", "source": "TOCSIN_ALLOW_PLAIN_TCP"],
                ])
        }
    }

    @Test("a hub that is away: where it was looked for and what to do", arguments: ["list", "status", "dlq", "watch"])
    func hubAway(command: String) async throws {
        try await Workplace.with { place async throws in
            let outcome = try await place.run(command, "--timeout", "200ms")
            #expect(outcome.code == 69)
            #expect(outcome.output.isEmpty)
            #expect(
                outcome.errors
                    == "tocsin: no hub answers at \(place.endpoint) (waited 200ms); start one with `tocsin up`, or say "
                    + "where it is with --endpoint or TOCSIN_ENDPOINT\n")
        }
    }

    @Test("a hub without an archiver: the report is safe, and asking says who is missing")
    func archiverAway() async throws {
        try await Workplace.with { place async throws in
            let hub = try place.start("hub")
            try await wait(until: "the hub is ready") { hub.errors.contains("the hub is ready") }
            let report = try await place.run("report", "Something", "--service", "s", "--timeout", "1s")
            #expect(report.code == 0)
            #expect(report.output.hasPrefix("reported as event "))
            #expect(report.errors.contains("the report is safe"))
            let list = try await place.run("list", "--timeout", "300ms")
            #expect(list.code == 69)
            #expect(list.errors.contains("start one with `tocsin archiver`"))
        }
    }

    @Test("a port that is taken", arguments: ["hub", "up"])
    func portTaken(command: String) async throws {
        try await Workplace.with { place async throws in
            let listener = try Listener(port: place.port)
            defer { listener.close() }
            let outcome = try await place.run(command)
            #expect(outcome.code == 73)
            #expect(outcome.errors.contains("tocsin: cannot bind \(place.endpoint): the address is in use"))
        }
    }

    @Test("a data folder that is in use")
    func folderInUse() async throws {
        try await Workplace.with { place async throws in
            let up = try place.start("up")
            try await wait(until: "the first is ready") { up.errors.contains("everything is ready") }
            let elsewhere = "tcp://127.0.0.1:\(try FreePort.any())"
            let second = try await place.run("up", endpoint: elsewhere)
            #expect(second.code == 73)
            #expect(
                second.errors
                    == "tocsin: the data folder \(place.folder)/tocsin-data is in use by another `tocsin up` (process "
                    + "\(up.pid)); stop that, or give another folder with --data\n")
            let hub = try await place.run("hub", endpoint: elsewhere)
            #expect(hub.code == 73)
            #expect(
                hub.errors.hasSuffix("is in use by another hub; stop that one, or give this one a folder of its own\n"))
        }
    }

    @Test("a command line that is not understood")
    func usage() async throws {
        try await Workplace.with { place async throws in
            #expect(try await place.run("lst").code == 64)
            #expect(try await place.run("show", "none").code == 64)
            #expect(try await place.run("report", "x").code == 64)
            #expect(try await place.run("report", " ", "--service", "s").code == 64)
            #expect(try await place.run("list", "--limit", "0").code == 64)
            #expect(try await place.run("detector", "--name", "nosuch").code == 64)
        }
    }

    @Test(
        "a resolution that is not understood is refused before a hub is looked for",
        arguments: [
            (["--cause"], "--cause"), (["--cause", " "], "leave --cause out"), (["--cause", ""], "leave --cause out"),
            (["a bad deployment"], "a bad deployment"), (["--cause", "a", "bad deployment"], "bad deployment"),
        ])
    func resolve(arguments: [String], named: String) async throws {
        try await Workplace.with { place async throws in
            // There is no hub: with good arguments this is what is said.
            let good = try await place.run(["resolve", "1", "--cause", "a bad deployment", "--timeout", "100ms"])
            #expect(good.code == 69)
            let outcome = try await place.run(["resolve", "1"] + arguments)
            #expect(outcome.code == 64 && outcome.output.isEmpty, "\(outcome)")
            #expect(outcome.errors.contains(named) && outcome.errors.contains("Usage: tocsin resolve"), "\(outcome.errors)")
        }
    }

    @Test("version, help and exit codes need nothing")
    func help() async throws {
        try await Workplace.with { place async throws in
            #expect(try await place.run("--version").output == "0.1.0\n")
            #expect(try await place.run("--help").output.contains("tocsin exit-codes"))
            #expect(try await place.run("help", "exit-codes").output.contains("69  The hub"))
            #expect(try await place.run("exit-codes").output.contains("  78  The configuration is wrong"))
            #expect(try await place.run("config", "explain", "hub.").output.hasPrefix("hub.endpoints"))
        }
    }

    @Test("the first signal stops a hub in order")
    func stop() async throws {
        try await Workplace.with { place async throws in
            let hub = try place.start("hub")
            try await wait(until: "the hub is ready") { hub.errors.contains("the hub is ready") }
            hub.signal(SIGTERM)
            #expect(try await hub.exitCode() == 0)
            #expect(hub.errors.contains("the hub has stopped"))
        }
    }
}
