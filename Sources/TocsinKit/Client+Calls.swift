import TocsinPosix
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
