import Testing
import TocsinIntake
import TocsinProto

private let now: UInt64 = 1_795_856_670_000

@Suite("PagerDuty's events become events") struct PagerDutyTests {
    private let tool = PagerDuty(mapping: .standard(.pagerduty), service: "shop")
    private let key = "0123456789abcdef0123456789abcdef"

    private func outcome(_ body: String) throws -> PagerDuty.Outcome {
        tool.event(try JSON(Array(body.replacing("KEY", with: key).utf8)), now: now) { "made" }
    }

    @Test("a trigger is taken with all that it says") func trigger() throws {
        let outcome = try outcome(
            #"{"routing_key":"KEY","event_action":"trigger","dedup_key":"k","client":"c","links":[{"href":"h"}],"payload":{"summary":"s","source":"web-1","severity":"error","timestamp":"2026-11-28T09:00:00Z","component":"db","class":"x","custom_details":{"load":1.5,"deep":{"a":[1]}}}}"#
        )
        guard case .accepted(let event?, "k") = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(event.kind == .trigger)
        #expect(event.dedupKey == "k")
        #expect(event.source == "pagerduty:web-1")
        #expect(event.service == "shop")
        #expect(event.severityHint == "error")
        #expect(event.observedAt == 1_795_856_400_000)
        #expect(event.labels == ["source": "web-1", "component": "db", "class": "x", "load": "1.5"])
        #expect(event.details == ["deep": #"{"a":[1]}"#, "pagerduty.client": "c", "pagerduty.links": #"[{"href":"h"}]"#])
    }

    @Test("a trigger without a key gets one; a resolve needs its key; an acknowledgement makes no event") func keys() throws {
        let payload = #""payload":{"summary":"s","source":"x","severity":"info"}"#
        guard case .accepted(let event?, "made") = try outcome(#"{"routing_key":"KEY","event_action":"trigger",\#(payload)}"#)
        else {
            Issue.record("no key was made")
            return
        }
        #expect(event.dedupKey == "made")
        guard case .invalid = try outcome(#"{"routing_key":"KEY","event_action":"resolve"}"#) else {
            Issue.record("a resolve without a key was taken")
            return
        }
        guard case .accepted(let resolve?, "k") = try outcome(#"{"routing_key":"KEY","event_action":"resolve","dedup_key":"k"}"#)
        else {
            Issue.record("a resolve was refused")
            return
        }
        #expect(resolve.kind == .resolve)
        #expect(resolve.dedupKey == "k")
        // What triage tells conditions apart by: a resolve has no payload.
        #expect(resolve.service == event.service)
        #expect(
            try outcome(#"{"routing_key":"KEY","event_action":"acknowledge","dedup_key":"k"}"#)
                == .accepted(event: nil, dedupKey: "k"))
    }

    @Test("lengths are of characters, and a long summary is cut rather than lost") func lengths() throws {
        let summary = String(repeating: "ä", count: 2000)
        let outcome = try outcome(
            #"{"routing_key":"KEY","event_action":"trigger","dedup_key":"\#(String(repeating: "é", count: 255))","payload":{"summary":"\#(summary)","source":"\#(summary)","severity":"info"}}"#
        )
        guard case .accepted(let event?, _) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(event.summary == String(repeating: "ä", count: 512))
        #expect(event.details["truncated"] == "summary source")
    }

    @Test("without a name of who sends the service is the mapping's") func nobody() throws {
        let body = #"{"routing_key":"\#(key)","event_action":"resolve","dedup_key":"k"}"#
        let tool = PagerDuty(mapping: .standard(.pagerduty))
        guard case .accepted(let event?, _) = tool.event(try JSON(Array(body.utf8)), now: now) else {
            Issue.record("a resolve was refused")
            return
        }
        #expect(event.service == "pagerduty")
    }

    @Test(
        "what is not valid is named",
        arguments: [
            "[]", #"{"event_action":"trigger","payload":{"summary":"s","source":"x","severity":"info"}}"#,
            #"{"routing_key":"short","event_action":"resolve","dedup_key":"k"}"#,
            #"{"routing_key":"KEY","event_action":"explode"}"#,
            #"{"routing_key":"KEY","event_action":"trigger"}"#,
            #"{"routing_key":"KEY","event_action":"trigger","payload":{"summary":"s","source":"x","severity":"worst"}}"#,
            #"{"routing_key":"KEY","event_action":"trigger","payload":{"summary":7,"source":"x","severity":"info"}}"#,
        ])
    func problems(body: String) throws {
        guard case .invalid(let errors) = try outcome(body) else {
            Issue.record("\(body) was taken")
            return
        }
        #expect(!errors.isEmpty)
    }
}

@Suite("CloudEvents become events") struct CloudEventsTests {
    private let tool = CloudEvents(mapping: .standard(.cloudevents))
    private let headers = [
        "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t.x", "ce-subject": "b%C3%A4ckup%20x",
    ]

    private func structured(_ extra: String = "") -> String {
        #"{"specversion":"1.0","id":"1","source":"/s","type":"t.x","subject":"bäckup x"\#(extra)}"#
    }

    @Test("binary and structured say the same, and the same one again has the same id") func modes() throws {
        let binary = try tool.events(
            contentType: "application/json", headers: headers, body: Array(#"{"message":"m","severity":"minor"}"#.utf8), now: now)
        let text = structured(#","datacontenttype":"application/json","data":{"message":"m","severity":"minor"}"#)
        let other = try tool.events(
            contentType: "application/cloudevents+json; charset=utf-8", headers: [:], body: Array(text.utf8), now: now)
        #expect(binary == other)
        let event = try #require(binary.events.first)
        #expect(event.summary == "m")
        #expect(event.severityHint == "minor")
        #expect(event.service == "/s")
        #expect(event.labels == ["source": "/s", "type": "t.x", "subject": "bäckup x"])
        #expect(event.details == ["id": "1", "message": "m", "severity": "minor"])
    }

    @Test("events of one dedup key meet whatever their sources are") func shared() throws {
        let tool = CloudEvents(mapping: .standard(.cloudevents), sender: "backup")
        func event(_ source: String, _ extra: String) throws -> Tocsin_V1_Event {
            let body = structured(#","dedupkey":"k"\#(extra)"#).replacing(#""/s""#, with: "\"\(source)\"")
            let type = "application/cloudevents+json"
            return try #require(tool.events(contentType: type, headers: [:], body: Array(body.utf8), now: now).events.first)
        }
        let (trigger, resolve) = (try event("/a", ""), try event("/b", #","status":"ok""#))
        #expect(resolve.kind == .resolve)
        #expect([trigger.service, resolve.service] == ["backup", "backup"])
        #expect([trigger.dedupKey, resolve.dedupKey] == ["k", "k"])
        #expect(try event("/a", #","service":"db""#).service == "db")
    }

    @Test("a batch is taken as a whole or not at all") func batch() throws {
        let type = "application/cloudevents-batch+json"
        let both = try tool.events(
            contentType: type, headers: [:], body: Array("[\(structured()),\(structured(#","status":"resolved""#))]".utf8),
            now: now)
        #expect(both.events.map(\.kind) == [.trigger, .resolve])
        #expect(both.events[0].dedupKey == both.events[1].dedupKey)
        #expect(try tool.events(contentType: type, headers: [:], body: Array("[]".utf8), now: now).events.isEmpty)
        #expect(throws: CloudEvents.Problem.self) { () throws -> Void in
            _ = try tool.events(contentType: type, headers: [:], body: Array("[\(structured()),{}]".utf8), now: now)
        }
    }

    @Test("one without a required attribute is refused", arguments: ["id", "source", "type", "specversion"])
    func required(name: String) {
        let rest = headers.filter { $0.key != "ce-\(name)" }
        let error = #expect(throws: CloudEvents.Problem.self) { () throws -> Void in
            _ = try tool.events(contentType: "", headers: rest, body: [], now: now)
        }
        #expect(error?.status == 400)
        #expect(error?.message.contains(name) == true)
    }

    @Test("what does not say that it is one is of a type that is not understood") func untyped() {
        let error = #expect(throws: CloudEvents.Problem.self) { () throws -> Void in
            _ = try tool.events(contentType: "text/plain", headers: [:], body: [], now: now)
        }
        #expect(error?.status == 415)
    }
}

@Suite("OpenTelemetry's logs become events") struct OTLPTests {
    private let tool = OTLPLogs(mapping: .standard(.otlp))
    /// Built after examples/logs.json of opentelemetry-proto.
    private let body = #"""
        {"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"pay"}},{"key":"n","value":{"intValue":"7"}}]},
        "scopeLogs":[{"scope":{"name":"lib","attributes":[]},"logRecords":[
        {"timeUnixNano":"1795856670123000000","severityNumber":18,"severityText":"Error","body":{"stringValue":"boom"},"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","unknown":{"a":1},"attributes":[{"key":"list","value":{"arrayValue":{"values":[{"boolValue":true},{"doubleValue":1.5}]}}}]},
        {"severityNumber":9,"body":{"stringValue":"fine"}},
        {"severityNumber":99,"body":{"stringValue":"odd"}}]}]}]}
        """#

    @Test("a record of JSON is taken with all that it says, one that is fine makes none, and one that is wrong is told")
    func json() throws {
        let intake = try tool.logs(Array(body.utf8), .json, now: now)
        #expect(intake.events.count == 1)
        let event = try #require(intake.events.first)
        #expect(event.summary == "boom")
        #expect(event.service == "pay")
        #expect(event.subject == "event.otlp.pay")
        #expect(event.severityHint == "major")
        #expect(event.observedAt == 1_795_856_670_123)
        #expect(event.labels == ["service.name": "pay", "n": "7", "scope": "lib"])
        #expect(event.details["trace_id"] == "5b8efff798038103d269b633813fc60c")
        #expect(event.details["span_id"] == "eee19b7ec3c1b174")
        #expect(event.details["list"] == "[true,1.5]")
        #expect(intake.refused.map(\.index) == [2])
        let answer = try JSON(OTLPLogs.response(refused: intake.refused, .json))
        #expect(answer["partialSuccess"]?["rejectedLogRecords"] == .string("1"))
        #expect(OTLPLogs.response(refused: [], .json) == Array("{}".utf8))
        #expect(OTLPLogs.response(refused: [], .protobuf).isEmpty)
    }

    @Test("a body that is none is refused", arguments: [OTLPLogs.Encoding.json, .protobuf]) func problems(
        encoding: OTLPLogs.Encoding
    ) {
        #expect(throws: OTLPLogs.Unreadable.self) { () throws -> Void in
            _ = try tool.logs([0x0A, 0xFF, 0xFF, 0x01], encoding, now: now)
        }
        #expect(OTLPLogs.Encoding(contentType: "text/plain") == nil)
    }
}
