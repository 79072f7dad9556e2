import TocsinCore
import TocsinWire

/// What a pool was declared with. Times in milliseconds.
struct PoolTerms: Hashable {
    var visibility: UInt64
    var maxAttempts: Int
    var fromStart = false
    var backoff: UInt64 = 0
    var exclusive = false
}

/// What a pool must be like, by the protocol's words: which message is where, who holds it, what may go next.
final class PoolModel {
    let name: String
    let filters: [SubjectFilter]
    let terms: PoolTerms
    var visibility: UInt64 { terms.visibility }
    var maxAttempts: Int { terms.maxAttempts }
    var fromStart: Bool { terms.fromStart }
    /// In order of joining.
    var members: [(peer: PeerID, subscription: UInt64)] = []
    /// Ordinal of the batch that tells of the pool, once it is written.
    var recordedAt: UInt64?
    /// Messages that are tried beyond the limit, because there was no room among the dead letters.
    var mayExceed: Set<UInt64> = []
    /// Acknowledgements in the journal.
    var acked = 0

    struct Lease {
        var token: UInt64
        var peer: PeerID
        var subscription: UInt64
        /// Steady milliseconds.
        var deadline: UInt64
    }
    enum State {
        case queued
        /// Published for later, and not yet among those of its key.
        case held
        /// Between attempts.
        case delayed
        case leased(Lease)
        case acked
        case dead
        /// Taken back before it was due.
        case cancelled
        /// A dead letter that somebody let go of.
        case discarded
    }
    struct Entry {
        var key: String
        var severity: Int
        var notBefore: UInt64
        /// It was due when it was stored: it stays so, even if the clock is set back.
        var wasDue: Bool
        var state: State
        var attempts = 0
        /// When it came to wait, steady seconds.
        var queuedAt: UInt64 = 0
    }
    private struct Lane {
        enum State { case ready, leased, delayed }
        var waiting: [UInt64] = []
        var state = State.ready
    }
    private struct Timer {
        var due: UInt64
        var sequence: UInt64
    }

    private(set) var entries: [UInt64: Entry] = [:]
    private var lanes: [String: Lane] = [:]
    /// Ready messages without a key, by severity, in no order.
    private var keyless = [[UInt64]](repeating: [], count: 5)
    private var timers: [Timer] = []
    /// Held by workers, in order of delivery.
    private var leased: [UInt64] = []
    /// Messages handed out since a lesser one went before a worse one.
    private var sinceLesser = 8
    /// By severity: messages handed out one after another that had waited less than any that is ready there, all of them aged.
    private var passedOver = [0, 0, 0, 0, 0]

    init(name: String, filters: [SubjectFilter], terms: PoolTerms) {
        self.name = name
        self.filters = filters
        self.terms = terms
    }

    func matches(_ subject: String) -> Bool { filters.contains { $0.matches(subject) } }

    func contains(_ sequence: UInt64) -> Bool { entries[sequence] != nil }

    // MARK: Coming and waiting

    func offer(_ message: StoredMessage, attempts: Int = 0, at now: Moment) {
        guard entries[message.sequence] == nil else { return }
        entries[message.sequence] = Entry(
            key: message.key, severity: message.severity, notBefore: message.notBefore,
            wasDue: message.notBefore <= message.time, state: .held, attempts: attempts)
        if message.notBefore > now.wall {
            schedule(message.sequence, due: message.notBefore)
        } else {
            enqueue(message.sequence, now)
        }
    }

    private func schedule(_ sequence: UInt64, due: UInt64) {
        // In order of time, and among equals in order of coming.
        let position = timers.firstIndex { $0.due > due } ?? timers.endIndex
        timers.insert(Timer(due: due, sequence: sequence), at: position)
    }

    private func enqueue(_ sequence: UInt64, _ now: Moment) {
        guard let entry = entries[sequence] else { return }
        entries[sequence]?.state = .queued
        entries[sequence]?.queuedAt = now.steady / 1000
        if entry.key.isEmpty {
            keyless[entry.severity].append(sequence)
        } else {
            lanes[entry.key, default: Lane()].waiting.append(sequence)
        }
    }

    /// A message that is already settled: nothing more is to come of it.
    func settle(_ message: StoredMessage, _ state: State, attempts: Int) {
        entries[message.sequence] = Entry(
            key: message.key, severity: message.severity, notBefore: message.notBefore,
            wasDue: true, state: state, attempts: attempts)
    }

    /// What is due by the clock. Returns what is to be given back.
    func tick(_ now: Moment) -> [UInt64] {
        while let timer = timers.first, timer.due <= now.wall {
            timers.removeFirst()
            guard let entry = entries[timer.sequence] else { continue }
            switch entry.state {
            case .held: enqueue(timer.sequence, now)
            case .delayed:
                entries[timer.sequence]?.state = .queued
                if entry.key.isEmpty {
                    keyless[entry.severity].append(timer.sequence)
                } else {
                    lanes[entry.key]?.state = .ready
                }
            case .queued, .leased, .acked, .dead, .cancelled, .discarded: break
            }
        }
        return leased.filter { sequence in lease(sequence).map { $0.deadline <= now.steady } ?? false }
    }

    // MARK: Going out

    private func severity(_ lane: Lane) -> Int { lane.waiting.compactMap { entries[$0]?.severity }.max() ?? 0 }

    /// The worst severity that could be handed out now, 0 if nothing could.
    private var worstReady: Int {
        let lone = (1...4).last { !keyless[$0].isEmpty } ?? 0
        return lanes.values.reduce(lone) { $1.state == .ready ? max($0, severity($1)) : $0 }
    }

    /// What delivering this message now would break, nil if nothing; then it counts as delivered.
    func take(_ sequence: UInt64, attempt: Int, _ lease: Lease, at now: Moment, aging: UInt64, _ coverage: inout Coverage)
        -> String?
    {
        guard var entry = entries[sequence] else { return "it is not a message of this pool" }
        if fromStart, case .held = entry.state, entry.notBefore <= now.wall || entry.wasDue {
            // When such a pool reads on is its own affair.
            timers.removeAll { $0.sequence == sequence }
            enqueue(sequence, now)
            entry.state = .queued
        }
        switch entry.state {
        case .queued: break
        case .held: return "it is for later: not before \(entry.notBefore), it is \(now.wall)"
        case .delayed: return "it waits between attempts"
        case .leased(let other): return "peer \(other.peer) holds it"
        case .acked: return "it was acknowledged"
        case .dead: return "it is a dead letter"
        case .cancelled: return "it was cancelled"
        case .discarded: return "it was discarded"
        }
        guard attempt == entry.attempts + 1 else { return "attempt \(attempt) follows attempt \(entry.attempts)" }
        guard attempt <= maxAttempts || mayExceed.contains(sequence) else {
            return "attempt \(attempt) of at most \(maxAttempts)"
        }
        let worst = worstReady
        var severity = entry.severity
        if !entry.key.isEmpty {
            guard var lane = lanes[entry.key] else { return "its key has no messages" }
            switch lane.state {
            case .ready: break
            case .leased: return "another message of its key \(entry.key) is held"
            case .delayed: return "its key \(entry.key) waits for the next attempt of another message"
            }
            severity = self.severity(lane)
            if let problem = order(sequence, entry, lane) { return problem }
            lane.waiting.removeAll { $0 == sequence }
            lane.state = .leased
            lanes[entry.key] = lane
        } else {
            keyless[entry.severity].removeAll { $0 == sequence }
        }
        sinceLesser += 1
        if severity < worst, !fromStart {
            // The bound: of any eight messages handed out while a worse one is ready, at most one is lesser, and that one has
            // waited longer than the aging time.
            guard sinceLesser >= 8 else {
                return "severity \(severity) goes before severity \(worst), \(sinceLesser) turns after the last lesser one did"
            }
            guard entry.queuedAt + aging / 1000 <= now.steady / 1000 else {
                return "severity \(severity) goes before severity \(worst) and has waited since \(entry.queuedAt) s only"
            }
            coverage.agedTurns += 1
            sinceLesser = 0
        }
        entries[sequence]?.state = .leased(lease)
        entries[sequence]?.attempts = attempt
        leased.append(sequence)
        if worstReady == 0 { sinceLesser = 8 }
        if !fromStart, let starved = passOver(severity, entry.queuedAt, now.steady / 1000, aging / 1000) {
            return "it is the eighth in a row that goes before all of severity \(starved), which have waited longer than it and "
                + "than the aging time"
        }
        return nil
    }

    /// Every eighth turn belongs to what has waited longest beyond the aging time. A message of `severity` that waits since
    /// `queuedAt` was handed out: returns the severity that was passed over eight times in a row, if there is one. Seconds.
    private func passOver(_ severity: Int, _ queuedAt: UInt64, _ now: UInt64, _ aging: UInt64) -> Int? {
        for lesser in 1..<4 {
            var waiting = keyless[lesser]
            for lane in lanes.values where lane.state == .ready && self.severity(lane) == lesser {
                if let first = lane.waiting.first { waiting.append(first) }
            }
            let latest = waiting.compactMap { entries[$0]?.queuedAt }.max()
            guard let latest, latest + aging <= now, queuedAt > latest, severity > lesser else {
                passedOver[lesser] = 0
                continue
            }
            passedOver[lesser] += 1
            if passedOver[lesser] == 8 { return lesser }
        }
        return nil
    }

    /// Turns were given that nobody sees the outcome of.
    func loseCountOfTurns() { passedOver = [0, 0, 0, 0, 0] }

    private func order(_ sequence: UInt64, _ entry: Entry, _ lane: Lane) -> String? {
        let due = fromStart ? lane.waiting.filter { entries[$0]?.notBefore == 0 } : lane.waiting
        if fromStart, entry.notBefore > 0 { return nil }
        guard let first = due.first, first != sequence else { return nil }
        return "message \(first) of the same key \(entry.key) comes first"
    }

    // MARK: Coming back

    func lease(_ sequence: UInt64) -> Lease? {
        if case .leased(let lease)? = entries[sequence]?.state { return lease }
        return nil
    }

    /// What a subscription holds.
    func held(by peer: PeerID, _ subscription: UInt64) -> [UInt64] {
        leased.filter { sequence in lease(sequence).map { $0.peer == peer && $0.subscription == subscription } ?? false }
    }

    /// The delivery is over and so is the message.
    func finish(_ sequence: UInt64, _ state: State) {
        guard let entry = entries[sequence] else { return }
        leased.removeAll { $0 == sequence }
        entries[sequence]?.state = state
        guard !entry.key.isEmpty else { return }
        if lanes[entry.key]?.waiting.isEmpty ?? true { lanes[entry.key] = nil } else { lanes[entry.key]?.state = .ready }
    }

    /// The delivery is over and the message waits again.
    func putBack(_ sequence: UInt64, after delay: UInt64, at now: Moment) {
        guard let entry = entries[sequence] else { return }
        leased.removeAll { $0 == sequence }
        entries[sequence]?.state = delay > 0 ? .delayed : .queued
        if !entry.key.isEmpty {
            lanes[entry.key]?.waiting.insert(sequence, at: 0)
            lanes[entry.key]?.state = delay > 0 ? .delayed : .ready
        } else if delay == 0 {
            keyless[entry.severity].append(sequence)
        }
        if delay > 0 { schedule(sequence, due: now.wall + delay) }
    }

    /// Milliseconds a message waits after the failed attempt it has just had: twice as long with each, up to 64 times.
    func backoff(_ sequence: UInt64) -> UInt64 {
        let attempts = entries[sequence]?.attempts ?? 1
        return terms.backoff * (1...max(1, min(attempts, 7))).dropFirst().reduce(1) { wait, _ in wait * 2 }
    }

    /// Somebody took it back or let go of it, and it was in no lane.
    func withdraw(_ sequence: UInt64, _ state: State) { entries[sequence]?.state = state }

    func revive(_ sequence: UInt64, at now: Moment) {
        entries[sequence]?.attempts = 0
        enqueue(sequence, now)
    }

    // MARK: Counting

    var dead: [UInt64] { entries.keys.filter { if case .dead? = entries[$0]?.state { true } else { false } }.sorted() }

    /// What is neither acknowledged nor dead, in order.
    var unsettled: [UInt64] {
        entries.keys.filter { sequence in
            switch entries[sequence]?.state {
            case .acked, .dead, .cancelled, .discarded, nil: false
            case .queued, .held, .delayed, .leased: true
            }
        }.sorted()
    }

    func isAcked(_ sequence: UInt64) -> Bool { if case .acked? = entries[sequence]?.state { true } else { false } }
    func isDead(_ sequence: UInt64) -> Bool { if case .dead? = entries[sequence]?.state { true } else { false } }
    func isForLater(_ sequence: UInt64) -> Bool {
        switch entries[sequence]?.state {
        case .held, .delayed: true
        case .queued, .leased, .acked, .dead, .cancelled, .discarded, nil: false
        }
    }
    func isHeld(_ sequence: UInt64) -> Bool { if case .held? = entries[sequence]?.state { true } else { false } }
    /// Whether somebody took it back, or let go of it.
    func isWithdrawn(_ sequence: UInt64) -> Bool {
        switch entries[sequence]?.state {
        case .cancelled, .discarded: true
        case .queued, .held, .delayed, .leased, .acked, .dead, nil: false
        }
    }
}
