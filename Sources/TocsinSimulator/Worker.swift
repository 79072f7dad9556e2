import TocsinProto
import TocsinWire

/// A pool as workers declare it.
struct PoolPlan {
    var name: String
    var filters: [String]
    var terms: PoolTerms
}

/// Takes messages of one pool. In times of trouble it is late, silent, refuses, or dies with what it holds.
final class Worker: Client {
    private let plan: PoolPlan
    private let credit: Int
    private let slowness: UInt64
    /// Refuses most of what it gets, at length.
    private let isAngry: Bool
    private var subscription: UInt64 = 0
    /// What it was given last.
    private var given: [DeliveryEntry] = []

    init(
        index: Int, name: String, world: World, random: SplitMix64, plan: PoolPlan, credit: Int, slowness: UInt64, isAngry: Bool
    ) {
        self.plan = plan
        self.credit = credit
        self.slowness = slowness
        self.isAngry = isAngry
        super.init(index: index, name: name, world: world, random: random)
    }

    override func began() { join() }

    private func join() {
        var spec = Tocsin_V1_PoolSpec()
        spec.name = plan.name
        spec.filters = plan.filters
        spec.visibilityMs = UInt32(plan.terms.visibility)
        spec.maxAttempts = UInt32(plan.terms.maxAttempts)
        spec.fromStart = plan.terms.fromStart
        spec.backoffMs = UInt32(plan.terms.backoff)
        spec.exclusive = plan.terms.exclusive
        send(Header(.declare, id: newID()), spec)
        subscription = newID()
        var subscribe = Tocsin_V1_Subscribe()
        subscribe.pool = plan.name
        subscribe.credit = UInt32(credit)
        send(Header(.subscribe, id: subscription), subscribe)
        guard world.isTroubled, !given.isEmpty, random.chance(0.3) else { return }
        // It does not know that these were taken from it.
        settle(subscription, given.map { (SettleEntry(sequence: $0.sequence, token: $0.token, outcome: .ack), "") })
    }

    override func crashed() { given = [] }

    override func work() {
        guard world.isTroubled else { return }
        if random.chance(0.01) { send(Header(.credit, id: subscription, count: random.within(1...3))) }
        if random.chance(0.004) {
            send(Header(.unsubscribe, id: subscription))
            join()
        }
    }

    override func take(_ header: Header, _ body: [Bytes]) throws {
        switch header.kind {
        case .status where header.id == subscription && header.reason != Reason.ok.rawValue:
            after(200_000) { [unowned self] in join() }
        case .deliver:
            let id = header.id
            var together: [(SettleEntry, String)] = []
            for row in 0..<Int(header.count) {
                let delivery = DeliveryEntry(body[0].buffer, at: row)
                given.append(delivery)
                guard let (settlement, reason, delay) = decide(delivery) else { continue }
                if delay == 0 {
                    together.append((settlement, reason))
                } else {
                    after(delay) { [unowned self] in settle(id, [(settlement, reason)]) }
                }
            }
            given.removeFirst(max(0, given.count - 8))
            guard !together.isEmpty else { return }
            after(random.within(1...slowness)) { [unowned self] in settle(id, together) }
        default: break
        }
    }

    /// What to do with a message, and when (0: with the others of its delivery); nil: nothing, ever.
    private func decide(_ delivery: DeliveryEntry) -> (SettleEntry, String, UInt64)? {
        let ack = SettleEntry(sequence: delivery.sequence, token: delivery.token, outcome: .ack)
        guard world.isTroubled else { return (ack, "", 0) }
        if isAngry, random.chance(0.9) {
            let reject = SettleEntry(sequence: delivery.sequence, token: delivery.token, outcome: .reject)
            return (reject, "\(delivery.sequence) " + String(repeating: "no ", count: random.within(200...340)), 0)
        }
        switch random.below(100) {
        case 0..<4: return nil
        case 4..<12:
            let delay = random.chance(0.3) ? 0 : UInt32(random.within(1...2500))
            let retry = SettleEntry(sequence: delivery.sequence, token: delivery.token, outcome: .retry, delay: delay)
            return (retry, random.chance(0.5) ? "try again" : "", 0)
        case 12..<15:
            let reject = SettleEntry(sequence: delivery.sequence, token: delivery.token, outcome: .reject)
            return (reject, random.chance(0.7) ? "no good: \(delivery.sequence)" : "", 0)
        case 15..<18: return (ack, "", plan.terms.visibility * 1000 + random.within(0...300_000))
        case 18..<40: return (ack, "", random.within(1...slowness))
        default: return (ack, "", 0)
        }
    }

    private func settle(_ id: UInt64, _ rows: [(SettleEntry, String)]) {
        var table = [UInt8](repeating: 0, count: rows.count * SettleEntry.size)
        var reasons: [UInt8] = []
        table.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            for (row, settlement) in rows.enumerated() { settlement.0.write(to: base + row * SettleEntry.size) }
        }
        for (entry, reason) in rows where entry.outcome != .ack { LengthPrefixed.append(Array(reason.utf8), to: &reasons) }
        send(Header(.settle, id: id, count: rows.count), reasons.isEmpty ? [table] : [table, reasons])
    }
}
