import SwiftProtobuf
public import TocsinProto

/// What is made of Riemann's events, where nothing else is configured.
public struct RiemannPolicy: Sendable, Equatable {
    /// States that are the end of what was wrong; every other state is a trigger.
    public var okStates: Set<String> = ["ok"]
    /// Pairs of host and service in the index.
    public var most = 100_000
    /// Texts in the index, bytes; of further events only host, service and state are in it.
    public var mostBytes = 64 << 20
    /// Of events in one message.
    public var mostEvents = 10_000
    /// Found by one query.
    public var mostFound = 10_000
    public var mapping = Mapping.standard(.riemann)

    public init() {}
}

/// Riemann's server: makes events of what clients tell, answers them, and notices what is told no more. Pure; times are
/// milliseconds of a clock that does not go back.
///
/// | event | becomes |
/// |---|---|
/// | with a state that is not ok | a trigger, each time |
/// | with a state that is ok | a resolve, unless the index has the same pair as ok already |
/// | without a state | nothing, as it is a measurement; what had expired is resolved |
/// | with a ttl that runs out, counted from its arrival | a trigger with the state `expired`, once |
public struct RiemannIntake: Sendable {
    /// What became of messages since the start.
    public struct Counts: Sendable, Equatable {
        public var messages: UInt64 = 0
        /// Messages of which nothing could be taken.
        public var malformed: UInt64 = 0
        public var events: UInt64 = 0
        /// Events for whose pair there was no room: that it falls silent is not noticed.
        public var unindexed: UInt64 = 0
        public var expired: UInt64 = 0
    }
    /// What is to be done with one message: publish `events`, and when the hub has them give `answer`.
    public struct Reply: Sendable {
        public var events: [Tocsin_V1_Event] = []
        public var answer = Riemann_Msg()
    }

    private struct Pair: Hashable {
        var host: String
        var service: String
    }
    private struct Known {
        var event: Riemann_Event
        /// Of the event's texts.
        var bytes = 0
        /// Nil: it holds for ever, or has expired.
        var expiresAt: UInt64?
        var isOK: Bool
        var hasExpired = false
    }

    private let policy: RiemannPolicy
    private var index: [Pair: Known] = [:]
    /// Of all of them.
    private var indexBytes = 0
    public private(set) var counts = Counts()
    private var unindexedTold: UInt64 = 0

    public init(_ policy: RiemannPolicy) { self.policy = policy }

    /// Pairs in the index.
    public var indexed: Int { index.count }

    /// Takes one message as it came; what cannot be understood is answered with `ok: false` and why.
    public mutating func take(_ bytes: [UInt8], now: UInt64, wallClock: UInt64) -> Reply {
        counts.messages += 1
        let message: Riemann_Msg
        do {
            let count = try Self.countOfEvents(bytes)
            guard count <= policy.mostEvents else {
                return refuse("\(count) events in one message; at most \(policy.mostEvents) are taken")
            }
            message = try Riemann_Msg(serializedBytes: bytes, partial: true)
        } catch { return refuse("the message is no Msg of Riemann's protocol") }
        if !message.states.isEmpty { return refuse("states are of an older protocol; send events") }
        var reply = Reply()
        reply.answer.ok = true
        if message.hasQuery {
            do throws(RiemannQuery.Problem) {
                let query = try RiemannQuery(message.query.string)
                var work = RiemannQuery.workMost
                for known in index.values where try query.matches(known.event, work: &work) {
                    reply.answer.events.append(known.event)
                    if reply.answer.events.count > policy.mostFound { break }
                }
            } catch { return refuse(error.description) }
            guard reply.answer.events.count <= policy.mostFound else {
                return refuse("the query finds more than \(policy.mostFound) events; ask for fewer")
            }
        }
        for event in message.events {
            counts.events += 1
            if let made = take(event, now: now, wallClock: wallClock) { reply.events.append(made) }
        }
        return reply
    }

    /// The hub did not take these events: what they told counts as not told. That they stop is noticed all the same.
    public mutating func forget(_ events: [Tocsin_V1_Event]) {
        for event in events {
            let pair = Pair(host: event.labels["host"] ?? "", service: event.labels["service"] ?? "")
            index[pair]?.isOK = false
        }
    }

    /// Of the pairs of which nothing was heard for as long as their events held.
    public mutating func expire(now: UInt64, wallClock: UInt64) -> [Tocsin_V1_Event] {
        let silent = index.compactMap { pair, known in known.expiresAt.flatMap { $0 <= now ? (at: $0, pair, known.event) : nil } }
        return silent.sorted { $0.at < $1.at }.map { _, pair, last in
            var event = last
            event.state = "expired"
            event.description_p = "nothing was heard for \(last.ttl) s; the last was: \(Self.said(last))"
            event.timeMicros = Int64(clamping: wallClock * 1000)
            remember(Known(event: event, expiresAt: nil, isOK: false, hasExpired: true), as: pair)
            counts.expired += 1
            return made(event, wallClock: wallClock)
        }
    }

    /// How many events had no room in the index since this was asked for last.
    public mutating func takeUnindexed() -> UInt64 {
        defer { unindexedTold = counts.unindexed }
        return counts.unindexed - unindexedTold
    }

    private mutating func refuse(_ reason: String) -> Reply {
        counts.malformed += 1
        var reply = Reply()
        reply.answer.ok = false
        reply.answer.error = reason
        return reply
    }

    // MARK: One event

    private mutating func take(_ received: Riemann_Event, now: UInt64, wallClock: UInt64) -> Tocsin_V1_Event? {
        let event = Self.bounded(received)
        let pair = Pair(host: event.host, service: event.service)
        let before = index[pair]
        let isMeasurement = event.state.isEmpty
        let isOK = isMeasurement ? (before?.isOK ?? false) || before?.hasExpired == true : policy.okStates.contains(event.state)
        // Whoever means longer than a century means for ever.
        let ttl = event.ttl > 0 && Double(event.ttl) < 3_155_760_000 ? UInt64(event.ttl * 1000) : nil
        if before == nil, index.count >= policy.most {
            counts.unindexed += 1
        } else {
            remember(Known(event: event, expiresAt: ttl.map { now + $0 }, isOK: isOK), as: pair)
        }
        if isMeasurement { return before?.hasExpired == true ? made(event, wallClock: wallClock, kind: .resolve) : nil }
        if isOK, before?.isOK == true { return nil }
        return made(event, wallClock: wallClock, kind: isOK ? .resolve : .trigger)
    }

    private mutating func remember(_ known: Known, as pair: Pair) {
        var known = known
        indexBytes -= index[pair]?.bytes ?? 0
        known.bytes = known.event.textBytes
        if indexBytes + known.bytes > policy.mostBytes {
            known.event.clearDescription_p()
            known.event.tags = []
            known.event.attributes = []
            known.bytes = known.event.textBytes
        }
        indexBytes += known.bytes
        index[pair] = known
    }

    private func made(
        _ event: Riemann_Event, wallClock: UInt64, kind: Tocsin_V1_EventKind = .trigger
    ) -> Tocsin_V1_Event {
        var observation = Observation()
        observation.kind = kind
        observation.source = event.host
        let description = event.description_p
        observation.summary = description.isEmpty ? Self.said(event) : description
        observation.severity = event.state
        observation.dedupKey = EventID.of(["riemann", event.host, event.service])
        // Beyond this no clock of today is right.
        let isTime = event.time > 0 && event.time < 1 << 40
        let time = event.hasTimeMicros ? event.timeMicros / 1000 : isTime ? event.time * 1000 : 0
        observation.observedAt = time > 0 ? UInt64(time) : wallClock
        for attribute in event.attributes { observation.labels[attribute.key] = attribute.value }
        observation.labels["host"] = event.host
        observation.labels["service"] = event.service
        var details = ["state": event.state]
        if let metric = event.metric { details["metric"] = "\(metric)" }
        if event.hasTtl { details["ttl"] = "\(event.ttl)" }
        if !event.tags.isEmpty { details["tags"] = event.tags.joined(separator: " ") }
        if description.utf8.count > policy.mapping.bounds.summaryBytes || description.contains("\n") {
            details["description"] = description
        }
        observation.details = details
        return policy.mapping.event(.riemann, observation, now: wallClock)
    }

    /// What an event without a description says.
    private static func said(_ event: Riemann_Event) -> String {
        let subject = "\(event.service.isEmpty ? "?" : event.service) on \(event.host.isEmpty ? "?" : event.host)"
        let state = event.state.isEmpty ? "" : " is \(event.state)"
        return subject + state + (event.metric.map { " (\($0))" } ?? "")
    }

    /// What is kept of an event, so that the index is bounded in bytes, too.
    private static func bounded(_ received: Riemann_Event) -> Riemann_Event {
        var event = received
        event.unknownFields = UnknownStorage()
        if event.host.utf8.count > 255 { event.host = event.host.cut(to: 255) }
        if event.service.utf8.count > 255 { event.service = event.service.cut(to: 255) }
        if event.state.utf8.count > 64 { event.state = event.state.cut(to: 64) }
        if event.description_p.utf8.count > 4096 { event.description_p = event.description_p.cut(to: 4096) }
        event.tags = event.tags.prefix(32).map { $0.cut(to: 128) }
        event.attributes = event.attributes.prefix(32).map { attribute in
            .with {
                $0.key = attribute.key.cut(to: 128)
                $0.value = attribute.value.cut(to: 1024)
            }
        }
        return event
    }

    // MARK: Bytes

    private struct Malformed: Error {}

    /// How many events a message has, without making them: two bytes can stand for one.
    static func countOfEvents(_ bytes: [UInt8]) throws -> Int {
        var at = 0
        func varint() throws -> UInt64 {
            var (value, shift): (UInt64, UInt64) = (0, 0)
            while true {
                guard at < bytes.count, shift < 64 else { throw Malformed() }
                let byte = bytes[at]
                at += 1
                value |= UInt64(byte & 0x7F) << shift
                if byte < 0x80 { return value }
                shift += 7
            }
        }
        var count = 0
        while at < bytes.count {
            let tag = try varint()
            switch tag & 7 {
            case 0: _ = try varint()
            case 1: at += 8
            case 5: at += 4
            case 2:
                let length = try varint()
                guard length <= UInt64(bytes.count - at) else { throw Malformed() }
                at += Int(length)
                // Field 4, states, is as cheap.
                if tag >> 3 == 6 || tag >> 3 == 4 { count += 1 }
            default: throw Malformed()
            }
        }
        guard at == bytes.count else { throw Malformed() }
        return count
    }
}

extension Riemann_Event {
    /// Bytes of all its texts.
    fileprivate var textBytes: Int {
        host.utf8.count + service.utf8.count + state.utf8.count + description_p.utf8.count
            + tags.reduce(0) { $0 + $1.utf8.count } + attributes.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
    }
}
