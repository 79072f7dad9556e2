import TocsinAccess
import TocsinCore
import TocsinWire

/// What one key may put into the hub. 0: no limit.
public struct KeyLimits: Sendable, Equatable {
    /// Messages published, on average; as many at once as in a second.
    public var messagesPerSecond = 0
    /// Bytes of publish bodies, on average; as many at once as in a second.
    public var bytesPerSecond = 0
    /// Bytes of publish bodies accepted within any 24 hours. Counted since the hub's start: the journal does not say whose a
    /// message is. What is published again counts again.
    public var bytesPerDay = 0
    /// Sessions at once.
    public var peers = 1024

    public init() {}
}

/// Limits of keys: the key's own, else its role's, else those of all. Who comes over ipc as the hub's own user has none, unless
/// `keys` has "local".
public struct KeyLimitTable: Sendable, Equatable {
    public var all = KeyLimits()
    public var roles: [Role: KeyLimits] = [:]
    public var keys: [String: KeyLimits] = [:]

    public init() {}

    func limits(of principal: Principal) -> KeyLimits {
        if let own = keys[principal.name] { return own }
        if principal.number == Principal.local { return Self.none }
        return principal.role.flatMap { roles[$0] } ?? all
    }

    private static let none: KeyLimits = {
        var none = KeyLimits()
        none.peers = 0
        return none
    }()
}

/// What one key has used up.
struct KeyUsage {
    /// May be used now; less than 0: more was taken at once than there was, and is waited for.
    private var messages: Double
    private var bytes: Double
    private var filledAt: UInt64
    /// Bytes accepted in each of the last hours, by the hour's number.
    private var hours: [UInt64: Int] = [:]

    private static let hour: UInt64 = 3_600_000

    /// `now`: milliseconds of the steady clock.
    init(_ limits: KeyLimits, now: UInt64) {
        messages = Double(limits.messagesPerSecond)
        bytes = Double(limits.bytesPerSecond)
        filledAt = now
    }

    /// Whether a publish of so many bytes may be taken now. Takes nothing.
    ///
    /// - Throws: `rateLimited` or `quotaExceeded`, with how long it takes until it may.
    mutating func check(_ limits: KeyLimits, bytes count: Int, now: UInt64) throws(WireError) {
        fill(limits, now)
        for (left, perSecond, what) in [
            (messages, limits.messagesPerSecond, "messages"), (bytes, limits.bytesPerSecond, "bytes"),
        ] where perSecond > 0 && left <= 0 {
            // One more than what is owed has to be there.
            let wait = UInt64(((1 - left) / Double(perSecond) * 1000).rounded(.up))
            throw WireError(
                .rateLimited, "this key may publish \(perSecond) \(what) a second; nothing was stored, send it again later",
                retryAfter: wait)
        }
        guard limits.bytesPerDay > 0 else { return }
        let current = now / Self.hour
        // An hour is left out once all of it is more than a day ago.
        hours = hours.filter { $0.key + 24 >= current }
        guard hours.values.reduce(0, +) + count > limits.bytesPerDay else { return }
        guard count <= limits.bytesPerDay else {
            throw WireError(
                .tooLarge, "a batch of \(count) bytes; this key may store \(limits.bytesPerDay) a day; send smaller ones")
        }
        let oldest = hours.keys.min() ?? current
        throw WireError(
            .quotaExceeded, "this key may store \(limits.bytesPerDay) bytes a day; nothing was stored, send it again later",
            retryAfter: (oldest + 25) * Self.hour - now)
    }

    /// What was taken.
    mutating func take(_ limits: KeyLimits, messages count: Int, bytes size: Int, now: UInt64) {
        if limits.messagesPerSecond > 0 { messages -= Double(count) }
        if limits.bytesPerSecond > 0 { bytes -= Double(size) }
        if limits.bytesPerDay > 0 { hours[now / Self.hour, default: 0] += size }
    }

    private mutating func fill(_ limits: KeyLimits, _ now: UInt64) {
        let seconds = Double(now - min(now, filledAt)) / 1000
        filledAt = now
        messages = min(Double(limits.messagesPerSecond), messages + seconds * Double(limits.messagesPerSecond))
        bytes = min(Double(limits.bytesPerSecond), bytes + seconds * Double(limits.bytesPerSecond))
    }
}

extension Engine {
    /// - Throws: `rateLimited`, `quotaExceeded` if the principal has published as much as its key may.
    mutating func checkLimits(_ principal: Principal?, bytes: Int, _ now: Moment) throws(WireError) {
        guard let principal else { return }
        let limits = options.keyLimits.limits(of: principal)
        guard limits.messagesPerSecond > 0 || limits.bytesPerSecond > 0 || limits.bytesPerDay > 0 else { return }
        var usage = access.usage[principal.name] ?? KeyUsage(limits, now: now.steady)
        defer { access.usage[principal.name] = usage }
        try usage.check(limits, bytes: bytes, now: now.steady)
    }

    mutating func takeFromLimits(_ principal: Principal?, messages: Int, bytes: Int, _ now: Moment) {
        guard let principal else { return }
        let limits = options.keyLimits.limits(of: principal)
        access.usage[principal.name]?.take(limits, messages: messages, bytes: bytes, now: now.steady)
    }

    /// - Throws: `tooMany` if the key has as many sessions as it may.
    func checkPeers(_ principal: Principal?, _ peer: PeerID) throws(WireError) {
        guard let principal, access.peers[peer] == nil else { return }
        let most = options.keyLimits.limits(of: principal).peers
        guard most > 0, access.peers.values.count(where: { $0 == principal.number }) >= most else { return }
        throw WireError(.tooMany, "the key \(principal.name) has \(most) peers; try again later")
    }
}
