import TestSupport
import Testing
import TocsinWire

@testable import TocsinKit

/// Goal: a publish fits the hub's bounds, waits out a hub that can store nothing, in order, and is answered exactly once.
@Suite("Session of a client: publishing") struct PublishTests {
    @Test("a batch made before the hub's bounds were known is sent in parts, before later ones, and answered as one")
    func parts() throws {
        var world = SessionWorld()
        let first = try encoded(0..<10)
        let second = try encoded(10..<12)
        world.publish(first, id: 1)
        world.publish(second, id: 2)
        try world.welcome(batch: 4)
        var sent = try world.sent().filter { $0.kind == .publish }
        #expect(sent.map(\.ids) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [10, 11]])
        #expect(Set(sent.map(\.id)).count == 4)
        // The connection is lost in the midst of it: what was not answered goes again, still in order.
        try world.accept(sent[1], first: 5)
        world.goodbye()
        try world.welcome(batch: 4)
        sent = try world.sent().filter { $0.kind == .publish }
        #expect(sent.map(\.ids) == [[0, 1, 2, 3], [8, 9], [10, 11]])
        try world.accept(sent[2], first: 11)
        try world.accept(sent[0], first: 1, duplicates: 1)
        #expect(try world.answered() == ["2: ok 2 0 from 11"])
        #expect(world.released == second.body.count)
        try world.accept(sent[1], first: 9)
        #expect(try world.answered() == ["1: ok 9 1 from 1"])
        #expect(world.released == first.body.count + second.body.count)
        #expect(world.isIdle)
    }

    @Test("parts have at most the bytes the hub takes")
    func bytes() throws {
        var world = SessionWorld()
        try world.welcome(bytes: 50_000)
        world.publish(try encoded(0..<40, payload: 10_000), id: 1)
        let sent = try world.sent().filter { $0.kind == .publish }
        #expect(sent.count == 10 && sent.allSatisfy { $0.bytes <= 50_000 })
        #expect(sent.flatMap(\.ids) == Array(0..<40))
    }

    @Test("of the parts of a batch the first message refused is told, by its place in the whole, when all are answered")
    func refusedPart() throws {
        var world = SessionWorld()
        try world.welcome(batch: 4)
        world.publish(try encoded(0..<10), id: 1)
        let sent = try world.sent().filter { $0.kind == .publish }
        try world.refuse(sent[2].id, .unknownSubject, "ten", index: 1)
        try world.refuse(sent[1].id, .unknownSubject, "six", index: 2)
        #expect(try world.answered() == [])
        try world.accept(sent[0])
        #expect(try world.answered() == ["1: UNKNOWN_SUBJECT of 6: six"])
    }

    @Test("a batch that is too large for a hub that did not say so is halved until a message is refused for itself")
    func halved() throws {
        var world = SessionWorld()
        try world.welcome()
        world.publish(try encoded(0..<9), id: 1)
        var stored: [Int] = []
        var batches = 0
        while case let publishes = try world.sent().filter({ $0.kind == .publish }), !publishes.isEmpty {
            for publish in publishes {
                batches += 1
                if publish.ids.count > 4 || publish.ids.contains(6) {
                    try world.refuse(publish.id, batches % 2 == 0 && publish.ids.count > 1 ? .tooMany : .tooLarge, "too much")
                } else {
                    stored += publish.ids
                    try world.accept(publish)
                }
            }
        }
        #expect(stored.sorted() == [0, 1, 2, 3, 4, 5, 7, 8])
        #expect(try world.answered() == ["1: TOO_LARGE of 6: too much"])
    }

    @Test("while the hub can store nothing all is kept and only the oldest is tried, ever later; then all follows in order")
    func held() throws {
        for reason in [Reason.storageFailed, .shuttingDown] {
            var world = SessionWorld()
            try world.welcome()
            for id in 1...3 { world.publish(try encoded(id...id), id: UInt64(id)) }
            var sent = try world.sent().filter { $0.kind == .publish }
            try world.refuse(2, reason, "no room")
            try world.refuse(1, reason, "no room")
            // On its way when the hub refused the others.
            try world.accept(sent[2])
            world.publish(try encoded(4...4), id: 4)
            #expect(try world.published() == [])
            #expect(try world.answered() == ["3: ok 1 0 from 1"])
            var tries: [Int64] = []
            while tries.count < 10 {
                world.pass(until: world.now + 1)
                sent = try world.sent().filter { $0.kind == .publish }
                if sent.isEmpty { continue }
                #expect(sent.map(\.ids) == [[1]])
                tries.append(world.now)
                try world.refuse(1, reason, "no room")
            }
            #expect(tries.last.map { $0 < 9000 } == true && tries[0] <= 25)
            #expect(zip(tries, tries.dropFirst()).allSatisfy { $1 - $0 <= 1001 })
            #expect(tries[9] - tries[8] >= 500, "ever later: \(tries)")
            // One warning, not one for each.
            #expect(world.log.count { $0.hasPrefix("warning: messages are kept") } == 1)
            world.pass(until: world.now + 1000)
            sent = try world.sent().filter { $0.kind == .publish }
            #expect(try world.answered() == [])
            try world.accept(sent[0])
            #expect(try world.published() == [[2], [4]])
        }
    }

    @Test("after a hub that shut down a new one gets the oldest first, then the rest")
    func shutDown() throws {
        var world = SessionWorld()
        try world.welcome()
        for id in 1...3 { world.publish(try encoded(id...id), id: UInt64(id)) }
        _ = try world.sent()
        try world.refuse(1, .shuttingDown)
        world.goodbye()
        try world.welcome()
        let sent = try world.sent().filter { $0.kind == .publish }
        #expect(sent.map(\.ids) == [[1]])
        try world.accept(sent[0])
        #expect(try world.published() == [[2], [3]])
    }

    @Test("what is refused for itself, or late, makes place for the next")
    func nextTry() throws {
        var world = SessionWorld()
        try world.welcome()
        world.publish(try encoded(1...1), id: 1)
        world.publish(try encoded(2...2), id: 2, deadline: 500)
        world.publish(try encoded(3...3), id: 3)
        _ = try world.sent()
        for id in 1...3 { try world.refuse(UInt64(id), .storageFailed) }
        world.pass(until: 30)
        #expect(try world.published() == [[1]])
        try world.refuse(1, .badEnvelope)
        #expect(try world.published() == [[2]])
        world.pass(until: 500)
        #expect(try world.published() == [[3]])
        let answers = try world.answered()
        #expect(answers.count == 2 && answers[0] == "1: BAD_ENVELOPE of 0: no")
    }

    @Test("a publish that the hub could not store until the deadline says so, why, and what to do")
    func late() throws {
        var world = SessionWorld()
        try world.welcome()
        world.publish(try encoded(1...3), id: 1, deadline: 500)
        try world.refuse(1, .storageFailed, "the disk is full")
        world.pass(until: 495)
        try world.refuse(1, .storageFailed, "the disk is full")
        #expect(try world.answered() == [])
        world.pass(until: 500)
        #expect(
            try world.answered() == [
                "1: 3 messages are not stored; publish them again with the same ids: the hub at ipc://here still refuses,"
                    + " STORAGE_FAILED: the disk is full"
            ])
        // What a hub before this one had may be stored.
        world.publish(try encoded(1...3), id: 2, deadline: 2000)
        world.pass(until: 1000)
        world.goodbye()
        world.pass(until: 1001)
        try world.welcome()
        try world.refuse(2, .shuttingDown)
        world.goodbye()
        world.pass(until: 2000)
        #expect(
            try world.answered() == [
                "2: it is not known whether 3 messages are stored; publish them again with the same ids: no hub answered at"
                    + " ipc://here; is it running there?"
            ])
    }

    @Test("what may be spooled does not wait: it is given back as soon as the hub is away or stores nothing")
    func spooling() throws {
        var world = SessionWorld()
        world.publish(try encoded(1...1), id: 1, gate: .spooling)
        #expect(try world.answered() == ["1: no hub answered at ipc://here; is it running there?"])
        try world.welcome()
        world.publish(try encoded(2...2), id: 2, gate: .spooling)
        #expect(try world.answered() == [])
        try world.refuse(2, .storageFailed, "the disk is full")
        world.publish(try encoded(3...3), id: 3, gate: .spooling)
        let reason = "the hub stores nothing now: STORAGE_FAILED: the disk is full"
        #expect(try world.answered() == ["2: \(reason)", "3: \(reason)"])
        // Nobody waits, so the next one is what is tried.
        _ = try world.sent()
        world.pass(until: 30)
        world.publish(try encoded(4...4), id: 4, gate: .spooling)
        #expect(try world.published() == [[4]])
        world.goodbye()
        #expect(try world.answered() == ["4: the connection to the hub was lost"])
    }

    /// Method: batches of random sizes to a hub that, at random, accepts, refuses for the moment, refuses single messages, has
    /// other bounds after each reconnect, says nothing or goes away; at last it is well. Then what was said to be stored is.
    @Test("whatever the hub does, each publish is answered once, and truly")
    func history() throws {
        var random = SplitMix64.seeded()
        for _ in 0..<200 {
            var world = SessionWorld()
            var stored: Set<Int> = []
            var waiting: [SessionWorld.Sent] = []
            var batches: [UInt64: (ids: Range<Int>, bytes: Int)] = [:]
            var answered: [UInt64: String] = [:]
            var next = 0
            var (bytes, batch) = (0, 0)
            let bad = Set((0..<6).map { _ in random.below(400) })
            func step(_ world: inout SessionWorld, well: Bool) throws {
                waiting += try world.sent().filter { $0.kind == .publish }
                for answer in try world.answered() {
                    let parts = answer.split(separator: ":", maxSplits: 1)
                    let id = try #require(UInt64(parts[0]))
                    #expect(answered.updateValue(String(parts[1].dropFirst()), forKey: id) == nil)
                }
                if !world.session.isLive {
                    waiting = []
                    guard world.isConnecting, well || random.chance(0.3) else { return }
                    (bytes, batch) = random.chance(0.5) ? (0, 0) : (100 + random.below(1000), 1 + random.below(20))
                    return try world.welcome(bytes: bytes, batch: batch)
                }
                guard !waiting.isEmpty else { return }
                let sent = waiting.remove(at: random.below(waiting.count))
                #expect(batch == 0 || sent.ids.count <= batch)
                #expect(bytes == 0 || sent.ids.count == 1 || sent.bytes <= bytes)
                if !well {
                    if random.chance(0.1) { return world.goodbye() }
                    if random.chance(0.1) { return }
                    if random.chance(0.3) {
                        return try world.refuse(sent.id, random.chance(0.5) ? .storageFailed : .shuttingDown)
                    }
                }
                if sent.ids.count > 15 { return try world.refuse(sent.id, .tooLarge) }
                if let index = sent.ids.firstIndex(where: bad.contains) {
                    return try world.refuse(sent.id, .unknownSubject, index: index)
                }
                let fresh = Set(sent.ids).subtracting(stored)
                stored.formUnion(fresh)
                try world.accept(sent, duplicates: sent.ids.count - fresh.count)
            }
            for round in 1...60 {
                if random.chance(0.5) {
                    let ids = next..<next + 1 + random.below(30)
                    next = ids.upperBound
                    let made = try encoded(ids, payload: random.below(40))
                    batches[UInt64(round)] = (ids, made.body.count)
                    world.publish(made, id: UInt64(round), deadline: world.now + 500 + Int64(random.below(5000)))
                }
                for _ in 0..<random.below(6) { try step(&world, well: false) }
                world.pass(until: world.now + Int64(random.below(100)))
            }
            for _ in 0..<2000 where answered.count < batches.count {
                try step(&world, well: true)
                world.pass(until: world.now + 10)
            }
            #expect(answered.count == batches.count)
            #expect(world.released == batches.values.reduce(0) { $0 + $1.bytes })
            #expect(world.isIdle)
            for (id, answer) in answered {
                let ids = try #require(batches[id]).ids
                if answer.hasPrefix("ok") { #expect(ids.allSatisfy(stored.contains), "\(answer)") }
                if answer.hasPrefix("UNKNOWN_SUBJECT of ") {
                    let place = try #require(Int(answer.dropFirst(19).prefix { $0.isNumber }))
                    #expect(bad.contains(ids.lowerBound + place), "\(answer)")
                } else if answer.contains("are not stored") {
                    #expect(ids.contains { !stored.contains($0) }, "\(answer)")
                }
            }
        }
    }
}
