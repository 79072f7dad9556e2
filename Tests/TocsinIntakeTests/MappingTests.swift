import Testing
import TocsinIntake
import TocsinProto

@Suite("What tools say becomes events by a mapping") struct MappingTests {
    private func observation(_ change: (inout Observation) -> Void = { _ in }) -> Observation {
        var observation = Observation()
        observation.id = "one"
        observation.source = "eu.prod"
        observation.summary = "disk is\nfull"
        observation.labels = ["service": "checkout", "severity": "Page", "host": "web-1"]
        change(&observation)
        return observation
    }

    @Test("service, severity and source come from where the mapping says, and labels stay") func fields() {
        var mapping = Mapping.standard(.alertmanager)
        mapping.severities = ["page": "SEV1"]
        let event = mapping.event(.alertmanager, observation(), now: 7)
        #expect(event.id == "one")
        #expect(event.source == "alertmanager:eu.prod")
        #expect(event.subject == "event.alertmanager.eu-prod")
        #expect(event.service == "checkout")
        #expect(event.severityHint == "SEV1")
        #expect(event.summary == "disk is full")
        #expect(event.observedAt == 7)
        #expect(event.labels == ["service": "checkout", "severity": "Page", "host": "web-1"])
        #expect(event.details.isEmpty)
    }

    @Test("a word that is not mapped, and a tool's own fields, are taken as they are") func ownFields() {
        let event = Mapping(severities: ["x": "y"]).event(
            .pagerduty,
            observation {
                $0.severity = "Whatever"
                $0.service = "own"
                $0.dedupKey = "k"
                $0.observedAt = 3
            }, now: 7)
        #expect(event.severityHint == "Whatever")
        #expect(event.service == "own")
        #expect(event.dedupKey == "k")
        #expect(event.observedAt == 3)
    }

    @Test("configured labels make the dedup key: others do not change it") func dedupKey() {
        let mapping = Mapping(dedupLabels: ["host"])
        let key = mapping.event(.syslog, observation { $0.dedupKey = "k" }, now: 0).dedupKey
        #expect(key == mapping.event(.syslog, observation { $0.labels["service"] = "other" }, now: 0).dedupKey)
        #expect(key != mapping.event(.syslog, observation { $0.labels["host"] = "web-2" }, now: 0).dedupKey)
    }

    @Test("nothing is longer than its bound, no character is cut in two, and what was cut is named") func bounds() {
        var mapping = Mapping()
        mapping.bounds.labels = 2
        mapping.bounds.labelBytes = 4
        mapping.bounds.summaryBytes = 5
        let event = mapping.event(
            .syslog,
            observation {
                $0.summary = "ä€ä"
                $0.labels = ["a": "1", "b": "ab€", "c": "3"]
            }, now: 0)
        #expect(event.summary == "ä€")
        #expect(event.labels == ["a": "1", "b": "ab"])
        #expect(event.details == ["truncated": "summary b c"])
    }

    @Test("random ids differ, and parts are told apart") func ids() {
        let random = EventID.random()
        #expect(random.utf8.count == 32)
        #expect(random != EventID.random())
        #expect(EventID.of(["a", "bc"]) != EventID.of(["ab", "c"]))
        #expect(EventID.of(["a", "bc"]) == EventID.of(["a", "bc"]))
    }
}
