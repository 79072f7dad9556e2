import TocsinProto
import TocsinWire

extension Checker {
    /// What an administrator asks for takes effect as soon as the hub has it, unless a status says that it was refused: that
    /// comes before anything else happens.
    func administer(_ method: String, _ request: [UInt8], _ peer: UInt64, _ id: UInt64) throws {
        switch method {
        case "RetryDeadLetters":
            let request = try Tocsin_V1_RetryDeadLettersRequest(serializedBytes: request)
            undecided = (peer, id, { [unowned self] in request.sequences.isEmpty ? retry(request.pool) : [] })
        case "DiscardDeadLetters":
            let request = try Tocsin_V1_DiscardDeadLettersRequest(serializedBytes: request)
            undecided = (peer, id, { [unowned self] in discard(request.pool, request.sequences) })
        case "CancelDelayed":
            let request = try Tocsin_V1_CancelDelayedRequest(serializedBytes: request)
            undecided = (
                peer, id, { [unowned self] in request.ids.flatMap { cancel(String(decoding: $0, as: UTF8.self)) } }
            )
        default: noteRequest(.other, peer, id)
        }
    }

    /// Whatever was asked for last was not refused.
    func decide() {
        guard let (peer, id, action) = undecided else { return }
        undecided = nil
        noteRequest(.admin(action()), peer, id)
    }

    private func retry(_ name: String) -> [Happened] {
        guard let pool = pool(name) else { return [] }
        return pool.dead.map { sequence in
            coverage.deadLettersRevived += 1
            trace.note("revived", sequence)
            pool.revive(sequence, at: clock.moment)
            return expect(pool, sequence, .revived)
        }
    }

    private func discard(_ name: String, _ sequences: [UInt64]) -> [Happened] {
        guard let pool = pool(name) else { return [] }
        return sequences.compactMap { sequence in
            guard pool.isDead(sequence) else { return nil }
            coverage.deadLettersDiscarded += 1
            trace.note("discarded", sequence)
            pool.withdraw(sequence, .discarded)
            return expect(pool, sequence, .discarded)
        }
    }

    private func cancel(_ id: String) -> [Happened] {
        guard let sequence = delayed[id] else { return [] }
        return pools.filter { $0.isHeld(sequence) }.map { pool in
            coverage.delayedCancelled += 1
            trace.note("cancelled", sequence)
            pool.withdraw(sequence, .cancelled)
            return expect(pool, sequence, .cancelled)
        }
    }

    /// The hub has answered: what it says is done must outlast it.
    func replied(_ facts: [Happened]) {
        for fact in facts {
            guard unjournaled[fact] == nil, let ordinal = journaledAt[fact], isOnDisk(ordinal) else {
                return fail("early", "\(fact) is answered and not on disk")
            }
        }
    }
}
