extension Sequence<UInt8> {
    /// Two lower-case digits for each byte.
    public var hexadecimal: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

extension Collection<UInt8> {
    /// An id for people: ids may be any bytes, and what is no plain text is shown in hexadecimal.
    public var idText: String {
        allSatisfy { (0x21...0x7E).contains($0) } ? String(decoding: self, as: UTF8.self) : hexadecimal
    }
}
