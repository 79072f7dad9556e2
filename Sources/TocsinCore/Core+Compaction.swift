import TocsinWire

/// What the pools still need of the journal, and how that is told anew so that old segments can go.
extension Core {
    /// The lowest sequence from `boundary` on that any pool still needs. What is needed below was carried.
    public func floor(from boundary: UInt64) -> UInt64 {
        var floor = durableSequence + 1
        for pool in pools {
            if let first = pool.unsettled.first(from: boundary) { floor = min(floor, first) }
            #if TOCSIN_PLANTED_BUGS
                if PlantedBug.deadLetterRemoved.isPlanted { continue }
            #endif
            if let dead = pool.dead.keys.lazy.filter({ $0 >= boundary }).min() { floor = min(floor, dead) }
            if pool.catchingUp { floor = min(floor, pool.cursor) }
        }
        return floor
    }

    /// Whether any pool has it to deliver, out, or among its dead letters.
    public func needs(_ sequence: UInt64) -> Bool {
        pools.contains { $0.unsettled.contains(sequence) || $0.dead[sequence] != nil }
    }

    /// Those of a range that are needed, in order.
    public func needed(in range: Range<UInt64>) -> [UInt64] {
        var needed: Set<UInt64> = []
        for pool in pools {
            needed.formUnion(pool.unsettled.members(in: range))
            for sequence in pool.dead.keys where range.contains(sequence) { needed.insert(sequence) }
        }
        return needed.sorted()
    }

    /// At least as many as are needed: those of several pools count for each.
    public var neededMost: Int { pools.reduce(0) { $0 + $1.unsettled.count + $1.dead.count } }

    /// What is known of attempts is all there is to know, and no pool reads the past: what is told anew is complete.
    public var canRestate: Bool { catchUp == nil && !pools.contains { $0.failures.isFull } }

    /// Who needs a message, one bit for each pool, and the control records that tell how far each has come with it. Call when
    /// nothing is left for `takeControl`: what is told anew must not come before what it sums up.
    public func restated(_ sequence: UInt64) -> (pools: UInt64, records: [UInt8]) {
        var mask: UInt64 = 0
        var writer = ControlWriter()
        for (index, pool) in pools.enumerated() {
            let letter = pool.dead[sequence]
            guard letter != nil || pool.unsettled.contains(sequence) else { continue }
            mask |= 1 << UInt64(index)
            let history = pool.failures[sequence]
            for failed in history { writer.attempt(pool: index, sequence: sequence, failed) }
            if let letter {
                writer.dead(pool: index, letter)
            } else if !history.isEmpty, pool.failures.made(sequence) == 0 {
                writer.revived(pool: index, sequence: sequence)
            }
        }
        return (mask, writer.bytes)
    }

    /// Messages of the journal that were carried from older segments: `row` tells of each its sequence, when it was stored
    /// (milliseconds since 1970) and the pools that need it; `records` how far they have come with it. Those that are still where
    /// they were, or were carried before, are known with all that the records say. Throws for what does not fit.
    public mutating func replayCarried(
        _ messages: UnsafeRawBufferPointer, records: UnsafeRawBufferPointer,
        row: (Int) -> (sequence: UInt64, time: UInt64, pools: UInt64)
    ) throws(WireError) {
        let known: UInt64 = pools.count < 64 ? (1 << UInt64(pools.count)) - 1 : .max
        var index = 0
        _ = try LengthPrefixed.forEach(in: messages, atMost: .max) { (_, _, message) throws(WireError) in
            let (sequence, time, mask) = row(index)
            index += 1
            guard sequence <= lastSequence else {
                throw WireError(.badBody, "message \(sequence) was carried before it was stored")
            }
            guard mask & ~known == 0 else {
                throw WireError(.badBody, "message \(sequence) was carried for pools that are not known")
            }
            guard sequence < replaying.firstSequence, replaying.carried[sequence] == nil else { return }
            var meta = meta(try EnvelopeView(scanning: message)).meta
            meta.route = mask
            replaying.carried[sequence] = meta
            if meta.notBefore > time { replaying.delayed[sequence] = meta }
            for pool in pools.indices where meta.route & 1 << UInt64(pool) != 0 && !pools[pool].catchingUp {
                pools[pool].unsettled.insert(sequence)
            }
        }
        if replaying.carried.count >= replaying.carriedLimit {
            replaying.carried = replaying.carried.filter { needs($0.key) }
            replaying.carriedLimit = max(65_536, 2 * replaying.carried.count)
        }
        let counters = pools.map(\.counters)
        try replayControl(records)
        for (index, counters) in counters.enumerated() { pools[index].counters = counters }
    }
}
