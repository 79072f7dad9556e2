import ArgumentParser
import GRPCCore
import TocsinConfiguration
import TocsinProgram
import TocsinProto
import TocsinServices

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the hub, its pools, who is connected, and where events went.")

    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        let (status, accounting) = try await HubSession.with(options) { session in
            let status = try await session.hubStatus()
            var accounting: Tocsin_V1_GetAccountingResponse?
            if status.peers.contains(where: { $0.services.contains(ServiceName.incidents.rawValue) }) {
                accounting = try await session.call(.incidents) { try await $0.incidents.getAccounting(.init(), options: $1) }
            }
            return (status, accounting)
        }
        switch options.output.format {
        case .json:
            Terminal.print(json: .object(status.fields + [("accounting", accounting?.json ?? .null)]))
        case .text: Self.show(status, accounting)
        }
    }

    private static func show(_ status: Tocsin_V1_GetStatusResponse, _ accounting: Tocsin_V1_GetAccountingResponse?) {
        Terminal.print(status.summary)
        if let accounting {
            Terminal.print(
                "archive: \(accounting.handled) events handled, \(accounting.suppressed) suppressed, "
                    + "\(accounting.redelivered) came again; applied up to \(accounting.position), "
                    + "\(accounting.outbox) changes to publish")
        } else {
            Terminal.print("archive: no archiver is connected")
        }
        Terminal.print("")
        Terminal.print(status.poolTable)
        Terminal.print("")
        Terminal.print(status.peerTable)
    }
}

extension Tocsin_V1_GetStatusResponse {
    var fields: [(String, JSON)] {
        [
            ("software", .string(hub)), ("epoch", .unsigned(epoch)), ("uptime_ms", .unsigned(uptimeMs)),
            ("first_sequence", .unsigned(firstSequence)), ("last_sequence", .unsigned(lastSequence)),
            ("journal_bytes", .unsigned(journalBytes)), ("accepted", .unsigned(accepted)),
            ("duplicates", .unsigned(duplicates)), ("calls_in_flight", .unsigned(UInt64(callsInFlight))),
            ("refused", .counts(refused)), ("security", security.json),
            ("taps", .unsigned(UInt64(taps))), ("dropped_answers", .unsigned(droppedAnswers)),
            (
                "syncs",
                [
                    "count": .unsigned(syncs.count), "nanoseconds": .unsigned(syncs.nanoseconds),
                    "median_at_most_us": syncs.bound(0.5).map { .unsigned($0) } ?? .null,
                    "p99_at_most_us": syncs.bound(0.99).map { .unsigned($0) } ?? .null,
                ]
            ),
            ("pools", .array(pools.map(\.json))), ("peers", .array(peers.map(\.json))),
            ("peers_omitted", .unsigned(UInt64(peersOmitted))),
        ]
    }
}

extension Tocsin_V1_GetStatusResponse {
    /// One paragraph.
    var summary: String {
        var lines = [
            "\(hub.printable), up \(TimeText.span(milliseconds: uptimeMs)), start \(epoch); "
                + "\(accepted) messages accepted, \(duplicates) duplicates, journal "
                + "\(SizeText.format(Int(clamping: journalBytes >> 20) << 20)) from \(firstSequence) to \(lastSequence)"
        ]
        if let median = syncs.bound(0.5), let high = syncs.bound(0.99) {
            lines.append(
                "\(syncs.count) syncs: half within \(median) µs, 99 of 100 within \(high) µs")
        }
        if !refused.isEmpty {
            let reasons = refused.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            lines.append("refused: \(reasons.joined(separator: ", ").printable)")
        }
        if let doors = security.summary { lines.append(doors) }
        return lines.joined(separator: "\n")
    }

    var poolTable: Table {
        var table = Table(columns: [
            .left("POOL"), .right("QUEUED"), .right("DELAYED"), .right("IN FLIGHT"), .right("ACKED"), .right("DEAD"),
            .right("AGAIN"), .right("WORKERS"), .right("OLDEST"), .flexible("TAKES"),
        ])
        for pool in pools {
            table.add(
                Table.Cell(pool.name), Table.Cell("\(pool.queued)"), Table.Cell("\(pool.delayed)"),
                Table.Cell("\(pool.inFlight)"), Table.Cell("\(pool.acked)"),
                Table.Cell("\(pool.dead)", pool.dead > 0 ? .critical : .plain), Table.Cell("\(pool.redelivered)"),
                Table.Cell("\(pool.workers)", pool.workers == 0 ? .major : .plain),
                Table.Cell(pool.queued > 0 ? TimeText.span(milliseconds: pool.oldestMs) : "-"),
                Table.Cell(pool.filters.joined(separator: " ")))
        }
        return table
    }

    var peerTable: Table {
        let hasKeys = peers.contains { !$0.key.isEmpty }
        var table = Table(
            columns: [.left("PEER"), .left("ROLE")] + (hasKeys ? [.left("KEY")] : [])
                + [.right("SINCE"), .right("HOLDS"), .left("POOLS"), .flexible("SERVES")])
        for peer in peers.sorted(by: { ($0.role, $0.name) < ($1.role, $1.name) }) {
            table.add(
                [peer.name, peer.role] + (hasKeys ? [peer.key] : [])
                    + [
                        TimeText.span(milliseconds: peer.connectedMs), "\(peer.inFlight)", peer.pools.joined(separator: " "),
                        peer.services.sorted().joined(separator: " "),
                    ])
        }
        return table
    }
}

extension JSON {
    static func counts(_ counts: [String: UInt64]) -> JSON {
        .object(counts.sorted { $0.key < $1.key }.map { ($0.key, .unsigned($0.value)) })
    }
}

extension Tocsin_V1_SecurityStatus {
    var json: JSON {
        [
            "keys": .unsigned(UInt64(keys)), "admitted": .unsigned(admitted), "rejected": .counts(rejected),
            "cut": .unsigned(cut),
            "denied": .counts(denied),
        ]
    }

    /// One line; nil where there are no keys and nobody was refused.
    var summary: String? {
        guard keys > 0 || !rejected.isEmpty || !denied.isEmpty else { return nil }
        func list(_ counts: [String: UInt64]) -> String {
            counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ").printable
        }
        var line = "\(keys) keys, \(admitted) connections let in, \(cut) cut off"
        if !rejected.isEmpty { line += "; turned away: \(list(rejected))" }
        if !denied.isEmpty { line += "; may not: \(list(denied))" }
        return line
    }
}

extension Tocsin_V1_SyncStatus {
    /// Microseconds within which this share of the syncs was done, to the steps of the histogram; nil where there were none, or
    /// where it is more than the last step.
    func bound(_ share: Double) -> UInt64? {
        let wanted = (Double(count) * share).rounded(.up)
        guard wanted > 0 else { return nil }
        var counted: UInt64 = 0
        for bucket in buckets {
            counted += bucket.count
            if Double(counted) >= wanted { return bucket.microseconds }
        }
        return nil
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
            "workers": .unsigned(UInt64(workers)), "oldest_ms": .unsigned(oldestMs), "cancelled": .unsigned(cancelled),
            "discarded": .unsigned(discarded), "stale_settlements": .unsigned(staleSettlements),
            "dead_lettered": .unsigned(deadLettered), "revived": .unsigned(revived),
        ]
    }
}

extension Tocsin_V1_PeerStatus {
    var json: JSON {
        [
            "name": .string(name), "role": .string(role), "software": .string(software),
            "connected_ms": .unsigned(connectedMs), "silent_ms": .unsigned(silentMs), "pools": .strings(pools),
            "key": .text(key), "services": .strings(services), "in_flight": .unsigned(UInt64(inFlight)),
        ]
    }
}

extension Tocsin_V1_GetAccountingResponse {
    var json: JSON {
        [
            "handled": .unsigned(handled), "suppressed": .unsigned(suppressed), "applied": .unsigned(applied),
            "redelivered": .unsigned(redelivered), "position": .unsigned(position), "outbox": .unsigned(outbox),
        ]
    }
}
