import GRPCCore
import GRPCProtobuf
import SwiftProtobuf
import TocsinWire

/// Decodes protobuf; what cannot be decoded is INVALID_ARGUMENT that names the field of the message, as far as that can be told,
/// and where in the bytes it is. Thread-safe.
public struct FieldNamingDeserializer<Message: SwiftProtobuf.Message>: MessageDeserializer {
    /// Makes one; it has no state.
    public init() {}

    /// The message in `bytes`.
    ///
    /// - Throws: `RPCError` with code `invalidArgument`.
    public func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> Message {
        do {
            return try ProtobufDeserializer<Message>().deserialize(bytes)
        } catch {
            let problem = bytes.withUnsafeBytes { Self.problem(in: Array($0)) }
            throw RPCError(code: .invalidArgument, message: "these bytes are no \(Message.protoMessageName): \(problem)")
        }
    }

    /// What is wrong with bytes that cannot be decoded: those of the message that is at `path` and begins at `offset`. Each field
    /// is tried alone, so that no knowledge of the message is needed here.
    private static func problem(in bytes: [UInt8], at path: [UInt64] = [], offset: Int = 0) -> String {
        var walk = FieldWalk(bytes)
        while walk.start < bytes.count {
            let start = walk.start
            guard let field = walk.next() else {
                let what = walk.number.map { "field \(name(of: path + [$0]))" } ?? "no field begins"
                return "\(what) at byte \(offset + start), and the bytes end or make no sense within it"
            }
            do {
                _ = try decode(bytes[start..<walk.start], at: path)
            } catch {
                let inner = path + [field]
                if let content = walk.content, path.count < depthMax, isMessage(inner) {
                    return problem(in: Array(bytes[content...].prefix(walk.start - content)), at: inner, offset: offset + content)
                }
                return "field \(name(of: inner)), bytes \(offset + start) to \(offset + walk.start - 1), holds what it cannot "
                    + (error as? BinaryDecodingError == .invalidUTF8 ? "hold: text that is not UTF-8" : "hold")
            }
        }
        return "the fields do not go together"
    }

    private static var depthMax: Int { 8 }

    /// A message with nothing in it but these fields of the message at `path`.
    private static func decode(_ fields: some Sequence<UInt8>, at path: [UInt64]) throws -> Message {
        let bytes = path.reversed().reduce(Array(fields)) { varint($1 << 3 | 2) + varint(UInt64($0.count)) + $0 }
        var options = BinaryDecodingOptions()
        options.discardUnknownFields = true
        return try Message(serializedBytes: bytes, partial: true, options: options)
    }

    /// The same as lines of text, which have the names that fields have in the .proto file; nil if it cannot be decoded.
    private static func lines(_ fields: [UInt8], at path: [UInt64]) -> [Substring]? {
        do {
            return try decode(fields, at: path).textFormatString().split(separator: "\n")
        } catch {
            return nil
        }
    }

    /// `event.service`; where the message has no such field, its number.
    private static func name(of path: [UInt64]) -> String {
        path.indices.map { name(of: path[$0], at: Array(path[..<$0])) }.joined(separator: ".")
    }

    private static func name(of number: UInt64, at path: [UInt64]) -> String {
        guard number < 1 << 29 else { return "\(number)" }
        // Varint, text of one letter, empty message, 8 and 4 bytes: as which of these it is something, it is in the text.
        let samples: [(type: UInt64, value: [UInt8])] = [
            (0, [1]), (2, [1, 0x61]), (2, [0]), (1, [1, 0, 0, 0, 0, 0, 0, 0]), (5, [1, 0, 0, 0]),
        ]
        for sample in samples {
            guard let lines = lines(varint(number << 3 | sample.type) + sample.value, at: path), lines.count > path.count
            else { continue }
            let line = lines[path.count].drop { $0 == " " }
            let name = line.prefix { $0 == "_" || $0.isLetter || $0.isNumber }
            if !name.isEmpty { return String(name) }
        }
        return "\(number)"
    }

    /// Whether the field is a message, and not a map: an empty one is a line that opens it and one that closes it.
    private static func isMessage(_ path: [UInt64]) -> Bool {
        guard let lines = lines([], at: path), lines.count == 2 * path.count else { return false }
        return lines[path.count - 1].last == "{"
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var (bytes, rest): ([UInt8], UInt64) = ([], value)
        while rest > 0x7F {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}

/// The fields of an encoded message, one after another, without knowing which message it is.
private struct FieldWalk {
    private let bytes: [UInt8]
    /// Where the next field begins.
    private(set) var start = 0
    /// Of the field that was begun last; nil if its tag could not be read.
    private(set) var number: UInt64?
    /// Where what is in it begins, if it has a length.
    private(set) var content: Int?

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The number of the next field, which ends before the new `start`; nil if it has no end.
    mutating func next() -> UInt64? {
        (number, content) = (nil, nil)
        var position = start
        guard let tag = varint(&position), tag >> 3 > 0 else { return nil }
        number = tag >> 3
        switch tag & 7 {
        case 0: guard varint(&position) != nil else { return nil }
        case 1: position += 8
        case 2:
            guard let length = varint(&position), length <= UInt64(bytes.count - position) else { return nil }
            content = position
            position += Int(length)
        case 5: position += 4
        // Groups are not used; 6 and 7 do not exist.
        default: return nil
        }
        guard position <= bytes.count else { return nil }
        start = position
        return number
    }

    private func varint(_ position: inout Int) -> UInt64? { bytes.withUnsafeBytes { $0.varint(at: &position) } }
}
