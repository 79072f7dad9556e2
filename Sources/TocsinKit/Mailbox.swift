import Synchronization
import TocsinPosix
import TocsinProto
import TocsinTransport
import TocsinWire

/// What tasks ask of the client's thread. Ids come from `Mailbox.nextID`.
enum Command: Sendable {
    case publish(EncodedBatch, id: UInt64, Ticket, deadline: Int64, gate: PublishGate)
    case declare(pool: String, spec: Bytes, id: UInt64, Ticket, deadline: Int64)
    case subscribe(pool: String, credit: Int, id: UInt64, Inbox<DeliveryBatch>, Ticket, deadline: Int64)
    case tap(filters: [String], TapStart, credit: Int, id: UInt64, Inbox<TapChunk>, Ticket, deadline: Int64)
    case consumed(Int, tap: UInt64)
    case closeStream(UInt64)
    /// There is something to send of this call.
    case flushCall(CallStream)
    case callWindow(CallStream, Int)
    case cancelCall(CallStream)
    case serve(service: String, body: Bytes, id: UInt64, CallService, Ticket, deadline: Int64)
    case withdraw(service: String, body: Bytes, id: UInt64)
    case ready(Ticket, deadline: Int64)
    case close(Ticket?)
}

/// Settlements of one session, as they go into one frame.
struct SettleChunk: Sendable {
    var session: UInt64
    var rows = 0
    var table: [UInt8] = []
    /// Length-prefixed, one for each row that is not an ack; empty if all are.
    var reasons: [UInt8] = []
}

/// The way from any task to the client's thread. What is in it is bounded by the gates before it, by credit, and by `roomMax`.
final class Mailbox: Sendable {
    private struct State {
        var commands: [Command] = []
        var settlements: [UInt64: [SettleChunk]] = [:]
        var signalled = false
        var closed = false
        var credits: [UInt64: Credit] = [:]
        /// The thread will take the settlements before long, without a signal.
        var isLooking = false
        /// There are settlements that should not wait for that.
        var isUrgent = false
    }

    /// Of a subscription.
    private struct Credit {
        var granted: Int
        /// Messages delivered whose settlements the thread has not taken yet.
        var used = 0
        /// The hub may have no reason to send anything before it hears of settlements.
        var isShort: Bool { 2 * used >= granted }
    }
    private static let roomMax = 65_536
    /// Settlement reasons longer than this are cut, as the hub would.
    private static let reasonMax = 1024

    private let state = Mutex(State())
    let events: EventCounter
    /// Ids count from here, so that they are not taken for those of the hub, which counts up from 1.
    private let ids = Atomic<UInt64>(1 << 32)

    init() throws(TransportError) {
        events = try EventCounter()
    }

    func nextID() -> UInt64 { ids.add(1, ordering: .relaxed).newValue }

    /// Puts `command` in the queue and wakes the thread.
    ///
    /// - Throws: `ClientError.closed`; `refused` if tasks without number ask at once.
    func post(_ command: Command) throws(ClientError) {
        let outcome: Result<Bool, ClientError> = state.withLock { state in
            if state.closed { return .failure(.closed) }
            if state.commands.count >= Self.roomMax, command.isRequest {
                return .failure(
                    .refused(
                        .tooMany, "\(state.commands.count) requests of this client wait already; make fewer at once", index: 0)
                )
            }
            state.commands.append(command)
            // What was settled before the end is sent before it.
            if command.isEnd { state.isUrgent = true }
            return .success(Self.needsSignal(&state))
        }
        if try outcome.get() { events.signal() }
    }

    // Settlements are not sent one by one: each would cost both sides several wake-ups, which at a few thousand a second is most
    // of what they do. The hub does not need to hear of them at once while it has credit left. So `delivered` says that the
    // thread is going to look for settlements soon, and until it does (`take` with `isDue`) `settle` need not wake it. Both
    // change `isLooking` under the lock: a settlement is there before that look and is taken by it, or comes after, finds
    // `isLooking` false and signals. What holds up something at the hub goes at once: the last half of the credit, the next
    // message of a key, another attempt.

    /// A subscription is begun.
    func opened(_ subscription: UInt64, credit: Int) {
        state.withLock { $0.credits[subscription] = Credit(granted: credit) }
    }

    /// The thread is about to hand out so many messages, and will call `take` with `isDue` soon.
    func delivered(_ count: Int, subscription: UInt64) {
        state.withLock { state in
            state.credits[subscription]?.used += count
            state.isLooking = true
        }
    }

    /// A subscription is over; nil: the session is, and what was delivered in it will not be settled.
    func forget(_ subscription: UInt64?) {
        state.withLock { state in
            if let subscription {
                state.credits[subscription] = nil
            } else {
                for id in state.credits.keys { state.credits[id]?.used = 0 }
            }
        }
    }

    /// Queues settlements; those queued for one subscription between two looks of the thread travel together.
    func settle(_ settlements: some Sequence<(Lease, Settlement)>, subscription: UInt64) {
        let signal = state.withLock { state -> Bool in
            if state.closed { return false }
            // Taken out, so that appending does not copy it.
            var chunks = state.settlements.removeValue(forKey: subscription) ?? []
            var chunk = chunks.popLast()
            var isUrgent = state.credits[subscription]?.isShort ?? true
            for (lease, settlement) in settlements {
                if chunk?.session != lease.session || chunk?.rows == Limits.batch {
                    if let full = chunk { chunks.append(full) }
                    chunk = SettleChunk(session: lease.session)
                }
                chunk?.append(lease, settlement, reasonMax: Self.reasonMax)
                if !isUrgent { isUrgent = lease.isKeyed || !settlement.isAck }
            }
            guard let chunk else { return false }
            chunks.append(chunk)
            state.settlements[subscription] = chunks
            if isUrgent { state.isUrgent = true }
            return (isUrgent || !state.isLooking) && Self.needsSignal(&state)
        }
        if signal { events.signal() }
    }

    private static func needsSignal(_ state: inout State) -> Bool {
        defer { state.signalled = true }
        return !state.signalled
    }

    /// Everything so far, for the thread; of settlements only what cannot wait, before the look that `delivered` announced is due.
    /// Both are emptied first and their storage goes back into use.
    ///
    /// - Returns: false if a look at the settlements is still to come.
    func take(_ commands: inout [Command], _ settlements: inout [UInt64: [SettleChunk]], isDue: Bool) -> Bool {
        commands.removeAll(keepingCapacity: true)
        settlements.removeAll(keepingCapacity: true)
        return state.withLock { state in
            if state.signalled { events.drain() }
            state.signalled = false
            swap(&commands, &state.commands)
            guard isDue || state.isUrgent || !state.isLooking else { return false }
            swap(&settlements, &state.settlements)
            for (subscription, chunks) in settlements {
                let rows = chunks.reduce(0) { $0 + $1.rows }
                if let used = state.credits[subscription]?.used { state.credits[subscription]?.used = max(0, used - rows) }
            }
            state.isLooking = false
            state.isUrgent = false
            return true
        }
    }

    /// From now on `post` throws; gives what nobody will look at any more.
    func close() -> [Command] {
        state.withLock { state in
            state.closed = true
            defer { state.commands = [] }
            return state.commands
        }
    }
}

extension Command {
    /// Whether a task waits for the answer; the others follow from something that is bounded already.
    fileprivate var isRequest: Bool {
        switch self {
        case .publish, .declare, .subscribe, .tap, .serve, .ready: true
        case .consumed, .closeStream, .flushCall, .callWindow, .cancelCall, .withdraw, .close: false
        }
    }

    /// Whether nothing can be settled after it.
    fileprivate var isEnd: Bool {
        switch self {
        case .close, .closeStream: true
        case .publish, .declare, .subscribe, .tap, .consumed, .flushCall, .callWindow, .cancelCall, .serve, .withdraw, .ready:
            false
        }
    }

    /// The ticket of a request.
    var ticket: Ticket? {
        switch self {
        case .publish(_, _, let ticket, _, _), .declare(_, _, _, let ticket, _), .subscribe(_, _, _, _, let ticket, _),
            .tap(_, _, _, _, _, let ticket, _), .serve(_, _, _, _, let ticket, _),
            .ready(let ticket, _):
            ticket
        case .close(let ticket): ticket
        case .consumed, .closeStream, .flushCall, .callWindow, .cancelCall, .withdraw: nil
        }
    }
}

extension Settlement {
    fileprivate var isAck: Bool {
        switch self {
        case .ack: true
        case .retry, .reject: false
        }
    }
}

extension SettleChunk {
    fileprivate init(session: UInt64) {
        self.session = session
    }

    fileprivate mutating func append(_ lease: Lease, _ settlement: Settlement, reasonMax: Int) {
        var entry = SettleEntry(sequence: lease.sequence, token: lease.token, outcome: .ack)
        switch settlement {
        case .ack: break
        case .retry(let after, let reason):
            entry.outcome = .retry
            entry.delay = UInt32(clamping: after.wholeMilliseconds)
            LengthPrefixed.append(Self.cut(reason, to: reasonMax), to: &reasons)
        case .reject(let reason):
            entry.outcome = .reject
            LengthPrefixed.append(Self.cut(reason, to: reasonMax), to: &reasons)
        }
        withUnsafeTemporaryAllocation(byteCount: SettleEntry.size, alignment: 8) { row in
            guard let base = row.baseAddress else { return }
            entry.write(to: base)
            table.append(contentsOf: row)
        }
        rows += 1
    }

    /// At most `limit` bytes of `text`, not ending within a character.
    private static func cut(_ text: String, to limit: Int) -> Substring.UTF8View {
        var end = text.utf8.index(text.startIndex, offsetBy: limit, limitedBy: text.endIndex) ?? text.endIndex
        while end > text.startIndex, end.samePosition(in: text.unicodeScalars) == nil { end = text.utf8.index(before: end) }
        return text[..<end].utf8
    }
}
