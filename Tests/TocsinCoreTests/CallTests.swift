import Testing
import TocsinWire

@testable import TocsinCore

@Suite("Calls")
struct CallTests {
    /// Forwards and statuses since the last look, in words.
    private func take(_ hub: inout TestHub) -> [String] {
        hub.take().compactMap { effect in
            switch effect {
            case .forward(let peer, let header, _): "\(peer) \(header.kind) \(Self.name(header.id))"
            case .status(let peer, let id, let error): "\(peer) \(error.reason) \(Self.name(id))"
            default: nil
            }
        }
    }

    /// "#3" for the hub's third call.
    static func name(_ id: UInt64) -> String {
        id >= Limits.servedCallID ? "#\(id - Limits.servedCallID)" : "\(id)"
    }

    /// As the hub calls the call that it has passed on as the nth.
    func served(_ number: UInt64) -> UInt64 { Limits.servedCallID + number }

    /// Messages of these sizes, prefixes included.
    func frame(_ sizes: [Int] = [10], isLast: Bool = false) -> CallFrame {
        let bytes = sizes.reduce(0, +)
        return CallFrame([], count: sizes.count, bytes: bytes, lastOffset: bytes - (sizes.last ?? 0), isLast: isLast)
    }

    private func hub(servers: [PeerID], exclusive: Bool = false) -> TestHub {
        var hub = TestHub()
        hub.hello(1)
        for server in servers {
            hub.hello(server)
            hub.step(.serve(server, request: 1, service: "s.S", exclusive: exclusive))
        }
        hub.effects = []
        return hub
    }

    @Test("a call goes to a server under the hub's id, and the reply comes back under the caller's")
    func roundTrip() {
        var hub = hub(servers: [2])
        let frame = CallFrame([Bytes([1]), Bytes([2])], count: 1, bytes: 1, isLast: true)
        hub.step(.call(1, id: 77, service: "s.S", timeout: 1_000, frame))
        guard case .forward(2, let header, let passed)? = hub.take().first else {
            Issue.record("not forwarded")
            return
        }
        #expect(header == Header(.call, id: served(1), count: 1, flags: Header.halfClose))
        #expect(passed.map(\.array) == [[1], [2]])
        hub.step(.reply(2, id: header.id, frame))
        #expect(take(&hub) == ["1 reply 77"])
        hub.step(.reply(2, id: header.id, frame))
        #expect(take(&hub) == ["2 unknownCall #1"], "one reply a call")
        hub.advance(5_000)
        #expect(take(&hub).isEmpty, "an ended call has no deadline")
        #expect(hub.core.calls.isEmpty && hub.core.callDeadlines.isEmpty && hub.core.callIndex.isEmpty)
    }

    @Test("calls go to the least busy server, the one that serves longest among equals")
    func leastBusy() {
        var hub = hub(servers: [2, 3, 4])
        for id in UInt64(1)...6 { hub.step(.call(1, id: id, service: "s.S", timeout: 1_000, frame())) }
        #expect(take(&hub) == ["2 call #1", "3 call #2", "4 call #3", "2 call #4", "3 call #5", "4 call #6"])
        hub.step(.reply(3, id: served(2), frame()))
        hub.step(.call(1, id: 7, service: "s.S", timeout: 1_000, frame()))
        #expect(take(&hub) == ["1 reply 2", "3 call #7"])
    }

    @Test("an exclusive service has one active server; the next takes over when it is lost")
    func exclusive() {
        var hub = hub(servers: [2, 3], exclusive: true)
        for id in UInt64(1)...2 { hub.step(.call(1, id: id, service: "s.S", timeout: 1_000, frame())) }
        #expect(take(&hub) == ["2 call #1", "2 call #2"])
        hub.step(.lost(2))
        #expect(take(&hub) == ["1 workerLost 1", "1 workerLost 2"])
        hub.step(.call(1, id: 3, service: "s.S", timeout: 1_000, frame()))
        #expect(take(&hub) == ["3 call #3"])
        hub.step(.lost(3))
        hub.step(.call(1, id: 4, service: "s.S", timeout: 1_000, frame()))
        #expect(take(&hub) == ["1 workerLost 3", "1 noServer 4"])
    }

    @Test("past its deadline a call ends on both sides, and a late reply is refused")
    func deadline() {
        var hub = hub(servers: [2])
        hub.step(.call(1, id: 7, service: "s.S", timeout: 1_000, frame()))
        hub.effects = []
        #expect(hub.core.untilDue(hub.now, atMost: 9_000) == 1_000)
        hub.advance(999)
        #expect(take(&hub).isEmpty)
        hub.advance(1)
        #expect(take(&hub) == ["1 deadlineExceeded 7", "2 cancel #1"])
        hub.step(.reply(2, id: served(1), frame()))
        #expect(take(&hub) == ["2 unknownCall #1"])
    }

    @Test("a caller may cancel, and a lost caller's calls are cancelled")
    func cancel() {
        var hub = hub(servers: [2])
        for id in UInt64(5)...7 { hub.step(.call(1, id: id, service: "s.S", timeout: 1_000, frame())) }
        hub.effects = []
        hub.step(.cancel(1, id: 6))
        hub.step(.cancel(1, id: 6))
        hub.step(.cancel(2, id: 5))
        #expect(take(&hub) == ["2 cancel #2"])
        hub.step(.lost(1))
        #expect(take(&hub) == ["2 cancel #1", "2 cancel #3"])
        #expect(hub.core.peers[2]?.serving == 0)
    }

    @Test("a reply is the server's alone, and a peer may call itself and be lost")
    func others() {
        var hub = hub(servers: [2])
        hub.step(.call(1, id: 5, service: "s.S", timeout: 1_000, frame()))
        hub.step(.call(2, id: 5, service: "s.S", timeout: 1_000, frame()))
        hub.effects = []
        hub.step(.reply(1, id: served(1), frame()))
        #expect(take(&hub) == ["1 unknownCall #1"])
        hub.step(.lost(2))
        #expect(take(&hub) == ["1 workerLost 5"])
        #expect(hub.core.calls.isEmpty && hub.core.services.isEmpty)
    }

    @Test("calls in flight and services of a peer are bounded")
    func bounds() {
        var hub = hub(servers: [2])
        for id in 0...UInt64(Limits.calls) { hub.step(.call(1, id: id, service: "s.S", timeout: 1_000, frame())) }
        #expect(take(&hub).last == "1 tooMany \(Limits.calls)")
        for index in 1...Limits.services {
            hub.step(.serve(2, request: UInt64(index), service: "s\(index)", exclusive: false))
        }
        #expect(take(&hub).last == "2 tooMany \(Limits.services)")
    }

    @Test("a service is unknown until somebody has offered it, or the time in which workers come back has not passed")
    func unknownServices() throws {
        var options = TestHub.options()
        options.serviceGrace = 500
        var hub = try TestHub(replaying: [], options: options, epoch: 2, now: Moment(wall: 9_000, steady: 1_000))
        hub.hello(1)
        hub.hello(2)
        hub.step(.call(1, id: 1, service: "s.S", timeout: 0, frame()))
        hub.advance(500)
        hub.step(.call(1, id: 2, service: "s.S", timeout: 0, frame()))
        #expect(take(&hub) == ["1 noServer 1", "1 unknownService 2"])
        hub.step(.serve(2, request: 1, service: "s.S", exclusive: false))
        hub.step(.call(1, id: 3, service: "s.S", timeout: 0, frame()))
        hub.step(.withdraw(2, request: 2, service: "s.S"))
        hub.step(.call(1, id: 4, service: "s.S", timeout: 0, frame()))
        hub.step(.reply(2, id: served(1), frame()))
        #expect(take(&hub) == ["2 ok 1", "2 call #1", "2 ok 2", "1 noServer 4", "1 reply 3"], "what has begun goes on")
    }

    @Test("a stream goes both ways under both ids, and without a timeout it lasts")
    func streams() {
        var hub = hub(servers: [2])
        hub.step(.call(1, id: 7, service: "s.S", timeout: 0, frame([])))
        hub.step(.message(1, id: 7, frame()))
        hub.step(.headers(2, id: served(1), frame([])))
        hub.step(.message(2, id: served(1), frame()))
        hub.step(.window(1, id: 7, 100))
        hub.step(.window(2, id: served(1), 100))
        hub.advance(100_000_000)
        hub.hello(1)
        hub.step(.message(1, id: 7, frame([], isLast: true)))
        hub.effects.removeAll { if case .heartbeat = $0 { true } else { false } }
        #expect(
            take(&hub).filter { !$0.contains("workerLost") && !$0.contains("cancel") } == [
                "2 call #1", "2 message #1", "1 headers 7", "1 message 7", "2 window #1", "1 window 7",
            ])
    }

    @Test("after the half-close nothing more, headers first and once, an id for one call: else the call ends on both sides")
    func order() {
        var hub = hub(servers: [2])
        func begin(_ id: UInt64, isLast: Bool = false) {
            hub.step(.call(1, id: id, service: "s.S", timeout: 0, frame(isLast: isLast)))
            hub.effects = []
        }
        begin(1, isLast: true)
        hub.step(.message(1, id: 1, frame()))
        #expect(take(&hub) == ["1 badCall 1", "2 cancel #1"])
        begin(2)
        hub.step(.headers(2, id: served(2), frame()))
        hub.step(.headers(2, id: served(2), frame()))
        #expect(take(&hub) == ["1 headers 2", "2 badCall #2", "1 badCall 2", "2 cancel #2"])
        begin(3)
        hub.step(.call(1, id: 3, service: "s.S", timeout: 0, frame()))
        #expect(take(&hub) == ["1 badCall 3", "2 cancel #3"])
        hub.step(.call(1, id: served(9), service: "s.S", timeout: 0, frame()))
        #expect(take(&hub) == ["1 badCall #9"])
        begin(4)
        hub.step(.broken(2, id: served(4), WireError(.tooLarge, "")))
        hub.step(.message(1, id: 4, frame()))
        hub.step(.message(2, id: served(4), frame()))
        hub.step(.window(1, id: 4, 1))
        #expect(take(&hub) == ["2 tooLarge #4", "1 tooLarge 4", "2 cancel #4"], "what comes for a call that is over is dropped")
        #expect(hub.core.calls.isEmpty && hub.core.callIndex.isEmpty)
        #expect(hub.core.peers[1]?.calls == 0 && hub.core.peers[2]?.serving == 0)
    }

    @Test("each direction has its window: a message may begin while some is left, and not after", arguments: [true, false])
    func windows(toServer: Bool) {
        let window = Limits.callWindow
        let overhead = Limits.callFrameOverhead
        /// The reasons after these frames, and a window given back before the last.
        func after(_ frames: [[Int]], given: UInt32 = 0) -> [String] {
            var hub = hub(servers: [2])
            hub.step(.call(1, id: 7, service: "s.S", timeout: 0, frame([])))
            for (index, sizes) in frames.enumerated() {
                if index == frames.count - 1, given > 0 {
                    hub.step(toServer ? .window(2, id: served(1), given) : .window(1, id: 7, given))
                }
                hub.effects = []
                hub.step(toServer ? .message(1, id: 7, frame(sizes)) : .message(2, id: served(1), frame(sizes)))
            }
            return take(&hub).map { String($0.split(separator: " ")[1]) }
        }
        let broken = toServer ? ["windowExceeded", "cancel"] : ["windowExceeded", "windowExceeded", "cancel"]
        #expect(after([[window - overhead - 1], [1_000_000]]) == ["message"], "one byte is left")
        #expect(after([[window - overhead], [5]]) == broken, "nothing is left")
        #expect(after([[window - overhead], [5]], given: 1) == ["message"])
        #expect(after([[window - overhead + 10], [5]], given: 10) == broken, "below zero before")
        #expect(after([[window - 1, 5]]) == ["message"])
        #expect(after([[window, 5]]) == broken, "the second message of a frame begins past it")
        #expect(after([[5], [5]], given: UInt32(Limits.callWindowMax - window + 5 + overhead)) == ["message"])
        #expect(after([[5], [5]], given: UInt32(Limits.callWindowMax - window + 6 + overhead)) == [], "no window is so large")
    }

    @Test("deadlines of calls that have ended do not gather")
    func deadlinesLeft() {
        var hub = hub(servers: [2])
        for id in UInt64(1)...20_000 {
            hub.step(.call(1, id: id, service: "s.S", timeout: 100_000_000, frame()))
            hub.step(.reply(2, id: served(id), frame()))
        }
        #expect(hub.core.callDeadlines.count < 3_000)
    }

    @Test("calls of the hub's own service go to the hub, which answers or refuses them")
    func ownService() {
        var hub = hub(servers: [])
        for id in UInt64(1)...3 { hub.step(.call(1, id: id, service: Core.ownService, timeout: 0, frame())) }
        #expect(take(&hub) == (1...3).map { "\(Core.hubPeer) call #\($0)" })
        hub.step(.answered(call: served(1), frame()))
        hub.step(.answered(call: served(1), frame()))
        hub.step(.refused(call: served(2), WireError(.unknownPool, "")))
        hub.step(.lost(1))
        #expect(take(&hub) == ["1 reply 1", "1 unknownPool 2", "\(Core.hubPeer) cancel #3"])
    }
}
