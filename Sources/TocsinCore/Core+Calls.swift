import TocsinWire

/// Who serves a service. With `exclusive` the first server is active and the others stand by.
struct Service {
    var exclusive = false
    /// In order of offering.
    var servers: [PeerID] = []
}

/// One call on its way.
struct Call {
    var caller: PeerID
    /// The caller's own id.
    var callerID: UInt64
    var server: PeerID
    /// Steady milliseconds.
    var deadline: UInt64
}

extension Core {
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
        }
        services[name]?.exclusive = exclusive
        effects.append(.status(peer, id: request, WireError(.ok, "")))
    }

    // MARK: Calling

    mutating func call(
        _ peer: PeerID, _ id: UInt64, _ service: String, _ timeout: UInt64, _ frames: [Bytes], _ now: Moment,
        _ effects: inout [Effect]
    ) {
        guard let caller = peers[peer] else { return }
        guard caller.calls < Limits.calls else {
            let error = WireError(.tooMany, "\(Limits.calls) calls are in flight; wait for some to end")
            return effects.append(.status(peer, id: id, error))
        }
        guard let server = server(of: service) else {
            let error = WireError(.unknownService, "nobody serves \(service) now; is its worker running?")
            return effects.append(.status(peer, id: id, error))
        }
        let call = nextCall
        nextCall += 1
        calls[call] = Call(caller: peer, callerID: id, server: server, deadline: now.steady + timeout)
        callDeadlines.insert(CallDeadline(due: now.steady + timeout, call: call))
        peers[peer]?.calls += 1
        peers[server]?.serving += 1
        effects.append(.forward(server, .call, id: call, frames: frames))
    }

    /// The active server of an exclusive service, else the least busy one, the longest-serving among equals.
    private func server(of name: String) -> PeerID? {
        guard let service = services[name] else { return nil }
        if service.exclusive { return service.servers.first }
        var best: (peer: PeerID, serving: Int)?
        for server in service.servers {
            let serving = peers[server]?.serving ?? 0
            if serving < best?.serving ?? .max { best = (server, serving) }
        }
        return best?.peer
    }

    mutating func reply(_ peer: PeerID, _ id: UInt64, _ frames: [Bytes], _ effects: inout [Effect]) {
        guard let call = calls[id], call.server == peer else {
            let error = WireError(.unknownCall, "call \(id) is over: answered, cancelled or past its deadline")
            return effects.append(.status(peer, id: id, error))
        }
        end(id, call)
        effects.append(.forward(call.caller, .reply, id: call.callerID, frames: frames))
    }

    mutating func cancel(_ peer: PeerID, _ callerID: UInt64, _ effects: inout [Effect]) {
        // A peer has few calls in flight and cancels seldom: a search is cheaper than an index kept on every call. The
        // oldest, should a peer have used one id twice.
        let matching = calls.filter { $0.value.caller == peer && $0.value.callerID == callerID }
        guard let id = matching.keys.min(), let call = matching[id] else { return }
        end(id, call)
        effects.append(.forward(call.server, .cancel, id: id, frames: []))
    }

    private mutating func end(_ id: UInt64, _ call: Call) {
        calls[id] = nil
        peers[call.caller]?.calls -= 1
        peers[call.server]?.serving -= 1
    }

    /// Ends what a lost peer called and served, oldest first.
    mutating func endCalls(of peer: PeerID, _ gone: Peer, _ effects: inout [Effect]) {
        for name in gone.services {
            services[name]?.servers.removeAll { $0 == peer }
            if services[name]?.servers.isEmpty == true { services[name] = nil }
        }
        guard gone.calls > 0 || gone.serving > 0 else { return }
        for id in calls.keys.sorted() {
            guard let call = calls[id] else { continue }
            if call.server == peer {
                end(id, call)
                let error = WireError(
                    .workerLost, "worker \(gone.description.name) was lost during the call; it may or may not have acted")
                if call.caller != peer { effects.append(.status(call.caller, id: call.callerID, error)) }
            } else if call.caller == peer {
                end(id, call)
                effects.append(.forward(call.server, .cancel, id: id, frames: []))
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
            effects.append(.forward(call.server, .cancel, id: first.call, frames: []))
        }
    }
}

/// When a call is given up. Entries of calls that ended before stay until then: one a call, at most as long as its timeout.
struct CallDeadline: Comparable {
    var due: UInt64
    var call: UInt64
    static func < (a: CallDeadline, b: CallDeadline) -> Bool { (a.due, a.call) < (b.due, b.call) }
}
