import Testing
import TocsinDomain
import TocsinProto

@testable import TocsinArchive

/// Goal: alerts change hands as people say, with their events, and everybody is told. Method: a store on a temporary database
/// with incidents of one alert each.
@Suite("Merge, split and severity", .timeLimit(.minutes(1)))
struct MergeTests {
    private static let later = TestArchive.start + 60_000

    /// Incident 1: alert a, critical, 2 events, checkout. 2: b, major, 3 events, search. 3: c, minor, 1 event, mail.
    private static func archive() async throws -> TestArchive {
        let archive = try TestArchive()
        try await archive.apply([
            .alert(update("a", ["a1", "a2"], .trigger, .critical)),
            .alert(update("b", ["b1", "b2", "b3"], .trigger, .major, service: "search")),
            .alert(update("c", ["c1"], .trigger, .minor, service: "mail")),
        ])
        return archive
    }

    private static func merge(_ number: UInt64, _ into: UInt64, id: String = "m", reason: String = "one cause")
        -> Tocsin_V1_MergeIncidentRequest
    {
        .with {
            $0.requestID = id
            $0.number = number
            $0.actor = "alice"
            $0.into = into
            $0.reason = reason
        }
    }

    private static func split(_ number: UInt64, _ fingerprints: [String], id: String = "s", title: String = "")
        -> Tocsin_V1_SplitIncidentRequest
    {
        .with {
            $0.requestID = id
            $0.number = number
            $0.actor = "alice"
            $0.fingerprints = fingerprints
            $0.title = title
        }
    }

    private static func severity(_ severity: Tocsin_V1_Severity, id: String = "v", _ priority: Tocsin_V1_Priority = .unspecified)
        -> Tocsin_V1_ChangeIncidentSeverityRequest
    {
        .with {
            $0.requestID = id
            $0.number = 1
            $0.actor = "alice"
            $0.severity = severity
            $0.priority = priority
            $0.reason = "as I see it"
        }
    }

    private static func refusal(_ archive: TestArchive, _ request: some CommandRequest) async throws -> String? {
        do {
            _ = try await archive.store.command(request, now: later)
            return nil
        } catch let refusal as CommandRefusal {
            return "\(refusal.code) \(refusal.message)"
        }
    }

    // MARK: - Merge

    @Test("the alerts and events of a merged incident are the other's, and so is what its alerts bring later; both are told of")
    func merge() async throws {
        let archive = try await Self.archive()
        let answer = try await archive.store.command(Self.merge(1, 2), now: Self.later)
        #expect(answer.incident.state == .merged && answer.incident.mergedInto == 2)
        #expect(answer.incident.events == 0 && answer.incident.alertsTotal == 0 && answer.incident.alertsFiring == 0)
        #expect(answer.entry.verb == "merged" && answer.entry.text == "into incident 2: one cause")
        #expect(answer.into.events == 5 && answer.into.alertsTotal == 2 && answer.into.alertsFiring == 2)
        #expect(answer.into.severity == .critical && answer.into.priority == .p1)
        #expect(answer.into.services == ["search", "checkout"])
        #expect(try await archive.store.get(2).alerts.map(\.fingerprint) == ["a", "b"])
        #expect(try await archive.store.get(1).alerts.isEmpty)
        let verbs = try await archive.verbs(2)
        #expect(verbs.contains("merged-in") && verbs.last == "priority-changed")
        #expect(try await archive.changes().map { "\($0.incident.number) \($0.verb)" }.suffix(2) == ["1 merged", "2 merged-in"])

        try await archive.apply([.alert(update("a", ["a3"], at: 90)), .alert(update("b", ["b4"], .resolve, at: 91))])
        let target = try await archive.incident(2)
        #expect(target.events == 7 && target.alertsFiring == 1 && target.state == .triaged)
        try await archive.apply(update("a", ["a4"], .resolve, at: 92))
        #expect(try await archive.incident(2).state == .resolved)
        // It fires again: the incident that has it is reopened, and not the one that had it.
        try await archive.apply(update("a", ["a5"], at: 95))
        #expect(try await archive.incident(2).reopened == 1)
        #expect(try await archive.incident(1).state == .merged)
        #expect(try await archive.count("incidents") == 3)
    }

    @Test("a merge that is repeated has one effect and one answer")
    func mergeAgain() async throws {
        let archive = try await Self.archive()
        let answer = try await archive.store.command(Self.merge(1, 2), now: Self.later)
        let before = try await archive.dump()
        #expect(try await archive.store.command(Self.merge(1, 2), now: Self.later + 1000) == answer)
        #expect(try await archive.dump() == before)
        // The same id for a merge elsewhere is another request.
        #expect(try await Self.refusal(archive, Self.merge(1, 3))?.hasPrefix("invalidArgument request_id") == true)
    }

    @Test("what cannot take alerts, or give them, is refused with what to do")
    func unfit() async throws {
        let archive = try await Self.archive()
        try await archive.apply(update("d", ["d1"], .trigger, .minor, service: "web"))
        _ = try await archive.store.command(Self.merge(3, 2), now: Self.later)
        _ = try await archive.store.command(command("r", .resolve, "known", number: 4), now: Self.later)
        let wrong: [(Tocsin_V1_MergeIncidentRequest, String)] = [
            (Self.merge(1, 1, id: "1"), "failedPrecondition TARGET_UNFIT: an incident cannot be merged into itself"),
            (
                Self.merge(1, 3, id: "2"),
                "failedPrecondition TARGET_UNFIT: incident 3 is merged and takes no alerts; merge into incident 2"
            ),
            (
                Self.merge(1, 4, id: "3"),
                "failedPrecondition TARGET_UNFIT: incident 4 is resolved and takes no alerts; reopen it first"
            ),
            (Self.merge(3, 1, id: "4"), "failedPrecondition ALREADY_IN_STATE: the incident is already merged"),
            (
                Self.merge(4, 1, id: "5"),
                "failedPrecondition ILLEGAL_TRANSITION: cannot merge an incident that is resolved; reopen it first"
            ),
            (Self.merge(1, 99, id: "6"), "notFound there is no incident 99"),
            (Self.merge(99, 1, id: "7"), "notFound there is no incident 99"),
            (Self.merge(1, 0, id: "8"), "invalidArgument into is 0"),
            (Self.merge(1, 2, id: "9", reason: " "), "failedPrecondition REASON_MISSING"),
        ]
        for (request, message) in wrong {
            let refusal = try await Self.refusal(archive, request)
            #expect(refusal?.hasPrefix(message) == true, "\(refusal ?? "done")")
        }
        _ = try await archive.store.command(command("x", .close, number: 4, waive: false), now: Self.later)
        #expect(try await Self.refusal(archive, Self.merge(1, 4, id: "10"))?.contains("it is final") == true)
    }

    @Test("a merge that is undone gives back what was brought; what came since stays where it was counted")
    func undo() async throws {
        let archive = try await Self.archive()
        _ = try await archive.store.command(Self.merge(1, 2), now: Self.later)
        try await archive.apply(update("a", ["a3", "a4"], at: 90))
        let answer = try await archive.store.command(command("u", .reopen, "two causes"), now: Self.later + 60_000)
        #expect(answer.incident.state == .triaged && answer.incident.mergedInto == 0)
        #expect(answer.incident.events == 2 && answer.incident.alertsTotal == 1 && answer.incident.alertsFiring == 1)
        #expect(answer.entry.text == "two causes (1 of 1 alert came back from incident 2)")
        let left = try await archive.incident(2)
        #expect(left.events == 5 && left.alertsFiring == 1 && left.state == .triaged && left.services == ["search"])
        #expect(try await archive.verbs(2).last == "unmerged")
        #expect(try await archive.changes().map { "\($0.incident.number) \($0.verb)" }.suffix(2) == ["1 restored", "2 unmerged"])
        try await archive.apply(update("a", ["a5"], .resolve, at: 200))
        #expect(try await archive.incident(1).state == .resolved)
        #expect(try await archive.incident(2).events == 5)
    }

    @Test("alerts come back along a chain of merges, but not from where they were split off to, nor from what is closed")
    func undoFar() async throws {
        let archive = try await Self.archive()
        _ = try await archive.store.command(Self.merge(1, 2, id: "1"), now: Self.later)
        _ = try await archive.store.command(Self.merge(2, 3, id: "2"), now: Self.later)
        #expect(try await archive.incident(3).events == 6)
        let one = try await archive.store.command(command("3", .reopen, "not this one"), now: Self.later)
        #expect(one.incident.events == 2 && one.entry.text.contains("1 of 1 alert came back from incident 3"))
        let two = try await archive.store.command(Self.split(3, ["b"], id: "4"), now: Self.later)
        #expect(two.created.number == 4 && two.created.events == 3)
        let rest = try await archive.store.command(command("5", .reopen, "nor this", number: 2), now: Self.later)
        #expect(rest.incident.events == 0 && rest.entry.text.contains("0 of 2 alerts came back"))

        _ = try await archive.store.command(Self.merge(1, 3, id: "6"), now: Self.later)
        _ = try await archive.store.command(command("7", .resolve, "x", number: 3), now: Self.later)
        _ = try await archive.store.command(command("8", .close, "x", number: 3, waive: true), now: Self.later)
        let late = try await archive.store.command(command("9", .reopen, "after all"), now: Self.later)
        #expect(late.incident.events == 0 && late.incident.state == .triaged)
        let told = try await archive.changes().filter { $0.incident.number == 3 }.count
        #expect(try await archive.incident(3).version == UInt64(told))
    }

    @Test("an incident that is real makes a drill real when it is merged into it")
    func drills() async throws {
        let archive = try TestArchive()
        try await archive.apply([
            .alert(update("a", ["a1"])), .alert(update("b", ["b1"], .trigger, .minor, drill: true)),
        ])
        let answer = try await archive.store.command(Self.merge(1, 2), now: Self.later)
        #expect(!answer.into.drill)
        #expect(try await archive.verbs(2).contains("made-real"))
    }

    // MARK: - Split

    @Test("some alerts become an incident of their own with what was counted of them, the rest stay; both timelines tell")
    func split() async throws {
        let archive = try await Self.archive()
        _ = try await archive.store.command(Self.merge(2, 1, id: "1"), now: Self.later)
        _ = try await archive.store.command(Self.merge(3, 1, id: "2"), now: Self.later)
        let answer = try await archive.store.command(Self.split(1, ["c", "b"]), now: Self.later)
        let created = answer.created
        #expect(created.number == 4 && created.state == .triaged && created.splitFrom == 1)
        #expect(created.title == "search is down" && created.severity == .major && created.assignee.isEmpty)
        #expect(created.events == 4 && created.alertsTotal == 2 && created.alertsFiring == 2 && created.version == 1)
        #expect(created.services == ["search", "mail"] && created.detectedAt == TestArchive.start)
        #expect(created.priority == .p2 && answer.incident.services == ["checkout"])
        #expect(answer.incident.events == 2 && answer.incident.alertsTotal == 1 && answer.incident.alertsFiring == 1)
        #expect(answer.entry.verb == "split" && answer.entry.text == "2 alerts became incident 4")
        let timeline = try await archive.store.get(4).timeline
        #expect(timeline.map(\.verb) == ["detected", "triaged"] && timeline[0].text.hasSuffix("split from incident 1"))
        #expect(try await archive.changes().map { "\($0.incident.number) \($0.verb)" }.suffix(2) == ["1 split", "4 opened"])
        try await archive.apply([.alert(update("b", ["b4"], .resolve, at: 90)), .alert(update("c", ["c2"], .resolve, at: 91))])
        #expect(try await archive.incident(4).state == .resolved)
        #expect(try await archive.incident(1).state == .triaged)
    }

    @Test("a split that is repeated gives the same new incident, in whatever order its alerts are named")
    func splitAgain() async throws {
        let archive = try await Self.archive()
        _ = try await archive.store.command(Self.merge(2, 1, id: "1"), now: Self.later)
        _ = try await archive.store.command(Self.merge(3, 1, id: "2"), now: Self.later)
        let answer = try await archive.store.command(Self.split(1, ["c", "b"], title: "Search"), now: Self.later)
        let before = try await archive.dump()
        try archive.restart()
        #expect(try await archive.store.command(Self.split(1, ["b", "c", "b"], title: "Search"), now: Self.later) == answer)
        #expect(try await archive.dump() == before)
        #expect(answer.created.title == "Search")
    }

    @Test("at least one alert goes and one stays, all are the incident's own, and it is open")
    func unsplittable() async throws {
        let archive = try await Self.archive()
        let wrong: [(Tocsin_V1_SplitIncidentRequest, String)] = [
            (Self.split(1, ["a"], id: "1"), "failedPrecondition NOTHING_STAYS: all 1 alerts of incident 1 would go"),
            (Self.split(1, ["b"], id: "2"), "failedPrecondition ALERT_ELSEWHERE: incident 1 has no alert b"),
            (Self.split(1, [], id: "3"), "invalidArgument fingerprints are 0"),
            (Self.split(1, ["a", ""], id: "4"), "invalidArgument fingerprints[1] is empty"),
            (Self.split(1, ["a"], id: "5", title: String(repeating: "x", count: 513)), "invalidArgument title has 513 bytes"),
            (Self.split(9, ["a"], id: "6"), "notFound there is no incident 9"),
        ]
        for (request, message) in wrong {
            let refusal = try await Self.refusal(archive, request)
            #expect(refusal?.hasPrefix(message) == true, "\(refusal ?? "done")")
        }
        _ = try await archive.store.command(command("r", .resolve, "known"), now: Self.later)
        #expect(try await Self.refusal(archive, Self.split(1, ["a"], id: "7"))?.contains("is resolved") == true)
    }

    // MARK: - Severity

    @Test("a person's severity stands against events of the severity that was known, not against worse ones")
    func severity() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("a", ["a1"], .trigger, .major))
        let minor = try await archive.store.command(Self.severity(.minor), now: Self.later)
        #expect(minor.incident.severity == .minor && minor.incident.priority == .p4)
        #expect(minor.entry.verb == "severity-changed" && minor.entry.text == "as I see it")
        #expect(minor.entry.before == "major" && minor.entry.after == "minor")
        try await archive.apply(update("a", ["a2"], .trigger, .major, at: 90))
        #expect(try await archive.incident(1).severity == .minor)
        try await archive.apply(update("a", ["a3"], .trigger, .critical, at: 91))
        let incident = try await archive.incident(1)
        #expect(incident.severity == .critical && incident.priority == .p1 && incident.events == 3)
        #expect(try await archive.changes().map(\.verb) == ["opened", "severity-changed", "escalated"])
    }

    @Test("the priority follows the severity, unless it is given with a reason")
    func priority() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("a", ["a1"], .trigger, .minor))
        #expect(try await archive.store.command(Self.severity(.critical), now: Self.later).incident.priority == .p1)
        let own = try await archive.store.command(Self.severity(.critical, id: "2", .p4), now: Self.later)
        #expect(own.incident.priority == .p4 && own.entry.verb == "priority-changed")
        #expect(try await Self.refusal(archive, Self.severity(.critical, id: "3", .p4))?.contains("ALREADY_IN_STATE") == true)
        var unreasoned = Self.severity(.minor, id: "4", .p1)
        unreasoned.reason = ""
        #expect(try await Self.refusal(archive, unreasoned)?.hasPrefix("invalidArgument reason") == true)
        for (index, wrong) in [Tocsin_V1_Severity.unspecified, .UNRECOGNIZED(9), .UNRECOGNIZED(-1)].enumerated() {
            let refusal = try await Self.refusal(archive, Self.severity(wrong, id: "w\(index)"))
            #expect(refusal?.hasPrefix("invalidArgument severity") == true)
        }
        _ = try await archive.store.command(command("r", .resolve, "known"), now: Self.later)
        #expect(try await Self.refusal(archive, Self.severity(.minor, id: "5"))?.contains("reopen it first") == true)
    }
}
