import Logging
import SwiftProtobuf
import TocsinProto
import TocsinWire

/// A connection to the hub; see `Client.publish`, `subscribe`, `tap`, `call` and `serve`. Reconnects by itself. Thread-safe.
public final class Client: Sendable {
    public init(_ options: ClientOptions, logger: Logger) throws(ClientError) { fatalError() }
    /// Waits until the hub has welcomed this client. Throws `timedOut`.
    public func ready(within: Duration) async throws {}
    /// Whether there is a session with the hub at this moment.
    public var isConnected: Bool { false }

    /// Returns when every message is on the hub's disk. Split into batches of the protocol's bounds. While the hub is away it
    /// waits, at most `options.publishTimeout`; then throws `timedOut` (not known whether stored; the same ids may be sent
    /// again). Throws `refused` with the index of the wrong message: none of its batch was stored.
    @discardableResult public func publish(_ messages: [Message]) async throws -> Receipt { fatalError() }
    /// Like `publish`, but while the hub is away (or its disk is full) the messages go, synced, to the spool directory and are
    /// published later, in order. Returns when they are durable, there or here.
    public func publishOrSpool(_ messages: [Message]) async throws { fatalError() }
    /// Messages in the spool that the hub does not have yet.
    public var spooled: Int { 0 }

    public func declare(_ pool: Tocsin_V1_PoolSpec) async throws { fatalError() }
    /// Joins a pool. The subscription survives reconnects.
    public func subscribe(pool: String, credit: Int) async throws -> Subscription { fatalError() }
    public func tap(_ filters: [String], from start: TapStart = .live, credit: Int = 1024) async throws -> Tap { fatalError() }

    /// Unary call of `package.Service/Method`. Throws `ClientError.call` with the gRPC code for any failure of the call.
    public func call<Request: SwiftProtobuf.Message, Response: SwiftProtobuf.Message>(
        _ method: String, _ request: Request, as type: Response.Type = Response.self, timeout: Duration = .seconds(30),
        metadata: [String: String] = [:]
    ) async throws -> Response { fatalError() }
    /// Offers a service until the client is closed, across reconnects. `handler` is called concurrently (at most 64 at a time);
    /// it throws `CallFailure` to answer with a code, any other error is answered with UNKNOWN (2).
    public func serve(
        _ service: String, exclusive: Bool = false, handler: @escaping @Sendable (IncomingCall) async throws -> [UInt8]
    ) async throws { fatalError() }

    /// Says goodbye, ends subscriptions and taps, releases the thread. Safe to call twice.
    public func close() async {}
}

/// Messages of a pool as they are delivered, in batches. One consumer iterates. Ends (returns nil) when closed.
public final class Subscription: AsyncSequence, Sendable {
    public typealias Element = DeliveryBatch
    public struct AsyncIterator: AsyncIteratorProtocol {
        public mutating func next() async throws -> DeliveryBatch? { nil }
    }
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator() }
    /// Queues settlements and returns at once. Those of deliveries from before a reconnect are dropped: they come again.
    public func settle(_ settlements: some Sequence<(Delivery, Settlement)>) {}
    /// Leaves the pool: what was delivered and not settled is given to others. Iteration ends.
    public func close() async {}
}

/// Messages seen by a tap, in stream order. Ends when closed; survives reconnects by continuing after the last sequence seen.
public final class Tap: AsyncSequence, Sendable {
    public typealias Element = TapItem
    public struct AsyncIterator: AsyncIteratorProtocol {
        public mutating func next() async throws -> TapItem? { nil }
    }
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator() }
    public func close() async {}
}
