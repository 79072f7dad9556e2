/// A JSON value that keeps the order of its keys, so that the output reads the same each time.
package enum JSON: ExpressibleByDictionaryLiteral, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case unsigned(UInt64)
    /// Finite.
    case number(Double)
    case string(String)
    case array([JSON])
    case object([(String, JSON)])

    package init(dictionaryLiteral elements: (String, JSON)...) { self = .object(elements) }

    /// Null for an empty text.
    package static func text(_ text: String) -> JSON { text.isEmpty ? .null : .string(text) }

    package static func table(_ table: [String: String]) -> JSON {
        .object(table.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
    }

    package static func strings(_ strings: [String]) -> JSON { .array(strings.map(JSON.string)) }

    /// On one line.
    package var line: String { rendered(indent: nil) }
    /// On many lines, for people who look.
    package var pretty: String { rendered(indent: 0) }

    private func rendered(indent: Int?) -> String {
        switch self {
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .integer(let value): return "\(value)"
        case .unsigned(let value): return "\(value)"
        case .number(let value): return "\(value)"
        case .string(let text): return Self.quoted(text)
        case .array(let values):
            return Self.joined(values.map { $0.rendered(indent: indent.map { $0 + 1 }) }, "[", "]", indent)
        case .object(let pairs):
            let colon = indent == nil ? ":" : ": "
            return Self.joined(
                pairs.map { Self.quoted($0.0) + colon + $0.1.rendered(indent: indent.map { $0 + 1 }) }, "{", "}", indent
            )
        }
    }

    private static func joined(_ parts: [String], _ open: String, _ close: String, _ indent: Int?) -> String {
        guard let indent, !parts.isEmpty else { return open + parts.joined(separator: ",") + close }
        let inner = "\n" + String(repeating: "  ", count: indent + 1)
        return open + inner + parts.joined(separator: "," + inner) + "\n" + String(repeating: "  ", count: indent)
            + close
    }

    private static func escape(_ unit: UInt16) -> String {
        let digits = String(unit, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }

    /// Also what is dangerous to show is escaped: JSON is read on terminals too.
    package static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if scalar.isUnsafeToShow {
                    for unit in UTF16.encode(scalar) ?? .init() { result += escape(unit) }
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }
}
