import TocsinPosix

/// One segment at a time, whole, in memory that is used again for the next: memory that is new to the process costs more than
/// reading into it.
///
/// `@unchecked Sendable`: while a thread reads (from `begin` until it is joined) it alone touches the variables but `thread`,
/// otherwise only the owner, on one thread. Starting and joining a thread are full fences.
final class SegmentBuffer<D: Disk>: @unchecked Sendable {
    private let disk: D
    private var bytes: UnsafeMutableRawBufferPointer
    private var number: UInt32 = 0
    private var outcome: Result<UnsafeRawBufferPointer, any Error>?
    private var thread: SystemThread?

    init(_ disk: D, bytes: Int) {
        self.disk = disk
        self.bytes = .allocate(byteCount: bytes, alignment: 4096)
    }

    deinit {
        join()
        bytes.deallocate()
    }

    /// Begins to read a segment on a thread of its own. If none can be started, `take` reads it.
    func begin(_ number: UInt32) {
        join()
        self.number = number
        outcome = nil
        // Unsafe is sound: `deinit` joins the thread, so it never outlives the object; and a reference of its own could make it the
        // one that ends the object, and joins itself.
        do { thread = try SystemThread("read-ahead") { [unowned(unsafe) self] in read() } } catch { thread = nil }
    }

    /// The segment, read before (`begin`) or now; valid until the next `begin` or `take`.
    ///
    /// - Throws: `DiskError`; `JournalError` for a file that is larger than any segment.
    func take(_ number: UInt32) throws -> UnsafeRawBufferPointer {
        join()
        if self.number != number || outcome == nil {
            self.number = number
            read()
        }
        defer { outcome = nil }
        return try outcome.map { try $0.get() } ?? UnsafeRawBufferPointer(start: nil, count: 0)
    }

    private func read() {
        outcome = Result { try disk.readSegment(number, into: &bytes) }
    }

    private func join() {
        thread?.join()
        thread = nil
    }
}
