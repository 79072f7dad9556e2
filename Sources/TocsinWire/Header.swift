/// What a ZeroMQ message between a peer and the hub is about (PROTOCOL.md, "Kinds"). Numbers are part of the protocol.
public enum Kind: UInt8, Sendable, CaseIterable {
    case hello = 1
    case welcome = 2
    case heartbeat = 3
    case goodbye = 4
    case status = 5

    case publish = 16
    case accepted = 17

    case declare = 32
    case subscribe = 33
    case credit = 34
    case deliver = 35
    case settle = 36
    case unsubscribe = 37

    case tap = 48
    case tapped = 49
    case gap = 50

    case serve = 64
    case call = 65
    case reply = 66
    case cancel = 67
    case message = 68
    case headers = 69
    case window = 70

    /// How many body frames follow the header, least and most. Anything else is refused as `frameCount`.
    @inlinable public var bodyFrames: ClosedRange<Int> {
        switch self {
        case .heartbeat, .goodbye, .credit, .unsubscribe, .cancel, .window: 0...0
        case .deliver, .tapped: 2...2
        case .settle, .call, .headers, .reply: 1...2
        case .message: 0...1
        default: 1...1
        }
    }
}

/// The fixed first frame of every message: 24 bytes, integers big-endian (PROTOCOL.md, "Header frame").
public struct Header: Equatable, Sendable {
    public static let size = 24
    public static let magic: UInt32 = 0x5443_534E  // "TCSN"
    public static let version: UInt8 = 1
    /// Flag of `call` and `message`: the caller sends no more requests.
    public static let halfClose: UInt16 = 1

    public var kind: Kind
    public var flags: UInt16
    /// Request, subscription, tap or call id: chosen by whoever began the exchange, repeated in every answer.
    public var id: UInt64
    /// How many messages (or table entries, or credits) the body holds.
    public var count: UInt32
    /// In `status`: the number of the `Reason`. Else 0.
    public var reason: UInt16

    @inlinable public init(_ kind: Kind, id: UInt64 = 0, count: Int = 0, reason: UInt16 = 0, flags: UInt16 = 0) {
        self.kind = kind
        self.flags = flags
        self.id = id
        self.count = UInt32(truncatingIfNeeded: count)
        self.reason = reason
    }

    /// Reads a header frame. Throws what is wrong with it; never traps, whatever the bytes.
    @inlinable public init(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
        guard bytes.count == Header.size else {
            throw WireError(.truncated, "the header frame has \(bytes.count) bytes, expected \(Header.size)")
        }
        let magic = bytes.bigEndian(UInt32.self, at: 0)
        guard magic == Header.magic else {
            throw WireError(.badMagic, "the header begins with \(magic), expected \"TCSN\"")
        }
        guard bytes[4] == Header.version else {
            throw WireError(.badVersion, "protocol version \(bytes[4]), this hub speaks version \(Header.version)")
        }
        guard let kind = Kind(rawValue: bytes[5]) else {
            throw WireError(.unknownKind, "kind \(bytes[5]) is not known")
        }
        self.kind = kind
        flags = bytes.bigEndian(UInt16.self, at: 6)
        id = bytes.bigEndian(UInt64.self, at: 8)
        count = bytes.bigEndian(UInt32.self, at: 16)
        reason = bytes.bigEndian(UInt16.self, at: 20)
    }

    /// Writes the 24 bytes. `target` must have room for them.
    @inlinable public func write(to target: UnsafeMutableRawPointer) {
        target.storeBigEndian(Header.magic, at: 0)
        target.storeBigEndian(Header.version, at: 4)
        target.storeBigEndian(kind.rawValue, at: 5)
        target.storeBigEndian(flags, at: 6)
        target.storeBigEndian(id, at: 8)
        target.storeBigEndian(count, at: 16)
        target.storeBigEndian(reason, at: 20)
        target.storeBigEndian(UInt16(0), at: 22)
    }

    /// The 24 bytes as an array.
    public var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Header.size) { buffer, count in
            write(to: UnsafeMutableRawPointer(buffer.baseAddress!))
            count = Header.size
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Reads a big-endian integer. The caller has checked that it lies within the buffer.
    @inlinable public func bigEndian<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T {
        T(bigEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }
    /// Reads a little-endian integer. The caller has checked that it lies within the buffer.
    @inlinable public func littleEndian<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T {
        T(littleEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }
    /// Reads a base-128 varint (protobuf encoding) and moves `offset` behind it; nil if it is cut short or longer than 10 bytes.
    @inlinable public func varint(at offset: inout Int) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < count, shift < 64 {
            let byte = self[offset]
            offset += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }
    /// A part of this buffer. The caller has checked that it lies within.
    @inlinable public func part(_ offset: Int, _ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self[offset..<offset + count])
    }
}

extension UnsafeMutableRawPointer {
    /// Stores a big-endian integer, aligned or not.
    @inlinable public func storeBigEndian<T: FixedWidthInteger>(_ value: T, at offset: Int) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: T.self)
    }
}
