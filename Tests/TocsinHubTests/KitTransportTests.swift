import Glibc
import Synchronization
import Testing
import TocsinTransport
import TocsinWire

private final class Counter: Sendable {
    let value = Atomic<Int>(0)
}

@Suite("Transport", .timeLimit(.minutes(1)))
struct TransportTests {
    /// A router and a dealer connected over loopback TCP, both on this thread.
    struct Pair {
        let router: ZMQSocket
        let dealer: ZMQSocket
        var routerPoller: Poller
        var dealerPoller: Poller
        let events: EventCounter

        init(options: SocketOptions = SocketOptions(), events: EventCounter? = nil) throws {
            let context = try Context()
            router = try ZMQSocket(.router, context: context, options: options)
            try router.bind("tcp://127.0.0.1:*")
            dealer = try ZMQSocket(.dealer, context: context, options: options)
            try dealer.connect(try router.lastEndpoint())
            self.events = try events ?? EventCounter()
            let events = self.events
            routerPoller = Poller(socket: router, descriptor: events.descriptor)
            dealerPoller = Poller(socket: dealer, descriptor: events.descriptor)
            // With IMMEDIATE, nothing is taken before the handshake is done.
            _ = try dealerPoller.wait(timeout: 5000, toSend: true)
        }

        mutating func routerReceive() throws -> [Bytes] {
            var parts: [Bytes] = []
            #expect(try routerPoller.wait(timeout: 5000) == .receive)
            #expect(try router.receive(into: &parts))
            return parts
        }

        mutating func dealerReceive() throws -> [Bytes] {
            var parts: [Bytes] = []
            #expect(try dealerPoller.wait(timeout: 5000) == .receive)
            #expect(try dealer.receive(into: &parts))
            return parts
        }
    }

    @Test("A message of several parts arrives whole and unchanged, both ways, small or large")
    func roundTrip() throws {
        var pair = try Pair()
        let sizes = [0, 1, 24, 33, 34, 64, 65, 1024, 1025, 100_000, 8 << 20]
        let contents = sizes.map { size in [UInt8]((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ size) }) }
        #expect(try pair.dealer.send(contents.map { Bytes($0) }) == .sent)
        let seen = try pair.routerReceive()
        #expect(seen.count == contents.count + 1)
        #expect(zip(seen.dropFirst(), contents).allSatisfy { $0.array == $1 })

        #expect(try pair.router.send(seen) == .sent)
        let back = try pair.dealerReceive()
        #expect(back.map(\.array) == contents)
    }

    @Test("Nothing to receive is not an error, and the parts of the last message are gone")
    func empty() throws {
        let pair = try Pair()
        var parts = [Bytes([1])]
        #expect(try pair.router.receive(into: &parts) == false)
        #expect(parts.isEmpty)
    }

    @Test("A message with too many parts is flagged and cut, and the next one is read whole")
    func overlong() throws {
        var pair = try Pair()
        #expect(try pair.dealer.send((0..<100).map { Bytes([UInt8($0)]) }) == .sent)
        #expect(try pair.dealer.send([Bytes([7])]) == .sent)
        let cut = try pair.routerReceive()
        #expect(cut.count == ZMQSocket.partsMax && pair.router.lastWasOverlong)
        let whole = try pair.routerReceive()
        #expect(whole.count == 2 && whole[1].array == [7] && !pair.router.lastWasOverlong)
    }

    @Test("A router that does not know the peer says so, and keeps serving the ones it knows")
    func unreachable() throws {
        var pair = try Pair()
        #expect(try pair.router.send([Bytes([0, 1, 2, 3, 4]), Bytes([1])]) == .unreachable)
        #expect(try pair.dealer.send([Bytes([1])]) == .sent)
        let seen = try pair.routerReceive()
        #expect(try pair.router.send([seen[0], Bytes([2])]) == .sent)
        #expect(try pair.dealerReceive().map(\.array) == [[2]])
    }

    @Test("A dealer without a hub would block; with one whose queue is full too, and none of that message is sent")
    func wouldBlock() throws {
        let context = try Context()
        let alone = try ZMQSocket(.dealer, context: context)
        try alone.connect("tcp://127.0.0.1:1")
        #expect(try alone.send([Bytes([1]), Bytes([2])]) == .wouldBlock)

        var options = SocketOptions()
        options.sendHighWater = 4
        options.receiveHighWater = 4
        options.kernelSendBuffer = 8192
        options.kernelReceiveBuffer = 8192
        var pair = try Pair(options: options)
        let large = [UInt8](repeating: 5, count: 100_000)
        var sent = 0
        while try pair.dealer.send([Bytes([UInt8(sent)]), Bytes(large)]) == .sent {
            sent += 1
            try #require(sent < 200)
        }
        for index in 0..<sent {
            let parts = try pair.routerReceive()
            #expect(parts.count == 3 && parts[1].array == [UInt8(index)] && parts[2].count == large.count)
        }
        #expect(try pair.routerPoller.wait(timeout: 50) == [])
    }

    @Test("Large parts are released once they are sent, and when they cannot be")
    func released() throws {
        let released = Counter()
        func tracked() -> Bytes {
            let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 50_000, alignment: 8)
            return Bytes(UnsafeRawBufferPointer(room)) {
                room.deallocate()
                released.value.add(1, ordering: .acquiringAndReleasing)
            }
        }
        var pair = try Pair()
        #expect(try pair.dealer.send([Bytes([1]), tracked()]) == .sent)
        #expect(try pair.routerReceive().count == 3)
        let deadline = ContinuousClock.now + .seconds(5)
        while released.value.load(ordering: .acquiring) < 1, ContinuousClock.now < deadline { usleep(1000) }
        #expect(released.value.load(ordering: .acquiring) == 1)
        #expect(try pair.router.send([Bytes([0, 9, 9, 9, 9]), tracked()]) == .unreachable)
        #expect(released.value.load(ordering: .acquiring) == 2)
    }

    @Test("An address in use and a senseless endpoint are refused with a sentence")
    func refusals() throws {
        let context = try Context()
        let first = try ZMQSocket(.router, context: context)
        try first.bind("tcp://127.0.0.1:*")
        let taken = try first.lastEndpoint()
        let second = try ZMQSocket(.router, context: context)
        let inUse = #expect(throws: TransportError.self) { try second.bind(taken) }
        #expect(inUse?.code == EADDRINUSE)
        #expect(
            inUse?.message
                == "cannot bind \(taken): the address is in use; another hub may be running, or choose another endpoint")
        #expect(throws: TransportError.self) { try second.connect("nonsense") }
        #expect(throws: TransportError.self) { try second.bind("smoke://signal") }
    }

    @Test("A signal from another thread ends a wait, and many signals are drained at once")
    func signals() async throws {
        let events = try EventCounter()
        let signalling = Task.detached { for _ in 0..<3 { events.signal() } }
        await signalling.value
        var pair = try Pair(events: events)
        #expect(try pair.routerPoller.wait(timeout: 5000) == .event)
        events.drain()
        #expect(try pair.routerPoller.wait(timeout: 0) == [])
    }

    @Test("A message is found by a wait though its news was taken in by a send before")
    func newsTakenBySend() throws {
        var pair = try Pair()
        let letter = [Bytes(Array("letter".utf8))]
        #expect(try pair.dealer.send(letter) == .sent)
        let address = try pair.routerReceive()[0]
        var parts: [Bytes] = []
        #expect(try !pair.dealer.receive(into: &parts))
        for _ in 0..<20 {
            #expect(try pair.router.send([address] + letter) == .sent)
            // Not waited for, only made likely: the message comes, and libzmq looks for news again when something is sent.
            usleep(3000)
            #expect(try pair.dealer.send(letter) == .sent)
            _ = try pair.dealerReceive()
            #expect(try !pair.dealer.receive(into: &parts))
            _ = try pair.routerReceive()
            #expect(try !pair.router.receive(into: &parts))
        }
        #expect(try pair.dealerPoller.wait(timeout: 10) == [])
        #expect(try pair.routerPoller.wait(timeout: 10) == [])
    }
}
