import Foundation
import Testing

/// Goal: what `tocsin policy` and `tocsin silence` say, and how they end.
@Suite("Policies and silences on the command line")
struct PolicyCommandTests {
    private static let policy = """
        routes:
          - {name: critical, match: {minimum_severity: critical}, page: [phone]}
          - {name: rest, page: [phone]}
        """

    @Test("lint ends with 0, with 1 for a fault at its place, with 78 for what cannot be read")
    func lint() async throws {
        try await Workplace.with { place async throws in
            try place.write("policy: p.yaml\nresponders: {notifications: [{name: phone, command: [\"true\"]}]}\n")
            try place.write(Self.policy, to: "p.yaml")
            let good = try await place.run("policy", "lint")
            #expect(good.code == 0 && good.output.isEmpty, "\(good)")
            try place.write(
                Self.policy + "\nrules:\n  - {name: a}\n  - {name: b, runbook: x}\nservices:\n  s: {depends_on: [s]}\n",
                to: "q.yaml")
            let bad = try await place.run("policy", "lint", "q.yaml")
            #expect(bad.code == 1)
            #expect(bad.output.contains("q.yaml:6:12: warning: rule \"b\" never decides"), "\(bad)")
            #expect(bad.output.contains("q.yaml:8:19: error: services depend on each other in a circle: s → s"), "\(bad)")
            try place.write("routes: [{name: r}]\n", to: "r.yaml")
            #expect(try await place.run("policy", "lint", "r.yaml").code == 78)
            #expect(try await place.run("policy", "lint", "absent.yaml").code == 78)
        }
    }

    @Test("test says which cases fail, with what was expected and the decisions, and ends with 1")
    func cases() async throws {
        try await Workplace.with { place async throws in
            try place.write(Self.policy, to: "p.yaml")
            try place.write(
                """
                policy: p.yaml
                cases:
                  - {name: good, steps: [{event: {service: s, severity: critical}, expect: {page: [phone]}}]}
                  - {name: bad, steps: [{event: {service: s, severity: minor}, expect: {severity: major}}]}
                """, to: "cases.yaml")
            let both = try await place.run("policy", "test", "cases.yaml")
            #expect(both.code == 1)
            #expect(
                both.output.contains("ok    good\nFAIL  bad\n      cases.yaml:4:25: severity: expected major, was minor\n"),
                "\(both)")
            #expect(both.output.contains("triage: severity (severity hint minor): minor"))
            let one = try await place.run("policy", "test", "cases.yaml", "--only", "good")
            #expect(one.code == 0 && one.errors.contains("1 passed, 0 failed"), "\(one)")
            #expect(try await place.run("policy", "test", "cases.yaml", "--only", "none").code == 66)
        }
    }

    @Test("a silence says what it mutes, few at once and many only when asked for; diff says what another policy changes")
    func silences() async throws {
        try await Workplace.with { place async throws in
            try place.write(Self.policy, to: "p.yaml")
            try place.write("rules: [{name: quiet, match: {services: [s1]}, suppress: noise}]\n", to: "new.yaml")
            try place.write("policy: p.yaml\nresponders: {notifications: [{name: phone, command: [\"true\"]}]}\n")
            _ = try place.start("up")
            for number in 1...3 {
                _ = try await until("the hub takes reports") { () -> Bool? in
                    let said = try await place.run(
                        "report", "s\(number) is ill", "--service", "s\(number)", "--severity", "major")
                    return said.code == 0 ? true : nil
                }
            }
            let few = try await place.run("silence", "add", "service=s1", "--for", "1h", "--reason", "known", "--output", "json")
            #expect(few.code == 0 && few.errors.contains("would mute 1 alert of 1 service: s1 1"), "\(few)")
            let id = try #require(try few.json()["id"] as? String)
            let many = try await place.run("silence", "add", "service=~s.", "--for", "1h", "--reason", "all")
            #expect(many.code == 1 && many.errors.contains("would mute 3 alerts of 3 services"), "\(many)")
            #expect(try await place.run("silence", "add", "service=~.*", "--for", "1h", "--reason", "all").code == 64)
            #expect(try await place.run("silence", "add", "service", "--for", "1h", "--reason", "all").code == 64)
            let listed = try await until("the silence is listed") { () -> String? in
                let list = try await place.run("silence", "list").output
                return list.contains(id) ? list : nil
            }
            #expect(listed.contains("service=\"s1\"") && listed.contains("known"))
            #expect(try await place.run("silence", "expire", String(id.prefix(6))).code == 0)
            _ = try await until("the silence is over") { () -> Bool? in
                try await place.run("silence", "list").output.contains(id) ? nil : true
            }
            #expect(try await place.run("silence", "expire", id).code == 66)
            let first = try await place.run("policy", "diff", "--policy", "new.yaml", "--since", "1h")
            #expect(
                first.code == 0 && first.output.contains("lost") && first.output.contains("\"s1 is ill\": phone (route rest)"),
                "\(first)")
            #expect(first.output.contains("0 gained, 1 lost, 2 moved"), "\(first)")
            #expect(try await place.run("policy", "diff", "--policy", "new.yaml", "--since", "1h").output == first.output)
        }
    }
}
