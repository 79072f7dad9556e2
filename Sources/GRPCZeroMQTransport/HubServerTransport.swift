public import GRPCCore
import Synchronization
public import TocsinKit
import TocsinProto
import TocsinWire

/// Serves gRPC services over a client's connection to the hub: no port is opened, and a worker behind NAT can serve.
///
/// Every service of the server is offered to the hub while the transport listens, across reconnects. Several workers may offer
/// the same one: the hub gives each call to the one with the fewest. Thread-safe.
///
/// A call whose caller no longer waits (it cancelled, its deadline passed, it or the hub was lost) is cancelled: its handle, and
/// its task too.
public final class HubServerTransport: ServerTransport {
    public typealias Bytes = [UInt8]

    private struct State {
        var methods: [MethodDescriptor] = []
        var isListening = false
        var isClosing = false
        var running: [UInt64: Running] = [:]
        var idle: CheckedContinuation<Void, Never>?
        var nextNumber: UInt64 = 0
    }

    private let client: TocsinKit.Client
    private let exclusive: Set<String>
    private let state = Mutex(State())

    /// - Parameters:
    ///   - client: the connection to use; open for longer than this transport.
    ///   - exclusive: services (`package.Service`) of which one worker is active and others stand by.
    public init(_ client: TocsinKit.Client, exclusive: Set<String> = []) {
        self.client = client
        self.exclusive = exclusive
    }

    public func configure(context: GRPCServerContext) {
        state.withLock { $0.methods = context.methods }
    }

    /// Offers the services and serves until `beginGracefulShutdown`, then until the last call has ended. If its task is
    /// cancelled, calls are.
    ///
    /// - Throws: `RPCError` if the hub refuses a service, or none answers within the client's `publishTimeout`.
    public func listen(
        streamHandler: @escaping @Sendable (_ stream: RPCStream<Inbound, Outbound>, _ context: ServerContext) async -> Void
    ) async throws {
        let methods = try state.withLock { state in
            guard !state.isListening, !state.isClosing else {
                throw RPCError(code: .failedPrecondition, message: "the transport listens already, or is shut down")
            }
            state.isListening = true
            return state.methods
        }
        do {
            for (name, methods) in Dictionary(grouping: methods, by: \.service.fullyQualifiedService) {
                let single = methods.filter { $0.type == .unary || $0.type == .clientStreaming }.map(\.fullyQualifiedMethod)
                try await client.serve(
                    name, exclusive: exclusive.contains(name),
                    CallService(singleResponses: Set(single)) { [self] call in accept(call, streamHandler) })
            }
        } catch {
            shutDown(cancelling: true)
            throw error is CancellationError ? error : RPCError(callFailure: error)
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDone = state.withLock { state in
                    if state.isClosing, state.running.isEmpty { return true }
                    state.idle = continuation
                    return false
                }
                if isDone { continuation.resume() }
            }
        } onCancel: {
            shutDown(cancelling: true)
        }
    }

    /// No new calls; those that are running are told by their handle, and end by themselves.
    public func beginGracefulShutdown() { shutDown(cancelling: false) }

    private func shutDown(cancelling: Bool) {
        let (services, running, idle) = state.withLock { state in
            let services = state.isClosing ? [] : Set(state.methods.map(\.service.fullyQualifiedService))
            state.isClosing = true
            return (services, Array(state.running.values), state.running.isEmpty ? state.idle.take() : nil)
        }
        for service in services { client.withdraw(service) }
        for call in running {
            if cancelling { call.cancel() } else { call.notify() }
        }
        idle?.resume()
    }

    // MARK: One call

    private func accept(
        _ call: CallStream, _ handler: @escaping @Sendable (RPCStream<Inbound, Outbound>, ServerContext) async -> Void
    ) {
        let running = Running()
        let (number, isClosing) = state.withLock { state in
            state.nextNumber += 1
            if !state.isClosing { state.running[state.nextNumber] = running }
            return (state.nextNumber, state.isClosing)
        }
        guard !isClosing else {
            return call.finish(RPCError(code: .unavailable, message: "\(call.method) is no longer served here").tail)
        }
        running.begin(
            Task {
                await run(call, running, handler)
                let idle = state.withLock { state in
                    state.running[number] = nil
                    return state.isClosing && state.running.isEmpty ? state.idle.take() : nil
                }
                idle?.resume()
            })
        call.onCancel { running.cancel() }
    }

    private func run(
        _ call: CallStream, _ running: Running,
        _ handler: @Sendable (RPCStream<Inbound, Outbound>, ServerContext) async -> Void
    ) async {
        let slash = call.method.lastIndex(of: "/") ?? call.method.startIndex
        let descriptor = MethodDescriptor(
            fullyQualifiedService: String(call.method[..<slash]), method: String(call.method[slash...].dropFirst()))
        await withServerContextRPCCancellationHandle { handle in
            running.watch(handle)
            let outbound = Answers(call: call)
            let stream = RPCStream(
                descriptor: descriptor, inbound: RPCAsyncSequence(wrapping: Asked(call: call)),
                outbound: RPCWriter.Closable(wrapping: outbound))
            let context = ServerContext(
                descriptor: descriptor, remotePeer: "zmq:\(client.endpoint)", localPeer: "zmq:\(client.name)",
                cancellation: handle)
            await handler(stream, context)
            await outbound.finish()
        }
    }
}

/// A call that is being handled: how it hears that nobody waits for it any more.
private final class Running: Sendable {
    private struct State {
        var task: Task<Void, Never>?
        var handle: ServerContext.RPCCancellationHandle?
        var isCancelled = false
        var isNotified = false
    }
    private let state = Mutex(State())

    func begin(_ task: Task<Void, Never>) {
        let isCancelled = state.withLock { state in
            state.task = task
            return state.isCancelled
        }
        if isCancelled { task.cancel() }
    }

    func watch(_ handle: ServerContext.RPCCancellationHandle) {
        let isNotified = state.withLock { state in
            state.handle = handle
            return state.isNotified
        }
        if isNotified { handle.cancel() }
    }

    func notify() {
        let handle = state.withLock { state in
            state.isNotified = true
            return state.handle
        }
        handle?.cancel()
    }

    func cancel() {
        notify()
        let task = state.withLock { state in
            state.isCancelled = true
            return state.task
        }
        task?.cancel()
    }
}

/// What a server reads.
private struct Asked: AsyncSequence, Sendable {
    typealias Element = RPCRequestPart<[UInt8]>
    typealias Failure = any Error

    let call: CallStream

    struct Iterator: AsyncIteratorProtocol {
        let call: CallStream
        var isBegun = false
        var messages = CallMessages.none

        mutating func next() async throws -> Element? { try await next(isolation: nil) }

        mutating func next(isolation: isolated (any Actor)?) async throws(any Error) -> Element? {
            if !isBegun {
                isBegun = true
                return .metadata(Metadata(call.metadata, timeout: call.timeLeft))
            }
            do {
                while true {
                    if let message = try messages.next() { return .message(message) }
                    switch try await call.next() {
                    case .messages(let frame)?: messages = CallMessages(frame)
                    // Neither comes to a server.
                    case .headers?, .tail?: continue
                    case nil: return nil
                    }
                }
            } catch {
                throw RPCError(callFailure: error)
            }
        }
    }

    func makeAsyncIterator() -> Iterator { Iterator(call: call) }
}

/// What a server writes.
private struct Answers: ClosableRPCWriterProtocol {
    let call: CallStream

    func write(_ element: RPCResponsePart<[UInt8]>) async throws {
        do {
            switch element {
            case .metadata(let metadata): try call.write(headers: metadata.entries().entries)
            case .message(let bytes):
                try RPCError.checkSize(bytes.count, Limits.callMessageBytes, "a response of \(call.method)")
                try await call.write(bytes)
            case .status(let status, let metadata):
                call.finish(
                    .with {
                        $0.code = UInt32(status.code.rawValue)
                        $0.message = status.message
                        $0.metadata = metadata.entries().entries
                    })
            }
        } catch {
            throw RPCError(callFailure: error)
        }
    }

    func write(contentsOf elements: some Sequence<RPCResponsePart<[UInt8]>>) async throws {
        for element in elements { try await write(element) }
    }

    /// Nothing, if there was a status.
    func finish() async {
        call.finish(RPCError(code: .unknown, message: "\(call.method) ended without a status").tail)
    }

    func finish(throwing error: any Error) async { call.finish(RPCError(callFailure: error).tail) }
}
