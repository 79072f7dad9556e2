import ArgumentParser
import GRPCCore
import GRPCZeroMQTransport
import TocsinConfiguration
import TocsinEvents
import TocsinKit
import TocsinPolicy
import TocsinProto
import TocsinServices
import TocsinWire

/// Publishes events as fast as the hub accepts, and waits until the triage workers have settled all of them: each is then in an
/// alert update on the hub's disk.
struct Report: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Publishes events, until triage has settled them.")
    @OptionGroup var connection: Connection
    @Option(help: "Events.") var count = 500_000
    @Option(help: "Events in a batch.") var batch = 1024
    @Option(name: .customLong("in-flight"), help: "Batches on their way at once.") var inFlight = 8

    func run() async throws {
        let client = try await connection.open(as: "publisher")
        let broker = Tocsin_V1_BrokerAdmin.Client(wrapping: GRPCClient(transport: HubClientTransport(client)))
        let (count, batch) = (count, batch)
        let began = monotonic()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for first in stride(from: 0, to: count, by: batch) {
                if first >= inFlight * batch { try await group.next() }
                group.addTask {
                    _ = try await client.publish((first..<min(count, first + batch)).map { try SampleEvent.message($0) })
                }
            }
            try await group.waitForAll()
        }
        let stored = monotonic()
        while true {
            let pool = try await broker.getStatus(.init()).pools.first { $0.name == "triage" }
            if let pool, pool.acked >= UInt64(count) { break }
            try await Task.sleep(for: .milliseconds(5))
        }
        report("{\"count\":\(count),\"began\":\(began),\"stored\":\(stored),\"ended\":\(monotonic())}")
        await client.close()
    }
}

/// Judges the same events in this process, by the policy of a configuration.
struct Decide: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Judges events by the policy of a configuration; no hub.")
    @Option(help: "The configuration file.") var config: String
    @Option(help: "Events.") var count = 500_000

    func run() throws {
        let configuration = try ConfigurationLoader.load(file: config, overrides: [:])
        var triage = try Triage(configuration.triage.policy)
        let events = (0..<min(count, 50_000)).map { (SampleEvent.event($0), SampleEvent.subject($0)) }
        var decided: [String: Int] = [:]
        // The patterns' automata are built by the texts they see.
        for (event, subject) in events { decided[triage.decide(event, subject: subject).rule, default: 0] += 1 }
        let began = monotonic()
        for number in 0..<count { _ = triage.decide(events[number % events.count].0, subject: events[number % events.count].1) }
        report("{\"count\":\(count),\"began\":\(began),\"ended\":\(monotonic()),\"rules\":\(decided.count)}")
    }
}

/// Events of 300 services on 900 hosts by 12 checks, as three kinds of detectors send them. Summaries have numbers in them; one
/// event in three has a dedup key, one in eight is a resolve.
private enum SampleEvent {
    private static let kinds = ["http", "log", "metric"]
    private static let severities = ["critical", "warning", "error", "info", ""]

    static func subject(_ number: Int) -> String { "event.\(kinds[draw(number) / 300 % 3]).bench" }

    static func message(_ number: Int) throws -> Message { try Message(event: event(number), subject: subject(number)) }

    static func event(_ number: Int) -> Tocsin_V1_Event {
        let draw = draw(number)
        let (service, check) = (draw % 300, draw / 300 % 12)
        let host = service * 3 + draw / 3600 % 3
        return .with {
            $0.id = "bench-\(number)"
            $0.kind = draw % 8 == 0 ? .resolve : .trigger
            $0.source = "\(kinds[check % 3]):check-\(check)"
            $0.service = "service-\(service)"
            $0.severityHint = severities[draw / 7 % 5]
            $0.summary = summary(check, draw)
            if number % 3 == 0 { $0.dedupKey = "service-\(service)/host-\(host)/check-\(check)" }
            $0.observedAt = 1_780_000_000_000 + UInt64(number)
            $0.labels = [
                "host": "host-\(host)", "check": "check-\(check)", "region": ["eu-1", "eu-2", "us-1"][host % 3],
                "team": "team-\(service % 9)",
            ]
            $0.details = [
                "output": "value \(draw % 100_000) over 900 for 5m0s", "address": "10.\(host / 256).\(host % 256).\(draw % 256)",
            ]
        }
    }

    /// Neighbours differ in everything.
    private static func draw(_ number: Int) -> Int { Int((UInt64(number) &* 0x9E37_79B9_7F4A_7C15) >> 20) }

    private static func summary(_ check: Int, _ draw: Int) -> String {
        switch check % 6 {
        case 0: "HTTP \(500 + draw % 4) from /orders/\(draw % 100_000) after \(draw % 3000) ms"
        case 1: "Disk /var is \(80 + draw % 20) % full, \(draw % 4000) MB left"
        case 2: "Replica lags by \(draw % 900) s behind 10.0.\(draw % 256).\(draw % 199)"
        case 3: "Connection pool exhausted: \(draw % 64) of 64 in use, request \(draw % 1_000_000) waits"
        case 4: "Latency p99 is \(draw % 5000) ms, more than 900 ms"
        default: "Out of memory: killed process \(draw % 32_768) (java), \(draw % 65_536) kB"
        }
    }
}
