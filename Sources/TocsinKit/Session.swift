import Logging
import TocsinProto
import TocsinWire

/// Publishers that may spool do not queue behind those that wait for the hub.
enum PublishGate: Sendable { case waiting, spooling }

/// The protocol as a client speaks it, without sockets, threads or clocks: takes what happens, and says what to do about it.
///
/// It survives connections. Requests, subscriptions, taps and services are kept here until they are answered or ended, and
/// each new connection begins with all of them again, under the same ids. All ids come from one count (`Connection`), so an
/// answer is never taken for one of another kind. Times are milliseconds of a steady clock.
struct Session<Waiter: Sendable> {
    enum Action {
        /// Make a new socket and connect it.
        case openSocket
        case closeSocket
        case send([Bytes])
        case connected(HubLimits)
        /// What was delivered before is void.
        case disconnected
        case answer(Waiter, Result<Answer, ClientError>)
        /// A publish is answered; its `bytes` no longer count as under way.
        case published(Waiter, Result<Answer, ClientError>, bytes: Int, gate: PublishGate)
        case deliver(subscription: UInt64, DeliveryBatch)
        case tapped(tap: UInt64, TapChunk)
        /// A subscription or tap that will get nothing any more.
        case endStream(UInt64, ClientError?)
        /// A call to be served; `isLast`: no more requests follow.
        case serve(id: UInt64, Tocsin_V1_CallHead, Bytes?, isLast: Bool)
        case call(UInt64, CallAction)
        case log(Logger.Level, String)
        /// After `close`: nothing follows.
        case ended
    }

    enum Phase: Equatable {
        /// Before `start`, and after `close`.
        case off
        /// No socket; a new one is made then.
        case pausing(until: Int64)
        case connecting(until: Int64, nextHello: Int64)
        case live
    }

    struct Configuration {
        var endpoint: String
        var hello: Bytes
        var welcomeTimeout: Int64
    }

    let configuration: Configuration
    private(set) var phase = Phase.off
    /// Counts welcomes; what belongs to an earlier one is void.
    private(set) var number: UInt64 = 0
    private(set) var violations = 0
    private(set) var limits = HubLimits()
    /// `tick` is wanted then at the latest.
    private(set) var wakeAt = Int64.max
    private var actions: [Action] = []

    private var heartbeat: Int64 = 2000
    private var lastReceived: Int64 = 0
    private var lastSent: Int64 = 0
    private var lastHeartbeat: Int64 = 0
    private var liveSince: Int64 = 0
    private var failures = 0
    /// Which journal the sequences seen so far belong to.
    private var hubID: [UInt8]?
    /// Why the hub has not let this client in; nil: it has, or was not asked.
    private var refusal: String?
    private var readyWaiters: [(waiter: Waiter, deadline: Int64)] = []

    var publishes: [UInt64: Publish] = [:]
    var divided: [UInt64: Divided] = [:]
    /// Ids of parts count from here, far above those of the mailbox.
    var partID: UInt64 = 1 << 62
    var flow = Flow()
    var requests: [UInt64: Request] = [:]
    var streams: [UInt64: Stream] = [:]
    var calls: [UInt64: Call] = [:]
    var served: Set<UInt64> = []

    init(_ configuration: Configuration) {
        self.configuration = configuration
    }

    var isLive: Bool { phase == .live }
    var hasActions: Bool { !actions.isEmpty }

    /// What to do now, in order. `into` is given back emptied for the next use.
    mutating func takeActions(into taken: inout [Action]) {
        taken.removeAll(keepingCapacity: true)
        swap(&taken, &actions)
    }

    // MARK: Connection

    mutating func start(now: Int64) {
        guard phase == .off else { return }
        open(now)
    }

    private mutating func open(_ now: Int64) {
        phase = .connecting(until: now + configuration.welcomeTimeout, nextHello: now + 1000)
        act(.openSocket)
        send(.hello, body: [configuration.hello], now: now)
        wake(at: now + 1000)
        wake(at: now + configuration.welcomeTimeout)
    }

    /// The connection is of no more use: begin again, at once the first time, then ever later, up to two seconds.
    mutating func lose(_ why: String, now: Int64, level: Logger.Level = .warning) {
        guard phase != .off else { return }
        let wasLive = isLive
        if wasLive && now - liveSince > 3 * heartbeat { failures = 0 }
        let pause: Int64 = failures == 0 ? 0 : min(2000, 50 << Int64(min(failures, 6)))
        failures += 1
        act(.log(level, "\(why); connecting again to \(configuration.endpoint)"))
        act(.closeSocket)
        phase = .pausing(until: now + pause)
        wake(at: now + pause)
        if wasLive {
            losePublishes(now)
            loseStreams(now)
            loseCalls()
            act(.disconnected)
        }
    }

    /// The hub does not let this client in. Whoever waits for a session is told; it is tried again, later than after a loss.
    mutating func notAdmitted(_ why: String, now: Int64) {
        for ready in readyWaiters { act(.answer(ready.waiter, .failure(.notAdmitted(why)))) }
        readyWaiters.removeAll()
        refusal = why
        failures = max(failures, 6)
        lose(why, now: now, level: .error)
    }

    /// The other side sent what the protocol does not allow.
    mutating func violation(_ what: String, now: Int64) {
        violations += 1
        lose("the hub broke the protocol (\(what))", now: now, level: .error)
    }

    private mutating func welcomed(_ body: Bytes, now: Int64) {
        guard case .connecting = phase else { return }
        let welcome: Tocsin_V1_Welcome
        do {
            welcome = try Tocsin_V1_Welcome(serializedBytes: body.array)
        } catch {
            return violation("welcome: \(error)", now: now)
        }
        phase = .live
        refusal = nil
        number += 1
        liveSince = now
        heartbeat = welcome.heartbeatMs == 0 ? 2000 : min(max(Int64(welcome.heartbeatMs), 50), 60_000)
        limits = HubLimits(
            messageBytes: welcome.maxMessageBytes, bodyBytes: welcome.maxBodyBytes, batch: welcome.maxBatch)
        let journal = Array(welcome.hubID)
        if let hubID, hubID != journal { restartTaps() }
        hubID = journal
        act(.log(.info, "connected to \(configuration.endpoint): \(welcome.hub), epoch \(welcome.epoch)"))
        act(.connected(limits))
        for ready in readyWaiters { act(.answer(ready.waiter, .success(.done))) }
        readyWaiters.removeAll()
        resumeRequests(now)
        resumeStreams(now)
        resumePublishes(now)
        resumeCalls(now)
        wake(at: now + heartbeat / 2)
    }

    /// Answers `waiter` when there is a session, at once if there is one.
    mutating func ready(_ waiter: Waiter, deadline: Int64) {
        if isLive { return act(.answer(waiter, .success(.done))) }
        guard phase != .off else { return act(.answer(waiter, .failure(.closed))) }
        readyWaiters.append((waiter, deadline))
        wake(at: deadline)
    }

    /// Says goodbye and answers everyone who waits with `closed`.
    mutating func close(now: Int64) {
        guard phase != .off else { return }
        if isLive { send(.goodbye, now: now) }
        phase = .off
        for ready in readyWaiters { act(.answer(ready.waiter, .failure(.closed))) }
        readyWaiters.removeAll()
        closePublishes()
        closeRequests()
        closeStreams()
        closeCalls()
        act(.ended)
    }

    // MARK: What comes from the hub

    /// One message from the socket: the header and its body frames. Never traps, whatever the bytes.
    mutating func received(_ parts: [Bytes], now: Int64) {
        switch phase {
        case .off, .pausing: return
        case .connecting, .live: break
        }
        guard let first = parts.first else { return }
        let header: Header
        do {
            header = try Header(first.buffer)
        } catch {
            // A newer hub may send kinds that this client does not know; they are not for it.
            if error.reason == .unknownKind { return }
            return violation(error.description, now: now)
        }
        guard header.kind.bodyFrames.contains(parts.count - 1) else {
            return violation("\(parts.count - 1) body frames for \(header.kind)", now: now)
        }
        lastReceived = now
        guard isLive else {
            switch header.kind {
            case .welcome: welcomed(parts[1], now: now)
            case .goodbye: lose("the hub is shutting down", now: now, level: .info)
            default: break
            }
            return
        }
        switch header.kind {
        case .welcome, .heartbeat: break
        case .goodbye: lose("the hub is shutting down", now: now, level: .info)
        case .status: status(header, parts[1], now: now)
        case .accepted: accepted(header.id, parts[1], now: now)
        case .deliver: delivered(header, table: parts[1], body: parts[2], now: now)
        case .tapped: tapped(header, table: parts[1], body: parts[2], now: now)
        case .gap: gap(header.id, parts[1], now: now)
        case .call: called(header, parts.dropFirst(), now: now)
        case .message, .headers, .reply: streamed(header, parts.dropFirst(), now: now)
        case .window: window(header)
        case .cancel: cancelServed(header.id)
        case .hello, .publish, .declare, .subscribe, .credit, .settle, .unsubscribe, .tap, .serve:
            violation("\(header.kind) from a hub", now: now)
        }
    }

    private mutating func status(_ header: Header, _ body: Bytes, now: Int64) {
        let status: Tocsin_V1_Status
        do {
            status = try Tocsin_V1_Status(serializedBytes: body.array)
        } catch {
            return violation("status: \(error)", now: now)
        }
        // A reason that is not known is understood by its gRPC code.
        let reason =
            Reason(rawValue: header.reason) ?? Reason.allCases.first { $0.code == status.code } ?? .badBody
        let answer = HubStatus(
            reason: reason, code: status.code, message: status.message, index: Int(status.index),
            retryAfter: Int64(status.retryAfterMs))
        switch reason {
        case .notWelcomed: return lose("the hub does not know this session", now: now, level: .info)
        default: break
        }
        if publishes[header.id] != nil {
            publishStatus(header.id, answer, now: now)
        } else if requests[header.id] != nil {
            requestStatus(header.id, answer, now: now)
        } else if streams[header.id] != nil {
            streamStatus(header.id, answer, now: now)
        } else if calls[header.id] != nil {
            callStatus(header.id, answer)
        } else if header.id >= Limits.servedCallID {
            servedStatus(header.id, answer)
        } else if reason != .ok {
            // For something ended meanwhile, a subscription that was closed for instance.
            act(.log(.debug, "the hub answered \(reason.name) to \(header.id), which is over: \(status.message)"))
        }
    }

    // MARK: Time

    /// To be called at `wakeAt`, and as often as one likes.
    mutating func tick(now: Int64) {
        wakeAt = .max
        switch phase {
        case .off: return
        case .pausing(let until):
            if now >= until { open(now) } else { wake(at: until) }
        case .connecting(let until, let nextHello):
            if now >= until {
                lose("no welcome within \(configuration.welcomeTimeout) ms", now: now, level: .debug)
            } else {
                if now >= nextHello {
                    phase = .connecting(until: until, nextHello: now + 1000)
                    send(.hello, body: [configuration.hello], now: now)
                    wake(at: now + 1000)
                } else {
                    wake(at: nextHello)
                }
                wake(at: until)
            }
        case .live: beat(now)
        }
        expireReady(now)
        tickPublishes(now)
        tickRequests(now)
        tickStreams(now)
        tickCalls(now)
    }

    private mutating func beat(_ now: Int64) {
        if now - lastReceived > 3 * heartbeat {
            return lose("no word from the hub for \(now - lastReceived) ms", now: now)
        }
        // The hub's silence is a reason too: its answer tells that it is still there.
        let due = lastHeartbeat + heartbeat / 2
        if now >= due && (now - lastSent >= heartbeat / 2 || now - lastReceived >= heartbeat / 2) {
            lastHeartbeat = now
            send(.heartbeat, now: now)
        }
        wake(at: now + heartbeat / 4)
    }

    private mutating func expireReady(_ now: Int64) {
        for ready in readyWaiters {
            if now < ready.deadline {
                wake(at: ready.deadline)
            } else {
                act(.answer(ready.waiter, .failure(.timedOut(noHub))))
            }
        }
        readyWaiters.removeAll { now >= $0.deadline }
    }

    // MARK: Leaves

    /// What to say to whoever waited in vain.
    var noHub: String { refusal ?? "no hub answered at \(configuration.endpoint); is it running there?" }

    /// The same, for a request: of what, and what the hub said if it was asked.
    func unanswered(_ what: String, refusal: String?) -> ClientError {
        guard isLive else { return .timedOut("\(what): \(noHub)") }
        if let refusal {
            return .timedOut("\(what): the hub at \(configuration.endpoint) still refuses it, \(refusal); try again later")
        }
        return .timedOut("\(what): the hub at \(configuration.endpoint) has not answered in time; try again")
    }

    mutating func act(_ action: Action) { actions.append(action) }

    mutating func wake(at time: Int64) { wakeAt = min(wakeAt, time) }

    mutating func send(_ kind: Kind, id: UInt64 = 0, count: Int = 0, flags: UInt16 = 0, body: [Bytes] = [], now: Int64) {
        lastSent = now
        act(.send([Bytes(Header(kind, id: id, count: count, flags: flags).bytes)] + body))
    }
}

/// A `status`, read.
struct HubStatus {
    var reason: Reason
    var code: UInt32
    var message: String
    var index: Int
    /// Milliseconds; 0: not said.
    var retryAfter: Int64

    var refusal: ClientError { .refused(reason, message, index: index) }
    var text: String { "\(reason.name): \(message)" }
    /// Nothing is wrong with the request: the hub can take it later.
    var isPassing: Bool {
        switch reason {
        case .storageFailed, .shuttingDown, .rateLimited, .quotaExceeded: true
        default: false
        }
    }
}
