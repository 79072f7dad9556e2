import TocsinWire

/// `tocsin.v1.Envelope` written and read by hand: a batch is encoded straight into the frame that is sent, without an object
/// per message. The bytes are those SwiftProtobuf would write (fields in ascending order, defaults left out).
enum EnvelopeCoding {
    private enum Tag {
        static let id: UInt8 = 0x0A
        static let subject: UInt8 = 0x12
        static let severity: UInt8 = 0x18
        static let key: UInt8 = 0x22
        static let notBefore: UInt8 = 0x29
        static let type: UInt8 = 0x32
        static let publishedAt: UInt8 = 0x39
        static let header: UInt8 = 0x42
        static let payload: UInt8 = 0x7A
        /// Within a header, which is a map entry.
        static let headerKey: UInt8 = 0x0A
        static let headerValue: UInt8 = 0x12
    }

    // MARK: Writing

    /// Bytes that `write` will make of `message`.
    static func size(_ message: borrowing Message, publishedAt: UInt64) -> Int {
        var size = 2 + fieldSize(message.id.count) + fieldSize(message.subject.utf8.count)
        size += fieldSize(message.key.utf8.count) + fieldSize(message.type.utf8.count) + fieldSize(message.payload.count)
        if message.notBefore != 0 { size += 9 }
        if publishedAt != 0 { size += 9 }
        if !message.headers.isEmpty {
            for (key, value) in message.headers {
                let entry = entrySize(key, value)
                size += 1 + varintSize(entry) + entry
            }
        }
        return size
    }

    /// Writes exactly `size` bytes to `target`.
    static func write(_ message: borrowing Message, publishedAt: UInt64, to target: UnsafeMutableRawPointer) {
        var cursor = Cursor(target)
        cursor.field(Tag.id, message.id)
        cursor.field(Tag.subject, message.subject)
        cursor.byte(Tag.severity)
        cursor.byte(message.severity.rawValue)
        cursor.field(Tag.key, message.key)
        cursor.fixed64(Tag.notBefore, message.notBefore)
        cursor.field(Tag.type, message.type)
        cursor.fixed64(Tag.publishedAt, publishedAt)
        if !message.headers.isEmpty {
            for (key, value) in message.headers {
                cursor.byte(Tag.header)
                cursor.varint(entrySize(key, value))
                cursor.text(Tag.headerKey, key)
                cursor.text(Tag.headerValue, value)
            }
        }
        cursor.field(Tag.payload, message.payload)
    }

    /// A map entry has both its fields, empty or not.
    private static func entrySize(_ key: String, _ value: String) -> Int {
        let (key, value) = (key.utf8.count, value.utf8.count)
        return 2 + varintSize(key) + key + varintSize(value) + value
    }

    /// Tag, length and bytes of a field; nothing for an empty one.
    private static func fieldSize(_ count: Int) -> Int {
        count == 0 ? 0 : 1 + varintSize(count) + count
    }

    private static func varintSize(_ value: Int) -> Int {
        value < 0x80 ? 1 : (UInt64(value).bitWidth - value.leadingZeroBitCount + 6) / 7
    }

    private struct Cursor {
        var position: UnsafeMutableRawPointer

        init(_ position: UnsafeMutableRawPointer) { self.position = position }

        mutating func byte(_ value: UInt8) {
            position.storeBytes(of: value, as: UInt8.self)
            position += 1
        }

        mutating func varint(_ value: Int) {
            var rest = UInt64(value)
            while rest >= 0x80 {
                byte(UInt8(truncatingIfNeeded: rest) | 0x80)
                rest >>= 7
            }
            byte(UInt8(truncatingIfNeeded: rest))
        }

        mutating func fixed64(_ tag: UInt8, _ value: UInt64) {
            guard value != 0 else { return }
            byte(tag)
            position.storeBytes(of: value.littleEndian, as: UInt64.self)
            position += 8
        }

        mutating func bytes(_ source: UnsafeRawBufferPointer) {
            guard let base = source.baseAddress else { return }
            position.copyMemory(from: base, byteCount: source.count)
            position += source.count
        }

        mutating func field(_ tag: UInt8, _ value: [UInt8]) {
            guard !value.isEmpty else { return }
            byte(tag)
            varint(value.count)
            value.withUnsafeBytes { bytes($0) }
        }

        mutating func field(_ tag: UInt8, _ value: String) {
            guard !value.isEmpty else { return }
            text(tag, value)
        }

        mutating func text(_ tag: UInt8, _ value: String) {
            byte(tag)
            varint(value.utf8.count)
            let contiguous: Void? = value.utf8.withContiguousStorageIfAvailable { bytes(UnsafeRawBufferPointer($0)) }
            if contiguous == nil { Array(value.utf8).withUnsafeBytes { bytes($0) } }
        }
    }

    // MARK: Reading

    /// Decodes an envelope; fields not known are skipped, of a field that comes twice the last counts.
    ///
    /// - Throws: `badEnvelope` with what is wrong; never traps, whatever the bytes.
    static func read(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> Message {
        var message = Message(id: [], subject: "", payload: [])
        var reader = Reader(bytes)
        while !reader.atEnd {
            let tag = try reader.varint()
            switch tag {
            case UInt64(Tag.id): message.id = Array(try reader.field())
            case UInt64(Tag.subject): message.subject = try reader.text()
            case UInt64(Tag.severity):
                message.severity = WireSeverity(rawValue: UInt8(clamping: try reader.varint())) ?? .info
            case UInt64(Tag.key): message.key = try reader.text()
            case UInt64(Tag.notBefore): message.notBefore = try reader.fixed64()
            case UInt64(Tag.type): message.type = try reader.text()
            case UInt64(Tag.publishedAt): message.publishedAt = try reader.fixed64()
            case UInt64(Tag.header):
                let (key, value) = try readEntry(try reader.field())
                message.headers[key] = value
            case UInt64(Tag.payload): message.payload = Array(try reader.field())
            default: try reader.skip(tag)
            }
        }
        return message
    }

    private static func readEntry(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> (String, String) {
        var reader = Reader(bytes)
        var (key, value) = ("", "")
        while !reader.atEnd {
            let tag = try reader.varint()
            switch tag {
            case UInt64(Tag.headerKey): key = try reader.text()
            case UInt64(Tag.headerValue): value = try reader.text()
            default: try reader.skip(tag)
            }
        }
        return (key, value)
    }

    private struct Reader {
        let bytes: UnsafeRawBufferPointer
        var offset = 0

        init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

        var atEnd: Bool { offset >= bytes.count }

        mutating func varint() throws(WireError) -> UInt64 {
            guard let value = bytes.varint(at: &offset) else {
                throw WireError(.badEnvelope, "a varint at offset \(offset) is cut short or longer than 10 bytes")
            }
            return value
        }

        mutating func take(_ count: UInt64) throws(WireError) -> UnsafeRawBufferPointer {
            guard count <= UInt64(bytes.count - offset) else {
                throw WireError(
                    .badEnvelope, "a field of \(count) bytes at offset \(offset), \(bytes.count - offset) are left")
            }
            defer { offset += Int(count) }
            return bytes.part(offset, Int(count))
        }

        mutating func field() throws(WireError) -> UnsafeRawBufferPointer { try take(try varint()) }

        mutating func fixed64() throws(WireError) -> UInt64 { try take(8).littleEndian(UInt64.self, at: 0) }

        mutating func text() throws(WireError) -> String {
            let field = try field()
            guard let text = String(validating: field, as: UTF8.self) else {
                throw WireError(.badEnvelope, "a text before offset \(offset) is not UTF-8")
            }
            return text
        }

        mutating func skip(_ tag: UInt64) throws(WireError) {
            guard tag >> 3 != 0, tag >> 3 < 1 << 29 else {
                throw WireError(.badEnvelope, "tag \(tag) before offset \(offset) is not a field")
            }
            switch tag & 7 {
            case 0: _ = try varint()
            case 1: _ = try take(8)
            case 2: _ = try field()
            case 5: _ = try take(4)
            default: throw WireError(.badEnvelope, "wire type \(tag & 7) before offset \(offset) is not used in proto3")
            }
        }
    }
}
