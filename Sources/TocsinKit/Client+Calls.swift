import SwiftProtobuf
import TocsinProto
import TocsinWire

extension Client {
    /// A call to be made: `begin` it, write to it, read it, and end it with `closeCall` in any case.
    ///
    /// - Parameters:
    ///   - timeout: after which the hub ends it; nil: never.
    ///   - startWithin: how long it may wait for a session with the hub; nil: as long as its timeout.
    ///   - singleRequest: nothing is sent before `finish`, unless the window is full.
    /// - Throws: `ClientError.call` if too many calls of this client were under way until its timeout; `closed`;
    ///   `CancellationError`.
    package func openCall(
        _ method: String, timeout: Duration?, startWithin: Duration? = nil, singleRequest: Bool
    ) async throws -> CallStream {
        let now = steadyNow()
        let deadline = timeout.map { now + max(1, $0.wholeMilliseconds) } ?? .max
        guard try await shared.calls.enter(deadline: deadline) else {
            throw ClientError.call(
                code: 4,
                message: "\(method) was not begun: \(shared.calls.piecesMax) other calls of this client were under way until its"
                    + " timeout; make fewer at once")
        }
        return CallStream(
            id: mailbox.nextID(), method: method, deadline: deadline,
            startBy: startWithin.map { now + $0.wholeMilliseconds } ?? .max, holdsBack: singleRequest, mailbox: mailbox)
    }

    /// Ends a call of `openCall`, cancels it if it is not over, and makes room for others.
    package func closeCall(_ stream: CallStream) {
        stream.cancel()
        shared.calls.leave()
    }

    /// Offers a service until `withdraw`, or until the client is closed, across reconnects.
    ///
    /// - Throws: `ClientError.refused`; `timedOut` without a hub within `options.publishTimeout`; `closed`.
    package func serve(_ name: String, exclusive: Bool = false, _ service: CallService) async throws {
        let body = Tocsin_V1_Serve.with {
            $0.service = name
            $0.exclusive = exclusive
        }
        let ticket = Ticket()
        try mailbox.post(
            .serve(
                service: name, body: Bytes(try body.serializedBytes()), id: mailbox.nextID(), service, ticket,
                deadline: requestDeadline))
        _ = try await ticket.value()
    }

    /// Takes an offer back: no new calls come, those that have begun go on.
    package func withdraw(_ name: String) {
        let body = Tocsin_V1_Serve.with {
            $0.service = name
            $0.withdraw = true
        }
        do {
            try mailbox.post(.withdraw(service: name, body: Bytes(try body.serializedBytes()), id: mailbox.nextID()))
        } catch {
            // The client is closed, and with it every offer.
        }
    }
}

extension Client {
    /// Unary call of `package.Service/Method`. If the task is cancelled the call is, and its server told.
    ///
    /// - Throws: `ClientError.call` with the gRPC code for any failure of the call; `protocolViolation` if the response is
    ///   not a `Response`; `closed`; `CancellationError`.
    public func call<Request: SwiftProtobuf.Message, Response: SwiftProtobuf.Message>(
        _ method: String, _ request: Request, as type: Response.Type = Response.self, timeout: Duration = .seconds(30),
        metadata: [String: String] = [:]
    ) async throws -> Response {
        let stream = try await openCall(method, timeout: timeout, singleRequest: true)
        defer { closeCall(stream) }
        try stream.begin(metadata.map { pair in .with { ($0.key, $0.value) = (pair.key, .init(pair.value.utf8)) } })
        try? await stream.write(request.serializedBytes())
        stream.finish()
        var response: [UInt8]?
        while let incoming = try await stream.next() {
            switch incoming {
            case .headers: break
            case .messages(let frame):
                var messages = CallMessages(frame)
                response = try messages.next()
            case .tail(let tail):
                guard tail.code == 0 else { throw ClientError.call(code: tail.code, message: tail.message) }
            }
        }
        do {
            return try Response(serializedBytes: response ?? [])
        } catch {
            throw ClientError.protocolViolation("the response of \(method) is not a \(Response.protoMessageName): \(error)")
        }
    }

    /// Offers a unary service; see `serve` above.
    public func serve(
        _ name: String, exclusive: Bool = false, handler: @escaping @Sendable (IncomingCall) async throws -> [UInt8]
    ) async throws {
        let service = CallService { stream in
            let task = Task {
                var tail = Tocsin_V1_CallTail()
                do {
                    guard case .messages(let frame)? = try await stream.next() else {
                        throw CallFailure(code: 3, message: "no request")
                    }
                    var messages = CallMessages(frame)
                    let call = IncomingCall(
                        method: stream.method,
                        metadata: Dictionary(
                            stream.metadata.map { ($0.key, String(decoding: $0.value, as: UTF8.self)) }
                        ) { first, _ in first },
                        request: try messages.next() ?? [],
                        deadline: .now + (stream.timeLeft ?? .seconds(30)))
                    try await stream.write(try await handler(call))
                } catch let failure as CallFailure {
                    tail = CallEnd(code: failure.code == 0 ? 2 : failure.code, message: failure.message).tail
                } catch {
                    tail = CallEnd(code: error is CancellationError ? 1 : 2, message: "\(error)").tail
                }
                stream.finish(tail)
            }
            stream.onCancel { task.cancel() }
        }
        try await serve(name, exclusive: exclusive, service)
    }
}
