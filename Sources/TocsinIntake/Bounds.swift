/// How much of what a tool says is kept of one event. What is longer is cut, between characters, and the detail `truncated`
/// names the fields that were.
public struct EventBounds: Sendable, Equatable {
    /// One line for a person.
    public var summaryBytes = 1024
    /// Names of labels and details.
    public var nameBytes = 128
    public var labels = 64
    public var labelBytes = 1024
    public var details = 64
    public var detailBytes = 16 << 10
    /// All labels and details of one event, names and values. What is beyond it is left out, in the order of names.
    public var totalBytes = 128 << 10

    public init() {}
}

extension StringProtocol {
    /// The longest beginning of at most `limit` bytes that does not end within a character.
    func cut(to limit: Int) -> String {
        guard utf8.count > limit else { return String(self) }
        var length = limit
        while length > 0, utf8[utf8.index(startIndex, offsetBy: length)] & 0xC0 == 0x80 { length -= 1 }
        return String(self[..<utf8.index(startIndex, offsetBy: length)])
    }
}
