import TocsinCore
import TocsinJournal
import TocsinWire

/// What a worker was given by the core and has not been sent yet, because it has not read what it was sent before. Only the rows
/// are kept, the messages are in the journal: however much credit a worker has that does not read, it costs the hub little.
struct ParkedDelivery {
    var peer: PeerID
    var subscription: UInt64
    var rows: [DeliveryEntry]
}

extension Engine {
    /// Sends a worker what the core has given it, or parks what is too much for now.
    mutating func deliver(_ peer: PeerID, _ subscription: UInt64, _ table: [DeliveryEntry], _ now: Moment) throws {
        guard parked.isEmpty || !parked.contains(where: { $0.peer == peer }) else {
            // After what was given before.
            return park(peer, subscription, table[...])
        }
        let rest = try send(peer, subscription, table[...], now)
        if !rest.isEmpty { park(peer, subscription, rest) }
    }

    private mutating func park(_ peer: PeerID, _ subscription: UInt64, _ rows: ArraySlice<DeliveryEntry>) {
        isWaitingForReader = true
        parkedRows += rows.count
        parked.append(ParkedDelivery(peer: peer, subscription: subscription, rows: Array(rows)))
    }

    /// Sends what was parked, as far as its peers have read; what was given to somebody else meanwhile is left out.
    mutating func deliverParked(_ now: Moment) throws {
        guard !parked.isEmpty else { return }
        let waiting = parked
        let isLong = parkedRows >= parkedLimit
        parked = []
        parkedRows = 0
        var blocked: Set<PeerID> = []
        for delivery in waiting where core.isWelcomed(delivery.peer) {
            let isBlocked = blocked.contains(delivery.peer) || link.isBusy(delivery.peer)
            var rows = delivery.rows
            if !isBlocked || isLong { rows.removeAll { !core.isOut($0, to: delivery.peer, delivery.subscription) } }
            guard !isBlocked else {
                blocked.insert(delivery.peer)
                if !rows.isEmpty { park(delivery.peer, delivery.subscription, rows[...]) }
                continue
            }
            let rest = try send(delivery.peer, delivery.subscription, rows[...], now)
            guard !rest.isEmpty else { continue }
            blocked.insert(delivery.peer)
            park(delivery.peer, delivery.subscription, rest)
        }
        if isLong { parkedLimit = max(4096, 2 * parkedRows) }
        try perform(now)
    }

    /// Returns what the peer does not take for now.
    private mutating func send(
        _ peer: PeerID, _ subscription: UInt64, _ table: ArraySlice<DeliveryEntry>, _ now: Moment
    ) throws -> ArraySlice<DeliveryEntry> {
        var start = table.startIndex
        while start < table.endIndex {
            if link.isBusy(peer) { return table[start...] }
            var body = ByteWriter(capacity: min(options.deliveryBytes, (table.endIndex - start) * 320))
            var end = start
            while end < table.endIndex, body.count < options.deliveryBytes {
                guard let slice = try journal.message(table[end].sequence) else {
                    throw JournalError(
                        .corrupt, "message \(table[end].sequence) is queued, but the journal begins at \(journal.firstSequence)")
                }
                if body.count > 0, body.count + slice.count > Limits.bodyBytes { break }
                body.append(slice.framed)
                end += 1
            }
            var rows = ByteWriter(capacity: (end - start) * DeliveryEntry.size)
            for entry in table[start..<end] { entry.write(to: rows.extend(by: DeliveryEntry.size)) }
            let header = Header(.deliver, id: subscription, count: end - start)
            guard link.send(peer, header, [rows.finish(), body.finish()]) == .sent else {
                lose(peer, now)
                return []
            }
            start = end
        }
        return []
    }
}
