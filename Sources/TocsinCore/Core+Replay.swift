import TocsinWire

/// What replay gathers before the pools' queues can be made.
struct Replay {
    /// Each pool's messages in order of sequence. Settled ones are dropped now and then, and at the end.
    var lists: [List] = []
    /// Of the batch at hand.
    var metas: [MessageMeta] = []
    /// Of messages that were published for later.
    var delayed: [UInt64: MessageMeta] = [:]
    var delayedLimit = 65_536
    var attempts: [Int: [UInt64: UInt8]] = [:]
    /// The first message of what is kept of the journal, but for those that were carried; 0 before any batch is seen.
    var firstSequence: UInt64 = 0
    /// Messages before it that were carried, as far as they are needed.
    var carried: [UInt64: MessageMeta] = [:]
    var carriedLimit = 65_536
    /// Messages that a repair gave up.
    var lost: [ClosedRange<UInt64>] = []

    struct List {
        var entries = EntryList()
        /// Entries; a run is one.
        var count = 0
        /// Reaching this, the list is cleared of what is settled: a long journal is not held in memory.
        var limit = 65_536
    }
}

extension Core {
    /// Replay begins with a batch whose first message, or the first to come after it, is this.
    public mutating func beginReplay(firstSequence: UInt64) {
        guard replaying.firstSequence == 0 else { return }
        replaying.firstSequence = firstSequence
        lastSequence = firstSequence - min(1, firstSequence)
    }

    /// One batch of messages of the journal, in order: length-prefixed envelopes. Throws for one that does not scan.
    public mutating func replayMessages(_ body: UnsafeRawBufferPointer, firstSequence: UInt64, time: UInt64) throws(WireError) {
        var metas = replaying.metas
        replaying.metas = []
        metas.removeAll(keepingCapacity: true)
        _ = try LengthPrefixed.forEach(in: body) { (_, _, message) throws(WireError) in
            let (meta, _) = meta(try EnvelopeView(scanning: message))
            // Slots of a large table are far apart in memory: fetched here, one after another without waiting for each.
            dedup.prefetch(meta.dedupID.high, meta.dedupID.low)
            metas.append(meta)
        }
        var sequence = firstSequence
        for meta in metas {
            replay(meta, sequence, time)
            sequence += 1
        }
        replaying.metas = metas
        if replaying.delayed.count >= replaying.delayedLimit {
            replaying.delayed = replaying.delayed.filter { $0.value.notBefore > time }
            replaying.delayedLimit = max(65_536, 2 * replaying.delayed.count)
        }
    }

    private mutating func replay(_ meta: MessageMeta, _ sequence: UInt64, _ time: UInt64) {
        dedup.remember(meta.dedupID.high, meta.dedupID.low, now: time)
        lastSequence = sequence
        if meta.notBefore > time, meta.route != 0 { replaying.delayed[sequence] = meta }
        var mask = meta.route
        while mask != 0 {
            let pool = mask.trailingZeroBitCount
            mask &= mask - 1
            guard !pools[pool].catchingUp else { continue }
            pools[pool].unsettled.insert(sequence)
            let entry = Entry(sequence: sequence, severity: meta.severity, attempts: 0, keyHash: meta.keyHash, queuedAt: 0)
            if replaying.lists[pool].entries.append(entry, slab) { replaying.lists[pool].count += 1 }
            if replaying.lists[pool].count >= replaying.lists[pool].limit { dropSettled(pool) }
        }
    }

    private mutating func dropSettled(_ pool: Int) {
        var list = replaying.lists[pool]
        var kept = Replay.List()
        while let entry = list.entries.takeFirst(slab) {
            // A dead letter may yet be revived.
            if pools[pool].unsettled.contains(entry.sequence) || pools[pool].dead[entry.sequence] != nil {
                if kept.entries.append(entry, slab) { kept.count += 1 }
            }
        }
        kept.limit = max(65_536, 2 * kept.count)
        replaying.lists[pool] = kept
    }

    /// One control batch or checkpoint of the journal, in order.
    public mutating func replayControl(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
        var reader = ControlReader(bytes)
        while !reader.isAtEnd {
            let tag = try reader.tag()
            if tag == .pool {
                try replayPool(&reader)
                continue
            }
            let pool = Int(truncatingIfNeeded: try reader.varint())
            guard pools.indices.contains(pool) else { throw WireError(.badBody, "a control record names pool \(pool)") }
            switch tag {
            case .pool: break
            case .acked:
                try reader.acked { (sequence) throws(WireError) in
                    try settled(pool, sequence)
                    pools[pool].failures.forget(sequence)
                    pools[pool].counters.acked += 1
                }
            case .attempt:
                let sequence = try reader.varint()
                let failed = try reader.failedAttempt()
                guard try isKept(sequence) else { break }
                replaying.attempts[pool, default: [:]][sequence] = failed.attempt
                pools[pool].failures.add(failed, to: sequence)
            case .dead:
                let letter = try reader.letter()
                try settled(pool, letter.sequence)
                // Without its message it could not be given to anybody again.
                if try isKept(letter.sequence) { pools[pool].dead[letter.sequence] = letter }
                pools[pool].counters.deadLettered += 1
            case .revived:
                let sequence = try reader.varint()
                pools[pool].dead[sequence] = nil
                pools[pool].failures.restart(sequence)
                replaying.attempts[pool]?[sequence] = nil
                pools[pool].counters.revived += 1
                guard try isKept(sequence) else { break }
                if pools[pool].catchingUp {
                    pools[pool].settledEarly.remove(sequence)
                } else {
                    pools[pool].unsettled.insert(sequence)
                }
            case .cancelled:
                try settled(pool, try reader.varint())
                pools[pool].counters.cancelled += 1
            case .discarded:
                let sequence = try reader.varint()
                pools[pool].dead[sequence] = nil
                pools[pool].failures.forget(sequence)
                pools[pool].counters.discarded += 1
            case .counters:
                // The others count from the start, which is now, or are made at the end of replay.
                pools[pool].counters = try reader.counters()
            }
        }
    }

    /// One batch of the journal that stands for what a repair gave up: `count` messages from `firstSequence` on, and control
    /// records but for those that could be saved. What records say of a lost message is of no more use to anybody.
    public mutating func replayLost(
        firstSequence: UInt64, count: Int, records: UnsafeRawBufferPointer
    ) throws(WireError) {
        if count > 0 {
            lastSequence = firstSequence + UInt64(count) - 1
            replaying.lost.append(firstSequence...lastSequence)
        }
        try replayControl(records)
    }

    /// Whether the message of a record is among those kept. Records follow the messages they are about, so one that is
    /// about a message to come is not ours: taken at its word, a changed bit could ask for any amount of memory.
    private func isKept(_ sequence: UInt64) throws(WireError) -> Bool {
        guard replaying.firstSequence > 0 else { return false }
        guard sequence <= lastSequence else {
            throw WireError(.badBody, "a control record names message \(sequence), the last before it is \(lastSequence)")
        }
        guard sequence >= replaying.firstSequence else { return replaying.carried[sequence] != nil }
        return !replaying.lost.contains { $0.contains(sequence) }
    }

    private mutating func settled(_ pool: Int, _ sequence: UInt64) throws(WireError) {
        guard try isKept(sequence) else { return }
        if !pools[pool].catchingUp {
            pools[pool].unsettled.remove(sequence)
        } else {
            pools[pool].settledEarly.insert(sequence)
        }
        replaying.attempts[pool]?[sequence] = nil
    }

    private mutating func replayPool(_ reader: inout ControlReader) throws(WireError) {
        let (definition, createdAfter, catchingUp) = try reader.pool()
        if let known = poolIndex[definition.name] {
            // A pool found behind the stream is read anew from the messages themselves, however far it had come.
            pools[known].definition = definition
        } else {
            add(definition, createdAfter: createdAfter, catchingUp: catchingUp)
            replaying.lists.append(Replay.List())
        }
    }

    /// Makes the queues from what was replayed. `lastBatch`: ordinal of the journal's last batch.
    public mutating func finishReplay(lastBatch: UInt64, lastSequence: UInt64, at now: Moment) {
        #if TOCSIN_PLANTED_BUGS
            if PlantedBug.attemptsForgotten.isPlanted { replaying.attempts = [:] }
            if PlantedBug.duplicatesForgotten.isPlanted { dedup = DedupWindow(window: options.dedupWindow) }
        #endif
        self.lastBatch = lastBatch
        durableBatch = lastBatch
        graceUntil = now.steady + (options.serviceGrace ?? 3 * options.heartbeat)
        self.lastSequence = max(self.lastSequence, lastSequence)
        durableSequence = self.lastSequence
        accepted = durableSequence
        let carried = replaying.carried.sorted { $0.key < $1.key }
        for pool in pools.indices {
            var list = replaying.lists[pool].entries
            // Only what has its message can be settled, and nothing else may hold the floor down.
            let unsettled = pools[pool].unsettled
            pools[pool].unsettled = SequenceSet()
            for (sequence, meta) in carried where meta.route & 1 << UInt64(pool) != 0 {
                let isOpen =
                    pools[pool].catchingUp
                    ? !pools[pool].settledEarly.contains(sequence) : unsettled.contains(sequence)
                if isOpen {
                    queueReplayed(
                        pool, Entry(sequence: sequence, severity: meta.severity, attempts: 0, keyHash: meta.keyHash, queuedAt: 0),
                        now)
                }
            }
            while let entry = list.takeFirst(slab) {
                if unsettled.contains(entry.sequence) { queueReplayed(pool, entry, now) }
            }
            let counters = pools[pool].counters
            pools[pool].counters.matched =
                counters.acked + counters.cancelled + counters.discarded + UInt64(pools[pool].dead.count)
                + UInt64(pools[pool].unsettled.count)
            if pools[pool].catchingUp { pools[pool].cursor = 1 } else { replaying.attempts[pool] = nil }
        }
        // In order: of two messages with one id the later is the one that can be cancelled, as before the restart.
        for (sequence, meta) in replaying.delayed.sorted(by: { $0.key < $1.key }) { noteDelayed(meta, sequence, now) }
        replaying.lists = []
        replaying.carried = [:]
        replaying.lost = []
        replaying.metas = []
        replaying.delayed = [:]
    }

    /// Queues a message that replay found unsettled.
    private mutating func queueReplayed(_ pool: Int, _ entry: Entry, _ now: Moment) {
        pools[pool].unsettled.insert(entry.sequence)
        let fresh = Entry(
            sequence: entry.sequence, severity: entry.severity,
            attempts: replaying.attempts[pool]?[entry.sequence] ?? 0, keyHash: entry.keyHash, queuedAt: seconds(now))
        if let meta = replaying.delayed[entry.sequence], meta.notBefore > now.wall {
            schedule(pool, pools[pool].hold(fresh, slab), due: meta.notBefore)
        } else {
            pools[pool].enqueue(fresh, slab)
        }
    }

    // MARK: Writing

    /// What the next control batch must hold, if anything: everything since the last, or as much of it as comes to at most
    /// `limit` bytes. Then tell `appended`.
    public mutating func takeControl(atMost limit: Int = .max) -> Bytes? {
        var taken = control.take(atMost: limit)
        // After all that was written of their messages before.
        if control.bytes.isEmpty {
            for pool in acked.indices where !acked[pool].isEmpty {
                // Ten bytes each at most, and as much for each of the numbers at the head.
                let room = (limit - taken.bytes.count - 21) / 10
                guard room > 0 else { break }
                if acked[pool].count <= room {
                    taken.acked(pool: pool, acked[pool])
                    acked[pool].removeAll(keepingCapacity: true)
                } else {
                    taken.acked(pool: pool, acked[pool].prefix(room))
                    acked[pool].removeFirst(room)
                }
            }
        }
        let isAll = control.bytes.isEmpty && acked.allSatisfy(\.isEmpty)
        guard !taken.bytes.isEmpty || isAll && !controlAnswers.isEmpty else { return nil }
        if isAll {
            for answer in controlAnswers {
                pending.append(PendingBatch(batch: 0, firstSequence: 0, metas: [], answer: answer))
            }
            controlAnswers = []
        }
        return Bytes(taken.bytes)
    }

    /// Whether somebody waits for what `takeControl` would give.
    public var isControlAwaited: Bool { !controlAnswers.isEmpty }

    /// Rough size of what `takeControl` would give.
    public var controlBytes: Int { control.bytes.count + acked.reduce(0) { $0 + $1.count * 10 } + controlAnswers.count }

    /// The state a segment begins with, so that older ones can be removed. What `takeControl` has yet to give is not in it.
    public func checkpoint() -> Bytes {
        var writer = ControlWriter()
        var later = pools.map { _ in PoolCounters() }
        for (pool, sequences) in acked.enumerated() { later[pool].acked = UInt64(sequences.count) }
        for record in control.counted {
            switch record.tag {
            case .dead: later[record.pool].deadLettered += 1
            case .revived: later[record.pool].revived += 1
            case .cancelled: later[record.pool].cancelled += 1
            case .discarded: later[record.pool].discarded += 1
            case .pool, .acked, .attempt, .counters: break
            }
        }
        for (index, pool) in pools.enumerated() {
            var counters = pool.counters
            counters.acked -= later[index].acked
            counters.deadLettered -= later[index].deadLettered
            counters.revived -= later[index].revived
            counters.cancelled -= later[index].cancelled
            counters.discarded -= later[index].discarded
            writer.pool(pool.definition, createdAfter: pool.createdAfter, catchingUp: pool.catchingUp)
            writer.counters(pool: index, counters)
        }
        return Bytes(writer.bytes)
    }
}
