import TocsinCore
import TocsinJournal
import TocsinWire

/// What a hub shows of itself after it started, or at rest.
struct HubState {
    var pools: [PoolSnapshot]
    /// Sequence and attempts of each dead letter, by pool.
    var dead: [String: [(sequence: UInt64, attempts: Int)]]
    var durableSequence: UInt64
    var firstSequence: UInt64
}

extension Checker {
    /// A hub is about to start. What a crash left of the journal must hold all that was acknowledged; the rest is forgotten.
    func findSurvivors() {
        var found: [JournalRecord] = []
        for (name, bytes) in disk.visible where name.hasSuffix(".log") {
            do { found += try bytes.withUnsafeBytes { try JournalReader.records(name, $0, from: 64) } } catch {
                return fail("lost", "\(name): \(error)")
            }
        }
        for record in found where record.ordinal > UInt64(records.count) || records[Int(record.ordinal) - 1].time != record.time {
            return fail("lost", "the journal has a batch \(record.ordinal) that was not written so")
        }
        carriedAtStart = [:]
        for record in found {
            guard case .carried(let rows) = record.content else { continue }
            for (message, pools) in rows where carriedAtStart[message.sequence] == nil {
                carriedAtStart[message.sequence] = pools
            }
        }
        let last = found.last?.ordinal ?? 0
        guard last >= verified else {
            return fail("lost", "batch \(verified) was durable; batch \(last) is the last after the crash")
        }
        records.removeLast(records.count - Int(last))
        let sequence = records.last { if case .messages = $0.content { true } else { false } }.flatMap { record in
            if case .messages(let batch) = record.content { batch.last?.sequence } else { nil }
        }
        messages.removeLast(messages.count - Int(sequence ?? 0))
        stored = [:]
        for message in messages { stored[message.id] = message.sequence }
        if let lost = lostIDs.first { fail("lost", "\(lost) was acknowledged and is not in the journal after the crash") }
    }

    /// The hub has started: from here on it must behave as the journal's batches say.
    func recovered(_ state: HubState) {
        let now = clock.moment
        firstKept = state.firstSequence
        durableOrdinal = UInt64(records.count)
        durableSequence = UInt64(messages.count)
        replay(now)
        guard state.durableSequence == durableSequence else {
            return fail("recovery", "the hub says \(state.durableSequence) is the last message, the journal \(durableSequence)")
        }
        compare(state, "recovery")
    }

    private func replay(_ now: Moment) {
        pools = []
        recordedPools = []
        var attempts: [String: [UInt64: Int]] = [:]
        var settled: [String: [UInt64: PoolModel.State]] = [:]
        for record in records {
            guard case .control(let facts) = record.content else { continue }
            for fact in facts {
                switch fact {
                case .pool(let name, let filters, let terms):
                    guard !recordedPools.contains(name) else { continue }
                    recordedPools.append(name)
                    do {
                        let parsed = try filters.map { try SubjectFilter($0) }
                        let pool = PoolModel(name: name, filters: parsed, terms: terms)
                        pool.recordedAt = record.ordinal
                        pools.append(pool)
                    } catch { fail("fact", "pool \(name): \(error)") }
                case .acked(let pool, let sequence):
                    settled[recordedPools[pool], default: [:]][sequence] = .acked
                    self.pool(recordedPools[pool])?.acked += 1
                case .attempt(let pool, let sequence, let made):
                    attempts[recordedPools[pool], default: [:]][sequence] = Int(made)
                    if let model = self.pool(recordedPools[pool]), Int(made) >= model.maxAttempts {
                        model.mayExceed.insert(sequence)
                    }
                case .dead(let pool, let sequence, let made, _):
                    settled[recordedPools[pool], default: [:]][sequence] = .dead
                    attempts[recordedPools[pool], default: [:]][sequence] = Int(made)
                case .revived(let pool, let sequence):
                    settled[recordedPools[pool]]?[sequence] = nil
                    attempts[recordedPools[pool]]?[sequence] = nil
                case .cancelled(let pool, let sequence):
                    settled[recordedPools[pool], default: [:]][sequence] = .cancelled
                case .discarded(let pool, let sequence):
                    settled[recordedPools[pool], default: [:]][sequence] = .discarded
                }
            }
        }
        for message in messages where isKept(message) && message.notBefore > max(message.time, now.wall) {
            delayed[message.id] = message.sequence
        }
        for pool in pools {
            for message in messages where takes(pool, message) {
                let made = attempts[pool.name]?[message.sequence] ?? 0
                if let state = settled[pool.name]?[message.sequence] {
                    if case .dead = state, !isKept(message) {
                        return fail("lost", "dead letter \(message.sequence) of \(pool.name) was removed")
                    }
                    pool.settle(message, state, attempts: made)
                } else if message.sequence >= firstKept || isCarried(message, for: pool) {
                    var message = message
                    // What was due when it was stored stays so, even if the clock was set back since.
                    if message.notBefore <= message.time, !pool.fromStart { message.notBefore = 0 }
                    pool.offer(message, attempts: made, at: now)
                } else if !pool.fromStart {
                    return fail("lost", "message \(message.sequence) was removed before \(pool.name) had settled it for good")
                }
            }
        }
    }

    private func isKept(_ message: StoredMessage) -> Bool {
        message.sequence >= firstKept || carriedAtStart[message.sequence] != nil
    }

    private func isCarried(_ message: StoredMessage, for pool: PoolModel) -> Bool {
        guard let pools = carriedAtStart[message.sequence], let number = recordedPools.firstIndex(of: pool.name) else {
            return false
        }
        return pools & 1 << UInt64(number) != 0
    }

    /// The hub's queues against the model's.
    func compare(_ state: HubState, _ rule: String) {
        for snapshot in state.pools {
            // A pool that was declared only now has nothing; one that reads the past is compared when it has read it.
            guard let pool = pool(snapshot.name), !pool.fromStart || rule == "liveness" else { continue }
            let unsettled = pool.unsettled
            let later = unsettled.count { pool.isForLater($0) }
            let found = (Int(snapshot.queued + snapshot.inFlight), Int(snapshot.delayed), Int(snapshot.counters.acked))
            guard found == (unsettled.count, later, pool.acked) else {
                return fail(
                    rule,
                    "\(pool.name): \(found.0) messages, \(found.1) for later, \(found.2) acknowledged; by the journal "
                        + "\(unsettled.count), \(later) and \(pool.acked)"
                )
            }
            let counters = snapshot.counters
            let ends = counters.acked + counters.cancelled + counters.discarded
            guard counters.matched == ends + snapshot.queued + snapshot.inFlight + snapshot.dead else {
                return fail(
                    rule, "\(pool.name) has taken \(counters.matched) messages, \(ends) ended, and the rest is not the rest")
            }
            let queued = snapshot.queuedBySeverity.map { Int($0.1) }
            let expected = snapshot.queuedBySeverity.map { severity, _ in
                unsettled.count { pool.lease($0) == nil && pool.entries[$0]?.severity == Int(severity.rawValue) }
            }
            guard queued == expected else {
                return fail(rule, "\(pool.name): \(queued) wait from critical to info; by the journal \(expected)")
            }
            let dead = pool.dead.map { ($0, pool.entries[$0]?.attempts ?? 0) }
            let letters = state.dead[pool.name] ?? []
            if letters.count > deadLetters {
                fail("bounds", "\(pool.name) keeps \(letters.count) dead letters of \(deadLetters)")
            }
            guard letters.map(\.sequence) == dead.map(\.0), letters.map(\.attempts) == dead.map(\.1) else {
                return fail(rule, "\(pool.name) has the dead letters \(letters); by the journal they are \(dead)")
            }
        }
    }

    /// Everything is at rest: every message must have its fate in every pool that takes it.
    func checkFates() {
        for pool in pools {
            for message in messages where takes(pool, message) && (!pool.fromStart || message.sequence >= firstKept) {
                guard pool.isAcked(message.sequence) || pool.isDead(message.sequence) || pool.isWithdrawn(message.sequence) else {
                    return fail("lost", "message \(message.sequence) is neither settled nor dead in \(pool.name)")
                }
            }
        }
    }

    /// The oldest message that a pool has not settled or keeps as a dead letter, or whose id counts as a duplicate.
    var needed: UInt64 {
        let wall = clock.moment.wall
        var needed = messages.first { $0.time + dedupWindow >= wall }?.sequence ?? .max
        for pool in pools { needed = min(needed, (pool.dead + pool.unsettled).min() ?? .max) }
        return min(needed, durableSequence + 1)
    }

    /// The hub had the time to let go of everything before `needed`. `bytes`: what its segments take.
    func checkSize(_ bytes: Int, needed: UInt64, segmentBytes: Int, retainBytes: Int) {
        // A clock that is set back lengthens the dedup window.
        guard setBack.isEmpty else { return }
        var begins: [UInt64] = []
        var file = ""
        for record in records where record.file != file {
            begins.append(record.firstSequence)
            file = record.file
        }
        // One more goes with where the index is coarse, another is made in advance.
        let kept = begins.count - (begins.lastIndex { $0 <= needed } ?? 0) + 2
        let most = max(retainBytes + segmentBytes, kept * segmentBytes)
        if bytes > most {
            fail("bounds", "the journal takes \(bytes) bytes; what is needed, from message \(needed) on, takes \(most)")
        }
    }
}
