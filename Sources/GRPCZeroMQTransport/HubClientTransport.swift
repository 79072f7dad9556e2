public import GRPCCore
import Synchronization
public import TocsinKit
import TocsinWire

/// gRPC calls over a client's connection to the hub, which finds a live worker for each by the name of its service.
///
/// The connection is the `Client`'s: it reconnects by itself, and it may publish, consume and serve beside. Shutting the
/// transport down leaves it open. Thread-safe.
///
/// What fails: UNAVAILABLE while there is no hub or no worker now, if the worker is lost during the call, or the hub; then the
/// call may or may not have been done. UNIMPLEMENTED if no worker ever served the service. RESOURCE_EXHAUSTED for a message over
/// 4 MiB, metadata over 16 KiB, or too many calls. A timeout is enforced by the hub too. Messages are not compressed. Where it was
/// the hub that ended a call, trailing metadata `tocsin-reason` has the name of its reason, such as `NO_SERVER`.
///
/// `connect` need not run: it only waits. A `GRPCClient` over this transport can be used as soon as it is made.
public final class HubClientTransport: ClientTransport {
    public typealias Bytes = [UInt8]

    private struct State {
        var isClosing = false
        var open: [UInt64: CallStream] = [:]
        var connected: CheckedContinuation<Void, Never>?
    }

    public let retryThrottle: RetryThrottle?
    private let client: TocsinKit.Client
    private let methods: [MethodConfig.Name: MethodConfig]
    private let patience: Duration
    private let state = Mutex(State())

    /// - Parameters:
    ///   - client: the connection to use; open for longer than this transport.
    ///   - serviceConfig: retries, hedging and timeouts by method.
    ///   - connectTimeout: how long a call that does not wait for readiness may wait for a hub.
    public init(
        _ client: TocsinKit.Client, serviceConfig: ServiceConfig = ServiceConfig(), connectTimeout: Duration = .seconds(5)
    ) {
        self.client = client
        retryThrottle = serviceConfig.retryThrottling.map { RetryThrottle(policy: $0) }
        methods = serviceConfig.methodConfig.reduce(into: [:]) { methods, config in
            for name in config.names { methods[name] = config }
        }
        patience = connectTimeout
    }

    /// Returns after `beginGracefulShutdown`, when the last call has ended; if its task is cancelled, calls are.
    public func connect() async throws {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDone = state.withLock { state in
                    if state.isClosing, state.open.isEmpty { return true }
                    if state.connected != nil { return true }
                    state.connected = continuation
                    return false
                }
                if isDone { continuation.resume() }
            }
        } onCancel: {
            let (open, waiting) = state.withLock { state in
                state.isClosing = true
                return (Array(state.open.values), state.connected.take())
            }
            for stream in open { stream.cancel() }
            waiting?.resume()
        }
    }

    /// No new calls; those that are open go on.
    public func beginGracefulShutdown() {
        let waiting = state.withLock { state in
            state.isClosing = true
            return state.open.isEmpty ? state.connected.take() : nil
        }
        waiting?.resume()
    }

    public func withStream<T: Sendable>(
        descriptor: MethodDescriptor, options: CallOptions,
        _ closure: (_ stream: RPCStream<Inbound, Outbound>, _ context: ClientContext) async throws -> T
    ) async throws -> T {
        let singleRequest =
            switch descriptor.type {
            case .unary, .serverStreaming: true
            case .clientStreaming, .bidirectionalStreaming, nil: false
            }
        let call: CallStream
        do {
            call = try await client.openCall(
                descriptor.fullyQualifiedMethod, timeout: options.timeout,
                startWithin: options.waitForReady == true ? nil : patience, singleRequest: singleRequest)
        } catch {
            throw RPCError(callFailure: error)
        }
        defer { close(call) }
        let isOpen = state.withLock { state in
            if state.isClosing { return false }
            state.open[call.id] = call
            return true
        }
        guard isOpen else { throw RPCError(code: .failedPrecondition, message: "the transport is shut down") }
        let stream = RPCStream(
            descriptor: descriptor,
            inbound: RPCAsyncSequence(
                wrapping: Responses(call: call, bytesMax: options.maxResponseMessageBytes ?? Limits.callMessageBytes)),
            outbound: RPCWriter.Closable(
                wrapping: Requests(call: call, bytesMax: options.maxRequestMessageBytes ?? Limits.callMessageBytes)))
        let context = ClientContext(
            descriptor: descriptor, remotePeer: "zmq:\(client.endpoint)", localPeer: "zmq:\(client.name)")
        return try await closure(stream, context)
    }

    private func close(_ call: CallStream) {
        client.closeCall(call)
        let waiting = state.withLock { state in
            state.open[call.id] = nil
            return state.isClosing && state.open.isEmpty ? state.connected.take() : nil
        }
        waiting?.resume()
    }

    public func config(forMethod descriptor: MethodDescriptor) -> MethodConfig? {
        var name = MethodConfig.Name(service: descriptor.service.fullyQualifiedService, method: descriptor.method)
        if let config = methods[name] { return config }
        name.method = ""
        if let config = methods[name] { return config }
        name.service = ""
        return methods[name]
    }
}

/// What a caller writes.
private struct Requests: ClosableRPCWriterProtocol {
    let call: CallStream
    let bytesMax: Int

    func write(_ element: RPCRequestPart<[UInt8]>) async throws {
        do {
            switch element {
            case .metadata(let metadata):
                let (entries, timeout) = metadata.entries()
                try call.begin(entries, timeout: timeout)
            case .message(let bytes):
                try RPCError.checkSize(bytes.count, bytesMax, "a request of \(call.method)")
                try await call.write(bytes)
            }
        } catch {
            throw RPCError(callFailure: error)
        }
    }

    func write(contentsOf elements: some Sequence<RPCRequestPart<[UInt8]>>) async throws {
        for element in elements { try await write(element) }
    }

    func finish() async { call.finish() }

    func finish(throwing error: any Error) async {
        let error = RPCError(callFailure: error)
        call.cancel(code: UInt32(error.code.rawValue), error.message)
    }
}

/// What a caller reads.
private struct Responses: AsyncSequence, Sendable {
    typealias Element = RPCResponsePart<[UInt8]>
    typealias Failure = any Error

    let call: CallStream
    let bytesMax: Int

    struct Iterator: AsyncIteratorProtocol {
        let call: CallStream
        let bytesMax: Int
        var messages = CallMessages.none

        mutating func next() async throws -> Element? { try await next(isolation: nil) }

        mutating func next(isolation: isolated (any Actor)?) async throws(any Error) -> Element? {
            while true {
                do {
                    if let message = try messages.next() {
                        try RPCError.checkSize(message.count, bytesMax, "a response of \(call.method)")
                        return .message(message)
                    }
                    switch try await call.next() {
                    case .headers(let entries)?: return .metadata(Metadata(entries))
                    case .messages(let frame)?: messages = CallMessages(frame)
                    case .tail(let tail)?:
                        let code = Status.Code(rawValue: Int(tail.code)) ?? .unknown
                        return .status(Status(code: code, message: tail.message), Metadata(tail.metadata))
                    case nil: return nil
                    }
                } catch {
                    throw RPCError(callFailure: error)
                }
            }
        }
    }

    func makeAsyncIterator() -> Iterator { Iterator(call: call, bytesMax: bytesMax) }
}
