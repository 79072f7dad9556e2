import TocsinWire

public typealias PeerID = UInt64

/// What the core remembers of one message until it is durable: its routing, never its payload.
public struct MessageMeta: Sendable {
    /// Keyed 128-bit hash of the message id.
    public var idHigh: UInt64
    public var idLow: UInt64
    /// Keyed hash of its subject's first token: ids are unique among messages that have it in common, so that whoever may
    /// publish `event.>` cannot take the ids of `incident.>`.
    public var space: UInt64
    /// What the dedup window knows it by.
    var dedupID: (high: UInt64, low: UInt64) { (idHigh ^ space, idLow) }
    /// Keyed hash of the ordering key; 0 without one.
    public var keyHash: UInt64
    /// One bit for each pool that takes the message.
    public var route: UInt64
    public var notBefore: UInt64
    public var severity: UInt8
}

/// The hub's time: `wall` is milliseconds since 1970 (what `not_before` and records carry), `steady` milliseconds that never
/// go back (what leases, heartbeats and deadlines are measured in).
public struct Moment: Equatable, Sendable {
    public var wall: UInt64
    public var steady: UInt64
    public init(wall: UInt64, steady: UInt64) {
        self.wall = wall
        self.steady = steady
    }
}

/// Who a peer says it is.
public struct PeerDescription: Equatable, Sendable {
    public var name: String
    public var role: String
    public var software: String
    public init(name: String, role: String, software: String) {
        self.name = name
        self.role = role
        self.software = software
    }
}

/// Everything that can happen to the core.
public enum Event {
    case hello(PeerID, PeerDescription)
    /// The peer said goodbye, or cannot be reached any more.
    case lost(PeerID)
    case heartbeat(PeerID, id: UInt64)
    case publish(PeerID, request: UInt64, [MessageMeta])
    case declare(PeerID, request: UInt64, PoolDefinition)
    case subscribe(PeerID, subscription: UInt64, pool: String, credit: UInt32)
    case credit(PeerID, subscription: UInt64, UInt32)
    case settle(PeerID, subscription: UInt64, [SettleEntry], reasons: [String])
    case unsubscribe(PeerID, subscription: UInt64)
    case serve(PeerID, request: UInt64, service: String, exclusive: Bool)
    case withdraw(PeerID, request: UInt64, service: String)
    /// `timeout` in milliseconds; 0: none.
    case call(PeerID, id: UInt64, service: String, timeout: UInt64, CallFrame)
    case message(PeerID, id: UInt64, CallFrame)
    case headers(PeerID, id: UInt64, CallFrame)
    case reply(PeerID, id: UInt64, CallFrame)
    case cancel(PeerID, id: UInt64)
    case window(PeerID, id: UInt64, UInt32)
    /// A frame of a call that cannot be read.
    case broken(PeerID, id: UInt64, WireError)
    /// The hub itself, as the server of a call, answers it or refuses it.
    case answered(call: UInt64, CallFrame)
    case refused(call: UInt64, WireError)
    /// Every batch up to this ordinal is on disk.
    case durable(UInt64)
    case tick
}

/// What the core wants done. Effects are carried out in order.
public enum Effect {
    /// Append the messages just published as one batch, from this sequence on, and tell its ordinal to `appended` before the
    /// next step; `kept` lists the positions to keep where some were duplicates, nil for all.
    case appendMessages(firstSequence: UInt64, kept: [Int]?)
    case welcome(PeerID)
    case heartbeat(PeerID, id: UInt64)
    case status(PeerID, id: UInt64, WireError)
    case accepted(PeerID, request: UInt64, firstSequence: UInt64, stored: Int, duplicates: Int)
    case deliver(PeerID, subscription: UInt64, [DeliveryEntry])
    /// Pass a frame of a call on, or end the call on the server's side. To `Core.hubPeer`: the hub is the server.
    case forward(PeerID, Header, [Bytes])
    /// The peer is forgotten.
    case forgotten(PeerID, why: String)
}

/// Limits and times of the core; the hub's configuration in its own units (milliseconds).
public struct CoreOptions: Sendable {
    public var heartbeat: UInt64 = 2_000
    /// How long a message waits before it gets an eighth of the turns whatever its severity.
    public var aging: UInt64 = 30_000
    public var dedupWindow: UInt64 = 120_000
    /// Subjects accepted though no pool takes them.
    public var subjects: [SubjectFilter] = []
    /// Most messages given to one worker in one delivery.
    public var deliveryBatch = 256
    /// Dead letters one pool keeps; a message beyond is not given up but tried again after `deadLetterWait`.
    public var deadLetters = 100_000
    public var deadLetterWait: UInt64 = 60_000
    /// So long after the start a service that nobody has offered yet may still come back, milliseconds; nil: three heartbeats.
    public var serviceGrace: UInt64?
    /// Published messages that may wait for the disk.
    public var pendingMessages = 1 << 20
    public init() {}
}
