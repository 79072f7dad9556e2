import TestSupport
import Testing
import TocsinProto

@testable import TocsinIntake

@Suite("Riemann's events, index and queries")
struct RiemannTests {
    private struct World {
        var intake: RiemannIntake
        var now: UInt64 = 1_000
        let epoch: UInt64 = 1_700_000_000_000

        init(_ change: (inout RiemannPolicy) -> Void = { _ in }) {
            var policy = RiemannPolicy()
            change(&policy)
            intake = RiemannIntake(policy)
        }
        mutating func take(_ message: Riemann_Msg) throws -> RiemannIntake.Reply {
            intake.take(try message.serializedBytes(), now: now, wallClock: epoch + now)
        }
        mutating func tell(_ state: String, host: String = "h", ttl: Float? = nil, service: String = "s") throws
            -> [Tocsin_V1_Event]
        {
            let reply = try take(.with { $0.events = [RiemannTests.event(state, host: host, ttl: ttl, service: service)] })
            #expect(reply.answer.ok)
            return reply.events
        }
        mutating func expire(after: UInt64) -> [Tocsin_V1_Event] {
            now += after
            return intake.expire(now: now, wallClock: epoch + now)
        }
        mutating func query(_ text: String) throws -> Riemann_Msg {
            try take(.with { $0.query.string = text }).answer
        }
    }

    private static func event(_ state: String, host: String = "h", ttl: Float? = nil, service: String = "s") -> Riemann_Event {
        .with {
            $0.host = host
            $0.service = service
            if !state.isEmpty { $0.state = state }
            if let ttl { $0.ttl = ttl }
        }
    }

    @Test("the fields of an event, and what has no field as labels and details")
    func fields() throws {
        var world = World()
        var told = Self.event("warning", ttl: 60)
        told.description_p = "slow\nsecond line"
        told.time = 1_600_000_000
        told.metricSint64 = -7
        told.tags = ["a", "b"]
        told.attributes = [
            .with {
                $0.key = "zone"
                $0.value = "z1"
            },
            .with {
                $0.key = "host"
                $0.value = "other"
            },
        ]
        let reply = try world.take(.with { $0.events = [told] })
        let event = try #require(reply.events.first)
        #expect(reply.answer == .with { $0.ok = true })
        #expect(
            event.kind == .trigger && event.service == "s" && event.source == "riemann:h" && event.summary == "slow second line")
        #expect(event.severityHint == "warning" && event.observedAt == 1_600_000_000_000)
        #expect(event.labels == ["host": "h", "service": "s", "zone": "z1"])
        #expect(
            event.details == [
                "state": "warning", "metric": "-7.0", "ttl": "60.0", "tags": "a b", "description": "slow\nsecond line",
            ])
        told.timeMicros = 1_600_000_000_123_456
        #expect(try world.take(.with { $0.events = [told] }).events.first?.observedAt == 1_600_000_000_123)
        told = Self.event("critical")
        told.time = .max
        told.metricF = 0.5
        let bare = try #require(try world.take(.with { $0.events = [told] }).events.first)
        #expect(bare.observedAt == world.epoch + 1_000 && bare.summary == "s on h is critical (0.5)")
    }

    @Test("every trigger is told, ok only where it is news, measurements never")
    func states() throws {
        var world = World { $0.okStates = ["ok", "up"] }
        #expect(try world.tell("").isEmpty)
        #expect(try world.tell("ok").map(\.kind) == [.resolve], "what was before is not known")
        #expect(try world.tell("ok").isEmpty)
        #expect(try world.tell("").isEmpty)
        #expect(try world.tell("up").isEmpty)
        let keys = try [world.tell("critical"), world.tell("critical"), world.tell("up")].flatMap { $0 }
        #expect(keys.map(\.kind) == [.trigger, .trigger, .resolve] && Set(keys.map(\.dedupKey)).count == 1)
        #expect(try world.tell("critical", host: "g").first?.dedupKey != keys.first?.dedupKey)
    }

    @Test("what is not refreshed within its ttl expires, once; a sign of life ends it")
    func expiry() throws {
        var world = World()
        _ = try world.tell("ok", ttl: 10)
        _ = try world.tell("ok", host: "for ever")
        #expect(world.expire(after: 9_999).isEmpty)
        _ = try world.tell("", ttl: 10)
        #expect(world.expire(after: 9_999).isEmpty, "refreshed")
        let silent = world.expire(after: 1)
        #expect(silent.map(\.kind) == [.trigger] && silent.first?.details["state"] == "expired")
        #expect(silent.first?.summary == "nothing was heard for 10.0 s; the last was: s on h")
        #expect(world.expire(after: 100_000).isEmpty)
        let alive = try world.tell("", ttl: 10)
        #expect(alive.map(\.kind) == [.resolve] && alive.first?.dedupKey == silent.first?.dedupKey)
        #expect(world.expire(after: 10_000).count == 1)
        #expect(try world.tell("ok").map(\.kind) == [.resolve])
        #expect(world.intake.counts.expired == 2)
        for ttl in [Float.nan, .infinity, -1, 0, 1e30] { #expect(try world.tell("critical", ttl: ttl).count == 1, "\(ttl)") }
        #expect(world.expire(after: 1 << 40).isEmpty)
    }

    @Test("what the hub did not take is told again")
    func forgotten() throws {
        var world = World()
        _ = try world.tell("critical")
        let lost = try world.tell("ok")
        world.intake.forget(lost)
        #expect(try world.tell("ok").count == 1)
        let warning = try world.tell("warning", ttl: 10)
        world.intake.forget(warning)
        #expect(world.expire(after: 10_000).count == 1)
    }

    @Test("a question that costs too much is ended")
    func costly() throws {
        let event = Riemann_Event.with { $0.description_p = String(repeating: "a", count: 4096) }
        let query = try RiemannQuery("description =~ \"%\(String(repeating: "a", count: 2000))b\"")
        var work = 100_000
        #expect(try !query.matches(event, work: &work))
        #expect(throws: RiemannQuery.Problem.self) { () throws -> Void in _ = try query.matches(event, work: &work) }
    }

    @Test("the index has room for so many pairs, a message for so many events")
    func bounds() throws {
        var world = World {
            $0.most = 2
            $0.mostEvents = 3
            $0.mostFound = 1
        }
        for host in ["a", "b", "c"] { #expect(try world.tell("critical", host: host).count == 1) }
        #expect(world.intake.indexed == 2 && world.intake.counts.unindexed == 1)
        let many = try world.take(.with { $0.events = Array(repeating: Riemann_Event(), count: 4) })
        #expect(!many.answer.ok && many.answer.error.contains("4 events") && many.events.isEmpty)
        #expect(try world.query("true").error.contains("more than 1"))
        #expect(try world.query("host = \"a\"").events.count == 1)
    }

    @Test("the index has room for so many bytes; beyond them events are known, and found, without their texts")
    func indexBytes() throws {
        var world = World { $0.mostBytes = 100 }
        func told(_ host: String, _ description: String) -> Riemann_Event {
            var event = Self.event("critical", host: host, ttl: 5)
            event.description_p = description
            return event
        }
        let long = String(repeating: "x", count: 70)
        for _ in 0..<3 { _ = try world.take(.with { $0.events = [told("a", long)] }) }
        #expect(try world.query("description =~ \"x%\"").events.count == 1, "told again, it takes no more")
        let seen = try world.take(.with { $0.events = [told("b", long)] }).events
        #expect(seen.first?.summary == long, "the event itself is whole")
        #expect(try world.query("description =~ \"x%\"").events.map(\.host) == ["a"])
        #expect(try world.query("host = \"b\"").events.count == 1)
        #expect(world.expire(after: 5_000).count == 2)
    }

    @Test(
        "queries choose from the index",
        arguments: [
            ("true", "abc"), ("false", ""), ("nil", nil), ("host = \"a\"", "a"), ("host != \"a\"", "bc"), ("state = nil", "c"),
            ("not state = \"ok\" and service =~ \"cpu%\"", "b"), ("service =~ \"%load\" or host = \"b\"", "bc"),
            ("(host = \"a\" or host = \"b\") and state = \"critical\"", "b"), ("metric > 0.5", "b"), ("metric <= 0.5", "a"),
            ("metric != 1", "ac"), ("tagged \"x\"", "a"), ("not (true)", ""), ("service =~ \"c%u%\"", "ab"),
            ("service =~ \"c\"", ""),
            ("host =", nil), ("(true", nil), ("true true", nil), ("host = \"a", nil), ("service ~= \"a\"", nil), ("", nil),
            ("metric > x", nil), (String(repeating: "(", count: 1000), nil), (String(repeating: "not ", count: 1000), nil),
            (String(repeating: "true or ", count: 1000), nil),
        ] as [(String, String?)])
    func queries(text: String, hosts: String?) throws {
        var world = World()
        var (a, b) = (Self.event("ok", host: "a", service: "cpu"), Self.event("critical", host: "b", service: "cpu user"))
        a.metricD = 0.5
        a.tags = ["x"]
        b.metricSint64 = 1
        _ = try world.take(.with { $0.events = [a, b, Self.event("", host: "c", service: "load")] })
        let answer = try world.query(text)
        #expect(answer.ok == (hosts != nil) && answer.error.isEmpty == (hosts != nil), "\(answer.error)")
        #expect(answer.events.map(\.host).sorted().joined() == hosts ?? "")
    }

    @Test("any bytes are answered, and events are counted before they are made")
    func anyBytes() throws {
        var random = SplitMix64.seeded()
        var told = Self.event("critical", ttl: 5)
        told.attributes = [.with { $0.key = "k" }]
        let seed: [UInt8] = try Riemann_Msg.with {
            $0.events = [told, told]
            $0.query.string = "true"
        }.serializedBytes()
        var world = World()
        for _ in 0..<5000 {
            var bytes = seed
            for _ in 0..<1 + random.below(4) { bytes[random.below(bytes.count)] = UInt8(random.below(256)) }
            bytes.removeLast(random.below(bytes.count))
            let reply = world.intake.take(bytes, now: 0, wallClock: 0)
            #expect(reply.answer.ok || !reply.answer.error.isEmpty)
            if let message = try? Riemann_Msg(serializedBytes: bytes, partial: true) {
                #expect(try RiemannIntake.countOfEvents(bytes) >= message.events.count)
            }
        }
    }

    @Test("messages are divided as their lengths say, however they come")
    func framing() {
        var random = SplitMix64.seeded()
        for _ in 0..<500 {
            let messages = (0..<random.below(6)).map { _ in random.bytes(upTo: 40) }
            let stream = messages.flatMap(RiemannFramer.framed)
            var framer = RiemannFramer(longest: 40)
            var seen: [[UInt8]] = []
            var at = 0
            while at < stream.count {
                let end = min(stream.count, at + 1 + random.below(30))
                let taken = framer.feed(Array(stream[at..<end]))
                #expect(taken.problem == nil)
                seen += taken.messages
                at = end
            }
            #expect(seen == messages)
        }
        var framer = RiemannFramer(longest: 40)
        let taken = framer.feed(RiemannFramer.framed([1, 2]) + [0, 0, 0, 41])
        #expect(taken.messages == [[1, 2]] && taken.problem == .init(bytes: 41))
    }
}
