import Testing
import TocsinProto
import TocsinWire

@testable import TocsinKit

/// Goal: a session answers everyone who asks, also in rare orders of events. Method: its events in the order wanted, and its
/// actions looked at; waiters are texts.
@Suite("Session of a client: every wait ends") struct SessionTests {
    private func ask(_ world: inout SessionWorld, deadline: Int64) throws {
        let now = world.now
        world.session.declare(pool: "p", spec: Bytes([]), id: 11, waiter: "declare", deadline: deadline, now: now)
        world.session.serve(service: "a.B", serve: Bytes([]), id: 12, waiter: "serve", deadline: deadline, now: now)
        world.session.subscribe(pool: "p", credit: 1, id: 13, waiter: "subscribe", deadline: deadline, now: now)
        world.session.tap([">"], from: .live, credit: 1, id: 14, waiter: "tap", deadline: deadline, now: now)
        world.publish(try encoded(1...1), id: 15, deadline: deadline, waiter: "publish")
        world.session.openCall(16, deadline: deadline, startBy: .max, now: now)
        world.session.ready("ready", deadline: deadline)
    }
    private let all = ["call", "declare", "publish", "ready", "serve", "subscribe", "tap"]

    @Test("whatever is asked before or after the end is answered: closed", arguments: [false, true])
    func closed(after: Bool) throws {
        var world = SessionWorld()
        if after { world.session.close(now: 0) }
        try ask(&world, deadline: 1000)
        if !after { world.session.close(now: 0) }
        #expect(try world.answered().sorted() == all.map { "\($0): the client is closed" })
        #expect(world.ended.sorted() == [13, 14])
    }

    @Test("without a hub everything ends at its deadline and says where none was found")
    func noHub() throws {
        var world = SessionWorld()
        try ask(&world, deadline: 5000)
        world.pass(until: 4999)
        #expect(try world.answered() == [])
        #expect(world.session.wakeAt == 5000)
        world.pass(until: 5000)
        let said = try world.answered().sorted()
        #expect(said.map { String($0.prefix { $0 != ":" }) } == all)
        for answer in said { #expect(answer.contains("no hub answered at ipc://here; is it running there?"), "\(answer)") }
    }

    @Test("a hub that answers nothing: everything ends soon after its deadline and says of what")
    func silent() throws {
        var world = SessionWorld()
        try world.welcome()
        try ask(&world, deadline: 5000)
        #expect(try world.answered() == ["ready: ok"])
        world.pass(until: 5000)
        #expect(
            try world.answered().sorted() == [
                "declare: the declaration of the pool p: the hub at ipc://here has not answered in time; try again",
                "publish: it is not known whether 1 messages are stored; publish them again with the same ids: the hub at ipc://here"
                    + " has not answered in time",
                "serve: the offer to serve a.B: the hub at ipc://here has not answered in time; try again",
                "subscribe: the subscription to p: the hub at ipc://here has not answered in time; try again",
                "tap: the tap of >: the hub at ipc://here has not answered in time; try again",
            ])
        world.pass(until: 6000)
        #expect(try world.answered() == ["call: no answer in time; it may or may not have been done"])
    }

    @Test("a subscription or tap over the limit is refused, and nothing of it is kept")
    func tooMany() throws {
        var world = SessionWorld()
        try world.welcome()
        for id in 0..<UInt64(Limits.subscriptions) {
            world.session.subscribe(pool: "p", credit: 1, id: id, waiter: "first", deadline: 1000, now: 1)
        }
        #expect(try world.answered() == [])
        world.session.tap([">"], from: .live, credit: 1, id: 1000, waiter: "tap", deadline: 1000, now: 1)
        let answers = try world.answered()
        #expect(answers.count == 1 && answers[0].hasPrefix("tap: TOO_MANY of 0: this client has 64 subscriptions"), "\(answers)")
        #expect(world.ended == [1000])
    }

    @Test("what a hub that shuts down or has no room cannot take now is asked again; at the deadline the reason is told")
    func passing() throws {
        for reason in [Reason.storageFailed, .shuttingDown] {
            var world = SessionWorld()
            try world.welcome()
            _ = try world.sent()
            world.session.declare(pool: "p", spec: Bytes([]), id: 11, waiter: "declare", deadline: 5000, now: 0)
            world.session.subscribe(pool: "p", credit: 1, id: 13, waiter: "subscribe", deadline: 5000, now: 0)
            world.session.serve(service: "a.B", serve: Bytes([]), id: 12, waiter: "serve", deadline: 5000, now: 0)
            for round in 0..<3 {
                #expect(
                    try world.sent().filter { $0.kind != .heartbeat }.map(\.id) == (round == 0 ? [11, 13, 12] : [11, 12, 13]))
                for id in [11, 12, 13] as [UInt64] { try world.refuse(id, reason, "not now") }
                #expect(try world.answered() == [])
                world.pass(until: world.now + 1000)
            }
            try world.refuse(12, .ok)
            #expect(try world.answered() == ["serve: ok"])
            world.pass(until: 5000)
            let said = try world.answered()
            #expect(said.count == 2)
            for answer in said {
                #expect(answer.contains("still refuses it, \(reason.name): not now; try again later"), "\(answer)")
            }
        }
    }
}
