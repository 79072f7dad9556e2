public import GRPCCore
import GRPCProtobuf

/// gRPC's interoperability cases, by their public names: what any transport must do. They throw what was wrong.
public enum InteropCase: String, CaseIterable, Sendable {
    case emptyUnary = "empty_unary"
    case largeUnary = "large_unary"
    case clientStreaming = "client_streaming"
    case serverStreaming = "server_streaming"
    case pingPong = "ping_pong"
    case emptyStream = "empty_stream"
    case cancelAfterBegin = "cancel_after_begin"
    case cancelAfterFirstResponse = "cancel_after_first_response"
    case timeoutOnSleepingServer = "timeout_on_sleeping_server"
    case statusCodeAndMessage = "status_code_and_message"
    case specialStatusMessage = "special_status_message"
    case unimplementedMethod = "unimplemented_method"
    case unimplementedService = "unimplemented_service"
    case customMetadata = "custom_metadata"

    /// Runs the case with a client whose server has an `InteropService`.
    public func run<Transport: ClientTransport>(_ client: GRPCClient<Transport>) async throws {
        let cases = Cases(client: client, service: .init(wrapping: client))
        switch self {
        case .emptyUnary: try await cases.emptyUnary()
        case .largeUnary: try await cases.largeUnary()
        case .clientStreaming: try await cases.clientStreaming()
        case .serverStreaming: try await cases.serverStreaming()
        case .pingPong: try await cases.pingPong()
        case .emptyStream: try await cases.emptyStream()
        case .cancelAfterBegin: try await cases.cancelAfterBegin()
        case .cancelAfterFirstResponse: try await cases.cancelAfterFirstResponse()
        case .timeoutOnSleepingServer: try await cases.timeoutOnSleepingServer()
        case .statusCodeAndMessage:
            try await cases.status(message: "test status message")
        case .specialStatusMessage:
            try await cases.status(message: "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")
        case .unimplementedMethod: try await cases.unimplementedMethod()
        case .unimplementedService: try await cases.unimplementedService()
        case .customMetadata: try await cases.customMetadata()
        }
    }
}

/// What a case found instead of what it should have.
public struct InteropFailure: Error, CustomStringConvertible {
    public var description: String
}

private func expect<Value: Equatable>(_ what: String, _ found: Value, _ expected: Value) throws {
    if found != expected { throw InteropFailure(description: "\(what): \(found), expected \(expected)") }
}

private struct Cases<Transport: ClientTransport> {
    let client: GRPCClient<Transport>
    let service: Tocsin_Interop_V1_TestService.Client<Transport>

    private let requestSizes = [27_182, 8, 1_828, 45_904]
    private let responseSizes: [Int32] = [31_415, 9, 2_653, 58_979]

    private func payload(_ size: Int) -> Tocsin_Interop_V1_Payload { .with { $0.body = .init(repeating: 0, count: size) } }

    /// The call must end with this.
    private func fails(_ code: RPCError.Code, _ call: () async throws -> Void) async throws -> RPCError {
        do {
            try await call()
        } catch let error as RPCError {
            if error.code != code { throw InteropFailure(description: "code \(error.code) (\(error.message)), expected \(code)") }
            return error
        }
        throw InteropFailure(description: "the call succeeds, expected was \(code)")
    }

    /// The call must end as one that its caller cancelled. What a client makes of its own cancelling differs: CANCELLED, or Swift's
    /// error for it, also as the cause of another.
    private func isCancelled(_ call: () async throws -> Void) async throws {
        do {
            try await call()
        } catch is CancellationError {
            return
        } catch let error as RPCError where error.code == .cancelled || error.cause is CancellationError {
            return
        }
        throw InteropFailure(description: "the call succeeds though it was cancelled")
    }

    func emptyUnary() async throws { try expect("response", try await service.emptyCall(.init()), .init()) }

    func largeUnary() async throws {
        let request = Tocsin_Interop_V1_UnaryRequest.with {
            $0.responseSize = 314_159
            $0.payload = payload(271_828)
        }
        try expect("size", try await service.unaryCall(request).payload, payload(314_159))
    }

    func clientStreaming() async throws {
        let response = try await service.inputCall { writer in
            for size in requestSizes { try await writer.write(.with { $0.payload = payload(size) }) }
        }
        try expect("total", response.aggregatedPayloadSize, 74_922)
    }

    func serverStreaming() async throws {
        let sizes = try await service.outputCall(.with { $0.responseSizes = responseSizes }) { response in
            try await response.messages.reduce(into: []) { $0.append(Int32($1.payload.body.count)) }
        }
        try expect("sizes", sizes, responseSizes)
    }

    func pingPong() async throws {
        let (ready, next) = AsyncStream.makeStream(of: Void.self)
        next.yield()
        let sizes = try await service.duplexCall { writer in
            var turns = ready.makeAsyncIterator()
            for (request, response) in zip(requestSizes, responseSizes) {
                _ = await turns.next()
                try await writer.write(
                    .with {
                        $0.responseSizes = [response]
                        $0.payload = payload(request)
                    })
            }
        } onResponse: { response in
            var sizes: [Int32] = []
            for try await message in response.messages {
                sizes.append(Int32(message.payload.body.count))
                next.yield()
            }
            return sizes
        }
        try expect("sizes", sizes, responseSizes)
    }

    func emptyStream() async throws {
        let count = try await service.duplexCall { _ in
        } onResponse: { response in
            try await response.messages.reduce(0) { count, _ in count + 1 }
        }
        try expect("responses", count, 0)
    }

    func cancelAfterBegin() async throws {
        let (begun, begin) = AsyncStream.makeStream(of: Void.self)
        let service = service
        let call = Task {
            _ = try await service.inputCall { _ in
                begin.finish()
                try await Task.sleep(for: .seconds(600))
            }
        }
        for await _ in begun {}
        call.cancel()
        try await isCancelled { try await call.value }
    }

    func cancelAfterFirstResponse() async throws {
        let (begun, begin) = AsyncStream.makeStream(of: Void.self)
        let service = service
        let call = Task {
            try await service.duplexCall { writer in
                try await writer.write(.with { $0.responseSizes = [31_415] })
                try await Task.sleep(for: .seconds(600))
            } onResponse: { response in
                for try await _ in response.messages { begin.finish() }
            }
        }
        for await _ in begun {}
        call.cancel()
        try await isCancelled { try await call.value }
    }

    func timeoutOnSleepingServer() async throws {
        var options = CallOptions.defaults
        options.timeout = .milliseconds(50)
        _ = try await fails(.deadlineExceeded) {
            try await service.duplexCall(options: options) { writer in
                try await writer.write(.with { $0.payload = payload(27_182) })
                try await Task.sleep(for: .seconds(600))
            } onResponse: { response in
                for try await _ in response.messages {}
            }
        }
    }

    func status(message: String) async throws {
        let status = Tocsin_Interop_V1_EchoStatus.with {
            $0.code = 2
            $0.message = message
        }
        let unary = try await fails(.unknown) { _ = try await service.unaryCall(.with { $0.responseStatus = status }) }
        try expect("message", unary.message, message)
        let duplex = try await fails(.unknown) {
            try await service.duplexCall { writer in
                try await writer.write(.with { $0.responseStatus = status })
            } onResponse: { response in
                for try await _ in response.messages {}
            }
        }
        try expect("message", duplex.message, message)
    }

    func unimplementedMethod() async throws { try await unimplemented("tocsin.interop.v1.TestService", "NoSuchCall") }

    func unimplementedService() async throws { try await unimplemented("tocsin.interop.v1.UnservedService", "EmptyCall") }

    private func unimplemented(_ service: String, _ method: String) async throws {
        _ = try await fails(.unimplemented) {
            try await client.unary(
                request: ClientRequest(message: Tocsin_Interop_V1_Empty()),
                descriptor: MethodDescriptor(fullyQualifiedService: service, method: method, type: .unary),
                serializer: ProtobufSerializer<Tocsin_Interop_V1_Empty>(),
                deserializer: ProtobufDeserializer<Tocsin_Interop_V1_Empty>(), options: .defaults
            ) { response in _ = try response.message }
        }
    }

    func customMetadata() async throws {
        let text = "test_initial_metadata_value"
        let bytes: [UInt8] = [0xab, 0xab, 0xab]
        var metadata = Metadata()
        metadata.addString(text, forKey: InteropService.echoInitial)
        metadata.addBinary(bytes, forKey: InteropService.echoTrailing)
        let request = Tocsin_Interop_V1_UnaryRequest.with { $0.responseSize = 1 }
        let (initial, trailing) = try await service.unaryCall(request, metadata: metadata) { response in
            (response.metadata, response.trailingMetadata)
        }
        try expect("initial metadata", Array(initial[stringValues: InteropService.echoInitial]), [text])
        try expect("trailing metadata", Array(trailing[binaryValues: InteropService.echoTrailing]), [bytes])
        let (begun, ended) = try await service.duplexCall(metadata: metadata) { writer in
            try await writer.write(.with { $0.responseSizes = [1] })
        } onResponse: { response in
            var trailing = Metadata()
            for try await part in try response.accepted.get().bodyParts {
                if case .trailingMetadata(let metadata) = part { trailing = metadata }
            }
            return (response.metadata, trailing)
        }
        try expect("initial metadata", Array(begun[stringValues: InteropService.echoInitial]), [text])
        try expect("trailing metadata", Array(ended[binaryValues: InteropService.echoTrailing]), [bytes])
    }
}
