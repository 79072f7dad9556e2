import TocsinWire

/// Who serves a service. With `exclusive` the first server is active and the others stand by.
struct Service {
    var exclusive = false
    /// In order of offering.
    var servers: [PeerID] = []
}

/// A frame of a call as it came, and what of it the core must know: it never looks into the messages.
public struct CallFrame: Sendable {
    /// The body frames, passed on as they are.
    public var frames: [Bytes]
    /// Messages in it, their bytes with prefixes, and where among these the last one begins.
    public var count: Int
    public var bytes: Int
    public var lastOffset: Int
    /// The caller sends no more.
    public var isLast: Bool

    public init(_ frames: [Bytes], count: Int = 0, bytes: Int = 0, lastOffset: Int = 0, isLast: Bool = false) {
        self.frames = frames
        self.count = count
        self.bytes = bytes
        self.lastOffset = lastOffset
        self.isLast = isLast
    }
}

/// One call on its way.
struct Call {
    var caller: PeerID
    /// The caller's own id.
    var callerID: UInt64
    var server: PeerID
    /// Steady milliseconds; `max`: none.
    var deadline: UInt64
    /// Bytes the server, and the caller, will still take. May be below zero by the rest of one message.
    var toServer = Limits.callWindow
    var toCaller = Limits.callWindow
    /// The caller has sent its last request.
    var isHalfClosed = false
    /// The response has begun.
    var isAnswered = false
}

/// A call as its caller names it.
struct CallKey: Hashable {
    var caller: PeerID
    var id: UInt64
}

extension Core {
    /// The hub itself, as the server of `ownService`.
    public static var hubPeer: PeerID { .max }
    public static var ownService: String { "tocsin.v1.BrokerAdmin" }

    private static var knownServicesMax: Int { 4096 }

    // MARK: Serving

    mutating func serve(
        _ peer: PeerID, _ request: UInt64, _ name: String, _ exclusive: Bool, _ effects: inout [Effect]
    ) {
        guard let known = peers[peer] else { return }
        if !known.services.contains(name) {
            guard known.services.count < Limits.services else {
                let error = WireError(.tooMany, "a peer serves at most \(Limits.services) services")
                return effects.append(.status(peer, id: request, error))
            }
            peers[peer]?.services.append(name)
            services[name, default: Service()].servers.append(peer)
            if knownServices.count < Self.knownServicesMax { knownServices.insert(name) }
        }
        services[name]?.exclusive = exclusive
        effects.append(.status(peer, id: request, WireError(.ok, "")))
    }

    /// The peer gets no new calls of the service.
    mutating func withdraw(_ peer: PeerID, _ name: String) {
        services[name]?.servers.removeAll { $0 == peer }
        if services[name]?.servers.isEmpty == true { services[name] = nil }
    }

    /// The active server of an exclusive service, else the one with the fewest calls, the longest-serving among equals.
    private func server(of name: String, _ now: Moment) throws(WireError) -> PeerID {
        if name == Self.ownService { return Self.hubPeer }
        guard let service = services[name], var best = service.servers.first else {
            guard knownServices.contains(name) || now.steady < graceUntil else {
                throw WireError(.unknownService, "nobody has served \(name) since this hub was started; is the name right?")
            }
            throw WireError(.noServer, "nobody serves \(name) now; is its worker running?")
        }
        var fewest = peers[best]?.serving ?? 0
        if !service.exclusive {
            for server in service.servers {
                let serving = peers[server]?.serving ?? 0
                if serving < fewest { (best, fewest) = (server, serving) }
            }
        }
        guard fewest < Limits.servedCalls else {
            throw WireError(.tooMany, "the servers of \(name) have \(Limits.servedCalls) calls each; wait for some to end")
        }
        return best
    }

    // MARK: Calling

    mutating func call(
        _ peer: PeerID, _ id: UInt64, _ service: String, _ timeout: UInt64, _ frame: CallFrame, _ now: Moment,
        _ effects: inout [Effect]
    ) throws(WireError) {
        guard let caller = peers[peer] else { return }
        guard id < Limits.servedCallID else { throw WireError(.badCall, "ids from 2^63 up are the hub's; choose a smaller one") }
        let key = CallKey(caller: peer, id: id)
        guard callIndex[key] == nil else {
            return broken(peer, id, WireError(.badCall, "call \(id) is open already; both end now"), &effects)
        }
        guard caller.calls < Limits.calls else {
            throw WireError(.tooMany, "\(Limits.calls) calls are in flight; wait for some to end")
        }
        let server = try server(of: service, now)
        var call = Call(
            caller: peer, callerID: id, server: server, deadline: timeout == 0 ? .max : now.steady + timeout,
            isHalfClosed: frame.isLast)
        guard Self.take(frame, from: &call.toServer) else { throw Self.pastWindow(call.toServer) }
        let number = nextCall
        nextCall += 1
        calls[number] = call
        callIndex[key] = number
        if timeout > 0 { add(CallDeadline(due: call.deadline, call: number)) }
        peers[peer]?.calls += 1
        peers[server]?.serving += 1
        pass(.call, frame, to: server, id: number, &effects)
    }

    /// Calls that have ended leave their deadlines behind; these go when there are as many of them as of the others.
    private mutating func add(_ deadline: CallDeadline) {
        if callDeadlines.count > 2 * calls.count + 1024 {
            callDeadlines = .init(callDeadlines.unordered.filter { calls[$0.call] != nil })
        }
        callDeadlines.insert(deadline)
    }

    /// A call of this peer, as its caller or as its server, by the id that the peer knows it by.
    private func find(_ peer: PeerID, _ id: UInt64) -> (number: UInt64, call: Call)? {
        if id >= Limits.servedCallID {
            guard let call = calls[id], call.server == peer else { return nil }
            return (id, call)
        }
        guard let number = callIndex[CallKey(caller: peer, id: id)], let call = calls[number] else { return nil }
        return (number, call)
    }

    private func pass(_ kind: Kind, _ frame: CallFrame, to peer: PeerID, id: UInt64, _ effects: inout [Effect]) {
        let header = Header(kind, id: id, count: frame.count, flags: frame.isLast ? Header.halfClose : 0)
        effects.append(.forward(peer, header, frame.frames))
    }

    /// Takes what a frame needs from a window; false if one of its messages begins past it.
    private static func take(_ frame: CallFrame, from window: inout Int) -> Bool {
        guard frame.count > 0 else { return true }
        #if TOCSIN_PLANTED_BUGS
            if PlantedBug.windowIgnored.isPlanted { return true }
        #endif
        guard frame.lastOffset < window else { return false }
        window -= frame.bytes + Limits.callFrameOverhead
        return true
    }

    private static func pastWindow(_ window: Int) -> WireError {
        WireError(.windowExceeded, "a message begins past the window, of which \(window) bytes were left")
    }

    // MARK: What comes of it

    mutating func message(_ peer: PeerID, _ id: UInt64, _ frame: CallFrame, _ effects: inout [Effect]) {
        guard let (number, call) = find(peer, id) else { return }
        if id >= Limits.servedCallID {
            calls[number]?.isAnswered = true
            guard Self.take(frame, from: &calls[number, default: call].toCaller) else {
                return broken(peer, id, Self.pastWindow(call.toCaller), &effects)
            }
            pass(.message, CallFrame(frame.frames, count: frame.count), to: call.caller, id: call.callerID, &effects)
        } else {
            guard !call.isHalfClosed else {
                return broken(peer, id, WireError(.badCall, "a request after the last one of call \(id)"), &effects)
            }
            calls[number]?.isHalfClosed = frame.isLast
            guard Self.take(frame, from: &calls[number, default: call].toServer) else {
                return broken(peer, id, Self.pastWindow(call.toServer), &effects)
            }
            pass(.message, frame, to: call.server, id: number, &effects)
        }
    }

    mutating func headers(_ peer: PeerID, _ id: UInt64, _ frame: CallFrame, _ effects: inout [Effect]) {
        guard id >= Limits.servedCallID, let (number, call) = find(peer, id) else { return }
        guard !call.isAnswered else {
            return broken(peer, id, WireError(.badCall, "headers, and the response has begun already"), &effects)
        }
        calls[number]?.isAnswered = true
        guard Self.take(frame, from: &calls[number, default: call].toCaller) else {
            return broken(peer, id, Self.pastWindow(call.toCaller), &effects)
        }
        pass(.headers, frame, to: call.caller, id: call.callerID, &effects)
    }

    mutating func reply(_ peer: PeerID, _ id: UInt64, _ frame: CallFrame, _ effects: inout [Effect]) {
        guard id >= Limits.servedCallID, let (number, found) = find(peer, id) else {
            let error = WireError(.unknownCall, "call \(id) is over: answered, cancelled or past its deadline")
            return effects.append(.status(peer, id: id, error))
        }
        var call = found
        guard Self.take(frame, from: &call.toCaller) else {
            return broken(peer, id, Self.pastWindow(call.toCaller), &effects)
        }
        end(number, call)
        pass(.reply, frame, to: call.caller, id: call.callerID, &effects)
    }

    mutating func cancel(_ peer: PeerID, _ id: UInt64, _ effects: inout [Effect]) {
        guard id < Limits.servedCallID, let (number, call) = find(peer, id) else { return }
        end(number, call)
        #if TOCSIN_PLANTED_BUGS
            if PlantedBug.cancelNotPassed.isPlanted { return }
        #endif
        effects.append(.forward(call.server, Header(.cancel, id: number), []))
    }

    mutating func window(_ peer: PeerID, _ id: UInt64, _ more: UInt32, _ effects: inout [Effect]) {
        guard let (number, call) = find(peer, id) else { return }
        let isServer = id >= Limits.servedCallID
        let total = (isServer ? call.toServer : call.toCaller) + Int(more)
        guard more > 0, total <= Limits.callWindowMax else {
            let error = WireError(
                .badCredit, "\(more) bytes more would make a window of \(total); 1 to \(Limits.callWindowMax) are possible")
            return broken(peer, id, error, &effects)
        }
        if isServer { calls[number]?.toServer = total } else { calls[number]?.toCaller = total }
        let (other, otherID) = isServer ? (call.caller, call.callerID) : (call.server, number)
        effects.append(.forward(other, Header(.window, id: otherID, count: Int(more)), []))
    }

    /// Tells a peer that its frame was wrong; the call it was of, if there is one, ends on both sides.
    mutating func broken(_ peer: PeerID, _ id: UInt64, _ error: WireError, _ effects: inout [Effect]) {
        guard let (number, call) = find(peer, id) else { return effects.append(.status(peer, id: id, error)) }
        end(number, call)
        effects.append(.status(peer, id: id, error))
        if id >= Limits.servedCallID {
            let told = WireError(error.reason, "the server of the call broke the protocol: \(error.message)")
            effects.append(.status(call.caller, id: call.callerID, told))
        }
        effects.append(.forward(call.server, Header(.cancel, id: number), []))
    }

    // MARK: Calls of the hub's own service

    mutating func answered(_ number: UInt64, _ frame: CallFrame, _ effects: inout [Effect]) {
        guard let call = calls[number], call.server == Self.hubPeer else { return }
        end(number, call)
        pass(.reply, frame, to: call.caller, id: call.callerID, &effects)
    }

    mutating func refused(_ number: UInt64, _ error: WireError, _ effects: inout [Effect]) {
        guard let call = calls[number], call.server == Self.hubPeer else { return }
        end(number, call)
        effects.append(.status(call.caller, id: call.callerID, error))
    }

    // MARK: The end of calls

    private mutating func end(_ number: UInt64, _ call: Call) {
        calls[number] = nil
        callIndex[CallKey(caller: call.caller, id: call.callerID)] = nil
        peers[call.caller]?.calls -= 1
        peers[call.server]?.serving -= 1
    }

    /// Ends what a lost peer called and served, oldest first.
    mutating func endCalls(of peer: PeerID, _ gone: Peer, _ effects: inout [Effect]) {
        for name in gone.services { withdraw(peer, name) }
        guard gone.calls > 0 || gone.serving > 0 else { return }
        for number in calls.keys.sorted() {
            guard let call = calls[number] else { continue }
            if call.server == peer {
                end(number, call)
                let error = WireError(
                    .workerLost, "worker \(gone.description.name) was lost during the call; it may or may not have acted")
                if call.caller != peer { effects.append(.status(call.caller, id: call.callerID, error)) }
            } else if call.caller == peer {
                end(number, call)
                effects.append(.forward(call.server, Header(.cancel, id: number), []))
            }
        }
    }

    mutating func expireCalls(_ now: Moment, _ effects: inout [Effect]) {
        while let first = callDeadlines.min, first.due <= now.steady {
            callDeadlines.removeMin()
            guard let call = calls[first.call] else { continue }
            end(first.call, call)
            let error = WireError(.deadlineExceeded, "no reply in time")
            effects.append(.status(call.caller, id: call.callerID, error))
            effects.append(.forward(call.server, Header(.cancel, id: first.call), []))
        }
    }
}

/// When a call is given up.
struct CallDeadline: Comparable {
    var due: UInt64
    var call: UInt64
    static func < (a: CallDeadline, b: CallDeadline) -> Bool { (a.due, a.call) < (b.due, b.call) }
}
