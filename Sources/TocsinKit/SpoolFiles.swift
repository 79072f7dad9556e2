import Glibc
import TocsinJournal
import TocsinWire

/// Batches of messages kept on disk, in order, until the hub has them. Blocking; used on one thread.
///
/// The directory holds `lock`, segments `<16 hex digits>.spool` of about 16 MiB, `position` (how far the hub has it) and
/// `refused.spool` (what it will never take, for a person to look at). A segment is a row of groups, big-endian:
///
///     offset  size
///     0       4     magic "TSPL"
///     4       4     CRC-32C of everything from offset 8 on
///     8       4     length of the body
///     12      4     number of messages
///     16      …     body: length-prefixed envelopes, as `publish` carries them
///
/// `position` has 20 bytes: segment (8), offset (8), CRC-32C of these 16 (4). It is written after the hub's answer, so
/// after a crash some messages are published twice; the hub knows them by their ids.
final class SpoolFiles {
    static let headerSize = 16
    private static let magic: UInt32 = 0x5453_504C
    private static let segmentBytes = 16 << 20

    struct Position: Equatable, Sendable {
        var segment: UInt64
        var offset: Int
    }
    /// Batches read together, and where to go on once the hub has them.
    struct Chunk: Sendable {
        var batch: EncodedBatch
        /// Messages between the position it was read from and `end`.
        var stored: Int
        var end: Position
    }
    private struct Segment {
        var number: UInt64
        /// Up to the end of the last whole group.
        var size: Int
        var damaged = false
    }

    private let directory: SpoolDirectory
    private let bytesMax: Int
    private let lock: SpoolFile
    private let positionFile: SpoolFile
    private var segments: [Segment] = []
    private var tail: SpoolFile?
    private var head: (number: UInt64, file: SpoolFile)?
    private var position: Position
    private var refusedBytes: Int
    /// Messages that the hub does not have yet.
    private(set) var count = 0
    /// What was wrong with the files, one sentence each.
    private(set) var problems: [String] = []

    /// Opens the spool and cuts off what a crash left unfinished.
    ///
    /// - Throws: `ClientError.badOption` if another process has it open; `spoolFailed`.
    init(directory path: String, bytesMax: Int) throws(ClientError) {
        self.bytesMax = bytesMax
        directory = try SpoolDirectory(path)
        lock = try directory.open("lock", create: true)
        guard try lock.lock() else {
            throw .badOption("the spool \(path) is in use by another process; give each its own folder")
        }
        positionFile = try directory.open("position", create: true)
        refusedBytes = try directory.size(of: "refused.spool")
        position = Position(segment: 0, offset: 0)
        let numbers = try directory.names().compactMap(Self.number(ofSegment:)).sorted()
        if let saved = try Self.read(positionFile) { position = saved }
        for number in numbers {
            if number < position.segment {
                try directory.remove(Self.name(number))
            } else {
                try scan(number, isLast: number == numbers.last)
            }
        }
        if let first = segments.first, first.number != position.segment { position = Position(segment: first.number, offset: 0) }
        if let last = segments.last {
            tail = try directory.open(Self.name(last.number), create: false)
        } else {
            position.offset = 0
        }
    }

    /// Lets another owner in. Nothing may be done with the spool after it.
    func release() { lock.unlock() }

    private static func name(_ segment: UInt64) -> String {
        let digits = String(segment, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits + ".spool"
    }

    private static func number(ofSegment name: String) -> UInt64? {
        guard name.utf8.count == 22, name.hasSuffix(".spool") else { return nil }
        return UInt64(name.prefix(16), radix: 16)
    }

    private static func read(_ file: SpoolFile) throws(ClientError) -> Position? {
        let bytes = try file.read(20, at: 0)
        guard bytes.count == 20 else { return nil }
        return bytes.withUnsafeBytes { bytes in
            guard bytes.bigEndian(UInt32.self, at: 16) == CRC32C.checksum(bytes.part(0, 16)) else { return nil }
            let offset = Int(clamping: bytes.bigEndian(UInt64.self, at: 8))
            return Position(segment: bytes.bigEndian(UInt64.self, at: 0), offset: offset)
        }
    }

    /// Counts the messages of a segment that are still to be published. In the last one an unfinished group is cut off; in
    /// another, whose groups were all synced, it is damage, and the groups after it are lost.
    private func scan(_ number: UInt64, isLast: Bool) throws(ClientError) {
        let file = try directory.open(Self.name(number), create: false)
        let size = try file.size()
        var offset = 0
        let from = number == position.segment ? position.offset : 0
        while let group = try Self.readGroup(file, at: offset, size: size) {
            if offset >= from { count += group.count }
            offset += Self.headerSize + group.body.count
        }
        if offset < size {
            if isLast {
                try file.truncate(to: offset)
            } else {
                problems.append("\(file.path) is damaged at offset \(offset): \(size - offset) bytes cannot be read")
            }
        }
        segments.append(Segment(number: number, size: offset, damaged: offset < size && !isLast))
        if number == position.segment, position.offset > offset { position.offset = offset }
    }

    private static func readGroup(
        _ file: SpoolFile, at offset: Int, size: Int
    ) throws(ClientError) -> (body: [UInt8], count: Int)? {
        let header = try file.read(headerSize, at: offset)
        guard header.count == headerSize else { return nil }
        let (magic, crc, length, count) = header.withUnsafeBytes {
            (
                $0.bigEndian(UInt32.self, at: 0), $0.bigEndian(UInt32.self, at: 4), Int($0.bigEndian(UInt32.self, at: 8)),
                Int($0.bigEndian(UInt32.self, at: 12))
            )
        }
        guard magic == Self.magic, length <= Limits.bodyBytes, length <= size - offset - headerSize else { return nil }
        let body = try file.read(length, at: offset + headerSize)
        let own = header.withUnsafeBytes { CRC32C.checksum($0.part(8, 8)) }
        guard body.count == length, body.withUnsafeBytes({ CRC32C.checksum($0, continuing: own) }) == crc else { return nil }
        return (body, count)
    }

    // MARK: Writing

    /// Appends batches and syncs them: when this returns they survive a crash.
    ///
    /// - Throws: `ClientError.spoolFull` or `spoolFailed`; none of them is kept then.
    func append(_ batches: [EncodedBatch]) throws(ClientError) {
        let added = batches.reduce(0) { $0 + $1.body.count + Self.headerSize }
        let used = segments.reduce(refusedBytes) { $0 + $1.size }
        guard used + added <= bytesMax else {
            throw .spoolFull(
                "the spool \(directory.path) holds \(used) bytes and may hold \(bytesMax); is the hub running?")
        }
        try openTail()
        guard let number = segments.indices.last, let tail else { return }
        let start = segments[number].size
        do {
            var offset = start
            for batch in batches {
                let group = Self.encode(batch)
                try tail.write(group, at: offset)
                offset += group.count
            }
            try tail.sync()
            segments[number].size = offset
            count += batches.reduce(0) { $0 + $1.count }
        } catch {
            // What was written of it must not be found later, before what is appended next.
            try tail.truncate(to: start)
            throw error
        }
    }

    private static func encode(_ batch: EncodedBatch) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: headerSize + batch.body.count) { buffer, count in
            count = headerSize + batch.body.count
            guard let base = UnsafeMutableRawPointer(buffer.baseAddress) else { return }
            base.storeBigEndian(magic, at: 0)
            base.storeBigEndian(UInt32(batch.body.count), at: 8)
            base.storeBigEndian(UInt32(batch.count), at: 12)
            let own = CRC32C.checksum(UnsafeRawBufferPointer(start: base + 8, count: 8))
            base.storeBigEndian(CRC32C.checksum(batch.body.buffer, continuing: own), at: 4)
            if let source = batch.body.buffer.baseAddress {
                (base + headerSize).copyMemory(from: source, byteCount: batch.body.count)
            }
        }
    }

    private func openTail() throws(ClientError) {
        if let last = segments.last, tail != nil, last.size < Self.segmentBytes { return }
        let number = (segments.last?.number ?? position.segment) + 1
        tail = try directory.open(Self.name(number), create: true)
        try directory.sync()
        if segments.isEmpty { position = Position(segment: number, offset: 0) }
        segments.append(Segment(number: number, size: 0))
    }

    // MARK: Reading

    /// The oldest messages that the hub does not have: whole groups, at most `messages` unless one group has more.
    func next(messages: Int, bytes: Int) throws(ClientError) -> Chunk? {
        var body: [UInt8] = []
        var total = 0
        var end = position
        while let index = segments.firstIndex(where: { $0.number == end.segment }) {
            guard end.offset < segments[index].size else {
                guard index + 1 < segments.count else { break }
                end = Position(segment: segments[index + 1].number, offset: 0)
                continue
            }
            if head?.number != end.segment {
                head = (end.segment, try directory.open(Self.name(end.segment), create: false))
            }
            guard let file = head?.file,
                let group = try Self.readGroup(file, at: end.offset, size: segments[index].size)
            else {
                throw .spoolFailed("\(directory.path)/\(Self.name(end.segment)) cannot be read at offset \(end.offset)")
            }
            if total > 0, total + group.count > messages || body.count + group.body.count > bytes { break }
            body.append(contentsOf: group.body)
            total += group.count
            end.offset += Self.headerSize + group.body.count
        }
        return total == 0 ? nil : Chunk(batch: EncodedBatch(body: Bytes(body), count: total), stored: total, end: end)
    }

    /// The hub has everything up to `end` (of the chunk that `next` gave). Whole segments before it are deleted.
    func advance(to end: Position, count published: Int) throws(ClientError) {
        position = end
        count -= published
        let record = [UInt8](unsafeUninitializedCapacity: 20) { buffer, count in
            count = 20
            guard let base = UnsafeMutableRawPointer(buffer.baseAddress) else { return }
            base.storeBigEndian(end.segment, at: 0)
            base.storeBigEndian(UInt64(end.offset), at: 8)
            base.storeBigEndian(CRC32C.checksum(UnsafeRawBufferPointer(start: base, count: 16)), at: 16)
        }
        try positionFile.write(record, at: 0)
        try positionFile.sync()
        while let first = segments.first, first.number < end.segment || (count == 0 && first.size > 0) {
            if head?.number == first.number { head = nil }
            if segments.count == 1 { tail = nil }
            let name = Self.name(first.number)
            if first.damaged { try directory.rename(name, to: name + ".damaged") } else { try directory.remove(name) }
            segments.removeFirst()
        }
    }

    /// Keeps a message that the hub will never take, for a person to look at.
    func setAside(_ message: EncodedBatch) throws(ClientError) {
        let file = try directory.open("refused.spool", create: true)
        let group = Self.encode(message)
        try file.write(group, at: refusedBytes)
        try file.sync()
        refusedBytes += group.count
    }
}
