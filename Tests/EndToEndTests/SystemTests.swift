import Foundation
import Glibc
import Testing

/// Goal: what a person does with a running system works with the real executable and real processes.
/// Method: `tocsin up` in an empty folder; commands against it; waits on conditions with deadlines, never on time.
@Suite("A running system", .timeLimit(.minutes(3)), .serialized)
struct SystemTests {
    private func up(_ place: Workplace) async throws -> BackgroundProcess {
        let up = try place.start("up")
        try await wait(until: "everything is ready") {
            up.errors.contains("tocsin: everything is ready at \(place.endpoint); Ctrl-C stops it\n")
        }
        return up
    }

    private func report(_ place: Workplace, _ arguments: String...) async throws -> Int {
        let outcome = try await place.run(
            "report", arguments[0], "--service", arguments[1], "--severity", arguments[2], "--output", "json")
        #expect(outcome.code == 0, "\(outcome.errors)")
        return try #require(try outcome.json()["incident"] as? Int, "\(outcome.output)")
    }

    @Test("in an empty folder: report, list, show, note, ack, resolve, close, and every change is watched")
    func session() async throws {
        try await Workplace.with { place async throws in
            let up = try await up(place)
            let watch = try place.start("watch", "--output", "json")
            try await wait(until: "watch watches") { watch.errors.contains("watching") }

            let number = try await report(place, "Checkout is down", "checkout", "critical")
            let list = try await place.run("list", "--service", "checkout", "--output", "json").json()
            let incidents = try #require(list["incidents"] as? [[String: Any]])
            #expect(incidents.count == 1)
            #expect(incidents.first?["number"] as? Int == number)
            #expect(incidents.first?["severity"] as? String == "critical")
            #expect(incidents.first?["state"] as? String == "triaged")
            let table = try await place.run("ls").output
            #expect(table.hasPrefix("NUMBER"))
            #expect(table.contains("#\(number)  critical  P1"))

            #expect(try await place.run("note", "INC-\(number)", "looking at it", "--as", "bob").code == 0)
            let ack = try await place.run("ack", "#\(number)")
            #expect(ack.output == "#\(number) acknowledged by alice: Checkout is down (acknowledged)\n")
            let again = try await place.run("ack", "\(number)")
            #expect(again.code == 1)
            #expect(again.output.isEmpty)
            let resolve = try await place.run("resolve", "\(number)")
            #expect(resolve.code == 0)
            #expect(resolve.errors.contains("the cause is given as \"unknown\""))

            let shown = try await place.run("show", "\(number)", "--output", "json").json()
            let timeline = try #require(shown["timeline"] as? [[String: Any]])
            let verbs = timeline.compactMap { $0["verb"] as? String }
            #expect(verbs.contains("noted") && verbs.contains("acknowledged") && verbs.last == "resolved")
            #expect(timeline.contains { $0["actor"] as? String == "bob" && $0["text"] as? String == "looking at it" })
            #expect((shown["incident"] as? [String: Any])?["assignee"] as? String == "alice")
            let page = try await place.run("show", "\(number)").output
            #expect(page.hasPrefix("#\(number)  Checkout is down\n"))
            #expect(page.contains("acknowledged (was triaged)"))

            let unwaived = try await place.run("close", "\(number)")
            #expect(unwaived.code == 1)
            #expect(unwaived.errors.contains("postmortem"))
            #expect(try await place.run("close", "\(number)", "--waive-postmortem", "only a test").code == 0)
            let rest = try await place.run("list", "--service", "checkout")
            #expect(rest.code == 0 && rest.output.isEmpty && rest.errors == "no open incidents\n")

            let changes = try await until("the watcher has seen the end") { () -> [String]? in
                let lines = watch.output.split(separator: "\n")
                let changes = try lines.compactMap { line -> String? in
                    let change = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
                    let incident = change?["incident"] as? [String: Any]
                    return incident?["number"] as? Int == number ? change?["verb"] as? String : nil
                }
                return changes.contains("closed") ? changes : nil
            }
            #expect(changes.first == "opened")
            let order = ["opened", "noted", "acknowledged", "resolved", "closed"].map {
                changes.firstIndex(of: $0) ?? -1
            }
            #expect(order == order.sorted() && !order.contains(-1), "\(changes)")
            watch.signal(SIGINT)
            #expect(try await watch.exitCode() == 0)

            up.signal(SIGINT)
            #expect(try await up.exitCode() == 0)
            #expect(up.errors.hasSuffix("tocsin: everything has stopped\n"))
            #expect(place.processes().isEmpty)
        }
    }

    @Test("incidents are judged, merged, split and taken up again; lists are filtered and paged")
    func mergeAndSplit() async throws {
        try await Workplace.with { place async throws in
            _ = try await up(place)
            let shop = try await report(place, "Shop is down", "shop", "critical")
            let mail = try await report(place, "Mail is slow", "mail", "minor")
            let search = try await report(place, "Search fails", "search", "major")

            let judged = try await place.run("severity", "\(mail)", "SEV2", "--reason", "all customers")
            #expect(judged.output == "#\(mail) major P3 by alice: Mail is slow (triaged)\n")
            let merged = try await place.run("merge", "\(mail)", "#\(shop)", "--reason", "one network")
            #expect(merged.output == "#\(mail) merged into #\(shop) by alice: Mail is slow (merged)\n")
            #expect(try await place.run("merge", "\(search)", "\(shop)", "--reason", "one network").code == 0)
            #expect(try await place.run("merge", "\(shop)", "\(shop)", "--reason", "x").errors.contains("TARGET_UNFIT"))
            // What its alert brings later is the other incident's.
            #expect(try await report(place, "Mail is slow", "mail", "minor") == shop)

            let shown = try await place.run("show", "\(shop)", "--output", "json").json()
            let alerts = try #require(shown["alerts"] as? [[String: Any]])
            #expect(alerts.count == 3 && alerts.allSatisfy { $0["incident"] as? Int == shop })
            let fingerprint = try #require(alerts.first { $0["service"] as? String == "search" }?["fingerprint"] as? String)
            let beginning = String(fingerprint.prefix(8))
            #expect(try await place.run("show", "\(shop)").output.contains(beginning))
            let split = try await place.run(
                "split", "\(shop)", beginning, "--title", "Search alone", "--output", "json"
            ).json()
            let created = try #require(split["created"] as? [String: Any])
            #expect(created["title"] as? String == "Search alone" && created["split_from"] as? Int == shop)
            let unknown = try await place.run("split", "\(shop)", "nosuch")
            #expect(unknown.code == 1 && unknown.errors.contains("has no alert nosuch"))
            let reopened = try await place.run("reopen", "\(mail)", "two causes")
            #expect(reopened.output == "#\(mail) restored by alice with 1 alert: Mail is slow (triaged)\n")
            #expect(try await place.run("ack", "\(mail)").code == 0)
            let released = try await place.run("release", "\(mail)")
            #expect(released.output == "#\(mail) released by alice: Mail is slow (triaged)\n")

            func numbers(_ arguments: String...) async throws -> (numbers: [Int], next: String?) {
                let list = try await place.run(["list", "--output", "json"] + arguments).json()
                let incidents = try #require(list["incidents"] as? [[String: Any]])
                return (incidents.compactMap { $0["number"] as? Int }, list["next_page_token"] as? String)
            }
            #expect(try await numbers("--state", "merged").numbers == [search])
            #expect(try await numbers("--text", "alone").numbers == [created["number"] as? Int])
            let first = try await numbers("--limit", "1")
            #expect(first.numbers == [shop])
            let second = try await numbers("--limit", "5", "--page", try #require(first.next))
            #expect(second.numbers.count == 2 && second.next == nil)
            #expect(try await place.run("list", "--page", "nonsense").errors.contains("page_token"))
        }
    }

    @Test("what is not there is said with the code for it, and nothing on standard output")
    func notFound() async throws {
        try await Workplace.with { place async throws in
            _ = try await up(place)
            let show = try await place.run("show", "4711")
            #expect(show.code == 66)
            #expect(show.output.isEmpty)
            #expect(show.errors == "tocsin: there is no incident 4711\n")
            #expect(try await place.run("dlq", "show", "triage", "1").code == 66)
            let letters = try await place.run("dlq")
            #expect(letters.code == 0 && letters.errors == "no dead letters\n")
            #expect(try await place.run("dlq", "retry", "nosuchpool").code == 66)
        }
    }

    @Test("each report says at once what became of it")
    func outcomes() async throws {
        try await Workplace.with { place async throws in
            try place.write(
                """
                policy:
                  rules:
                    - {name: test-bench, match: {services: [bench]}, suppress: "nobody works there at night"}
                """)
            _ = try await up(place)
            // With a wait this long, an answer that came by waiting in vain would be seen as a command that does not end.
            func outcome(_ arguments: String...) async throws -> String? {
                let outcome = try await place.run(
                    ["report"] + arguments + ["--timeout", "10m", "--output", "json"])
                #expect(outcome.code == 0, "\(outcome.errors)")
                return try outcome.json()["outcome"] as? String
            }
            #expect(try await outcome("Nothing began", "--service", "s", "--resolve") == "no_incident")
            #expect(try await outcome("Nice to know", "--service", "s", "--severity", "info") == "recorded")
            #expect(try await outcome("Noise", "--service", "bench") == "suppressed")
            #expect(try await outcome("Down", "--service", "s", "--key", "k") == "incident")
            #expect(try await outcome("Up", "--service", "s", "--key", "k", "--resolve") == "incident")
            let list = try await place.run("list", "--all", "--output", "json").json()
            let incidents = try #require(list["incidents"] as? [[String: Any]])
            #expect(incidents.compactMap { $0["state"] as? String } == ["resolved"])
        }
    }

    @Test("status names every pool and process, and accounts for every event")
    func status() async throws {
        try await Workplace.with { place async throws in
            _ = try await up(place)
            _ = try await report(place, "Disk is slow", "db", "minor")
            let status = try await until("the event is accounted for") { () -> [String: Any]? in
                let status = try await place.run("status", "--output", "json").json()
                let accounting = status["accounting"] as? [String: Any]
                return accounting?["handled"] as? Int ?? 0 >= 1 ? status : nil
            }
            let pools = try #require(status["pools"] as? [[String: Any]])
            #expect(
                pools.compactMap { $0["name"] as? String }.sorted() == ["archive", "notifier", "responder", "triage"])
            let peers = try #require(status["peers"] as? [[String: Any]]).compactMap { $0["name"] as? String }
            for name in ["archiver", "triage-1", "triage-2", "responder-1", "detector-local"] {
                #expect(peers.contains(name), "\(peers)")
            }
            let text = try await place.run("status").output
            #expect(text.contains("POOL") && text.contains("archive: 1 events handled"))
        }
    }

    @Test("a command says goodbye: the hub forgets it at once")
    func goodbye() async throws {
        try await Workplace.with { place async throws in
            // A peer that only vanishes is missed after three heartbeats, long after the end of this test.
            try place.write("hub: {heartbeat: 60s}\n")
            let hub = try place.start("hub")
            try await wait(until: "the hub is ready") { hub.errors.contains("the hub is ready") }
            for _ in 0..<10 { #expect(try await place.run("dlq").code == 0) }
            try await wait(until: "only the asking command is connected") {
                let status = try await place.run("status", "--output", "json").json()
                return (status["peers"] as? [Any])?.count == 1
            }
        }
    }

    @Test("a worker that is killed is started again, and reports go through meanwhile")
    func restart() async throws {
        try await Workplace.with { place async throws in
            let up = try await up(place)
            for name in ["hub", "archiver", "triage-1"] {
                let victim = try #require(place.processes().first { $0.arguments.contains("--name \(name)") })
                kill(victim.pid, SIGKILL)
                try await wait(until: "up has seen that \(name) died") {
                    up.errors.contains("tocsin: \(name) ended (killed by signal 9)")
                }
                try await wait(until: "a report becomes an incident again") {
                    let outcome = try await place.run("report", "\(name) died", "--service", "s", "--output", "json")
                    return outcome.code == 0 && (try? outcome.json()["incident"] as? Int) != nil
                }
            }
            try await wait(until: "all processes are back") { place.processes().count == 7 }
        }
    }

    @Test("when up is killed, nothing it started stays")
    func killed() async throws {
        try await Workplace.with { place async throws in
            let up = try await up(place)
            #expect(place.processes().count == 7)
            up.signal(SIGKILL)
            try await wait(until: "the children are gone") { place.processes().isEmpty }
        }
    }

    @Test("a detector of the configuration opens an incident, and its end resolves it")
    func detection() async throws {
        try await Workplace.with { place async throws in
            let port = try FreePort.any()
            try place.write(
                """
                detectors:
                  - name: ports
                    checks:
                      - {name: database, service: db, severity: major, interval: 50ms, failures_to_trigger: 1, tcp: {port: \(port)}}
                policy:
                  services: {db: {tier: 1}}
                triage:
                  workers: 1
                """)
            _ = try await up(place)
            func incident() async throws -> [String: Any]? {
                let list = try await place.run("list", "--all", "--service", "db", "--output", "json").json()
                return (list["incidents"] as? [[String: Any]])?.first
            }
            let opened = try await until("the closed port is an incident") { try await incident() }
            #expect(opened["severity"] as? String == "major")
            let listener = try Listener(port: port)
            defer { listener.close() }
            let resolved = try await until("the open port resolves it") { () -> [String: Any]? in
                let now = try await incident()
                return now?["state"] as? String == "resolved" ? now : nil
            }
            #expect(resolved["number"] as? Int == opened["number"] as? Int)
        }
    }
}
