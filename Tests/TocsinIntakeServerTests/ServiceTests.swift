import FoundationEssentials
import Testing
import TocsinAccess
import TocsinIntake
import TocsinProto
import TocsinWire

@testable import TocsinIntakeServer

private let json = ["content-type": "application/json"]

@Suite("Foreign tools are answered as they expect it") struct ServiceTests {
    @Test("valid alerts of a batch are stored though others are not, and 400 is a bare string") func halfValid() async throws {
        let hub = FakeHub()
        let answer = await hub.service().post("/api/v2/alerts", #"[{"labels":{"a":"b"}},{"labels":{}}]"#, json)
        #expect(answer.status == 400)
        #expect(try answer.json == "at least one label pair required")
        #expect(answer.headers["cache-control"] == "no-store")
        #expect(hub.events.map { $0.labels } == [["a": "b"]])
    }

    @Test("a good batch is answered 200 and nothing; a body of another type 415") func posted() async {
        let service = FakeHub().service()
        let answer = await service.post("/api/v2/alerts", #"[{"labels":{"a":"b"}}]"#, json)
        #expect(answer.status == 200)
        #expect(answer.body.isEmpty)
        #expect(await service.post("/api/v2/alerts", "[]", ["content-type": "text/plain"]).status == 415)
        #expect(await service.get("/api/v2/nothing").status == 404)
        #expect(await service.get("/api/v2/alerts", method: "PUT").status == 405)
    }

    @Test(
        "nothing is answered well before the hub has it: overload is 429, a hub that is away 503, each with Retry-After",
        arguments: [
            ("/api/v2/alerts", #"[{"labels":{"a":"b"}}]"#),
            ("/webhook/alertmanager", #"{"version":"4","alerts":[{"labels":{"a":"b"}}]}"#),
            ("/v2/enqueue", #"{"routing_key":"0123456789abcdef0123456789abcdef","event_action":"resolve","dedup_key":"k"}"#),
            ("/v1/logs", #"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":17}]}]}]}"#), ("/heartbeat/x", ""),
        ])
    func pressure(path: String, body: String) async {
        let hub = FakeHub()
        let service = hub.service()
        hub.fail(.overloaded(retryAfter: .seconds(7)))
        let full = await service.post(path, body, json)
        #expect(full.status == 429)
        #expect(full.headers["retry-after"] == "7")
        hub.fail(.unavailable(retryAfter: .seconds(5), reason: "away"))
        let away = await service.post(path, body, json)
        #expect(away.status == 503)
        #expect(away.headers["retry-after"] == "5")
        hub.fail(nil)
        #expect(await (200..<300).contains(service.post(path, body, json).status))
    }

    @Test("a token is taken as bearer, as the password of Basic, and as a routing key; what it does not allow is 403")
    func tokens() async {
        let token = "0123456789abcdef0123456789abcdef"
        let hub = FakeHub()
        let service = hub.service([grant("prom", .sensor, token: token)])
        let body = #"[{"labels":{"a":"b"}}]"#
        #expect(await service.post("/api/v2/alerts", body, json).status == 401)
        #expect(await service.post("/api/v2/alerts", body, json.merging(["authorization": "Bearer wrong"]) { $1 }).status == 401)
        for value in ["Bearer \(token)", "Basic \(Data("any:\(token)".utf8).base64EncodedString())"] {
            #expect(await service.post("/api/v2/alerts", body, json.merging(["authorization": value]) { $1 }).status == 200)
        }
        #expect(hub.events.first?.source == "alertmanager:prom")
        let event = #"{"routing_key":"\#(token)","event_action":"resolve","dedup_key":"k"}"#
        #expect(await service.post("/v2/enqueue", event).status == 202)
        #expect(await service.post("/v2/enqueue", event.replacing("0123", with: "3210")).status == 401)
        // A sensor reports, sees nothing and silences nothing.
        let bearer = json.merging(["authorization": "Bearer \(token)"]) { $1 }
        #expect(await service.get("/api/v2/alerts", bearer).status == 403)
        #expect(await service.post("/api/v2/silences", silence, bearer).status == 403)
        #expect(await service.get("/-/healthy").status == 200)
    }

    private let silence =
        #"{"matchers":[{"name":"a","value":"b","isRegex":false}],"startsAt":"2026-11-28T09:00:00Z","endsAt":"2026-11-29T09:00:00Z","createdBy":"me","comment":"why"}"#

    @Test("an alert is seen, filtered, silenced and let go again") func view() async throws {
        let hub = FakeHub()
        let service = hub.service()
        _ = await service.post("/api/v2/alerts", #"[{"labels":{"a":"b"}},{"labels":{"a":"c"}}]"#, json)
        let all = try await service.get("/api/v2/alerts").json
        #expect(all.array?.count == 2)
        let one = try await service.get("/api/v2/alerts?filter=a%3D%22b%22").json
        #expect(one.array?.count == 1)
        let alert = try #require(one.array?.first)
        for name in ["annotations", "endsAt", "fingerprint", "receivers", "startsAt", "status", "updatedAt", "labels"] {
            #expect(alert[name] != nil, "\(name) is required")
        }
        #expect(alert["status"]?["state"] == "active")
        let set = try await service.post("/api/v2/silences", silence, json).json
        let id = try #require(set["silenceID"]?.string)
        #expect(hub.messages.last?.subject == "silence.set.\(id)")
        let silenced = try await service.get("/api/v2/alerts?active=false").json
        #expect(silenced.array?.map { $0["status"]?["silencedBy"] } == [[.string(id)]])
        #expect(try await service.get("/api/v2/alerts?silenced=false").json.array?.count == 1)
        #expect(try await service.get("/api/v2/silence/\(id)").json["status"]?["state"] == "active")
        #expect(try await service.get("/api/v2/alerts/groups").json.array?.count == 1)
        #expect(await service.get("/api/v2/silence/\(id)", method: "DELETE").status == 200)
        #expect(try await service.get("/api/v2/silences").json.array?.map { $0["status"]?["state"] } == ["expired"])
        #expect(try await service.get("/api/v2/alerts?silenced=false").json.array?.count == 2)
        #expect(await service.get("/api/v2/alerts?filter=a").status == 400)
        #expect(await service.get("/api/v2/alerts?active=maybe").status == 422)
        #expect(await service.get("/api/v2/silence/none", method: "DELETE").status == 404)
    }

    @Test("an alert nobody sends again is resolved by time, once") func overdue() async {
        let hub = FakeHub()
        let service = hub.service()
        _ = await service.post("/api/v2/alerts", #"[{"labels":{"a":"b"}}]"#, json)
        await service.view.resolveOverdue()
        #expect(hub.messages.count == 1)
        hub.time.withLock { $0 += 302_000 }
        await service.view.resolveOverdue()
        await service.view.resolveOverdue()
        #expect(hub.events.map(\.kind) == [.trigger, .resolve])
        #expect(hub.events.map(\.dedupKey).allSatisfy { $0 == hub.events[0].dedupKey })
    }

    @Test("who could not be heard is not held to be silent: after the start, and after the hub took nothing")
    func patience() async {
        let hub = FakeHub()
        let service = hub.service()
        let ends = #"[{"labels":{"a":"b"},"endsAt":"2026-11-28T09:05:30Z"}]"#
        #expect(await service.post("/api/v2/alerts", ends, json).status == 200)
        hub.time.withLock { $0 += 200_000 }
        await service.view.resolveOverdue()
        #expect(hub.events.count == 1)
        hub.fail(.unavailable(retryAfter: .seconds(5), reason: "away"))
        #expect(await service.post("/api/v2/alerts", ends.replacing("05:30", with: "12:30"), json).status == 503)
        hub.fail(nil)
        hub.time.withLock { $0 += 290_000 }
        await service.view.resolveOverdue()
        #expect(hub.events.count == 1)
        hub.time.withLock { $0 += 20_000 }
        await service.view.resolveOverdue()
        #expect(hub.events.map(\.kind) == [.trigger, .resolve])
    }

    @Test("what a message is its subject decides: who may report events sets no silence and ends none")
    func subjects() async throws {
        let hub = FakeHub()
        let service = hub.service()
        let id = try #require(try await service.post("/api/v2/silences", silence, json).json["silenceID"]?.string)
        var ended = try hub.messages[0].decode(Tocsin_V1_Silence.self)
        ended.endsAt = hub.now
        ended.updatedAt += 1
        for subject in ["event.alertmanager.x", "silence.set.other"] {
            service.view.apply(try .init(ended, id: [9], subject: subject), sequence: 2)
        }
        service.view.apply(try .init(Tocsin_V1_Event(), id: [9], subject: SilenceTable.subject(id)), sequence: 3)
        #expect(try await service.get("/api/v2/silence/\(id)").json["status"]?["state"] == "active")
    }

    @Test("an alert resolved early and posted again as it was fires again") func firesAgain() async {
        let hub = FakeHub()
        let service = hub.service()
        let post = #"[{"labels":{"a":"b"},"startsAt":"2026-11-28T09:00:00Z","endsAt":"2026-11-28T10:00:00Z"}]"#
        for body in [post, post.replacing("10:00:00", with: "09:01:00"), post, post] {
            #expect(await service.post("/api/v2/alerts", body, json).status == 200)
        }
        #expect(hub.messages.count == 3)
        #expect(hub.events.map(\.kind) == [.trigger, .resolve, .trigger, .trigger])
    }

    @Test("alerts are for who may read them as they were posted") func readers() async {
        let service = FakeHub().service([grant("see", .observer, token: "s"), grant("act", .operator, token: "a")])
        for path in ["/api/v2/alerts", "/api/v2/alerts/groups"] {
            #expect(await service.get(path, ["authorization": "Bearer s"]).status == 403)
            #expect(await service.get(path, ["authorization": "Bearer a"]).status == 200)
        }
        #expect(await service.get("/api/v2/silences", ["authorization": "Bearer s"]).status == 200)
    }

    @Test(
        "a page of another site writes nothing, whatever it asks for",
        arguments: [
            ("/api/v2/alerts", "[]"), ("/webhook/alertmanager", "{}"), ("/v2/enqueue", "{}"), ("/cloudevents", "{}"),
            ("/nagios", "x"), ("/heartbeat/x", ""), ("/v1/logs", "{}"), ("/api/v2/silences", "{}"),
        ])
    func otherSites(path: String, body: String) async {
        let service = FakeHub().service()
        #expect(await service.post(path, body, json.merging(["sec-fetch-site": "cross-site"]) { $1 }).status == 403)
        #expect(await service.post(path, body, json.merging(["origin": "http://evil", "host": "gw"]) { $1 }).status == 403)
        #expect(await service.post(path, body, json).status != 403)
    }

    @Test("what only a page leaves out is not made up for it") func noType() async {
        let service = FakeHub().service()
        #expect(await service.post("/api/v2/alerts", "[]").status == 200)
        #expect(await service.post("/api/v2/alerts", "[]", ["origin": "http://gw", "host": "gw"]).status == 415)
        #expect(await service.get("/heartbeat/x", ["sec-fetch-site": "cross-site"]).status == 403)
    }

    @Test("PagerDuty's resolve finds the trigger of the same routing key") func resolves() async {
        let token = "0123456789abcdef0123456789abcdef"
        let hub = FakeHub()
        let service = hub.service([grant("shop", .sensor, token: token)])
        let event = #"{"routing_key":"\#(token)","dedup_key":"k","event_action":"#
        let payload = #""payload":{"summary":"s","source":"web-1","component":"db","severity":"error"}"#
        #expect(await service.post("/v2/enqueue", event + #""trigger",\#(payload)}"#).status == 202)
        #expect(await service.post("/v2/enqueue", event + #""resolve"}"#).status == 202)
        #expect(hub.events.map(\.kind) == [.trigger, .resolve])
        #expect(hub.events.map(\.service) == ["shop", "shop"])
    }

    @Test("while the stream is being read nobody is told that there is nothing") func notReady() async {
        let service = FakeHub().service(isReady: false)
        #expect(await service.get("/-/ready").status == 503)
        #expect(await service.get("/api/v2/alerts").status == 503)
        #expect(await service.post("/api/v2/alerts", #"[{"labels":{"a":"b"}}]"#, json).status == 200)
    }

    @Test("a CloudEvents sender is let in by the handshake, and its events are 204") func cloudEvents() async {
        let service = FakeHub().service()
        let hello = await service.get("/cloudevents", ["webhook-request-origin": "example.org"], method: "OPTIONS")
        #expect(hello.status == 200)
        #expect(hello.headers["webhook-allowed-origin"] == "example.org")
        let headers = ["ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"]
        #expect(await service.post("/cloudevents", "", headers).status == 204)
        #expect(await service.post("/cloudevents", "x", ["content-type": "text/plain"]).status == 415)
    }

    @Test("passive results are taken line by line") func nagios() async {
        let hub = FakeHub()
        let answer = await hub.service().post(
            "/nagios",
            "[1] PROCESS_SERVICE_CHECK_RESULT;web-1;disk;2;DISK CRITICAL\nnonsense\nPROCESS_HOST_CHECK_RESULT;web-2;0;up\n")
        #expect(answer.status == 400)
        #expect(answer.text.contains("line 2:"))
        #expect(hub.events.map(\.kind) == [.trigger, .resolve])
        #expect(hub.events.map(\.subject) == ["event.nagios.web-1", "event.nagios.web-2"])
    }

    @Test("a heartbeat is published as it was said") func heartbeat() async throws {
        let hub = FakeHub()
        let service = hub.service()
        #expect(await service.get("/heartbeat/nightly%20backup?every=5m&failed=1&note=oops").status == 200)
        let message = try #require(hub.messages.first)
        #expect(message.subject == "heartbeat.nightly-backup")
        let beat = try message.decode(Tocsin_V1_Heartbeat.self)
        #expect(beat.name == "nightly backup")
        #expect(beat.intervalMs == 300_000)
        #expect(beat.failed)
        #expect(beat.note == "oops")
        #expect(await service.get("/heartbeat/x?every=5").status == 400)
        #expect(await service.get("/heartbeat/x?evry=5m").status == 400)
    }

    @Test("a report comes from the form of this site only, and what people write is never markup") func form() async {
        let hub = FakeHub()
        let service = hub.service()
        let type = ["content-type": "application/x-www-form-urlencoded", "host": "gw:7119"]
        let body = "summary=%3Cscript%3E+%26&service=web&severity=critical&details=d"
        #expect(await service.get("/report").text.contains("<form"))
        #expect(await service.post("/report", body, type.merging(["origin": "http://evil"]) { $1 }).status == 403)
        #expect(await service.post("/report", body, type.merging(["sec-fetch-site": "cross-site"]) { $1 }).status == 403)
        #expect(hub.events.isEmpty)
        let missing = await service.post("/report", "summary=%3Cscript%3E&service=", type)
        #expect(missing.status == 400)
        #expect(missing.text.contains("&lt;script&gt;"))
        #expect(!missing.text.contains("<script>"))
        #expect(await service.post("/report", body, type.merging(["origin": "http://gw:7119"]) { $1 }).status == 200)
        #expect(hub.events.map(\.summary) == ["<script> &"])
        #expect(hub.events.map(\.severityHint) == ["critical"])
    }
}
