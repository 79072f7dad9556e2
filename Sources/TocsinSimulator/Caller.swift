import TocsinProto
import TocsinWire

/// Calls the servers, and the hub itself. Each call ends once: with its answer, a status, or the session.
final class Caller: Client {
    /// What the answer to each open call must be; nil: whatever the hub says.
    private var open: [UInt64: [UInt8]?] = [:]
    /// A call of `Stream`: as many responses as requests come back, in order.
    private struct Stream {
        var end: StreamEnd
        var left: Int
        var isBegun = false
        var isCheating = false
    }
    private var streams: [UInt64: Stream] = [:]

    override var isAtRest: Bool { open.isEmpty && streams.isEmpty }

    override func ended() {
        open = [:]
        streams = [:]
    }

    override func work() {
        guard world.isTroubled else { return makeRoom() }
        if random.chance(0.15) {
            var payload: [UInt8] = []
            LengthPrefixed.append((0..<random.within(0...40)).map { UInt8($0) }, to: &payload)
            call("sim.Echo/Say", payload, timeout: UInt32(random.within(100...1500)), expecting: payload)
            if random.chance(0.1), let id = open.keys.max() {
                send(Header(.cancel, id: id))
                open[id] = nil
            }
        }
        if streams.count < 3, random.chance(0.05) { stream() }
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

    /// What an operator does where publishers are refused though all there is was tried: dead letters take the journal.
    private func makeRoom() {
        guard world.isStuckAtLimit, open.isEmpty else { return }
        var request = Tocsin_V1_DiscardDeadLettersRequest()
        request.pool = random.pick(world.poolNames)
        request.sequences = Array((world.checker.pool(request.pool)?.dead ?? []).prefix(10))
        guard !request.sequences.isEmpty else { return }
        var payload: [UInt8] = []
        LengthPrefixed.append(encode(request), to: &payload)
        call("tocsin.v1.BrokerAdmin/DiscardDeadLetters", payload, timeout: 1000, expecting: nil)
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
        send(Header(.call, id: id, count: 1, flags: Header.halfClose), [encode(head), payload])
    }

    // MARK: Streams

    private func stream() {
        let id = newID()
        let tag = UInt32(truncatingIfNeeded: random.next())
        var head = Tocsin_V1_CallHead()
        head.method = "sim.Echo/Stream"
        head.timeoutMs = random.chance(0.2) ? UInt32(random.within(50...3000)) : 8000
        var entry = Tocsin_V1_MetadataEntry()
        entry.key = "tag-bin"
        withUnsafeBytes(of: tag.bigEndian) { entry.value = .init($0) }
        head.metadata = [entry]
        var stream = Stream(end: StreamEnd(tag: tag), left: random.within(0...60), isCheating: random.chance(0.03))
        let (count, frame) = stream.end.write(sizes(stream))
        stream.left -= count
        let isLast = stream.left == 0 && random.chance(0.5)
        streams[id] = stream
        world.coverage.streams += 1
        send(
            Header(.call, id: id, count: count, flags: isLast ? Header.halfClose : 0),
            [encode(head)] + (count > 0 ? [frame] : []))
        if !isLast { after(random.within(10...20_000)) { [unowned self] in more(id) } }
    }

    private func sizes(_ stream: Stream) -> [Int] {
        (0..<random.within(0...min(stream.left, 8))).map { _ in random.within(0...(random.chance(0.2) ? 150_000 : 1000)) }
    }

    private func more(_ id: UInt64) {
        guard var stream = streams[id] else { return }
        if world.isTroubled, random.chance(0.02) {
            streams[id] = nil
            return send(Header(.cancel, id: id))
        }
        if stream.isCheating, stream.end.room < Limits.callWindow {
            var frame: [UInt8] = []
            for size in [Limits.callWindow, 1] { LengthPrefixed.append([UInt8](repeating: 0, count: size), to: &frame) }
            return send(Header(.message, id: id, count: 2), [frame])
        }
        let (count, frame) = stream.end.write(sizes(stream))
        stream.left -= count
        let isLast = stream.left == 0
        streams[id] = stream
        if count > 0 || isLast {
            send(Header(.message, id: id, count: count, flags: isLast ? Header.halfClose : 0), count > 0 ? [frame] : [])
        }
        if !isLast { after(random.within(10...(world.isTroubled ? 100_000 : 5000))) { [unowned self] in more(id) } }
    }

    private func streamed(_ header: Header, _ body: [Bytes]) throws {
        guard var stream = streams[header.id] else { return }
        let frame: Bytes?
        switch header.kind {
        case .window:
            streams[header.id]?.end.addRoom(Int(header.count))
            return
        case .status:
            let reason = Reason(rawValue: header.reason)
            if reason == .windowExceeded { world.coverage.windowsRefused += 1 }
            if stream.isCheating, stream.end.room < Limits.callWindow { world.coverage.cheatersEnded += 1 }
            world.coverage.streamsFailed += 1
            streams[header.id] = nil
            return
        case .message: frame = body.first
        case .headers:
            if stream.isBegun { world.checker.fail("stream", "headers come late or twice") }
            frame = body.count > 1 ? body[1] : nil
        case .reply: frame = body.count > 1 ? body[1] : nil
        default: return
        }
        stream.isBegun = true
        if let frame {
            do { try stream.end.read(frame, count: Int(header.count)) } catch {
                world.checker.fail("stream", "\(name): \(error)")
            }
        }
        streams[header.id] = stream
        if header.kind == .reply {
            let tail: Tocsin_V1_CallTail = try decode(body[0])
            streams[header.id] = nil
            world.coverage.streamsDone += 1
            if tail.message != "\(stream.end.received)" || stream.left > 0 {
                world.checker.fail("stream", "\(stream.end.received) responses of \(tail.message), \(stream.left) requests left")
            }
        } else {
            after(random.within(1...(world.isTroubled ? 100_000 : 1000))) { [unowned self] in
                guard let more = streams[header.id]?.end.takeUsed(), more > 0 else { return }
                send(Header(.window, id: header.id, count: more))
            }
        }
    }

    override func take(_ header: Header, _ body: [Bytes]) throws {
        if streams[header.id] != nil { return try streamed(header, body) }
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
