/// Divides the bytes of a stream into lines, which end with a line feed or a zero byte, and counted messages: those that begin
/// with a digit (`57 <13>1 ...`). Syslog has both (RFC 6587, RFC 5425), and each message may be framed as it likes.
///
/// Holds at most `longest` bytes of a message that is not complete; what a longer one has beyond that is passed over and
/// counted.
public struct MessageFramer: Sendable {
    public struct Frame: Equatable, Sendable {
        public var bytes: [UInt8]
        /// How many bytes more the message had, or should have had where the stream ended within it.
        public var missing: Int

        public init(bytes: [UInt8], missing: Int) {
            self.bytes = bytes
            self.missing = missing
        }
    }

    private enum State {
        case between
        /// The digits of a count.
        case count
        /// So many bytes are to come.
        case counted(Int)
        case line
    }

    private let longest: Int
    private let countsAllowed: Bool
    private var state = State.between
    private var frame: [UInt8] = []
    private var missing = 0
    /// A count of more digits is none: the message is taken for a line.
    private static let countDigits = 9

    /// - Parameters:
    ///   - longest: of a message, in bytes.
    ///   - countsAllowed: whether what begins with a digit is a count; otherwise there are only lines.
    public init(longest: Int, countsAllowed: Bool = true) {
        self.longest = longest
        self.countsAllowed = countsAllowed
    }

    /// Takes the next bytes of the stream and gives the messages that are complete with them.
    public mutating func feed(_ bytes: [UInt8]) -> [Frame] {
        var frames: [Frame] = []
        var at = 0
        while at < bytes.count {
            switch state {
            case .between:
                // Line ends between messages are nobody's.
                if Self.isTrailer(bytes[at]) || bytes[at] == 0x0D {
                    at += 1
                } else {
                    state = countsAllowed && (0x31...0x39).contains(bytes[at]) ? .count : .line
                }
            case .count:
                let byte = bytes[at]
                if (0x30...0x39).contains(byte), frame.count < Self.countDigits {
                    frame.append(byte)
                    at += 1
                } else if byte == 0x20 {
                    state = .counted(frame.reduce(0) { $0 * 10 + Int($1 - 0x30) })
                    frame.removeAll()
                    at += 1
                } else {
                    state = .line
                }
            case .counted(let rest):
                let taken = min(rest, bytes.count - at)
                keep(bytes[at..<at + taken])
                at += taken
                state = .counted(rest - taken)
                if taken == rest { complete(&frames) }
            case .line:
                let end = bytes[at...].firstIndex(where: Self.isTrailer) ?? bytes.count
                keep(bytes[at..<end])
                at = end
                if end < bytes.count {
                    at += 1
                    complete(&frames)
                }
            }
        }
        return frames
    }

    /// The stream is over: what there is of a last message.
    public mutating func finish() -> Frame? {
        if case .counted(let rest) = state { missing += rest }
        guard !frame.isEmpty else { return nil }
        var frames: [Frame] = []
        complete(&frames)
        return frames.first
    }

    private static func isTrailer(_ byte: UInt8) -> Bool { byte == 0x0A || byte == 0x00 }

    private mutating func keep(_ bytes: ArraySlice<UInt8>) {
        let room = longest - frame.count
        frame += bytes.prefix(room)
        missing += max(0, bytes.count - room)
    }

    private mutating func complete(_ frames: inout [Frame]) {
        frames.append(Frame(bytes: frame, missing: missing))
        frame = []
        missing = 0
        state = .between
    }
}
