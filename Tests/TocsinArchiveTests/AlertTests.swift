import Testing
import TocsinDomain
import TocsinProto

@testable import TocsinArchive

/// Goal: what alert updates and reports do to incidents. Method: a store on a temporary database; what is asserted is what a
/// client reads.
@Suite("Alerts and their incidents", .timeLimit(.minutes(1)))
struct AlertTests {
    @Test("the first event of an alert opens one incident, triaged, with both entries, and tells it once")
    func opens() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a", "b"]))
        let incident = try await archive.incident(1)
        #expect(incident.state == .triaged && incident.severity == .critical && incident.priority == .p1)
        #expect(incident.detectedAt == TestArchive.start && incident.triagedAt == TestArchive.start + 1005)
        #expect(incident.acknowledgedAt == 0 && incident.events == 2 && incident.alertsFiring == 1)
        #expect(incident.services == ["checkout"] && incident.runbook == "restart-checkout")
        #expect(try await archive.verbs(1) == ["detected", "triaged"])
        let changes = try await archive.changes()
        #expect(changes.map(\.id) == ["incident/1/1"] && changes.map(\.verb) == ["opened"])
        #expect(changes[0].labels["check"] == "http" && changes[0].entry.verb == "triaged")
        #expect(changes[0].incident == incident)
    }

    @Test(
        "the message of a change has a deterministic id, its incident's key and severity, and a subject by verb and service"
    )
    func message() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"], service: "Über shop"))
        let message = try #require(try await archive.store.pendingChanges(limit: 1, bytesMax: 1).first?.message)
        #expect(message.id == Array("incident/1/1".utf8) && message.key == "incident-1")
        #expect(message.subject == "incident.opened.--ber-shop" && message.severity == .critical)
        #expect(message.type == "tocsin.v1.IncidentChange")
    }

    @Test("further events of a firing alert only count")
    func counts() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        try await archive.apply(update("f", ["b", "c"], .trigger, .minor, at: 60))
        let response = try await archive.store.get(1)
        #expect(response.incident.events == 3 && response.incident.version == 1)
        #expect(response.incident.severity == .critical, "never lowered while open")
        #expect(response.alerts.map(\.events) == [3] && response.alerts[0].lastAt == TestArchive.start + 61_000)
        #expect(response.timeline.count == 2)
        #expect(try await archive.changes().count == 1)
    }

    @Test("the first threat indicator of an alert is on the timeline, also where nothing gets worse; further ones are not")
    func threats() async throws {
        func mentions(_ events: [String], _ address: String, at seconds: UInt64) -> Tocsin_V1_AlertUpdate {
            var bad = update("f", events, at: seconds)
            bad.indicators = [
                .with {
                    $0.indicator = "indicator--1"
                    $0.type = "ipv4"
                    $0.value = address
                    $0.place = "label client"
                    $0.source = "feed.json"
                    $0.labels = ["botnet"]
                }
            ]
            bad.labels["indicator.type"] = "ipv4"
            bad.labels["indicator.value"] = address
            return bad
        }
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        try await archive.apply(mentions(["b"], "198.51.100.7", at: 60))
        try await archive.apply(mentions(["c"], "198.51.100.8", at: 120))
        let response = try await archive.store.get(1)
        #expect(response.timeline.map(\.verb) == ["detected", "triaged", "indicator-matched"])
        #expect(response.timeline.last?.text == "ipv4 198.51.100.7 in label client is indicator--1 of feed.json: botnet")
        #expect(response.alerts.first?.labels["indicator.value"] == "198.51.100.7")
        #expect(try await archive.changes().map(\.verb) == ["opened", "updated"])

        let other = try TestArchive()
        try await other.apply(mentions(["a"], "198.51.100.7", at: 0))
        #expect(try await other.verbs(1) == ["detected", "triaged", "indicator-matched"])
        #expect(try await other.changes().map(\.verb) == ["opened"])
    }

    @Test("a rise of severity and priority is an entry each and one change")
    func rises() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"], .trigger, .minor))
        try await archive.apply(update("f", ["b"], .trigger, .critical, at: 60))
        let response = try await archive.store.get(1)
        #expect(response.incident.severity == .critical && response.incident.priority == .p1)
        let entry = try #require(response.timeline.first { $0.verb == "severity-changed" })
        #expect(entry.before == "minor" && entry.after == "critical" && entry.actor == "tocsin")
        #expect(try await archive.verbs(1).suffix(2) == ["severity-changed", "priority-changed"])
        #expect(try await archive.changes().map(\.verb) == ["opened", "escalated"])
    }

    @Test(
        "when the last alert resolves the incident does, by the legal way, and nobody is said to have acknowledged it")
    func resolvesItself() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        try await archive.apply(update("f", ["b"], .resolve, at: 60))
        let response = try await archive.store.get(1)
        #expect(response.incident.state == .resolved && response.incident.cause == "alert resolved by itself")
        #expect(response.incident.resolvedAt == TestArchive.start + 60_000)
        #expect(response.incident.acknowledgedAt == 0 && response.incident.assignee == "")
        #expect(response.incident.alertsFiring == 0 && response.alerts.map(\.state) == ["resolved"])
        #expect(
            response.timeline.map(\.verb)
                == ["detected", "triaged", "alert-resolved", "acknowledged", "investigating", "resolved"])
        #expect(response.timeline.map(\.sequence) == [1, 2, 3, 4, 5, 6])
        #expect(try await archive.changes().map(\.id) == ["incident/1/1", "incident/1/2"])
        #expect(try await archive.changes().map(\.verb) == ["opened", "resolved"])
    }

    @Test("without automatic resolution the incident stays open and its alert is resolved")
    func staysOpen() async throws {
        let archive = try TestArchive(IncidentPolicy(reopenWindow: .seconds(60), resolvesAutomatically: false))
        try await archive.apply(update("f", ["a"]))
        try await archive.apply(update("f", ["b"], .resolve, at: 60))
        #expect(try await archive.incident(1).state == .triaged)
        #expect(try await archive.incident(1).alertsFiring == 0)
        #expect(try await archive.changes().map(\.verb) == ["opened", "updated"])
    }

    @Test("a resolve of what never fired is handled and opens nothing")
    func resolveOfNothing() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"], .resolve))
        #expect(try await archive.count("incidents") == 0)
        let accounting = try await archive.store.accounting()
        #expect(accounting.handled == 1 && accounting.applied == 1)
    }

    @Test("within the window a resolved incident is reopened, and an old acknowledgement does not carry over")
    func reopens() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        _ = try await archive.store.command(command("c", .acknowledge), now: TestArchive.start + 30_000)
        try await archive.apply(update("f", ["b"], .resolve, at: 60))
        try await archive.apply(update("f", ["c"], at: 120))
        let response = try await archive.store.get(1)
        #expect(response.incident.state == .triaged && response.incident.assignee == "")
        #expect(response.incident.reopened == 1 && response.incident.resolvedAt == 0 && response.incident.cause == "")
        #expect(response.incident.acknowledgedAt == TestArchive.start + 30_000, "the first one was measured")
        #expect(response.alerts.map(\.episode) == [2] && response.incident.alertsFiring == 1)
        #expect(response.timeline.suffix(2).map(\.verb) == ["reopened", "released"])
        let change = try #require(try await archive.changes().last)
        #expect(change.verb == "reopened" && change.entry.verb == "reopened")
    }

    @Test("an open incident whose alert fires anew needs a new acknowledgement")
    func releases() async throws {
        let archive = try TestArchive(IncidentPolicy(reopenWindow: .seconds(3600), resolvesAutomatically: false))
        try await archive.apply(update("f", ["a"]))
        _ = try await archive.store.command(command("c", .investigate), now: TestArchive.start + 30_000)
        try await archive.apply(update("f", ["b"], .resolve, at: 60))
        #expect(try await archive.incident(1).state == .investigating)
        try await archive.apply(update("f", ["c"], at: 120))
        let incident = try await archive.incident(1)
        #expect(incident.state == .triaged && incident.assignee == "" && incident.alertsFiring == 1)
        #expect(try await archive.changes().last?.verb == "released")
    }

    @Test("past the window a recurrence is a new incident that names the old one")
    func recurs() async throws {
        let archive = try TestArchive(IncidentPolicy(reopenWindow: .seconds(30), resolvesAutomatically: true))
        try await archive.apply(update("f", ["a"]))
        try await archive.apply(update("f", ["b"], .resolve, at: 60))
        try await archive.apply(update("f", ["c"], at: 120))
        #expect(try await archive.incident(1).state == .resolved)
        let second = try await archive.store.get(2)
        #expect(second.incident.state == .triaged && second.incident.events == 1)
        #expect(second.timeline[0].text.contains("recurs from incident 1"))
        #expect(try await archive.count("incidents", where: "number = 2 AND recurs = 1") == 1)
        // The old one still shows its alert.
        #expect(try await archive.store.get(1).alerts.map(\.fingerprint) == ["f"])
    }

    @Test("a closed incident is never reopened")
    func closedIsFinal() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        try await archive.apply(update("f", ["b"], .resolve, at: 60))
        let close = command("c", .close, "known", waive: true)
        _ = try await archive.store.command(close, now: TestArchive.start + 70_000)
        try await archive.apply(update("f", ["c"], at: 120))
        #expect(try await archive.incident(1).state == .closed)
        #expect(try await archive.incident(2).state == .triaged)
    }

    @Test("a dismissed incident speaks for its firing alert, until that gets worse")
    func dismissed() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"], .trigger, .major))
        let dismiss = command("c", .dismiss, "a test of the pager")
        _ = try await archive.store.command(dismiss, now: TestArchive.start + 10_000)
        try await archive.apply(update("f", ["b", "c"], .trigger, .major, at: 60))
        #expect(try await archive.count("incidents") == 1)
        #expect(try await archive.incident(1).events == 3)
        try await archive.apply(update("f", ["d"], .trigger, .critical, at: 90))
        #expect(try await archive.incident(1).state == .dismissed)
        #expect(try await archive.incident(1).alertsFiring == 0)
        #expect(try await archive.incident(2).severity == .critical)
        #expect(try await archive.incident(2).alertsFiring == 1)
    }

    @Test("a dismissal does not hold for ever")
    func dismissalEnds() async throws {
        let archive = try TestArchive(IncidentPolicy(reopenWindow: .seconds(60), resolvesAutomatically: true))
        try await archive.apply(update("f", ["a"]))
        _ = try await archive.store.command(command("c", .dismiss, "noise"), now: TestArchive.start + 10_000)
        try await archive.apply(update("f", ["b"], at: 65))
        #expect(try await archive.count("incidents") == 1)
        try await archive.apply(update("f", ["c"], at: 75))
        #expect(try await archive.count("incidents") == 2)
    }

    @Test("a real event makes a drill real, and a drill does not reopen what was real")
    func drills() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"], drill: true))
        #expect(try await archive.incident(1).drill)
        try await archive.apply(update("f", ["b"], at: 10))
        #expect(try await archive.incident(1).drill == false)
        #expect(try await archive.verbs(1).last == "made-real")
        try await archive.apply(update("f", ["c"], .resolve, at: 20))
        try await archive.apply(update("f", ["d"], at: 30, drill: true))
        #expect(try await archive.incident(1).state == .resolved)
        #expect(try await archive.incident(2).drill)
    }

    @Test("suppressed events are counted and trouble nobody")
    func suppressed() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a", "b"], disposition: .suppressed))
        try await archive.apply(update("f", ["b", "c"], disposition: .suppressed))
        let accounting = try await archive.store.accounting()
        #expect(accounting.suppressed == 3 && accounting.handled == 0 && accounting.applied == 3)
        #expect(accounting.redelivered == 1 && accounting.outbox == 0)
        #expect(try await archive.count("alerts") == 0)
    }

    @Test("a suppressed resolve ends what fires all the same; of what does not fire it is set aside")
    func suppressedResolve() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        let end = update("f", ["b"], .resolve, at: 60, disposition: .suppressed)
        try await archive.apply(end)
        #expect(try await archive.incident(1).state == .resolved)
        #expect(try await archive.store.get(1).alerts.map(\.state) == ["resolved"])
        // Delivered again it finds nothing that fires, and still has the fate it had.
        try await archive.apply(end)
        try await archive.apply(update("f", ["c"], .resolve, at: 90, disposition: .suppressed))
        let accounting = try await archive.store.accounting()
        #expect(accounting.handled == 2 && accounting.suppressed == 1 && accounting.applied == 3)
        #expect(accounting.redelivered == 1)
    }

    @Test("what is below the severity of incidents is an alert, and becomes an incident once it is bad enough")
    func belowIncidents() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"], .trigger, .info))
        try await archive.apply(update("f", ["b"], .trigger, .info, at: 10))
        #expect(try await archive.count("incidents") == 0)
        #expect(try await archive.count("alerts", where: "state = 'firing' AND events = 2 AND episode = 1") == 1)
        #expect(try await archive.changes().isEmpty)
        try await archive.apply(update("f", ["c"], .trigger, .minor, at: 20))
        let incident = try await archive.incident(1)
        #expect(incident.severity == .minor && incident.events == 1 && incident.alertsFiring == 1)
        #expect(incident.detectedAt == TestArchive.start + 20_000)
        #expect(try await archive.store.get(1).alerts.map(\.episode) == [1], "it fired all the time")
        // What belongs to an open incident counts there, however mild.
        try await archive.apply(update("f", ["d"], .trigger, .info, at: 30))
        #expect(try await archive.incident(1).events == 2)
        try await archive.apply(update("f", ["e"], .resolve, .info, at: 40))
        #expect(try await archive.incident(1).state == .resolved)
        let accounting = try await archive.store.accounting()
        #expect(accounting.handled == 5 && accounting.applied == 5)
    }

    @Test("a mild recurrence reopens nothing, a bad one does, though the alert fired in between")
    func mildRecurrence() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        try await archive.apply(update("f", ["b"], .resolve, at: 10))
        try await archive.apply(update("f", ["c"], .trigger, .info, at: 20))
        #expect(try await archive.incident(1).state == .resolved)
        try await archive.apply(update("f", ["d"], .trigger, .major, at: 30))
        #expect(try await archive.incident(1).state == .triaged)
        #expect(try await archive.incident(1).alertsFiring == 1)
        #expect(try await archive.count("incidents") == 1)
    }

    @Test("a runbook that verified its fix mitigates; then the alert resolves and the cause is the runbook")
    func mitigates() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        try await archive.apply([.report(report("r1", "runbook-started", at: 1))])
        try await archive.apply([.report(report("r2", "runbook-succeeded", mitigated: true, at: 5))])
        let mitigated = try await archive.incident(1)
        #expect(mitigated.state == .mitigated && mitigated.mitigatedAt == TestArchive.start + 5000)
        #expect(mitigated.acknowledgedAt == 0 && mitigated.assignee == "")
        try await archive.apply(update("f", ["b"], .resolve, at: 8))
        let incident = try await archive.incident(1)
        #expect(incident.state == .resolved && incident.cause == "fixed by runbook restart-checkout")
        #expect(try await archive.changes().map(\.verb) == ["opened", "mitigated", "resolved"])
        #expect(
            try await archive.verbs(1) == [
                "detected", "triaged", "runbook-started", "runbook-succeeded", "acknowledged", "mitigated",
                "alert-resolved", "resolved",
            ])
    }

    @Test("a runbook that claims the fix after the alert resolved gets the credit")
    func lateClaim() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        try await archive.apply(update("f", ["b"], .resolve, at: 4))
        try await archive.apply([.report(report("r", "runbook-succeeded", mitigated: true, at: 5))])
        let incident = try await archive.incident(1)
        #expect(incident.state == .resolved && incident.cause == "fixed by runbook restart-checkout")
        #expect(try await archive.changes().last?.verb == "updated")
    }

    @Test("a report is put on the timeline once, whatever the state, and a mitigation that is not legal is journalled")
    func reports() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        _ = try await archive.store.command(command("c", .dismiss, "noise"), now: TestArchive.now)
        let late = report("r", "runbook-succeeded", mitigated: true)
        try await archive.apply([.report(late), .report(late)])
        try await archive.apply([.report(late)])
        #expect(try await archive.incident(1).state == .dismissed)
        #expect(try await archive.verbs(1).filter { $0 == "runbook-succeeded" }.count == 1)
        #expect(
            try await archive.count("refused", where: "actor = 'runbook:restart-checkout' AND action = 'mitigate'") == 1
        )
    }

    @Test("a responder that does not call itself a runbook is still no person")
    func programsDoNotAcknowledge() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        try await archive.apply([.report(report("r", "fixed", mitigated: true, actor: "robot"))])
        let incident = try await archive.incident(1)
        #expect(incident.state == .mitigated && incident.acknowledgedAt == 0 && incident.assignee == "")
    }

    @Test("what can never be applied is rejected alone, with a reason")
    func rejected() async throws {
        let archive = try TestArchive()
        var nameless = update("", ["x"])
        nameless.id = "nameless"
        let result = try await archive.apply([
            .alert(nameless), .alert(update("f", [])), .report(report("r", incident: 99, "noted")),
            .alert(update("f", ["a"])),
        ])
        #expect(result.rejected.keys.sorted() == [0, 1, 2] && result.changes == 1)
        #expect(result.rejected[2]?.contains("incident 99") == true)
        #expect(try await archive.store.accounting().handled == 1)
    }

    @Test("times, texts and numbers from outside are brought within bounds")
    func hostileValues() async throws {
        let everything = IncidentPolicy(
            reopenWindow: .seconds(60), resolvesAutomatically: true, minimumSeverity: .info)
        let archive = try TestArchive(everything)
        var hostile = update("f", ["a", "b"])
        hostile.events[0].observedAt = .max
        hostile.events[1].observedAt = 0
        hostile.triagedAt = .max
        hostile.summary = String(repeating: "ü", count: 10_000)
        hostile.priority = .UNRECOGNIZED(77)
        hostile.severity = .UNRECOGNIZED(-3)
        hostile.labels = ["big": String(repeating: "x", count: 100_000), "small": "y"]
        var wild = report("r", "noted")
        wild.time = .max
        _ = try await archive.store.apply(
            [
                ArchiveItem(sequence: .max, content: .alert(hostile)),
                ArchiveItem(sequence: 1, content: .report(wild)),
            ], now: TestArchive.now)
        let incident = try await archive.incident(1)
        #expect(incident.detectedAt == TestArchive.now && incident.severity == .info && incident.priority == .p4)
        #expect(incident.title.utf8.count <= 512)
        #expect(try await archive.changes()[0].labels == ["small": "y"])
        #expect(try await archive.store.get(1).timeline.last?.time == TestArchive.now)
        #expect(try await archive.store.accounting().position == UInt64(Int64.max))
    }
}
