/// Divides the bytes of a stream into Riemann's messages: a length of 32 bits in network order, then so many bytes.
public struct RiemannFramer: Sendable {
    /// The peer announced a longer message than is taken; nothing more of the stream can be understood.
    public struct TooLong: Error, Equatable, Sendable {
        public var bytes: UInt32
    }

    private let longest: Int
    private var pending: [UInt8] = []

    /// - Parameter longest: of a message, in bytes.
    public init(longest: Int) { self.longest = longest }

    /// Takes the next bytes of the stream and gives the messages that are complete with them. Holds less than one message
    /// afterwards.
    ///
    /// - Returns: the messages, and what follows them where that is too long.
    public mutating func feed(_ bytes: [UInt8]) -> (messages: [[UInt8]], problem: TooLong?) {
        pending += bytes
        var messages: [[UInt8]] = []
        var at = 0
        defer { pending.removeFirst(at) }
        while pending.count - at >= 4 {
            let length = pending[at..<at + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            guard length <= longest else { return (messages, TooLong(bytes: length)) }
            let end = at + 4 + Int(length)
            guard pending.count >= end else { break }
            messages.append(Array(pending[at + 4..<end]))
            at = end
        }
        return (messages, nil)
    }

    /// A message with its length before it.
    public static func framed(_ message: [UInt8]) -> [UInt8] {
        withUnsafeBytes(of: UInt32(message.count).bigEndian) { Array($0) } + message
    }
}
