import GRPCCore
import Synchronization

/// Passes gRPC calls on, byte for byte: whatever services workers behind the hub serve, a client of the gateway reaches, also
/// those the gateway knows nothing of.
struct Forwarding<Upstream: ClientTransport>: Sendable {
    let upstream: Upstream
    let access: Access
    /// Of one request message; larger ones end their call with RESOURCE_EXHAUSTED.
    let maxMessageBytes: Int
    let stopping: StopFlag
    /// How long calls may go on when the gateway is stopped.
    static var grace: Duration { .seconds(5) }

    /// Handles one call to its end. Never throws: what goes wrong is the call's status.
    func forward<Bytes: GRPCContiguousBytes & Sendable>(
        _ stream: RPCStream<RPCAsyncSequence<RPCRequestPart<Bytes>, any Error>, RPCWriter<RPCResponsePart<Bytes>>.Closable>,
        _ context: ServerContext
    ) async {
        let status: (Status, Metadata)
        do {
            status = try await exchange(stream, context)
        } catch let error as RPCError {
            status = (Status(code: Status.Code(error.code), message: error.message), error.metadata)
        } catch is CancellationError {
            status = (Status(code: .cancelled, message: "the call was cancelled"), [:])
        } catch {
            status = (Status(code: .unavailable, message: "the connection to the client failed: \(error)"), [:])
        }
        do {
            try await stream.outbound.write(.status(status.0, status.1))
            await stream.outbound.finish()
        } catch {
            // The client is gone; there is nobody left to tell.
            await stream.outbound.finish(throwing: error)
        }
    }

    private func exchange<Bytes: GRPCContiguousBytes & Sendable>(
        _ stream: RPCStream<RPCAsyncSequence<RPCRequestPart<Bytes>, any Error>, RPCWriter<RPCResponsePart<Bytes>>.Closable>,
        _ context: ServerContext
    ) async throws -> (Status, Metadata) {
        var parts = stream.inbound.makeAsyncIterator()
        guard case .metadata(let received)? = try await parts.next() else {
            throw RPCError(code: .internalError, message: "the call did not begin with metadata")
        }
        let (caller, admitted) = try access.admit(received, context)
        try access.authorize(caller, context.descriptor)
        var metadata = admitted
        var options = CallOptions.defaults
        options.timeout = try Self.timeout(&metadata)
        // Sound: from here on only the task that passes requests on uses it.
        nonisolated(unsafe) var requests = parts
        let forwarded = metadata
        return try await upstream.withStream(descriptor: context.descriptor, options: options) { call, _ in
            try await withThrowingTaskGroup(of: (Status, Metadata)?.self) { group in
                group.addTask {
                    try await pass(&requests, forwarded, to: call.outbound)
                    return nil
                }
                group.addTask {
                    try await context.cancellation.cancelled
                    // A server that stops tells so in the same way as a client that does not want the answer any more.
                    guard stopping.isSet else { throw CancellationError() }
                    try await Task.sleep(for: Self.grace)
                    throw RPCError(code: .unavailable, message: "the gateway is being stopped; call again")
                }
                group.addTask {
                    for try await part in call.inbound {
                        switch part {
                        case .metadata(let metadata): try await stream.outbound.write(.metadata(metadata))
                        case .message(let bytes): try await stream.outbound.write(.message(Self.copy(bytes)))
                        case .status(let status, let metadata): return (status, metadata)
                        }
                    }
                    throw RPCError(code: .unavailable, message: "the call ended without a status")
                }
                defer { group.cancelAll() }
                // The first to fail, or to have the status, decides; that no more requests can be passed on does not.
                while let ended = try await group.next() {
                    if let ended { return ended }
                }
                throw CancellationError()
            }
        }
    }

    /// Passes requests on until there are no more, or nobody takes them: then the call is over, and its status is on the way.
    private func pass<Bytes: GRPCContiguousBytes & Sendable>(
        _ requests: inout RPCAsyncSequence<RPCRequestPart<Bytes>, any Error>.AsyncIterator, _ metadata: Metadata,
        to call: RPCWriter<RPCRequestPart<Upstream.Bytes>>.Closable
    ) async throws {
        do { try await call.write(.metadata(metadata)) } catch { return }
        while let part = try await requests.next() {
            guard case .message(let bytes) = part else { continue }
            guard bytes.count <= maxMessageBytes else {
                throw RPCError(
                    code: .resourceExhausted,
                    message: "a message of \(bytes.count) bytes; the gateway takes \(maxMessageBytes)")
            }
            do { try await call.write(.message(Self.copy(bytes))) } catch { return }
        }
        await call.finish()
    }

    private static func copy<From: GRPCContiguousBytes, To: GRPCContiguousBytes>(_ bytes: From) -> To {
        bytes.withUnsafeBytes { To($0) }
    }

    /// Takes the deadline out of the metadata, where HTTP/2 has it (gRPC over HTTP/2, "Timeout": up to 8 digits and a unit).
    static func timeout(_ metadata: inout Metadata) throws(RPCError) -> Duration? {
        let key = "grpc-timeout"
        guard let text = metadata[stringValues: key].first(where: { _ in true }) else { return nil }
        metadata.removeAllValues(forKey: key)
        guard let unit = text.last, let value = Int64(text.dropLast()), value >= 0, value < 100_000_000 else {
            throw RPCError(
                code: .invalidArgument, message: "grpc-timeout \"\(text.prefix(32))\" is no timeout: up to 8 digits and a unit")
        }
        switch unit {
        case "H": return .seconds(value * 3600)
        case "M": return .seconds(value * 60)
        case "S": return .seconds(value)
        case "m": return .milliseconds(value)
        case "u": return .microseconds(value)
        case "n": return .nanoseconds(value)
        default:
            throw RPCError(code: .invalidArgument, message: "grpc-timeout has the unit \(unit); it may be H, M, S, m, u or n")
        }
    }
}

/// Set once, from any thread.
final class StopFlag: Sendable {
    private let flag = Atomic<Bool>(false)
    var isSet: Bool { flag.load(ordering: .acquiring) }
    func set() { flag.store(true, ordering: .releasing) }
}
