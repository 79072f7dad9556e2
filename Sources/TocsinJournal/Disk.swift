/// The file operations the journal is made of, in one folder: the seam behind which the simulator puts its faults. Names are
/// file names in that folder. Every call may block; the loop calls only `read`, the journal's own threads the rest.
public protocol Disk: Sendable {
    /// Whether a second thread may read a file while the first is at work.
    static var readsAhead: Bool { get }
    /// Names of all files, in no order.
    func list() throws(DiskError) -> [String]
    /// Bytes of a file.
    func size(_ name: String) throws(DiskError) -> Int
    /// Creates or replaces a file of `size` zero bytes that takes up all its space. Its bytes are synced; its name only after
    /// `syncFolder`.
    func create(_ name: String, size: Int) throws(DiskError)
    /// Overwrites bytes within the file's size, the parts one after another from `offset` on.
    func write(_ name: String, at offset: Int, _ parts: [UnsafeRawBufferPointer]) throws(DiskError)
    /// Returns when everything written to the file is on the disk. After a failure nothing is known of any of it.
    func sync(_ name: String) throws(DiskError)
    /// Fills `target` from `offset` on; returns fewer bytes than asked only at the end of the file.
    func read(_ name: String, at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int
    /// Replaces `target` by `name`, at once.
    func rename(_ name: String, to target: String) throws(DiskError)
    func remove(_ name: String) throws(DiskError)
    /// Returns when created, renamed and removed names are on the disk.
    func syncFolder() throws(DiskError)
}

extension Disk {
    public static var readsAhead: Bool { false }

    /// Makes a file of `size` bytes, `start` and then zeros, or replaces the one of that name, durably: whatever happens, it is the
    /// old one or the new one, whole. Blocking.
    func replace(_ name: String, size: Int, start: UnsafeRawBufferPointer) throws(DiskError) {
        let temporary = name + ".new"
        try create(temporary, size: size)
        try write(temporary, at: 0, [start])
        try sync(temporary)
        try rename(temporary, to: name)
        try syncFolder()
    }

    /// Reads a whole segment file into `buffer`, which grows where needed.
    ///
    /// - Returns: what is there, valid as long as `buffer`.
    /// - Throws: `DiskError`; `JournalError` for a file that is larger than any segment.
    func readSegment(
        _ number: UInt32, into buffer: inout UnsafeMutableRawBufferPointer
    ) throws -> UnsafeRawBufferPointer {
        let name = SegmentHeader.name(number)
        let size = try size(name)
        guard size <= SegmentHeader.maxFileBytes else {
            throw JournalError(.corrupt, "\(name) has \(size) bytes; no segment is so large; restore it from a backup")
        }
        if size > buffer.count {
            buffer.deallocate()
            buffer = .allocate(byteCount: size, alignment: 4096)
        }
        let target = UnsafeMutableRawBufferPointer(rebasing: buffer[..<size])
        return UnsafeRawBufferPointer(rebasing: target[..<(try read(name, at: 0, into: target))])
    }
}

/// A file operation failed.
public struct DiskError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Code: Equatable, Sendable {
        /// No space, or over quota.
        case full
        case other(errno: Int32)
    }
    public var code: Code
    /// "cannot write /var/lib/tocsin/segment-00000001.log: Input/output error"
    public var description: String

    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
