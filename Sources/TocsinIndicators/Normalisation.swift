/// One way to write each value, for indicators and for what events mention: they are compared byte by byte.
enum Normalised {
    /// Longer values are no indicators and are not looked up.
    static let bytesMax = 2048

    /// The normal form of a value of a known type, with its type; nil if it is no such value. For addresses, which of the two
    /// types is asked for does not matter, and a prefix length may follow.
    static func value(_ text: String, type: IndicatorType) -> (type: IndicatorType, value: String)? {
        var text = Substring(text)
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        guard !text.isEmpty, text.utf8.count <= bytesMax else { return nil }
        switch type {
        case .ipv4, .ipv6:
            guard let prefix = AddressPrefix(String(text)) else { return nil }
            return (prefix.type, prefix.text)
        case .domain:
            if text.last == "." { text.removeLast() }
            let lowered = text.utf8.map(lowercase)
            guard lowered.withUnsafeBufferPointer(isDomain) else { return nil }
            return (.domain, String(decoding: lowered, as: UTF8.self))
        case .url:
            var output: [UInt8] = []
            guard Array(text.utf8).withUnsafeBufferPointer({ url($0, to: &output) }) != nil else { return nil }
            return (.url, String(decoding: output, as: UTF8.self))
        case .email:
            let lowered = text.utf8.map(lowercase)
            guard lowered.withUnsafeBufferPointer(isEmail) else { return nil }
            return (.email, String(decoding: lowered, as: UTF8.self))
        case .md5, .sha1, .sha256, .sha512:
            let lowered = text.utf8.map(lowercase)
            guard IndicatorType(hashDigits: lowered.count) == type, lowered.allSatisfy(isHexDigit) else { return nil }
            return (type, String(decoding: lowered, as: UTF8.self))
        }
    }

    static func lowercase(_ byte: UInt8) -> UInt8 { byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte }

    static func isHexDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 || byte &- UInt8(ascii: "a") < 6 }

    /// Two labels or more of at most 63 bytes (RFC 1035), letters small, without the dot at the end; underscores and bytes beyond
    /// ASCII are let pass. The last label is not a number.
    static func isDomain(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard (3...253).contains(bytes.count) else { return false }
        var labels = 1
        var labelBytes = 0
        var isNumber = true
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "."):
                guard labelBytes > 0 else { return false }
                labels += 1
                labelBytes = 0
                isNumber = true
                continue
            case UInt8(ascii: "0")...UInt8(ascii: "9"): break
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "-"), UInt8(ascii: "_"), 0x80...: isNumber = false
            default: return false
            }
            labelBytes += 1
            guard labelBytes <= 63 else { return false }
        }
        return labels > 1 && labelBytes > 0 && !isNumber
    }

    /// `local@domain`, letters small. The local part is of the characters that need no quotes (RFC 5322).
    static func isEmail(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let at = bytes.lastIndex(of: UInt8(ascii: "@")), (1...64).contains(at) else { return false }
        let isLocal = bytes[..<at].allSatisfy { byte in
            switch byte {
            case 0..<0x21, UInt8(ascii: "\""), UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: ","), UInt8(ascii: ":"),
                UInt8(ascii: ";"), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "@"), UInt8(ascii: "["), UInt8(ascii: "\\"),
                UInt8(ascii: "]"), 0x7F:
                false
            default: true
            }
        }
        return isLocal && isDomain(UnsafeBufferPointer(rebasing: bytes[(at + 1)...]))
    }

    /// Puts a URL in its normal form (RFC 3986, 6.2.2 and 6.2.3, without the removal of dot segments): scheme and host in small
    /// letters, no user, no default port, no fragment, `/` for an empty path, percent-encoding only where it is needed and in
    /// capitals. What begins with `//` is of any scheme.
    ///
    /// - Returns: where in `output` the host is, an IPv6 address without its brackets; nil for what is no URL.
    static func url(_ bytes: UnsafeBufferPointer<UInt8>, to output: inout [UInt8]) -> Range<Int>? {
        output.removeAll(keepingCapacity: true)
        guard bytes.count <= bytesMax else { return nil }
        var index = 0
        while index < bytes.count, isSchemeByte(bytes[index]) {
            output.append(lowercase(bytes[index]))
            index += 1
        }
        let schemeEnd = output.count
        if schemeEnd > 0 {
            guard index < bytes.count, bytes[index] == UInt8(ascii: ":") else { return nil }
            output.append(UInt8(ascii: ":"))
            index += 1
        }
        guard index + 2 <= bytes.count, bytes[index] == UInt8(ascii: "/"), bytes[index + 1] == UInt8(ascii: "/") else {
            return nil
        }
        output += [UInt8(ascii: "/"), UInt8(ascii: "/")]
        index += 2

        var end = index
        while end < bytes.count, ![UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#")].contains(bytes[end]) { end += 1 }
        if let user = bytes[index..<end].lastIndex(of: UInt8(ascii: "@")) { index = user + 1 }
        guard let host = appendHost(bytes, &index, end, to: &output) else { return nil }
        let port = bytes[index..<end].dropFirst()
        guard index == end || bytes[index] == UInt8(ascii: ":"), port.count <= 5,
            port.allSatisfy({ $0 &- UInt8(ascii: "0") < 10 })
        else { return nil }
        if !port.isEmpty, !isDefault(port, of: output[..<schemeEnd]) { output += bytes[index..<end] }

        index = end
        if index == bytes.count || bytes[index] != UInt8(ascii: "/") { output.append(UInt8(ascii: "/")) }
        while index < bytes.count, bytes[index] != UInt8(ascii: "#") {
            let byte = bytes[index]
            guard byte == UInt8(ascii: "%"), index + 2 < bytes.count, let high = digit(bytes[index + 1]),
                let low = digit(bytes[index + 2])
            else {
                output.append(byte)
                index += 1
                continue
            }
            let decoded = high << 4 | low
            if isUnreserved(decoded) {
                output.append(decoded)
            } else {
                output += [byte, capital(bytes[index + 1]), capital(bytes[index + 2])]
            }
            index += 3
        }
        return host
    }

    /// The host at `index`, which is then behind it.
    private static func appendHost(
        _ bytes: UnsafeBufferPointer<UInt8>, _ index: inout Int, _ end: Int, to output: inout [UInt8]
    ) -> Range<Int>? {
        if index < end, bytes[index] == UInt8(ascii: "[") {
            guard let close = bytes[index..<end].firstIndex(of: UInt8(ascii: "]")),
                let address = AddressPrefix(address: UnsafeBufferPointer(rebasing: bytes[(index + 1)..<close]))
            else { return nil }
            output.append(UInt8(ascii: "["))
            let start = output.count
            output += address.text.utf8
            output.append(UInt8(ascii: "]"))
            index = close + 1
            return start..<(output.count - 1)
        }
        let start = output.count
        while index < end, bytes[index] != UInt8(ascii: ":") {
            output.append(lowercase(bytes[index]))
            index += 1
        }
        if output.count > start, output.last == UInt8(ascii: ".") { output.removeLast() }
        return output.count > start ? start..<output.count : nil
    }

    static func isSchemeByte(_ byte: UInt8) -> Bool {
        lowercase(byte) &- UInt8(ascii: "a") < 26 || byte &- UInt8(ascii: "0") < 10
    }

    private static func isDefault(_ port: Slice<UnsafeBufferPointer<UInt8>>, of scheme: ArraySlice<UInt8>) -> Bool {
        (port.elementsEqual("80".utf8) && scheme.elementsEqual("http".utf8))
            || (port.elementsEqual("443".utf8) && scheme.elementsEqual("https".utf8))
            || (port.elementsEqual("21".utf8) && scheme.elementsEqual("ftp".utf8))
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        let byte = lowercase(byte)
        return byte &- UInt8(ascii: "0") < 10
            ? byte - UInt8(ascii: "0") : byte &- UInt8(ascii: "a") < 6 ? byte - UInt8(ascii: "a") + 10 : nil
    }

    private static func capital(_ digit: UInt8) -> UInt8 { digit &- UInt8(ascii: "a") < 26 ? digit & ~0x20 : digit }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
