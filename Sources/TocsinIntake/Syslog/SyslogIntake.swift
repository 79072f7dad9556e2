import DequeModule
public import TocsinProto

/// What is made of syslog messages, where nothing else is configured.
public struct SyslogPolicy: Sendable, Equatable {
    /// What is less bad is no event.
    public var minimum = SyslogSeverity.warning
    /// Messages alike within this many milliseconds after the first are one event more, which has their count; 0: each is one.
    public var collapseMs: UInt64 = 10_000
    /// Syslog does not say that something is over: so many milliseconds without a message alike, and it is. Nil: people say so.
    public var resolveAfterMs: UInt64?
    /// Kinds of messages that are remembered at once.
    public var most = 10_000
    public var mapping = Mapping.standard(.syslog)

    public init() {}
}

/// Makes events of syslog messages, with exact counts: the `count` of the events of one kind add up to the messages there were.
/// Pure; times are milliseconds of any clock that does not go back.
///
/// Alike are messages with the same host, program, message ID and severity, whose texts differ at most in words with digits.
public struct SyslogIntake: Sendable {
    /// What became of messages since the start.
    public struct Counts: Sendable, Equatable {
        public var received: UInt64 = 0
        /// Less bad than `SyslogPolicy.minimum`.
        public var below: UInt64 = 0
        /// Not as RFC 5424 or RFC 3164 have it; taken all the same.
        public var malformed: UInt64 = 0
        /// Longer than the listener takes, cut.
        public var truncated: UInt64 = 0
    }

    private struct Kind: Hashable {
        var host: String
        var app: String
        var messageID: String
        var severity: SyslogSeverity
        var shape: String
    }
    private struct Remembered {
        var event: Tocsin_V1_Event
        /// Messages since the last event.
        var pending: UInt32
        var lastSeen: UInt64
    }

    /// Of a host, a program or a message ID: what RFC 5424 allows at most.
    private static let nameBytes = 255
    private static let commonDetails: Set<String> = ["sender", "severity"]

    private let policy: SyslogPolicy
    private var kinds: [Kind: Remembered] = [:]
    /// When each kind is looked at next, soonest first: all wait equally long.
    private var due: Deque<(at: UInt64, kind: Kind)> = []
    public private(set) var counts = Counts()

    public init(_ policy: SyslogPolicy) { self.policy = policy }

    /// The events that are to be published with a message: none, its own, or those of a kind that had to make room.
    ///
    /// - Parameters:
    ///   - sender: address of the peer, which is the host where the message names none.
    ///   - missing: how many bytes of the message were cut.
    ///   - now: the clock that does not go back.
    ///   - wallClock: milliseconds since 1970.
    public mutating func take(
        _ message: SyslogMessage, missing: Int = 0, from sender: String, now: UInt64, wallClock: UInt64
    ) -> [Tocsin_V1_Event] {
        counts.received += 1
        if !message.isWellFormed { counts.malformed += 1 }
        if missing > 0 { counts.truncated += 1 }
        guard message.severity >= policy.minimum else {
            counts.below += 1
            return []
        }
        let host = message.host.isEmpty ? sender : message.host.cut(to: Self.nameBytes)
        // Daemons that forward leave in front of it the space that stood behind the tag.
        let text = message.text.drop { $0 == " " }
        let kind = Kind(
            host: host, app: message.app.cut(to: Self.nameBytes), messageID: message.messageID.cut(to: Self.nameBytes),
            severity: message.severity, shape: Self.shape(text))
        if kinds[kind] != nil {
            kinds[kind]?.lastSeen = now
            kinds[kind]?.pending += 1
            return []
        }
        let event = Self.event(message, text, kind, sender: sender, missing: missing, policy, wallClock)
        guard policy.collapseMs > 0 else { return [event] }
        var events: [Tocsin_V1_Event] = []
        if kinds.count >= policy.most, let oldest = due.popFirst() {
            events += close(oldest.kind, wallClock: wallClock)
        }
        // Without the evidence of the first, which is not that of the others, and may be long.
        var remembered = event
        remembered.details = remembered.details.filter { Self.commonDetails.contains($0.key) }
        kinds[kind] = Remembered(event: remembered, pending: 0, lastSeen: now)
        due.append((now + policy.collapseMs, kind))
        return events + [event]
    }

    /// The counts of the kinds whose time is over at `now`, and resolutions.
    public mutating func collect(now: UInt64, wallClock: UInt64) -> [Tocsin_V1_Event] {
        var events: [Tocsin_V1_Event] = []
        while let first = due.first, first.at <= now {
            due.removeFirst()
            guard let remembered = kinds[first.kind] else { continue }
            if remembered.pending == 0, policy.resolveAfterMs.map({ remembered.lastSeen + $0 <= now }) ?? true {
                kinds[first.kind] = nil
                if policy.resolveAfterMs != nil { events.append(Self.resolution(remembered.event, wallClock)) }
                continue
            }
            if remembered.pending > 0 { events.append(Self.repetition(remembered, wallClock)) }
            kinds[first.kind]?.pending = 0
            due.append((now + policy.collapseMs, first.kind))
        }
        return events
    }

    /// All counts there are, at the end.
    public mutating func finish(wallClock: UInt64) -> [Tocsin_V1_Event] {
        defer { due.removeAll() }
        return due.flatMap { close($0.kind, wallClock: wallClock) }
    }

    private mutating func close(_ kind: Kind, wallClock: UInt64) -> [Tocsin_V1_Event] {
        guard let remembered = kinds.removeValue(forKey: kind), remembered.pending > 0 else { return [] }
        return [Self.repetition(remembered, wallClock)]
    }

    // MARK: Events

    private static func event(
        _ message: SyslogMessage, _ text: Substring, _ kind: Kind, sender: String, missing: Int, _ policy: SyslogPolicy,
        _ wallClock: UInt64
    ) -> Tocsin_V1_Event {
        var observation = Observation()
        observation.source = kind.host
        observation.summary = text.isEmpty ? message.app : String(text)
        observation.severity = message.severity.keyword
        observation.dedupKey = EventID.of([kind.host, kind.app, kind.messageID, kind.shape])
        observation.observedAt = message.time ?? wallClock
        observation.labels = ["host": kind.host, "facility": message.facilityName]
        if !kind.app.isEmpty { observation.labels["app"] = kind.app }
        if !kind.messageID.isEmpty { observation.labels["message_id"] = kind.messageID }
        var details = ["sender": sender, "severity": message.severity.keyword]
        if message.text.utf8.count > policy.mapping.bounds.summaryBytes || message.text.utf8.contains(0x0A) {
            details["text"] = message.text
        }
        if !message.process.isEmpty { details["process"] = message.process }
        if message.time == nil, !message.timeText.isEmpty { details["device_time"] = message.timeText }
        if !message.isWellFormed { details["well_formed"] = "false" }
        if missing > 0 { details["missing_bytes"] = "\(missing)" }
        var leftOut = 0
        for element in message.elements {
            for (name, value) in element.parameters {
                let name = "\(element.id).\(name)"
                if details[name] != nil {
                    // A name may come more than once, with a value of its own each time (RFC 5424, 6.3.3).
                    details[name]?.append(" \(value)")
                } else if details.count < policy.mapping.bounds.details - 1 {
                    details[name] = value
                } else {
                    leftOut += 1
                }
            }
        }
        if leftOut > 0 { details["parameters_left_out"] = "\(leftOut)" }
        observation.details = details
        return policy.mapping.event(.syslog, observation, now: wallClock)
    }

    private static func repetition(_ remembered: Remembered, _ wallClock: UInt64) -> Tocsin_V1_Event {
        var event = remembered.event
        event.id = EventID.random()
        event.observedAt = wallClock
        event.count = remembered.pending
        return event
    }

    private static func resolution(_ event: Tocsin_V1_Event, _ wallClock: UInt64) -> Tocsin_V1_Event {
        var event = event
        event.id = EventID.random()
        event.kind = .resolve
        event.observedAt = wallClock
        event.summary = "no more of: \(event.summary)"
        return event
    }

    /// The words of the first 256 bytes, those with a digit as `*`.
    static func shape(_ text: Substring) -> String {
        var shape: [UInt8] = []
        var word: [UInt8] = []
        var hasDigit = false
        func close() {
            if hasDigit { shape.append(UInt8(ascii: "*")) } else { shape += word }
        }
        for byte in text.utf8.prefix(256) {
            if byte <= 0x20 {
                close()
                word.removeAll(keepingCapacity: true)
                hasDigit = false
                shape.append(0x20)
            } else {
                if (0x30...0x39).contains(byte) { hasDigit = true }
                word.append(byte)
            }
        }
        close()
        return String(decoding: shape, as: UTF8.self)
    }
}
