import Glibc
import TocsinJournal
import TocsinWire

/// Batches of messages kept on disk, in order, until the hub has them. Blocking; used on one thread.
///
/// The directory holds `lock`, segments `<16 hex digits>.spool` of about 16 MiB, `position` (how far the hub has it) and
/// `refused.spool` (what it will never take, for a person to look at). A segment in which groups cannot be read is kept as
/// `<name>.damaged` once all others of it are published. A segment is a row of groups, big-endian:
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
///
/// What a crash leaves of a write that was not synced is a group cut short, or zeros, at the end of the newest segment: nobody
/// was told that it is kept, and it is cut off. Anything else that is not a group is damage of what had been kept. Damage of
/// exactly this shape cannot be told from a write cut short.
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
    /// Something wrong with the files, and what was done about it.
    struct Problem: Sendable, Equatable {
        /// False: nothing is lost that anyone was told is kept.
        var isLoss: Bool
        var text: String
    }
    private struct Segment {
        var number: UInt64
        var size: Int
        /// Stretches that are not groups, in order.
        var damage: [Range<Int>] = []
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
    /// Of segments kept because of damage.
    private var damagedBytes = 0
    var path: String { directory.path }
    /// Messages that the hub does not have yet.
    private(set) var count = 0
    private var problems: [Problem] = []

    /// Opens the spool, cuts off what a crash left unfinished, and passes over what is damaged; see `takeProblems`.
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
        let names = try directory.names()
        for name in names where name.hasSuffix(".damaged") { damagedBytes += try directory.size(of: name) }
        let numbers = names.compactMap(Self.number(ofSegment:)).sorted()
        if let saved = try Self.read(positionFile) {
            position = saved
        } else if try positionFile.size() > 0 {
            let text =
                "\(positionFile.path) is damaged: all of the spool is published again; the hub knows by the ids what it has"
            problems.append(Problem(isLoss: false, text: text))
        }
        // A crash came between the position and what follows from it.
        for number in numbers where number < position.segment {
            let file = try directory.open(Self.name(number), create: false)
            let size = try file.size()
            var offset = 0
            while let group = try Self.readGroup(file, at: offset, size: size) { offset += Self.headerSize + group.body.count }
            try retire(number, size: size, isDamaged: offset < size)
        }
        try scan(numbers.filter { $0 >= position.segment }, afterCrash: true)
        try retire()
    }

    /// What was found wrong since the last time.
    func takeProblems() -> [Problem] {
        defer { problems = [] }
        return problems
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

    /// Finds out what the segments hold from the position on, and which can be written to.
    private func scan(_ numbers: [UInt64], afterCrash: Bool) throws(ClientError) {
        segments = []
        count = 0
        head = nil
        tail = nil
        for number in numbers { try scan(number, isNewest: afterCrash && number == numbers.last) }
        if let first = segments.first, first.number != position.segment { position = Position(segment: first.number, offset: 0) }
        guard let last = segments.last else {
            position.offset = 0
            return
        }
        // Nothing is added to a damaged one: it could not be found behind the damage.
        if last.damage.isEmpty { tail = try directory.open(Self.name(last.number), create: false) }
    }

    private func scan(_ number: UInt64, isNewest: Bool) throws(ClientError) {
        let file = try directory.open(Self.name(number), create: false)
        var segment = Segment(number: number, size: try file.size())
        var offset = number == position.segment ? position.offset : 0
        if offset > segment.size {
            let text = "\(file.path) has \(segment.size) bytes, and the hub had \(offset) of it: the file was cut short"
            problems.append(Problem(isLoss: true, text: text))
            offset = segment.size
            position.offset = offset
        }
        while offset < segment.size {
            if let group = try Self.readGroup(file, at: offset, size: segment.size) {
                count += group.count
                offset += Self.headerSize + group.body.count
                continue
            }
            let rest = try file.read(segment.size - offset, at: offset)
            let next = try nextGroup(file, in: rest, at: offset, size: segment.size)
            if isNewest, next == segment.size, Self.isUnfinished(rest) {
                try file.truncate(to: offset)
                segment.size = offset
                let text =
                    "\(file.path): the last write, \(rest.count) bytes at offset \(offset), was not finished; it is cut off, as"
                    + " nobody was told that it is kept"
                problems.append(Problem(isLoss: false, text: text))
            } else {
                segment.damage.append(offset..<next)
                let text =
                    "\(file.path) is damaged: the \(next - offset) bytes at offset \(offset) cannot be read, the messages in them"
                    + " are not published; the others are, and then the file is kept as \(Self.name(number)).damaged to be looked at"
                problems.append(Problem(isLoss: true, text: text))
                offset = next
            }
        }
        segments.append(segment)
    }

    /// Where the first whole group after the start of `rest` begins, else the end of the file.
    private func nextGroup(_ file: SpoolFile, in rest: [UInt8], at offset: Int, size: Int) throws(ClientError) -> Int {
        var place = 1
        while place + Self.headerSize <= rest.count {
            let isMagic = rest.withUnsafeBytes { $0.bigEndian(UInt32.self, at: place) == Self.magic }
            if isMagic, try Self.readGroup(file, at: offset + place, size: size) != nil { return offset + place }
            place += 1
        }
        return size
    }

    /// Whether `rest`, from where the last whole group ends, is what a crash leaves of a write.
    private static func isUnfinished(_ rest: [UInt8]) -> Bool {
        rest.withUnsafeBytes { rest in
            if rest.allSatisfy({ $0 == 0 }) { return true }
            let start = withUnsafeBytes(of: magic.bigEndian) { Array($0) }
            guard rest.prefix(4).elementsEqual(start.prefix(rest.count)) else { return false }
            if rest.count < headerSize { return true }
            let length = Int(rest.bigEndian(UInt32.self, at: 8))
            guard length <= Limits.bodyBytes, headerSize + length > rest.count else { return false }
            // What is there of the body must be its beginning, without an end: else it is the length that is wrong.
            var offset = headerSize
            var missing = Int(rest.bigEndian(UInt32.self, at: 12))
            while missing > 0, offset < rest.count {
                guard rest[offset] == 0 else { return false }
                guard rest.count - offset >= LengthPrefixed.prefixSize else { return true }
                let message = Int(rest.bigEndian(UInt32.self, at: offset + 1))
                guard message <= Limits.messageBytes else { return false }
                offset += LengthPrefixed.prefixSize + message
                missing -= 1
            }
            return offset > rest.count || (offset == rest.count && missing > 0)
        }
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
        let aside = refusedBytes + damagedBytes
        let used = segments.reduce(aside) { $0 + $1.size }
        guard used + added <= bytesMax else {
            throw .spoolFull(
                "the spool \(directory.path) holds \(used) bytes and may hold \(bytesMax); is the hub running? "
                    + (aside > 0 ? "\(aside) bytes are in refused.spool and .damaged files, for a person to look at" : ""))
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
            do {
                try tail.truncate(to: start)
            } catch let second {
                throw .spoolFailed("\(error); \(second)")
            }
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

    /// The oldest messages that the hub does not have: whole groups, at most `messages` unless one group has more. What turns out
    /// to be damaged is passed over, and `count` is less then.
    func next(messages: Int, bytes: Int) throws(ClientError) -> Chunk? {
        if let chunk = try read(messages: messages, bytes: bytes) { return chunk.batch.count == 0 ? nil : chunk }
        try scan(segments.map(\.number), afterCrash: false)
        try retire()
        if let chunk = try read(messages: messages, bytes: bytes) { return chunk.batch.count == 0 ? nil : chunk }
        throw .spoolFailed("\(directory.path) gives other bytes each time it is read; see whether the disk is in order")
    }

    /// Nil if it begins with what cannot be read; empty if there is nothing.
    private func read(messages: Int, bytes: Int) throws(ClientError) -> Chunk? {
        var body: [UInt8] = []
        var total = 0
        var end = position
        while let index = segments.firstIndex(where: { $0.number == end.segment }) {
            guard end.offset < segments[index].size else {
                guard index + 1 < segments.count else { break }
                end = Position(segment: segments[index + 1].number, offset: 0)
                continue
            }
            if let damage = segments[index].damage.first(where: { $0.lowerBound == end.offset }) {
                end.offset = damage.upperBound
                continue
            }
            if head?.number != end.segment {
                head = (end.segment, try directory.open(Self.name(end.segment), create: false))
            }
            guard let file = head?.file, let group = try Self.readGroup(file, at: end.offset, size: segments[index].size) else {
                if total == 0 { return nil }
                break
            }
            if total > 0, total + group.count > messages || body.count + group.body.count > bytes { break }
            body.append(contentsOf: group.body)
            total += group.count
            end.offset += Self.headerSize + group.body.count
        }
        return Chunk(batch: EncodedBatch(body: Bytes(body), count: total), stored: total, end: end)
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
        try retire()
    }

    /// Deletes segments of which the hub has everything; damaged ones are kept under another name.
    private func retire() throws(ClientError) {
        while let first = segments.first, first.number < position.segment || (count == 0 && first.size > 0) {
            if head?.number == first.number { head = nil }
            if segments.count == 1 { tail = nil }
            try retire(first.number, size: first.size, isDamaged: !first.damage.isEmpty)
            segments.removeFirst()
        }
    }

    private func retire(_ number: UInt64, size: Int, isDamaged: Bool) throws(ClientError) {
        let name = Self.name(number)
        guard isDamaged else { return try directory.remove(name) }
        // Numbers begin again when all files of the spool were removed but these.
        var kept = name + ".damaged"
        while try directory.size(of: kept) > 0 { kept = "again-" + kept }
        try directory.rename(name, to: kept)
        damagedBytes += size
    }

    /// Keeps a message that the hub will never take, for a person to look at.
    func setAside(_ message: EncodedBatch) throws(ClientError) {
        let file = try directory.open("refused.spool", create: true)
        let group = Self.encode(message)
        try file.write(group, at: refusedBytes)
        try file.sync()
        if refusedBytes == 0 { try directory.sync() }
        refusedBytes += group.count
    }
}
