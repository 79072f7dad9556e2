/// gRPC's length-prefixed message framing (grpc/doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message"): one flags byte (0; 1 would
/// mean compressed, which Tocsin refuses), four bytes big-endian length, then the bytes. Many follow each other in a frame.
public enum LengthPrefixed {
    public static let prefixSize = 5

    /// Calls `body` with each message of `frame`, in order. Throws `badLengthPrefix`, `tooLarge` or `tooMany`; never traps.
    @inlinable public static func forEach(
        in frame: UnsafeRawBufferPointer,
        atMost limit: Int = Limits.batch,
        messageBytes: Int = Limits.messageBytes,
        _ body: (_ index: Int, _ offset: Int, _ message: UnsafeRawBufferPointer) throws(WireError) -> Void
    ) throws(WireError) -> Int {
        var offset = 0
        var index = 0
        while offset < frame.count {
            guard frame.count - offset >= prefixSize else {
                throw WireError(
                    .badLengthPrefix, "\(frame.count - offset) bytes left at offset \(offset), a prefix needs 5", index: index)
            }
            guard frame[offset] == 0 else {
                throw WireError(
                    .badLengthPrefix, "flags byte \(frame[offset]) at offset \(offset); only 0 (not compressed) is accepted",
                    index: index)
            }
            let length = Int(frame.bigEndian(UInt32.self, at: offset + 1))
            guard length <= messageBytes else {
                throw WireError(
                    .tooLarge, "message of \(length) bytes at offset \(offset); the limit is \(messageBytes)", index: index)
            }
            guard length <= frame.count - offset - prefixSize else {
                throw WireError(
                    .badLengthPrefix,
                    "the prefix at offset \(offset) promises \(length) bytes, \(frame.count - offset - prefixSize) are left",
                    index: index)
            }
            guard index < limit else {
                throw WireError(.tooMany, "more than \(limit) messages in one batch; send them in several", index: index)
            }
            try body(index, offset, frame.part(offset + prefixSize, length))
            offset += prefixSize + length
            index += 1
        }
        return index
    }

    /// Appends one message with its prefix.
    @inlinable public static func append(_ message: some Collection<UInt8>, to buffer: inout [UInt8]) {
        buffer.append(0)
        withUnsafeBytes(of: UInt32(message.count).bigEndian) { buffer.append(contentsOf: $0) }
        buffer.append(contentsOf: message)
    }
}
