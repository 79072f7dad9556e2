import TocsinCore
import TocsinJournal
import TocsinWire

/// Where the engine's messages come from and go to: the ROUTER socket, or the simulator's network.
public protocol Link {
    /// The next whole message, without waiting; nil if none is there now.
    mutating func receive() -> Received?
    /// Sends a header frame and body frames, whole or not at all, without waiting.
    mutating func send(_ peer: PeerID, _ header: Header, _ body: [Bytes]) -> SendOutcome
    /// The peer has no session any more; what was kept of it may be dropped.
    mutating func release(_ peer: PeerID)
    /// Ends the peer's connection: whoever it was may not be here any more.
    mutating func cut(_ peer: PeerID)
    /// Whether so much waits for the peer already that deliveries and what taps see are kept back until it has read some of it.
    func isBusy(_ peer: PeerID) -> Bool
}

extension Link {
    /// A link that bounds what waits for a peer by refusing it alone.
    public func isBusy(_ peer: PeerID) -> Bool { false }
    /// A link without connections.
    public mutating func cut(_ peer: PeerID) {}
}

/// One message from a peer.
public struct Received {
    public var peer: PeerID
    /// Whom the peer was admitted as; always the same for one peer.
    public var principal: UInt32
    /// Header frame first, as they came.
    public var parts: [Bytes]
    /// There were more parts than a receiver keeps.
    public var isOverlong: Bool

    public init(peer: PeerID, principal: UInt32 = 0, parts: [Bytes], isOverlong: Bool = false) {
        self.peer = peer
        self.principal = principal
        self.parts = parts
        self.isOverlong = isOverlong
    }
}

public enum SendOutcome: Sendable {
    case sent
    /// The peer does not take what it is sent.
    case full
    /// There is no such peer.
    case unreachable
}

/// The engine's clock.
public protocol TimeSource {
    func now() -> Moment
}

/// Settings of an engine.
public struct EngineOptions: Sendable {
    public var core = CoreOptions()
    public var journal = JournalOptions()
    public var keyLimits = KeyLimitTable()
    /// Declared at each start.
    public var pools: [PoolDefinition] = []
    /// "tocsin 0.1.0", told to peers.
    public var software = "tocsin"
    /// Messages of peers handled in one turn.
    public var receivedPerTurn = 256
    /// Bytes of bodies received in one turn.
    public var receivedBytesPerTurn = 16 << 20
    /// Messages given to workers in one turn.
    public var deliveredPerTurn = 8192
    /// Messages looked at for one tap in one turn.
    public var tappedPerTurn = 1024
    /// Bytes of envelopes in one delivery or tap message.
    public var deliveryBytes = 1 << 20
    /// After so much silence the journal is given a last durable mark, milliseconds.
    public var markAfter: UInt64 = 200
    /// Settlements wait at most so long for messages to be written with, milliseconds.
    public var controlAfter: UInt64 = 5
    public init() {}
}

/// Why the hub must end.
public struct EngineError: Error, Sendable, CustomStringConvertible {
    public var description: String
}
