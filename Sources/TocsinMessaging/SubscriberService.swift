public import GRPCCore
import GRPCZeroMQTransport
import Synchronization
import TocsinAccess
public import TocsinKit
public import TocsinProto
public import TocsinServices
import TocsinWire

/// `tocsin.v1.Subscriber`: the stream's ways out, for gRPC clients. Thread-safe.
///
/// Each call has a connection to the hub of its own, and so a thread: the hub sees it as a peer, named after its caller, and
/// what it holds is given to others when the call ends.
///
/// `Caller.current` may work for the pools that its permissions say, declare those of them whose filters it may read, and see by
/// taps what it may read; PERMISSION_DENIED is the answer to anything else.
public struct SubscriberService: Tocsin_V1_Subscriber.ServiceProtocol {
    private let connect: @Sendable (_ name: String) throws(ClientError) -> Client
    private let calls: Slots

    /// - Parameters:
    ///   - maxCalls: at once; more are refused with RESOURCE_EXHAUSTED.
    ///   - connect: makes a connection to the hub for one call; the service closes it.
    public init(maxCalls: Int = 256, connect: @escaping @Sendable (_ name: String) throws(ClientError) -> Client) {
        self.connect = connect
        calls = Slots(maxCalls)
    }

    public func declarePool(
        request: ServerRequest<Tocsin_V1_DeclarePoolRequest>, context: ServerContext
    ) async throws -> ServerResponse<Tocsin_V1_DeclarePoolResponse> {
        try mayDeclare(request.message.pool)
        // By a connection of its own: one that stays would declare the pool again, with limits of today, whenever it reconnects.
        return try await withClient(request.metadata, context) { client in
            try await answer(naming: "pool") { try await client.declare(request.message.pool) }
            return ServerResponse(message: .init())
        }
    }

    public func consume(
        request: StreamingServerRequest<Tocsin_V1_ConsumeRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Tocsin_V1_ConsumeResponse> {
        let caller = Caller.current
        return StreamingServerResponse { response in
            try await withClient(request.metadata, context) { client in
                var requests = request.messages.makeAsyncIterator()
                guard case .join(let join)? = try await requests.next()?.what else {
                    throw RPCError(code: .invalidArgument, message: "the first request has no join; say which pool to work for")
                }
                if let caller, !caller.permissions.consume.allows(join.pool) {
                    throw denied(caller, "work for the pool \(join.pool)")
                }
                let subscription = try await answer(naming: "join") {
                    try await client.subscribe(pool: join.pool, credit: join.credit == 0 ? 256 : Int(join.credit))
                }
                // Sound: from here on only the task that settles uses it.
                nonisolated(unsafe) var settlements = requests
                try await first {
                    try await settle(&settlements, subscription)
                } or: {
                    for try await batch in subscription {
                        for part in parts(batch.deliveries()) { try await response.write(part) }
                    }
                }
            }
            return [:]
        }
    }

    public func tap(
        request: ServerRequest<Tocsin_V1_TapRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Tocsin_V1_TapResponse> {
        try mayRead(request.message.filters) { $0.covers($1) }
        let rules = Caller.current?.permissions.read ?? .all
        return StreamingServerResponse { response in
            try await withClient(request.metadata, context) { client in
                let tap = try await answer(naming: "filters") {
                    try await client.tap(request.message.filters, from: TapStart(request.message.start))
                }
                for try await item in tap {
                    if let item = Tocsin_V1_TapResponse(item, allowedBy: rules) { try await response.write(item) }
                }
            }
            return [:]
        }
    }

    /// Runs `body` with a connection that is welcomed, until it ends or the call is over, and closes it.
    private func withClient<Value: Sendable>(
        _ metadata: Metadata, _ context: ServerContext, _ body: @escaping @Sendable (Client) async throws -> Value
    ) async throws -> Value {
        guard calls.take() else {
            throw RPCError(
                code: .resourceExhausted, message: "\(calls.count) calls of the Subscriber are open, as many as may be")
        }
        defer { calls.give() }
        let caller = metadata[stringValues: CallerMetadata.key].first { _ in true } ?? "grpc"
        let client: Client
        do { client = try connect(caller) } catch { throw RPCError(callFailure: error) }
        let result: Result<Value, any Error>
        do {
            result = .success(
                try await first {
                    // The caller has gone and hears nothing, or the server is being stopped.
                    try await context.cancellation.cancelled
                    throw RPCError(code: .unavailable, message: "the gateway is being stopped; call again")
                } or: {
                    try await answer(naming: "the hub") { try await client.ready(within: .seconds(10)) }
                    return try await body(client)
                })
        } catch {
            result = .failure(error)
        }
        await client.close()
        return try result.get()
    }
}

private func denied(_ caller: Caller, _ deed: String) -> RPCError {
    RPCError(code: .permissionDenied, message: "\(caller.name) may not \(deed)")
}

/// - Throws: PERMISSION_DENIED for a filter of which `caller` may not read all that `covers` asks for. Of one that is none, the hub
///   says what is wrong.
private func mayRead(_ filters: [String], _ covers: (SubjectRules, SubjectFilter) -> Bool) throws {
    guard let caller = Caller.current else { return }
    for text in filters {
        let filter: SubjectFilter
        do { filter = try SubjectFilter(text) } catch { continue }
        guard covers(caller.permissions.read, filter) else { throw denied(caller, "read \(text)") }
    }
}

private func mayDeclare(_ pool: Tocsin_V1_PoolSpec) throws {
    guard let caller = Caller.current else { return }
    guard caller.permissions.consume.allows(pool.name) else { throw denied(caller, "declare the pool \(pool.name)") }
    try mayRead(pool.filters) { $0.coversWhole($1) }
}

/// Takes settlements until there are no more.
private func settle(
    _ requests: inout RPCAsyncSequence<Tocsin_V1_ConsumeRequest, any Error>.AsyncIterator, _ subscription: Subscription
) async throws {
    while let request = try await requests.next() {
        guard case .settle(let settle)? = request.what else {
            throw RPCError(code: .invalidArgument, message: "a request after the first has no settle; open a call for each pool")
        }
        var settlements: [(Lease, Settlement)] = []
        settlements.reserveCapacity(settle.settlements.count)
        for (index, settlement) in settle.settlements.enumerated() {
            guard let lease = Lease(bytes: settlement.lease) else {
                throw RPCError(
                    code: .invalidArgument,
                    message: "settlements[\(index)].lease is none; send back what the delivery has")
            }
            settlements.append((lease, try Settlement(settlement, index)))
        }
        subscription.settle(settlements)
    }
}

/// Responses of at most about 1 MiB, or of one message: what any gRPC client takes.
private func parts(_ deliveries: [Delivery]) -> [Tocsin_V1_ConsumeResponse] {
    var parts: [Tocsin_V1_ConsumeResponse] = []
    var part = Tocsin_V1_ConsumeResponse()
    var bytes = 0
    for delivery in deliveries {
        // Payload and headers are what a message can be large by.
        let size =
            delivery.message.payload.count
            + delivery.message.headers.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        if !part.deliveries.isEmpty, bytes + size > 1 << 20 {
            parts.append(part)
            part = .init()
            bytes = 0
        }
        bytes += size
        part.deliveries.append(Tocsin_V1_PoolDelivery(delivery))
    }
    if !part.deliveries.isEmpty { parts.append(part) }
    return parts
}

/// Runs both; whichever ends first, by a value or an error, ends the other.
private func first<Value: Sendable>(
    _ one: @escaping @Sendable () async throws -> Value, or other: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value.self) { group in
        group.addTask(operation: one)
        group.addTask(operation: other)
        defer { group.cancelAll() }
        guard let value = try await group.next() else { throw CancellationError() }
        return value
    }
}

/// So many at once.
private final class Slots: Sendable {
    let count: Int
    private let free: Mutex<Int>

    init(_ count: Int) {
        self.count = count
        free = Mutex(count)
    }

    func take() -> Bool {
        free.withLock { free in
            guard free > 0 else { return false }
            free -= 1
            return true
        }
    }

    func give() { free.withLock { $0 += 1 } }
}
