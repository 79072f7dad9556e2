import DequeModule
import Glibc
import Logging
import Synchronization
import TocsinKeys
import TocsinPosix
import TocsinProto
import TocsinTransport
import TocsinWire

/// The thread of a client: owns its socket, steps the `Session` and does what it says. Ends after `Command.close`.
///
/// Not `Sendable`: made on one thread, then used only on the one that `start` begins.
final class Connection {
    private let endpoint: String
    private let identity: Identity?
    let mailbox: Mailbox
    private let shared: SharedState
    private let logger: Logger
    /// Nil once the thread has ended. Nobody else holds it.
    private var context: Context?
    private var socket: ZMQSocket?
    private var poller: Poller?
    private var monitor: HandshakeMonitor?
    private var socketsMade = 0
    /// One after another.
    private var handshakesEnded = 0
    private static let handshakesMax = 3
    var session: Session<Ticket>
    /// Messages the socket has not taken yet. Bounded by the gates and by credit, as everything that is sent is.
    private var outbox: Deque<[Bytes]> = []
    private var subscriptions: [UInt64: Inbox<DeliveryBatch>] = [:]
    private var taps: [UInt64: Inbox<TapChunk>] = [:]
    var table = CallTable()
    private var closers: [Ticket] = []
    /// When to look for settlements of what was handed out; nil: they come with a signal.
    private var settleAt: Int64?
    private var ended = false

    /// Between two looks at the mailbox at most so many messages are received.
    private static let receivesMax = 256
    /// How long a goodbye and the last settlements may take to leave after `close`.
    private static let linger: Int32 = 500
    /// Settlements that nothing waits for are collected for so long, milliseconds.
    private static let settleAfter: Int64 = 2

    /// - Throws: `ClientError.badOption` for an endpoint that cannot work.
    init(_ options: ClientOptions, mailbox: Mailbox, shared: SharedState, logger: Logger) throws(ClientError) {
        endpoint = options.endpoint
        identity = options.endpoint.hasPrefix("tcp://") ? options.identity : nil
        self.mailbox = mailbox
        self.shared = shared
        self.logger = logger
        do {
            let hello = Tocsin_V1_Hello.with {
                $0.name = options.name
                $0.role = options.role
                $0.software = options.software
            }
            let configuration = Session<Ticket>.Configuration(
                endpoint: options.endpoint, hello: Bytes(try hello.serializedBytes()),
                welcomeTimeout: max(100, options.welcomeTimeout.wholeMilliseconds))
            session = Session(configuration)
            context = try Context()
            // A wrong endpoint is told now, not by a thread that fails later.
            try openSocket()
        } catch {
            throw .badOption("\(error)")
        }
    }

    /// - Throws: `ClientError.badOption` if no thread can be started.
    consuming func start() throws(ClientError) {
        // Sound: the only other reference is this one, which ends here.
        nonisolated(unsafe) let connection = self
        try startThread("connection") { connection.run() }
    }

    private func openSocket() throws(TransportError) {
        guard let context else { return }
        var options = SocketOptions()
        options.linger = Self.linger
        options.maxMessageBytes = Int64(Limits.bodyBytes)
        let socket = try ZMQSocket(.dealer, context: context, options: options)
        if let identity { try socket.secure(.curveClient(server: identity.hubKey, own: identity.keys)) }
        socketsMade += 1
        monitor = try HandshakeMonitor(socket, context: context, name: "\(socketsMade)")
        try socket.connect(endpoint)
        poller = Poller(socket: socket, descriptor: mailbox.events.descriptor)
        self.socket = socket
    }

    // MARK: Loop

    private func run() {
        var commands: [Command] = []
        var settlements: [UInt64: [SettleChunk]] = [:]
        var actions: [Session<Ticket>.Action] = []
        var parts: [Bytes] = []
        session.start(now: steadyNow())
        while !ended {
            let now = steadyNow()
            do {
                if mailbox.take(&commands, &settlements, isDue: settleAt.map { now >= $0 } ?? true) { settleAt = nil }
                for (subscription, chunks) in settlements {
                    for chunk in chunks { session.settle(chunk, subscription: subscription, now: now) }
                }
                for command in commands { handle(command, now: now) }
                var received = 0
                while received < Self.receivesMax, let socket, try socket.receive(into: &parts) {
                    received += 1
                    session.received(parts, now: now)
                    // The socket of what follows may be another.
                    if session.hasActions { perform(&actions, now: now) }
                }
                if !session.isLive, let failure = monitor?.next() { refused(failure, now: now) }
                if now >= session.wakeAt { session.tick(now: now) }
                perform(&actions, now: now)
                try flush()
                if !ended && received < Self.receivesMax { try wait() }
            } catch {
                session.lose("\(error)", now: now, level: .error)
                perform(&actions, now: now)
            }
        }
        finish()
    }

    /// The hub ended the handshake.
    private func refused(_ failure: HandshakeMonitor.Failure, now: Int64) {
        switch failure {
        case .refused(let status):
            if status == 400 {
                session.notAdmitted(
                    identity.map {
                        "the hub at \(endpoint) does not let in the key of \($0.name): it is not authorised there, was revoked, or has expired"
                    } ?? "the hub at \(endpoint) does not let this user in", now: now)
            } else {
                session.lose("the hub at \(endpoint) cannot read its keys now", now: now)
            }
        case .mechanisms:
            session.notAdmitted(
                identity == nil
                    ? "the hub at \(endpoint) wants a key: give the file of one with --identity or TOCSIN_IDENTITY"
                    : "the hub at \(endpoint) has no keys: it would not be known that it is the right one", now: now)
        case .protocolError(let code):
            session.notAdmitted(
                "the hub at \(endpoint) does not answer as the holder of the hub's key would (\(String(code, radix: 16)))",
                now: now)
        // Once, the hub went or is busy. A hub that cannot read what was encrypted for another just ends the connection.
        case .ended:
            handshakesEnded += 1
            guard handshakesEnded >= Self.handshakesMax else { return }
            handshakesEnded = 0
            session.notAdmitted(
                "the hub at \(endpoint) ends each handshake: "
                    + (identity.map { "it does not answer as the holder of the hub's key in the file of \($0.name)" }
                        ?? "it may want a key; give the file of one with --identity or TOCSIN_IDENTITY"),
                now: now)
        }
    }

    private func wait() throws(TransportError) {
        // While a handshake may fail it is looked for.
        let most: Int64 = session.isLive ? 60_000 : 50
        let timeout = Int(max(0, min(min(session.wakeAt, settleAt ?? .max) - steadyNow(), most)))
        if poller != nil {
            _ = try poller?.wait(timeout: timeout, toSend: !outbox.isEmpty)
        } else {
            var item = pollfd(fd: mailbox.events.descriptor, events: Int16(POLLIN), revents: 0)
            _ = poll(&item, 1, Int32(timeout))
        }
    }

    private func flush() throws(TransportError) {
        guard let socket else { return outbox.removeAll() }
        while let message = outbox.first {
            guard try socket.send(message) == .sent else { return }
            outbox.removeFirst()
        }
    }

    private func finish() {
        shared.isConnected.store(false, ordering: .releasing)
        shared.closeGates()
        for command in mailbox.close() {
            switch command {
            case .close(let ticket): if let ticket { closers.append(ticket) }
            case .flushCall(let stream): stream.end(.closed)
            default: command.ticket?.complete(.failure(ClientError.closed))
            }
        }
        poller = nil
        monitor = nil
        socket = nil
        // Ends the context, which waits for what lingers: whoever closes may end the process as soon as it is answered, and
        // would otherwise take its goodbye and its last settlements along.
        context = nil
        for closer in closers { closer.complete(.success(.done)) }
    }

    // MARK: Commands

    private func handle(_ command: Command, now: Int64) {
        switch command {
        case .publish(let batch, let id, let ticket, let deadline, let gate):
            session.publish(batch, id: id, waiter: ticket, deadline: deadline, gate: gate, now: now)
        case .declare(let pool, let spec, let id, let ticket, let deadline):
            session.declare(pool: pool, spec: spec, id: id, waiter: ticket, deadline: deadline, now: now)
        case .subscribe(let pool, let credit, let id, let inbox, let ticket, let deadline):
            subscriptions[id] = inbox
            mailbox.opened(id, credit: credit)
            session.subscribe(pool: pool, credit: credit, id: id, waiter: ticket, deadline: deadline, now: now)
        case .tap(let filters, let start, let credit, let id, let inbox, let ticket, let deadline):
            taps[id] = inbox
            session.tap(filters, from: start, credit: credit, id: id, waiter: ticket, deadline: deadline, now: now)
        case .consumed(let count, let tap): session.consumed(count, tap: tap, now: now)
        case .closeStream(let id): session.closeStream(id, now: now)
        case .flushCall(let stream): flushCall(stream, now: now)
        case .callWindow(let stream, let bytes): giveWindow(stream, bytes, now: now)
        case .cancelCall(let stream): cancelCall(stream, now: now)
        case .serve(let name, let body, let id, let service, let ticket, let deadline):
            table.services[name] = service
            session.serve(service: name, serve: body, id: id, waiter: ticket, deadline: deadline, now: now)
        case .withdraw(let name, let body, let id):
            table.services[name] = nil
            session.withdraw(service: name, body: body, id: id, now: now)
        case .ready(let ticket, let deadline): session.ready(ticket, deadline: deadline)
        case .close(let ticket):
            if let ticket { closers.append(ticket) }
            session.close(now: now)
        }
    }

    // MARK: Actions

    private func perform(_ actions: inout [Session<Ticket>.Action], now: Int64) {
        while session.hasActions {
            session.takeActions(into: &actions)
            for action in actions { perform(action, now: now) }
        }
        actions.removeAll(keepingCapacity: true)
    }

    private func perform(_ action: Session<Ticket>.Action, now: Int64) {
        switch action {
        case .openSocket:
            guard socket == nil else { return }
            do {
                try openSocket()
            } catch {
                session.lose("\(error)", now: now, level: .error)
            }
        case .closeSocket:
            poller = nil
            monitor = nil
            socket = nil
            outbox.removeAll()
        case .send(let message): outbox.append(message)
        case .connected(let limits):
            handshakesEnded = 0
            shared.connected(limits)
        case .disconnected:
            shared.isConnected.store(false, ordering: .releasing)
            for inbox in subscriptions.values { inbox.clear() }
            mailbox.forget(nil)
            table.cancelServed()
        case .answer(let ticket, let result): ticket.complete(result.mapError { $0 })
        case .published(let ticket, let result, let bytes, let gate):
            shared.gate(gate).leave(bytes: bytes)
            ticket.complete(result.mapError { $0 })
        case .deliver(let id, let batch):
            guard let inbox = subscriptions[id] else { return }
            // Before it is handed out: its settlement may come at once.
            mailbox.delivered(batch.count, subscription: id)
            var batch = batch
            (batch.mailbox, batch.subscription) = (mailbox, id)
            if settleAt == nil { settleAt = now + Self.settleAfter }
            if !inbox.push(batch, weight: batch.count) { session.violation("more deliveries than credit", now: now) }
        case .tapped(let id, let chunk):
            guard let inbox = taps[id] else { return }
            if !inbox.push(chunk, weight: chunk.count) { session.violation("more tapped than credit", now: now) }
        case .endStream(let id, let error):
            subscriptions.removeValue(forKey: id)?.finish(throwing: error, dropping: true)
            mailbox.forget(id)
            taps.removeValue(forKey: id)?.finish(throwing: error, dropping: true)
        case .serve(let id, let head, let messages, let isLast): serveCall(id, head, messages, isLast: isLast, now: now)
        case .call(let id, let action): perform(action, id, now: now)
        case .log(let level, let message): logger.log(level: level, "\(message)")
        case .ended:
            // The goodbye is in the outbox; a socket that does not take it now has no hub to say it to.
            do {
                try flush()
            } catch {
                logger.debug("no goodbye: \(error)")
            }
            table.cancelServed()
            ended = true
        }
    }
}

/// What tasks look at without asking the thread.
final class SharedState: Sendable {
    let isConnected = Atomic<Bool>(false)
    private let limitsState = Mutex(HubLimits())
    private let waiting = Gate(pieces: 256, bytes: 64 << 20)
    private let spooling = Gate(pieces: 64, bytes: 16 << 20)
    let calls = Gate(pieces: Limits.calls)
    private let whenConnected = Mutex<(@Sendable () -> Void)?>(nil)

    var limits: HubLimits { limitsState.withLock { $0 } }

    func gate(_ gate: PublishGate) -> Gate {
        switch gate {
        case .waiting: waiting
        case .spooling: spooling
        }
    }

    /// `action` is called on the client's thread each time there is a session.
    func onConnect(_ action: @escaping @Sendable () -> Void) {
        whenConnected.withLock { $0 = action }
    }

    func connected(_ limits: HubLimits) {
        limitsState.withLock { $0 = limits }
        isConnected.store(true, ordering: .releasing)
        whenConnected.withLock { $0 }?()
    }

    func closeGates() {
        waiting.close()
        spooling.close()
        calls.close()
    }
}
