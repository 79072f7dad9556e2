import TocsinCore
import TocsinEngine
import TocsinWire

/// How deliveries end: settled, given back, given up.
extension Checker {
    func settle(_ header: Header, _ parts: [Bytes], _ peer: PeerID, _ now: Moment) throws {
        guard let open = subscription(peer, header.id), let pool = pool(open.pool) else { return }
        var reasons: [String] = []
        if parts.count > 2 {
            _ = try LengthPrefixed.forEach(in: parts[2].buffer) { (_, _, text) throws(WireError) in
                reasons.append(String(decoding: text, as: UTF8.self))
            }
        }
        for row in 0..<Int(header.count) {
            let entry = try SettleEntry(parts[1].buffer, at: row)
            let reason = entry.outcome != .ack && !reasons.isEmpty ? reasons.removeFirst() : ""
            guard let lease = pool.lease(entry.sequence), lease.token == entry.token, lease.peer == peer,
                lease.subscription == header.id
            else {
                coverage.staleSettlements += 1
                continue
            }
            coverage.settlements += 1
            addCredit(peer, header.id, 1)
            switch entry.outcome {
            case .ack:
                pool.finish(entry.sequence, .acked)
                expect(pool, entry.sequence, .acked)
            case .retry:
                coverage.retries += 1
                again(pool, entry.sequence, after: entry.delay > 0 ? UInt64(entry.delay) : pool.backoff(entry.sequence), now)
            case .reject:
                coverage.rejects += 1
                die(pool, entry.sequence, reason.isEmpty ? nil : reason, now)
            }
        }
    }

    func again(_ pool: PoolModel, _ sequence: UInt64, after delay: UInt64, _ now: Moment) {
        let attempts = pool.entries[sequence]?.attempts ?? 0
        guard attempts < pool.maxAttempts else { return die(pool, sequence, nil, now) }
        putBack(pool, sequence, after: delay, now)
    }

    private func putBack(_ pool: PoolModel, _ sequence: UInt64, after delay: UInt64, _ now: Moment) {
        coverage.redeliveries += 1
        pool.putBack(sequence, after: delay, at: now)
        expect(pool, sequence, .attempt(pool.entries[sequence]?.attempts ?? 0))
    }

    private func die(_ pool: PoolModel, _ sequence: UInt64, _ reason: String?, _ now: Moment) {
        guard pool.dead.count < deadLetters else {
            pool.mayExceed.insert(sequence)
            return putBack(pool, sequence, after: deadLetterWait, now)
        }
        coverage.deadLetters += 1
        pool.finish(sequence, .dead)
        let what = Happened.What.dead(pool.entries[sequence]?.attempts ?? 0)
        expect(pool, sequence, what)
        rejections[Happened(pool: pool.name, sequence: sequence, what: what), default: []].append(reason)
    }

    func leave(_ peer: PeerID, _ subscription: UInt64, _ now: Moment) {
        guard let open = self.subscription(peer, subscription) else { return }
        sessions[peer]?.subscriptions.removeAll { $0.id == subscription }
        guard let pool = pool(open.pool) else { return }
        pool.members.removeAll { $0.peer == peer && $0.subscription == subscription }
        for sequence in pool.held(by: peer, subscription).reversed() { again(pool, sequence, after: 0, now) }
    }
}
