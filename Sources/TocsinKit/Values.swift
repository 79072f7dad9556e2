import Glibc
import SwiftProtobuf
import TocsinKeys
import TocsinProto
import TocsinWire

/// Where the hub is and how this client presents itself.
public struct ClientOptions: Sendable {
    /// A ZeroMQ endpoint: `tcp://127.0.0.1:7117` or `ipc:///run/tocsin/hub`.
    public var endpoint: String
    /// What this client proves who it is with, over TCP; nil: nothing, as over ipc, or to a hub without keys.
    public var identity: Identity?
    /// Who: `triage-1`. Shown in the hub's status and log.
    public var name: String
    /// What: detector, triage, responder, archiver, client.
    public var role: String
    public var software: String
    /// Where messages are kept while the hub is away; nil: `publishOrSpool` is `publish`. Created if absent.
    public var spoolDirectory: String?
    /// Past it `publishOrSpool` throws `spoolFull`.
    public var spoolBytesMax: Int
    /// How long `publish` may take in all, and the requests that need the hub's answer.
    public var publishTimeout: Duration
    /// How long the first and each later connection attempt may wait for a welcome before a new socket is made.
    public var welcomeTimeout: Duration

    public init(
        endpoint: String, identity: Identity? = nil, name: String, role: String, software: String = "tocsin",
        spoolDirectory: String? = nil, spoolBytesMax: Int = 1 << 30, publishTimeout: Duration = .seconds(30),
        welcomeTimeout: Duration = .seconds(2)
    ) {
        self.endpoint = endpoint
        self.identity = identity
        self.name = name
        self.role = role
        self.software = software
        self.spoolDirectory = spoolDirectory
        self.spoolBytesMax = spoolBytesMax
        self.publishTimeout = publishTimeout
        self.welcomeTimeout = welcomeTimeout
    }
}

/// One message: the envelope's fields, decoded.
public struct Message: Sendable, Equatable {
    /// 1 to 64 bytes; the hub stores each id once within its window.
    public var id: [UInt8]
    public var subject: String
    public var severity: WireSeverity
    /// Messages of one key are handled one after another; empty: no order.
    public var key: String
    /// Milliseconds since 1970; 0: at once.
    public var notBefore: UInt64
    /// Full name of the protobuf message in `payload`, or empty.
    public var type: String
    /// Milliseconds since 1970, by the publisher's clock; 0 until it is published.
    public var publishedAt: UInt64
    public var headers: [String: String]
    public var payload: [UInt8]

    public init(
        id: [UInt8] = MessageID.random(), subject: String, severity: WireSeverity = .info, key: String = "",
        notBefore: UInt64 = 0, type: String = "", headers: [String: String] = [:], payload: [UInt8]
    ) {
        self.id = id
        self.subject = subject
        self.severity = severity
        self.key = key
        self.notBefore = notBefore
        self.type = type
        publishedAt = 0
        self.headers = headers
        self.payload = payload
    }

    /// A message whose payload is `content`, encoded. Throws what SwiftProtobuf throws.
    public init<Content: SwiftProtobuf.Message>(
        _ content: Content, id: [UInt8] = MessageID.random(), subject: String, severity: WireSeverity = .info,
        key: String = "", notBefore: UInt64 = 0, headers: [String: String] = [:]
    ) throws {
        self.init(
            id: id, subject: subject, severity: severity, key: key, notBefore: notBefore,
            type: Content.protoMessageName, headers: headers, payload: try content.serializedBytes())
    }

    /// The payload as a protobuf message. Throws what SwiftProtobuf throws.
    public func decode<Content: SwiftProtobuf.Message>(_ type: Content.Type = Content.self) throws -> Content {
        try Content(serializedBytes: payload)
    }
}

public enum MessageID {
    /// 16 random bytes.
    public static func random() -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 16) { bytes, count in
            // One system call, where the generator of Swift's library makes one for each eight bytes.
            let status = getentropy(bytes.baseAddress, 16)
            precondition(status == 0, "the system has no random bytes: errno \(errno)")
            count = 16
        }
    }
}

/// What became of a publish.
public struct Receipt: Sendable, Equatable {
    /// The lowest sequence of those stored; 0 if all were duplicates.
    public var firstSequence: UInt64
    public var stored: Int
    public var duplicates: Int

    public init(firstSequence: UInt64, stored: Int, duplicates: Int) {
        self.firstSequence = firstSequence
        self.stored = stored
        self.duplicates = duplicates
    }
}

/// One message given to this worker, to be settled with `Subscription.settle`.
public struct Delivery: Sendable {
    public var message: Message
    public var sequence: UInt64
    /// The fence; see PROTOCOL.md, "Semantics".
    public var token: UInt64
    /// 1 the first time.
    public var attempt: Int
    /// Which session of the client it came by: a settlement after a reconnect is void.
    package var session: UInt64

    package init(message: Message, sequence: UInt64, token: UInt64, attempt: Int, session: UInt64) {
        self.message = message
        self.sequence = sequence
        self.token = token
        self.attempt = attempt
        self.session = session
    }

    /// What is needed to settle it.
    public var lease: Lease { Lease(session: session, sequence: sequence, token: token, isKeyed: !message.key.isEmpty) }
}

/// What a worker has of a message that was delivered to it, without the message: enough to settle it, also from elsewhere.
public struct Lease: Sendable, Hashable {
    /// Of the client: a settlement after a reconnect is void.
    let session: UInt64
    let sequence: UInt64
    /// The fence; see PROTOCOL.md, rule 9.
    let token: UInt64
    /// Others of its key may be waiting for it.
    let isKeyed: Bool
}

extension Lease {
    private static let size = 3 * MemoryLayout<UInt64>.size + 1

    /// Opaque bytes, for whoever settles it through another. Whatever is in them when they come back, the hub takes only
    /// settlements of what is leased to that subscription.
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.size)
        for number in [session, sequence, token] {
            withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
        }
        bytes.append(isKeyed ? 1 : 0)
        return bytes
    }

    /// Nil if these cannot be the bytes of a lease.
    public init?(bytes: some Sequence<UInt8>) {
        let bytes = Array(bytes)
        guard bytes.count == Self.size, let last = bytes.last, last <= 1 else { return nil }
        self = bytes.withUnsafeBytes { bytes in
            Lease(
                session: bytes.bigEndian(UInt64.self, at: 0), sequence: bytes.bigEndian(UInt64.self, at: 8),
                token: bytes.bigEndian(UInt64.self, at: 16), isKeyed: last == 1)
        }
    }
}

/// What the hub sent at once; decoded when asked for, on the caller's thread.
public struct DeliveryBatch: Sendable {
    package let table: Bytes
    package let body: Bytes
    package let session: UInt64
    /// Where what cannot be read is settled.
    var mailbox: Mailbox?
    var subscription: UInt64 = 0

    package init(table: Bytes, body: Bytes, session: UInt64) {
        self.table = table
        self.body = body
        self.session = session
    }

    public var count: Int { table.count / DeliveryEntry.size }
}

/// How a delivery is settled.
public enum Settlement: Sendable, Equatable {
    case ack
    /// Deliver it again after a while; counts as an attempt.
    case retry(after: Duration, reason: String)
    /// It can never succeed: it becomes a dead letter.
    case reject(reason: String)
}

/// Where a tap begins.
public enum TapStart: Sendable, Equatable {
    case live
    case sequence(UInt64)
    /// Milliseconds since 1970.
    case time(UInt64)
}

public enum TapItem: Sendable {
    case message(Message, sequence: UInt64)
    /// These will not be seen: the tap was too slow, they are no longer kept, or (one alone) it is not an envelope.
    case gap(first: UInt64, last: UInt64, reason: String)
}

/// Why a client's request failed.
public enum ClientError: Error, Sendable, CustomStringConvertible {
    /// The hub said no; `index` is the message of the batch that was wrong.
    case refused(Reason, String, index: Int)
    /// The hub does not let this client in: it has no key, or one that is not authorised there. Nothing was sent.
    case notAdmitted(String)
    /// Not done in time; it may have had an effect all the same, unless the text says otherwise.
    case timedOut(String)
    /// A call could not be begun: a gRPC code and why.
    case call(code: UInt32, message: String)
    case spoolFull(String)
    /// The spool cannot be written or read.
    case spoolFailed(String)
    /// The endpoint or an option cannot work.
    case badOption(String)
    /// The other side sent what the protocol does not allow.
    case protocolViolation(String)
    case closed

    public var description: String {
        switch self {
        case .refused(let reason, let message, _): "\(reason.name): \(message)"
        case .call(let code, let message): "\(message) (code \(code))"
        case .notAdmitted(let message), .timedOut(let message), .spoolFull(let message), .spoolFailed(let message),
            .badOption(let message),
            .protocolViolation(let message):
            message
        case .closed: "the client is closed"
        }
    }
}
