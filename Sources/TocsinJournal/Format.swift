import TocsinWire

/// What is in a batch. Numbers are part of the format.
public enum BatchKind: UInt8, Sendable {
    /// Length-prefixed envelopes, as they came from the publisher.
    case messages = 1
    /// Records of pools, settlements and dead letters.
    case control = 2
    /// Control records that sum up everything before: the first batch of each segment.
    case checkpoint = 3
    /// Nothing but its durable mark: written when the journal goes quiet.
    case mark = 4
    /// Stands where damage was: batches that were there are lost. Written by a repair, never by a hub.
    case lost = 5
    /// Messages of old segments that are still needed, stored again so that those segments can go (see `CarriedBody`).
    case carried = 6
}

/// The 64 bytes before each batch's body. Integers big-endian; a batch begins at a multiple of 8 and is padded with zeros.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | magic `54 43 53 42` ("TCSB") |
/// | 4 | 4 | CRC-32C of bytes 8 to 63 and the body |
/// | 8 | 4 | length of the body |
/// | 12 | 1 | kind (`BatchKind`): 1 messages, 2 control, 3 checkpoint, 4 mark, 5 lost, 6 carried |
/// | 13 | 3 | 0 |
/// | 16 | 8 | ordinal: 1, 2, 3 ... over all segments |
/// | 24 | 8 | sequence of the first message; where there is none, of the next one to come |
/// | 32 | 4 | messages that are new: 0 but in a batch of messages, or one that stands for such |
/// | 36 | 4 | number of the segment |
/// | 40 | 8 | time of appending, milliseconds since 1970 |
/// | 48 | 8 | durable mark: ordinal of the last batch that was known to be on disk |
/// | 56 | 8 | the journal's seed (see `JournalIdentity`) |
///
/// A `lost` batch stands for the batches from its ordinal to its durable mark, both included, and for as many messages as it
/// counts, from its sequence on: at most one for each 8 bytes of its segment file. Its body is what could be saved of their
/// control records, then zeros up to where the next batch begins.
public struct BatchHeader: Equatable, Sendable {
    public static let size = 64
    public static let magic: UInt32 = 0x5443_5342
    /// No journal counts so far; what does is not believed, so that counting on cannot overflow.
    static let endOfNumbers: UInt64 = 1 << 62

    public var kind: BatchKind
    public var bodyBytes: Int
    public var ordinal: UInt64
    public var firstSequence: UInt64
    public var count: Int
    public var segment: UInt32
    public var time: UInt64
    public var durable: UInt64
    public var seed: UInt64

    /// Bytes the batch takes in the segment, padding included.
    public var totalBytes: Int { Self.size + padded(bodyBytes) }
    /// The batch it is, or of those it stands for the last.
    public var lastOrdinal: UInt64 { kind == .lost ? durable : ordinal }
    /// Sequence of the first message after it.
    public var nextSequence: UInt64 { firstSequence + UInt64(count) }

    /// Writes the 64 bytes with the checksum over them and `body`.
    public func write(to target: UnsafeMutableRawPointer, body: UnsafeRawBufferPointer) {
        target.storeBigEndian(Self.magic, at: 0)
        target.storeBigEndian(UInt32(bodyBytes), at: 8)
        target.storeBigEndian(UInt32(kind.rawValue) << 24, at: 12)
        target.storeBigEndian(ordinal, at: 16)
        target.storeBigEndian(firstSequence, at: 24)
        target.storeBigEndian(UInt32(count), at: 32)
        target.storeBigEndian(segment, at: 36)
        target.storeBigEndian(time, at: 40)
        target.storeBigEndian(durable, at: 48)
        target.storeBigEndian(seed, at: 56)
        let own = CRC32C.checksum(UnsafeRawBufferPointer(start: target + 8, count: Self.size - 8))
        target.storeBigEndian(CRC32C.checksum(body, continuing: own), at: 4)
    }

    /// Reads a header at the start of `bytes` without looking at the body; nil if there is none.
    init?(_ bytes: UnsafeRawBufferPointer, seed: UInt64, segment: UInt32) {
        guard bytes.count >= Self.size, bytes.bigEndian(UInt32.self, at: 0) == Self.magic,
            let kind = BatchKind(rawValue: bytes[12]), bytes[13] == 0, bytes[14] == 0, bytes[15] == 0,
            bytes.bigEndian(UInt32.self, at: 36) == segment, bytes.bigEndian(UInt64.self, at: 56) == seed
        else { return nil }
        self.kind = kind
        self.seed = seed
        self.segment = segment
        bodyBytes = Int(bytes.bigEndian(UInt32.self, at: 8))
        ordinal = bytes.bigEndian(UInt64.self, at: 16)
        firstSequence = bytes.bigEndian(UInt64.self, at: 24)
        count = Int(bytes.bigEndian(UInt32.self, at: 32))
        time = bytes.bigEndian(UInt64.self, at: 40)
        durable = bytes.bigEndian(UInt64.self, at: 48)
        guard kind != .lost || durable >= ordinal, max(ordinal, firstSequence, durable) < Self.endOfNumbers else { return nil }
    }

    init(
        kind: BatchKind, bodyBytes: Int, ordinal: UInt64, firstSequence: UInt64, count: Int, segment: UInt32, time: UInt64,
        durable: UInt64, seed: UInt64
    ) {
        self.kind = kind
        self.bodyBytes = bodyBytes
        self.ordinal = ordinal
        self.firstSequence = firstSequence
        self.count = count
        self.segment = segment
        self.time = time
        self.durable = durable
        self.seed = seed
    }

    /// The header at `offset` of a segment's bytes if its checksum fits it and its body.
    init?(intact file: UnsafeRawBufferPointer, at offset: Int, seed: UInt64, segment: UInt32) {
        guard offset + Self.size <= file.count,
            let header = Self(UnsafeRawBufferPointer(rebasing: file[offset...]), seed: seed, segment: segment),
            header.totalBytes <= file.count - offset,
            Self.isIntact(file.part(offset, Self.size), body: file.part(offset + Self.size, header.bodyBytes))
        else { return nil }
        self = header
    }

    /// Whether the checksum in `header` (64 bytes) fits it and `body`.
    static func isIntact(_ header: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer) -> Bool {
        let own = CRC32C.checksum(header.part(8, size - 8))
        return header.bigEndian(UInt32.self, at: 4) == CRC32C.checksum(body, continuing: own)
    }
}

/// `count` rounded up to a multiple of 8.
func padded(_ count: Int) -> Int { (count + 7) & ~7 }

/// The first 64 bytes of a segment file; batches follow.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 8 | magic `TCSNJRN1` |
/// | 8 | 4 | CRC-32C of bytes 12 to 63 |
/// | 12 | 4 | number of the segment |
/// | 16 | 8 | the journal's seed |
/// | 24 | 8 | size of the file |
/// | 32 | 32 | 0 |
enum SegmentHeader {
    static let size = 64
    static let magic: UInt64 = 0x5443_534E_4A52_4E31
    /// No journal comes so far; a file with a higher number is none of it, so that counting on cannot overflow.
    static let lastNumber: UInt32 = 1 << 31
    /// No segment file is larger.
    static let maxFileBytes = 1 << 31

    static func bytes(number: UInt32, seed: UInt64, fileBytes: Int) -> Bytes {
        var writer = ByteWriter(capacity: size)
        let target = writer.extend(by: size)
        target.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        target.storeBigEndian(magic, at: 0)
        target.storeBigEndian(number, at: 12)
        target.storeBigEndian(seed, at: 16)
        target.storeBigEndian(UInt64(fileBytes), at: 24)
        target.storeBigEndian(CRC32C.checksum(UnsafeRawBufferPointer(start: target + 12, count: size - 12)), at: 8)
        return writer.finish()
    }

    static func isValid(_ bytes: UnsafeRawBufferPointer, number: UInt32, seed: UInt64) -> Bool {
        bytes.count >= size && bytes.bigEndian(UInt64.self, at: 0) == magic
            && bytes.bigEndian(UInt32.self, at: 8) == CRC32C.checksum(bytes.part(12, size - 12))
            && bytes.bigEndian(UInt32.self, at: 12) == number && bytes.bigEndian(UInt64.self, at: 16) == seed
    }

    /// Size of the file whose valid header is at the start of `bytes`.
    static func fileBytes(_ bytes: UnsafeRawBufferPointer) -> UInt64 { bytes.bigEndian(UInt64.self, at: 24) }
    /// The journal's seed in the valid header at the start of `bytes`.
    static func seed(_ bytes: UnsafeRawBufferPointer) -> UInt64 { bytes.bigEndian(UInt64.self, at: 16) }

    static func name(_ number: UInt32) -> String {
        let digits = String(number)
        return "segment-" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits + ".log"
    }

    /// The number in a segment's file name, nil for other names.
    static func number(_ name: String) -> UInt32? {
        guard name.hasPrefix("segment-"), name.hasSuffix(".log") else { return nil }
        let digits = name.dropFirst(8).dropLast(4)
        guard digits.count >= 8, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return UInt32(digits).flatMap { $0 <= lastNumber ? $0 : nil }
    }
}

/// Why the journal cannot go on.
public struct JournalError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Code: Equatable, Sendable {
        /// Bytes that had been on disk have changed.
        case corrupt
        /// A file operation failed.
        case disk
        /// Not a journal, or of another version.
        case format
    }
    public var code: Code
    /// What, where (file and offset) and what to do.
    public var description: String

    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
    init(_ error: DiskError) { self.init(.disk, error.description) }

    /// What `body` returns; whatever it throws, as the journal's error.
    static func catching<T>(_ body: () throws -> T) throws(JournalError) -> T {
        do {
            return try body()
        } catch let error as DiskError {
            throw JournalError(error)
        } catch let error as JournalError {
            throw error
        } catch {
            throw JournalError(.disk, "\(error)")
        }
    }
}
