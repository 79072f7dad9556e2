import Testing
import TocsinCalendar
import TocsinDomain

@testable import TocsinPolicy

/// Goal: what surely is not meant is found, and what is meant is not complained of.
@Suite("What a policy surely does not mean")
struct PolicyLintTests {
    /// 2026-06-01 12:00 UTC.
    private static let now: UInt64 = 1_780_315_200_000

    /// `level place: message`, without what is only worth knowing.
    private func lint(_ policy: Policy, targets: [String]? = nil, runbooks: [String]? = nil, notes: Bool = false) -> [String] {
        #expect(policy.problems.isEmpty)
        return policy.findings(PolicyLintContext(targets: targets, runbooks: runbooks, now: Self.now))
            .filter { notes || $0.level > .note }.map { "\($0.level.rawValue) \($0.place): \($0.message)" }
    }

    @Test("A policy without anything, and one that is good, has no findings")
    func good() throws {
        #expect(lint(Policy(), notes: true).isEmpty)
        let policy = Policy(
            rules: [
                TriageRule(name: "a", match: RuleMatch(services: ["shop"], minimumSeverity: .critical), severity: .critical),
                TriageRule(name: "b", match: RuleMatch(services: ["shop"]), by: [.service], group: "g", runbook: "restart"),
                TriageRule(name: "c", match: RuleMatch(services: ["shop*"]), by: [.service], group: "g"),
                TriageRule(name: "d"),
            ], services: ["shop": ServiceEntry(dependsOn: ["db"]), "db": ServiceEntry()], times: ["day": .always],
            routes: [
                Route(name: "a", match: AlertMatch(minimumSeverity: .critical), within: ["day"], page: ["phone"]),
                Route(name: "b", match: AlertMatch(minimumSeverity: .critical), page: ["mail"]), Route(name: "c", page: ["mail"]),
            ],
            inhibitions: [
                Inhibition(name: "i", source: ["severity=critical"], target: ["severity=~\"minor|info\""], equal: ["service"])
            ],
            maintenance: [Maintenance(name: "m", match: AlertMatch(services: ["d?"]), window: .always)])
        #expect(lint(policy, targets: ["phone", "mail"], runbooks: ["restart"], notes: true).isEmpty)
    }

    @Test(
        "A rule is hidden by one before it that matches all it matches",
        arguments: [
            (RuleMatch(), RuleMatch(services: ["shop"]), true),
            (RuleMatch(services: ["shop"]), RuleMatch(), false),
            (RuleMatch(services: ["s*"]), RuleMatch(services: ["shop", "s*p"]), true),
            (RuleMatch(services: ["s*"]), RuleMatch(services: ["shop", "db"]), false),
            (RuleMatch(services: ["s?"]), RuleMatch(services: ["s*"]), false),
            (RuleMatch(services: ["s?"]), RuleMatch(services: ["s?"]), true),
            (RuleMatch(labels: ["a": "*"]), RuleMatch(labels: ["a": "x", "b": "y"]), true),
            (RuleMatch(labels: ["a": "*", "b": "*"]), RuleMatch(labels: ["a": "x"]), false),
            (RuleMatch(subjects: ["event.>"]), RuleMatch(subjects: ["event.http.>"]), true),
            (RuleMatch(subjects: ["event.*.x"]), RuleMatch(subjects: ["event.>"]), false),
            (RuleMatch(summaryContains: ["disk"]), RuleMatch(summaryContains: ["disk full", "no disk"]), true),
            (RuleMatch(summaryContains: ["disk full"]), RuleMatch(summaryContains: ["disk"]), false),
            (RuleMatch(summaryMatches: "a.b"), RuleMatch(summaryMatches: "a.b"), true),
            (RuleMatch(summaryMatches: "a.b"), RuleMatch(summaryMatches: "a.c"), false),
            (RuleMatch(minimumSeverity: .major), RuleMatch(minimumSeverity: .critical), true),
            (RuleMatch(minimumSeverity: .critical), RuleMatch(minimumSeverity: .major), false),
            // It still says what makes an alert.
            (RuleMatch(minimumSeverity: .info), RuleMatch(), false),
        ])
    func hiddenRules(first: RuleMatch, second: RuleMatch, isHidden: Bool) {
        let policy = Policy(rules: [TriageRule(name: "a", match: first), TriageRule(name: "b", match: second)])
        #expect(
            lint(policy)
                == (isHidden ? ["warning rules[1]: rule \"b\" never decides: what it matches, \"a\" before it matches too"] : []))
    }

    @Test("Rules: what is not there, suppressing everything, groups whose rules never meet")
    func rules() {
        let policy = Policy(
            rules: [
                TriageRule(name: "a", match: RuleMatch(sources: ["a"]), service: "shopp", runbook: "restrat"),
                TriageRule(name: "b", match: RuleMatch(sources: ["b"]), by: [.service], group: "g"),
                TriageRule(name: "c", match: RuleMatch(sources: ["c"]), by: [.source], group: "g"),
                TriageRule(name: "d", match: RuleMatch(sources: ["d"]), by: [.source], group: "h"),
                TriageRule(name: "e", suppress: "noise"),
            ], services: ["shop": ServiceEntry()])
        #expect(
            lint(policy, runbooks: ["restart"]) == [
                "warning rules[0]: rule \"a\" gives alerts the service \"shopp\", which is not in the catalogue; did you mean \"shop\"?",
                "error rules[0]: rule \"a\" suggests the runbook \"restrat\", which is not there; did you mean \"restart\"?",
                "warning rules[1]: rules \"b\" and \"c\" of the group \"g\" never match together: their \"by\" differs",
                "warning rules[2]: rules \"c\" and \"b\" of the group \"g\" never match together: their \"by\" differs",
                "warning rules[3]: rule \"d\" is alone in the group \"h\"; another rule has to name it, too",
                "warning rules[4]: rule \"e\" suppresses every event that no rule before it matches; give it a \"match\"",
            ])
    }

    @Test("Services: circles, each once, and names that two claim")
    func services() {
        let policy = Policy(services: [
            "a": ServiceEntry(dependsOn: ["b", "d"]), "b": ServiceEntry(dependsOn: ["c"]), "c": ServiceEntry(dependsOn: ["a"]),
            "d": ServiceEntry(dependsOn: ["e"], aliases: ["a", "x*"], hosts: ["h1"]),
            "e": ServiceEntry(aliases: ["x*"], hosts: ["h1"]), "f": ServiceEntry(dependsOn: ["f"]),
        ])
        #expect(
            lint(policy) == [
                "warning services.d: service \"d\" has the alias \"a\", which is a service itself and stays that",
                "warning services.e: the alias \"x*\" is also of service \"d\", which has it first",
                "warning services.e: the host \"h1\" is also of service \"d\", which has it first",
                "error services.a: services depend on each other in a circle: a → b → c → a",
                "error services.f: services depend on each other in a circle: f → f",
            ])
    }

    @Test("A catalogue a thousand deep is looked through")
    func deep() {
        let services = (0..<1000).map { ("s\($0)", ServiceEntry(dependsOn: $0 < 999 ? ["s\($0 + 1)"] : [])) }
        #expect(lint(Policy(services: Dictionary(uniqueKeysWithValues: services))).isEmpty)
    }

    @Test("Windows that never come, are over, or that nobody names")
    func windows() throws {
        func window(_ days: RecurringWindow.Days) throws -> RecurringWindow {
            try RecurringWindow(.daily(days, from: .midnight, to: .endOfDay), zone: .utc)
        }
        let last = CivilDay(parsing: "2026-05-31")
        let policy = Policy(
            times: [
                "never": try window(.init(daysOfMonth: [1], ordinals: [#require(.init(parsing: "last mon"))])),
                "over": try window(.init(last: last)), "today": try window(.init(last: CivilDay(parsing: "2026-06-01"))),
            ], routes: [Route(name: "r", within: ["never", "over", "today"], page: ["x"])],
            maintenance: [Maintenance(name: "m", match: AlertMatch(sources: ["a"]), window: try window(.init(last: last)))])
        #expect(
            lint(policy) == [
                "error times.never: the window \"never\" (last mon day 1 00:00 to 24:00 UTC) never comes",
                "warning times.over: the window \"over\" (until 2026-05-31 00:00 to 24:00 UTC) is over and never comes again",
                "warning maintenance[0]: maintenance \"m\" (until 2026-05-31 00:00 to 24:00 UTC) is over and never comes again",
            ])
        #expect(lint(Policy(times: ["a": .always]), notes: true) == ["note times.a: no route names the window \"a\""])
    }

    @Test("Routes: hidden, impossible, to nobody that is there")
    func routes() {
        let policy = Policy(
            services: ["shop": ServiceEntry()], times: ["day": .always],
            routes: [
                Route(name: "log", page: ["log"], continues: true),
                Route(name: "shops", match: AlertMatch(services: ["shop*"]), outside: ["day"], page: ["phon"]),
                Route(name: "shop", match: AlertMatch(services: ["shop"]), outside: ["day"], page: ["phone"]),
                Route(name: "shop-p1", match: AlertMatch(services: ["shop"]), minimumPriority: .p1, page: ["phone"]),
                Route(name: "never", match: AlertMatch(services: ["shpo"]), within: ["day"], outside: ["day"], page: ["phone"]),
                Route(name: "nobody", match: AlertMatch(drill: true), page: []),
            ])
        #expect(
            lint(policy, targets: ["log", "phone", "mail"], notes: true) == [
                "error routes[1]: route \"shops\" tells \"phon\", which is no notification; did you mean \"phone\"?",
                "warning routes[2]: route \"shop\" is never reached: what it matches, \"shops\" before it matches too",
                "error routes[4]: route \"never\" never matches: it is within and outside of \"day\"",
                "warning routes[4]: route \"never\" is of the service \"shpo\", which is not in the catalogue; did you mean \"shop\"?",
                "note routes[5]: route \"nobody\" tells nobody and does not say why; add a \"note\"",
                "warning routes: no route tells the notification \"mail\"",
            ])
        let covered = Policy(routes: [
            Route(name: "a", match: AlertMatch(minimumSeverity: .major), minimumPriority: .p3, page: ["x"]),
            Route(name: "b", match: AlertMatch(minimumSeverity: .critical), minimumPriority: .p2, page: ["x"]),
            Route(name: "c", match: AlertMatch(minimumSeverity: .critical), minimumPriority: .p4, page: ["x"]),
            Route(name: "d", match: AlertMatch(minimumSeverity: .minor), minimumPriority: .p1, page: ["x"]),
        ])
        #expect(
            lint(covered, notes: true) == [
                "warning routes[1]: route \"b\" is never reached: what it matches, \"a\" before it matches too",
                "note routes: there is no route for every incident: where none matches, each notification decides for itself",
            ])
    }

    @Test(
        "Inhibitions that silence themselves or do nothing",
        arguments: [
            (["a=1"], ["a=1"], "does nothing"), (["a=1"], ["b=1"], "can silence its own"), (["a=1"], ["a!=1", "b=1"], ""),
            (["a=1"], ["a=2"], ""), (["a=1"], ["a=~\"1|2\""], "can silence its own"), (["a=1"], ["a!~\"1|2\""], ""),
            (["a=~\"x.*\""], ["a!~\"x.*\""], ""), (["a=~\"x.*\""], ["a=y"], ""), (["a!=1"], ["a!=2"], "can silence its own"),
        ])
    func inhibitions(source: [String], target: [String], words: String) {
        let found = lint(Policy(inhibitions: [Inhibition(name: "i", source: source, target: target)]))
        #expect(words.isEmpty ? found.isEmpty : found.count == 1 && found[0].contains(words), "\(found)")
    }

    @Test("Two inhibitions that silence each other, and maintenance of everything")
    func circles() {
        let policy = Policy(
            inhibitions: [
                Inhibition(name: "a", source: ["x=1"], target: ["x=2"]), Inhibition(name: "b", source: ["x=2"], target: ["x=1"]),
                Inhibition(name: "c", source: ["x=3"], target: ["x=1"]),
            ], maintenance: [Maintenance(name: "m", window: .always)])
        #expect(
            lint(policy) == [
                "warning inhibit[1]: inhibitions \"a\" and \"b\" can silence each other: only the one that fires first is told",
                "warning maintenance[0]: maintenance \"m\" holds every alert; give it a \"match\"",
            ])
    }
}
