import TocsinWire

/// The bounds of the hub this client is connected to, from its welcome; the protocol's own before that.
struct HubLimits: Sendable, Equatable {
    var messageBytes = Limits.messageBytes
    var bodyBytes = Limits.bodyBytes
    var batch = Limits.batch

    init() {}

    /// 0 means that the hub does not say; more than the protocol's bound is cut to that.
    init(messageBytes: UInt32, bodyBytes: UInt32, batch: UInt32) {
        if messageBytes > 0 { self.messageBytes = min(Int(messageBytes), Limits.messageBytes) }
        if bodyBytes > 0 { self.bodyBytes = min(Int(bodyBytes), Limits.bodyBytes) }
        if batch > 0 { self.batch = min(Int(batch), Limits.batch) }
    }
}

/// Length-prefixed envelopes, ready to be the body of a `publish`.
struct EncodedBatch: Sendable {
    var body: Bytes
    var count: Int
}

extension EncodedBatch {
    /// A batch is closed at this size, so that one publisher's large messages do not hold up the others' for long.
    private static let targetBytes = 2 << 20

    /// Encodes as many of `messages` from `start` on as go into one batch; at least one.
    ///
    /// - Throws: `ClientError.refused` with the index in `messages` of one that can never be stored.
    init(_ messages: [Message], from start: Int, limits: HubLimits, now: UInt64) throws(ClientError) {
        let bodyMax = max(limits.bodyBytes, LengthPrefixed.prefixSize + 1)
        let target = min(Self.targetBytes, bodyMax)
        var writer = ByteWriter(capacity: min(target, (messages.count - start) * 512))
        var index = start
        while index < messages.count, index - start < limits.batch {
            let publishedAt = messages[index].publishedAt == 0 ? now : messages[index].publishedAt
            let size = EnvelopeCoding.size(messages[index], publishedAt: publishedAt)
            let framed = size + LengthPrefixed.prefixSize
            guard size <= limits.messageBytes, framed <= bodyMax else {
                // Those before it are sent first: they are in order, and the caller learns of this one next.
                if index > start { break }
                let most = min(limits.messageBytes, bodyMax - LengthPrefixed.prefixSize)
                throw .refused(
                    .tooLarge,
                    "a message of \(size) bytes on \(messages[index].subject); the hub takes at most \(most), send less in it",
                    index: index)
            }
            if index > start, writer.count + framed > target { break }
            let position = writer.extend(by: framed)
            position.storeBytes(of: 0, as: UInt8.self)
            position.storeBigEndian(UInt32(size), at: 1)
            EnvelopeCoding.write(messages[index], publishedAt: publishedAt, to: position + LengthPrefixed.prefixSize)
            index += 1
        }
        count = index - start
        body = writer.finish()
    }
}

extension EncodedBatch {
    /// The same messages, in order, in batches of at most so many bytes and messages. A message over the bounds is alone. Only
    /// itself if it cannot be read.
    func pieces(bytes: Int, messages: Int) -> [EncodedBatch] {
        var pieces: [EncodedBatch] = []
        var start = 0
        var end = 0
        var held = 0
        func close() {
            guard held > 0 else { return }
            pieces.append(EncodedBatch(body: Bytes(copying: body.buffer.part(start, end - start)), count: held))
            start = end
            held = 0
        }
        do {
            let total = try LengthPrefixed.forEach(in: body.buffer, atMost: count) { _, offset, message throws(WireError) in
                let next = offset + LengthPrefixed.prefixSize + message.count
                if next - start > bytes || held >= messages { close() }
                end = next
                held += 1
            }
            close()
            return total == count ? pieces : [self]
        } catch {
            return [self]
        }
    }
}

extension DeliveryBatch {
    /// Decodes the batch, on the caller's thread. What no worker can read, because its publisher did not write an envelope, is
    /// left out and rejected: it becomes a dead letter, and the others are worked on.
    public func deliveries() -> [Delivery] {
        var deliveries: [Delivery] = []
        deliveries.reserveCapacity(count)
        var unreadable: [(Lease, Settlement)] = []
        readMessages(body) { index, message in
            let entry = DeliveryEntry(table.buffer, at: index)
            switch message {
            case .success(let message):
                deliveries.append(
                    Delivery(
                        message: message, sequence: entry.sequence, token: entry.token, attempt: Int(entry.attempt),
                        session: session))
            case .failure(let error):
                let lease = Lease(session: session, sequence: entry.sequence, token: entry.token, isKeyed: true)
                unreadable.append((lease, .reject(reason: "the message cannot be read: \(error)")))
            }
        }
        if !unreadable.isEmpty { mailbox?.settle(unreadable, subscription: subscription) }
        return deliveries
    }
}

/// Decodes the envelopes of a length-prefixed frame whose prefixes were checked when it came.
func readMessages(_ body: Bytes, _ each: (Int, Result<Message, WireError>) -> Void) {
    do {
        _ = try LengthPrefixed.forEach(in: body.buffer) { index, _, bytes throws(WireError) in
            do throws(WireError) {
                each(index, .success(try EnvelopeCoding.read(bytes)))
            } catch {
                each(index, .failure(error))
            }
        }
    } catch {
        assertionFailure("the prefixes were not checked: \(error)")
    }
}
