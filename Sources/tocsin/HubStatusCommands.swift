import ArgumentParser
import GRPCCore
import TocsinConfiguration
import TocsinProgram
import TocsinProto
import TocsinServices

struct HubStatus: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "status", abstract: "Show how a running hub is.")
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        let status = try await HubSession.with(options) { try await $0.hubStatus() }
        switch options.output.format {
        case .json: Terminal.print(json: .object(status.fields))
        case .text: Terminal.print(status.summary)
        }
    }
}

struct HubPools: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pools", abstract: "Show each pool: what waits, how old it is, how fast it comes and goes.",
        discussion: "Looks twice, a second apart, to tell the rates.")
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        let (first, second, elapsed) = try await HubSession.with(options) { try await $0.hubStatusTwice() }
        var before: [String: Tocsin_V1_PoolStatus] = [:]
        for pool in first.pools { before[pool.name] = pool }
        var table = Table(columns: [
            .left("POOL"), .right("CRITICAL"), .right("MAJOR"), .right("MINOR"), .right("INFO"), .right("DELAYED"),
            .right("IN FLIGHT"), .right("OLDEST"), .right("IN/S"), .right("DONE/S"), .right("AGAIN"), .right("LATE"),
            .right("DEAD"), .right("WORKERS"),
        ])
        var rates: [JSON] = []
        for pool in second.pools {
            let old = before[pool.name] ?? Tocsin_V1_PoolStatus()
            let came = perSecond(old.matched, pool.matched, elapsed)
            let done = perSecond(old.acked, pool.acked, elapsed)
            rates.append([
                "pool": pool.json, "in_per_s": .unsigned(came),
                "acked_per_s": .unsigned(done),
            ])
            var cells = [Table.Cell(pool.name)]
            for severity in ["critical", "major", "minor", "info"] {
                cells.append(Table.Cell("\(pool.queuedBySeverity[severity] ?? 0)"))
            }
            cells += [
                Table.Cell("\(pool.delayed)"), Table.Cell("\(pool.inFlight)"),
                Table.Cell(pool.queued > 0 ? TimeText.span(milliseconds: pool.oldestMs) : "-"),
                Table.Cell("\(came)"), Table.Cell("\(done)"),
                Table.Cell("\(pool.redelivered)"), Table.Cell("\(pool.staleSettlements)"),
                Table.Cell("\(pool.dead)", pool.dead > 0 ? .critical : .plain),
                Table.Cell("\(pool.workers)", pool.workers == 0 ? .major : .plain),
            ]
            table.add(cells)
        }
        switch options.output.format {
        case .json: Terminal.print(json: ["pools": .array(rates)])
        case .text: Terminal.print(table)
        }
    }
}

struct HubPeers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "peers", abstract: "Show who is connected to a hub.")
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        let status = try await HubSession.with(options) { try await $0.hubStatus() }
        switch options.output.format {
        case .json: Terminal.print(json: ["peers": .array(status.peers.map(\.json))])
        case .text:
            Terminal.print(status.peerTable)
            if status.peersOmitted > 0 { Terminal.say("and \(status.peersOmitted) more") }
        }
    }
}

struct HubStreams: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "streams", abstract: "Show a hub's stream: what is kept, how fast it grows, who taps it.",
        discussion: "A hub has one stream. Looks twice, a second apart, to tell the rate.")
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        let (first, second, elapsed) = try await HubSession.with(options) { try await $0.hubStatusTwice() }
        let rate = perSecond(first.accepted, second.accepted, elapsed)
        switch options.output.format {
        case .json:
            Terminal.print(
                json: [
                    "first_sequence": .unsigned(second.firstSequence), "last_sequence": .unsigned(second.lastSequence),
                    "journal_bytes": .unsigned(second.journalBytes), "accepted": .unsigned(second.accepted),
                    "accepted_per_s": .unsigned(rate), "duplicates": .unsigned(second.duplicates),
                    "taps": .unsigned(UInt64(second.taps)),
                ])
        case .text:
            var table = Table(columns: [
                .right("FIRST"), .right("LAST"), .right("KEPT"), .right("ON DISK"), .right("IN/S"), .right("DUPLICATES"),
                .right("TAPS"),
            ])
            table.add(
                "\(second.firstSequence)", "\(second.lastSequence)",
                "\(second.lastSequence &+ 1 &- second.firstSequence)",
                SizeText.format(Int(clamping: second.journalBytes >> 20) << 20), "\(rate)",
                "\(second.duplicates)", "\(second.taps)")
            Terminal.print(table)
        }
    }
}

struct HubMetrics: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics", abstract: "Print a hub's metrics in Prometheus' text format.",
        discussion: "For the textfile collector of node_exporter: tocsin hub metrics > FILE.new && mv FILE.new FILE.prom")
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        let status = try await HubSession.with(options) { try await $0.hubStatus() }
        Terminal.print(String(HubExposition(status).text.dropLast()))
    }
}

extension HubSession {
    func hubStatus() async throws -> Tocsin_V1_GetStatusResponse {
        try await call(.broker) { try await $0.broker.getStatus(.init(), options: $1) }
    }

    /// Two looks, a second apart, and the milliseconds between them.
    fileprivate func hubStatusTwice() async throws -> (Tocsin_V1_GetStatusResponse, Tocsin_V1_GetStatusResponse, elapsed: UInt64)
    {
        let first = try await hubStatus()
        try await Task.sleep(for: .seconds(1))
        let second = try await hubStatus()
        // The hub may have been started again in between.
        return (first, second, second.uptimeMs > first.uptimeMs ? second.uptimeMs - first.uptimeMs : 1000)
    }
}

/// 0 for a counter that went back: the hub was started again.
private func perSecond(_ before: UInt64, _ after: UInt64, _ milliseconds: UInt64) -> UInt64 {
    after > before ? (after - before).multipliedFullWidth(by: 1000).low / milliseconds : 0
}
