/// The message ids stored lately, as 96-bit keyed fingerprints: two generations, the older dropped when the newer is full or
/// old. At a million ids a false match has probability 10⁻²³ per message. One thread; deterministic.
struct DedupWindow {
    /// Ids one generation holds: the window is never smaller than this.
    static let generationIDs = 1 << 20

    private var current = FingerprintTable(capacity: 1 << 14)
    private var previous: FingerprintTable?
    private var began: UInt64 = 0
    private let window: UInt64

    /// `window`: milliseconds a generation lasts at least, unless it fills first.
    init(window: UInt64) { self.window = window }

    /// Remembers an id; false if it was there already.
    mutating func insert(_ high: UInt64, _ low: UInt64, now: UInt64) -> Bool {
        turn(now)
        if let previous, previous.contains(high, low) { return false }
        return current.insert(high, low)
    }

    /// Remembers an id that was stored, as replay finds it. Generations turn at other times than they did in the hub that stored
    /// it: where that one had forgotten an older use of the id, this one must count from the newer.
    mutating func remember(_ high: UInt64, _ low: UInt64, now: UInt64) {
        turn(now)
        _ = current.insert(high, low)
    }

    private mutating func turn(_ now: UInt64) {
        if current.count >= Self.generationIDs || (now >= began + window && current.count > 0) {
            previous = current
            current = FingerprintTable(capacity: 1 << 14)
            began = now
        }
        if current.count == 0 { began = now }
    }

    /// Brings what `insert` will look at into the processor's cache.
    func prefetch(_ high: UInt64, _ low: UInt64) { current.prefetch(high, low) }
}

/// Open addressing with linear probing over 12-byte slots. Grows fourfold, so that what a rehash costs at once stays small.
private final class FingerprintTable {
    private struct Slot {
        var a: UInt32
        var b: UInt32
        var c: UInt32
    }
    // Unchecked: one thread has the table, and no access to a variable of it calls anything that could lead to another.
    @exclusivity(unchecked) private var slots: UnsafeMutablePointer<Slot>
    @exclusivity(unchecked) private var capacity: Int
    @exclusivity(unchecked) private(set) var count = 0
    /// Keeps the reads of `prefetch` from being optimised away.
    @exclusivity(unchecked) private var fetched: UInt32 = 0

    init(capacity: Int) {
        self.capacity = capacity
        slots = Self.allocate(capacity)
    }
    deinit { slots.deallocate() }

    private static func allocate(_ capacity: Int) -> UnsafeMutablePointer<Slot> {
        let slots = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
        slots.initialize(repeating: Slot(a: 0, b: 0, c: 0), count: capacity)
        return slots
    }

    /// Where a fingerprint is unless others were there before it.
    private func home(_ slot: Slot) -> Int {
        let spread = (UInt64(slot.c) << 32 | UInt64(slot.b)) ^ (UInt64(slot.a) << 17)
        return Int((spread &* 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: UInt64(capacity)).high)
    }

    func prefetch(_ high: UInt64, _ low: UInt64) { fetched ^= slots[home(Self.slot(high, low))].a }

    /// The slot where the fingerprint is or would be. An empty slot has a == 0; `high | 1` keeps real ones apart from it.
    private func find(_ slot: Slot) -> Int {
        var index = home(slot)
        while slots[index].a != 0 {
            let other = slots[index]
            if other.a == slot.a, other.b == slot.b, other.c == slot.c { break }
            index += 1
            if index == capacity { index = 0 }
        }
        return index
    }

    private static func slot(_ high: UInt64, _ low: UInt64) -> Slot {
        Slot(
            a: UInt32(truncatingIfNeeded: high) | 1, b: UInt32(truncatingIfNeeded: low),
            c: UInt32(truncatingIfNeeded: low >> 32))
    }

    func contains(_ high: UInt64, _ low: UInt64) -> Bool { slots[find(Self.slot(high, low))].a != 0 }

    func insert(_ high: UInt64, _ low: UInt64) -> Bool {
        if count * 8 >= capacity * 7 { grow() }
        let slot = Self.slot(high, low)
        let index = find(slot)
        guard slots[index].a == 0 else { return false }
        slots[index] = slot
        count += 1
        return true
    }

    private func grow() {
        let old = slots
        let oldCapacity = capacity
        // The last step is to just what a full generation needs.
        capacity = min(capacity * 4, max(DedupWindow.generationIDs * 5 / 4, capacity * 5 / 4))
        slots = Self.allocate(capacity)
        for index in 0..<oldCapacity where old[index].a != 0 { slots[find(old[index])] = old[index] }
        old.deallocate()
    }
}
