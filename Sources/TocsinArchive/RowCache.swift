/// Rows of one table, by key: read at most once, and known to be changed or not. Order of change is kept, so that equal
/// batches write alike.
final class RowCache<Key: Hashable, Record> {
    private var rows: [Key: Record?] = [:]
    private var order: [Key] = []
    private var dirty: Set<Key> = []

    func find(_ key: Key, load: (Key) throws -> Record?) rethrows -> Record? {
        if let row = rows[key] { return row }
        let row = try load(key)
        rows[key] = .some(row)
        return row
    }

    func put(_ record: Record, for key: Key) {
        rows[key] = .some(record)
        if dirty.insert(key).inserted { order.append(key) }
    }

    var changes: [(Key, Record)] { order.compactMap { key in (rows[key] ?? nil).map { (key, $0) } } }
    var changed: [Record] { order.compactMap { rows[$0] ?? nil } }

    /// What was read and put is forgotten; whoever asks reads anew.
    func removeAll() {
        rows.removeAll(keepingCapacity: true)
        order.removeAll(keepingCapacity: true)
        dirty.removeAll(keepingCapacity: true)
    }
}
