import TocsinProto
import TocsinWire

/// Publishes batches and sends every one that was not acknowledged again, with the same ids.
final class Producer: Client {
    struct Envelope {
        var id: String
        var bytes: [UInt8]
    }
    private struct Batch {
        var envelopes: [Envelope]
        /// Nil: to be sent.
        var request: UInt64?
    }

    /// Messages it will still make.
    var left: Int
    private var number = 0
    private var batches: [Batch] = []
    /// Acknowledged, and sent again now and then by a publisher that does not know.
    private var done: [Envelope] = []
    private let keys: Int
    private let payload: Int
    /// How many messages are surely not larger together than the hub takes at once.
    private let batch: Int

    init(index: Int, name: String, world: World, random: SplitMix64, messages: Int, keys: Int, payload: Int) {
        left = messages
        self.keys = keys
        self.payload = payload
        batch = max(1, 24_000 / (payload + 200))
        super.init(index: index, name: name, world: world, random: random)
    }

    override var isAtRest: Bool { left == 0 && batches.isEmpty }

    override func began() { for position in batches.indices { publish(position) } }

    override func ended() { for position in batches.indices { batches[position].request = nil } }

    override func work() {
        for position in batches.indices where batches[position].request == nil { publish(position) }
        guard batches.count < 6 else { return }
        if world.isTroubled, !done.isEmpty, random.chance(0.05) {
            // What it forgot that it had sent, among others or alone.
            let start = random.below(done.count)
            let half = max(1, batch / 2)
            var again = Array(done[start..<min(done.count, start + random.within(1...min(4, half)))])
            if left > 0, random.chance(0.5) { again += envelopes(random.within(1...min(3, half))) }
            world.coverage.resends += 1
            return append(again)
        }
        if world.isTroubled, let position = batches.indices.randomElement(using: &random), random.chance(0.03) {
            // Did not wait for the answer.
            world.coverage.resends += 1
            return append(batches[position].envelopes)
        }
        guard left > 0, random.chance(world.isTroubled ? 0.4 : 1) else { return }
        append(envelopes(random.within(1...8)))
    }

    private func append(_ envelopes: [Envelope]) {
        batches.append(Batch(envelopes: envelopes, request: nil))
        publish(batches.count - 1)
    }

    private func envelopes(_ count: Int) -> [Envelope] {
        var made: [Envelope] = []
        for _ in 0..<min(count, left, batch) {
            left -= 1
            number += 1
            var envelope = Tocsin_V1_Envelope()
            let id = "\(name)-\(number)"
            envelope.id = .init(id.utf8)
            envelope.subject = random.pick(["event.web.http", "event.web.disk", "event.db", "alert.web", "alert.db"])
            envelope.severity = random.pick([.info, .info, .minor, .major, .critical, .unspecified])
            if random.chance(0.6) { envelope.key = "key-\(random.below(keys))" }
            if random.chance(0.08) { envelope.notBefore = world.clock.moment.wall + random.within(1...6000) }
            envelope.type = "sim"
            envelope.payload = .init((0..<random.within(0...payload)).map { UInt8(truncatingIfNeeded: $0 &+ number) })
            made.append(Envelope(id: id, bytes: encode(envelope)))
            if random.chance(0.01), let twin = made.last { made.append(twin) }
        }
        return made
    }

    private func publish(_ position: Int) {
        let request = newID()
        batches[position].request = request
        var body: [UInt8] = []
        for envelope in batches[position].envelopes { LengthPrefixed.append(envelope.bytes, to: &body) }
        send(Header(.publish, id: request, count: batches[position].envelopes.count), [body])
    }

    override func take(_ header: Header, _ body: [Bytes]) throws {
        guard let position = batches.firstIndex(where: { $0.request == header.id }) else { return }
        switch header.kind {
        case .accepted:
            done += batches.remove(at: position).envelopes
            if done.count > 40 { done.removeFirst(done.count - 40) }
        case .status:
            if let hub = world.hub, hub.engine.isAtLimit { world.coverage.limitsReached += 1 }
            // Refused for now: again at a later time.
            let batch = batches[position].request
            after(random.within(100_000...600_000)) { [unowned self] in
                guard let position = batches.firstIndex(where: { $0.request == batch }) else { return }
                world.coverage.resends += 1
                publish(position)
            }
        default: break
        }
    }
}
