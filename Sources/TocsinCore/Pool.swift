import DequeModule
import TocsinWire

/// The settled limits and filters of a pool.
public struct PoolDefinition: Equatable, Sendable {
    public var name: String
    public var filters: [SubjectFilter]
    /// Milliseconds a worker may hold a message unsettled.
    public var visibility: UInt64
    /// Deliveries before a message is given up, 1 to 255.
    public var maxAttempts: UInt8
    /// A new pool begins with what the journal still holds.
    public var fromStart: Bool
    /// Milliseconds a message waits after its first failed attempt (not settled in time, or a retry without a delay of its
    /// own); doubled with each further one, up to 64 times as long. 0: it is given again at once.
    public var backoff: UInt64
    /// Only the worker that joined first is given messages; the others stand by.
    public var exclusive: Bool

    /// Throws `badPool` with a sentence for anything out of range.
    public init(
        name: String, filters: [String], visibility: UInt64 = 30_000, maxAttempts: UInt32 = 5, fromStart: Bool = false,
        backoff: UInt64 = 0, exclusive: Bool = false
    ) throws(WireError) {
        if let problem = Subject.problem(inPoolName: name) { throw WireError(.badPool, problem) }
        guard !filters.isEmpty, filters.count <= Limits.filters else {
            throw WireError(.badPool, "pool \"\(name)\" has \(filters.count) filters; 1 to \(Limits.filters) are needed")
        }
        guard visibility >= 100, visibility <= 86_400_000 else {
            throw WireError(.badPool, "pool \"\(name)\": a visibility of \(visibility) ms; 100 ms to 24 h are possible")
        }
        guard maxAttempts >= 1, maxAttempts <= 255 else {
            throw WireError(.badPool, "pool \"\(name)\": \(maxAttempts) attempts; 1 to 255 are possible")
        }
        guard backoff <= 3_600_000 else {
            throw WireError(.badPool, "pool \"\(name)\": a backoff of \(backoff) ms; at most 1 h is possible")
        }
        self.name = name
        var parsed: [SubjectFilter] = []
        for filter in filters { parsed.append(try SubjectFilter(filter)) }
        self.filters = parsed
        self.visibility = visibility
        self.maxAttempts = UInt8(maxAttempts)
        self.fromStart = fromStart
        self.backoff = backoff
        self.exclusive = exclusive
    }

    /// Milliseconds to wait after failed attempt number `attempt`.
    func wait(after attempt: UInt8) -> UInt64 { backoff << UInt64(min(max(attempt, 1) - 1, 6)) }

    func matches(_ subject: UnsafeRawBufferPointer) -> Bool { filters.contains { $0.matches(subject) } }
}

/// One delivery that came to nothing.
public struct FailedAttempt: Equatable, Sendable {
    /// 1 for the first.
    public var attempt: UInt8
    /// Milliseconds since 1970.
    public var time: UInt64
    public var reason: String
}

/// A message a pool has given up, kept until a person retries it.
public struct DeadLetterEntry: Equatable, Sendable {
    public var sequence: UInt64
    public var attempts: UInt8
    public var reason: String
    /// Milliseconds since 1970.
    public var time: UInt64
    var severity: UInt8
    var keyHash: UInt64
}

/// The messages of one key that a pool has not settled: one is ready or out, the rest wait behind it.
struct Lane {
    enum State { case free, ready, leased, delayed }
    var keyHash: UInt64
    var list = EntryList()
    var state = State.free
    /// Grows when the slot is used for another key or queued anew, so that old queue tickets are known as stale.
    var ticket: UInt32 = 0
    /// Waiting messages by severity, so that the lane moves at the highest.
    var waiting: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)

    mutating func count(_ severity: UInt8, _ change: Int32) {
        func changed(_ value: UInt32) -> UInt32 { UInt32(Int32(value) + change) }
        switch severity {
        case 4: waiting.3 = changed(waiting.3)
        case 3: waiting.2 = changed(waiting.2)
        case 2: waiting.1 = changed(waiting.1)
        default: waiting.0 = changed(waiting.0)
        }
    }
    var severity: UInt8 { waiting.3 > 0 ? 4 : waiting.2 > 0 ? 3 : waiting.1 > 0 ? 2 : 1 }
}

/// One worker's membership of a pool.
struct Membership {
    var peer: UInt64
    var subscription: UInt64
    /// Messages it may still be given.
    var credit: Int
    /// Messages it was given and has not settled.
    var held = 0
}

/// The queue of one pool: what waits, by severity and key; what is out; what is dead. Pure and deterministic; no iteration
/// over hashed collections ever decides anything.
struct Pool {
    var definition: PoolDefinition
    /// The stream's last sequence when the pool was created.
    let createdAfter: UInt64
    /// While catching up: the sequence to be offered next, and what replay found settled already.
    var cursor: UInt64 = 1
    var catchingUp: Bool
    var settledEarly = SequenceSet()

    var unsettled = SequenceSet()
    var leases: LeaseTable
    var members: [Membership] = []
    var dead: [UInt64: DeadLetterEntry] = [:]
    var failures = FailureHistory()
    var counters = PoolCounters()
    var queued: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    var delayed: UInt64 = 0
    /// Messages published for later that are not due yet: place in the slab by sequence.
    private var held: [UInt64: UInt32] = [:]

    private var keyless = [EntryList](repeating: EntryList(), count: 5)
    private var ready = [Deque<UInt64>](repeating: [], count: 5)
    private var lanes: [Lane] = []
    private var freeLanes: [UInt32] = []
    private var laneOf: [UInt64: UInt32] = [:]
    private var turns: UInt64 = 0
    private var nextMember = 0

    init(_ definition: PoolDefinition, createdAfter: UInt64, catchingUp: Bool, epoch: UInt64) {
        self.definition = definition
        self.createdAfter = createdAfter
        self.catchingUp = catchingUp
        leases = LeaseTable(epoch: epoch)
    }

    var waiting: UInt64 { queued.0 + queued.1 + queued.2 + queued.3 }
    /// Queue tickets of keys, stale ones included.
    var tickets: Int { ready.reduce(0) { $0 + $1.count } }

    private mutating func countQueued(_ severity: UInt8, _ change: Int64) {
        func changed(_ value: UInt64) -> UInt64 { UInt64(Int64(value) + change) }
        switch severity {
        case 4: queued.3 = changed(queued.3)
        case 3: queued.2 = changed(queued.2)
        case 2: queued.1 = changed(queued.1)
        default: queued.0 = changed(queued.0)
        }
    }

    // MARK: Queueing

    /// Puts a message at the end of its key's lane, or of its severity's list if it has no key.
    mutating func enqueue(_ entry: Entry, _ slab: EntrySlab) {
        countQueued(entry.severity, 1)
        guard entry.keyHash != 0 else {
            keyless[Int(entry.severity)].append(entry, slab)
            return
        }
        let index = slab.insert(entry)
        if let lane = laneOf[entry.keyHash] {
            let before = lanes[Int(lane)].severity
            lanes[Int(lane)].list.append(index, slab)
            lanes[Int(lane)].count(entry.severity, 1)
            // A worse message behind lesser ones of its key lifts the whole lane.
            if lanes[Int(lane)].state == .ready, lanes[Int(lane)].severity > before { makeReady(lane) }
        } else {
            let lane = newLane(entry.keyHash)
            lanes[Int(lane)].list.append(index, slab)
            lanes[Int(lane)].count(entry.severity, 1)
            makeReady(lane)
        }
    }

    private mutating func newLane(_ keyHash: UInt64) -> UInt32 {
        let lane: UInt32
        if let reused = freeLanes.popLast() {
            lane = reused
            lanes[Int(lane)].keyHash = keyHash
        } else {
            lane = UInt32(lanes.count)
            lanes.append(Lane(keyHash: keyHash))
        }
        laneOf[keyHash] = lane
        return lane
    }

    private mutating func makeReady(_ lane: UInt32) {
        lanes[Int(lane)].state = .ready
        lanes[Int(lane)].ticket &+= 1
        let severity = Int(lanes[Int(lane)].severity)
        ready[severity].append(UInt64(lanes[Int(lane)].ticket) << 32 | UInt64(lane))
        // Each lane has one ticket that counts. The stale ones behind a head that is not served would pile up.
        if ready[severity].count > 2 * lanes.count + 64 {
            let current = ready[severity].filter { isCurrent($0) }
            ready[severity] = current
        }
    }

    private func isCurrent(_ ticket: UInt64) -> Bool {
        let lane = lanes[Int(UInt32(truncatingIfNeeded: ticket))]
        return lane.state == .ready && lane.ticket == UInt32(truncatingIfNeeded: ticket >> 32)
    }

    /// The first lane of a severity's queue that is still queued there; stale tickets are dropped on the way.
    private mutating func firstLane(_ severity: Int) -> UInt32? {
        while let ticket = ready[severity].first {
            if isCurrent(ticket) { return UInt32(truncatingIfNeeded: ticket) }
            ready[severity].removeFirst()
        }
        return nil
    }

    /// The message next in turn within one severity: the older of the keyless head and the first lane's head.
    private mutating func head(_ severity: Int, _ slab: EntrySlab) -> (entry: Entry, lane: UInt32?)? {
        let single = keyless[severity].isEmpty ? nil : slab[keyless[severity].head]
        guard let lane = firstLane(severity) else { return single.map { ($0, nil) } }
        let laned = slab[lanes[Int(lane)].list.head]
        if let single, single.sequence < laned.sequence { return (single, nil) }
        return (laned, lane)
    }

    /// Takes the message whose turn it is: the highest severity; but every eighth turn goes to the message that has waited
    /// longest beyond `aging` seconds, whatever its severity, so that nothing starves.
    mutating func takeNext(now: UInt32, aging: UInt32, _ slab: EntrySlab) -> (entry: Entry, lane: UInt32)? {
        turns &+= 1
        #if TOCSIN_PLANTED_BUGS
            if PlantedBug.nothingAges.isPlanted { turns = 1 }
        #endif
        var chosen: (severity: Int, lane: UInt32?)?
        var oldest = UInt32.max
        for severity in stride(from: 4, through: 1, by: -1) {
            guard let candidate = head(severity, slab) else { continue }
            if turns & 7 != 0 {
                chosen = (severity, candidate.lane)
                break
            }
            let isAged = candidate.entry.queuedAt &+ aging <= now
            if chosen == nil || (isAged && candidate.entry.queuedAt < oldest) {
                chosen = (severity, candidate.lane)
                if isAged { oldest = candidate.entry.queuedAt }
            }
        }
        guard let chosen else { return nil }
        let entry: Entry?
        if let lane = chosen.lane {
            ready[chosen.severity].removeFirst()
            entry = lanes[Int(lane)].list.takeFirst(slab)
            lanes[Int(lane)].state = .leased
            #if TOCSIN_PLANTED_BUGS
                if PlantedBug.keyOvertaken.isPlanted, !lanes[Int(lane)].list.isEmpty { makeReady(lane) }
            #endif
        } else {
            entry = keyless[chosen.severity].takeFirst(slab)
        }
        guard let entry else { return nil }
        if let lane = chosen.lane { lanes[Int(lane)].count(entry.severity, -1) }
        countQueued(entry.severity, -1)
        return (entry, chosen.lane ?? LeaseTable.none)
    }

    /// Whether anything could be delivered now.
    mutating func hasReady() -> Bool {
        for severity in 1...4 where !keyless[severity].isEmpty || firstLane(severity) != nil { return true }
        return false
    }

    // MARK: After a delivery

    /// The message is done with: the next of its key may go.
    mutating func release(lane: UInt32) {
        guard lane != LeaseTable.none else { return }
        if lanes[Int(lane)].list.isEmpty {
            laneOf[lanes[Int(lane)].keyHash] = nil
            lanes[Int(lane)].state = .free
            lanes[Int(lane)].ticket &+= 1
            freeLanes.append(lane)
        } else {
            makeReady(lane)
        }
    }

    /// The message goes back to the front. With `wait` it is not ready yet, and neither is its key: returns what to hand to
    /// `resume` when it is due.
    mutating func putBack(_ entry: Entry, lane: UInt32, wait: Bool, _ slab: EntrySlab) -> Waiting? {
        countQueued(entry.severity, 1)
        let index = slab.insert(entry)
        guard lane != LeaseTable.none else {
            if wait {
                delayed += 1
                return .entry(index)
            }
            keyless[Int(entry.severity)].prepend(index, slab)
            return nil
        }
        lanes[Int(lane)].list.prepend(index, slab)
        lanes[Int(lane)].count(entry.severity, 1)
        guard wait else {
            makeReady(lane)
            return nil
        }
        delayed += 1
        lanes[Int(lane)].state = .delayed
        return .lane(lane)
    }

    /// A message stored for later; it joins its key only when due.
    mutating func hold(_ entry: Entry, _ slab: EntrySlab) -> Waiting {
        countQueued(entry.severity, 1)
        delayed += 1
        held[entry.sequence] = slab.insert(entry)
        return .fresh(sequence: entry.sequence)
    }

    /// Takes back a message that is held for later, or will be once the pool has come to it. False if it is neither.
    mutating func cancel(_ sequence: UInt64, severity: UInt8, _ slab: EntrySlab) -> Bool {
        if let index = held.removeValue(forKey: sequence) {
            slab.remove(index)
            countQueued(severity, -1)
            delayed -= 1
            unsettled.remove(sequence)
        } else {
            guard catchingUp, sequence >= cursor, !settledEarly.contains(sequence) else { return false }
            settledEarly.insert(sequence)
            counters.matched += 1
        }
        counters.cancelled += 1
        return true
    }

    mutating func resume(_ waiting: Waiting, now: UInt32, _ slab: EntrySlab) {
        switch waiting {
        case .lane(let lane):
            delayed -= 1
            makeReady(lane)
        case .entry(let index):
            delayed -= 1
            keyless[Int(slab[index].severity)].prepend(index, slab)
        case .fresh(let sequence):
            // Not there: it was cancelled.
            guard let index = held.removeValue(forKey: sequence) else { return }
            var entry = slab[index]
            slab.remove(index)
            delayed -= 1
            countQueued(entry.severity, -1)
            entry.queuedAt = now
            entry.next = EntrySlab.none
            enqueue(entry, slab)
        }
    }

    // MARK: Members

    /// The member whose turn it is among those with credit.
    mutating func nextWithCredit() -> Int? {
        if definition.exclusive { return members.first.map { $0.credit > 0 } == true ? 0 : nil }
        for step in 0..<members.count {
            let index = (nextMember + step) % members.count
            if members[index].credit > 0 {
                nextMember = (index + 1) % members.count
                return index
            }
        }
        return nil
    }

    func member(_ peer: UInt64, _ subscription: UInt64) -> Int? {
        members.firstIndex { $0.peer == peer && $0.subscription == subscription }
    }

    /// When the oldest waiting message was queued, seconds of the hub's clock.
    mutating func oldest(_ slab: EntrySlab) -> UInt32? {
        (1...4).compactMap { head($0, slab)?.entry.queuedAt }.min()
    }
}

/// Something put off until a time.
enum Waiting: Equatable {
    /// A keyless message between attempts.
    case entry(UInt32)
    /// A key whose first message is between attempts.
    case lane(UInt32)
    /// A message published with `not_before`.
    case fresh(sequence: UInt64)
}

/// What a pool has seen since the journal began, and since the hub started (redelivered, staleSettlements). `matched` equals
/// `acked` + `cancelled` + `discarded` and what is queued, out or dead now.
public struct PoolCounters: Equatable, Sendable {
    public var matched: UInt64 = 0
    public var acked: UInt64 = 0
    public var deadLettered: UInt64 = 0
    public var revived: UInt64 = 0
    public var cancelled: UInt64 = 0
    public var discarded: UInt64 = 0
    public var redelivered: UInt64 = 0
    public var staleSettlements: UInt64 = 0
}
