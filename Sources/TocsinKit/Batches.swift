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
                throw .refused(
                    .tooLarge, "message of \(size) bytes; the hub takes at most \(limits.messageBytes)", index: index)
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

extension DeliveryBatch {
    /// Decodes the batch, on the caller's thread.
    ///
    /// - Throws: `ClientError.protocolViolation` if the hub sent what cannot be read.
    public func deliveries() throws -> [Delivery] {
        var deliveries: [Delivery] = []
        deliveries.reserveCapacity(count)
        try readMessages(body, expected: count) { index, message in
            let entry = DeliveryEntry(table.buffer, at: index)
            deliveries.append(
                Delivery(
                    message: message, sequence: entry.sequence, token: entry.token, attempt: Int(entry.attempt),
                    session: session))
        }
        return deliveries
    }
}

/// Decodes the envelopes of a length-prefixed frame that must hold exactly `expected`.
///
/// - Throws: `ClientError.protocolViolation`.
func readMessages(_ body: Bytes, expected: Int, _ each: (Int, Message) -> Void) throws(ClientError) {
    do {
        let seen = try LengthPrefixed.forEach(in: body.buffer) { index, _, bytes throws(WireError) in
            guard index < expected else { return }
            each(index, try EnvelopeCoding.read(bytes))
        }
        guard seen == expected else {
            throw WireError(.badLengthPrefix, "\(seen) messages for a table of \(expected) rows")
        }
    } catch {
        throw .protocolViolation("the hub sent messages that cannot be read: \(error)")
    }
}
