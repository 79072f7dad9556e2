import Foundation
import Testing

/// Goal: a person makes keys, hands them out, changes and takes them back, with a hub that runs; and no secret is shown.
@Suite("Keys from the command line", .timeLimit(.minutes(3))) struct KeyCommandTests {
    private func mode(_ path: String) throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    /// The secret of a key file.
    private func secret(_ path: String) throws -> String {
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("secret_key: ") })
        return String(line.dropFirst("secret_key: ".count))
    }

    /// A command on this machine, as its user: nothing in the environment says where the hub is.
    private func run(_ place: Workplace, _ arguments: String...) async throws -> Workplace.Outcome {
        try await place.run(arguments, endpoint: "", environment: ["TOCSIN_ALLOW_PLAIN_TCP": "false"])
    }

    @Test("from init to revoke: each step does what it says, where the hub runs meanwhile")
    func life() async throws {
        try await Workplace.with { place async throws in
            let made = try await run(place, "init", "--listen", place.endpoint, "--operator", "alice")
            #expect(made.code == 0, "\(made.errors)")
            for file in ["alice.key", "tocsin-data/keys/hub.key"] { #expect(try mode("\(place.folder)/\(file)") == 0o600) }
            let again = try await run(place, "init")
            #expect(again.code == 73 || again.code == 1, "\(again.errors)")

            let hub = try place.start("hub", endpoint: "")
            try await wait(until: "the hub is ready") { hub.errors.contains("the hub is ready") }
            let new = try await run(place, "keys", "new", "web-1", "--role", "sensor")
            #expect(new.code == 0 && new.output.contains("web-1.key"))
            #expect(try await run(place, "keys", "new", "web-1", "--role", "sensor").code == 1)
            #expect(try await run(place, "keys", "new", "web-2").code == 64)
            #expect(try await run(place, "keys", "new", "..", "--role", "sensor").code == 73)
            let report = try await run(place, "report", "x", "--service", "s", "--identity", "web-1.key", "--no-wait")
            #expect(report.code == 0, "\(report.errors)")
            let status = try await run(place, "hub", "status", "--identity", "web-1.key")
            #expect(status.code == 1 && status.errors.contains("web-1 may not call tocsin.v1.BrokerAdmin/GetStatus"))

            // The pair is made elsewhere, and only its public half comes here.
            let list = try await run(place, "keys", "list", "--output", "json").json()
            let hubKey = try #require(list["hub_public_key"] as? String)
            let pair = try await run(
                place, "keys", "new", "carol", "--role", "operator", "--hub", place.endpoint, "--hub-key", hubKey)
            let words = pair.output.split(separator: "'")
            #expect(pair.output.hasPrefix("tocsin keys authorize carol ") && words.count == 3)
            #expect(try await run(place, "hub", "status", "--identity", "carol.key").code == 77)
            #expect(try await run(place, "keys", "authorize", "carol", String(words[1]), "--role", "operator").code == 0)
            let seen = try await run(place, "hub", "status", "--identity", "carol.key")
            #expect(
                seen.code == 0 && seen.output.contains("turned away: UNKNOWN_KEY") && seen.output.contains("may not: web-1 1"))

            // The old key is let in beside the new one for as long as was said.
            try FileManager.default.moveItem(atPath: "\(place.folder)/web-1.key", toPath: "\(place.folder)/old.key")
            #expect(try await run(place, "keys", "rotate", "web-1", "--grace", "1h").code == 0)
            for file in ["old.key", "web-1.key"] {
                let code = try await run(place, "report", "x", "--service", "s", "--identity", file, "--no-wait").code
                #expect(code == 0, "\(file)")
            }
            try FileManager.default.moveItem(atPath: "\(place.folder)/web-1.key", toPath: "\(place.folder)/second.key")
            #expect(try await run(place, "keys", "rotate", "web-1", "--grace", "0s").code == 0)
            try await wait(until: "the second key is not let in any more") {
                try await run(place, "report", "x", "--service", "s", "--identity", "second.key", "--no-wait").code == 77
            }
            #expect(try await run(place, "keys", "revoke", "web-1").code == 0)
            #expect(try await run(place, "keys", "revoke", "web-1").code == 73)
            try await wait(until: "the revoked key is not let in any more") {
                try await run(place, "report", "x", "--service", "s", "--identity", "web-1.key", "--no-wait").code == 77
            }
            let names = try #require(try await run(place, "keys", "list", "--output", "json").json()["keys"] as? [[String: Any]])
            #expect(names.compactMap { $0["name"] as? String } == ["alice", "carol"])

            // What was shown, logged and listed has no secret in it; nor have the arguments of any process.
            let secrets = try ["alice.key", "web-1.key", "old.key", "carol.key", "tocsin-data/keys/hub.key"].map {
                try secret("\(place.folder)/\($0)").trimmingCharacters(in: ["'"])
            }
            var shown: [String] = [made, new, pair, seen].map { $0.output + $0.errors }
            shown += [hub.output, hub.errors]
            shown.append(try await run(place, "config", "show", "--secrets", "--identity", "alice.key").output)
            shown += place.processes().map(\.arguments)
            for secret in secrets { #expect(!shown.contains { $0.contains(secret) }) }
        }
    }

    @Test("a key file that others can read, or that is none, is refused with what to do")
    func files() async throws {
        try await Workplace.with { place async throws in
            _ = try await run(place, "init", "--listen", place.endpoint, "--operator", "alice")
            #expect(chmod("\(place.folder)/alice.key", 0o644) == 0)
            let open = try await run(place, "list", "--identity", "alice.key")
            #expect(open.code == 78 && open.errors.contains("chmod 600"), "\(open.errors)")
            try place.write("name: x\nname: y\n", to: "bad.key")
            #expect(chmod("\(place.folder)/bad.key", 0o600) == 0)
            let bad = try await run(place, "list", "--identity", "bad.key")
            #expect(bad.code == 78 && bad.errors.contains("bad.key:2: \"name\" is there twice"), "\(bad.errors)")
        }
    }
}
