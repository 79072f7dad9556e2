import TocsinPolicy
public import TocsinProto
import TocsinWire

/// The silences there are: a fold over the messages on `silence.set.*`, of which the latest of an id counts. Pure.
public struct SilenceTable: Sendable {
    public enum State: String, Sendable { case expired, active, pending }
    /// What came of a request to set one.
    public enum Problem: Error, Sendable, Equatable {
        case notFound
        /// A sentence, as the original says it.
        case invalid(String)
    }
    struct Entry: Sendable {
        var silence: Tocsin_V1_Silence
        var matchers: [Matcher]
        var sequence: UInt64
    }
    private var entries: [String: Entry] = [:]
    /// Those that are over are kept so long (Alertmanager's own default), milliseconds.
    static let retention: UInt64 = 5 * 86_400_000
    /// More that are not over there are not.
    public static let countMax = 10_000
    public static let matchersMax = 64

    public init() {}

    public static func state(_ silence: Tocsin_V1_Silence, now: UInt64) -> State {
        if silence.endsAt <= now { return .expired }
        return silence.startsAt <= now ? .active : .pending
    }

    /// How all subjects of silences begin.
    public static let subjects = "silence.set."
    public static func subject(_ id: String) -> String { subjects + Subject.token(id) }

    /// A message of the stream, published at `now`. One that cannot be understood is passed over: false. So is, without a word, one
    /// that is older than what is known: of several gateways one may publish again what another has changed meanwhile.
    @discardableResult public mutating func apply(_ silence: Tocsin_V1_Silence, sequence: UInt64, now: UInt64) -> Bool {
        guard !silence.id.isEmpty, !silence.matchers.isEmpty, silence.matchers.count <= Self.matchersMax else { return false }
        if let known = entries[silence.id] {
            if silence.updatedAt < known.silence.updatedAt { return true }
        } else if entries.count >= Self.countMax {
            let over = entries.values.map(\.silence).filter { $0.endsAt <= now }.sorted { $0.endsAt < $1.endsAt }
            // Some at once, since looking for them takes long.
            for old in over.prefix(Self.countMax / 16) { entries[old.id] = nil }
            if over.isEmpty { return false }
        }
        do {
            let matchers = try silence.matchers.map { matcher throws(Matcher.Problem) in try Matcher(matcher) }
            entries[silence.id] = Entry(silence: silence, matchers: matchers, sequence: sequence)
            return true
        } catch { return false }
    }

    /// Forgets what has been over for long.
    public mutating func prune(now: UInt64) {
        guard now > Self.retention else { return }
        entries = entries.filter { $0.value.silence.endsAt > now - Self.retention }
    }

    public subscript(id: String) -> Tocsin_V1_Silence? { entries[id]?.silence }

    /// Active ones by their end, then pending ones by their beginning, then those that are over, the latest first.
    public func list(now: UInt64) -> [Tocsin_V1_Silence] {
        func rank(_ silence: Tocsin_V1_Silence) -> (Int, UInt64, String) {
            switch Self.state(silence, now: now) {
            case .active: (0, silence.endsAt, silence.id)
            case .pending: (1, silence.startsAt, silence.id)
            case .expired: (2, .max - silence.endsAt, silence.id)
            }
        }
        return entries.values.map(\.silence).sorted { rank($0) < rank($1) }
    }

    /// The silences that are active at one time.
    public struct Active: Sendable {
        /// By id.
        var entries: [Entry]

        /// Ids of those that match, sorted.
        public mutating func silencing(_ labels: [String: String]) -> [String] {
            var ids: [String] = []
            for index in entries.indices where entries[index].matchers.match(labels) { ids.append(entries[index].silence.id) }
            return ids
        }
    }

    public func active(now: UInt64) -> Active {
        Active(
            entries: entries.values.filter { Self.state($0.silence, now: now) == .active }
                .sorted { $0.silence.id < $1.silence.id })
    }

    /// Messages that are not over and in the stream before `sequence`: to be published again before the hub lets go of them.
    public func older(than sequence: UInt64, now: UInt64) -> [Tocsin_V1_Silence] {
        entries.values.filter { $0.sequence < sequence && $0.silence.endsAt > now }.map(\.silence)
    }

    /// What is to be published to set one: the silence itself, and before it the end of the one it takes the place of. One with the
    /// id of another changes it, or, where that is no change of its times alone, ends it and gets an id of its own. `makeID` makes a
    /// UUID.
    public func setting(
        _ wanted: Tocsin_V1_Silence, now: UInt64, makeID: () -> String
    ) throws(Problem) -> [Tocsin_V1_Silence] {
        var silence = wanted
        silence.updatedAt = now
        var matchesSomething = false
        guard !silence.matchers.isEmpty else { throw .invalid("invalid silence: at least one matcher required") }
        guard silence.matchers.count <= Self.matchersMax else {
            throw .invalid("invalid silence: \(silence.matchers.count) matchers; at most \(Self.matchersMax) are possible")
        }
        for message in silence.matchers {
            do throws(Matcher.Problem) {
                var matcher = try Matcher(message)
                if !matcher.matches("") { matchesSomething = true }
            } catch { throw .invalid("invalid silence: \(error)") }
        }
        guard matchesSomething else {
            throw .invalid("invalid silence: at least one matcher must not match the empty string")
        }
        guard silence.startsAt < silence.endsAt else {
            throw .invalid("Failed to create silence: start time must be before end time")
        }
        guard silence.endsAt > now else { throw .invalid("Failed to create silence: end time can't be in the past") }
        var before: [Tocsin_V1_Silence] = []
        if !silence.id.isEmpty {
            guard let old = entries[silence.id]?.silence else { throw .notFound }
            if Self.isChange(from: old, to: silence, now: now) {
                silence.updatedAt = Self.later(than: old, now)
                return [silence]
            }
            if let end = Self.ended(old, now: now) { before.append(end) }
        }
        guard entries.values.count(where: { $0.silence.endsAt > now }) < Self.countMax else {
            throw .invalid("there are \(Self.countMax) silences; expire some first")
        }
        silence.id = makeID()
        silence.startsAt = max(silence.startsAt, now)
        return before + [silence]
    }

    private static func isChange(from old: Tocsin_V1_Silence, to new: Tocsin_V1_Silence, now: UInt64) -> Bool {
        guard old.matchers == new.matchers else { return false }
        return switch state(old, now: now) {
        case .active: old.startsAt / 1000 == new.startsAt / 1000
        case .pending: new.startsAt >= now
        case .expired: false
        }
    }

    /// The silence ended now; nil if it is over already.
    public static func ended(_ silence: Tocsin_V1_Silence, now: UInt64) -> Tocsin_V1_Silence? {
        var ended = silence
        switch state(silence, now: now) {
        case .expired: return nil
        case .active: break
        case .pending: ended.startsAt = now
        }
        ended.endsAt = now
        ended.updatedAt = later(than: silence, now)
        return ended
    }

    /// Now, also where the clock of whoever changed it last is ahead.
    private static func later(than silence: Tocsin_V1_Silence, _ now: UInt64) -> UInt64 {
        max(now, silence.updatedAt == .max ? .max : silence.updatedAt + 1)
    }
}
