import TocsinProto
import TocsinWire

/// Answers calls with what they carry: at once, late, or never.
final class Server: Client {
    override func began() {
        var serve = Tocsin_V1_Serve()
        serve.service = "sim.Echo"
        send(Header(.serve, id: newID()), serve)
    }

    override func take(_ header: Header, _ body: [Bytes]) throws {
        guard header.kind == .call else { return }
        if world.isTroubled, random.chance(0.1) { return }
        let answer = [encode(Tocsin_V1_CallTail()), body[1].array]
        after(random.within(1...(world.isTroubled ? 1_200_000 : 10_000))) { [unowned self] in
            send(Header(.reply, id: header.id), answer)
        }
    }
}

/// Calls the servers, and the hub itself. Each call ends once: with its answer, a status, or the session.
final class Caller: Client {
    /// What the answer to each open call must be; nil: whatever the hub says.
    private var open: [UInt64: [UInt8]?] = [:]

    override var isAtRest: Bool { open.isEmpty }

    override func ended() { open = [:] }

    override func work() {
        guard world.isTroubled else { return }
        if random.chance(0.15) {
            var payload: [UInt8] = []
            LengthPrefixed.append((0..<random.within(0...40)).map { UInt8($0) }, to: &payload)
            call("sim.Echo/Say", payload, timeout: UInt32(random.within(100...1500)), expecting: payload)
            if random.chance(0.1), let id = open.keys.max() {
                send(Header(.cancel, id: id))
                open[id] = nil
            }
        }
        if random.chance(0.06) {
            // Dead letters hold the journal's oldest segments: they must go for those to go.
            let method = random.pick([
                "GetStatus", "ListDeadLetters", "RetryDeadLetters", "RetryDeadLetters", "DiscardDeadLetters", "CancelDelayed",
            ])
            var payload: [UInt8] = []
            LengthPrefixed.append(request(method), to: &payload)
            call("tocsin.v1.BrokerAdmin/\(method)", payload, timeout: 1000, expecting: nil)
        }
    }

    private func request(_ method: String) -> [UInt8] {
        switch method {
        case "DiscardDeadLetters":
            var request = Tocsin_V1_DiscardDeadLettersRequest()
            request.pool = random.pick(world.poolNames)
            // Some are none.
            request.sequences = (1...8).map { _ in UInt64(random.within(1...300)) }
            if let dead = world.checker.pool(request.pool)?.dead.prefix(random.within(0...3)) { request.sequences += dead }
            return encode(request)
        case "CancelDelayed":
            var request = Tocsin_V1_CancelDelayedRequest()
            request.ids = [.init("p1-\(random.within(1...40))".utf8)]
            // How far a pool has come that reads the past is its own affair, and so is what it can still take back.
            let isLevel = !world.poolNames.contains("late")
            if isLevel { request.ids += world.checker.delayed.keys.sorted().suffix(5).map { .init($0.utf8) } }
            return isLevel ? encode(request) : []
        case "GetStatus": return []
        default:
            var request = Tocsin_V1_RetryDeadLettersRequest()
            request.pool = random.pick(world.poolNames)
            return encode(request)
        }
    }

    private func call(_ method: String, _ payload: [UInt8], timeout: UInt32, expecting answer: [UInt8]?) {
        var head = Tocsin_V1_CallHead()
        head.method = method
        head.timeoutMs = timeout
        let id = newID()
        open[id] = .some(answer)
        world.coverage.calls += 1
        send(Header(.call, id: id), [encode(head), payload])
    }

    override func take(_ header: Header, _ body: [Bytes]) throws {
        guard let expected = open.removeValue(forKey: header.id) else {
            // A cancelled call may have been answered already.
            return
        }
        switch header.kind {
        case .reply:
            guard let expected else { return }
            if body.count < 2 || body[1].array != expected {
                world.checker.fail("answer", "\(name) got another answer than its own")
            }
        case .status: world.coverage.callsFailed += 1
        default: break
        }
    }
}
