import TocsinJournal
import TocsinWire

/// A second reader of the journal, written from its documented format: what the checkers know of it they know from here.
struct JournalRecord {
    enum Content {
        case messages([StoredMessage])
        case control([Fact])
        /// Messages of older segments, and of each the pools that need it, one bit each.
        case carried([(message: StoredMessage, pools: UInt64)])
        case mark
    }
    var ordinal: UInt64
    var firstSequence: UInt64
    var time: UInt64
    /// Ordinal of the last batch that was durable when this one was written.
    var durable: UInt64
    var file: String
    var offset: Int
    /// Padding included.
    var count: Int
    var bodyCount: Int
    var content: Content
    /// Of its body, in the file.
    var end: Int { offset + 64 + bodyCount }
}

/// One message as a publisher wrote it.
struct StoredMessage {
    var id: String
    var subject: String
    var key: String
    var severity: Int
    var notBefore: UInt64
    var sequence: UInt64
    var ordinal: UInt64
    /// When its batch was appended, wall time.
    var time: UInt64
    /// When it was first seen to be written, milliseconds of the history.
    var writtenAt: UInt64 = 0
    var bytesHash: UInt64

    init(_ envelope: UnsafeRawBufferPointer, sequence: UInt64, ordinal: UInt64, time: UInt64) throws {
        let view = try EnvelopeView(scanning: envelope)
        id = String(decoding: view.id, as: UTF8.self)
        subject = String(decoding: view.subject, as: UTF8.self)
        key = String(decoding: view.key, as: UTF8.self)
        severity = Int(view.severity.rawValue)
        notBefore = view.notBefore
        self.sequence = sequence
        self.ordinal = ordinal
        self.time = time
        bytesHash = Self.hash(envelope)
    }

    static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        var offset = 0
        while offset + 8 <= bytes.count {
            hash = (hash ^ bytes.littleEndian(UInt64.self, at: offset)) &* 0x9E37_79B9_7F4A_7C15
            hash ^= hash >> 29
            offset += 8
        }
        for byte in bytes[offset...] { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return hash
    }
}

/// One control record. Pools are counted in the order of their first record in the journal.
enum Fact: Hashable {
    case pool(name: String, filters: [String], PoolTerms)
    case acked(pool: Int, UInt64)
    case attempt(pool: Int, UInt64, attempts: UInt64)
    case dead(pool: Int, UInt64, attempts: UInt64, reason: String)
    case revived(pool: Int, UInt64)
    case cancelled(pool: Int, UInt64)
    case discarded(pool: Int, UInt64)
}

/// The journal's bytes make no sense.
struct UnreadableJournal: Error, CustomStringConvertible {
    var description: String
}

enum JournalReader {
    /// The batches in `bytes`, which begin at `offset` of a segment file, up to the first that is not whole.
    static func records(_ file: String, _ bytes: UnsafeRawBufferPointer, from offset: Int, at base: Int = 0) throws
        -> [JournalRecord]
    {
        var records: [JournalRecord] = []
        var position = offset
        while let record = try record(file, bytes, at: position, base) {
            records.append(record)
            position += record.count
        }
        return records
    }

    private static func record(
        _ file: String, _ bytes: UnsafeRawBufferPointer, at position: Int, _ base: Int
    ) throws -> JournalRecord? {
        guard isWhole(bytes, at: position) else { return nil }
        let bodyCount = Int(bytes.bigEndian(UInt32.self, at: position + 8))
        let body = bytes.part(position + 64, bodyCount)
        var record = JournalRecord(
            ordinal: bytes.bigEndian(UInt64.self, at: position + 16),
            firstSequence: bytes.bigEndian(UInt64.self, at: position + 24), time: bytes.bigEndian(UInt64.self, at: position + 40),
            durable: bytes.bigEndian(UInt64.self, at: position + 48), file: file, offset: base + position,
            count: 64 + (bodyCount + 7) & ~7, bodyCount: bodyCount, content: .mark)
        switch bytes[position + 12] {
        case 1:
            var messages: [StoredMessage] = []
            var offset = 0
            while offset < body.count {
                let length = Int(body.bigEndian(UInt32.self, at: offset + 1))
                messages.append(
                    try StoredMessage(
                        body.part(offset + 5, length), sequence: record.firstSequence + UInt64(messages.count),
                        ordinal: record.ordinal, time: record.time))
                offset += 5 + length
            }
            guard messages.count == Int(bytes.bigEndian(UInt32.self, at: position + 32)) else {
                throw UnreadableJournal(description: "batch \(record.ordinal) does not hold the messages its header counts")
            }
            record.content = .messages(messages)
        case 2: record.content = .control(try facts(body))
        // A checkpoint repeats what is known.
        case 3: record.content = .control(try facts(body).filter { if case .pool = $0 { true } else { false } })
        case 6: record.content = .carried(try carried(body, record.ordinal))
        default: break
        }
        return record
    }

    private static func carried(
        _ body: UnsafeRawBufferPointer, _ ordinal: UInt64
    ) throws -> [(message: StoredMessage, pools: UInt64)] {
        let rows = Int(body.bigEndian(UInt32.self, at: 0))
        var offset = 8 + 24 * rows + Int(body.bigEndian(UInt32.self, at: 4))
        var messages: [(StoredMessage, UInt64)] = []
        for row in 0..<rows {
            let place = 8 + 24 * row
            let length = Int(body.bigEndian(UInt32.self, at: offset + 1))
            let message = try StoredMessage(
                body.part(offset + 5, length), sequence: body.bigEndian(UInt64.self, at: place), ordinal: ordinal,
                time: body.bigEndian(UInt64.self, at: place + 8))
            messages.append((message, body.bigEndian(UInt64.self, at: place + 16)))
            offset += 5 + length
        }
        guard offset == body.count else {
            throw UnreadableJournal(description: "batch \(ordinal) has not a message for each row")
        }
        return messages
    }

    /// Whether there is a batch with a fitting checksum.
    static func isWhole(_ bytes: UnsafeRawBufferPointer, at position: Int) -> Bool {
        guard position + 64 <= bytes.count, bytes.bigEndian(UInt32.self, at: position) == 0x5443_5342 else { return false }
        let body = Int(bytes.bigEndian(UInt32.self, at: position + 8))
        guard body <= bytes.count - position - 64 else { return false }
        return bytes.bigEndian(UInt32.self, at: position + 4) == CRC32C.checksum(bytes.part(position + 8, 56 + body))
    }

    private static func facts(_ body: UnsafeRawBufferPointer) throws -> [Fact] {
        var facts: [Fact] = []
        var offset = 0
        func varint() throws -> UInt64 {
            var value: UInt64 = 0
            for shift in stride(from: UInt64(0), to: 70, by: 7) {
                guard offset < body.count else { break }
                let byte = body[offset]
                offset += 1
                value |= UInt64(byte & 0x7F) << shift
                if byte < 0x80 { return value }
            }
            throw UnreadableJournal(description: "a control record is cut short")
        }
        func text() throws -> String {
            let length = Int(try varint())
            guard length <= body.count - offset else { throw UnreadableJournal(description: "a text is cut short") }
            defer { offset += length }
            return String(decoding: body.part(offset, length), as: UTF8.self)
        }
        while offset < body.count {
            let tag = body[offset]
            offset += 1
            if tag == 1 {
                let name = try text()
                let filters = try (0..<(try varint())).map { _ in try text() }
                let terms = PoolTerms(
                    visibility: try varint(), maxAttempts: Int(try varint()), fromStart: try varint() == 1,
                    backoff: try varint(), exclusive: try varint() == 1)
                // Created after, catching up.
                for _ in 0..<2 { _ = try varint() }
                facts.append(.pool(name: name, filters: filters, terms))
                continue
            }
            let pool = Int(try varint())
            switch tag {
            case 2:
                var last: UInt64 = 0
                for _ in 0..<(try varint()) {
                    let zigzag = try varint()
                    last = last &+ ((zigzag >> 1) ^ (0 &- (zigzag & 1)))
                    facts.append(.acked(pool: pool, last))
                }
            case 3:
                let sequence = try varint()
                let attempts = try varint()
                _ = try varint()
                _ = try text()
                facts.append(.attempt(pool: pool, sequence, attempts: attempts))
            case 4:
                let sequence = try varint()
                let attempts = try varint()
                for _ in 0..<3 { _ = try varint() }
                facts.append(.dead(pool: pool, sequence, attempts: attempts, reason: try text()))
            case 5: facts.append(.revived(pool: pool, try varint()))
            case 6: for _ in 0..<5 { _ = try varint() }
            case 7: facts.append(.cancelled(pool: pool, try varint()))
            case 8: facts.append(.discarded(pool: pool, try varint()))
            default: throw UnreadableJournal(description: "control record \(tag) is not known")
            }
        }
        return facts
    }
}
