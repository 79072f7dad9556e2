import TocsinProto
import TocsinWire

/// What the session has for the stream of a call.
enum CallAction {
    /// It may send now.
    case begin
    /// To a caller: what came in one frame.
    case response(headers: [Tocsin_V1_MetadataEntry]?, Bytes?, Tocsin_V1_CallTail?)
    /// To a server.
    case requests(Bytes?, isLast: Bool)
    /// The other end takes so many bytes more.
    case window(Int)
    /// A call this client made has ended without an answer of its server.
    case end(CallEnd)
    /// The caller of a call that is being served no longer waits.
    case cancel
}

/// Which calls are open, and until when. What is said in them is between `CallStream` and the hub.
extension Session {
    /// A call this client made.
    struct Call {
        /// `max`: none.
        var deadline: Int64
        /// Without a session by then it fails.
        var startBy: Int64
        var sent = false
        var hasHeaders = false
    }

    /// How much longer than the deadline the hub's own answer, that it passed, is waited for.
    private static var grace: Int64 { 500 }

    mutating func openCall(_ id: UInt64, deadline: Int64, startBy: Int64, now: Int64) {
        guard phase != .off else { return act(.call(id, .end(.closed))) }
        calls[id] = Call(deadline: deadline, startBy: startBy, sent: isLive)
        if isLive {
            act(.call(id, .begin))
            if deadline < .max { wake(at: deadline + Self.grace) }
        } else {
            wake(at: min(deadline, startBy))
        }
    }

    /// Whether this call may send and receive now.
    func isOpen(_ id: UInt64) -> Bool {
        isLive && (id >= Limits.servedCallID ? served.contains(id) : calls[id]?.sent == true)
    }

    private mutating func end(_ id: UInt64, _ end: CallEnd) {
        guard calls.removeValue(forKey: id) != nil else { return }
        act(.call(id, .end(end)))
    }

    mutating func callStatus(_ id: UInt64, _ status: HubStatus) {
        // A call is answered by `reply`; OK alone says nothing.
        guard status.reason != .ok else { return }
        end(id, CallEnd(code: status.code, message: status.message, reason: status.reason))
    }

    /// The caller no longer waits.
    mutating func cancelCall(_ id: UInt64, now: Int64) {
        guard let call = calls.removeValue(forKey: id) else { return }
        if isLive && call.sent { send(.cancel, id: id, now: now) }
    }

    // MARK: What comes from the hub

    mutating func called(_ header: Header, _ body: ArraySlice<Bytes>, now: Int64) {
        guard header.id >= Limits.servedCallID, !served.contains(header.id), let first = body.first else {
            return violation("call \(header.id)", now: now)
        }
        do {
            let head = try Tocsin_V1_CallHead(serializedBytes: first.array)
            served.insert(header.id)
            act(.serve(id: header.id, head, body.dropFirst().first, isLast: header.flags & Header.halfClose != 0))
        } catch {
            violation("call: \(error)", now: now)
        }
    }

    /// Messages, headers or the tail of a call; those of one that is over are nobody's.
    mutating func streamed(_ header: Header, _ body: ArraySlice<Bytes>, now: Int64) {
        let id = header.id
        do {
            if id >= Limits.servedCallID {
                guard served.contains(id), header.kind == .message else { return }
                act(.call(id, .requests(body.first, isLast: header.flags & Header.halfClose != 0)))
                return
            }
            guard let call = calls[id] else { return }
            switch header.kind {
            case .headers:
                let start = try Tocsin_V1_CallStart(serializedBytes: body.first?.array ?? [])
                respond(id, call, start.metadata, body.dropFirst().first)
            case .reply:
                let tail = try Tocsin_V1_CallTail(serializedBytes: body.first?.array ?? [])
                let messages = body.dropFirst().first
                // A failure alone is no response that has begun.
                let begins = messages != nil || tail.code == 0 || !tail.initial.isEmpty
                respond(id, call, begins ? tail.initial : nil, messages, tail)
            default: respond(id, call, [], body.first)
            }
        } catch {
            violation("\(header.kind): \(error)", now: now)
        }
    }

    /// `headers` are told the first time only: whatever comes first begins the response.
    private mutating func respond(
        _ id: UInt64, _ call: Call, _ headers: [Tocsin_V1_MetadataEntry]?, _ messages: Bytes?, _ tail: Tocsin_V1_CallTail? = nil
    ) {
        if tail != nil { calls[id] = nil } else { calls[id]?.hasHeaders = true }
        act(.call(id, .response(headers: call.hasHeaders ? nil : headers, messages, tail)))
    }

    mutating func window(_ header: Header) {
        guard header.id >= Limits.servedCallID ? served.contains(header.id) : calls[header.id] != nil else { return }
        act(.call(header.id, .window(Int(header.count))))
    }

    /// Nothing more will be said in this call.
    mutating func drop(_ id: UInt64) {
        calls[id] = nil
        served.remove(id)
    }

    /// A served call is answered.
    mutating func endServed(_ id: UInt64) { served.remove(id) }

    mutating func cancelServed(_ id: UInt64) {
        if served.remove(id) != nil { act(.call(id, .cancel)) }
    }

    /// The hub refused a frame of a call that is served here, which has ended it.
    mutating func servedStatus(_ id: UInt64, _ status: HubStatus) {
        // An answer that was late is nothing out of the ordinary.
        if status.reason != .unknownCall { act(.log(.error, "the hub ended a call that is served here: \(status.text)")) }
        cancelServed(id)
    }

    // MARK: Session and time

    /// What the hub had been asked may or may not have been done.
    mutating func loseCalls() {
        for id in calls.keys.sorted() where calls[id]?.sent == true {
            end(
                id,
                CallEnd(code: 14, message: "the connection to the hub was lost during the call; it may or may not have been done")
            )
        }
        served.removeAll()
    }

    mutating func resumeCalls(_ now: Int64) {
        for id in calls.keys.sorted() {
            calls[id]?.sent = true
            act(.call(id, .begin))
        }
    }

    mutating func tickCalls(_ now: Int64) {
        guard !calls.isEmpty else { return }
        for id in calls.keys.sorted() {
            guard let call = calls[id] else { continue }
            let until: Int64
            if call.sent {
                until = call.deadline < .max ? call.deadline + Self.grace : .max
            } else {
                until = min(call.deadline, call.startBy)
            }
            if now < until {
                wake(at: until)
            } else if call.sent {
                end(id, CallEnd(code: 4, message: "no answer in time; it may or may not have been done"))
                send(.cancel, id: id, now: now)
            } else {
                end(id, CallEnd(code: 14, message: "the call was not begun: \(noHub)"))
            }
        }
    }

    mutating func closeCalls() {
        for id in calls.keys.sorted() { end(id, .closed) }
        served.removeAll()
    }
}
