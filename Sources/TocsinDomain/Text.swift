/// The first `limit` bytes of `bytes` as text, not cut within a character; bytes that are not UTF-8 become U+FFFD.
public func text(_ bytes: UnsafeRawBufferPointer, limit: Int) -> String {
    var end = min(limit, bytes.count)
    if end < bytes.count {
        var back = 0
        while end > 0, back < 3, bytes[end] & 0xC0 == 0x80 {
            end -= 1
            back += 1
        }
    }
    return String(decoding: bytes[..<end], as: UTF8.self)
}
