import Synchronization
import TocsinJournal

/// A folder in memory: what was written and not synced goes with `cutPower`, or a first part of it stays.
public final class MemoryDisk: Disk {
    private struct Write: Sendable {
        var name: String
        var offset: Int
        var bytes: [UInt8]
    }
    private struct State: Sendable {
        var cache: [String: [UInt8]] = [:]
        var durable: [String: [UInt8]] = [:]
        /// In order, not synced.
        var writes: [Write] = []
        var failing: Set<String> = []
        /// Operations that still succeed; nil: all.
        var left: Int?
        /// Bytes all files may take together.
        var capacity = Int.max
    }
    private let state: Mutex<State>

    public init() { state = Mutex(State()) }
    /// A copy, without what is not synced and without faults.
    public init(copying other: MemoryDisk) {
        let files = other.state.withLock { $0.durable }
        state = Mutex(State(cache: files, durable: files))
    }

    // MARK: Faults

    /// Verbs that fail, each with the name of its file: "sync segment-00000001.log".
    public func fail(_ operations: Set<String>) { state.withLock { $0.failing = operations } }
    /// Everything fails after so many more operations; nil: nothing.
    public func failAfter(_ operations: Int?) { state.withLock { $0.left = operations } }
    public func limit(to capacity: Int) { state.withLock { $0.capacity = capacity } }
    public var unsyncedBytes: Int { state.withLock { $0.writes.reduce(0) { $0 + $1.bytes.count } } }
    /// `kept`: bytes that reached the disk though nobody synced them, in the order of writing.
    public func cutPower(keeping kept: Int = 0) {
        state.withLock { state in
            var left = kept
            for write in state.writes {
                let part = write.bytes.prefix(left)
                state.durable[write.name]?.replaceSubrange(write.offset..<write.offset + part.count, with: part)
                left -= part.count
            }
            state.writes = []
            state.cache = state.durable
        }
    }
    public func flip(_ name: String, at offset: Int, bit: Int = 0) {
        change(name) { $0[offset] ^= 1 << UInt8(bit) }
    }
    /// Changes a file from outside.
    public func change(_ name: String, _ body: (inout [UInt8]) -> Void) {
        var bytes = self[name] ?? []
        body(&bytes)
        self[name] = bytes
    }
    /// A whole file, as it is on disk; nil: it is not there.
    public subscript(_ name: String) -> [UInt8]? {
        get { state.withLock { $0.durable[name] } }
        set {
            state.withLock {
                $0.cache[name] = newValue
                $0.durable[name] = newValue
            }
        }
    }

    // MARK: Operations

    private func perform<T: Sendable>(_ verb: String, _ name: String, _ body: (inout State) -> T?) throws(DiskError) -> T {
        let (isFailing, result) = state.withLock { state -> (Bool, T?) in
            if state.failing.contains("\(verb) \(name)") || state.left == 0 { return (true, nil) }
            if let left = state.left { state.left = left - 1 }
            return (false, body(&state))
        }
        if isFailing { throw DiskError(.other(errno: 5), "cannot \(verb) \(name)") }
        guard let result else { throw DiskError(.other(errno: 2), "cannot \(verb) \(name): it is not there") }
        return result
    }

    public func list() throws(DiskError) -> [String] { try perform("list", "") { Array($0.cache.keys) } }
    public func size(_ name: String) throws(DiskError) -> Int { try perform("size", name) { $0.cache[name]?.count } }
    public func create(_ name: String, size: Int) throws(DiskError) {
        let fits = try perform("create", name) { state -> Bool in
            guard state.cache.values.reduce(size, { $0 + $1.count }) <= state.capacity else { return false }
            state.cache[name] = [UInt8](repeating: 0, count: size)
            state.durable[name] = state.cache[name]
            return true
        }
        guard fits else { throw DiskError(.full, "cannot create \(name): no space") }
    }
    public func write(_ name: String, at offset: Int, _ parts: [UnsafeRawBufferPointer]) throws(DiskError) {
        let bytes = parts.flatMap { Array($0) }
        try perform("write", name) { state -> Void? in
            guard let size = state.cache[name]?.count, offset + bytes.count <= size else { return nil }
            state.cache[name]?.replaceSubrange(offset..<offset + bytes.count, with: bytes)
            state.writes.append(Write(name: name, offset: offset, bytes: bytes))
            return ()
        }
    }
    public func sync(_ name: String) throws(DiskError) {
        try perform("sync", name) { state -> Void? in
            guard let bytes = state.cache[name] else { return nil }
            state.durable[name] = bytes
            state.writes.removeAll { $0.name == name }
            return ()
        }
    }
    public func read(_ name: String, at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
        let count = target.count
        let bytes = try perform("read", name) { state in state.cache[name].map { Array($0.dropFirst(offset).prefix(count)) } }
        target.copyBytes(from: bytes)
        return bytes.count
    }
    public func rename(_ name: String, to target: String) throws(DiskError) {
        try perform("rename", name) { state -> Void? in
            guard let bytes = state.cache.removeValue(forKey: name) else { return nil }
            state.cache[target] = bytes
            state.durable[target] = state.durable.removeValue(forKey: name)
            return ()
        }
    }
    public func remove(_ name: String) throws(DiskError) {
        try perform("remove", name) { state -> Void? in
            state.cache[name] = nil
            state.durable[name] = nil
            return ()
        }
    }
    public func syncFolder() throws(DiskError) { try perform("sync", "the folder") { _ in () } }
}
