import TestSupport
import Testing
import TocsinProto

@testable import TocsinIntake

@Suite("Syslog messages become events")
struct SyslogIntakeTests {
    /// A clock of milliseconds, and messages to an intake at its time.
    private struct World {
        var intake: SyslogIntake
        var now: UInt64 = 1_000

        init(_ change: (inout SyslogPolicy) -> Void = { _ in }) {
            var policy = SyslogPolicy()
            change(&policy)
            intake = SyslogIntake(policy)
        }
        mutating func take(_ text: String, after: UInt64 = 0) -> [Tocsin_V1_Event] {
            now += after
            return intake.take(SyslogMessage(Array(text.utf8)), from: "192.0.2.1", now: now, wallClock: now + 1_700_000_000_000)
        }
        mutating func collect(after: UInt64) -> [Tocsin_V1_Event] {
            now += after
            return intake.collect(now: now, wallClock: now + 1_700_000_000_000)
        }
    }
    private func count(_ events: [Tocsin_V1_Event]) -> UInt32 { events.reduce(0) { $0 + max(1, $1.count) } }

    @Test("the fields of an event, and what has no field as labels and details")
    func fields() throws {
        var world = World()
        let event = try #require(
            world.take("<35>1 2003-10-11T22:14:15.003Z web-1 sshd 77 AUTH [a@1 ip=\"::1\" ip=\"::2\"] login failed\nsecond").first
        )
        #expect(event.kind == .trigger && event.service == "sshd" && event.source == "syslog:web-1")
        #expect(event.subject == "event.syslog.web-1" && event.summary == "login failed second")
        #expect(event.severityHint == "err" && event.observedAt == 1_065_910_455_003 && event.count == 0)
        #expect(event.labels == ["host": "web-1", "app": "sshd", "facility": "auth", "message_id": "AUTH"])
        #expect(
            event.details == [
                "sender": "192.0.2.1", "severity": "err", "text": "login failed\nsecond", "process": "77", "a@1.ip": "::1 ::2",
            ])
        let bsd = try #require(world.take("<36>Oct 11 22:14:15 web-1 sshd[7]: timeout").first)
        #expect(bsd.observedAt == 1_700_000_001_000 && bsd.details["device_time"] == "Oct 11 22:14:15")
        let bare = try #require(world.take("<36>no form at all").first)
        #expect(bare.source == "syslog:192.0.2.1" && bare.service == "192.0.2.1" && bare.details["well_formed"] == "false")
    }

    @Test("long names are cut, and of many parameters those that have no room are counted")
    func long() throws {
        var world = World()
        let host = String(repeating: "h", count: 10_000)
        let parameters = (0..<100).map { " p\($0)=\"v\"" }.joined()
        let event = try #require(world.take("<3>1 - \(host) a 7 - [x\(parameters)] full").first)
        #expect(event.labels["host"]?.utf8.count == 255 && event.details["well_formed"] == "false")
        #expect(event.details.count == 64 && event.details["x.p0"] == "v" && event.details["process"] == "7")
        let kept = event.details.keys.count { $0.hasPrefix("x.") }
        #expect(event.details["parameters_left_out"] == "\(100 - kept)")
        _ = world.take("<3>1 - \(host) a 7 - [x\(parameters)] full")
        let more = try #require(world.collect(after: 10_000).first)
        #expect(more.details.keys.sorted() == ["sender", "severity"] && more.summary == "full")
    }

    @Test("what is less bad than the least is no event, and is counted")
    func minimum() {
        var world = World { $0.minimum = .error }
        #expect(world.take("<3>1 - h a - - - bad").count == 1)
        #expect(world.take("<4>1 - h a - - - not so bad").isEmpty && world.take("no priority").isEmpty)
        #expect(world.intake.counts == .init(received: 3, below: 2, malformed: 1, truncated: 0))
    }

    @Test("a storm becomes one event at once and one with the exact count of the rest when the time is over")
    func storm() {
        var world = World()
        var events = world.take("<3>1 - h a - - - disk 0 is full")
        #expect(events.count == 1)
        for index in 1..<1000 { events += world.take("<3>1 - h a \(index) - - disk \(index) is full", after: 5) }
        #expect(events.count == 1 && world.collect(after: 0).isEmpty)
        events += world.collect(after: 10_000)
        #expect(events.count == 2 && count(events) == 1000)
        #expect(Set(events.map(\.id)).count == 2 && Set(events.map(\.dedupKey)).count == 1)
        #expect(world.collect(after: 10_000).isEmpty)
        #expect(world.take("<3>1 - h a - - - disk 9 is full").count == 1, "forgotten after a quiet time")
        #expect(world.intake.finish(wallClock: 0).isEmpty)
    }

    @Test("what differs in host, program, ID, severity or words is not alike")
    func differences() {
        var world = World()
        let messages = [
            "<3>1 - h a - - - full", "<3>1 - g a - - - full", "<3>1 - h b - - - full", "<3>1 - h a - I - full",
            "<2>1 - h a - - - full", "<3>1 - h a - - - empty",
        ]
        let events = messages.flatMap { world.take($0) }
        #expect(events.count == messages.count)
        #expect(Set(events.map(\.dedupKey)).count == 5, "severity is no part of the condition")
    }

    @Test("without a message alike for the time that is configured a condition is over, and can begin anew")
    func resolution() throws {
        var world = World { $0.resolveAfterMs = 60_000 }
        let event = try #require(world.take("<3>1 - h a - - - full").first)
        _ = world.take("<3>1 - h a - - - full", after: 30_000)
        var later: [Tocsin_V1_Event] = []
        for _ in 0..<5 { later += world.collect(after: 10_000) }
        #expect(later.map(\.kind) == [.trigger])
        for _ in 0..<3 { later += world.collect(after: 10_000) }
        #expect(later.map(\.kind) == [.trigger, .resolve])
        #expect(later.last?.dedupKey == event.dedupKey && later.last?.id != event.id)
        #expect(world.take("<3>1 - h a - - - full").count == 1)
    }

    @Test("however many kinds of messages there are, so many are remembered, and each message is counted once")
    func bounded() {
        var random = SplitMix64.seeded()
        for _ in 0..<50 {
            let most = 1 + random.below(8)
            var world = World {
                $0.most = most
                $0.collapseMs = 100
            }
            var events: [Tocsin_V1_Event] = []
            let total = 500
            for _ in 0..<total {
                let kind = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"][random.below(10)]
                events += world.take("<3>1 - h \(kind) - - - text \(random.below(9))", after: UInt64(random.below(20)))
                if random.chance(0.1) { events += world.collect(after: UInt64(random.below(50))) }
            }
            events += world.intake.finish(wallClock: 0)
            #expect(count(events) == total)
        }
    }

    @Test("with no time to collapse each message is an event")
    func apart() {
        var world = World { $0.collapseMs = 0 }
        #expect((0..<3).flatMap { _ in world.take("<3>1 - h a - - - full") }.count == 3)
    }
}
