import TocsinProto
import TocsinWire

/// Reads the stream. After each loss it goes on after the last message it saw, so that over all its sessions it sees every
/// message that matches, or was told of the gap.
final class Tap: Client {
    private let filters: [SubjectFilter]
    private let credit: Int
    /// The sequence to see next; nil: it begins with what comes.
    private var next: UInt64?
    private var id: UInt64 = 0
    private let isLive: Bool

    init(index: Int, name: String, world: World, random: SplitMix64, filters: [SubjectFilter], credit: Int, isLive: Bool) {
        self.filters = filters
        self.credit = credit
        self.isLive = isLive
        next = isLive ? nil : 1
        super.init(index: index, name: name, world: world, random: random)
    }

    /// Where it was is forgotten: a replay begins at the beginning, of which some may be gone.
    override func crashed() { next = isLive ? nil : 1 }

    /// It has seen everything.
    override var isAtRest: Bool { state == .ready && (nextMatching == nil || next == nil) }

    private var nextMatching: StoredMessage? {
        guard let next, next <= world.checker.durableSequence else { return nil }
        return world.checker.messages[Int(next) - 1..<Int(world.checker.durableSequence)].first { message in
            filters.contains { $0.matches(message.subject) }
        }
    }

    override func began() {
        id = newID()
        var request = Tocsin_V1_Tap()
        request.filters = filters.map(\.description)
        request.credit = UInt32(credit)
        if let next {
            request.sequence = next
        } else if world.clock.now > 5_000_000, random.chance(0.3) {
            request.time = world.clock.moment.wall - 5000
        }
        send(Header(.tap, id: id), request)
    }

    override func take(_ header: Header, _ body: [Bytes]) throws {
        guard header.id == id else { return }
        switch header.kind {
        case .tapped:
            for row in 0..<Int(header.count) {
                let sequence = body[0].buffer.bigEndian(UInt64.self, at: row * 8)
                if let next, let expected = nextMatching?.sequence, sequence != expected {
                    return world.checker.fail("tap", "\(name) saw everything before \(next), and \(sequence) before \(expected)")
                }
                next = sequence + 1
            }
            send(Header(.credit, id: id, count: Int(header.count)))
        case .gap:
            let gap: Tocsin_V1_Gap = try decode(body[0])
            next = gap.last + 1
        default: break
        }
    }
}
