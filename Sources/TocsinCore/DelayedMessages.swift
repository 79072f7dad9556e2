/// The messages published for later, by id, so that they can be cancelled until they are due.
struct DelayedMessages {
    /// A keyed fingerprint of a message id.
    struct ID: Hashable {
        var high: UInt64
        var low: UInt64
    }
    struct Entry {
        var sequence: UInt64
        /// Milliseconds since 1970.
        var due: UInt64
        /// One bit for each pool that takes the message.
        var route: UInt64
        var severity: UInt8
    }
    private var entries: [ID: Entry] = [:]
    /// Reaching this, what is due is dropped: about twice what there is to cancel is held at most.
    private var limit = 65_536

    subscript(id: ID) -> Entry? { entries[id] }

    mutating func insert(_ entry: Entry, id: ID, now: UInt64) {
        entries[id] = entry
        guard entries.count >= limit else { return }
        entries = entries.filter { $0.value.due > now }
        limit = max(65_536, 2 * entries.count)
    }
}
