import Testing
import TocsinWire

@testable import TocsinCore

@Suite("Calls")
struct CallTests {
    /// Forwards and statuses since the last look, in words.
    private func take(_ hub: inout TestHub) -> [String] {
        hub.take().compactMap { effect in
            switch effect {
            case .forward(let peer, let kind, let id, _): "\(peer) \(kind) \(id)"
            case .status(let peer, let id, let error): "\(peer) \(error.reason) \(id)"
            default: nil
            }
        }
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
        let frames = [Bytes([1]), Bytes([2])]
        hub.step(.call(1, id: 77, service: "s.S", timeout: 1_000, frames: frames))
        guard case .forward(2, .call, let id, let passed)? = hub.take().first else {
            Issue.record("not forwarded")
            return
        }
        #expect(passed.map(\.array) == [[1], [2]])
        hub.step(.reply(2, id: id, frames: frames))
        #expect(take(&hub) == ["1 reply 77"])
        hub.step(.reply(2, id: id, frames: frames))
        #expect(take(&hub) == ["2 unknownCall \(id)"], "one reply a call")
        hub.advance(5_000)
        #expect(take(&hub).isEmpty, "an ended call has no deadline")
        #expect(hub.core.calls.isEmpty && hub.core.callDeadlines.isEmpty)
    }

    @Test("calls go to the least busy server, the one that serves longest among equals")
    func leastBusy() {
        var hub = hub(servers: [2, 3, 4])
        for id in UInt64(1)...6 { hub.step(.call(1, id: id, service: "s.S", timeout: 1_000, frames: [])) }
        #expect(take(&hub) == ["2 call 1", "3 call 2", "4 call 3", "2 call 4", "3 call 5", "4 call 6"])
        hub.step(.reply(3, id: 2, frames: []))
        hub.step(.call(1, id: 7, service: "s.S", timeout: 1_000, frames: []))
        #expect(take(&hub) == ["1 reply 2", "3 call 7"])
    }

    @Test("an exclusive service has one active server; the next takes over when it is lost")
    func exclusive() {
        var hub = hub(servers: [2, 3], exclusive: true)
        for id in UInt64(1)...2 { hub.step(.call(1, id: id, service: "s.S", timeout: 1_000, frames: [])) }
        #expect(take(&hub) == ["2 call 1", "2 call 2"])
        hub.step(.lost(2))
        #expect(take(&hub) == ["1 workerLost 1", "1 workerLost 2"])
        hub.step(.call(1, id: 3, service: "s.S", timeout: 1_000, frames: []))
        #expect(take(&hub) == ["3 call 3"])
        hub.step(.lost(3))
        hub.step(.call(1, id: 4, service: "s.S", timeout: 1_000, frames: []))
        #expect(take(&hub) == ["1 workerLost 3", "1 unknownService 4"])
    }

    @Test("past its deadline a call ends on both sides, and a late reply is refused")
    func deadline() {
        var hub = hub(servers: [2])
        hub.step(.call(1, id: 7, service: "s.S", timeout: 1_000, frames: []))
        hub.effects = []
        #expect(hub.core.untilDue(hub.now, atMost: 9_000) == 1_000)
        hub.advance(999)
        #expect(take(&hub).isEmpty)
        hub.advance(1)
        #expect(take(&hub) == ["1 deadlineExceeded 7", "2 cancel 1"])
        hub.step(.reply(2, id: 1, frames: []))
        #expect(take(&hub) == ["2 unknownCall 1"])
    }

    @Test("a caller may cancel, and a lost caller's calls are cancelled")
    func cancel() {
        var hub = hub(servers: [2])
        for id in UInt64(5)...7 { hub.step(.call(1, id: id, service: "s.S", timeout: 1_000, frames: [])) }
        hub.effects = []
        hub.step(.cancel(1, id: 6))
        hub.step(.cancel(1, id: 6))
        hub.step(.cancel(2, id: 5))
        #expect(take(&hub) == ["2 cancel 2"])
        hub.step(.lost(1))
        #expect(take(&hub) == ["2 cancel 1", "2 cancel 3"])
        #expect(hub.core.peers[2]?.serving == 0)
    }

    @Test("a reply is the server's alone, and a peer may call itself and be lost")
    func others() {
        var hub = hub(servers: [2])
        hub.step(.call(1, id: 5, service: "s.S", timeout: 1_000, frames: []))
        hub.step(.call(2, id: 5, service: "s.S", timeout: 1_000, frames: []))
        hub.effects = []
        hub.step(.reply(1, id: 1, frames: []))
        #expect(take(&hub) == ["1 unknownCall 1"])
        hub.step(.lost(2))
        #expect(take(&hub) == ["1 workerLost 5"])
        #expect(hub.core.calls.isEmpty && hub.core.services.isEmpty)
    }

    @Test("calls in flight and services of a peer are bounded")
    func bounds() {
        var hub = hub(servers: [2])
        for id in 0...UInt64(Limits.calls) { hub.step(.call(1, id: id, service: "s.S", timeout: 1_000, frames: [])) }
        #expect(take(&hub).last == "1 tooMany \(Limits.calls)")
        for index in 1...Limits.services {
            hub.step(.serve(2, request: UInt64(index), service: "s\(index)", exclusive: false))
        }
        #expect(take(&hub).last == "2 tooMany \(Limits.services)")
    }
}
