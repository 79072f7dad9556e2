/// Immutable bytes with one owner, shared by reference between the socket, the journal and the consumers' frames, so that a
/// payload is never copied on its way. Safe to pass between threads: nothing changes it after it is made.
public final class Bytes: @unchecked Sendable {
    public let buffer: UnsafeRawBufferPointer
    private let release: () -> Void

    /// Takes over `buffer`; `release` runs when the last reference goes, on whatever thread that is.
    public init(_ buffer: UnsafeRawBufferPointer, release: @escaping () -> Void) {
        self.buffer = buffer
        self.release = release
    }

    /// A copy of `array`.
    public convenience init(_ array: [UInt8]) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: array.count, alignment: 8)
        copy.copyBytes(from: array)
        self.init(UnsafeRawBufferPointer(copy)) { copy.deallocate() }
    }

    /// A copy of `source`.
    public convenience init(copying source: UnsafeRawBufferPointer) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 8)
        copy.copyMemory(from: source)
        self.init(UnsafeRawBufferPointer(copy)) { copy.deallocate() }
    }

    deinit { release() }

    @inlinable public var count: Int { buffer.count }
    /// A copy as an array.
    public var array: [UInt8] { Array(buffer) }
}

/// Bytes being put together: grows by doubling, then becomes `Bytes` without a copy. One thread at a time.
public struct ByteWriter: ~Copyable {
    @usableFromInline var storage: UnsafeMutableRawPointer
    @usableFromInline var capacity: Int
    public private(set) var count = 0

    public init(capacity: Int = 256) {
        self.capacity = max(capacity, 16)
        storage = .allocate(byteCount: self.capacity, alignment: 8)
    }

    deinit { storage.deallocate() }

    /// Room for `more` bytes, which count as written; the caller fills them before anything else is called.
    public mutating func extend(by more: Int) -> UnsafeMutableRawPointer {
        if count + more > capacity { grow(to: count + more) }
        let position = storage + count
        count += more
        return position
    }

    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        extend(by: bytes.count).copyMemory(from: base, byteCount: bytes.count)
    }

    /// Changes bytes already written, for a count or a checksum known only at the end.
    public mutating func patch(at offset: Int, _ body: (UnsafeMutableRawPointer) -> Void) { body(storage + offset) }

    /// What was written, without a copy.
    public consuming func finish() -> Bytes {
        let owned = storage
        let bytes = Bytes(UnsafeRawBufferPointer(start: owned, count: count)) { owned.deallocate() }
        discard self
        return bytes
    }

    private mutating func grow(to needed: Int) {
        var larger = capacity
        while larger < needed { larger *= 2 }
        let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 8)
        moved.copyMemory(from: storage, byteCount: count)
        storage.deallocate()
        storage = moved
        capacity = larger
    }
}
