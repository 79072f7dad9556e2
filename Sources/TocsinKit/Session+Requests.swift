import TocsinProto
import TocsinWire

extension Session {
    /// A pool to declare or a service to offer: answered once, and made again on each new connection.
    struct Request {
        enum Kind: Equatable, CustomStringConvertible {
            case declare(pool: String)
            case serve(service: String)

            var description: String {
                switch self {
                case .declare(let pool): "the declaration of the pool \(pool)"
                case .serve(let service): "the offer to serve \(service)"
                }
            }
        }
        var kind: Kind
        var body: Bytes
        /// Nil once it was answered.
        var waiter: Waiter?
        var deadline: Int64
        /// The hub cannot take it now, or refused what it had taken before: when to ask again, and what it said.
        var retryAt: Int64?
        var refusal: String?
    }

    mutating func declare(pool: String, spec: Bytes, id: UInt64, waiter: Waiter, deadline: Int64, now: Int64) {
        request(Request(kind: .declare(pool: pool), body: spec, waiter: waiter, deadline: deadline), id: id, now: now)
    }

    /// The service is no longer offered; its calls that have begun go on.
    mutating func withdraw(service: String, body: Bytes, id: UInt64, now: Int64) {
        for (other, request) in requests where request.kind == .serve(service: service) {
            requests[other] = nil
            if let waiter = request.waiter { act(.answer(waiter, .failure(.closed))) }
        }
        if isLive { send(.serve, id: id, body: [body], now: now) }
    }

    mutating func serve(service: String, serve: Bytes, id: UInt64, waiter: Waiter, deadline: Int64, now: Int64) {
        request(Request(kind: .serve(service: service), body: serve, waiter: waiter, deadline: deadline), id: id, now: now)
    }

    private mutating func request(_ request: Request, id: UInt64, now: Int64) {
        guard let waiter = request.waiter else { return }
        guard phase != .off else { return act(.answer(waiter, .failure(.closed))) }
        // The later declaration of a pool is the one that stands.
        for (other, earlier) in requests where earlier.kind == request.kind && earlier.waiter == nil {
            requests[other] = nil
        }
        guard requests.count < Limits.pools + Limits.services else {
            let message =
                "this client has \(requests.count) pools and services, as many as there may be; use another client for more"
            return act(.answer(waiter, .failure(.refused(.tooMany, message, index: 0))))
        }
        requests[id] = request
        wake(at: request.deadline)
        if isLive { transmit(request, id: id, now: now) }
    }

    private mutating func transmit(_ request: Request, id: UInt64, now: Int64) {
        switch request.kind {
        case .declare: send(.declare, id: id, body: [request.body], now: now)
        case .serve: send(.serve, id: id, body: [request.body], now: now)
        }
    }

    mutating func requestStatus(_ id: UInt64, _ status: HubStatus, now: Int64) {
        guard var request = requests[id] else { return }
        if let waiter = request.waiter, !status.isPassing {
            request.waiter = nil
            requests[id] = status.reason == .ok ? request : nil
            return act(.answer(waiter, status.reason == .ok ? .success(.done) : .failure(status.refusal)))
        }
        guard status.reason != .ok else { return }
        let pause: Int64 = request.waiter == nil ? 2000 : 250
        if request.waiter == nil {
            act(.log(.warning, "the hub no longer takes \(request.kind), asking again in \(pause) ms: \(status.text)"))
        }
        request.refusal = status.text
        request.retryAt = now + pause
        requests[id] = request
        wake(at: now + pause)
    }

    mutating func resumeRequests(_ now: Int64) {
        for id in requests.keys.sorted() {
            requests[id]?.retryAt = nil
            if let request = requests[id] { transmit(request, id: id, now: now) }
        }
    }

    mutating func tickRequests(_ now: Int64) {
        for id in requests.keys.sorted() {
            guard let request = requests[id] else { continue }
            if let waiter = request.waiter {
                if now >= request.deadline {
                    requests[id] = nil
                    act(.answer(waiter, .failure(unanswered("\(request.kind)", refusal: request.refusal))))
                    continue
                }
                wake(at: request.deadline)
            }
            if let retryAt = request.retryAt, isLive {
                if now >= retryAt {
                    requests[id]?.retryAt = nil
                    transmit(request, id: id, now: now)
                } else {
                    wake(at: retryAt)
                }
            }
        }
    }

    mutating func closeRequests() {
        for id in requests.keys.sorted() {
            if let waiter = requests[id]?.waiter { act(.answer(waiter, .failure(.closed))) }
        }
        requests.removeAll()
    }
}
