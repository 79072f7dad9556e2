import Foundation
import Logging
import Testing
import TocsinKit
import TocsinProto

/// Goal: what `tocsin hub …` says of a hub is what happened there. Method: a hub process, known traffic, and each command's output
/// in each of its forms.
@Suite("Hub commands", .timeLimit(.minutes(2))) struct HubCommandTests {
    /// A hub on which this has happened: of twelve messages for pool `work` two are acknowledged, one is a dead letter, four are with
    /// the worker, five wait, one of those for tomorrow; one came twice, one was refused, and somebody taps.
    private static func withTraffic(_ body: (Workplace) async throws -> Void) async throws {
        try await Workplace.with { place async throws in
            let hub = try place.start("hub")
            try await wait(until: "the hub is ready") { hub.errors.contains("the hub is ready") }
            let client = try Client(
                ClientOptions(endpoint: place.endpoint, name: "tester", role: "test", software: "tests 1"),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            for name in ["work", "idle"] {
                try await client.declare(
                    .with {
                        $0.name = name
                        $0.filters = ["\(name).>"]
                        $0.visibilityMs = 600_000
                    })
            }
            let tap = try await client.tap(["work.>"])
            let tomorrow = UInt64(Date().timeIntervalSince1970 * 1000) + 86_400_000
            var messages = [Message(subject: "work.now", severity: .critical, payload: [1])]
            messages += (0..<2).map { Message(subject: "work.now", severity: .major, payload: [$0]) }
            messages += (0..<3).map { Message(subject: "work.now", severity: .minor, payload: [$0]) }
            messages += (0..<5).map { Message(subject: "work.now", payload: [$0]) }
            messages.append(Message(subject: "work.later", notBefore: tomorrow, payload: []))
            #expect(try await client.publish(messages).stored == 12)
            #expect(try await client.publish([messages[0]]).duplicates == 1)
            await #expect(throws: ClientError.self) { try await client.publish([Message(subject: "nowhere", payload: [])]) }

            let worker = try await client.subscribe(pool: "work", credit: 4)
            var iterator = worker.makeAsyncIterator()
            var given: [Delivery] = []
            while given.count < 7 {
                given += try #require(try await iterator.next()).deliveries()
                if given.count == 4 { worker.settle([(given[0], .ack), (given[1], .reject(reason: "no")), (given[2], .ack)]) }
            }
            try await wait(until: "the settlements are journaled") {
                try await place.run("hub", "status", "--output", "json").output.contains(#""acked": 2"#)
            }
            try await body(place)
            await tap.close()
            await worker.close()
            await client.close()
        }
    }

    /// The row of a table that begins with this word, and the words of its head.
    private func row(_ table: String, _ first: String) throws -> (head: [Substring], cells: [Substring]) {
        let lines = table.replacing("IN FLIGHT", with: "IN-FLIGHT").split(separator: "\n").map { $0.split(separator: " ") }
        return (try #require(lines.first), try #require(lines.first { $0.first == first[...] }))
    }

    @Test("status: every field, and the sentence for people")
    func status() async throws {
        try await Self.withTraffic { place async throws in
            let status = try await place.run("hub", "status", "--output", "json").json()
            #expect(
                Set(status.keys) == [
                    "software", "epoch", "uptime_ms", "first_sequence", "last_sequence", "journal_bytes", "accepted",
                    "duplicates",
                    "calls_in_flight", "refused", "security", "taps", "dropped_answers", "syncs", "pools", "peers",
                    "peers_omitted",
                ])
            for (key, value) in [
                "epoch": 1, "first_sequence": 1, "last_sequence": 12, "accepted": 12, "duplicates": 1, "calls_in_flight": 1,
                "taps": 1, "dropped_answers": 0, "peers_omitted": 0,
            ] { #expect(status[key] as? Int == value, "\(key)") }
            #expect(status["refused"] as? [String: Int] == ["UNKNOWN_SUBJECT": 1])
            #expect(try #require(status["journal_bytes"] as? Int) > 1 << 20)
            let syncs = try #require(status["syncs"] as? [String: Any])
            #expect(try #require(syncs["count"] as? Int) > 2)
            let text = try await place.run("hub", "status").output
            #expect(text.contains("start 1; 12 messages accepted, 1 duplicates, journal ") && text.contains(" from 1 to 12\n"))
            #expect(text.contains("refused: UNKNOWN_SUBJECT 1\n"))
        }
    }

    @Test("pools: what waits, is held, is done and is given up, with rates")
    func pools() async throws {
        try await Self.withTraffic { place async throws in
            let json = try await place.run("hub", "pools", "--output", "json").json()
            let pools = try #require(json["pools"] as? [[String: Any]])
            let work = try #require(pools.first { ($0["pool"] as? [String: Any])?["name"] as? String == "work" })
            #expect(work["in_per_s"] as? Int == 0 && work["acked_per_s"] as? Int == 0)
            let pool = try #require(work["pool"] as? [String: Any])
            for (key, value) in [
                "queued": 5, "delayed": 1, "in_flight": 4, "matched": 12, "acked": 2, "dead": 1, "dead_lettered": 1,
                "redelivered": 0, "stale_settlements": 0, "workers": 1, "cancelled": 0, "discarded": 0, "revived": 0,
            ] { #expect(pool[key] as? Int == value, "\(key): \(pool[key] ?? "-")") }
            #expect(pool["filters"] as? [String] == ["work.>"])
            let bySeverity = try #require(pool["queued_by_severity"] as? [String: Int])
            #expect(bySeverity.values.reduce(0, +) == 5 && bySeverity["info"] == 5)
            let oldest = try #require(pool["oldest_ms"] as? Int)
            #expect(oldest > 0 && oldest < 600_000)

            let table = try await place.run("hub", "pools").output
            let (head, cells) = try row(table, "work")
            #expect(
                head.map(String.init) == [
                    "POOL", "CRITICAL", "MAJOR", "MINOR", "INFO", "DELAYED", "IN-FLIGHT", "OLDEST", "IN/S", "DONE/S", "AGAIN",
                    "LATE", "DEAD", "WORKERS",
                ])
            let shown = Dictionary(uniqueKeysWithValues: zip(head, cells))
            #expect(shown["INFO"] == "5" && shown["DELAYED"] == "1" && shown["IN-FLIGHT"] == "4", "\(table)")
            #expect(shown["DEAD"] == "1" && shown["WORKERS"] == "1" && shown["CRITICAL"] == "0", "\(table)")
            let idle = Dictionary(uniqueKeysWithValues: zip(head, try row(table, "idle").cells))
            #expect(idle["OLDEST"] == "-" && idle["WORKERS"] == "0" && idle["INFO"] == "0", "\(table)")
        }
    }

    @Test("peers and streams: who is there, and what is kept")
    func peersAndStreams() async throws {
        try await Self.withTraffic { place async throws in
            let peers = try #require(try await place.run("hub", "peers", "--output", "json").json()["peers"] as? [[String: Any]])
            let tester = try #require(peers.first { $0["name"] as? String == "tester" })
            #expect(tester["role"] as? String == "test" && tester["software"] as? String == "tests 1")
            #expect(tester["pools"] as? [String] == ["work"] && tester["in_flight"] as? Int == 4)
            #expect(tester["services"] as? [String] == [])
            // The other is the command itself.
            #expect(peers.count == 2)
            let (head, cells) = try row(try await place.run("hub", "peers").output, "tester")
            #expect(head.map(String.init) == ["PEER", "ROLE", "SINCE", "HOLDS", "POOLS", "SERVES"])
            #expect(cells[1] == "test" && cells[3] == "4" && cells[4] == "work")

            let stream = try await place.run("hub", "streams", "--output", "json").json()
            for (key, value) in [
                "first_sequence": 1, "last_sequence": 12, "accepted": 12, "accepted_per_s": 0, "duplicates": 1, "taps": 1,
            ] { #expect(stream[key] as? Int == value, "\(key)") }
            let (_, row) = try row(try await place.run("hub", "streams").output, "1")
            #expect(row[1] == "12" && row[2] == "12" && row.suffix(3) == ["0", "1", "1"])
        }
    }

    @Test("metrics: Prometheus' text format, to the letter")
    func metrics() async throws {
        try await Self.withTraffic { place async throws in
            let outcome = try await place.run("hub", "metrics")
            #expect(outcome.code == 0)
            let families = try Exposition.parse(outcome.output)
            func value(_ family: String, _ labels: [String: String] = [:]) -> Double? {
                families[family]?.samples.first { $0.name == family && $0.labels == labels }?.value
            }
            #expect(value("tocsin_stream_accepted_total") == 12 && value("tocsin_stream_duplicates_total") == 1)
            #expect(value("tocsin_refused_total", ["reason": "UNKNOWN_SUBJECT"]) == 1)
            #expect(value("tocsin_pool_queued", ["pool": "work", "severity": "info"]) == 5)
            #expect(value("tocsin_pool_queued", ["pool": "work", "severity": "critical"]) == 0)
            #expect(value("tocsin_pool_acked_total", ["pool": "work"]) == 2)
            #expect(value("tocsin_pool_dead", ["pool": "work"]) == 1 && value("tocsin_pool_in_flight", ["pool": "work"]) == 4)
            #expect(value("tocsin_taps") == 1 && value("tocsin_peers") == 2)
            for (name, family) in families {
                #expect((family.type == "counter") == name.hasSuffix("_total") || name == "tocsin_hub_epoch")
            }
            let syncs = try #require(families["tocsin_journal_sync_seconds"])
            #expect(syncs.type == "histogram")
            let buckets = syncs.samples.filter { $0.name.hasSuffix("_bucket") }
            let bounds = buckets.compactMap { $0.labels["le"].flatMap { $0 == "+Inf" ? .infinity : Double($0) } }
            #expect(bounds.count == buckets.count && bounds.count > 5 && bounds.last == .infinity)
            #expect(zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 }, "\(bounds)")
            #expect(zip(buckets, buckets.dropFirst()).allSatisfy { $0.value <= $1.value }, "\(buckets)")
            let count = syncs.samples.first { $0.name.hasSuffix("_count") }?.value
            #expect(try #require(count) > 2 && count == buckets.last?.value)
            #expect(try #require(syncs.samples.first { $0.name.hasSuffix("_sum") }?.value) > 0)
        }
    }

    @Test("without a hub: exit code 69", arguments: ["status", "pools", "peers", "streams", "metrics"])
    func hubAway(command: String) async throws {
        try await Workplace.with { place async throws in
            let outcome = try await place.run("hub", command, "--timeout", "200ms")
            #expect(outcome.code == 69 && outcome.output.isEmpty)
            #expect(outcome.errors.hasPrefix("tocsin: no hub answers at \(place.endpoint)"))
        }
    }
}

/// Prometheus' text exposition format 0.0.4, read strictly.
private struct Exposition {
    struct Sample {
        var name: String
        var labels: [String: String]
        var value: Double
    }
    struct Family {
        var type: String
        var samples: [Sample] = []
    }

    /// Fails unless each family has HELP, TYPE and then its samples, all together, each sample once.
    static func parse(_ text: String) throws -> [String: Family] {
        var families: [String: Family] = [:]
        var current = ""
        var help: String?
        #expect(text.hasSuffix("\n"))
        for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
            if let match = line.wholeMatch(of: /# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ([^\\]|\\\\|\\n)+/) {
                #expect(help == nil)
                help = String(match.1)
            } else if let match = line.wholeMatch(of: /# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)/) {
                current = String(match.1)
                #expect(help == current && families[current] == nil, "\(line)")
                help = nil
                families[current] = Family(type: String(match.2))
            } else {
                let sample = try Self.sample(line)
                let family = try #require(families[current])
                let suffixes = family.type == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
                #expect(help == nil && suffixes.contains { sample.name == current + $0 }, "\(line)")
                #expect(!family.samples.contains { $0.name == sample.name && $0.labels == sample.labels }, "\(line)")
                families[current]?.samples.append(sample)
            }
        }
        return families
    }

    private static func sample(_ line: Substring) throws -> Sample {
        let parts = try #require(
            line.wholeMatch(of: /([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([0-9.e+-]+|NaN|[+-]Inf)/), "\(line)")
        var labels: [String: String] = [:]
        var rest = parts.2 ?? ""
        while !rest.isEmpty {
            let pair = try #require(
                rest.prefixMatch(of: /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,|$)/), "\(line)")
            #expect(labels.updateValue(String(pair.2), forKey: String(pair.1)) == nil, "\(line)")
            rest = rest[pair.range.upperBound...]
        }
        return Sample(name: String(parts.1), labels: labels, value: try #require(Double(parts.3), "\(line)"))
    }
}
