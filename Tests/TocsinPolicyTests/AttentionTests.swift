import Testing
import TocsinCalendar
import TocsinDomain
import TocsinProto

@testable import TocsinPolicy

/// Goal: what holds an alert, until when, whom an incident is told to, and that each is said with its reason.
@Suite("Attention and routes")
struct AttentionTests {
    private static func time(_ text: String) throws -> UInt64 {
        UInt64(try #require(CivilTime(parsing: text)).localSeconds) * 1000
    }

    private static func alert(
        _ service: String = "shop", _ labels: [String: String] = [:], severity: Severity = .major, fingerprint: String = "f1",
        source: String = "http:shop", drill: Bool = false
    ) -> AlertView {
        AlertView(
            fingerprint: fingerprint, service: service, source: source, summary: "HTTP 503", severity: severity, labels: labels,
            drill: drill)
    }

    private static func silence(_ id: String, _ matchers: String..., until: UInt64 = 2000) throws -> CompiledSilence {
        let matchers = try matchers.map { text in try Matcher(parsing: text).message }
        return try CompiledSilence(
            .with {
                $0.id = id
                $0.matchers = matchers
                $0.startsAt = 1000
                $0.endsAt = until
                $0.createdBy = "alice"
                $0.comment = "known"
            })
    }

    private static func window(
        _ from: String, _ to: String, _ zone: String = "UTC", weekdays: Set<Weekday> = []
    ) throws -> RecurringWindow {
        try RecurringWindow(
            .daily(
                .init(weekdays: weekdays), from: #require(TimeOfDay(parsing: from)), to: #require(TimeOfDay(parsing: to))),
            zone: .named(zone))
    }

    /// What holds an alert where nothing else fires.
    private static func attention(
        _ policy: Policy, _ alert: AlertView, at time: UInt64 = 1500, _ silences: [CompiledSilence] = []
    ) throws -> Attention {
        var judge = try AttentionJudge(policy)
        var silences = silences
        return judge.attention(of: alert, at: time, silences: &silences) { _ in nil }
    }

    @Test("Without a policy and silences everything is told, and nothing is said of it")
    func nothing() throws {
        #expect(try Self.attention(Policy(), Self.alert()) == Attention())
    }

    @Test("A silence holds exactly what its matchers match, labels before what is said of the alert itself")
    func silences() throws {
        let alert = Self.alert("shop", ["alertname": "Latency", "severity": "warning", "host": "a1"])
        let table: [(matchers: [String], isHeld: Bool)] = [
            (["alertname=Latency"], true), (["alertname=\"HTTP 503\""], false), (["severity=warning"], true),
            (["severity=major"], false), (["service=shop"], true), (["service=~\"sh.*\"", "host=a1"], true),
            (["service=~\"h.p\""], false), (["host!=a1"], false), (["zone=\"\"", "host=~\".+\""], true), (["zone!=\"\""], false),
            (["fingerprint=f1"], true), (["source=\"http:shop\""], true), (["host!~\"b.*\"", "host=~\"a\\\\d\""], true),
        ]
        for (matchers, isHeld) in table {
            let messages = try matchers.map { text in try Matcher(parsing: text).message }
            let silence = try CompiledSilence(
                .with {
                    ($0.id, $0.startsAt, $0.endsAt) = ("s", 1000, 2000)
                    $0.matchers = messages
                })
            #expect(try Self.attention(Policy(), alert, [silence]).hold == (isHeld ? .silence(id: "s") : nil), "\(matchers)")
        }
    }

    @Test("A silence holds from its start until before its end; of several the one that ends last is named")
    func silenceTimes() throws {
        let silences = [
            try Self.silence("a", "service=shop"), try Self.silence("b", "service=shop", until: 3000),
            try Self.silence("c", "service=db", until: 9000),
        ]
        #expect(try Self.attention(Policy(), Self.alert(), at: 999, silences) == Attention())
        for (time, id, until) in [(1000, "b", 3000), (1999, "b", 3000), (2999, "b", 3000)] as [(UInt64, String, UInt64)] {
            let attention = try Self.attention(Policy(), Self.alert(), at: time, silences)
            #expect(attention.hold == .silence(id: id) && attention.until == until)
            #expect(
                attention.decisions == [
                    Decision(.silence, rule: id, "service=\"shop\"", "held until 1970-01-01 00:00:03Z; alice: known")
                ])
        }
        let over = try Self.attention(Policy(), Self.alert(), at: 3000, silences)
        #expect(over == Attention(decisions: [Decision(.silence, "1 silence", "none is of this alert")]))
        #expect(throws: Matcher.Problem.self) { () throws -> Void in _ = try CompiledSilence(Tocsin_V1_Silence()) }
    }

    @Test("Maintenance holds in its window by the clocks of its zone, over midnight and over both edges of daylight time")
    func maintenance() throws {
        let policy = Policy(maintenance: [
            Maintenance(
                name: "backup", match: AlertMatch(services: ["sh*"]), window: try Self.window("22:00", "06:00", "Europe/Berlin"),
                reason: "dumps")
        ])
        for (time, until) in [
            ("2026-03-28 21:00", "2026-03-29 04:00"), ("2026-03-29 03:59", "2026-03-29 04:00"),
            ("2026-10-24 20:00", "2026-10-25 05:00"), ("2026-10-25 04:59", "2026-10-25 05:00"),
        ] {
            let attention = try Self.attention(policy, Self.alert(), at: Self.time(time))
            #expect(attention.hold == .maintenance("backup"))
            #expect(attention.until == (try Self.time(until)))
            #expect(
                attention.decisions == [
                    Decision(.maintenance, rule: "backup", "22:00 to 06:00 Europe/Berlin", "held until \(until):00Z; dumps")
                ])
        }
        for time in ["2026-03-28 20:59", "2026-03-29 04:00", "2026-10-24 19:59", "2026-10-25 05:00"] {
            let attention = try Self.attention(policy, Self.alert(), at: Self.time(time))
            #expect(attention.hold == nil)
            #expect(attention.decisions.map(\.outcome) == ["not now"])
        }
        let other = try Self.attention(policy, Self.alert("db"), at: Self.time("2026-03-28 21:00"))
        #expect(other.decisions == [Decision(.maintenance, "1 window", "none is of this alert")])
    }

    @Test("Maintenance goes before silences, and those before inhibition")
    func order() throws {
        let policy = Policy(
            inhibitions: [Inhibition(name: "i", source: ["service=db"], target: ["service=shop"])],
            maintenance: [Maintenance(name: "m", window: try Self.window("00:00", "00:01"))])
        var judge = try AttentionJudge(policy)
        var silences = [try Self.silence("s", "service=shop", until: 100_000)]
        var asked = 0
        func hold(at time: UInt64) -> Hold? {
            judge.attention(of: Self.alert(), at: time, silences: &silences) { _ in
                asked += 1
                return "f2"
            }.hold
        }
        #expect(hold(at: 59_999) == .maintenance("m"))
        #expect(hold(at: 60_000) == .silence(id: "s"))
        #expect(asked == 0)
        #expect(hold(at: 100_000) == .inhibition(rule: "i", by: "f2"))
    }

    /// Alertmanager's own cases, of inhibit_test.go: which of two alerts that fire inhibits the other.
    @Test(
        "An alert is inhibited by another that is a source of the rule and has equal labels, never by one like itself",
        arguments: [
            // Source and target labels of the alert that fires, of the one that is asked about, and whether that is held.
            (["s": "1", "e": "1"], ["t": "1", "e": "1"], true),
            (["s": "1", "e": "1"], ["t": "1", "e": "2"], false),
            (["s": "1"], ["t": "1"], true),  // An absent label is as an empty one.
            (["s": "1", "e": ""], ["t": "1"], true),
            (["s": "1", "e": "1"], ["t": "1"], false),
            (["s": "1", "t": "1"], ["t": "1"], true),  // The one that fires is a target too.
            (["s": "1"], ["s": "1", "t": "1"], true),  // The one that is asked about is a source too.
            (["s": "1", "t": "1"], ["s": "1", "t": "1"], false),  // Both are both.
            (["s": "2"], ["t": "1"], false),
            (["s": "1"], ["t": "2"], false),
        ])
    func inhibition(firing: [String: String], asked: [String: String], isHeld: Bool) throws {
        let rule = Inhibition(name: "i", source: ["s=1"], target: ["t=1"], equal: ["e"])
        var judge = try AttentionJudge(Policy(inhibitions: [rule]))
        var silences: [CompiledSilence] = []
        let inhibitors = judge.inhibitors(Self.alert("a", firing, fingerprint: "f2"))
        func attention(_ fingerprint: String) -> Attention {
            judge.attention(of: Self.alert("b", asked, fingerprint: fingerprint), at: 0, silences: &silences) { query in
                let isThere = inhibitors.contains {
                    $0.rule == query.rule && $0.key == query.key && !(query.excludesTargets && $0.isTarget)
                }
                return isThere && query.except != "f2" ? "f2" : nil
            }
        }
        #expect(attention("f1").hold == (isHeld ? .inhibition(rule: "i", by: "f2") : nil))
        #expect(attention("f2").hold == nil)
        #expect(attention("f1").until == nil)
        if isHeld {
            #expect(
                attention("f1").decisions == [
                    Decision(
                        .inhibition, rule: "i", "t=1; the same e=\"\(asked["e"] ?? "")\"", "held while alert f2 fires")
                ])
        }
    }

    @Test("Values of equal labels do not run into each other")
    func keys() throws {
        var judge = try AttentionJudge(
            Policy(inhibitions: [Inhibition(name: "i", source: ["s=1"], target: ["t=1"], equal: ["a", "b"])]))
        func key(_ a: String, _ b: String) throws -> String {
            try #require(judge.inhibitors(Self.alert("x", ["s": "1", "a": a, "b": b])).first).key
        }
        #expect(try key("1", "11") != key("11", "1"))
        #expect(try key("1:1", "") != key("", "1:1"))
    }

    private static let incident = IncidentView(
        severity: .major, priority: .p2, alerts: [alert("shop", ["team": "web"]), alert("db", ["team": "data"], source: "sql")])

    @Test(
        "The first route that matches decides, with those before it that continue; where none does each target decides for itself"
    )
    func routes() throws {
        let routes = [
            Route(name: "drills", match: AlertMatch(drill: true), page: [], note: "exercises"),
            Route(name: "audit", page: ["log"], continues: true),
            Route(name: "critical", match: AlertMatch(minimumSeverity: .critical), page: ["phone"]),
            Route(name: "p1", minimumPriority: .p1, page: ["phone"]),
            Route(name: "data", match: AlertMatch(services: ["d*"], labels: ["team": "data"]), page: ["data", "log"]),
            Route(name: "rest", page: ["mail"]),
        ]
        let judge = try AttentionJudge(Policy(routes: routes))
        let routing = judge.route(Self.incident, at: 0)
        #expect(routing.routes == ["audit", "data"])
        #expect(routing.pages == ["log", "data"])
        #expect(
            routing.decisions == [
                Decision(.route, rule: "audit", "every incident", "log; and whom further routes say"),
                Decision(.route, rule: "data", "service d* and label team=data", "data, log"),
            ])
        var drill = Self.incident
        drill.drill = true
        #expect(judge.route(drill, at: 0).decisions == [Decision(.route, rule: "drills", "a drill", "nobody; exercises")])
        #expect(judge.route(drill, at: 0).routes == ["drills"])
        var worse = Self.incident
        worse.priority = .p1
        #expect(judge.route(worse, at: 0).pages == ["log", "phone"])
        // Both conditions have to be of one alert.
        let mixed = try AttentionJudge(
            Policy(routes: [Route(name: "r", match: AlertMatch(services: ["shop"], labels: ["team": "data"]), page: ["x"])]))
        #expect(
            mixed.route(Self.incident, at: 0)
                == Routing(decisions: [Decision(.route, "1 route", "none matches: each target decides for itself")]))
        #expect(try AttentionJudge(Policy()).route(Self.incident, at: 0) == Routing())
    }

    @Test("Routes follow the clocks of their windows, also in the night in which they change")
    func routeTimes() throws {
        let times = ["day": try Self.window("08:00", "18:00", "America/New_York", weekdays: [.sunday])]
        let judge = try AttentionJudge(
            Policy(
                times: times,
                routes: [
                    Route(name: "day", within: ["day"], page: ["team"]), Route(name: "night", outside: ["day"], page: ["duty"]),
                ]))
        for (time, route) in [
            // Sundays on which the clocks of New York change: 8:00 there is 12:00 and 13:00 in UTC.
            ("2026-03-08 11:59", "night"), ("2026-03-08 12:00", "day"), ("2026-03-08 21:59", "day"),
            ("2026-03-08 22:00", "night"),
            ("2026-11-01 12:59", "night"), ("2026-11-01 13:00", "day"), ("2026-11-01 22:59", "day"),
            ("2026-11-01 23:00", "night"),
            ("2026-03-07 15:00", "night"),
        ] {
            #expect(judge.route(Self.incident, at: try Self.time(time)).routes == [route], "\(time)")
        }
    }

    @Test("What is wrong with routes, inhibitions and the rest is said, each in a sentence")
    func problems() {
        let policy = Policy(
            services: ["db": ServiceEntry(), "shop": ServiceEntry(dependsOn: ["dbb", "zzz"])],
            correlation: Correlation(window: .seconds(-1), similarity: 2),
            routes: [
                Route(name: "a", within: ["offic"], page: []), Route(name: "a", page: []), Route(name: "", page: []),
            ],
            inhibitions: [
                Inhibition(name: "i", source: ["a"], target: ["b=1"]),
                Inhibition(name: "j", source: ["a=~\"(\""], target: ["b=1"]),
                Inhibition(name: "k", source: ["a=1"], target: []),
            ], maintenance: [Maintenance(name: "m", window: .always), Maintenance(name: "m", window: .always)],
            flapping: Flapping(changes: 1, within: .zero, hold: .seconds(100_000)))
        #expect(
            policy.problems == [
                "route \"a\": two have this name; rename one", "a route has no name; give it one",
                "maintenance \"m\": two have this name; rename one",
                "service \"shop\" depends on \"dbb\", which is not in the catalogue; did you mean \"db\"?",
                "service \"shop\" depends on \"zzz\", which is not in the catalogue; add it",
                "route \"a\": there is no time window \"offic\"; add it to \"times\"",
                "inhibition \"i\": source: bad matcher format: a; write name=\"value\", or with !=, =~ or !~",
                "inhibition \"j\": source: bad regular expression \"(\": at byte 0: this group is not closed by \")\"; write name=\"value\", or with !=, =~ or !~",
                "inhibition \"k\": \"target\" has no matchers, so every alert would be one; give one",
                "flapping changes 1 is not in 2 to 100", "flapping within 0 s is not in 1 s to 1 day",
                "flapping hold 100000 s is not in 1 s to 1 day",
                "correlation window -1 s is not in 0 s to 7 days",
                "correlation text 2.0 is not in 0 to 1",
            ])
    }
}

/// Goal: events find their service by name, alias and host.
@Suite("Services of the catalogue")
struct ServiceCatalogueTests {
    @Test(
        "The own name goes before aliases, those before hosts; what is found nowhere stays as it came",
        arguments: [
            ("shop", [:], "shop", "the event says \"shop\""),
            ("shop-eu", [:], "shop", "the event says \"shop-eu\", an alias"),
            ("postgres", ["host": "web1"], "db", "the event says \"postgres\", an alias"),
            ("", ["host": "db7.example"], "db", "the event names none, host \"db7.example\""),
            ("other", ["instance": "db7.example"], "db", "the event says \"other\", instance \"db7.example\""),
            ("other", ["pod": "web1"], "shop", "the event says \"other\", pod \"web1\""),
            ("other", ["rack": "web1"], "other", "the event says \"other\""),
            ("", [:], "unknown", "the event names none"),
            // An alias that is the name of another service.
            ("db", [:], "db", "the event says \"db\""),
        ] as [(String, [String: String], String, String)])
    func services(service: String, labels: [String: String], expected: String, inputs: String) throws {
        let policy = Policy(
            rules: [TriageRule(name: "r", match: RuleMatch(services: ["shop", "postgres"]), severity: .critical)],
            services: [
                "shop": ServiceEntry(tier: 1, owner: "web", aliases: ["shop-*", "db"], hosts: ["web1"]),
                "db": ServiceEntry(tier: 2, aliases: ["postgres", "shop-?"], hosts: ["db*"]),
            ])
        var triage = try Triage(policy)
        let decision = triage.decide(TriageTests.event(service: service, labels: labels), subject: TriageTests.subject)
        #expect(decision.service == expected)
        #expect(decision.decisions.first { $0.stage == .service }?.inputs == inputs)
        // A rule sees both names.
        #expect((decision.rule == "r") == (expected == "shop" || service == "postgres"))
    }
}

/// Goal: every change of meaning is another version, and nothing else is.
@Suite("Version of a policy")
struct PolicyVersionTests {
    @Test("Each part changes it, the order of tables does not, and it has 12 digits")
    func versions() throws {
        let window = try RecurringWindow(
            .daily(.init(weekdays: [.monday, .friday], daysOfMonth: [1, 15]), from: .midnight, to: .endOfDay), zone: .utc)
        var policies: [Policy] = [Policy()]
        func add(_ change: (inout Policy) -> Void) {
            var policy = Policy()
            change(&policy)
            policies.append(policy)
        }
        add { $0.rules = [TriageRule(name: "a")] }
        add { $0.rules = [TriageRule(name: "a"), TriageRule(name: "b")] }
        add { $0.rules = [TriageRule(name: "b"), TriageRule(name: "a")] }
        add { $0.rules = [TriageRule(name: "a", severity: .major)] }
        add { $0.rules = [TriageRule(name: "a", service: "nil")] }
        add { $0.rules = [TriageRule(name: "a", match: RuleMatch(labels: ["a": "b"]))] }
        add { $0.rules = [TriageRule(name: "a", by: [])] }
        add { $0.rules = [TriageRule(name: "a", by: [.label("service")])] }
        add { $0.rules = [TriageRule(name: "a", by: [.service])] }
        add { $0.services = ["a": ServiceEntry()] }
        add { $0.services = ["a": ServiceEntry(dependsOn: ["a"])] }
        add { $0.services = ["a": ServiceEntry(hosts: ["a"])] }
        add { $0.matrix[impact: .low, urgency: .low] = .p5 }
        add { $0.defaultSeverity = .major }
        add { $0.correlation.window = .seconds(1) }
        add { $0.correlation.similarity = nil }
        add { $0.times = ["a": window] }
        add { $0.times = ["b": window] }
        add { $0.times = ["a": .always] }
        add { $0.routes = [Route(name: "a", page: [])] }
        add { $0.routes = [Route(name: "a", page: ["x"])] }
        add { $0.routes = [Route(name: "a", within: ["x"], page: [])] }
        add { $0.inhibitions = [Inhibition(name: "a", source: ["x=1"], target: ["y=1"])] }
        add { $0.inhibitions = [Inhibition(name: "a", source: ["y=1"], target: ["x=1"])] }
        add { $0.maintenance = [Maintenance(name: "a", window: window)] }
        add { $0.flapping = nil }
        add { $0.flapping = Flapping(changes: 7) }
        add { $0.prediction = nil }
        add { $0.prediction = Prediction(support: 4) }
        #expect(Set(policies.map(\.version)).count == policies.count)
        for policy in policies { #expect(policy.version.count == 12) }
        let names = (0..<50).map { "service-\($0)" }
        func catalogue(_ names: [String]) -> String {
            Policy(services: Dictionary(uniqueKeysWithValues: names.map { ($0, ServiceEntry(owner: $0)) })).version
        }
        #expect(catalogue(names) == catalogue(names.reversed()))
        // Of another process; what tables hold is in another order there.
        #expect(catalogue(names) == "deefe4253195")
    }
}
