import Testing
import TocsinIntake
import TocsinPolicy
import TocsinProto

private let now: UInt64 = 1_795_856_670_000

/// What the tests post.
private func alerts(_ body: String, at time: UInt64 = now) throws -> Intake {
    try Alertmanager(mapping: .standard(.alertmanager)).alerts(Array(body.utf8), source: "prom", now: time)
}

@Suite("Alertmanager's alerts become events") struct AlertmanagerTests {
    /// Goal: the identity is the one Prometheus computes. The vectors are those of prometheus/common, model/signature_test.go.
    @Test("fingerprints are those of Prometheus") func fingerprints() {
        #expect(LabelSet.fingerprint([:]) == 14_695_981_039_346_656_037)
        #expect(
            LabelSet.fingerprint(["name": "garland, briggs", "fear": "love is not enough"]) == 5_799_056_148_416_392_346)
        #expect(LabelSet.text(0x00AB_0000_0000_0001) == "00ab000000000001")
    }

    @Test("an alert without times begins now and ends after the resolve timeout") func defaults() throws {
        let intake = try alerts(
            #"[{"labels":{"alertname":"Down","severity":"page","job":"shop","none":""},"annotations":{"summary":"it is down"}}]"#)
        let event = try #require(intake.events.first)
        #expect(event.kind == .trigger)
        #expect(event.source == "alertmanager:prom")
        #expect(event.subject == "event.alertmanager.prom")
        #expect(event.service == "shop")
        #expect(event.severityHint == "page")
        #expect(event.summary == "it is down")
        #expect(event.labels == ["alertname": "Down", "severity": "page", "job": "shop"])
        #expect(event.dedupKey == LabelSet.text(LabelSet.fingerprint(event.labels)))
        #expect(event.details["alertmanager.startsAt"] == Timestamp.text(now))
        #expect(event.details["alertmanager.endsAt"] == Timestamp.text(now + 300_000))
        #expect(event.details["summary"] == "it is down")
    }

    @Test("an end that has come resolves; without a start it is the start too") func ends() throws {
        let intake = try alerts(
            #"[{"labels":{"a":"b"},"endsAt":"2026-11-28T09:04:30Z"},{"labels":{"a":"c"},"endsAt":"2026-11-28T09:04:30.001Z"}]"#)
        #expect(intake.events.map(\.kind) == [.resolve, .trigger])
        #expect(intake.events[0].details["alertmanager.startsAt"] == "2026-11-28T09:04:30.000Z")
    }

    @Test("the same post again has the same ids, a later one of the same alert the same key and another id") func ids() throws {
        let body = #"[{"labels":{"a":"b"},"startsAt":"2026-11-28T09:00:00Z","endsAt":"2026-11-28T09:08:00Z"}]"#
        let first = try alerts(body).events[0]
        #expect(try alerts(body, at: now + 9).events[0].id == first.id)
        let later = try alerts(body.replacing("09:08", with: "09:09")).events[0]
        #expect(later.id != first.id)
        #expect(later.dedupKey == first.dedupKey)
        #expect(first.id.utf8.count <= 64)
    }

    @Test("of a batch what is valid is taken, and the rest is named") func halves() throws {
        let intake = try alerts(
            #"[{"labels":{"a":"b"}},{"labels":{}},{"labels":{"a":""}},{"labels":{"a":"c"},"startsAt":"2026-11-28T09:04:30Z","endsAt":"2026-11-28T09:00:00Z"},{"labels":{"a":"d"}}]"#
        )
        #expect(intake.events.map { $0.labels["a"] } == ["b", "d"])
        #expect(intake.refused.map(\.index) == [1, 2, 3])
        #expect(intake.refused.map(\.reason).last == "start time must be before end time")
    }

    @Test(
        "a body that is none is refused as a whole",
        arguments: [
            ("{", 400), ("{}", 400), ("[1]", 400), (#"[{"labels":{"a":1}}]"#, 400),
            (#"[{"labels":{"a":"b"},"startsAt":"x"}]"#, 400),
            (#"[{"labels":{"a":"b"}},{}]"#, 422),
        ])
    func bodies(body: String, status: Int) {
        let error = #expect(throws: Alertmanager.BadBody.self) { try alerts(body) }
        #expect(error?.status == status)
    }

    @Test("a webhook's alerts are taken by their status: an end of Go's zero time is none") func webhook() throws {
        let body = #"""
            {"version":"4","groupKey":"{}:{}","truncatedAlerts":0,"receiver":"ops","status":"firing","externalURL":"http://am","alerts":[
            {"status":"firing","labels":{"alertname":"A"},"annotations":{},"startsAt":"2026-11-28T09:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p","fingerprint":"1"},
            {"status":"resolved","labels":{"alertname":"B"},"startsAt":"2026-11-28T09:00:00Z","endsAt":"2026-11-28T09:10:00Z"}]}
            """#
        let intake = try Alertmanager(mapping: .standard(.alertmanager)).webhook(Array(body.utf8), source: "am", now: now)
        #expect(intake.events.map(\.kind) == [.trigger, .resolve])
        // Alertmanager says it again only after hours, and says itself when it is over.
        #expect(intake.events[0].details["alertmanager.endsAt"] == nil)
        #expect(intake.events[1].details["alertmanager.endsAt"] != nil)
        #expect(intake.events[0].details["webhook.receiver"] == "ops")
        #expect(intake.events[0].details["alertmanager.generatorURL"] == "http://p")
        #expect(throws: Alertmanager.BadBody.self) { () throws -> Void in
            _ = try Alertmanager(mapping: .standard(.alertmanager)).webhook(
                Array(#"{"version":"3","alerts":[]}"#.utf8), source: "am", now: now)
        }
    }
}

@Suite("The alerts that fire are a fold over the stream") struct AlertTableTests {
    private func event(_ name: String, ends: UInt64, kind: Tocsin_V1_EventKind = .trigger, starts: UInt64 = now)
        -> Tocsin_V1_Event
    {
        .with {
            $0.id = "\(name).\(ends)"
            $0.kind = kind
            $0.labels = ["alertname": name]
            $0.details = [
                "alertmanager.startsAt": Timestamp.text(starts), "alertmanager.endsAt": Timestamp.text(ends), "summary": "s",
            ]
        }
    }

    @Test("an alert fires from its earliest start until its latest end, or a resolve") func firing() {
        var table = AlertTable()
        table.apply(event("a", ends: now + 10, starts: now - 5), publishedAt: now)
        table.apply(event("a", ends: now + 20), publishedAt: now + 1)
        let alert = table.firing(now: now + 15)
        #expect(alert.map(\.startsAt) == [now - 5])
        #expect(alert.map(\.updatedAt) == [now + 1])
        #expect(alert.first?.annotations == ["summary": "s"])
        #expect(table.firing(now: now + 20).isEmpty)
        table.apply(event("a", ends: now + 15, kind: .resolve), publishedAt: now + 16)
        #expect(table.count == 0)
    }

    @Test("one that is not sent again is resolved once its end is over, by the same id whoever says so") func overdue() {
        var table = AlertTable()
        table.apply(event("a", ends: now + 10), publishedAt: now)
        #expect(table.overdue(now: now + 10).isEmpty)
        let resolves = table.overdue(now: now + 2000)
        #expect(resolves.map(\.kind) == [.resolve])
        #expect(resolves == table.overdue(now: now + 3000))
        #expect(resolves.first?.id != "a.\(now + 10)")
        table.apply(event("a", ends: now + 5000), publishedAt: now + 1)
        #expect(table.overdue(now: now + 2000).isEmpty)
    }

    @Test("one without an end fires until it is resolved") func endless() throws {
        var table = AlertTable()
        var trigger = event("a", ends: 0)
        trigger.details["alertmanager.endsAt"] = nil
        table.apply(trigger, publishedAt: now)
        #expect(table.firing(now: now + 1_000_000_000).map(\.endsAt) == [nil])
        #expect(table.overdue(now: now + 1_000_000_000).isEmpty)
        table.apply(event("a", ends: now + 15, kind: .resolve), publishedAt: now + 16)
        #expect(table.count == 0)
    }

    @Test("an overdue resolve that comes behind what prolonged the alert does not end it: it is said again")
    func crossing() throws {
        var table = AlertTable()
        table.apply(event("a", ends: now + 10), publishedAt: now)
        let resolve = try #require(table.overdue(now: now + 2000).first)
        table.apply(event("a", ends: now + 5000), publishedAt: now + 2001)
        #expect(table.contradicted().isEmpty)
        table.apply(resolve, publishedAt: now + 2002)
        #expect(table.firing(now: now + 2003).map(\.endsAt) == [now + 5000])
        let again = try #require(table.contradicted().first)
        #expect(again.kind == .trigger)
        #expect(again.id != "a.\(now + 5000)")
        table.apply(again, publishedAt: now + 2004)
        #expect(table.contradicted().isEmpty)
        // In order it is over.
        table.apply(try #require(table.overdue(now: now + 9000).first), publishedAt: now + 9001)
        #expect(table.count == 0)
    }

    @Test("the same alert posted again after it was resolved early is no repetition") func again() {
        var table = AlertTable()
        let first = event("a", ends: now + 5000)
        table.apply(first, publishedAt: now)
        #expect(table.distinguished(first) == first)
        var resolve = event("a", ends: now + 10, kind: .resolve)
        resolve.id = "r"
        table.apply(resolve, publishedAt: now + 11)
        let second = table.distinguished(first)
        #expect(second.id != first.id)
        #expect(second.id.utf8.count <= 64)
        #expect(table.distinguished(first) == second)
        table.prune(now: now + 5000)
        #expect(table.distinguished(first) == first)
    }

    @Test("beyond its bound no other alert is taken, and those that are there go on") func bounds() {
        var table = AlertTable(countMax: 1)
        table.apply(event("a", ends: now + 10), publishedAt: now)
        #expect(!table.isFull(for: ["alertname": "a"]))
        #expect(table.isFull(for: ["alertname": "b"]))
        table.apply(event("b", ends: now + 10), publishedAt: now)
        #expect(table.firing(now: now).map { $0.event.labels["alertname"] } == ["a"])
    }
}

@Suite("Silences match, begin and end as Alertmanager's do") struct SilenceTests {
    private func silence(_ change: (inout Tocsin_V1_Silence) -> Void = { _ in }) -> Tocsin_V1_Silence {
        var silence = Tocsin_V1_Silence()
        silence.matchers = [
            .with {
                $0.name = "alertname"
                $0.value = "Do.*"
                $0.regex = true
            }
        ]
        silence.startsAt = now - 10
        silence.endsAt = now + 1000
        silence.createdBy = "me"
        change(&silence)
        return silence
    }

    @Test(
        "a matcher is parsed, with and without quotes, and matches the whole value",
        arguments: [
            ("a=\"b\"", ["a": "b"], true), ("a=b", ["a": "b"], true), ("a=b", ["a": "bc"], false), ("a!=b", [:], true),
            ("a=~\"b|c\"", ["a": "c"], true), ("a=~b", ["a": "bc"], false), ("a!~\"b.*\"", ["a": "bc"], false),
            ("a=\"x\\\"y\"", ["a": "x\"y"], true),
            ("a=\"\"", [:], true),
        ] as [(String, [String: String], Bool)])
    func matchers(text: String, labels: [String: String], matches: Bool) throws {
        var matcher = try Matcher(parsing: text)
        #expect(matcher.matches(labels) == matches)
    }

    @Test("what is no matcher is refused", arguments: ["", "a", "=b", "a=~\"(\"", "a=~\"b)\""]) func problems(text: String) {
        #expect(throws: Matcher.Problem.self) { try Matcher(parsing: text) }
    }

    private func silencing(_ table: SilenceTable, _ name: String, _ time: UInt64) -> [String] {
        var active = table.active(now: time)
        return active.silencing(["alertname": name])
    }

    @Test("one that is set silences what it matches until it is over") func silencing() throws {
        var table = SilenceTable()
        let set = try table.setting(silence(), now: now) { "one" }
        #expect(set.map(\.id) == ["one"])
        #expect(set.first?.startsAt == now)
        for message in set { table.apply(message, sequence: 1, now: now) }
        #expect(silencing(table, "Down", now) == ["one"])
        #expect(silencing(table, "Up", now).isEmpty)
        #expect(silencing(table, "Down", now + 1000).isEmpty)
        let ended = try #require(SilenceTable.ended(set[0], now: now + 5))
        table.apply(ended, sequence: 2, now: now + 5)
        #expect(silencing(table, "Down", now + 6).isEmpty)
        #expect(SilenceTable.ended(ended, now: now + 6) == nil)
    }

    @Test("a change of the end keeps the id; other matchers end the old one and make another") func changes() throws {
        var table = SilenceTable()
        table.apply(try table.setting(silence(), now: now) { "one" }[0], sequence: 1, now: now)
        let longer = silence {
            $0.id = "one"
            $0.startsAt = now
            $0.endsAt = now + 9000
        }
        #expect(try table.setting(longer, now: now + 5) { "two" }.map(\.id) == ["one"])
        let other = silence {
            $0.id = "one"
            $0.matchers[0].value = "Up"
        }
        let set = try table.setting(other, now: now + 5) { "two" }
        #expect(set.map(\.id) == ["one", "two"])
        #expect(set.map(\.endsAt) == [now + 5, now + 1000])
        #expect(throws: SilenceTable.Problem.notFound) { () throws -> Void in
            _ = try table.setting(silence { $0.id = "none" }, now: now) { "x" }
        }
    }

    @Test("what is older than what is known changes nothing, and whoever changes it is heard whatever the clocks say")
    func order() throws {
        var table = SilenceTable()
        let set = try table.setting(silence(), now: now) { "one" }[0]
        table.apply(set, sequence: 1, now: now)
        // By a gateway whose clock is behind.
        let ended = try #require(SilenceTable.ended(set, now: now - 7))
        table.apply(ended, sequence: 2, now: now)
        #expect(table["one"] == ended)
        let isTaken = table.apply(set, sequence: 3, now: now)
        #expect(isTaken)
        #expect(table["one"] == ended)
        var last = set
        last.updatedAt = .max
        last.endsAt = .max
        table.apply(last, sequence: 4, now: now)
        table.prune(now: now)
        #expect(SilenceTable.ended(last, now: now)?.updatedAt == .max)
    }

    @Test("those that are over take nobody's place") func places() throws {
        var table = SilenceTable()
        for index in 0..<SilenceTable.countMax {
            let old = silence {
                $0.id = "\(index)"
                $0.matchers[0].regex = false
                $0.startsAt = 1
                $0.endsAt = UInt64(index + 2)
            }
            table.apply(old, sequence: 1, now: now)
        }
        let set = try table.setting(silence(), now: now) { "new" }[0]
        table.apply(set, sequence: 2, now: now)
        #expect(table["new"] == set)
        #expect(table["0"] == nil)
        #expect(table["\(SilenceTable.countMax - 1)"] != nil)
    }

    @Test("one that cannot be is refused") func refusals() {
        let wrong: [Tocsin_V1_Silence] = [
            silence { $0.matchers = [] }, silence { $0.matchers[0].value = ".*" }, silence { $0.matchers[0].value = "(" },
            silence { $0.endsAt = $0.startsAt },
            silence {
                $0.startsAt = now - 20
                $0.endsAt = now - 10
            },
        ]
        for silence in wrong {
            #expect(throws: SilenceTable.Problem.self) { () throws -> Void in
                _ = try SilenceTable().setting(silence, now: now) { "x" }
            }
        }
    }
}
