import TocsinProto
import TocsinWire

extension Session {
    /// A call this client made.
    struct Call {
        var method: String
        var metadata: [String: String]
        /// The encoded request, length-prefixed.
        var request: Bytes
        var waiter: Waiter
        var deadline: Int64
        var sent = false
    }

    /// How much longer than the deadline the hub's own answer, that it passed, is waited for.
    private static var grace: Int64 { 500 }

    mutating func call(_ call: Call, id: UInt64, now: Int64) {
        guard phase != .off else { return act(.answer(call.waiter, .failure(.closed))) }
        calls[id] = call
        wake(at: call.deadline)
        if isLive { transmit(id, now: now) }
    }

    private mutating func transmit(_ id: UInt64, now: Int64) {
        guard let call = calls[id], call.deadline > now else { return }
        do {
            let head = Tocsin_V1_CallHead.with {
                $0.method = call.method
                $0.timeoutMs = UInt32(clamping: call.deadline - now)
                $0.metadata = call.metadata
            }
            send(.call, id: id, body: [Bytes(try head.serializedBytes()), call.request], now: now)
            calls[id]?.sent = true
        } catch {
            end(id, .failure(.call(code: 3, message: "the method or metadata cannot be encoded: \(error)")))
        }
    }

    private mutating func end(_ id: UInt64, _ result: Result<Answer, ClientError>) {
        guard let call = calls.removeValue(forKey: id) else { return }
        act(.answer(call.waiter, result))
    }

    mutating func callStatus(_ id: UInt64, _ status: HubStatus) {
        // A call is answered by `reply`; OK alone says nothing.
        guard status.reason != .ok else { return }
        end(id, .failure(.call(code: status.code, message: status.message)))
    }

    mutating func replied(_ id: UInt64, _ frames: ArraySlice<Bytes>, now: Int64) {
        guard calls[id] != nil, let first = frames.first else { return }
        do {
            let tail = try Tocsin_V1_CallTail(serializedBytes: first.array)
            guard tail.code == 0 else {
                return end(id, .failure(.call(code: tail.code, message: tail.message)))
            }
            guard frames.count == 2, let body = frames.last else {
                throw WireError(.frameCount, "a reply without a response")
            }
            end(id, .success(.reply(try Self.single(body))))
        } catch {
            violation("reply: \(error)", now: now)
        }
    }

    /// The one message of a length-prefixed frame.
    private static func single(_ body: Bytes) throws(WireError) -> [UInt8] {
        var message: [UInt8]?
        let count = try LengthPrefixed.forEach(in: body.buffer, atMost: 1) { _, _, bytes throws(WireError) in
            message = Array(bytes)
        }
        guard count == 1, let message else { throw WireError(.badLengthPrefix, "\(count) messages, expected one") }
        return message
    }

    /// The caller no longer waits.
    mutating func cancelCall(_ id: UInt64, now: Int64) {
        guard let call = calls.removeValue(forKey: id) else { return }
        if isLive && call.sent { send(.cancel, id: id, now: now) }
    }

    // MARK: Calls this client serves

    mutating func called(_ id: UInt64, head: Bytes, body: Bytes, now: Int64) {
        do {
            let head = try Tocsin_V1_CallHead(serializedBytes: head.array)
            let request = try Self.single(body)
            guard served.count < Limits.calls else {
                return reply(id, session: number, code: 8, message: "too many calls at once", response: [], now: now)
            }
            served.insert(id)
            act(.serve(id: id, head, request: request))
        } catch {
            violation("call: \(error)", now: now)
        }
    }

    /// Answers a call that is served; void if it was cancelled or came by an earlier connection.
    mutating func reply(
        served id: UInt64, session: UInt64, code: UInt32, message: String, response: [UInt8], now: Int64
    ) {
        guard isLive, session == number, served.remove(id) != nil else { return }
        reply(id, session: session, code: code, message: message, response: response, now: now)
    }

    private mutating func reply(
        _ id: UInt64, session: UInt64, code: UInt32, message: String, response: [UInt8], now: Int64
    ) {
        let fits = response.count <= limits.messageBytes
        let tail = Tocsin_V1_CallTail.with {
            $0.code = fits ? code : 8
            $0.message = fits ? message : "the response has \(response.count) bytes; the limit is \(limits.messageBytes)"
        }
        do {
            var body = [Bytes(try tail.serializedBytes())]
            if tail.code == 0 {
                var framed: [UInt8] = []
                framed.reserveCapacity(response.count + LengthPrefixed.prefixSize)
                LengthPrefixed.append(response, to: &framed)
                body.append(Bytes(framed))
            }
            send(.reply, id: id, body: body, now: now)
        } catch {
            act(.log(.error, "a reply cannot be encoded, its caller will run into the deadline: \(error)"))
        }
    }

    // MARK: Session and time

    /// What the hub had been asked may or may not have been done.
    mutating func loseCalls() {
        for id in calls.keys.sorted() where calls[id]?.sent == true {
            end(
                id,
                .failure(
                    .call(
                        code: 14, message: "the connection to the hub was lost during the call; it may or may not have been done")
                ))
        }
        served.removeAll()
    }

    mutating func resumeCalls(_ now: Int64) {
        for id in calls.keys.sorted() { transmit(id, now: now) }
    }

    mutating func tickCalls(_ now: Int64) {
        for id in calls.keys.sorted() {
            guard let call = calls[id] else { continue }
            let until = call.sent ? call.deadline + Self.grace : call.deadline
            if now < until {
                wake(at: until)
            } else if call.sent {
                let message = "no answer to \(call.method) in time; it may or may not have been done"
                end(id, .failure(.call(code: 4, message: message)))
            } else if isLive {
                end(id, .failure(.call(code: 4, message: "\(call.method) was not begun in time; give it a longer timeout")))
            } else {
                end(id, .failure(.call(code: 14, message: "\(call.method) was not begun: \(noHub)")))
            }
        }
    }

    mutating func closeCalls() {
        for id in calls.keys.sorted() { end(id, .failure(.closed)) }
        served.removeAll()
    }
}
