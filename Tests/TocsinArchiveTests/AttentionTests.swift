import TestSupport
import Testing
import TocsinCalendar
import TocsinDomain
import TocsinPolicy
import TocsinProto

@testable import TocsinArchive

/// Goal: one fault is one incident, who is not to be troubled is not, nothing is forgotten when what held it ends, and each
/// decision can be read. Method: updates as triage sends them, the clock given.
@Suite("Who is troubled, and why")
struct AttentionTests {
    private static let shops = Policy(
        services: [
            "orders-db": ServiceEntry(tier: 1), "checkout": ServiceEntry(tier: 1, dependsOn: ["orders-db"]),
            "basket": ServiceEntry(tier: 2, dependsOn: ["orders-db"]), "search": ServiceEntry(tier: 2),
        ])

    private static func alert(
        _ name: String, _ service: String, at seconds: UInt64 = 0, _ kind: Tocsin_V1_EventKind = .trigger,
        _ severity: Tocsin_V1_Severity = .critical, source: String = "prometheus:x", summary: String? = nil,
        labels: [String: String] = [:], event: String? = nil
    ) -> Tocsin_V1_AlertUpdate {
        var update = update(name, [event ?? "\(name)-\(seconds)"], kind, severity, at: seconds, service: service)
        update.source = source
        update.labels = labels
        if let summary { update.summary = summary }
        update.policy = "p1"
        update.decisions = [.with { ($0.stage, $0.rule, $0.outcome) = ("rule", "r", "it is an alert") }]
        return update
    }

    private static func silence(
        _ id: String, _ name: String, _ value: String, until seconds: UInt64, by author: String = "alice"
    ) -> Tocsin_V1_Silence {
        .with {
            $0.id = id
            $0.matchers = [.with { ($0.name, $0.value) = (name, value) }]
            $0.startsAt = TestArchive.start - 1000
            $0.endsAt = TestArchive.start + seconds * 1000
            $0.createdBy = author
            $0.comment = "planned"
        }
    }

    private static func at(_ seconds: UInt64) -> UInt64 { TestArchive.start + seconds * 1000 }

    private static func numbers(_ archive: TestArchive) async throws -> [UInt64] {
        try await archive.store.list(Tocsin_V1_ListIncidentsRequest()).incidents.map(\.number).sorted()
    }

    // MARK: - One fault, one incident

    @Test("one outage told by four tools is one incident with four alerts, and another at the same time another")
    func tools() async throws {
        let archive = try TestArchive(.standard, Self.shops)
        try await archive.apply(Self.alert("a", "orders-db", at: 0, source: "prometheus:pg"))
        try await archive.apply(Self.alert("x", "search", at: 1, source: "prometheus:search"))
        try await archive.apply(Self.alert("b", "orders-db", at: 5, source: "nagios:db-1"))
        try await archive.apply(Self.alert("c", "orders-db", at: 9, source: "syslog:db-1"))
        try await archive.apply(Self.alert("y", "search", at: 10, source: "syslog:search-1"))
        try await archive.apply(Self.alert("d", "orders-db", at: 12, source: "pagerduty:db"))
        #expect(try await Self.numbers(archive) == [1, 2])
        let first = try await archive.store.get(1)
        #expect(Set(first.alerts.map(\.fingerprint)) == ["a", "b", "c", "d"] && first.incident.alertsFiring == 4)
        #expect(try await archive.store.get(2).alerts.count == 2)
    }

    @Test("the failing database explains the failing shops, whichever is told first")
    func topology() async throws {
        let archive = try TestArchive(.standard, Self.shops)
        try await archive.apply(Self.alert("a", "checkout", at: 0))
        try await archive.apply(Self.alert("b", "basket", at: 3))
        try await archive.apply(Self.alert("s", "search", at: 4))
        #expect(try await archive.store.get(2).incident.state == .triaged)
        try await archive.apply(Self.alert("d", "orders-db", at: 6))
        let incident = try await archive.store.get(1)
        #expect(incident.incident.alertsFiring == 3 && Set(incident.incident.services) == ["checkout", "basket", "orders-db"])
        #expect(try await archive.store.get(2).incident.state == .merged)
        #expect(try await archive.store.get(3).incident.state == .triaged, "what is not related stays alone")
        try await archive.apply(Self.alert("e", "checkout", at: 20))
        #expect(try await archive.store.get(1).incident.alertsFiring == 4)
        for (name, at) in [("a", UInt64(60)), ("b", 61), ("d", 62), ("e", 63)] {
            try await archive.apply(Self.alert(name, name == "d" ? "orders-db" : "checkout", at: at, .resolve))
        }
        #expect(try await archive.store.get(1).incident.state == .resolved)
    }

    @Test("an incident that somebody is at work on is not merged away")
    func atWork() async throws {
        let archive = try TestArchive(.standard, Self.shops)
        try await archive.apply(Self.alert("a", "checkout", at: 0))
        try await archive.apply(Self.alert("b", "basket", at: 3))
        _ = try await archive.store.command(command("c1", .acknowledge, number: 2), now: TestArchive.now)
        try await archive.apply(Self.alert("d", "orders-db", at: 6))
        #expect(try await archive.store.get(2).incident.state == .acknowledged)
        #expect(try await archive.store.get(1).incident.alertsFiring == 2)
    }

    @Test("past the window, and for services that nobody has written down, each alert is an incident")
    func apart() async throws {
        let archive = try TestArchive(.standard, Self.shops)
        try await archive.apply(Self.alert("a", "orders-db", at: 0))
        try await archive.apply(Self.alert("b", "orders-db", at: 301))
        try await archive.apply(Self.alert("c", "other", at: 302))
        try await archive.apply(Self.alert("d", "other", at: 303))
        #expect(try await Self.numbers(archive) == [1, 2, 3, 4])
    }

    @Test("two tools that speak of one host, or in nearly the same words, tell of one fault")
    func words() async throws {
        let archive = try TestArchive()
        let text = "replication lag of the orders cluster is too high"
        try await archive.apply(Self.alert("a", "x", at: 0, source: "nagios:db", labels: ["host": "db-1.example.net"]))
        try await archive.apply(Self.alert("b", "y", at: 1, source: "prometheus:pg", labels: ["instance": "db-1:9187"]))
        try await archive.apply(Self.alert("c", "z", at: 2, source: "nagios:db", labels: ["host": "db-1.example.net"]))
        #expect(try await archive.store.get(1).incident.alertsFiring == 3, "c is joined by b's tool")
        try await archive.apply(Self.alert("e", "v", at: 3, source: "nagios:q", summary: text))
        try await archive.apply(Self.alert("f", "w", at: 4, source: "riemann:q", summary: text + " now"))
        try await archive.apply(
            Self.alert("g", "w", at: 5, source: "riemann:q", summary: "the certificate of the mail server ends"))
        #expect(try await Self.numbers(archive) == [1, 2, 3])
        #expect(try await archive.store.get(2).incident.alertsFiring == 2)
    }

    // MARK: - Holding back

    @Test("a silenced alert troubles nobody, its end is not told, and when the silence ends first it is")
    func silenced() async throws {
        let archive = try TestArchive()
        try await archive.apply([.silence(Self.silence("s1", "service", "checkout", until: 100))])
        try await archive.apply(Self.alert("a", "checkout", at: 0))
        try await archive.apply(Self.alert("b", "checkout", at: 1))
        try await archive.apply(Self.alert("b", "checkout", at: 2, .resolve))
        #expect(try await Self.numbers(archive).isEmpty)
        #expect(try await archive.changes().isEmpty)
        let listed = try await archive.store.alerts(Tocsin_V1_ListAlertsRequest())
        #expect(listed.alerts.map(\.state) == ["suppressed"] && listed.alerts.map(\.heldBy) == ["silence s1"])
        #expect(try await archive.store.reconsider(now: Self.at(99)).changes == 0)
        #expect(try await archive.store.reconsider(now: Self.at(101)).changes == 1)
        #expect(try await Self.numbers(archive) == [1])
        let told = try await archive.store.get(1)
        #expect(told.incident.events == 1 && told.alerts.map(\.fingerprint) == ["a"] && told.alerts[0].episode == 1)
        #expect(try await archive.store.accounting().applied == 3)
        // One that is taken back tells at once.
        try await archive.apply([.silence(Self.silence("s2", "service", "search", until: 500))])
        try await archive.apply(Self.alert("c", "search", at: 120))
        try await archive.apply([.silence(Self.silence("s2", "service", "search", until: 1))])
        #expect(try await archive.store.reconsider(now: TestArchive.now).changes == 1)
        #expect(try await Self.numbers(archive) == [1, 2])
    }

    @Test("an alert that is explained by another waits for it, and fires on when that ends")
    func inhibited() async throws {
        var policy = Policy()
        policy.inhibitions = [
            Inhibition(
                name: "switch", source: ["service=switch"], target: ["service=web"],
                equal: ["rack"])
        ]
        let archive = try TestArchive(.standard, policy)
        try await archive.apply(Self.alert("s", "switch", at: 0, labels: ["rack": "r1"]))
        try await archive.apply(Self.alert("a", "web", at: 1, labels: ["rack": "r1"]))
        try await archive.apply(Self.alert("b", "web", at: 2, labels: ["rack": "r2"]))
        #expect(try await Self.numbers(archive) == [1, 2])
        let held = try await archive.store.explain(.with { $0.eventID = "a-1" })
        #expect(held.alerts.first?.alert.heldBy == "inhibition switch")
        try await archive.apply(Self.alert("s", "switch", at: 50, .resolve, labels: ["rack": "r1"]))
        #expect(try await archive.store.reconsider(now: Self.at(51)).changes == 1)
        #expect(try await Self.numbers(archive) == [1, 2, 3])
    }

    @Test("in a maintenance window nobody is troubled; after it, who still fires is told of")
    func maintenance() async throws {
        var policy = Policy()
        // The tests' start is 22:13:20.
        let (from, to) = (try #require(TimeOfDay(parsing: "22:10")), try #require(TimeOfDay(parsing: "22:20")))
        policy.maintenance = [
            Maintenance(
                name: "weekly", window: try RecurringWindow(.daily(RecurringWindow.Days(), from: from, to: to), zone: .utc))
        ]
        let archive = try TestArchive(.standard, policy)
        try await archive.apply(Self.alert("a", "web", at: 5))
        #expect(try await Self.numbers(archive).isEmpty)
        #expect(try await archive.store.reconsider(now: Self.at(700)).changes == 1)
        #expect(try await Self.numbers(archive) == [1])
    }

    @Test("what comes and goes is told of once, stays open, and ends when it is calm")
    func flapping() async throws {
        let archive = try TestArchive()
        var last: UInt64 = 0
        for round in 0..<10 as Range<UInt64> {
            try await archive.apply(Self.alert("a", "web", at: round * 20))
            try await archive.apply(Self.alert("a", "web", at: round * 20 + 10, .resolve))
            last = round * 20 + 10
        }
        let verbs = try await archive.verbs(1)
        #expect(verbs.filter { $0 == "flapping" }.count == 1)
        let state = try await archive.incident(1).state
        #expect(verbs.filter { $0 == "reopened" }.count <= 2 && state.rawValue < 6)
        #expect(try await archive.store.reconsider(now: Self.at(last + 899)).changes == 0)
        #expect(try await archive.store.reconsider(now: Self.at(last + 901)).changes == 1)
        #expect(try await archive.incident(1).state == .resolved)
        let changes = try await archive.changes()
        #expect(
            changes.filter { $0.verb == "resolved" }.count == changes.filter { ["opened", "reopened"].contains($0.verb) }.count)
        #expect(try await archive.store.accounting().applied == 20)
    }

    @Test("what flaps after it has fired for long is told of too, whichever way it goes last")
    func flappingFromFiring() async throws {
        let archive = try TestArchive()
        try await archive.apply(Self.alert("a", "web", at: 0))
        var at: UInt64 = 3600
        for _ in 0..<4 {
            try await archive.apply(Self.alert("a", "web", at: at, .resolve))
            try await archive.apply(Self.alert("a", "web", at: at + 20))
            at += 40
        }
        let incident = try await archive.store.get(1)
        #expect(incident.incident.state.rawValue < 6 && incident.incident.alertsFiring == 1)
        #expect(incident.timeline.map(\.verb).filter { $0 == "flapping" }.count == 1)
        // It becomes worse meanwhile: that is told when it is calm.
        #expect(try await archive.store.reconsider(now: Self.at(at + 1000)).changes == 1)
        try await archive.apply(Self.alert("a", "web", at: at + 1100, .resolve))
        #expect(try await archive.incident(1).state == .resolved)
    }

    @Test("what is worse than before is told as such, also where it joins what is known")
    func escalated() async throws {
        let archive = try TestArchive(.standard, Self.shops)
        try await archive.apply(Self.alert("a", "checkout", at: 0, .trigger, .minor))
        try await archive.apply(Self.alert("b", "checkout", at: 5, .trigger, .minor))
        try await archive.apply(Self.alert("c", "checkout", at: 9, .trigger, .critical))
        #expect(try await archive.changes().map(\.verb) == ["opened", "updated", "escalated"])
    }

    @Test("exercises, and what nobody was told of, explain nothing")
    func unheard() async throws {
        var policy = Policy()
        policy.inhibitions = [Inhibition(name: "db", source: ["service=db"], target: ["service=web"])]
        let archive = try TestArchive(.standard, policy)
        var drill = Self.alert("d", "db", at: 0)
        drill.drill = true
        try await archive.apply(drill)
        try await archive.apply(Self.alert("i", "db", at: 1, .trigger, .info))
        try await archive.apply(Self.alert("a", "web", at: 2))
        #expect(try await archive.store.alerts(Tocsin_V1_ListAlertsRequest()).alerts.filter { $0.state == "suppressed" }.isEmpty)
        // That it gets worse makes it heard.
        try await archive.apply(Self.alert("i", "db", at: 3, .trigger, .critical))
        try await archive.apply(Self.alert("b", "web", at: 4))
        #expect(
            try await archive.store.alerts(Tocsin_V1_ListAlertsRequest()).alerts.filter { $0.state == "suppressed" }.count == 1)
    }

    @Test("what was too little to be told is held back like anything else when it becomes enough")
    func enough() async throws {
        let archive = try TestArchive()
        try await archive.apply([.silence(Self.silence("s1", "service", "web", until: 100))])
        try await archive.apply(Self.alert("a", "web", at: 0, .trigger, .info))
        try await archive.apply(Self.alert("a", "web", at: 1, .trigger, .critical))
        #expect(try await Self.numbers(archive).isEmpty)
        #expect(try await archive.store.reconsider(now: Self.at(101)).changes == 1)
        // An older word about a silence is not heard.
        var earlier = Self.silence("s1", "service", "web", until: 9000)
        earlier.updatedAt = 5
        var later = Self.silence("s1", "service", "web", until: 1)
        later.updatedAt = 9
        try await archive.apply([.silence(later), .silence(earlier)])
        #expect(try await archive.store.silences(now: Self.at(10)).silences.isEmpty)
    }

    @Test("nothing joins what only some may know of")
    func restricted() async throws {
        let archive = try TestArchive(.standard, Self.shops)
        try await archive.apply(Self.alert("a", "checkout", at: 0))
        let restrict = Tocsin_V1_RestrictIncidentRequest.with {
            ($0.requestID, $0.number, $0.actor, $0.people) = ("r", 1, "alice", ["alice"])
        }
        _ = try await archive.store.command(restrict, for: "alice", now: TestArchive.now)
        try await archive.apply(Self.alert("b", "checkout", at: 5))
        #expect(try await Self.numbers(archive) == [1, 2])
    }

    @Test("hosts as tools name them")
    func hosts() {
        let same = [("db-1.example.net", "db-1:9100"), ("[2001:db8::5]:9100", "2001:db8::5"), ("DB-1", "db-1")]
        for (a, b) in same {
            let (one, other) = (HostName(a), HostName(b))
            #expect(one?.name == other?.name && one?.mayBe(in: other?.domain ?? "") == true, "\(a) \(b)")
        }
        #expect(HostName("web-1.eu")?.mayBe(in: HostName("web-1.us")?.domain ?? "") == false)
        #expect(HostName("2001:db8::5")?.name != HostName("2001:db8::6")?.name)
        for text in ["localhost", "127.0.0.1:80", "", ":80", "::1", "[", String(repeating: "x", count: 500)] {
            #expect(HostName(text)?.name != "" && (text.hasPrefix("[") || HostName(text) == nil), "\(text)")
        }
    }

    // MARK: - Who is told, and why

    @Test("routes say who is told, anew when it becomes worse")
    func routes() async throws {
        var policy = Policy()
        policy.routes = [
            Route(name: "critical", match: AlertMatch(minimumSeverity: .critical), page: ["duty"]),
            Route(name: "rest", page: [], note: "read in the morning"),
        ]
        let archive = try TestArchive(.standard, policy)
        try await archive.apply(Self.alert("a", "web", at: 0, .trigger, .minor))
        let before = try await archive.incident(1)
        #expect(before.routes == ["rest"] && before.pages.isEmpty)
        try await archive.apply(Self.alert("a", "web", at: 5, .trigger, .critical))
        let after = try await archive.incident(1)
        #expect(after.routes == ["critical"] && after.pages == ["duty"])
        #expect(try await archive.verbs(1).contains("routed"))
    }

    @Test("each event, alert and incident can be explained, to those who may see it")
    func explained() async throws {
        let archive = try TestArchive(.standard, Self.shops)
        try await archive.apply([.silence(Self.silence("s1", "service", "search", until: 100))])
        try await archive.apply(Self.alert("aaaaaaaa1", "checkout", at: 0))
        try await archive.apply(Self.alert("aaaaaaaa1", "checkout", at: 1))
        try await archive.apply(Self.alert("bbbbbbbb2", "orders-db", at: 2))
        try await archive.apply(Self.alert("cccccccc3", "search", at: 3))
        let incident = try await archive.store.explain(.with { $0.incident = 1 })
        #expect(incident.alerts.map(\.alert.fingerprint) == ["aaaaaaaa1", "bbbbbbbb2"])
        #expect(incident.alerts[0].records.map(\.actor) == ["triage", "archiver"])
        let stages = incident.alerts[1].records.flatMap { $0.decisions.map(\.stage) }
        #expect(stages.contains("correlation") && stages.last == "incident")
        // The second event of an alert was counted with the first.
        let event = try await archive.store.explain(.with { $0.eventID = "aaaaaaaa1-1" })
        #expect(event.incident.number == 1 && event.alerts[0].records.last?.eventID == "aaaaaaaa1-0")
        let silenced = try await archive.store.explain(.with { $0.fingerprint = "cccccccc" })
        #expect(!silenced.hasIncident && silenced.alerts[0].records.last?.decisions.first?.rule == "s1")
        let restrict = Tocsin_V1_RestrictIncidentRequest.with {
            ($0.requestID, $0.number, $0.actor, $0.people) = ("r", 1, "alice", ["alice"])
        }
        _ = try await archive.store.command(restrict, for: "alice", now: TestArchive.now)
        for subject in [
            Tocsin_V1_ExplainDecisionsRequest.with { $0.incident = 1 }, .with { $0.fingerprint = "aaaaaaaa" },
            .with { $0.eventID = "aaaaaaaa1-0" }, .with { $0.eventID = "no" },
        ] {
            await #expect(throws: CommandRefusal.self) { _ = try await archive.store.explain(subject, for: "bob") }
        }
        #expect(try await archive.store.explain(.with { $0.incident = 1 }, for: "alice").alerts.count == 2)
        #expect(try await archive.store.alerts(.init(), for: "bob").alerts.map(\.fingerprint) == ["cccccccc3"])
    }

    @Test("batches may be cut anywhere and come again: what is decided is the same", arguments: 0..<4)
    func cutting(round: Int) async throws {
        var random = SplitMix64.seeded()
        var policy = Self.shops
        policy.inhibitions = [
            Inhibition(
                name: "db", source: ["service=orders-db"], target: ["service=basket"],
                equal: [])
        ]
        policy.routes = [
            Route(name: "db", match: AlertMatch(services: ["orders-db"]), page: ["dba"], continues: true),
            Route(name: "web", match: AlertMatch(services: ["checkout", "basket"]), page: ["web"]),
        ]
        var contents: [ArchiveItem.Content] = [.silence(Self.silence("s1", "service", "search", until: 30, by: ""))]
        for index in 0..<120 as Range<UInt64> {
            let service = ["orders-db", "checkout", "basket", "search"].randomElement(using: &random) ?? ""
            let name = "\(service)-\(Int.random(in: 0..<3, using: &random))"
            contents.append(
                .alert(
                    Self.alert(
                        name, service, at: index, Bool.random(using: &random) ? .trigger : .resolve,
                        Bool.random(using: &random) ? .major : .critical, source: index % 2 == 0 ? "a:x" : "b:x",
                        event: "e\(index)")))
        }
        let whole = try TestArchive(.standard, policy)
        let parts = try TestArchive(.standard, policy)
        try await whole.apply(contents)
        var index = 0
        while index < contents.count {
            let count = min(Int.random(in: 1...30, using: &random), contents.count - index)
            try await parts.apply(Array(contents[index..<index + count]), from: UInt64(index + 1))
            if Bool.random(using: &random) {
                try await parts.apply(Array(contents[index..<index + count]), from: UInt64(index + 1))
            }
            index += count
        }
        let (atOnce, cut) = (try await whole.dump(), try await parts.dump())
        #expect(Set(atOnce).symmetricDifference(cut).sorted().prefix(4) == [])
        #expect(try ArchiveVerifier.examine(whole.path).isSound)
    }
}
