import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinProto
import TocsinWire

/// Sees everything that goes to the hub, comes from it and is written by it, and knows what must be true:
///
/// * lost: what was acknowledged is in the journal after every crash, and in the end every pool that takes it has settled it or
///   holds it as a dead letter.
/// * doubled: an id is stored once within the dedup window.
/// * early: nothing is acknowledged, delivered or shown to a tap before the sync that covers it.
/// * delivery: a pool's message is with one worker at a time; in order and one at a time within its key; not before its time;
///   attempts rise by one up to the limit; nothing comes after it was settled. Of any eight messages handed out while a worse
///   one is ready, at most one is lesser, and that one has waited longer than the aging time; and of eight one is such, if any
///   waits. An exclusive pool's messages go to the member that joined first.
/// * credit: no more messages than credit, for workers and for taps.
/// * fact: the journal says of settlements, attempts and dead letters what happened, and only that.
/// * recovery: after a restart queues and dead letters are what the journal's intact batches make them.
/// * tap: a tap sees every matching message in order, or is told of the gap.
/// * answer: requests are answered once, by what was asked for.
/// * start: the hub starts whenever its journal is whole; it refuses, naming file and offset, when what was durable has changed.
/// * bounds: no more messages wait for the disk, and no more dead letters are kept, than may; in the end no file is left that
///   the journal has let go of, nor more of the journal than is needed or retained.
/// * liveness: without faults everything comes to rest.
final class Checker {
    struct TapModel {
        var filters: [SubjectFilter]
        var credit: Int
        /// The sequence to come next; nil: as the hub finds for a time.
        var next: UInt64?
    }
    struct Subscription {
        var pool: String
        var credit: Int
    }
    enum Request {
        case publish([String])
        case declare(String, created: Bool)
        case subscribe(Subscription)
        case tap(TapModel)
        case admin([Happened])
        case other
    }
    struct Session {
        /// In order of opening.
        var subscriptions: [(id: UInt64, open: Subscription)] = []
        var taps: [UInt64: TapModel] = [:]
        /// What waits for an answer, by id: once for each time it came.
        private var requests: [UInt64: [Request]] = [:]

        mutating func note(_ request: Request, _ id: UInt64) { requests[id, default: []].append(request) }

        mutating func answered(_ id: UInt64) -> Request? {
            guard var waiting = requests[id], !waiting.isEmpty else { return nil }
            defer { requests[id] = waiting.isEmpty ? nil : waiting }
            return waiting.removeFirst()
        }
    }
    /// Something the journal must tell of.
    struct Happened: Hashable {
        enum What: Hashable {
            case acked
            case attempt(Int)
            case dead(Int)
            case revived
            case cancelled
            case discarded
        }
        var pool: String
        var sequence: UInt64
        var what: What
    }

    let clock: VirtualClock
    let trace: Trace
    let disk: SimulatedDisk
    var coverage = Coverage()
    private(set) var violation: Violation?

    var aging: UInt64 = 30_000
    /// How many dead letters a pool keeps; one more waits this long and is tried again.
    var deadLetters = 100_000
    var deadLetterWait: UInt64 = 60_000
    var dedupWindow: UInt64 = 120_000

    /// By ordinal, from 1.
    var records: [JournalRecord] = []
    /// By sequence, from 1.
    var messages: [StoredMessage] = []
    var stored: [String: UInt64] = [:]
    /// What the wall clock showed, and how much was stored, when it was set back.
    var setBack: [(messages: Int, wall: UInt64)] = []
    /// In order, and to look up.
    private var acknowledged: [String] = []
    private var isAcknowledged: Set<String> = []
    /// Every batch up to here was seen on the disk.
    var verified: UInt64 = 0
    /// Every batch up to here was offered to the pools, and the sequence of the last message in them.
    var durableOrdinal: UInt64 = 0
    var durableSequence: UInt64 = 0
    /// Oldest sequence from which on the journal keeps all, and what it held of older ones when the hub was last down: for which
    /// pools, one bit each.
    var firstKept: UInt64 = 1
    var carriedAtStart: [UInt64: UInt64] = [:]

    var pools: [PoolModel] = []
    /// In order of their first record.
    var recordedPools: [String] = []
    var unjournaled: [Happened: Int] = [:]
    /// Why messages were rejected, in order; nil: the hub's own words.
    var rejections: [Happened: [String?]] = [:]
    /// The hub is about to end: it gives nothing out any more.
    var isDraining = false
    /// Where the journal tells of what an administrator did.
    var journaledAt: [Happened: UInt64] = [:]
    /// What an administrator asked for last: done, unless a status comes first.
    var undecided: (peer: PeerID, id: UInt64, action: () -> [Happened])?
    /// The latest message of each id that was for later when it came to the pools.
    var delayed: [String: UInt64] = [:]
    var sessions: [PeerID: Session] = [:]
    private var lastTick: UInt64 = 0
    /// Peers that said goodbye or could not be sent to: the hub forgets them for that, and not because of their silence.
    private var leaving: Set<PeerID> = []
    private var gapsTold: [UInt64] = []

    init(clock: VirtualClock, trace: Trace, disk: SimulatedDisk) {
        self.clock = clock
        self.trace = trace
        self.disk = disk
    }

    func fail(_ rule: String, _ what: String) {
        guard violation == nil else { return }
        trace.note("violation", 0, 0, 0, 0, "\(rule): \(what)")
        violation = Violation(rule: rule, description: what)
    }

    func pool(_ name: String) -> PoolModel? { pools.first { $0.name == name } }

    // MARK: The journal

    func wrote(_ file: String, _ offset: Int, _ bytes: [UInt8]) {
        guard file.hasSuffix(".log") else { return }
        do {
            let written = try bytes.withUnsafeBytes { try JournalReader.records(file, $0, from: 0, at: offset) }
            for record in written { try note(record) }
        } catch { fail("fact", "\(file), offset \(offset): \(error)") }
    }

    private func note(_ record: JournalRecord) throws {
        if record.ordinal <= UInt64(records.count), record.ordinal > 0 {
            // Recovery may write again what it found.
            let known = records[Int(record.ordinal) - 1]
            guard known.file == record.file, known.offset == record.offset, known.count == record.count else {
                return fail("fact", "batch \(record.ordinal) is written twice, at different places")
            }
            return
        }
        guard record.ordinal == UInt64(records.count) + 1 else {
            return fail("fact", "batch \(record.ordinal) is written after batch \(records.count)")
        }
        records.append(record)
        trace.note("batch", record.ordinal, record.firstSequence, UInt64(record.count), UInt64(record.offset), record.file)
        switch record.content {
        case .mark: break
        case .messages(let batch): for message in batch { store(message) }
        case .control(let facts): for fact in facts { happened(fact, record.ordinal) }
        case .carried(let rows): for (message, pools) in rows { carried(message, pools) }
        }
    }

    /// The journal stores a message again: it must be the one that was stored.
    private func carried(_ message: StoredMessage, _ pools: UInt64) {
        coverage.messagesCarried += 1
        guard message.sequence <= UInt64(messages.count) else {
            return fail("fact", "message \(message.sequence) is carried and was not stored")
        }
        let original = messages[Int(message.sequence) - 1]
        guard original.bytesHash == message.bytesHash, original.time == message.time else {
            return fail(
                "fact", "message \(message.sequence) is carried with other bytes, or another time, than it was stored with")
        }
        for number in 0..<64 where pools & 1 << UInt64(number) != 0 {
            guard number < recordedPools.count, let pool = pool(recordedPools[number]), takes(pool, original) else {
                return fail("fact", "message \(message.sequence) is carried for pool \(number), which does not take it")
            }
        }
    }

    private func store(_ message: StoredMessage) {
        guard message.sequence == UInt64(messages.count) + 1 else {
            return fail("fact", "message \(message.sequence) is stored after message \(messages.count)")
        }
        if let before = stored[message.id].map({ messages[Int($0) - 1] }), isInWindow(message, before) {
            fail(
                "doubled",
                "id \(message.id) is stored as message \(before.sequence) at \(before.time) and as message "
                    + "\(message.sequence) at \(message.time); the window is \(dedupWindow) ms")
        }
        var message = message
        message.writtenAt = clock.now / 1000
        messages.append(message)
        trace.note(
            "stored", message.sequence, UInt64(message.severity), message.notBefore, message.bytesHash,
            "\(message.id) \(message.subject) \(message.key)")
        stored[message.id] = message.sequence
        coverage.messages += 1
    }

    /// Whether an id must still have been known when it was stored again. The window is counted by the wall clock. Where that was
    /// set back in between, the time that really passed must be less, too.
    private func isInWindow(_ message: StoredMessage, _ before: StoredMessage) -> Bool {
        guard message.time <= before.time + dedupWindow else { return false }
        // What was appended before and was written only after the clock was set counts as before.
        let since = setBack.filter { $0.messages + 64 > Int(before.sequence) }
        guard let latest = since.map(\.wall).max() else { return true }
        // A message is written a while after it is appended.
        return latest <= before.time + dedupWindow && clock.now / 1000 + 3000 <= before.writtenAt + dedupWindow
    }

    /// The journal tells of something: it must have happened.
    private func happened(_ fact: Fact, _ ordinal: UInt64) {
        let what: Happened
        switch fact {
        case .pool(let name, _, _):
            if !recordedPools.contains(name) { recordedPools.append(name) }
            guard let pool = pool(name) else { return fail("fact", "the journal has a pool \(name) nobody declared") }
            if pool.recordedAt == nil { pool.recordedAt = ordinal }
            return
        case .acked(let pool, let sequence):
            what = Happened(pool: recordedPools[pool], sequence: sequence, what: .acked)
            self.pool(what.pool)?.acked += 1
        case .attempt(let pool, let sequence, let attempts):
            what = Happened(pool: recordedPools[pool], sequence: sequence, what: .attempt(Int(attempts)))
        case .dead(let pool, let sequence, let attempts, let reason):
            what = Happened(pool: recordedPools[pool], sequence: sequence, what: .dead(Int(attempts)))
            if reason.isEmpty { fail("delivery", "dead letter \(sequence) of \(what.pool) has no reason") }
            // A letter that was revived may die again before the first death is written.
            if rejections[what]?.isEmpty == false, let given = rejections[what]?.removeFirst(),
                !reason.utf8.elementsEqual(given.utf8.prefix(1024))
            {
                fail("delivery", "dead letter \(sequence) of \(what.pool) has the reason \"\(reason)\", \"\(given)\" was given")
            }
        case .revived(let pool, let sequence):
            what = Happened(pool: recordedPools[pool], sequence: sequence, what: .revived)
        case .cancelled(let pool, let sequence):
            what = Happened(pool: recordedPools[pool], sequence: sequence, what: .cancelled)
        case .discarded(let pool, let sequence):
            what = Happened(pool: recordedPools[pool], sequence: sequence, what: .discarded)
        }
        guard let count = unjournaled[what] else {
            return fail(
                "fact", "batch \(ordinal) says that \(what.what) of message \(what.sequence) in \(what.pool), which is not so")
        }
        unjournaled[what] = count == 1 ? nil : count - 1
        switch what.what {
        case .revived, .cancelled, .discarded: journaledAt[what] = ordinal
        case .acked, .attempt, .dead: break
        }
    }

    @discardableResult func expect(_ pool: PoolModel, _ sequence: UInt64, _ what: Happened.What) -> Happened {
        let happened = Happened(pool: pool.name, sequence: sequence, what: what)
        unjournaled[happened, default: 0] += 1
        return happened
    }

    func noteRequest(_ request: Request, _ peer: PeerID, _ id: UInt64) { sessions[peer]?.note(request, id) }

    /// Whether every batch up to this one would survive if the power went now and nothing unsynced did.
    func isOnDisk(_ ordinal: UInt64) -> Bool {
        while verified < ordinal {
            guard verified < UInt64(records.count) else { return false }
            let record = records[Int(verified)]
            guard let bytes = disk.durableBytes(record.file, record.offset, 64 + record.bodyCount) else { return false }
            let isWhole = bytes.withUnsafeBytes {
                JournalReader.isWhole($0, at: 0) && $0.bigEndian(UInt64.self, at: 16) == record.ordinal
            }
            guard isWhole else { return false }
            verified += 1
        }
        return true
    }

    /// The writer has told the engine that everything up to this batch is on disk.
    func durable(_ ordinal: UInt64) {
        // Seen now, as the segment it is in may be gone before somebody is answered.
        _ = isOnDisk(ordinal)
        // What is due by now comes before what is new.
        tick()
        let now = clock.moment
        while durableOrdinal < ordinal, durableOrdinal < UInt64(records.count) {
            let record = records[Int(durableOrdinal)]
            durableOrdinal += 1
            guard case .messages(let batch) = record.content else { continue }
            for message in batch {
                durableSequence = message.sequence
                if message.notBefore > now.wall {
                    coverage.delayedMessages += 1
                    delayed[message.id] = message.sequence
                }
                for pool in pools where takes(pool, message) { pool.offer(message, at: now) }
            }
        }
    }

    /// Whether a message belongs to a pool: it came after the pool, in the order of the journal, or the pool began with the past.
    func takes(_ pool: PoolModel, _ message: StoredMessage) -> Bool {
        guard pool.fromStart || pool.recordedAt.map({ $0 < message.ordinal }) ?? false else { return false }
        return pool.matches(message.subject)
    }

    // MARK: To the hub

    func hubReceived(_ received: Received) {
        decide()
        do {
            let header = try Header(received.parts[0].buffer)
            trace.note(
                "hub-receives", received.peer, UInt64(header.kind.rawValue), header.id, UInt64(header.count),
                "\(header.kind)\(SimulatedNetwork.rows(header, Array(received.parts.dropFirst())))")
            if header.kind == .hello, sessions[received.peer] == nil { sessions[received.peer] = Session() }
            if header.kind == .goodbye { leaving.insert(received.peer) }
            guard sessions[received.peer] != nil else { return }
            try take(header, received.parts, received.peer)
        } catch { fail("answer", "a client sent what cannot be read: \(error)") }
    }

    private func take(_ header: Header, _ parts: [Bytes], _ peer: PeerID) throws {
        let now = clock.moment
        switch header.kind {
        case .publish:
            var ids: [String] = []
            _ = try LengthPrefixed.forEach(in: parts[1].buffer) { (_, _, bytes) throws(WireError) in
                ids.append(String(decoding: try EnvelopeView(scanning: bytes).id, as: UTF8.self))
            }
            sessions[peer]?.note(.publish(ids), header.id)
        case .declare:
            let spec = try Tocsin_V1_PoolSpec(serializedBytes: parts[1].array)
            let isNew = pool(spec.name) == nil
            let terms = PoolTerms(
                visibility: UInt64(spec.visibilityMs), maxAttempts: Int(spec.maxAttempts), fromStart: spec.fromStart,
                backoff: UInt64(spec.backoffMs), exclusive: spec.exclusive)
            if isNew { try declare(spec.name, spec.filters, terms) }
            sessions[peer]?.note(.declare(spec.name, created: isNew), header.id)
        case .subscribe:
            let subscribe = try Tocsin_V1_Subscribe(serializedBytes: parts[1].array)
            sessions[peer]?.note(.subscribe(Subscription(pool: subscribe.pool, credit: Int(subscribe.credit))), header.id)
        case .tap:
            let request = try Tocsin_V1_Tap(serializedBytes: parts[1].array)
            let next: UInt64?
            switch request.start {
            case .sequence(let sequence): next = max(1, sequence)
            case .time: next = nil
            case nil: next = durableSequence + 1
            }
            let filters = try request.filters.map { try SubjectFilter($0) }
            sessions[peer]?.note(.tap(TapModel(filters: filters, credit: Int(request.credit), next: next)), header.id)
        case .credit:
            addCredit(peer, header.id, Int(header.count))
            if sessions[peer]?.taps[header.id] != nil { sessions[peer]?.taps[header.id]?.credit += Int(header.count) }
        case .settle: try settle(header, parts, peer, now)
        case .unsubscribe:
            sessions[peer]?.taps[header.id] = nil
            leave(peer, header.id, now)
        case .call:
            let head = try Tocsin_V1_CallHead(serializedBytes: parts[1].array)
            let prefix = "tocsin.v1.BrokerAdmin/"
            guard head.method.hasPrefix(prefix) else { return noteRequest(.other, peer, header.id) }
            try administer(String(head.method.dropFirst(prefix.count)), Array(parts[2].buffer[5...]), peer, header.id)
        case .serve: sessions[peer]?.note(.other, header.id)
        default: break
        }
    }

    func declare(_ name: String, _ filters: [String], _ terms: PoolTerms) throws {
        guard pool(name) == nil else { return }
        let pool = PoolModel(name: name, filters: try filters.map { try SubjectFilter($0) }, terms: terms)
        pools.append(pool)
        guard terms.fromStart, durableSequence >= firstKept else { return }
        for message in messages[Int(firstKept) - 1..<Int(durableSequence)] where pool.matches(message.subject) {
            pool.offer(message, at: clock.moment)
        }
    }

    func addCredit(_ peer: PeerID, _ subscription: UInt64, _ more: Int) {
        guard let index = sessions[peer]?.subscriptions.firstIndex(where: { $0.id == subscription }) else { return }
        sessions[peer]?.subscriptions[index].open.credit += more
    }

    func subscription(_ peer: PeerID, _ id: UInt64) -> Subscription? {
        sessions[peer]?.subscriptions.first { $0.id == id }?.open
    }

    func hubForgets(_ peer: PeerID) {
        decide()
        // Silence is noticed after what is due.
        if leaving.remove(peer) == nil { tick() }
        for (id, _) in sessions[peer]?.subscriptions ?? [] { leave(peer, id, clock.moment) }
        sessions[peer] = nil
    }

    // MARK: Time

    /// What is due happens between receiving and delivering, once for each millisecond of the hub's clock.
    func tick() {
        decide()
        let now = clock.moment
        guard now.steady != lastTick else { return }
        lastTick = now.steady
        for pool in pools {
            for sequence in pool.tick(now) {
                coverage.expiredLeases += 1
                if let lease = pool.lease(sequence) { addCredit(lease.peer, lease.subscription, 1) }
                again(pool, sequence, after: pool.backoff(sequence), now)
            }
        }
    }

    /// A turn is over. `kept`: the oldest sequence the journal keeps.
    func turned(kept: UInt64) {
        tick()
        firstKept = kept
        for last in gapsTold where last >= kept {
            fail("tap", "a gap up to \(last) was told, but the journal keeps all from \(kept)")
        }
        gapsTold = []
    }

    // MARK: From the hub

    func hubSends(_ peer: PeerID, _ header: Header, _ body: [Bytes], _ outcome: SendOutcome) {
        if outcome != .sent { leaving.insert(peer) }
        if let asked = undecided, header.kind == .status, asked.peer == peer, asked.id == header.id { undecided = nil }
        decide()
        do {
            switch header.kind {
            // Not an answer: the hub's own round, after what is due.
            case .heartbeat: if header.id == 0 { tick() }
            case .status: status(peer, header)
            case .accepted: try accepted(peer, header, body)
            case .reply: if case .admin(let facts)? = sessions[peer]?.answered(header.id) { replied(facts) }
            case .deliver: try delivered(peer, header, body, outcome)
            case .tapped: try tapped(peer, header, body, outcome)
            case .gap:
                let gap = try Tocsin_V1_Gap(serializedBytes: body[0].array)
                guard let tap = sessions[peer]?.taps[header.id] else { return fail("tap", "a gap for no tap") }
                guard outcome == .sent else { return }
                coverage.gaps += 1
                if let next = tap.next, gap.first != next { fail("tap", "a gap from \(gap.first) is told, \(next) is next") }
                sessions[peer]?.taps[header.id]?.next = gap.last + 1
                gapsTold.append(gap.last)
            default: break
            }
        } catch { fail("answer", "the hub sends what cannot be read: \(header.kind) \(error)") }
    }

    private func status(_ peer: PeerID, _ header: Header) {
        let isFine = header.reason == Reason.ok.rawValue
        if !isFine { coverage.refusals += 1 }
        guard let request = sessions[peer]?.answered(header.id) else { return }
        switch request {
        case .subscribe(let open):
            guard isFine else { return }
            sessions[peer]?.subscriptions.append((header.id, open))
            pool(open.pool)?.members.append((peer, header.id))
        case .tap(let tap): if isFine { sessions[peer]?.taps[header.id] = tap }
        case .declare(let name, let created):
            if !isFine, created { pools.removeAll { $0.name == name && $0.recordedAt == nil } }
        case .publish: if isFine { fail("answer", "a publish is answered by status OK") }
        case .admin, .other: break
        }
    }

    private func accepted(_ peer: PeerID, _ header: Header, _ body: [Bytes]) throws {
        let accepted = try Tocsin_V1_Accepted(serializedBytes: body[0].array)
        // The answer to a session that is over says nothing to anybody.
        guard sessions[peer] != nil else { return }
        guard case .publish(let ids)? = sessions[peer]?.answered(header.id) else {
            return fail("answer", "accepted for request \(header.id) of peer \(peer), which is no open publish")
        }
        guard Int(accepted.stored) + Int(accepted.duplicates) == ids.count else {
            return fail("answer", "\(accepted.stored) stored and \(accepted.duplicates) duplicates of \(ids.count)")
        }
        coverage.duplicates += Int(accepted.duplicates)
        for id in ids {
            guard let sequence = stored[id] else { return fail("early", "\(id) is acknowledged and was not even written") }
            guard isOnDisk(messages[Int(sequence) - 1].ordinal) else {
                return fail("early", "\(id), message \(sequence), is acknowledged and not on disk")
            }
            if isAcknowledged.insert(id).inserted { acknowledged.append(id) }
        }
    }

    /// The bytes of each message must be what was published.
    private func envelopes(_ body: Bytes) throws -> [StoredMessage] {
        var found: [StoredMessage] = []
        var failure: (any Error)?
        _ = try LengthPrefixed.forEach(in: body.buffer) { (_, _, bytes) throws(WireError) in
            do { found.append(try StoredMessage(bytes, sequence: 0, ordinal: 0, time: 0)) } catch { failure = error }
        }
        if let failure { throw failure }
        return found
    }

    private func delivered(_ peer: PeerID, _ header: Header, _ body: [Bytes], _ outcome: SendOutcome) throws {
        tick()
        let now = clock.moment
        let envelopes = try envelopes(body[1])
        guard let open = subscription(peer, header.id), let pool = pool(open.pool) else {
            return fail("delivery", "peer \(peer) has no subscription \(header.id)")
        }
        if isDraining { return fail("delivery", "peer \(peer) is given messages by a hub that drains") }
        guard Int(header.count) <= open.credit else {
            return fail("credit", "peer \(peer) is given \(header.count) messages of \(pool.name) for a credit of \(open.credit)")
        }
        addCredit(peer, header.id, -Int(header.count))
        if pool.terms.exclusive, let active = pool.members.first, active != (peer, header.id) {
            return fail(
                "delivery", "peer \(peer) is given messages of \(pool.name), of which peer \(active.peer) is the only one")
        }
        for (row, envelope) in envelopes.enumerated() {
            let entry = DeliveryEntry(body[0].buffer, at: row)
            let sequence = entry.sequence
            guard sequence >= 1, sequence <= UInt64(messages.count), isOnDisk(messages[Int(sequence) - 1].ordinal) else {
                return fail("early", "message \(sequence) is delivered and not on disk")
            }
            guard messages[Int(sequence) - 1].bytesHash == envelope.bytesHash else {
                return fail("delivery", "message \(sequence) is delivered with other bytes than were published")
            }
            let lease = PoolModel.Lease(
                token: entry.token, peer: peer, subscription: header.id, deadline: now.steady + pool.visibility)
            if let problem = pool.take(sequence, attempt: Int(entry.attempt), lease, at: now, aging: aging, &coverage) {
                return fail("delivery", "message \(sequence) of \(pool.name) is given to peer \(peer), but \(problem)")
            }
            coverage.deliveries += 1
        }
        // The rest of what it was to be given is not sent.
        if outcome != .sent { pool.loseCountOfTurns() }
    }

    private func tapped(_ peer: PeerID, _ header: Header, _ body: [Bytes], _ outcome: SendOutcome) throws {
        guard var tap = sessions[peer]?.taps[header.id] else { return fail("tap", "peer \(peer) has no tap \(header.id)") }
        guard Int(header.count) <= tap.credit else {
            return fail("credit", "tap \(header.id) is given \(header.count) messages for a credit of \(tap.credit)")
        }
        tap.credit -= Int(header.count)
        for (row, envelope) in try envelopes(body[1]).enumerated() {
            let sequence = body[0].buffer.bigEndian(UInt64.self, at: row * 8)
            guard sequence <= durableSequence, isOnDisk(messages[Int(sequence) - 1].ordinal) else {
                return fail("early", "message \(sequence) is shown to a tap and not on disk")
            }
            let next = tap.next ?? sequence
            let expected = messages[Int(min(next, sequence)) - 1..<Int(sequence)].first { message in
                tap.filters.contains { $0.matches(message.subject) }
            }
            guard next <= sequence, expected?.sequence == sequence else {
                return fail("tap", "a tap is shown message \(sequence), it should be \(expected?.sequence ?? next)")
            }
            guard messages[Int(sequence) - 1].bytesHash == envelope.bytesHash else {
                return fail("tap", "message \(sequence) is shown with other bytes than were published")
            }
            tap.next = sequence + 1
        }
        coverage.tapped += Int(header.count)
        if outcome == .sent { sessions[peer]?.taps[header.id] = tap }
    }

    // MARK: Ends and beginnings

    func hubEnded() {
        sessions = [:]
        undecided = nil
        isDraining = false
        journaledAt = [:]
        delayed = [:]
        leaving = []
        lastTick = 0
        unjournaled = [:]
        rejections = [:]
        gapsTold = []
    }

    /// Acknowledged ids that are not among what is stored.
    var lostIDs: [String] { acknowledged.filter { stored[$0] == nil } }
}
