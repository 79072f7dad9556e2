import ArgumentParser
import TocsinConfiguration
import TocsinProto

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the hub, its pools, who is connected, and where events went.")

    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        let (status, accounting) = try await HubSession.with(options) { session in
            let status = try await session.call(
                .broker, "GetStatus", Tocsin_V1_HubStatusRequest(), as: Tocsin_V1_HubStatus.self)
            var accounting: Tocsin_V1_AccountingResponse?
            if status.peers.contains(where: { $0.services.contains(ServiceName.incidents.rawValue) }) {
                accounting = try await session.call(
                    .incidents, "GetAccounting", Tocsin_V1_AccountingRequest(), as: Tocsin_V1_AccountingResponse.self)
            }
            return (status, accounting)
        }
        switch options.output.format {
        case .json:
            Terminal.print(json: .object(status.fields + [("accounting", accounting?.json ?? .null)]))
        case .text: Self.show(status, accounting)
        }
    }

    private static func show(_ status: Tocsin_V1_HubStatus, _ accounting: Tocsin_V1_AccountingResponse?) {
        Terminal.print(
            "\(status.hub.printable), up \(TimeText.span(milliseconds: status.uptimeMs)), start \(status.epoch); "
                + "\(status.accepted) messages accepted, \(status.duplicates) duplicates, journal "
                + "\(SizeText.format(Int(clamping: status.journalBytes >> 20) << 20)) from \(status.firstSequence) "
                + "to \(status.lastSequence)")
        if !status.refused.isEmpty {
            let refused = status.refused.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            Terminal.print("refused: \(refused.joined(separator: ", ").printable)")
        }
        if let accounting {
            Terminal.print(
                "archive: \(accounting.handled) events handled, \(accounting.suppressed) suppressed, "
                    + "\(accounting.redelivered) came again; applied up to \(accounting.position), "
                    + "\(accounting.outbox) changes to publish")
        } else {
            Terminal.print("archive: no archiver is connected")
        }
        Terminal.print("")
        var pools = Table(columns: [
            .left("POOL"), .right("QUEUED"), .right("DELAYED"), .right("IN FLIGHT"), .right("ACKED"), .right("DEAD"),
            .right("AGAIN"), .right("WORKERS"), .right("OLDEST"), .flexible("TAKES"),
        ])
        for pool in status.pools {
            pools.add(
                Table.Cell(pool.name), Table.Cell("\(pool.queued)"), Table.Cell("\(pool.delayed)"),
                Table.Cell("\(pool.inFlight)"), Table.Cell("\(pool.acked)"),
                Table.Cell("\(pool.dead)", pool.dead > 0 ? .critical : .plain), Table.Cell("\(pool.redelivered)"),
                Table.Cell("\(pool.workers)", pool.workers == 0 ? .major : .plain),
                Table.Cell(pool.queued > 0 ? TimeText.span(milliseconds: pool.oldestMs) : "-"),
                Table.Cell(pool.filters.joined(separator: " ")))
        }
        Terminal.print(pools)
        Terminal.print("")
        var peers = Table(columns: [
            .left("PEER"), .left("ROLE"), .right("SINCE"), .right("HOLDS"), .left("POOLS"), .flexible("SERVES"),
        ])
        for peer in status.peers.sorted(by: { ($0.role, $0.name) < ($1.role, $1.name) }) {
            peers.add(
                peer.name, peer.role, TimeText.span(milliseconds: peer.connectedMs), "\(peer.inFlight)",
                peer.pools.joined(separator: " "), peer.services.joined(separator: " "))
        }
        Terminal.print(peers)
    }
}

extension Tocsin_V1_HubStatus {
    fileprivate var fields: [(String, JSON)] {
        [
            ("software", .string(hub)), ("epoch", .unsigned(epoch)), ("uptime_ms", .unsigned(uptimeMs)),
            ("first_sequence", .unsigned(firstSequence)), ("last_sequence", .unsigned(lastSequence)),
            ("journal_bytes", .unsigned(journalBytes)), ("accepted", .unsigned(accepted)),
            ("duplicates", .unsigned(duplicates)), ("calls_in_flight", .unsigned(UInt64(callsInFlight))),
            ("refused", .object(refused.sorted { $0.key < $1.key }.map { ($0.key, .unsigned($0.value)) })),
            ("pools", .array(pools.map(\.json))), ("peers", .array(peers.map(\.json))),
        ]
    }
}

extension Tocsin_V1_PoolStatus {
    var json: JSON {
        [
            "name": .string(name), "filters": .strings(filters), "queued": .unsigned(queued),
            "queued_by_severity": .object(
                queuedBySeverity.sorted { $0.key < $1.key }.map { ($0.key, .unsigned($0.value)) }),
            "delayed": .unsigned(delayed), "in_flight": .unsigned(inFlight), "matched": .unsigned(matched),
            "acked": .unsigned(acked), "dead": .unsigned(dead), "redelivered": .unsigned(redelivered),
            "workers": .unsigned(UInt64(workers)), "oldest_ms": .unsigned(oldestMs),
        ]
    }
}

extension Tocsin_V1_PeerStatus {
    var json: JSON {
        [
            "name": .string(name), "role": .string(role), "software": .string(software),
            "connected_ms": .unsigned(connectedMs), "silent_ms": .unsigned(silentMs), "pools": .strings(pools),
            "services": .strings(services), "in_flight": .unsigned(UInt64(inFlight)),
        ]
    }
}

extension Tocsin_V1_AccountingResponse {
    var json: JSON {
        [
            "handled": .unsigned(handled), "suppressed": .unsigned(suppressed), "applied": .unsigned(applied),
            "redelivered": .unsigned(redelivered), "position": .unsigned(position), "outbox": .unsigned(outbox),
        ]
    }
}
