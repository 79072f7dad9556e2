/// The severity as it travels; higher is worse. Level 0 (unset) and values not known are read as `info`.
public enum WireSeverity: UInt8, Sendable, CaseIterable, Comparable {
    case info = 1
    case minor = 2
    case major = 3
    case critical = 4

    @inlinable public static func < (a: WireSeverity, b: WireSeverity) -> Bool { a.rawValue < b.rawValue }
}

/// The routing fields of one encoded `tocsin.v1.Envelope`, read in place: nothing is copied and the payload is not looked at.
/// Valid only as long as the bytes it was scanned from.
public struct EnvelopeView {
    public var id: UnsafeRawBufferPointer
    public var subject: UnsafeRawBufferPointer
    public var severity: WireSeverity
    public var key: UnsafeRawBufferPointer
    /// Milliseconds since 1970, 0 for at once.
    public var notBefore: UInt64

    /// Reads fields 1 to 5 and stops at the first field with a higher number (writers put fields in order; PROTOCOL.md,
    /// "Envelope"). Throws `badEnvelope` with what is wrong; never traps, whatever the bytes.
    @inlinable public init(scanning bytes: UnsafeRawBufferPointer) throws(WireError) {
        id = UnsafeRawBufferPointer(start: nil, count: 0)
        subject = id
        key = id
        severity = .info
        notBefore = 0
        var offset = 0
        var last: UInt8 = 0
        scan: while offset < bytes.count {
            let tag = bytes[offset]
            // Else a reader that takes the last of two would see another subject than the one that was routed by.
            guard tag > last else {
                throw WireError(.badEnvelope, "tag \(tag) at offset \(offset) comes twice or out of order")
            }
            last = tag
            offset += 1
            switch tag {
            case 0x0A: id = try Self.field(bytes, &offset)
            case 0x12: subject = try Self.field(bytes, &offset)
            case 0x18:
                let value = try Self.varint(bytes, &offset)
                severity = WireSeverity(rawValue: UInt8(truncatingIfNeeded: min(value, 255))) ?? .info
            case 0x22: key = try Self.field(bytes, &offset)
            case 0x29:
                guard bytes.count - offset >= 8 else { throw WireError(.badEnvelope, "not_before is cut short") }
                notBefore = bytes.littleEndian(UInt64.self, at: offset)
                offset += 8
            default:
                guard tag >= 0x30, tag & 7 <= 5, tag & 7 != 3, tag & 7 != 4 else {
                    throw WireError(
                        .badEnvelope,
                        "unexpected tag \(tag) at offset \(offset - 1); fields 1 to 5 come first, in order, in their own wire types"
                    )
                }
                break scan
            }
        }
        guard id.count >= 1, id.count <= Limits.idBytes else {
            throw WireError(.badEnvelope, "the id has \(id.count) bytes; 1 to \(Limits.idBytes) are needed")
        }
        guard key.count <= Limits.keyBytes else {
            throw WireError(.badEnvelope, "the key has \(key.count) bytes; the limit is \(Limits.keyBytes)")
        }
        if let problem = Subject.problem(in: subject) { throw WireError(.badEnvelope, problem) }
    }

    @inlinable static func varint(_ bytes: UnsafeRawBufferPointer, _ offset: inout Int) throws(WireError) -> UInt64 {
        guard let value = bytes.varint(at: &offset) else {
            throw WireError(.badEnvelope, "a varint is cut short or longer than 10 bytes")
        }
        return value
    }

    @inlinable static func field(
        _ bytes: UnsafeRawBufferPointer, _ offset: inout Int
    ) throws(WireError) -> UnsafeRawBufferPointer {
        let length = try varint(bytes, &offset)
        guard length <= UInt64(bytes.count - offset) else {
            throw WireError(.badEnvelope, "a field of \(length) bytes at offset \(offset), \(bytes.count - offset) are left")
        }
        let part = bytes.part(offset, Int(length))
        offset += Int(length)
        return part
    }
}
