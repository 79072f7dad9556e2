import SwiftProtobuf
import TocsinProto
import TocsinWire

/// A peer written against the protocol alone: says hello, keeps the session alive, notices its loss and begins anew.
class Client {
    enum State {
        /// Not running, or crashed.
        case away
        /// Waits for welcome.
        case greeting
        case ready
    }

    let index: Int
    let name: String
    unowned let world: World
    var random: SplitMix64
    var connection: Connection?
    /// It reads nothing until then, microseconds.
    var stalledUntil: UInt64 = 0
    private(set) var state = State.away
    /// Number of the session; what was put off for an older one is dropped.
    private(set) var session = 0
    private var nextID: UInt64 = 1
    private var heard: UInt64 = 0
    private var said: UInt64 = 0
    private var heartbeat: UInt64 = 1_000_000

    init(index: Int, name: String, world: World, random: SplitMix64) {
        self.index = index
        self.name = name
        self.world = world
        self.random = random
    }

    // MARK: What kinds of clients do

    /// A session has begun: open what must be open, send what was not answered.
    func began() {}
    /// The session is over.
    func ended() {}
    /// Anything but hello and heartbeats.
    func take(_ header: Header, _ body: [Bytes]) throws {}
    /// Now and then, in a session.
    func work() {}
    /// Everything it wanted has come about.
    var isAtRest: Bool { true }
    /// The process ends: what it had in memory is gone.
    func crashed() {}

    // MARK: The session

    func newID() -> UInt64 {
        nextID += 1
        return nextID
    }

    /// Does something later, if the session still stands.
    func after(_ microseconds: UInt64, _ action: @escaping () -> Void) {
        let session = session
        world.after(microseconds) { [unowned self] in if self.session == session, state == .ready { action() } }
    }

    func start() {
        guard state == .away else { return }
        begin()
    }

    /// A new socket, and hello.
    private func begin() {
        if state == .ready { ended() }
        if let connection { world.network.sever(connection, noticedWithin: 2000) }
        session += 1
        state = .greeting
        connection = world.network.connect(index)
        heard = world.clock.now
        hello()
    }

    private func hello() {
        var hello = Tocsin_V1_Hello()
        hello.name = name
        hello.role = "simulated"
        send(Header(.hello), hello)
    }

    /// Gone without a word, as a process that is killed: the hub notices at once or late.
    func crash(noticedWithin notice: UInt64) {
        guard state != .away else { return }
        if let connection { world.network.sever(connection, noticedWithin: notice) }
        connection = nil
        if state == .ready { ended() }
        state = .away
        session += 1
        crashed()
    }

    func goodbye() {
        guard state == .ready else { return }
        send(Header(.goodbye))
        begin()
    }

    func wake() {
        guard world.clock.now >= stalledUntil else { return }
        switch state {
        case .away: break
        case .greeting:
            // The connection may be dead; ZeroMQ would make another.
            if world.clock.now > heard + 3 * heartbeat { return begin() }
            if world.clock.now > said + 300_000 { hello() }
        case .ready:
            if world.clock.now > heard + 3 * heartbeat { return begin() }
            if world.clock.now > said + heartbeat / 2 { send(Header(.heartbeat, id: 1)) }
            work()
        }
    }

    func receive(_ parts: [Bytes]) {
        heard = world.clock.now
        do {
            let header = try Header(parts[0].buffer)
            switch header.kind {
            case .welcome:
                guard state == .greeting else { return }
                let welcome: Tocsin_V1_Welcome = try decode(parts[1])
                heartbeat = UInt64(welcome.heartbeatMs) * 1000
                state = .ready
                began()
            case .heartbeat: break
            case .goodbye: if state == .ready { begin() }
            case .status where header.reason == Reason.notWelcomed.rawValue: if state == .ready { begin() }
            default: if state == .ready { try take(header, Array(parts.dropFirst())) }
            }
        } catch { world.checker.fail("answer", "\(name) cannot read what the hub sent: \(error)") }
    }

    // MARK: Sending

    func send(_ header: Header, _ body: [[UInt8]] = []) {
        guard let connection else { return }
        said = world.clock.now
        world.send(connection, [Bytes(header.bytes)] + body.map { Bytes($0) })
    }

    func send(_ header: Header, _ message: some Message) { send(header, [encode(message)]) }

    func encode(_ message: some Message) -> [UInt8] {
        do { return try message.serializedBytes() } catch {
            world.checker.fail("answer", "\(error)")
            return []
        }
    }

    func decode<M: Message>(_ bytes: Bytes) throws -> M { try M(serializedBytes: bytes.array) }
}
