/// Something in a text that an indicator may name.
enum Observable {
    case address(AddressPrefix)
    /// Normalised. A URL's host and an e-mail address's domain come after it, as observables of their own.
    case text(IndicatorType, UnsafeBufferPointer<UInt8>)
}

/// Finds addresses, domains, URLs, e-mail addresses and hashes in text, in one pass. It understands what people do to make them
/// harmless: `hxxp://evil[.]example`, `evil(dot)example`, `a[at]b.example`, `http[:]//`.
///
/// Keeps its buffers from one text to the next. One per thread of work.
struct ObservableReader {
    /// The word or URL that is read, without what made it harmless.
    private var word: [UInt8] = []
    private var normal: [UInt8] = []
    private let classes: [Class] = (UInt8.min...UInt8.max).map(Class.init(of:))

    /// What bytes a word has.
    private struct Class: OptionSet {
        let rawValue: UInt8
        init(rawValue: UInt8) { self.rawValue = rawValue }

        static let digit = Class(rawValue: 1)
        /// a to f.
        static let hexLetter = Class(rawValue: 2)
        /// Other letters, and `_ - +` and bytes beyond ASCII.
        static let other = Class(rawValue: 4)
        static let dot = Class(rawValue: 8)
        static let colon = Class(rawValue: 16)
        static let at = Class(rawValue: 32)
        static let hash: Class = [.digit, .hexLetter]

        init(of byte: UInt8) {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): self = .digit
            case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): self = .hexLetter
            case UInt8(ascii: "g")...UInt8(ascii: "z"), UInt8(ascii: "G")...UInt8(ascii: "Z"), UInt8(ascii: "_"),
                UInt8(ascii: "-"),
                UInt8(ascii: "+"), 0x80...:
                self = .other
            case UInt8(ascii: "."): self = .dot
            case UInt8(ascii: ":"): self = .colon
            case UInt8(ascii: "@"): self = .at
            default: self = []
            }
        }
    }

    /// Calls `body` with each observable until it returns false; what it is given is gone when it returns. With `isCut` the text
    /// goes on beyond its end, and what touches the end is left out.
    ///
    /// - Returns: how many bytes were read.
    @discardableResult
    mutating func read(_ bytes: UnsafeBufferPointer<UInt8>, isCut: Bool = false, _ body: (Observable) -> Bool) -> Int {
        var index = 0
        while index < bytes.count {
            guard !classes[Int(bytes[index])].isEmpty else {
                index += 1
                continue
            }
            let found = readWord(bytes, &index)
            let isURL = startURL(found, bytes, &index)
            if isURL { readURL(bytes, &index) }
            if index == bytes.count, isCut { break }
            guard isURL ? visitURL(body) : visitWord(found, body) else { break }
        }
        return index
    }

    /// Reads a word, in small letters, and tells what is in it. Of a word that is too long to be anything nothing is kept.
    private mutating func readWord(_ bytes: UnsafeBufferPointer<UInt8>, _ index: inout Int) -> Class {
        word.removeAll(keepingCapacity: true)
        var found: Class = []
        while index < bytes.count {
            let byte = bytes[index]
            let one = classes[Int(byte)]
            if !one.isEmpty {
                found.formUnion(one)
                if word.count <= Normalised.bytesMax { word.append(Normalised.lowercase(byte)) }
                index += 1
            } else if let (meant, length) = Self.harmless(bytes, at: index) {
                word.append(meant)
                found.formUnion(classes[Int(meant)])
                index += length
            } else {
                break
            }
        }
        if word.count > Normalised.bytesMax { word.removeAll(keepingCapacity: true) }
        return found
    }

    /// A text without what made it harmless.
    static func restored(_ bytes: [UInt8]) -> [UInt8] {
        bytes.withUnsafeBufferPointer { bytes in
            var output: [UInt8] = []
            var index = 0
            while index < bytes.count {
                if let (meant, length) = harmless(bytes, at: index) {
                    output.append(meant)
                    index += length
                    guard length == 2, meant == UInt8(ascii: ":") else { continue }
                    output += "//".utf8
                    index = min(index + 3, bytes.count)
                } else {
                    output.append(bytes[index])
                    index += 1
                }
            }
            if let colon = output.firstIndex(of: UInt8(ascii: ":")), output[colon...].starts(with: "://".utf8) {
                restoreScheme(&output, 0..<colon)
            }
            return output
        }
    }

    /// `hxxp`, `hxxps`, `fxp`.
    private static func restoreScheme(_ word: inout [UInt8], _ scheme: Range<Int>) {
        for position in scheme where Normalised.lowercase(word[position]) == UInt8(ascii: "x") {
            word[position] = UInt8(ascii: "t")
        }
    }

    /// What the brackets at `index` stand for, and how many bytes they are: `[.]`, `(dot)`, `{at}`, `[:]`, `\.`; nil if they are
    /// just brackets. `[://]` stands for a colon: then the slashes are still to come, and the closing bracket is passed over with
    /// them.
    private static func harmless(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> (UInt8, Int)? {
        func has(_ text: StaticString, _ start: Int) -> Bool {
            guard start + text.utf8CodeUnitCount <= bytes.count else { return false }
            for offset in 0..<text.utf8CodeUnitCount
            where Normalised.lowercase(bytes[start + offset]) != text.utf8Start[offset] { return false }
            return true
        }
        let close: UInt8
        switch bytes[index] {
        case UInt8(ascii: "["): close = UInt8(ascii: "]")
        case UInt8(ascii: "("): close = UInt8(ascii: ")")
        case UInt8(ascii: "{"): close = UInt8(ascii: "}")
        case UInt8(ascii: "\\"): return has(".", index + 1) ? (UInt8(ascii: "."), 2) : nil
        default: return nil
        }
        if has("://", index + 1) { return (UInt8(ascii: ":"), 2) }
        let meanings: [(StaticString, UInt8)] = [
            (".", UInt8(ascii: ".")), (":", UInt8(ascii: ":")), ("@", UInt8(ascii: "@")), ("dot", UInt8(ascii: ".")),
            ("at", UInt8(ascii: "@")),
        ]
        for (text, meant) in meanings where has(text, index + 1) {
            let end = index + 1 + text.utf8CodeUnitCount
            if end < bytes.count, bytes[end] == close { return (meant, end + 1 - index) }
        }
        return nil
    }

    /// Whether a URL begins with the word: then its slashes are passed over, and the word is as `Normalised.url` wants it to
    /// begin.
    private mutating func startURL(_ found: Class, _ bytes: UnsafeBufferPointer<UInt8>, _ index: inout Int) -> Bool {
        guard index < bytes.count, !word.isEmpty else { return false }
        if word.last == UInt8(ascii: ":") {
            // JSON may write slashes with a backslash before each.
            let slash: [UInt8] = bytes[index] == UInt8(ascii: "\\") ? Array("\\/\\/".utf8) : Array("//".utf8)
            let letters = word.dropLast().reversed().prefix(while: Normalised.isSchemeByte).count
            guard letters > 0, bytes[index...].starts(with: slash) else { return false }
            word.removeFirst(word.count - 1 - letters)
            Self.restoreScheme(&word, 0..<letters)
            word += "//".utf8
            index += slash.count
            if index < bytes.count, [UInt8(ascii: "]"), UInt8(ascii: ")"), UInt8(ascii: "}")].contains(bytes[index]) {
                index += 1
            }
            return true
        }
        // "evil.example/path", of whatever scheme.
        guard bytes[index] == UInt8(ascii: "/"), found.contains(.dot), !found.contains(.at), isHost() else { return false }
        word.insert(contentsOf: "//".utf8, at: 0)
        return true
    }

    /// Whether the word is a domain or an IPv4 address, perhaps with a port.
    private func isHost() -> Bool {
        word.withUnsafeBufferPointer { word in
            let end = word.lastIndex(of: UInt8(ascii: ":")) ?? word.count
            guard word[end...].dropFirst().allSatisfy({ $0 &- UInt8(ascii: "0") < 10 }) else { return false }
            let host = UnsafeBufferPointer(rebasing: word[..<end])
            return Normalised.isDomain(host) || AddressPrefix(address: host) != nil
        }
    }

    /// Reads a URL from behind its slashes, or from its path on, to where it ends.
    private mutating func readURL(_ bytes: UnsafeBufferPointer<UInt8>, _ index: inout Int) {
        reading: while index < bytes.count {
            let byte = bytes[index]
            var (meant, length) = (byte, 1)
            switch byte {
            case 0...0x20, 0x7F, UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "`"),
                UInt8(ascii: "|"), UInt8(ascii: "^"), UInt8(ascii: "}"):
                break reading
            case UInt8(ascii: "\\"), UInt8(ascii: "["), UInt8(ascii: "("), UInt8(ascii: "{"):
                if let plain = Self.harmless(bytes, at: index) {
                    (meant, length) = plain
                } else if byte == UInt8(ascii: "\\"), index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "/") {
                    (meant, length) = (UInt8(ascii: "/"), 2)
                } else if byte == UInt8(ascii: "\\") || byte == UInt8(ascii: "{") {
                    break reading
                }
            default: break
            }
            if word.count <= Normalised.bytesMax { word.append(meant) }
            index += length
        }
        // What ends a sentence or a bracket around the URL does not belong to it.
        let hasRound = word.contains(UInt8(ascii: "("))
        let hasSquare = word.contains(UInt8(ascii: "["))
        while let last = word.last {
            switch last {
            case UInt8(ascii: "."), UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: ":"), UInt8(ascii: "!"), UInt8(ascii: "?"):
                word.removeLast()
            case UInt8(ascii: ")") where !hasRound: word.removeLast()
            case UInt8(ascii: "]") where !hasSquare: word.removeLast()
            default: return
            }
        }
    }

    /// False if `body` wants no more.
    private mutating func visitURL(_ body: (Observable) -> Bool) -> Bool {
        guard let host = word.withUnsafeBufferPointer({ Normalised.url($0, to: &normal) }) else { return true }
        return normal.withUnsafeBufferPointer { normal in
            body(.text(.url, normal)) && Self.visitHost(UnsafeBufferPointer(rebasing: normal[host]), body)
        }
    }

    private func visitWord(_ found: Class, _ body: (Observable) -> Bool) -> Bool {
        // Most words of most texts are nothing.
        guard !found.isDisjoint(with: [.dot, .colon]) || found.isSubset(of: .hash) else { return true }
        return word.withUnsafeBufferPointer { word in
            guard found.contains(.colon) else { return Self.visitPart(word[...], body) }
            if let address = Self.addressV6(word) { return body(.address(address)) }
            // "host:port", "src:192.0.2.1", "sha256:…".
            return word.split(separator: UInt8(ascii: ":")).allSatisfy { Self.visitPart($0, body) }
        }
    }

    private static func addressV6(_ word: UnsafeBufferPointer<UInt8>) -> AddressPrefix? {
        var end = word.count
        // A colon that ends a phrase.
        if end >= 2, word[end - 1] == UInt8(ascii: ":"), word[end - 2] != UInt8(ascii: ":") { end -= 1 }
        var colons = 0
        for byte in word[..<end] {
            if byte == UInt8(ascii: ":") {
                colons += 1
            } else if !Normalised.isHexDigit(byte), byte != UInt8(ascii: ".") {
                return nil
            }
        }
        return colons >= 2 ? AddressPrefix(address: UnsafeBufferPointer(rebasing: word[..<end])) : nil
    }

    private static func visitPart(_ part: Slice<UnsafeBufferPointer<UInt8>>, _ body: (Observable) -> Bool) -> Bool {
        func isMargin(_ byte: UInt8) -> Bool {
            byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "@")
        }
        var part = part
        while let first = part.first, isMargin(first) { part.removeFirst() }
        while let last = part.last, isMargin(last) || last == UInt8(ascii: "_") { part.removeLast() }
        let bytes = UnsafeBufferPointer(rebasing: part)
        if let type = IndicatorType(hashDigits: bytes.count), bytes.allSatisfy(Normalised.isHexDigit) {
            return body(.text(type, bytes))
        }
        guard let at = bytes.lastIndex(of: UInt8(ascii: "@")) else { return visitHost(bytes, body) }
        if Normalised.isEmail(bytes), !body(.text(.email, bytes)) { return false }
        return visitHost(UnsafeBufferPointer(rebasing: bytes[(at + 1)...]), body)
    }

    private static func visitHost(_ host: UnsafeBufferPointer<UInt8>, _ body: (Observable) -> Bool) -> Bool {
        if Normalised.isDomain(host) { return body(.text(.domain, host)) }
        // An address begins with a digit, or with a colon.
        guard let first = host.first, first <= UInt8(ascii: ":") || host.contains(UInt8(ascii: ":")),
            let address = AddressPrefix(address: host)
        else { return true }
        return body(.address(address))
    }
}
