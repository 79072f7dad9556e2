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

    /// What is wrong with bytes that cannot be decoded. Each field is tried alone, so that no knowledge of the message is needed
    /// here.
    private static func problem(in bytes: [UInt8]) -> String {
        var walk = FieldWalk(bytes)
        while walk.start < bytes.count {
            let start = walk.start
            guard let field = walk.next() else {
                let number = walk.number.map { "field \(name(of: $0))" } ?? "no field begins"
                return "\(number) at byte \(start), and the bytes end or make no sense within it"
            }
            do {
                _ = try Message(serializedBytes: Array(bytes[start..<walk.start]), partial: true)
            } catch {
                return "field \(name(of: field)), bytes \(start) to \(walk.start - 1), holds what it cannot hold"
                    + (error as? BinaryDecodingError == .invalidUTF8 ? ": text that is not UTF-8" : "")
            }
        }
        return "the fields do not go together"
    }

    /// The field's name in the .proto file, or its number where the message has none such. Names are only in the text that is
    /// made of a message, so one is made with nothing but this field in it, of each kind that it may be.
    private static func name(of number: UInt64) -> String {
        guard number < 1 << 29 else { return "\(number)" }
        // Varint, text of one letter, empty message, 8 and 4 bytes.
        let samples: [(type: UInt64, value: [UInt8])] = [
            (0, [1]), (2, [1, 0x61]), (2, [0]), (1, [1, 0, 0, 0, 0, 0, 0, 0]), (5, [1, 0, 0, 0]),
        ]
        for sample in samples {
            var bytes: [UInt8] = []
            var tag = number << 3 | sample.type
            while tag > 0x7F {
                bytes.append(UInt8(tag & 0x7F) | 0x80)
                tag >>= 7
            }
            bytes.append(UInt8(tag))
            do {
                var options = BinaryDecodingOptions()
                options.discardUnknownFields = true
                let text = try Message(serializedBytes: bytes + sample.value, partial: true, options: options)
                    .textFormatString()
                let name = text.prefix { $0 == "_" || $0.isLetter || $0.isNumber }
                if !name.isEmpty { return String(name) }
            } catch {
                continue
            }
        }
        return "\(number)"
    }
}

/// The fields of an encoded message, one after another, without knowing which message it is.
private struct FieldWalk {
    private let bytes: [UInt8]
    /// Where the next field begins.
    private(set) var start = 0
    /// Of the field that was begun last; nil if its tag could not be read.
    private(set) var number: UInt64?

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The number of the next field, which ends before the new `start`; nil if it has no end.
    mutating func next() -> UInt64? {
        number = nil
        var position = start
        guard let tag = varint(&position), tag >> 3 > 0 else { return nil }
        number = tag >> 3
        switch tag & 7 {
        case 0: guard varint(&position) != nil else { return nil }
        case 1: position += 8
        case 2:
            guard let length = varint(&position), length <= UInt64(bytes.count - position) else { return nil }
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
