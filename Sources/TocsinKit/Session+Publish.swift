import TocsinProto
import TocsinWire

extension Session {
    /// A batch that the hub has not accepted yet.
    struct Publish {
        var batch: EncodedBatch
        var waiter: Waiter
        var deadline: Int64
        var gate: PublishGate
        var sent = false
        /// After a refusal that will pass: when to send it again.
        var retryAt: Int64?
        var refusals = 0
    }

    /// Sends the batch as soon as there is a session, and again on each new one, until it is accepted, refused or late. One
    /// of the spooling gate is answered `timedOut` as soon as the hub turns out to be away.
    mutating func publish(
        _ batch: EncodedBatch, id: UInt64, waiter: Waiter, deadline: Int64, gate: PublishGate, now: Int64
    ) {
        var publish = Publish(batch: batch, waiter: waiter, deadline: deadline, gate: gate)
        switch phase {
        case .off: return end(publish, .failure(.closed))
        case .live: transmit(&publish, id: id, now: now)
        case .pausing, .connecting:
            if gate == .spooling { return end(publish, .failure(.timedOut("the hub is away"))) }
        }
        publishes[id] = publish
        wake(at: deadline)
    }

    private mutating func transmit(_ publish: inout Publish, id: UInt64, now: Int64) {
        publish.sent = true
        publish.retryAt = nil
        send(.publish, id: id, count: publish.batch.count, body: [publish.batch.body], now: now)
    }

    private mutating func end(_ publish: Publish, _ result: Result<Answer, ClientError>) {
        act(.published(publish.waiter, result, bytes: publish.batch.body.count, gate: publish.gate))
    }

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
        let receipt = Receipt(
            firstSequence: accepted.firstSequence, stored: Int(accepted.stored), duplicates: Int(accepted.duplicates))
        end(publish, .success(.accepted(receipt)))
    }

    mutating func publishStatus(_ id: UInt64, _ status: HubStatus, now: Int64) {
        guard var publish = publishes[id] else { return }
        let passes =
            switch status.reason {
            case .storageFailed, .shuttingDown: true
            // More is pending than the hub takes; a batch that is too long in itself stays so.
            case .tooMany: publish.batch.count <= limits.batch
            default: false
            }
        guard passes else {
            publishes[id] = nil
            return end(publish, .failure(status.refusal))
        }
        if publish.gate == .spooling {
            publishes[id] = nil
            return end(publish, .failure(.timedOut("\(status.reason.name): \(status.message)")))
        }
        let retryAt = now + min(1000, 25 << Int64(min(publish.refusals, 6)))
        publish.sent = false
        publish.retryAt = retryAt
        publish.refusals += 1
        publishes[id] = publish
        wake(at: retryAt)
    }

    mutating func losePublishes(_ now: Int64) {
        for id in publishes.keys.sorted() {
            guard var publish = publishes[id] else { continue }
            if publish.gate == .spooling {
                publishes[id] = nil
                end(publish, .failure(.timedOut("the connection to the hub was lost")))
            } else {
                publish.sent = false
                publishes[id] = publish
            }
        }
    }

    /// In the order they were first published.
    mutating func resumePublishes(_ now: Int64) {
        for id in publishes.keys.sorted() {
            guard var publish = publishes[id] else { continue }
            transmit(&publish, id: id, now: now)
            publishes[id] = publish
        }
    }

    mutating func tickPublishes(_ now: Int64) {
        var late: [UInt64] = []
        var again: [UInt64] = []
        for (id, publish) in publishes {
            if now >= publish.deadline {
                late.append(id)
                continue
            }
            wake(at: publish.deadline)
            guard let retryAt = publish.retryAt, isLive else { continue }
            if now >= retryAt { again.append(id) } else { wake(at: retryAt) }
        }
        for id in late.sorted() {
            guard let publish = publishes.removeValue(forKey: id) else { continue }
            let state = isLive ? "the hub has not accepted it in time" : "there is no hub at \(configuration.endpoint)"
            end(publish, .failure(.timedOut("\(publish.batch.count) messages: \(state); whether they are stored is not known")))
        }
        for id in again.sorted() {
            guard var publish = publishes[id] else { continue }
            transmit(&publish, id: id, now: now)
            publishes[id] = publish
        }
    }

    mutating func closePublishes() {
        for id in publishes.keys.sorted() {
            if let publish = publishes[id] { end(publish, .failure(.closed)) }
        }
        publishes.removeAll()
    }
}
