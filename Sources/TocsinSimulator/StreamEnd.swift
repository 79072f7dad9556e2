import TocsinProto
import TocsinWire

/// What the two ends of a simulated call check of each other: numbered messages, in order, each once, never past the window.
///
/// Messages are a tag of the call, a number, and as many bytes more as the sender likes.
struct StreamEnd {
    /// Tells the messages of one call from those of another.
    let tag: UInt32
    /// Of what this end sends: the next number, and the room that is left.
    private(set) var sent: UInt32 = 0
    private(set) var room = Limits.callWindow
    /// Of what this end receives: the next number, the room that was given and is not used, and what was used since it was given.
    private(set) var received: UInt32 = 0
    private var allowed = Limits.callWindow
    private var used = 0

    init(tag: UInt32) { self.tag = tag }

    /// A frame of messages of these sizes, as many of them as the window allows.
    mutating func write(_ sizes: [Int]) -> (count: Int, frame: [UInt8]) {
        var frame: [UInt8] = []
        var count = 0
        for size in sizes where frame.count < room {
            var message: [UInt8] = []
            withUnsafeBytes(of: tag.bigEndian) { message += $0 }
            withUnsafeBytes(of: sent.bigEndian) { message += $0 }
            message += [UInt8](repeating: 7, count: size)
            LengthPrefixed.append(message, to: &frame)
            sent += 1
            count += 1
        }
        if count > 0 { room -= frame.count + Limits.callFrameOverhead }
        return (count, frame)
    }

    mutating func addRoom(_ more: Int) { room += more }

    /// Reads a frame; says what is wrong with it.
    mutating func read(_ frame: Bytes, count: Int) throws(WireError) {
        let allowed = allowed
        let tag = tag
        var next = received
        let seen = try LengthPrefixed.forEach(in: frame.buffer, atMost: .max, messageBytes: Limits.callMessageBytes) {
            (_, offset, message) throws(WireError) in
            guard offset < allowed else { throw WireError(.windowExceeded, "a message at \(offset) of a window of \(allowed)") }
            guard message.count >= 8, message.bigEndian(UInt32.self, at: 0) == tag else {
                throw WireError(.badCall, "a message of another call")
            }
            let number = message.bigEndian(UInt32.self, at: 4)
            guard number == next else { throw WireError(.badCall, "message \(number), expected \(next)") }
            next += 1
        }
        guard seen == count else { throw WireError(.badCall, "\(seen) messages, announced were \(count)") }
        received = next
        if seen > 0 {
            self.allowed -= frame.count + Limits.callFrameOverhead
            used += frame.count + Limits.callFrameOverhead
        }
    }

    /// What the reader has taken since the last time, to be given back; 0: not enough to be worth it.
    mutating func takeUsed() -> Int {
        guard used > Limits.callWindow / 4 else { return 0 }
        defer { used = 0 }
        allowed += used
        return used
    }
}

/// Answers calls: `Say` with what it got, at once, late, or never; `Stream` with as many messages as it gets.
final class Server: Client {
    private struct Served {
        var end: StreamEnd
        var isBegun = false
        var isHalfClosed = false
        /// Goes past its window one day.
        var isGreedy = false
    }
    private var served: [UInt64: Served] = [:]

    override var isAtRest: Bool { served.isEmpty }

    override func ended() { served = [:] }

    override func began() {
        var serve = Tocsin_V1_Serve()
        serve.service = "sim.Echo"
        send(Header(.serve, id: newID()), serve)
    }

    override func take(_ header: Header, _ body: [Bytes]) throws {
        switch header.kind {
        case .call:
            let head: Tocsin_V1_CallHead = try decode(body[0])
            guard head.method == "sim.Echo/Say" else { return try begin(head, header, body) }
            if world.isTroubled, random.chance(0.1) { return }
            let answer = [encode(Tocsin_V1_CallTail()), body[1].array]
            after(random.within(1...(world.isTroubled ? 1_200_000 : 10_000))) { [unowned self] in
                send(Header(.reply, id: header.id, count: 1), answer)
            }
        case .message:
            try read(header, body.first)
        case .window: served[header.id]?.end.addRoom(Int(header.count))
        case .cancel, .status: served[header.id] = nil
        default: break
        }
    }

    private func begin(_ head: Tocsin_V1_CallHead, _ header: Header, _ body: [Bytes]) throws {
        guard served[header.id] == nil else { return world.checker.fail("stream", "call \(header.id) begins twice") }
        let tag = head.metadata.first { $0.key == "tag-bin" }?.value.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } ?? 0
        served[header.id] = Served(end: StreamEnd(tag: tag), isGreedy: world.isTroubled && random.chance(0.02))
        try read(header, body.count > 1 ? body[1] : nil)
        answer(header.id)
    }

    private func read(_ header: Header, _ frame: Bytes?) throws {
        guard var call = served[header.id] else { return }
        if call.isHalfClosed { world.checker.fail("stream", "a request after the last") }
        if let frame {
            do { try call.end.read(frame, count: Int(header.count)) } catch { world.checker.fail("stream", "\(name): \(error)") }
        }
        call.isHalfClosed = header.flags & Header.halfClose != 0
        served[header.id] = call
        if world.isTroubled, random.chance(0.1) {
            // A reader that takes its time.
            after(random.within(1000...300_000)) { [unowned self] in give(header.id) }
        } else {
            give(header.id)
        }
    }

    private func give(_ id: UInt64) {
        guard let more = served[id]?.end.takeUsed(), more > 0 else { return }
        send(Header(.window, id: id, count: more))
    }

    /// Some of what is owed, and again a little later, until all is.
    private func answer(_ id: UInt64) {
        guard var call = served[id] else { return }
        let owed = Int(call.end.received - call.end.sent)
        let sizes = (0..<random.within(0...max(0, min(owed, 6)))).map { _ in
            random.within(0...(random.chance(0.2) ? 150_000 : 2000))
        }
        if call.isGreedy, call.end.room < Limits.callWindow / 2 {
            // One message the window allows, and one that it does not.
            var frame: [UInt8] = []
            for size in [Limits.callWindow, 1] { LengthPrefixed.append([UInt8](repeating: 0, count: size), to: &frame) }
            served[id] = nil
            world.coverage.windowsExceeded += 1
            return send(Header(.message, id: id, count: 2), [frame])
        }
        var (count, frame) = call.end.write(sizes)
        let isDone = call.isHalfClosed && call.end.sent == call.end.received
        if isDone {
            served[id] = nil
            var tail = Tocsin_V1_CallTail()
            tail.message = "\(call.end.sent)"
            return send(Header(.reply, id: id, count: count), [encode(tail)] + (count > 0 ? [frame] : []))
        }
        if !call.isBegun, count > 0 || random.chance(0.3) {
            if random.chance(0.5) {
                send(Header(.headers, id: id, count: count), [encode(Tocsin_V1_CallStart())] + (count > 0 ? [frame] : []))
                (count, frame) = (0, [])
            }
            call.isBegun = true
        }
        if count > 0 { send(Header(.message, id: id, count: count), [frame]) }
        served[id] = call
        after(random.within(500...(world.isTroubled ? 200_000 : 10_000))) { [unowned self] in answer(id) }
    }
}
