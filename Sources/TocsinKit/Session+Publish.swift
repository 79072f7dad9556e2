import TocsinProto
import TocsinWire

extension Session {
    /// A batch that the hub has not accepted yet.
    struct Publish {
        var batch: EncodedBatch
        var waiter: Waiter
        var deadline: Int64
        var gate: PublishGate
        /// Set if it is a part of a larger batch: of which, and with which of its messages it begins.
        var part: (of: UInt64, start: Int)?
        /// On its way to the hub of this session.
        var sent = false
        /// A connection was lost before the answer: it may be stored.
        var wasLost = false
    }

    /// A batch that was more than the hub takes at once: its parts are publishes of their own, answered together.
    struct Divided {
        var bytes: Int
        /// Parts that are not answered yet.
        var open: Int
        var receipt = Receipt(firstSequence: 0, stored: 0, duplicates: 0)
        var failure: ClientError?
    }

    /// How much the hub takes. It is given everything until it cannot store something (its disk is full or slow, it shuts
    /// down). Then a little is tried again after a while, and more with each batch that it accepts.
    struct Flow {
        /// Batches that may be on their way.
        var window = Int.max
        /// Nothing is sent before then.
        var heldUntil: Int64?
        /// Times in a row that it could store nothing, and what it said the last time.
        var refusals = 0
        var refusal = ""

        var isOpen: Bool { window == .max }
        /// Milliseconds to wait after the last refusal: 10, 20, 40 … 1000.
        var pause: Int64 { min(1000, 5 << Int64(min(refusals, 8))) }
        /// Window that is as good as none.
        static var windowMax: Int { 256 }
    }

    /// Sends the batch as soon as there is a session that takes it, and again on each new one, until it is accepted, refused or
    /// late. One of the spooling gate is answered `timedOut` as soon as it would have to wait for the hub.
    mutating func publish(
        _ batch: EncodedBatch, id: UInt64, waiter: Waiter, deadline: Int64, gate: PublishGate, now: Int64
    ) {
        let publish = Publish(batch: batch, waiter: waiter, deadline: deadline, gate: gate)
        guard phase != .off else { return answer(publish, .failure(.closed)) }
        if gate == .spooling {
            if !isLive { return answer(publish, .failure(.timedOut(noHub))) }
            if !hasRoom { return answer(publish, .failure(.timedOut("the hub stores nothing now: \(flow.refusal)"))) }
        }
        publishes[id] = publish
        wake(at: deadline)
        if flow.isOpen && isLive { transmit(id, now: now) } else { transmitUnsent(now) }
    }

    /// Whether a batch may be sent.
    private var hasRoom: Bool {
        isLive && flow.heldUntil == nil && (flow.isOpen || publishes.count { $1.sent } < flow.window)
    }

    /// Ids in the order in which the messages were first published.
    private var publishesInOrder: [UInt64] {
        publishes.map { id, publish in (id: id, first: publish.part?.of ?? id, start: publish.part?.start ?? 0) }
            .sorted { ($0.first, $0.start) < ($1.first, $1.start) }
            .map(\.id)
    }

    private mutating func transmit(_ id: UInt64, now: Int64) {
        for part in fitting(id) where hasRoom {
            guard let batch = publishes[part]?.batch else { continue }
            publishes[part]?.sent = true
            send(.publish, id: part, count: batch.count, body: [batch.body], now: now)
        }
    }

    private mutating func transmitUnsent(_ now: Int64) {
        guard hasRoom else { return }
        for id in publishesInOrder where publishes[id]?.sent == false {
            transmit(id, now: now)
            if !hasRoom { return }
        }
    }

    // MARK: Batches that are too large for the hub

    /// The batch, or the parts it has to be divided in for this hub.
    private mutating func fitting(_ id: UInt64) -> [UInt64] {
        guard let batch = publishes[id]?.batch, batch.body.count > limits.bodyBytes || batch.count > limits.batch else {
            return [id]
        }
        return divide(id, bytes: limits.bodyBytes, messages: limits.batch) ?? [id]
    }

    /// Puts parts within these bounds in the place of a batch; nil, and nothing done, if it cannot be divided.
    private mutating func divide(_ id: UInt64, bytes: Int, messages: Int) -> [UInt64]? {
        guard let publish = publishes[id] else { return nil }
        let pieces = publish.batch.pieces(bytes: bytes, messages: messages)
        guard pieces.count > 1 else { return nil }
        let whole = publish.part?.of ?? id
        var start = publish.part?.start ?? 0
        if publish.part == nil {
            divided[id] = Divided(bytes: publish.batch.body.count, open: pieces.count)
        } else {
            divided[whole]?.open += pieces.count - 1
        }
        publishes[id] = nil
        var ids: [UInt64] = []
        for piece in pieces {
            partID += 1
            var part = publish
            part.batch = piece
            part.part = (whole, start)
            part.sent = false
            publishes[partID] = part
            ids.append(partID)
            start += piece.count
        }
        return ids
    }

    /// Ends a publish. A divided one is answered with its last part: the first message refused, else what else went wrong, else
    /// the sum.
    private mutating func answer(_ publish: Publish, _ result: Result<Answer, ClientError>) {
        guard let part = publish.part, var whole = divided[part.of] else {
            return act(.published(publish.waiter, result, bytes: publish.batch.body.count, gate: publish.gate))
        }
        whole.open -= 1
        switch result {
        case .success(.accepted(let receipt)): whole.receipt.add(receipt)
        case .success: break
        case .failure(.refused(let reason, let message, let index)):
            let place = part.start + index
            if case .refused(_, _, let earlier)? = whole.failure, earlier <= place { break }
            whole.failure = .refused(reason, message, index: place)
        case .failure(let error): whole.failure = whole.failure ?? error
        }
        divided[part.of] = whole
        guard whole.open == 0 else { return }
        divided[part.of] = nil
        let sum: Result<Answer, ClientError> = whole.failure.map { .failure($0) } ?? .success(.accepted(whole.receipt))
        act(.published(publish.waiter, sum, bytes: whole.bytes, gate: publish.gate))
    }

    // MARK: The hub's answers

    mutating func accepted(_ id: UInt64, _ body: Bytes, now: Int64) {
        let accepted: Tocsin_V1_Accepted
        do {
            accepted = try Tocsin_V1_Accepted(serializedBytes: body.array)
        } catch {
            return violation("accepted: \(error)", now: now)
        }
        guard let publish = publishes[id] else { return }
        guard publish.sent, Int(accepted.stored) + Int(accepted.duplicates) == publish.batch.count else {
            return violation(
                "\(accepted.stored) stored and \(accepted.duplicates) duplicates of \(publish.batch.count)", now: now)
        }
        publishes[id] = nil
        answer(
            publish,
            .success(
                .accepted(
                    Receipt(
                        firstSequence: accepted.firstSequence, stored: Int(accepted.stored),
                        duplicates: Int(accepted.duplicates)))))
        guard !flow.isOpen else { return }
        // While it is held this is an answer to what was sent before, which says nothing about now.
        if flow.heldUntil == nil {
            flow.refusals = 0
            flow.window += 1
            if flow.window > Flow.windowMax {
                flow.window = .max
                act(.log(.info, "the hub stores all messages again"))
            }
        }
        transmitUnsent(now)
    }

    mutating func publishStatus(_ id: UInt64, _ status: HubStatus, now: Int64) {
        guard let publish = publishes[id] else { return }
        if status.isPassing { return hold(id, status, now: now) }
        publishes[id]?.sent = false
        switch status.reason {
        case .tooLarge, .tooMany:
            // Of a batch it may be about the whole. Only a message that is alone is refused for itself.
            if divide(id, bytes: .max, messages: (publish.batch.count + 1) / 2) != nil {
                transmitUnsent(now)
            } else if status.reason == .tooMany {
                hold(id, status, now: now)
            } else {
                end(id, .failure(status.refusal), now: now)
            }
        default: end(id, .failure(status.refusal), now: now)
        }
    }

    /// Ends a publish that the hub did not accept. Another may have its place.
    private mutating func end(_ id: UInt64, _ result: Result<Answer, ClientError>, now: Int64) {
        guard let publish = publishes.removeValue(forKey: id) else { return }
        answer(publish, result)
        if !flow.isOpen { transmitUnsent(now) }
    }

    /// The hub can store nothing for the moment: what it did not accept is kept.
    private mutating func hold(_ id: UInt64, _ status: HubStatus, now: Int64) {
        flow.refusal = status.text
        if flow.isOpen { act(.log(.warning, "messages are kept, the hub stores none now: \(status.text)")) }
        // Of batches sent together all may be refused; that is one refusal.
        if flow.heldUntil == nil {
            flow.window = max(1, min(flow.window, publishes.count { $1.sent }) / 2)
            flow.refusals += 1
            // It may be allowed more meanwhile, or have another hub: it asks again after a while, whatever it was told.
            let pause = max(flow.pause, min(status.retryAfter, 10_000))
            flow.heldUntil = now + pause
            wake(at: now + pause)
        }
        publishes[id]?.sent = false
        guard let publish = publishes[id], publish.gate == .spooling else { return }
        publishes[id] = nil
        answer(publish, .failure(.timedOut("the hub stores nothing now: \(status.text)")))
    }

    // MARK: Session and time

    mutating func losePublishes(_ now: Int64) {
        flow.heldUntil = nil
        for id in publishes.keys.sorted() {
            guard var publish = publishes[id] else { continue }
            if publish.gate == .spooling {
                publishes[id] = nil
                answer(publish, .failure(.timedOut("the connection to the hub was lost")))
            } else {
                publish.wasLost = publish.wasLost || publish.sent
                publish.sent = false
                publishes[id] = publish
            }
        }
    }

    mutating func resumePublishes(_ now: Int64) { transmitUnsent(now) }

    mutating func tickPublishes(_ now: Int64) {
        if let until = flow.heldUntil {
            if now >= until { flow.heldUntil = nil } else { wake(at: until) }
        }
        var late: [UInt64] = []
        for (id, publish) in publishes {
            if now >= publish.deadline { late.append(id) } else { wake(at: publish.deadline) }
        }
        for id in late.sorted() {
            guard let publish = publishes[id] else { continue }
            end(id, .failure(.timedOut(whyLate(publish))), now: now)
        }
        if !flow.isOpen { transmitUnsent(now) }
    }

    private func whyLate(_ publish: Publish) -> String {
        let why =
            if !isLive {
                noHub
            } else if !publish.sent {
                "the hub at \(configuration.endpoint) still refuses, \(flow.refusal)"
            } else if flow.isOpen {
                "the hub at \(configuration.endpoint) has not answered in time"
            } else {
                "the hub at \(configuration.endpoint) has not answered in time; before, it refused, \(flow.refusal)"
            }
        let what =
            publish.sent || publish.wasLost
            ? "it is not known whether \(publish.batch.count) messages are stored"
            : "\(publish.batch.count) messages are not stored"
        return "\(what); publish them again with the same ids: \(why)"
    }

    mutating func closePublishes() {
        for id in publishes.keys.sorted() {
            if let publish = publishes.removeValue(forKey: id) { answer(publish, .failure(.closed)) }
        }
    }
}

extension Receipt {
    /// Adds what became of other messages.
    mutating func add(_ next: Receipt) {
        if next.firstSequence > 0, firstSequence == 0 || next.firstSequence < firstSequence { firstSequence = next.firstSequence }
        stored += next.stored
        duplicates += next.duplicates
    }
}
