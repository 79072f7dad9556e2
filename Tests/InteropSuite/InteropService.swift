public import GRPCCore

/// The server of the interoperability tests.
public struct InteropService: Tocsin_Interop_V1_TestService.StreamingServiceProtocol {
    /// Metadata with these names comes back: the first as initial, the second as trailing metadata.
    static let echoInitial = "x-grpc-test-echo-initial"
    static let echoTrailing = "x-grpc-test-echo-trailing-bin"

    public init() {}

    public func emptyCall(
        request: StreamingServerRequest<Tocsin_Interop_V1_Empty>, context: ServerContext
    ) async throws -> StreamingServerResponse<Tocsin_Interop_V1_Empty> {
        _ = try await Self.only(request.messages)
        return StreamingServerResponse(single: ServerResponse(message: Tocsin_Interop_V1_Empty()))
    }

    public func unaryCall(
        request: StreamingServerRequest<Tocsin_Interop_V1_UnaryRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Tocsin_Interop_V1_UnaryResponse> {
        let message = try await Self.only(request.messages)
        let (initial, trailing) = Self.echo(request.metadata)
        try Self.end(message.hasResponseStatus, message.responseStatus, trailing)
        let response = Tocsin_Interop_V1_UnaryResponse.with { $0.payload = Self.payload(message.responseSize) }
        return StreamingServerResponse(
            single: ServerResponse(message: response, metadata: initial, trailingMetadata: trailing))
    }

    public func inputCall(
        request: StreamingServerRequest<Tocsin_Interop_V1_InputRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Tocsin_Interop_V1_InputResponse> {
        var size = 0
        for try await message in request.messages { size += message.payload.body.count }
        let total = Int32(size)
        return StreamingServerResponse(single: ServerResponse(message: .with { $0.aggregatedPayloadSize = total }))
    }

    public func outputCall(
        request: StreamingServerRequest<Tocsin_Interop_V1_OutputRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Tocsin_Interop_V1_OutputResponse> {
        try await duplexCall(request: request, context: context)
    }

    public func duplexCall(
        request: StreamingServerRequest<Tocsin_Interop_V1_OutputRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Tocsin_Interop_V1_OutputResponse> {
        let (initial, trailing) = Self.echo(request.metadata)
        return StreamingServerResponse(metadata: initial) { writer in
            for try await message in request.messages {
                try Self.end(message.hasResponseStatus, message.responseStatus, trailing)
                for size in message.responseSizes {
                    try await writer.write(.with { $0.payload = Self.payload(size) })
                }
            }
            return trailing
        }
    }

    private static func only<Message: Sendable>(_ messages: RPCAsyncSequence<Message, any Error>) async throws -> Message {
        var only: Message?
        for try await message in messages {
            guard only == nil else { throw RPCError(code: .internalError, message: "two requests of a unary call") }
            only = message
        }
        guard let only else { throw RPCError(code: .internalError, message: "no request of a unary call") }
        return only
    }

    private static func payload(_ size: Int32) -> Tocsin_Interop_V1_Payload {
        .with { $0.body = .init(repeating: 0, count: Int(size)) }
    }

    private static func echo(_ metadata: Metadata) -> (initial: Metadata, trailing: Metadata) {
        var initial = Metadata()
        for value in metadata[stringValues: echoInitial] { initial.addString(value, forKey: echoInitial) }
        var trailing = Metadata()
        for value in metadata[binaryValues: echoTrailing] { trailing.addBinary(value, forKey: echoTrailing) }
        return (initial, trailing)
    }

    private static func end(_ isAsked: Bool, _ status: Tocsin_Interop_V1_EchoStatus, _ trailing: Metadata) throws {
        guard isAsked, let code = Status.Code(rawValue: Int(status.code)), let code = RPCError.Code(code) else { return }
        throw RPCError(code: code, message: status.message, metadata: trailing)
    }
}
