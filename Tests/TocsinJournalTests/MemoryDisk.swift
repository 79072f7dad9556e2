import Synchronization
import TocsinJournal

/// A folder in memory: what was written and not synced goes with `cutPower`.
final class MemoryDisk: Disk {
    private struct State {
        var cache: [String: [UInt8]] = [:]
        var durable: [String: [UInt8]] = [:]
        var failing: Set<String> = []
    }
    private let state = Mutex(State())

    /// Verbs that fail, each with the name of its file: "sync segment-00000001.log".
    func fail(_ operations: Set<String>) { state.withLock { $0.failing = operations } }
    func cutPower() { state.withLock { $0.cache = $0.durable } }
    func flip(_ name: String, at offset: Int) {
        state.withLock {
            $0.cache[name]?[offset] ^= 1
            $0.durable[name]?[offset] ^= 1
        }
    }

    private func change<T: Sendable>(_ verb: String, _ name: String, _ body: (inout State) -> T) throws(DiskError) -> T {
        let result: T? = state.withLock { $0.failing.contains("\(verb) \(name)") ? nil : body(&$0) }
        guard let result else { throw DiskError(.other(errno: 5), "cannot \(verb) \(name)") }
        return result
    }

    func list() throws(DiskError) -> [String] { try change("list", "") { Array($0.cache.keys) } }
    func size(_ name: String) throws(DiskError) -> Int { try change("size", name) { $0.cache[name]?.count ?? 0 } }
    func create(_ name: String, size: Int) throws(DiskError) {
        try change("create", name) {
            $0.cache[name] = [UInt8](repeating: 0, count: size)
            $0.durable[name] = $0.cache[name]
        }
    }
    func write(_ name: String, at offset: Int, _ parts: [UnsafeRawBufferPointer]) throws(DiskError) {
        let bytes = parts.flatMap { Array($0) }
        try change("write", name) { $0.cache[name]?.replaceSubrange(offset..<offset + bytes.count, with: bytes) }
    }
    func sync(_ name: String) throws(DiskError) { try change("sync", name) { $0.durable[name] = $0.cache[name] } }
    func read(_ name: String, at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
        let count = target.count
        let bytes = try change("read", name) { Array(($0.cache[name] ?? [])[offset...].prefix(count)) }
        target.copyBytes(from: bytes)
        return bytes.count
    }
    func rename(_ name: String, to target: String) throws(DiskError) {
        try change("rename", name) {
            $0.cache[target] = $0.cache.removeValue(forKey: name)
            $0.durable[target] = $0.durable.removeValue(forKey: name)
        }
    }
    func remove(_ name: String) throws(DiskError) {
        try change("remove", name) {
            $0.cache[name] = nil
            $0.durable[name] = nil
        }
    }
    func syncFolder() throws(DiskError) {}
}
