import TocsinProto
import TocsinWire

/// What a tap has received at once: messages, decoded when they are asked for, or a gap.
enum TapChunk: Sendable {
    case messages(table: Bytes, body: Bytes)
    case gap(first: UInt64, last: UInt64, reason: String)

    /// Messages; a gap weighs as one.
    var count: Int {
        switch self {
        case .messages(let table, _): table.count / 8
        case .gap: 1
        }
    }
}

extension Session {
    /// A subscription or a tap. It stays, across connections, until its consumer closes it.
    struct Stream {
        enum Kind {
            case subscription(pool: String)
            case tap(TapProgress)
        }
        var kind: Kind
        /// Messages the consumer may hold.
        var credit: Int
        /// Nil once the hub has taken it the first time.
        var waiter: Waiter?
        var deadline: Int64
        /// The hub cannot take it now, or refused what it had taken before: when to ask again, and what it said.
        var retryAt: Int64?
        var refusal: String?

        /// What it is, for people.
        var name: String {
            switch kind {
            case .subscription(let pool): "the subscription to \(pool)"
            case .tap(let progress): "the tap of \(progress.filters.joined(separator: ", "))"
            }
        }
    }

    struct TapProgress {
        var filters: [String]
        var start: TapStart
        /// Of the last message or gap received.
        var last: UInt64?
        /// Messages the hub may still send.
        var granted = 0
        /// Messages received that the consumer has not taken yet.
        var held = 0
    }

    mutating func subscribe(pool: String, credit: Int, id: UInt64, waiter: Waiter, deadline: Int64, now: Int64) {
        open(
            Stream(kind: .subscription(pool: pool), credit: credit, waiter: waiter, deadline: deadline), id: id, now: now)
    }

    mutating func tap(
        _ filters: [String], from start: TapStart, credit: Int, id: UInt64, waiter: Waiter, deadline: Int64, now: Int64
    ) {
        let progress = TapProgress(filters: filters, start: start)
        open(Stream(kind: .tap(progress), credit: credit, waiter: waiter, deadline: deadline), id: id, now: now)
    }

    private mutating func open(_ stream: Stream, id: UInt64, now: Int64) {
        guard let waiter = stream.waiter else { return }
        guard phase != .off else { return refuse(id, waiter, .closed) }
        guard streams.count < Limits.subscriptions else {
            let message =
                "this client has \(streams.count) subscriptions and taps open, as many as there may be; close one or use another"
                + " client"
            return refuse(id, waiter, .refused(.tooMany, message, index: 0))
        }
        streams[id] = stream
        wake(at: stream.deadline)
        if isLive { transmit(id, now: now) }
    }

    /// Also ended, so that nothing is kept of it.
    private mutating func refuse(_ id: UInt64, _ waiter: Waiter, _ error: ClientError) {
        act(.answer(waiter, .failure(error)))
        act(.endStream(id, nil))
    }

    private mutating func transmit(_ id: UInt64, now: Int64) {
        guard var stream = streams[id] else { return }
        stream.retryAt = nil
        do {
            switch stream.kind {
            case .subscription(let pool):
                let body = Tocsin_V1_Subscribe.with {
                    $0.pool = pool
                    $0.credit = UInt32(clamping: stream.credit)
                }
                send(.subscribe, id: id, body: [Bytes(try body.serializedBytes())], now: now)
            case .tap(var progress):
                // A consumer that holds all it may still gets one more: a credit of nothing is refused.
                progress.granted = max(1, stream.credit - progress.held)
                let body = Tocsin_V1_Tap.with {
                    $0.filters = progress.filters
                    $0.credit = UInt32(clamping: progress.granted)
                    if let last = progress.last {
                        $0.sequence = last == .max ? last : last + 1
                    } else {
                        switch progress.start {
                        case .live: break
                        case .sequence(let sequence): $0.sequence = sequence
                        case .time(let time): $0.time = time
                        }
                    }
                }
                stream.kind = .tap(progress)
                send(.tap, id: id, body: [Bytes(try body.serializedBytes())], now: now)
            }
            streams[id] = stream
        } catch {
            end(id, .badOption("a name or filter cannot be encoded: \(error)"))
        }
    }

    /// Ends a stream for the reason given: to its opener if it was never taken, else to its consumer.
    private mutating func end(_ id: UInt64, _ error: ClientError) {
        guard let stream = streams.removeValue(forKey: id) else { return }
        if let waiter = stream.waiter { act(.answer(waiter, .failure(error))) }
        act(.endStream(id, stream.waiter == nil ? error : nil))
    }

    private mutating func opened(_ id: UInt64) {
        guard let waiter = streams[id]?.waiter else { return }
        streams[id]?.waiter = nil
        act(.answer(waiter, .success(.done)))
    }

    mutating func streamStatus(_ id: UInt64, _ status: HubStatus, now: Int64) {
        guard let stream = streams[id] else { return }
        if status.reason == .ok { return opened(id) }
        // What the key may not do any more is not asked for again.
        let isFinal = status.reason == .notAllowed || (stream.waiter != nil && !status.isPassing)
        if isFinal { return end(id, status.refusal) }
        // Taken before, refused now: the pool may be declared again soon, by another client.
        let pause: Int64 = stream.waiter == nil ? 1000 : 250
        if stream.waiter == nil {
            act(.log(.warning, "the hub refused \(stream.name), asking again in \(pause) ms: \(status.text)"))
        }
        streams[id]?.refusal = status.text
        streams[id]?.retryAt = now + pause
        wake(at: now + pause)
    }

    mutating func delivered(_ header: Header, table: Bytes, body: Bytes, now: Int64) {
        guard case .subscription = streams[header.id]?.kind else { return }
        guard table.count == Int(header.count) * DeliveryEntry.size, header.count > 0 else {
            return violation("a delivery table of \(table.count) bytes for \(header.count) messages", now: now)
        }
        if let problem = framing(of: body, count: Int(header.count)) { return violation(problem, now: now) }
        opened(header.id)
        act(.deliver(subscription: header.id, DeliveryBatch(table: table, body: body, session: number)))
    }

    mutating func tapped(_ header: Header, table: Bytes, body: Bytes, now: Int64) {
        guard case .tap(var progress) = streams[header.id]?.kind else { return }
        let count = Int(header.count)
        guard table.count == count * 8, count > 0, count <= progress.granted else {
            return violation(
                "a table of \(table.count) bytes for \(count) messages with a credit of \(progress.granted)", now: now)
        }
        if let problem = framing(of: body, count: count) { return violation(problem, now: now) }
        opened(header.id)
        progress.granted -= count
        progress.held += count
        progress.last = table.buffer.bigEndian(UInt64.self, at: (count - 1) * 8)
        streams[header.id]?.kind = .tap(progress)
        act(.tapped(tap: header.id, .messages(table: table, body: body)))
    }

    /// What is wrong with the prefixes of a frame of `count` messages.
    private func framing(of body: Bytes, count: Int) -> String? {
        do {
            let seen = try LengthPrefixed.forEach(in: body.buffer) { (_, _, _) in }
            return seen == count ? nil : "\(seen) messages for a table of \(count) rows"
        } catch {
            return error.description
        }
    }

    mutating func gap(_ id: UInt64, _ body: Bytes, now: Int64) {
        guard case .tap(var progress) = streams[id]?.kind else { return }
        do {
            let gap = try Tocsin_V1_Gap(serializedBytes: body.array)
            opened(id)
            progress.last = max(progress.last ?? 0, gap.last)
            streams[id]?.kind = .tap(progress)
            act(.tapped(tap: id, .gap(first: gap.first, last: gap.last, reason: gap.reason)))
        } catch {
            violation("gap: \(error)", now: now)
        }
    }

    /// The consumer of a tap has taken `count` messages. Gives credit back when half of it can be given.
    mutating func consumed(_ count: Int, tap id: UInt64, now: Int64) {
        guard case .tap(var progress) = streams[id]?.kind, let credit = streams[id]?.credit else { return }
        progress.held = max(0, progress.held - count)
        let room = credit - progress.held - progress.granted
        if isLive, room > 0, room >= credit / 2 {
            progress.granted += room
            send(.credit, id: id, count: room, now: now)
        }
        streams[id]?.kind = .tap(progress)
    }

    mutating func closeStream(_ id: UInt64, now: Int64) {
        guard let stream = streams.removeValue(forKey: id) else { return }
        if isLive { send(.unsubscribe, id: id, now: now) }
        if let waiter = stream.waiter { act(.answer(waiter, .failure(.closed))) }
        act(.endStream(id, nil))
    }

    /// Rows of one session for one subscription, at most a batch of them. Those of an earlier session are void.
    mutating func settle(_ chunk: SettleChunk, subscription id: UInt64, now: Int64) {
        guard isLive, chunk.session == number, streams[id] != nil, chunk.rows > 0 else { return }
        var body = [Bytes(chunk.table)]
        if !chunk.reasons.isEmpty { body.append(Bytes(chunk.reasons)) }
        send(.settle, id: id, count: chunk.rows, body: body, now: now)
    }

    mutating func loseStreams(_ now: Int64) {
        for id in streams.keys { streams[id]?.retryAt = nil }
    }

    /// The hub has another journal than before: all of it is new.
    mutating func restartTaps() {
        for id in streams.keys {
            guard case .tap(var progress) = streams[id]?.kind, progress.last != nil else { continue }
            progress.last = 0
            streams[id]?.kind = .tap(progress)
        }
    }

    mutating func resumeStreams(_ now: Int64) {
        for id in streams.keys.sorted() { transmit(id, now: now) }
    }

    mutating func tickStreams(_ now: Int64) {
        for id in streams.keys.sorted() {
            guard let stream = streams[id] else { continue }
            if stream.waiter != nil {
                if now >= stream.deadline {
                    end(id, unanswered(stream.name, refusal: stream.refusal))
                    continue
                }
                wake(at: stream.deadline)
            }
            if let retryAt = stream.retryAt, isLive {
                if now >= retryAt { transmit(id, now: now) } else { wake(at: retryAt) }
            }
        }
    }

    mutating func closeStreams() {
        for id in streams.keys.sorted() {
            if let waiter = streams[id]?.waiter { act(.answer(waiter, .failure(.closed))) }
            act(.endStream(id, nil))
        }
        streams.removeAll()
    }
}
