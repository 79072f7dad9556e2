import TocsinWire

extension Core {
    /// What routing needs of one envelope. Throws `unknownSubject` if nothing takes it.
    public mutating func examine(_ envelope: EnvelopeView) throws(WireError) -> MessageMeta {
        let meta = meta(envelope)
        guard meta.stored else {
            throw WireError(
                .unknownSubject,
                "nothing takes the subject \"\(String(decoding: envelope.subject, as: UTF8.self))\": no pool's filter and none of the hub's subjects match"
            )
        }
        return meta.meta
    }

    mutating func meta(_ envelope: EnvelopeView) -> (meta: MessageMeta, stored: Bool) {
        let route = route(envelope.subject)
        let keyHash = envelope.key.isEmpty ? 0 : hash.hash(envelope.key, lane: 3) | 1
        return (
            MessageMeta(
                idHigh: hash.hash(envelope.id, lane: 1), idLow: hash.hash(envelope.id, lane: 2), space: route.space,
                keyHash: keyHash, route: route.mask, notBefore: envelope.notBefore, severity: envelope.severity.rawValue),
            route.stored
        )
    }

    private mutating func route(_ subject: UnsafeRawBufferPointer) -> Route {
        let key = hash.hash(subject)
        if let known = routes[key], known.subject.elementsEqual(subject) { return known }
        var mask: UInt64 = 0
        for (index, pool) in pools.enumerated() where pool.definition.matches(subject) { mask |= 1 << UInt64(index) }
        let stored = mask != 0 || options.subjects.contains { $0.matches(subject) }
        if routes.count >= 65_536 { routes.removeAll() }
        let end = subject.firstIndex(of: UInt8(ascii: ".")) ?? subject.count
        let route = Route(
            subject: Array(subject), mask: mask, space: hash.hash(subject.part(0, end), lane: 4), stored: stored)
        routes[key] = route
        return route
    }

    mutating func publish(
        _ peer: PeerID, _ request: UInt64, _ metas: [MessageMeta], _ now: Moment, _ effects: inout [Effect]
    ) {
        // What is pending may be the answer to duplicates alone.
        guard pendingCount + metas.count <= options.pendingMessages, pending.count < options.pendingMessages else {
            let waiting = max(pendingCount, pending.count)
            let error = WireError(.storageFailed, "\(waiting) messages or answers wait for the disk already; send again later")
            return effects.append(.status(peer, id: request, error))
        }
        var kept: [Int]?
        for (index, meta) in metas.enumerated() {
            if dedup.insert(meta.dedupID.high, meta.dedupID.low, now: now.wall) {
                kept?.append(index)
            } else if kept == nil {
                kept = Array(0..<index)
            }
        }
        let stored = kept.map { indices in indices.map { metas[$0] } } ?? metas
        let answer = Answer.accepted(peer, request: request, stored: stored.count, duplicates: metas.count - stored.count)
        duplicates += UInt64(metas.count - stored.count)
        guard !stored.isEmpty else {
            // The originals may not be on disk yet: the answer waits for everything appended so far.
            return wait(PendingBatch(batch: lastBatch, firstSequence: 0, metas: [], answer: answer), &effects)
        }
        let first = lastSequence + 1
        lastSequence += UInt64(stored.count)
        pendingCount += stored.count
        pending.append(PendingBatch(batch: 0, firstSequence: first, metas: stored, answer: answer))
        effects.append(.appendMessages(firstSequence: first, kept: kept))
    }

    private mutating func wait(_ batch: PendingBatch, _ effects: inout [Effect]) {
        if batch.batch <= durableBatch { answer(batch, &effects) } else { pending.append(batch) }
    }

    /// The journal has taken a batch under this ordinal. Every append is told here, in order.
    public mutating func appended(_ batch: UInt64) {
        lastBatch = batch
        var index = pending.endIndex
        while index > pending.startIndex, pending[index - 1].batch == 0 {
            index -= 1
            pending[index].batch = batch
        }
    }

    mutating func durable(_ batch: UInt64, _ now: Moment, _ effects: inout [Effect]) {
        durableBatch = max(durableBatch, batch)
        let second = seconds(now)
        while let first = pending.first, first.batch != 0, first.batch <= batch {
            pending.removeFirst()
            pendingCount -= first.metas.count
            var sequence = first.firstSequence
            for meta in first.metas {
                offer(meta, sequence, now: now, second: second)
                sequence += 1
            }
            if !first.metas.isEmpty {
                durableSequence = sequence - 1
                accepted += UInt64(first.metas.count)
            }
            answer(first, &effects)
        }
    }

    private mutating func answer(_ batch: PendingBatch, _ effects: inout [Effect]) {
        switch batch.answer {
        case .accepted(let peer, let request, let stored, let duplicates):
            effects.append(
                .accepted(
                    peer, request: request, firstSequence: batch.firstSequence, stored: stored, duplicates: duplicates))
        case .declared(let peer, let request):
            effects.append(.status(peer, id: request, WireError(.ok, "")))
        case .replied(let call, let frame): answered(call, frame, &effects)
        }
    }

    /// Gives a durable message to every pool that takes it and is level with the stream.
    private mutating func offer(_ meta: MessageMeta, _ sequence: UInt64, now: Moment, second: UInt32) {
        noteDelayed(meta, sequence, now)
        var mask = meta.route
        while mask != 0 {
            let pool = mask.trailingZeroBitCount
            mask &= mask - 1
            if !pools[pool].catchingUp { queue(meta, sequence, pool, attempts: 0, now: now, second: second) }
        }
    }

    private mutating func queue(
        _ meta: MessageMeta, _ sequence: UInt64, _ pool: Int, attempts: UInt8, now: Moment, second: UInt32
    ) {
        pools[pool].unsettled.insert(sequence)
        pools[pool].counters.matched += 1
        let entry = Entry(
            sequence: sequence, severity: meta.severity, attempts: attempts, keyHash: meta.keyHash, queuedAt: second)
        if meta.notBefore > now.wall {
            schedule(pool, pools[pool].hold(entry, slab), due: meta.notBefore)
        } else {
            pools[pool].enqueue(entry, slab)
        }
    }

    /// Makes a message known as one that can be cancelled, if it is for later.
    mutating func noteDelayed(_ meta: MessageMeta, _ sequence: UInt64, _ now: Moment) {
        guard meta.notBefore > now.wall else { return }
        let delayed = DelayedMessages.Entry(
            sequence: sequence, due: meta.notBefore, route: meta.route, severity: meta.severity)
        delayedMessages.insert(delayed, id: .init(high: meta.idHigh, low: meta.idLow), now: now.wall)
    }

    /// Takes back a message that was published for later and is not due yet, from every pool. False if no pool holds it: it is
    /// due, was cancelled before, or was never stored.
    public mutating func cancelDelayed(id: UnsafeRawBufferPointer, at now: Moment) -> Bool {
        let fingerprint = DelayedMessages.ID(high: hash.hash(id, lane: 1), low: hash.hash(id, lane: 2))
        // One that is due may still be held, or lie in the past that a pool has yet to read: it is due all the same.
        guard let message = delayedMessages[fingerprint], message.due > now.wall else { return false }
        var isHeld = false
        var mask = message.route
        while mask != 0 {
            let pool = mask.trailingZeroBitCount
            mask &= mask - 1
            guard pools[pool].cancel(message.sequence, severity: message.severity, slab) else { continue }
            isHeld = true
            control.cancelled(pool: pool, sequence: message.sequence)
        }
        return isHeld
    }

    /// The hub's answer to a call, which goes out once everything up to here is on disk.
    public mutating func answerWhenDurable(call: UInt64, _ frame: CallFrame) {
        controlAnswers.append(.replied(call: call, frame))
    }

    // MARK: Pools

    /// Creates a pool or confirms it. Throws `badPool` or `tooMany`.
    public mutating func declare(_ definition: PoolDefinition) throws(WireError) {
        if let known = poolIndex[definition.name] {
            guard pools[known].definition.filters == definition.filters else {
                throw WireError(
                    .badPool,
                    "pool \"\(definition.name)\" exists with the filters \(pools[known].definition.filters.map(\.description))")
            }
            if pools[known].definition != definition {
                pools[known].definition = definition
                control.pool(definition, createdAfter: pools[known].createdAfter, catchingUp: pools[known].catchingUp)
            }
            return
        }
        guard pools.count < Limits.pools else {
            throw WireError(.tooMany, "the hub has \(Limits.pools) pools already")
        }
        let catchingUp = definition.fromStart && lastSequence > 0
        add(definition, createdAfter: lastSequence, catchingUp: catchingUp)
        control.pool(definition, createdAfter: lastSequence, catchingUp: catchingUp)
    }

    mutating func add(_ definition: PoolDefinition, createdAfter: UInt64, catchingUp: Bool) {
        poolIndex[definition.name] = pools.count
        pools.append(Pool(definition, createdAfter: createdAfter, catchingUp: catchingUp, epoch: epoch))
        acked.append([])
        routes.removeAll()
    }

    /// The pool that is behind the stream and the sequence it needs next, if there is one.
    public var catchUp: (pool: Int, next: UInt64)? {
        for (index, pool) in pools.enumerated() where pool.catchingUp { return (index, pool.cursor) }
        return nil
    }

    /// Gives an old message to a pool that is catching up; nil for one that is no longer kept. In order of sequence.
    public mutating func catchUp(_ pool: Int, _ sequence: UInt64, _ envelope: EnvelopeView?, at now: Moment) {
        if let envelope, !pools[pool].settledEarly.contains(sequence), pools[pool].definition.matches(envelope.subject) {
            let attempts = replaying.attempts[pool]?[sequence] ?? 0
            let meta = meta(envelope).meta
            noteDelayed(meta, sequence, now)
            queue(meta, sequence, pool, attempts: attempts, now: now, second: seconds(now))
        }
        pools[pool].cursor = sequence + 1
        if pools[pool].cursor > max(durableSequence, pools[pool].createdAfter) { level(pool) }
    }

    /// Skips what is no longer kept.
    public mutating func catchUp(_ pool: Int, skipTo sequence: UInt64) {
        pools[pool].cursor = max(pools[pool].cursor, sequence)
        if pools[pool].cursor > max(durableSequence, pools[pool].createdAfter) { level(pool) }
    }

    private mutating func level(_ pool: Int) {
        pools[pool].catchingUp = false
        pools[pool].settledEarly = SequenceSet()
        replaying.attempts[pool] = nil
        control.pool(
            pools[pool].definition, createdAfter: pools[pool].createdAfter, catchingUp: false)
    }

    // MARK: Dead letters

    /// The attempts before the last that a message of a pool had, oldest first; the latest eight at most.
    public func failures(pool name: String, _ sequence: UInt64) -> [FailedAttempt] {
        poolIndex[name].map { pools[$0].failures[sequence] } ?? []
    }

    /// In order of sequence. Nil: no such pool.
    public func deadLetters(pool name: String, from first: UInt64 = 0, atMost limit: Int) -> [DeadLetterEntry]? {
        guard let pool = poolIndex[name] else { return nil }
        return Array(pools[pool].dead.values.filter { $0.sequence >= first }.sorted { $0.sequence < $1.sequence }.prefix(limit))
    }

    /// Queues dead letters again with no attempts made; every one of the pool if `sequences` is empty. Nil: no such pool.
    public mutating func retryDeadLetters(pool name: String, _ sequences: [UInt64], at now: Moment) -> Int? {
        guard let pool = poolIndex[name] else { return nil }
        let chosen = (sequences.isEmpty ? Array(pools[pool].dead.keys) : sequences).sorted()
        var revived = 0
        for sequence in chosen {
            guard let letter = pools[pool].dead.removeValue(forKey: sequence) else { continue }
            revived += 1
            pools[pool].failures.restart(sequence)
            control.revived(pool: pool, sequence: sequence)
            pools[pool].counters.revived += 1
            pools[pool].unsettled.insert(sequence)
            pools[pool].enqueue(
                Entry(
                    sequence: sequence, severity: letter.severity, attempts: 0, keyHash: letter.keyHash,
                    queuedAt: seconds(now)), slab)
        }
        return revived
    }

    /// Lets go of dead letters for good; unknown ones are passed over. Nil: no such pool.
    public mutating func discardDeadLetters(pool name: String, _ sequences: [UInt64]) -> Int? {
        guard let pool = poolIndex[name] else { return nil }
        var discarded = 0
        for sequence in sequences where pools[pool].dead.removeValue(forKey: sequence) != nil {
            discarded += 1
            pools[pool].failures.forget(sequence)
            pools[pool].counters.discarded += 1
            control.discarded(pool: pool, sequence: sequence)
        }
        return discarded
    }

    /// Ids the dedup window holds at least, unless they are older than its time.
    public static var dedupIDs: Int { DedupWindow.generationIDs }
}
