/// Rules of subjects and filters: tokens of `[A-Za-z0-9_-]` joined by `.`; in a filter `*` matches one token and a last `>`
/// one or more.
public enum Subject {
    /// Nil if `bytes` is a valid subject, else what is wrong with it.
    @inlinable public static func problem(in bytes: UnsafeRawBufferPointer) -> String? {
        if bytes.isEmpty { return "the subject is empty" }
        if bytes.count > Limits.subjectBytes {
            return "the subject has \(bytes.count) bytes; the limit is \(Limits.subjectBytes)"
        }
        var tokens = 1
        var length = 0
        for byte in bytes {
            if byte == UInt8(ascii: ".") {
                if length == 0 { return "the subject has an empty token" }
                tokens += 1
                length = 0
            } else if isTokenByte(byte) {
                length += 1
            } else {
                return "byte \(byte) is not allowed in a subject; use letters, digits, '_', '-' and '.'"
            }
        }
        if length == 0 { return "the subject ends with '.'" }
        if tokens > Limits.subjectTokens { return "the subject has \(tokens) tokens; the limit is \(Limits.subjectTokens)" }
        return nil
    }

    @inlinable public static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    /// Any text made into one valid token: other characters become `-`, nothing becomes `none`, at most 48 bytes.
    public static func token(_ text: String) -> String {
        let bytes = text.utf8.prefix(48).map { isTokenByte($0) ? $0 : UInt8(ascii: "-") }
        return bytes.isEmpty ? "none" : String(decoding: bytes, as: UTF8.self)
    }

    /// Nil if `name` is a valid pool name (1 to 64 bytes of token characters), else what is wrong.
    public static func problem(inPoolName name: String) -> String? {
        let bytes = Array(name.utf8)
        if bytes.isEmpty || bytes.count > 64 { return "a pool name has 1 to 64 bytes, this one \(bytes.count)" }
        if !bytes.allSatisfy(isTokenByte) { return "a pool name is made of letters, digits, '_' and '-'" }
        return nil
    }
}

/// A parsed subject filter.
public struct SubjectFilter: Hashable, Sendable, CustomStringConvertible {
    public let description: String
    private let tokens: [[UInt8]]
    private let open: Bool

    /// Throws `badPool` with a sentence if `text` is not a filter.
    public init(_ text: String) throws(WireError) {
        description = text
        var tokens = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).map { Array($0) }
        open = tokens.last == [UInt8(ascii: ">")]
        if open { tokens.removeLast() }
        guard text.utf8.count <= Limits.subjectBytes, tokens.count <= Limits.subjectTokens else {
            throw WireError(.badPool, "the filter \"\(text.prefix(64))\" is too long")
        }
        for token in tokens where token != [UInt8(ascii: "*")] {
            guard !token.isEmpty, token.allSatisfy(Subject.isTokenByte) else {
                throw WireError(
                    .badPool,
                    "\"\(text)\" is not a subject filter; write tokens joined by '.', '*' for one token, '>' at the end for the rest"
                )
            }
        }
        self.tokens = tokens
    }

    /// Matches every subject.
    public static let all = SubjectFilter(description: ">", tokens: [], open: true)

    private init(description: String, tokens: [[UInt8]], open: Bool) {
        self.description = description
        self.tokens = tokens
        self.open = open
    }

    /// Whether it matches whatever `other` matches.
    public func covers(_ other: SubjectFilter) -> Bool {
        guard open ? other.tokens.count >= tokens.count : !other.open && other.tokens.count == tokens.count else { return false }
        // An open filter wants one token more than it names.
        if open, !other.open, other.tokens.count == tokens.count { return false }
        let any = [UInt8(ascii: "*")]
        return zip(tokens, other.tokens).allSatisfy { $0 == any || $0 == $1 }
    }

    /// Whether there are subjects that it and `other` match.
    public func overlaps(_ other: SubjectFilter) -> Bool {
        let isLongEnough =
            switch (open, other.open) {
            case (true, true): true
            // An open filter wants one token more than it names.
            case (true, false): other.tokens.count > tokens.count
            case (false, true): tokens.count > other.tokens.count
            case (false, false): tokens.count == other.tokens.count
            }
        let any = [UInt8(ascii: "*")]
        return isLongEnough && zip(tokens, other.tokens).allSatisfy { $0 == any || $1 == any || $0 == $1 }
    }

    /// Whether a valid `subject` matches.
    public func matches(_ subject: UnsafeRawBufferPointer) -> Bool {
        var offset = 0
        for (index, token) in tokens.enumerated() {
            if index > 0 {
                guard offset < subject.count, subject[offset] == UInt8(ascii: ".") else { return false }
                offset += 1
            }
            var end = offset
            while end < subject.count, subject[end] != UInt8(ascii: ".") { end += 1 }
            guard end > offset else { return false }
            if token != [UInt8(ascii: "*")] {
                guard end - offset == token.count, token.elementsEqual(subject[offset..<end]) else { return false }
            }
            offset = end
        }
        if open { return tokens.isEmpty ? !subject.isEmpty : offset < subject.count }
        return offset == subject.count
    }

    public func matches(_ subject: String) -> Bool {
        var subject = subject
        return subject.withUTF8 { matches(UnsafeRawBufferPointer($0)) }
    }
}
