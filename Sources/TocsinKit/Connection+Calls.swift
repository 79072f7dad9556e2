import TocsinProto
import TocsinWire

/// What a client does with the calls of a service it offers.
package struct CallService: Sendable {
    /// Methods with one response, which goes out together with the status: `package.Service/Method`.
    package var singleResponses: Set<String>
    /// Takes a call, on the client's thread: it hands it on and returns.
    package var handler: @Sendable (CallStream) -> Void

    package init(singleResponses: Set<String> = [], handler: @escaping @Sendable (CallStream) -> Void) {
        self.singleResponses = singleResponses
        self.handler = handler
    }
}

/// The calls of a client: those it made and those it serves that are not over.
struct CallTable {
    var streams: [UInt64: CallStream] = [:]
    /// By name.
    var services: [String: CallService] = [:]

    /// The session is over, and the calls that were served in it.
    mutating func cancelServed() {
        for (id, stream) in streams where stream.isServed {
            streams[id] = nil
            stream.cancelled()
        }
    }
}

extension Connection {
    // MARK: From tasks

    /// Sends what a call has to send, if it is open. A caller's call opens with this.
    func flushCall(_ stream: CallStream, now: Int64) {
        if !stream.isServed, table.streams[stream.id] == nil, !stream.isOver {
            table.streams[stream.id] = stream
            session.openCall(stream.id, deadline: stream.deadline, startBy: stream.startBy, now: now)
        }
        guard table.streams[stream.id] === stream, session.isOpen(stream.id), let outgoing = stream.takeOutgoing() else { return }
        do {
            if stream.isServed {
                try answer(stream, outgoing, now: now)
            } else {
                try ask(stream, outgoing, now: now)
            }
        } catch {
            // Metadata that is no protobuf: nothing was sent. The server's callers run into their deadline, or its end.
            table.streams[stream.id] = nil
            session.drop(stream.id)
            stream.end(CallEnd(code: 13, message: "the call cannot be encoded: \(error)"))
        }
    }

    private func ask(_ stream: CallStream, _ outgoing: CallStream.Outgoing, now: Int64) throws {
        let flags = outgoing.isLast ? Header.halfClose : 0
        let messages = outgoing.messages.map { [$0] } ?? []
        if let metadata = outgoing.opening {
            let deadline = stream.deadline
            let head = Tocsin_V1_CallHead.with {
                $0.method = stream.method
                $0.metadata = metadata
                if deadline < .max { $0.timeoutMs = UInt32(clamping: max(1, deadline - now)) }
            }
            session.send(
                .call, id: stream.id, count: outgoing.count, flags: flags, body: [Bytes(try head.serializedBytes())] + messages,
                now: now)
        } else if outgoing.count > 0 || outgoing.isLast {
            session.send(.message, id: stream.id, count: outgoing.count, flags: flags, body: messages, now: now)
        }
    }

    private func answer(_ stream: CallStream, _ outgoing: CallStream.Outgoing, now: Int64) throws {
        let messages = outgoing.messages.map { [$0] } ?? []
        if var tail = outgoing.tail {
            tail.initial = outgoing.headers ?? []
            send(stream, .reply, try Self.metadata(&tail), messages, outgoing.count, now: now)
            stream.answered()
            table.streams[stream.id] = nil
            session.endServed(stream.id)
        } else if let headers = outgoing.headers {
            let start = Tocsin_V1_CallStart.with { $0.metadata = headers }
            send(stream, .headers, Bytes(try start.serializedBytes()), messages, outgoing.count, now: now)
        } else if outgoing.count > 0 {
            session.send(.message, id: stream.id, count: outgoing.count, body: messages, now: now)
        }
    }

    private func send(_ stream: CallStream, _ kind: Kind, _ metadata: Bytes, _ messages: [Bytes], _ count: Int, now: Int64) {
        session.send(kind, id: stream.id, count: count, body: [metadata] + messages, now: now)
    }

    /// A tail that the hub would refuse becomes one that says why.
    private static func metadata(_ tail: inout Tocsin_V1_CallTail) throws -> Bytes {
        let bytes: [UInt8] = try tail.serializedBytes()
        if bytes.count <= Limits.metadataBytes { return Bytes(bytes) }
        let short = CallEnd(
            code: 8, message: "status, message and metadata have \(bytes.count) bytes; \(Limits.metadataBytes) are possible")
        return Bytes(try short.tail.serializedBytes())
    }

    func giveWindow(_ stream: CallStream, _ bytes: Int, now: Int64) {
        guard table.streams[stream.id] === stream, session.isOpen(stream.id) else { return }
        session.send(.window, id: stream.id, count: bytes, now: now)
    }

    func cancelCall(_ stream: CallStream, now: Int64) {
        guard table.streams[stream.id] === stream else { return }
        table.streams[stream.id] = nil
        session.cancelCall(stream.id, now: now)
    }

    // MARK: From the session

    /// With who calls, where the hub knows.
    private static func metadata(of head: Tocsin_V1_CallHead) -> [Tocsin_V1_MetadataEntry] {
        guard !head.caller.isEmpty else { return head.metadata }
        let caller = Tocsin_V1_MetadataEntry.with {
            $0.key = CallerMetadata.key
            $0.value = .init(head.caller.utf8)
        }
        return head.metadata.filter { $0.key != CallerMetadata.key } + [caller]
    }

    func serveCall(_ id: UInt64, _ head: Tocsin_V1_CallHead, _ messages: Bytes?, isLast: Bool, now: Int64) {
        let service = head.method.lastIndex(of: "/").flatMap { table.services[String(head.method[..<$0])] }
        let stream = CallStream(
            id: id, method: head.method, metadata: Self.metadata(of: head),
            deadline: head.timeoutMs == 0 ? .max : now + Int64(head.timeoutMs),
            holdsBack: service?.singleResponses.contains(head.method) ?? true, mailbox: mailbox)
        table.streams[id] = stream
        receive(stream, stream.receive(messages: messages, isLast: isLast), now: now)
        guard let service else {
            // It was on its way while the offer was taken back.
            return stream.finish(CallEnd(code: 14, message: "\(head.method) is no longer served here").tail)
        }
        service.handler(stream)
    }

    func perform(_ action: CallAction, _ id: UInt64, now: Int64) {
        guard let stream = table.streams[id] else { return }
        switch action {
        case .begin: if stream.isReady { flushCall(stream, now: now) }
        case .response(let headers, let messages, let tail):
            if tail != nil { table.streams[id] = nil }
            receive(stream, stream.receive(headers: headers, messages: messages, tail: tail), now: now)
        case .requests(let messages, let isLast):
            receive(stream, stream.receive(messages: messages, isLast: isLast), now: now)
        case .window(let bytes): stream.addRoom(bytes)
        case .end(let end):
            table.streams[id] = nil
            stream.end(end)
        case .cancel:
            table.streams[id] = nil
            stream.cancelled()
        }
    }

    private func receive(_ stream: CallStream, _ isAllowed: Bool, now: Int64) {
        if !isAllowed { session.violation("more of call \(stream.id) than its window", now: now) }
    }
}
