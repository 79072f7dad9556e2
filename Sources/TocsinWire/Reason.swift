/// The named status of a refused request (PROTOCOL.md, "Errors"). The number travels in the header's `reason` field.
public enum Reason: UInt16, Sendable, CaseIterable {
    case ok = 0
    case badMagic = 1
    case badVersion = 2
    case unknownKind = 3
    case frameCount = 4
    case truncated = 5
    case tooLarge = 6
    case badLengthPrefix = 7
    case badEnvelope = 8
    case badBody = 9
    case notWelcomed = 10
    case unknownSubject = 11
    case unknownPool = 12
    case badPool = 13
    case unknownSubscription = 14
    case badCredit = 15
    case tooMany = 16
    case storageFailed = 17
    case unknownService = 18
    case deadlineExceeded = 19
    case workerLost = 20
    case cancelled = 21
    case shuttingDown = 22
    case notAllowed = 23
    case unknownCall = 24
    case noServer = 25
    case windowExceeded = 26
    case badCall = 27
    case rateLimited = 28
    case quotaExceeded = 29

    /// The name in PROTOCOL.md, logs and counters: `BAD_MAGIC`.
    public var name: String {
        var name = ""
        for character in String(describing: self) {
            if character.isUppercase { name.append("_") }
            name.append(character.uppercased())
        }
        return name
    }

    /// The gRPC status code that says the same (grpc/doc/statuscodes.md).
    public var code: UInt32 {
        switch self {
        case .ok: 0
        case .cancelled: 1
        case .badMagic, .badVersion, .frameCount, .truncated, .badLengthPrefix, .badEnvelope, .badBody, .badPool, .badCredit:
            3
        case .deadlineExceeded: 4
        case .unknownSubject, .unknownPool, .unknownSubscription, .unknownCall: 5
        case .notAllowed: 7
        case .tooLarge, .tooMany, .windowExceeded, .rateLimited, .quotaExceeded: 8
        case .unknownKind, .unknownService: 12
        case .badCall: 13
        case .storageFailed, .workerLost, .shuttingDown, .noServer: 14
        case .notWelcomed: 16
        }
    }
}

/// What is wrong with bytes from outside: a named reason, one sentence, and which message of a batch.
public struct WireError: Error, Equatable, Sendable, CustomStringConvertible {
    public var reason: Reason
    public var message: String
    public var index: Int
    /// After so many milliseconds the same would be taken; 0: not known.
    public var retryAfter: UInt64

    public init(_ reason: Reason, _ message: String, index: Int = 0, retryAfter: UInt64 = 0) {
        self.reason = reason
        self.message = message
        self.index = index
        self.retryAfter = retryAfter
    }
    public var description: String { "\(reason.name): \(message)" }
}

/// The bounds of the protocol. A hub may be set lower, never higher.
public enum Limits {
    /// One encoded envelope, bytes.
    public static let messageBytes = 1 << 20
    /// One body frame, bytes.
    public static let bodyBytes = 8 << 20
    /// Messages in one publish or delivery.
    public static let batch = 4096
    public static let idBytes = 64
    public static let subjectBytes = 255
    public static let subjectTokens = 16
    public static let keyBytes = 255
    /// Unsettled messages one subscription may be granted.
    public static let credit = 65_536
    public static let pools = 64
    public static let peers = 4096
    public static let filters = 32
    /// Subscriptions and taps of one peer.
    public static let subscriptions = 64
    public static let services = 64
    /// Calls one peer may have in flight as their caller.
    public static let calls = 1024
    /// Calls one peer may have in flight as their server.
    public static let servedCalls = 8192
    /// One request or response of a call, bytes: gRPC's own default.
    public static let callMessageBytes = 4 << 20
    /// One frame of a call's metadata, bytes.
    public static let metadataBytes = 16 << 10
    /// What each direction of a call may send before the receiver gives more, bytes.
    public static let callWindow = 256 << 10
    /// The largest window a receiver may give.
    public static let callWindowMax = 4 << 20
    /// What a frame of messages takes from the window besides its own bytes.
    public static let callFrameOverhead = 128
    /// Ids from here on are the hub's: those of calls that a peer serves.
    public static let servedCallID: UInt64 = 1 << 63
}
