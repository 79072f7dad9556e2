#if TOCSIN_PLANTED_BUGS
    import TocsinWire
#endif

/// One message waiting in one pool, or a run of consecutive ones without a key that do not differ: 24 bytes, all that stays in
/// memory of a backlog.
struct Entry {
    /// The sequence in 48 bits; the severity in 7; whether there is a key; attempts in 8.
    private var packed: UInt64
    /// With a key its hash; without one the number of messages of the run after the first.
    private var keyHashOrMore: UInt64
    /// The next entry of the same list.
    var next: UInt32
    /// When it was queued, seconds of the hub's clock.
    var queuedAt: UInt32

    private static let keyed: UInt64 = 1 << 55

    /// Attempts already made, at most 255.
    var attempts: UInt8 { UInt8(truncatingIfNeeded: packed >> 56) }
    var severity: UInt8 { UInt8(truncatingIfNeeded: packed >> 48) & 0x7F }
    /// Of the first message.
    var sequence: UInt64 { packed & 0xFFFF_FFFF_FFFF }
    /// 0: none.
    var keyHash: UInt64 { packed & Self.keyed != 0 ? keyHashOrMore : 0 }
    private var more: UInt64 { packed & Self.keyed != 0 ? 0 : keyHashOrMore }

    init(sequence: UInt64, severity: UInt8, attempts: UInt8, keyHash: UInt64, queuedAt: UInt32) {
        packed = sequence & 0xFFFF_FFFF_FFFF | UInt64(severity & 0x7F) << 48 | UInt64(attempts) << 56
        if keyHash != 0 { packed |= Self.keyed }
        keyHashOrMore = keyHash
        self.queuedAt = queuedAt
        next = EntrySlab.none
    }

    /// Makes `other`, a single message, the last of the run; false if it is no part of one.
    mutating func extend(by other: Entry) -> Bool {
        // Severity, attempts and the lack of a key are the same if the numbers differ by as much as the sequences.
        guard packed & Self.keyed == 0, other.packed == packed + keyHashOrMore + 1, other.queuedAt == queuedAt,
            other.sequence == sequence + keyHashOrMore + 1
        else { return false }
        keyHashOrMore += 1
        return true
    }

    /// Takes the first message out of a run; nil if it is the only one.
    mutating func takeFirst() -> Entry? {
        guard more > 0 else { return nil }
        var first = self
        first.keyHashOrMore = 0
        first.next = EntrySlab.none
        packed += 1
        keyHashOrMore -= 1
        return first
    }

    /// The same message with one attempt more.
    var attempted: Entry {
        var copy = self
        if attempts < 255 { copy.packed += 1 << 56 }
        copy.next = EntrySlab.none
        return copy
    }
}

/// Entries in chunks, with a free list: no copy when it grows, memory given back when a whole slab empties.
final class EntrySlab {
    static let none = UInt32.max
    private static let chunkBits: UInt32 = 15

    // Unchecked: one thread has the slab, and no access to a variable of it calls anything that could lead to another.
    @exclusivity(unchecked) private var chunks: [UnsafeMutablePointer<Entry>] = []
    @exclusivity(unchecked) private var free = EntrySlab.none
    @exclusivity(unchecked) private var used: UInt32 = 0
    /// Entries.
    @exclusivity(unchecked) private(set) var count = 0
    /// Messages in them: more, where there are runs.
    @exclusivity(unchecked) fileprivate(set) var messages = 0

    deinit { for chunk in chunks { chunk.deallocate() } }

    subscript(index: UInt32) -> Entry {
        @inline(__always) get { chunks[Int(index >> Self.chunkBits)][Int(index & (1 << Self.chunkBits - 1))] }
        @inline(__always) set { chunks[Int(index >> Self.chunkBits)][Int(index & (1 << Self.chunkBits - 1))] = newValue }
    }

    func link(_ index: UInt32, to next: UInt32) {
        chunks[Int(index >> Self.chunkBits)][Int(index & (1 << Self.chunkBits - 1))].next = next
    }

    func insert(_ entry: Entry) -> UInt32 {
        count += 1
        messages += 1
        if free != Self.none {
            let index = free
            free = self[index].next
            self[index] = entry
            return index
        }
        if used >> Self.chunkBits == UInt32(chunks.count) { chunks.append(.allocate(capacity: 1 << Self.chunkBits)) }
        let index = used
        used += 1
        (chunks[Int(index >> Self.chunkBits)] + Int(index & (1 << Self.chunkBits - 1))).initialize(to: entry)
        return index
    }

    func remove(_ index: UInt32) {
        count -= 1
        messages -= 1
        if count == 0 {
            for chunk in chunks.dropFirst() { chunk.deallocate() }
            chunks.removeLast(max(0, chunks.count - 1))
            free = Self.none
            used = 0
            return
        }
        link(index, to: free)
        free = index
    }
}

/// A first-in-first-out list of entries, linked through the slab.
struct EntryList {
    var head = EntrySlab.none
    var tail = EntrySlab.none

    var isEmpty: Bool { head == EntrySlab.none }

    mutating func append(_ index: UInt32, _ slab: EntrySlab) {
        if isEmpty { head = index } else { slab.link(tail, to: index) }
        tail = index
    }

    mutating func prepend(_ index: UInt32, _ slab: EntrySlab) {
        slab.link(index, to: head)
        if isEmpty { tail = index }
        head = index
    }

    /// Appends one message, to a run where it can. Whether it takes an entry of its own.
    @discardableResult mutating func append(_ entry: Entry, _ slab: EntrySlab) -> Bool {
        if !isEmpty {
            var last = slab[tail]
            if last.extend(by: entry) {
                slab[tail] = last
                slab.messages += 1
                return false
            }
        }
        append(slab.insert(entry), slab)
        return true
    }

    /// Takes the first message, out of a run or with its entry.
    mutating func takeFirst(_ slab: EntrySlab) -> Entry? {
        guard head != EntrySlab.none else { return nil }
        var run = slab[head]
        if let first = run.takeFirst() {
            slab[head] = run
            slab.messages -= 1
            return first
        }
        guard let index = popFirst(slab) else { return nil }
        slab.remove(index)
        run.next = EntrySlab.none
        return run
    }

    mutating func popFirst(_ slab: EntrySlab) -> UInt32? {
        guard head != EntrySlab.none else { return nil }
        let index = head
        head = slab[index].next
        slab.link(index, to: EntrySlab.none)
        if head == EntrySlab.none { tail = EntrySlab.none }
        return index
    }
}

/// One delivery that is not settled yet.
struct Lease {
    var entry: Entry
    var peer: UInt64
    var subscription: UInt64
    var deadline: UInt64
    var generation: UInt32
    var lane: UInt32
    var previous: UInt32
    var next: UInt32
    var live: Bool
}

/// The leases of one pool, in order of deadline (all have the same visibility time; where that is shortened, see
/// `limitDeadlines`). A token names a slot and its
/// generation, so a settlement that comes late can never hit another delivery.
struct LeaseTable {
    static let none = UInt32.max
    private var slots: [Lease] = []
    private var free: [UInt32] = []
    private var head = LeaseTable.none
    private var tail = LeaseTable.none
    private(set) var count = 0
    private let firstGeneration: UInt32

    /// `epoch`: of this start of the hub, so that a token from before a restart fits nothing.
    init(epoch: UInt64) { firstGeneration = UInt32(truncatingIfNeeded: epoch &* 0x9E37_79B9) }

    mutating func insert(_ entry: Entry, peer: UInt64, subscription: UInt64, deadline: UInt64, lane: UInt32) -> UInt64 {
        let index: UInt32
        let generation: UInt32
        if let reused = free.popLast() {
            index = reused
            generation = slots[Int(index)].generation &+ 1
        } else {
            index = UInt32(slots.count)
            generation = firstGeneration
        }
        let lease = Lease(
            entry: entry, peer: peer, subscription: subscription, deadline: deadline, generation: generation, lane: lane,
            previous: tail, next: Self.none, live: true)
        if Int(index) == slots.count { slots.append(lease) } else { slots[Int(index)] = lease }
        if tail == Self.none { head = index } else { slots[Int(tail)].next = index }
        tail = index
        count += 1
        return UInt64(generation) << 32 | UInt64(index)
    }

    /// The lease that `token` names, if it is still the latest for its message.
    func find(_ token: UInt64, sequence: UInt64) -> Lease? {
        let index = Int(token & 0xFFFF_FFFF)
        guard index < slots.count else { return nil }
        let lease = slots[index]
        #if TOCSIN_PLANTED_BUGS
            if PlantedBug.lateSettlementTaken.isPlanted, lease.live, lease.entry.sequence == sequence { return lease }
        #endif
        guard lease.live, lease.generation == UInt32(truncatingIfNeeded: token >> 32), lease.entry.sequence == sequence else {
            return nil
        }
        return lease
    }

    /// The message in the slot a token of `tokens` or `first` names.
    func sequence(of token: UInt64) -> UInt64 { slots[Int(token & 0xFFFF_FFFF)].entry.sequence }

    mutating func remove(_ token: UInt64) {
        let index = UInt32(truncatingIfNeeded: token)
        let lease = slots[Int(index)]
        if lease.previous == Self.none { head = lease.next } else { slots[Int(lease.previous)].next = lease.next }
        if lease.next == Self.none { tail = lease.previous } else { slots[Int(lease.next)].previous = lease.previous }
        slots[Int(index)].live = false
        free.append(index)
        count -= 1
    }

    /// Brings every deadline forward to `latest` at the latest, which keeps their order.
    mutating func limitDeadlines(to latest: UInt64) {
        var index = tail
        while index != Self.none, slots[Int(index)].deadline > latest {
            slots[Int(index)].deadline = latest
            index = slots[Int(index)].previous
        }
    }

    /// The lease whose deadline comes first.
    var first: (token: UInt64, lease: Lease)? {
        guard head != Self.none else { return nil }
        let lease = slots[Int(head)]
        return (UInt64(lease.generation) << 32 | UInt64(head), lease)
    }

    /// Tokens of every lease that `condition` selects, oldest first.
    func tokens(where condition: (Lease) -> Bool) -> [UInt64] {
        var tokens: [UInt64] = []
        var index = head
        while index != Self.none {
            let lease = slots[Int(index)]
            if condition(lease) { tokens.append(UInt64(lease.generation) << 32 | UInt64(index)) }
            index = lease.next
        }
        return tokens
    }

    /// Adds the leases each peer holds.
    func countByPeer(_ counts: inout [UInt64: Int]) {
        for lease in slots where lease.live { counts[lease.peer, default: 0] += 1 }
    }
}
