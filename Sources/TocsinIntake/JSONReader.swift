/// What is wrong with a text that is no JSON.
public struct JSONProblem: Error, Sendable, Equatable, CustomStringConvertible {
    /// Where, in bytes from 0.
    public var offset: Int
    public var message: String
    public var description: String { "\(message) at byte \(offset)" }
}

extension JSON {
    /// Reads exactly one value. Bytes that are no UTF-8 become U+FFFD.
    ///
    /// - Throws: for what is no JSON, or is nested more than 64 deep.
    public init(_ bytes: [UInt8]) throws(JSONProblem) {
        var result: Result<JSON, JSONProblem> = .success(.null)
        bytes.withUnsafeBufferPointer { buffer in
            var reader = JSONReader(bytes: buffer)
            do throws(JSONProblem) { result = .success(try reader.whole()) } catch { result = .failure(error) }
        }
        self = try result.get()
    }
}

extension JSON {
    /// Reads exactly one value, as `init` does, of a text that may be too large to be kept: the elements of each array that is an
    /// object's member of one of the `names` are handed out one by one, with the member's name and the byte where they begin, and
    /// the array is empty in what is returned. Not so arrays within such an element.
    ///
    /// - Throws: for what is no JSON, or is nested more than 64 deep; elements before that were handed out.
    public static func read(
        _ bytes: [UInt8], elementsOf names: Set<String>, _ element: (_ name: String, _ value: JSON, _ offset: Int) -> Void
    ) throws(JSONProblem) -> JSON {
        var result: Result<JSON, JSONProblem> = .success(.null)
        bytes.withUnsafeBufferPointer { buffer in
            withoutActuallyEscaping(element) { element in
                var reader = JSONReader(bytes: buffer)
                reader.handedOut = names
                reader.element = element
                do throws(JSONProblem) { result = .success(try reader.whole()) } catch { result = .failure(error) }
            }
        }
        return try result.get()
    }
}

private struct JSONReader {
    let bytes: UnsafeBufferPointer<UInt8>
    var offset = 0
    /// Members whose arrays are not kept, and who gets their elements.
    var handedOut: Set<String> = []
    var element: ((String, JSON, Int) -> Void)?
    private static let depthMax = 64

    init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    mutating func whole() throws(JSONProblem) -> JSON {
        let value = try value(depth: 0)
        skipSpace()
        guard offset == bytes.count else { throw problem("expected the end of the text") }
        return value
    }

    private func problem(_ message: String) -> JSONProblem { JSONProblem(offset: offset, message: message) }

    private mutating func skipSpace() {
        while offset < bytes.count {
            switch bytes[offset] {
            case 0x20, 0x0A, 0x0D, 0x09: offset += 1
            default: return
            }
        }
    }

    /// Passes over `byte` if it is next.
    private mutating func take(_ byte: UInt8) -> Bool {
        guard offset < bytes.count, bytes[offset] == byte else { return false }
        offset += 1
        return true
    }

    private mutating func value(depth: Int) throws(JSONProblem) -> JSON {
        skipSpace()
        guard offset < bytes.count else { throw problem("expected a value, found the end") }
        switch bytes[offset] {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""):
            offset += 1
            return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw problem("expected a value")
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSON) throws(JSONProblem) -> JSON {
        let count = word.utf8CodeUnitCount
        guard bytes.count - offset >= count,
            (0..<count).allSatisfy({ bytes[offset + $0] == word.utf8Start[$0] })
        else { throw problem("expected a value") }
        offset += count
        return value
    }

    private mutating func object(depth: Int) throws(JSONProblem) -> JSON {
        guard depth < Self.depthMax else { throw problem("nested more than \(Self.depthMax) deep") }
        offset += 1
        var members: [(name: String, value: JSON)] = []
        skipSpace()
        if take(UInt8(ascii: "}")) { return .object(members) }
        while true {
            skipSpace()
            guard take(UInt8(ascii: "\"")) else { throw problem("expected the name of a member in quotes") }
            let name = try string()
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw problem("expected a colon") }
            skipSpace()
            if handedOut.contains(name), offset < bytes.count, bytes[offset] == UInt8(ascii: "[") {
                members.append((name, try handOut(name, depth: depth + 1)))
            } else {
                members.append((name, try value(depth: depth + 1)))
            }
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "}")) else { throw problem("expected a comma or the end of the object") }
            return .object(members)
        }
    }

    private mutating func array(depth: Int) throws(JSONProblem) -> JSON {
        guard depth < Self.depthMax else { throw problem("nested more than \(Self.depthMax) deep") }
        offset += 1
        var values: [JSON] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return .array(values) }
        while true {
            values.append(try value(depth: depth + 1))
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "]")) else { throw problem("expected a comma or the end of the array") }
            return .array(values)
        }
    }

    /// An array whose elements are handed out.
    private mutating func handOut(_ name: String, depth: Int) throws(JSONProblem) -> JSON {
        guard depth < Self.depthMax else { throw problem("nested more than \(Self.depthMax) deep") }
        offset += 1
        skipSpace()
        if take(UInt8(ascii: "]")) { return .array([]) }
        // What is within an element stays in it.
        let names = handedOut
        handedOut = []
        defer { handedOut = names }
        while true {
            skipSpace()
            let start = offset
            let value = try value(depth: depth + 1)
            element?(name, value, start)
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "]")) else { throw problem("expected a comma or the end of the array") }
            return .array([])
        }
    }

    private mutating func digits() -> Int {
        let start = offset
        while offset < bytes.count, bytes[offset] &- UInt8(ascii: "0") < 10 { offset += 1 }
        return offset - start
    }

    private mutating func number() throws(JSONProblem) -> JSON {
        let start = offset
        _ = take(UInt8(ascii: "-"))
        let first = offset
        let whole = digits()
        guard whole > 0, whole == 1 || bytes[first] != UInt8(ascii: "0") else { throw problem("this is no number") }
        if take(UInt8(ascii: ".")), digits() == 0 { throw problem("expected a digit") }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            if digits() == 0 { throw problem("expected a digit") }
        }
        return .number(String(decoding: bytes[start..<offset], as: UTF8.self))
    }

    /// The rest of a string, after its first quote.
    private mutating func string() throws(JSONProblem) -> String {
        let start = offset
        while offset < bytes.count {
            switch bytes[offset] {
            case UInt8(ascii: "\""):
                offset += 1
                return String(decoding: bytes[start..<offset - 1], as: UTF8.self)
            case UInt8(ascii: "\\"): return try escaped(from: start)
            case 0..<0x20: throw problem("a control character in a string")
            default: offset += 1
            }
        }
        throw problem("a string without an end")
    }

    private mutating func escaped(from start: Int) throws(JSONProblem) -> String {
        var output = Array(bytes[start..<offset])
        while offset < bytes.count {
            let byte = bytes[offset]
            switch byte {
            case UInt8(ascii: "\""):
                offset += 1
                return String(decoding: output, as: UTF8.self)
            case UInt8(ascii: "\\"):
                offset += 1
                try escape(to: &output)
            case 0..<0x20: throw problem("a control character in a string")
            default:
                output.append(byte)
                offset += 1
            }
        }
        throw problem("a string without an end")
    }

    private mutating func escape(to output: inout [UInt8]) throws(JSONProblem) {
        guard offset < bytes.count else { throw problem("a string without an end") }
        let byte = bytes[offset]
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): output.append(byte)
        case UInt8(ascii: "b"): output.append(0x08)
        case UInt8(ascii: "f"): output.append(0x0C)
        case UInt8(ascii: "n"): output.append(0x0A)
        case UInt8(ascii: "r"): output.append(0x0D)
        case UInt8(ascii: "t"): output.append(0x09)
        case UInt8(ascii: "u"):
            var code = try hexadecimal()
            if code & 0xFC00 == 0xD800, offset + 1 < bytes.count, bytes[offset] == UInt8(ascii: "\\"),
                bytes[offset + 1] == UInt8(ascii: "u")
            {
                let back = offset
                offset += 2
                let low = try hexadecimal()
                if low & 0xFC00 == 0xDC00 {
                    code = 0x10000 + (code & 0x3FF) << 10 + low & 0x3FF
                } else {
                    offset = back
                }
            }
            // A half of a pair that is alone stands for nothing.
            output += String(Unicode.Scalar(code) ?? "\u{FFFD}").utf8
        default: throw problem("an unknown escape in a string")
        }
    }

    private mutating func hexadecimal() throws(JSONProblem) -> UInt32 {
        guard bytes.count - offset >= 4 else { throw problem("expected four hexadecimal digits") }
        var code: UInt32 = 0
        for index in 0..<4 {
            guard let digit = Character(Unicode.Scalar(bytes[offset + index])).hexDigitValue else {
                throw problem("expected four hexadecimal digits")
            }
            code = code << 4 | UInt32(digit)
        }
        offset += 4
        return code
    }
}
