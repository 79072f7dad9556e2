/// What of a pattern in the STIX patterning language (STIX 2.1, part 9) can be looked for in single observables: the values any
/// one of which makes the pattern true.
///
/// That are comparisons with `=`, `IN` and `ISSUBSET` of addresses, domain names, URLs, e-mail addresses and hashes, joined by
/// `OR`, within one observation or several. What needs more than one observable, or a part of one, is in `unusable`.
struct STIXPattern {
    private(set) var values: [(type: IndicatorType, value: String)] = []
    /// Why parts of it cannot be looked for, each reason once.
    private(set) var unusable: [String] = []

    /// What is no pattern.
    struct Problem: Error {
        /// In bytes from 0.
        var offset: Int
        var message: String
    }

    private static let bytesMax = 64 << 10
    private static let valuesMax = 1000
    private static let depthMax = 32

    init(_ text: String) throws(Problem) {
        guard text.utf8.count <= Self.bytesMax else {
            throw Problem(offset: Self.bytesMax, message: "the pattern is longer than \(Self.bytesMax) bytes")
        }
        var parser = Parser(bytes: Array(text.utf8))
        let part = try parser.observations(depth: 0)
        try parser.end()
        guard part.values.count <= Self.valuesMax else {
            throw Problem(offset: 0, message: "the pattern has more than \(Self.valuesMax) values")
        }
        values = part.values
        for reason in part.unusable where !unusable.contains(reason) { unusable.append(reason) }
    }

    private struct Part {
        var values: [(type: IndicatorType, value: String)] = []
        var unusable: [String] = []
        /// True of every observable of the kind, as `network-traffic:dst_ref.type = 'ipv4-addr'` is beside the address.
        var isGiven = false

        static func or(_ a: Part, _ b: Part) -> Part { Part(values: a.values + b.values, unusable: a.unusable + b.unusable) }
        static func and(_ a: Part, _ b: Part, _ reason: String) -> Part {
            if a.isGiven { return b }
            if b.isGiven { return a }
            return Part(unusable: [reason])
        }
    }

    private struct Parser {
        let bytes: [UInt8]
        var offset = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        func problem(_ message: String) -> Problem { Problem(offset: offset, message: message) }

        mutating func end() throws(Problem) {
            skipSpace()
            guard offset == bytes.count else { throw problem("expected the end of the pattern") }
        }

        mutating func skipSpace() {
            while offset < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[offset]) { offset += 1 }
        }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            skipSpace()
            guard offset < bytes.count, bytes[offset] == UInt8(ascii: character) else { return false }
            offset += 1
            return true
        }

        mutating func expect(_ character: Unicode.Scalar) throws(Problem) {
            guard take(character) else { throw problem("expected \"\(character)\"") }
        }

        /// Passes over a keyword if it is next.
        mutating func take(word: StaticString) -> Bool {
            skipSpace()
            let count = word.utf8CodeUnitCount
            guard offset + count <= bytes.count,
                (0..<count).allSatisfy({ Normalised.lowercase(bytes[offset + $0]) == Normalised.lowercase(word.utf8Start[$0]) })
            else { return false }
            if offset + count < bytes.count {
                let next = bytes[offset + count]
                guard !Normalised.isSchemeByte(next), next != UInt8(ascii: "_"), next != UInt8(ascii: "-"),
                    next != UInt8(ascii: ":")
                else { return false }
            }
            offset += count
            return true
        }

        // Observations.

        mutating func observations(depth: Int) throws(Problem) -> Part {
            var part = try alternatives(depth: depth)
            while take(word: "FOLLOWEDBY") {
                part = .and(part, try alternatives(depth: depth), "FOLLOWEDBY needs events in order")
            }
            return part
        }

        private mutating func alternatives(depth: Int) throws(Problem) -> Part {
            var part = try together(depth: depth)
            while take(word: "OR") { part = .or(part, try together(depth: depth)) }
            return part
        }

        private mutating func together(depth: Int) throws(Problem) -> Part {
            var part = try observation(depth: depth)
            while take(word: "AND") { part = .and(part, try observation(depth: depth), "AND needs several observables at once") }
            return part
        }

        private mutating func observation(depth: Int) throws(Problem) -> Part {
            guard depth < STIXPattern.depthMax else { throw problem("nested more than \(STIXPattern.depthMax) deep") }
            var part: Part
            if take("(") {
                part = try observations(depth: depth + 1)
                try expect(")")
            } else {
                try expect("[")
                part = try comparisons(depth: depth + 1)
                try expect("]")
            }
            while true {
                if take(word: "WITHIN") || take(word: "REPEATS") {
                    skipSpace()
                    while offset < bytes.count, bytes[offset] &- UInt8(ascii: "0") < 10 || bytes[offset] == UInt8(ascii: ".") {
                        offset += 1
                    }
                    guard take(word: "SECONDS") || take(word: "TIMES") else { throw problem("expected SECONDS or TIMES") }
                    part = Part(unusable: ["WITHIN and REPEATS need several events"])
                } else if take(word: "START") {
                    _ = try literal()
                    guard take(word: "STOP") else { throw problem("expected STOP") }
                    _ = try literal()
                    part = Part(unusable: ["START and STOP are of one moment in the past"])
                } else {
                    return part
                }
            }
        }

        // Comparisons.

        private mutating func comparisons(depth: Int) throws(Problem) -> Part {
            var part = try conjunction(depth: depth)
            while take(word: "OR") { part = .or(part, try conjunction(depth: depth)) }
            return part
        }

        private mutating func conjunction(depth: Int) throws(Problem) -> Part {
            var part = try comparison(depth: depth)
            while take(word: "AND") { part = .and(part, try comparison(depth: depth), "AND needs several observables at once") }
            return part
        }

        private mutating func comparison(depth: Int) throws(Problem) -> Part {
            guard depth < STIXPattern.depthMax else { throw problem("nested more than \(STIXPattern.depthMax) deep") }
            if take("(") {
                let part = try comparisons(depth: depth + 1)
                try expect(")")
                return part
            }
            if take(word: "NOT") {
                _ = try comparison(depth: depth + 1)
                return Part(unusable: ["NOT"])
            }
            if take(word: "EXISTS") {
                _ = try path()
                return Part(unusable: ["EXISTS"])
            }
            let path = try path()
            if take(word: "NOT") {
                _ = try comparisonRest()
                return Part(unusable: ["NOT"])
            }
            let (literals, reason) = try comparisonRest()
            if let reason { return Part(unusable: [reason]) }
            return Self.part(path, literals)
        }

        /// The operator and what is compared with; a reason if it cannot be looked for.
        private mutating func comparisonRest() throws(Problem) -> (literals: [String], unusable: String?) {
            skipSpace()
            for (word, reason) in [
                ("ISSUBSET", nil), ("IN", nil), ("LIKE", "LIKE"), ("MATCHES", "MATCHES"), ("ISSUPERSET", "ISSUPERSET"),
            ] as [(StaticString, String?)] where take(word: word) {
                guard take("(") else { return ([try literal()], reason) }
                var literals = [try literal()]
                while take(",") { literals.append(try literal()) }
                try expect(")")
                return (literals, reason)
            }
            var symbol: [UInt8] = []
            while offset < bytes.count,
                [UInt8(ascii: "="), UInt8(ascii: "!"), UInt8(ascii: "<"), UInt8(ascii: ">")].contains(bytes[offset])
            {
                symbol.append(bytes[offset])
                offset += 1
            }
            let text = String(decoding: symbol, as: UTF8.self)
            switch text {
            case "=", "==": return ([try literal()], nil)
            case "!=", "<>", "<", "<=", ">", ">=": return ([try literal()], "comparison with \(text)")
            default: throw problem("expected an operator of comparison")
            }
        }

        /// `file:hashes.'SHA-256'`, as it is written.
        private mutating func path() throws(Problem) -> String {
            skipSpace()
            let start = offset
            while offset < bytes.count {
                switch bytes[offset] {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: ":"), UInt8(ascii: "."), UInt8(ascii: "*"):
                    offset += 1
                case UInt8(ascii: "'"), UInt8(ascii: "\""): try pass(to: bytes[offset])
                case UInt8(ascii: "["): try pass(to: UInt8(ascii: "]"))
                default:
                    guard offset > start else { throw problem("expected the path of a property") }
                    return String(decoding: bytes[start..<offset], as: UTF8.self)
                }
            }
            throw problem("the pattern ends within a comparison")
        }

        private mutating func pass(to close: UInt8) throws(Problem) {
            guard let end = bytes[(offset + 1)...].firstIndex(of: close) else { throw problem("this is not closed") }
            offset = end + 1
        }

        /// A string without its quotes, anything else as it is written.
        private mutating func literal() throws(Problem) -> String {
            skipSpace()
            let start = offset
            while offset < bytes.count,
                Normalised.isSchemeByte(bytes[offset])
                    || [UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "+")].contains(bytes[offset])
            {
                offset += 1
            }
            // A letter before the quote tells the type: t'…', b'…', h'…'.
            guard offset < bytes.count, bytes[offset] == UInt8(ascii: "'"), offset - start <= 1 else {
                guard offset > start else { throw problem("expected a value") }
                return String(decoding: bytes[start..<offset], as: UTF8.self)
            }
            offset += 1
            var text: [UInt8] = []
            while offset < bytes.count, bytes[offset] != UInt8(ascii: "'") {
                if bytes[offset] == UInt8(ascii: "\\"), offset + 1 < bytes.count { offset += 1 }
                text.append(bytes[offset])
                offset += 1
            }
            guard offset < bytes.count else { throw problem("a string without an end") }
            offset += 1
            return String(decoding: text, as: UTF8.self)
        }

        private static func part(_ path: String, _ literals: [String]) -> Part {
            if path.hasPrefix("network-traffic:"), path.hasSuffix("_ref.type") { return Part(isGiven: true) }
            var part = Part()
            let candidates = types(of: path)
            guard !candidates.isEmpty else { return Part(unusable: ["events do not show \(path.prefix(80))"]) }
            for literal in literals {
                if let value = candidates.lazy.compactMap({ Normalised.value(literal, type: $0) }).first {
                    part.values.append(value)
                } else {
                    part.unusable.append("a value that is no \(candidates[0])")
                }
            }
            return part
        }

        /// What a value at the path may be, the likeliest first; none if events do not show it.
        private static func types(of path: String) -> [IndicatorType] {
            switch path {
            case "ipv4-addr:value", "ipv6-addr:value": return [.ipv4]
            case "domain-name:value": return [.domain]
            case "url:value": return [.url]
            case "email-addr:value", "email-message:from_ref.value", "email-message:sender_ref.value": return [.email]
            case "network-traffic:src_ref.value", "network-traffic:dst_ref.value": return [.ipv4, .domain]
            default: break
            }
            let parts = path.split(separator: ".", maxSplits: 1)
            guard parts.count == 2, ["file:hashes", "artifact:hashes", "x509-certificate:hashes"].contains(parts[0]) else {
                return []
            }
            switch parts[1].lowercased().filter({ !"'\"-_".contains($0) }) {
            case "md5": return [.md5]
            case "sha1": return [.sha1]
            case "sha256": return [.sha256]
            case "sha512": return [.sha512]
            default: return []
            }
        }
    }
}
