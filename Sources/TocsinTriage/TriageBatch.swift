import TocsinKit
import TocsinPolicy
import TocsinProto
import TocsinWire

/// What to do with one delivery.
enum TriageOutcome: Sendable, Equatable {
    case ack
    case retry(after: Duration, reason: String)
    /// It can never succeed; it becomes a dead letter with this reason.
    case reject(reason: String)
}

/// A batch of deliveries on its way: what is to be published, which deliveries each message stands for, and what is already
/// decided. Nothing is acknowledged before the message that carries it is stored.
struct TriageBatch: Sendable {
    /// With, for each, the indices of the deliveries it stands for.
    private(set) var messages: [(message: Message, deliveries: [Int])] = []
    /// One for each delivery; nil: not decided yet.
    private(set) var outcomes: [TriageOutcome?]
    /// Which attempt each delivery is, from 1.
    private let attempts: [Int]

    /// In one publish; below the protocol's bounds, so that a large batch does not wait in one piece.
    private static let publishMessagesMax = 1000
    private static let publishBytesMax = 4 << 20
    /// What an envelope adds to its payload at most: id, subject, key, type, framing.
    private static let envelopeBytes = 1024

    /// Judges deliveries; pure but for what `triage` learns. `now`: milliseconds since 1970; `indicators`: what threat intelligence
    /// says of an event.
    init(
        _ deliveries: [(message: Message, attempt: Int)], triage: inout Triage, now: UInt64,
        indicators: (Tocsin_V1_Event) -> IndicatorFindings = { _ in .none }
    ) {
        attempts = deliveries.map(\.attempt)
        outcomes = Array(repeating: nil, count: deliveries.count)
        var inputs: [TriageInput] = []
        var places: [Int] = []
        /// Of each input; as it came, so that it is not encoded again.
        var events: [[UInt8]] = []
        inputs.reserveCapacity(deliveries.count)
        places.reserveCapacity(deliveries.count)
        events.reserveCapacity(deliveries.count)
        for (index, delivery) in deliveries.enumerated() {
            do {
                var event = try delivery.message.decode(Tocsin_V1_Event.self)
                var encoded = delivery.message.payload
                if event.id.isEmpty {
                    // The archive tells events apart by id, so one without must not be taken for another.
                    event.id = delivery.message.id.idText
                    encoded = try event.serializedBytes()
                }
                inputs.append(
                    TriageInput(
                        event: event, subject: delivery.message.subject, size: encoded.count, indicators: indicators(event)))
                places.append(index)
                events.append(encoded)
            } catch {
                outcomes[index] = .reject(
                    reason: "the payload on \(delivery.message.subject) is not a tocsin.v1.Event: \(error)")
            }
        }
        for planned in triage.plan(for: inputs, now: now) {
            let deliveries = planned.inputs.map { places[$0] }
            do {
                messages.append((try Self.message(for: planned.update, planned.events.map { events[$0] }), deliveries))
            } catch {
                for index in deliveries { outcomes[index] = .reject(reason: "\(error)") }
            }
        }
    }

    /// Publishes and decides every delivery. Returns one outcome for each, in order; never throws: what fails is retried
    /// later or, where it can never succeed, rejected alone.
    consuming func settle(publish: ([Message]) async throws -> Void) async -> [TriageOutcome] {
        var outcomes = outcomes
        var rest = messages[...]
        // Each round publishes or drops at least one message.
        while !rest.isEmpty {
            let count = Self.chunkCount(rest)
            let chunk = rest.prefix(count)
            do {
                try await publish(chunk.map(\.message))
                for (_, deliveries) in chunk { for index in deliveries { outcomes[index] = .ack } }
                rest = rest.dropFirst(count)
            } catch ClientError.refused(let reason, let text, let position)
                where Self.isPermanent(reason) && chunk.indices.contains(chunk.startIndex + position)
            {
                // None of the chunk was stored. The one that is wrong goes, the others are tried again.
                let wrong = chunk.startIndex + position
                for index in rest[wrong].deliveries {
                    outcomes[index] = .reject(reason: "the hub refused its alert, \(reason.name): \(text)")
                }
                rest = (rest[..<wrong] + rest[(wrong + 1)...])[...]
            } catch {
                // The hub is away or in trouble: what is left would fare no better.
                for (_, deliveries) in rest {
                    for index in deliveries {
                        outcomes[index] = .retry(
                            after: Self.delay(attempts[index]), reason: "its alert was not stored: \(error)")
                    }
                }
                rest = []
            }
        }
        return outcomes.map { $0 ?? .retry(after: .seconds(1), reason: "no alert was made of it") }
    }

    /// `events`: encoded; the update has none.
    private static func message(for update: Tocsin_V1_AlertUpdate, _ events: [[UInt8]]) throws -> Message {
        let severity = WireSeverity(rawValue: UInt8(clamping: update.severity.rawValue)) ?? .info
        let subject = "alert.\(severity).\(Subject.token(update.service))"
        func encode(_ update: Tocsin_V1_AlertUpdate) throws -> Message {
            var message = try Message(
                update, id: Array(update.id.utf8), subject: subject,
                // What troubles nobody does not stand in the way of what does.
                severity: update.disposition == .suppressed ? .info : severity, key: update.fingerprint)
            message.payload.reserveCapacity(events.reduce(message.payload.count) { $0 + $1.count + 6 })
            for event in events { append(event, to: &message.payload) }
            return message
        }
        var message = try encode(update)
        if message.payload.count + envelopeBytes > Limits.messageBytes {
            // The labels and the text are in the event as well.
            var bare = update
            bare.labels = [:]
            message = try encode(bare)
        }
        guard message.payload.count + envelopeBytes <= Limits.messageBytes else {
            throw PolicyProblem(
                "the event is too large: with its alert it needs \(message.payload.count + envelopeBytes) bytes, a message has at most \(Limits.messageBytes); send less detail"
            )
        }
        return message
    }

    /// One more of the field `events` of an encoded `AlertUpdate`: fields may come in any order.
    private static func append(_ event: [UInt8], to update: inout [UInt8]) {
        // Field 12, and what is delimited by its length.
        update.append(12 << 3 | 2)
        var length = event.count
        while length >= 0x80 {
            update.append(UInt8(truncatingIfNeeded: length) | 0x80)
            length >>= 7
        }
        update.append(UInt8(length))
        update += event
    }

    private static func chunkCount(_ messages: ArraySlice<(message: Message, deliveries: [Int])>) -> Int {
        var count = 0
        var bytes = 0
        for (message, _) in messages.prefix(publishMessagesMax) {
            bytes += message.payload.count + envelopeBytes
            if count > 0, bytes > publishBytesMax { break }
            count += 1
        }
        return count
    }

    /// Whether the same message would be refused again.
    private static func isPermanent(_ reason: Reason) -> Bool {
        switch reason {
        case .tooLarge, .badEnvelope, .badBody, .badLengthPrefix: true
        default: false
        }
    }

    /// 1 s, doubled with each attempt up to a minute.
    private static func delay(_ attempt: Int) -> Duration { .seconds(min(60, 1 << max(0, min(attempt - 1, 6)))) }
}
