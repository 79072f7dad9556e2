import TocsinWire

/// The body of a `carried` batch: messages that are not new, each with what was known of it. Integers big-endian.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | rows n |
/// | 4 | 4 | bytes of control records c |
/// | 8 | 24 n | rows, in order of sequence |
/// | 8 + 24 n | c | control records that tell the state of these messages in their pools; they change no counter |
/// | 8 + 24 n + c | | the messages, length-prefixed as in a `messages` batch, one for each row |
///
/// A row: sequence (8), when the message was stored, milliseconds since 1970 (8), the pools that need it, one bit each, the
/// lowest for pool 0 (8).
public struct CarriedBody {
    public struct Row: Equatable, Sendable {
        public var sequence: UInt64
        public var time: UInt64
        public var pools: UInt64

        public init(sequence: UInt64, time: UInt64, pools: UInt64) {
            self.sequence = sequence
            self.time = time
            self.pools = pools
        }
    }
    static let headSize = 8
    static let rowSize = 24

    private let body: UnsafeRawBufferPointer
    public let count: Int
    /// Valid as long as the body.
    public let records: UnsafeRawBufferPointer
    /// Valid as long as the body.
    public let messages: UnsafeRawBufferPointer

    /// Throws `badBody` unless it has a message for each row, and rows in order.
    public init(_ body: UnsafeRawBufferPointer) throws(WireError) {
        let malformed = WireError(.badBody, "carried messages without rows that fit them")
        guard body.count >= Self.headSize else { throw malformed }
        let rows = Int(body.bigEndian(UInt32.self, at: 0))
        let recordBytes = Int(body.bigEndian(UInt32.self, at: 4))
        let start = Self.headSize + rows * Self.rowSize + recordBytes
        guard start <= body.count else { throw malformed }
        self.body = body
        count = rows
        records = body.part(start - recordBytes, recordBytes)
        messages = body.part(start, body.count - start)
        guard try LengthPrefixed.forEach(in: messages, atMost: .max, { (_, _, _) throws(WireError) in }) == rows else {
            throw malformed
        }
        for row in 1..<max(rows, 1) where self[row].sequence <= self[row - 1].sequence { throw malformed }
    }

    public subscript(row: Int) -> Row {
        let offset = Self.headSize + row * Self.rowSize
        return Row(
            sequence: body.bigEndian(UInt64.self, at: offset), time: body.bigEndian(UInt64.self, at: offset + 8),
            pools: body.bigEndian(UInt64.self, at: offset + 16))
    }

    /// Bytes of a body with so many rows and bytes.
    public static func size(rows: Int, recordBytes: Int, messageBytes: Int) -> Int {
        headSize + rows * rowSize + recordBytes + messageBytes
    }

    /// `messages`: with their prefixes, in the order of `rows`.
    static func bytes(_ rows: [Row], records: Bytes, _ messages: [MessageSlice]) -> Bytes {
        let messageBytes = messages.reduce(0) { $0 + $1.count }
        var writer = ByteWriter(
            capacity: size(rows: rows.count, recordBytes: records.count, messageBytes: messageBytes))
        let head = writer.extend(by: headSize)
        head.storeBigEndian(UInt32(rows.count), at: 0)
        head.storeBigEndian(UInt32(records.count), at: 4)
        for row in rows {
            let target = writer.extend(by: rowSize)
            target.storeBigEndian(row.sequence, at: 0)
            target.storeBigEndian(row.time, at: 8)
            target.storeBigEndian(row.pools, at: 16)
        }
        writer.append(records.buffer)
        for message in messages { writer.append(message.framed) }
        return writer.finish()
    }
}
