import Foundation
import TestSupport
import Testing

@testable import TocsinIndicators

/// What files give.
@Suite struct SourceTests {
    private func read(_ text: String, _ purpose: IndicatorSource.Purpose = .indicators) throws -> IndicatorSource {
        try IndicatorSource(Array(text.utf8), path: "feeds/feed.json", purpose: purpose)
    }

    private func bundle(_ indicators: String...) -> String {
        "{\"type\": \"bundle\", \"id\": \"bundle--1\", \"objects\": [\(indicators.joined(separator: ","))]}"
    }

    private func indicator(_ pattern: String, id: String = "indicator--1", _ more: String = "") -> String {
        """
        {"type": "indicator", "spec_version": "2.1", "id": "\(id)", "created": "2026-01-01T00:00:00Z", \
        "modified": "2026-01-01T00:00:00Z", "pattern_type": "stix", "valid_from": "2026-01-02T00:00:00Z", \
        "pattern": "\(pattern)"\(more)}
        """
    }

    @Test("an indicator of STIX has what it says of itself")
    func stix() throws {
        let source = try read(
            bundle(
                "{\"type\": \"malware\", \"id\": \"malware--1\"}",
                indicator(
                    "[ipv4-addr:value = '198.51.100.0/24']",
                    """
                    , "name": "C2", "confidence": 85, "labels": ["botnet"], "indicator_types": ["malicious-activity"], \
                    "valid_until": "2026-02-01T00:00:00.500Z"
                    """)))
        #expect(
            source.indicators == [
                Indicator(
                    id: "indicator--1", name: "C2", type: .ipv4, value: "198.51.100.0/24", source: "feed.json", confidence: 85,
                    labels: ["botnet", "malicious-activity"], validFrom: 1_767_312_000_000, validUntil: 1_769_904_000_500)
            ])
        #expect(source.report.format == .stix)
        #expect(source.report.skipped == [])
    }

    @Test(
        "patterns give the values any one of which is enough",
        arguments: [
            ("[ipv4-addr:value = '192.0.2.7']", ["ipv4 192.0.2.7"]),
            ("[ipv4-addr:value ISSUBSET '192.0.2.0/24']", ["ipv4 192.0.2.0/24"]),
            ("[ipv6-addr:value = '2001:DB8::1']", ["ipv6 2001:db8::1"]),
            (
                "[domain-name:value = 'Evil.example'] OR [url:value = 'http://evil.example']",
                ["domain evil.example", "url http://evil.example/"]
            ),
            ("[domain-name:value IN ('a.example', 'b.example')]", ["domain a.example", "domain b.example"]),
            (
                """
                [file:hashes.'SHA-256' = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
                OR file:hashes.MD5 = 'D41D8CD98F00B204E9800998ECF8427E']
                """,
                [
                    "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                    "md5 d41d8cd98f00b204e9800998ecf8427e",
                ]
            ),
            ("[file:hashes.md5='001dd76872d80801692ff942308c64e6']", ["md5 001dd76872d80801692ff942308c64e6"]),
            ("( [email-addr:value = 'Bob@evil.example'] )", ["email bob@evil.example"]),
            (
                "[(domain-name:value = 'a.example' OR (domain-name:value = 'b.example'))]",
                ["domain a.example", "domain b.example"]
            ),
            (
                "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '203.0.113.33/32']",
                ["ipv4 203.0.113.33"]
            ),
            ("[url:value = 'http://evil.example/it\\\\'s']", ["url http://evil.example/it's"]),
        ])
    func patterns(pattern: String, expected: [String]) throws {
        let parsed = try STIXPattern(pattern.replacing("\\\\", with: "\\"))
        #expect(parsed.values.map { "\($0.type) \($0.value)" } == expected)
        #expect(parsed.unusable == [])
    }

    @Test(
        "what needs more than one observable is not used, and why is told",
        arguments: [
            ("[domain-name:value = 'a.example' AND ipv4-addr:value = '192.0.2.7']", "AND needs several observables at once", 0),
            ("[domain-name:value = 'a.example'] AND [ipv4-addr:value = '192.0.2.7']", "AND needs several observables at once", 0),
            (
                "[domain-name:value = 'a.example'] FOLLOWEDBY [ipv4-addr:value = '192.0.2.7']",
                "FOLLOWEDBY needs events in order", 0
            ),
            ("[domain-name:value LIKE '%.example']", "LIKE", 0),
            ("[domain-name:value MATCHES '.*']", "MATCHES", 0),
            ("[domain-name:value NOT = 'a.example']", "NOT", 0),
            ("[NOT domain-name:value = 'a.example']", "NOT", 0),
            ("[domain-name:value != 'a.example']", "comparison with !=", 0),
            ("[EXISTS domain-name:value]", "EXISTS", 0),
            ("[domain-name:value = 'a.example'] REPEATS 5 TIMES WITHIN 60 SECONDS", "WITHIN and REPEATS need several events", 0),
            (
                "[domain-name:value = 'a.example'] START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'",
                "START and STOP are of one moment in the past", 0
            ),
            (
                "[process:name = 'x.exe' OR domain-name:value = 'a.example']", "events do not show process:name", 1
            ),
            (
                "[email-message:body_multipart[*].body_raw_ref.name MATCHES '^Final Report.+\\\\.exe$']", "MATCHES", 0
            ),
            ("[ipv4-addr:value = 'nonsense']", "a value that is no ipv4", 0),
        ])
    func unusable(pattern: String, reason: String, values: Int) throws {
        let parsed = try STIXPattern(pattern)
        #expect(parsed.unusable == [reason])
        #expect(parsed.values.count == values)
    }

    @Test(
        "what is no pattern is told with its place",
        arguments: [
            ("", 0), ("[", 1), ("[]", 1), ("[domain-name:value]", 18), ("[domain-name:value = ]", 21),
            ("[domain-name:value = 'x", 23),
            ("[domain-name:value = 'x'", 24), ("[domain-name:value = 'x'] x", 26), ("domain-name:value = 'x'", 0),
        ])
    func wrongPatterns(pattern: String, offset: Int) {
        let problem = #expect(throws: STIXPattern.Problem.self) { () throws -> Void in _ = try STIXPattern(pattern) }
        #expect(problem?.offset == offset)
    }

    @Test("a bad indicator costs itself only")
    func badIndicators() throws {
        let source = try read(
            bundle(
                indicator("[domain-name:value = ", id: "indicator--1"), indicator("[x:y = 'z']", id: "indicator--2"),
                indicator("[domain-name:value = 'good.example']", id: "indicator--3"),
                indicator("[domain-name:value = 'r.example']", id: "indicator--4", ", \"revoked\": true"),
                indicator("rule", id: "indicator--5").replacing("\"stix\"", with: "\"yara\""),
                indicator("[domain-name:value = 't.example']", id: "indicator--6", ", \"valid_until\": \"soon\""), "17", "null",
                "{\"type\": \"indicator\"}"))
        #expect(source.indicators.map(\.id) == ["indicator--3"])
        #expect(
            source.report.skipped.map(\.reason) == [
                "a pattern that is wrong: expected a value", "events do not show x:y", "revoked", "a pattern of type yara",
                "a time that is not RFC 3339 in valid_from or valid_until", "no STIX object",
                "an indicator without an id",
            ])
        #expect(source.report.skipped.first?.first == "indicator--1, byte 21 of its pattern")
    }

    @Test("attributes of MISP that are for detection are indicators, with their event's name and tags")
    func misp() throws {
        let event = """
            {"Event": {"info": "OSINT - Evil", "uuid": "e", "Attribute": [
              {"uuid": "a1", "type": "ip-dst", "to_ids": true, "value": "192.0.2.7", "Tag": [{"name": "tlp:white"}]},
              {"uuid": "a2", "type": "domain|ip", "to_ids": "1", "value": "evil.example|198.51.100.9", "comment": "both"},
              {"uuid": "a3", "type": "domain", "to_ids": false, "value": "seen.example"},
              {"uuid": "a4", "type": "comment", "to_ids": true, "value": "x"},
              {"uuid": "a5", "type": "md5", "to_ids": true, "value": "short"},
              {"uuid": "a6", "type": "domain", "to_ids": true, "deleted": true, "value": "gone.example"},
              17],
             "Object": [{"name": "file", "Attribute": [
              {"uuid": "a7", "type": "filename|md5", "to_ids": true, "value": "x.exe|D41D8CD98F00B204E9800998ECF8427E"}]}],
             "Tag": [{"name": "misp:confidence-level=\\"usually-confident\\""}]}}
            """
        for text in [event, "{\"response\": [\(event)]}", "[\(event)]"] {
            let source = try read(text)
            #expect(source.report.format == .misp)
            #expect(
                source.indicators.map { "\($0.id) \($0.type) \($0.value) \($0.name) \($0.confidence ?? 0)" } == [
                    "a1 ipv4 192.0.2.7 OSINT - Evil 75", "a2 domain evil.example both 75", "a2 ipv4 198.51.100.9 both 75",
                    "a7 md5 d41d8cd98f00b204e9800998ecf8427e OSINT - Evil 75",
                ])
            #expect(source.indicators.first?.labels == ["tlp:white", "misp:confidence-level=\"usually-confident\""])
            #expect(
                source.report.skipped.map(\.reason) == [
                    "not for detection (to_ids is false)", "an attribute of type comment", "a value that is no md5", "deleted",
                    "an attribute without type or value",
                ])
        }
    }

    @Test("a plain list has an entry a line, with comments")
    func list() throws {
        let source = try IndicatorSource(
            Array(
                "\u{FEFF}# feed\r\n192.0.2.7\r\n\r\n198.51.100.0/24 ; SBL1\nhxxp://evil[.]example/#x # why\nnonsense\n192.0.2.7\n"
                    .utf8),
            path: "drop.txt", purpose: .indicators)
        #expect(
            source.indicators.map { "\($0.id) \($0.value)" }
                == ["drop.txt:2 192.0.2.7", "drop.txt:4 198.51.100.0/24", "drop.txt:5 http://evil.example/"])
        #expect(source.report.skipped.map(\.first) == ["line 6", "line 7"])
    }

    @Test("a false-positive list is a MISP warninglist or a plain list")
    func falsePositives() throws {
        let list = try read(
            """
            {"list": ["10.0.0.0/8", 5], "matching_attributes": ["ip-src", "domain|ip"], "name": "RFC 1918", "type": "cidr"}
            """,
            .falsePositives)
        #expect(
            list.falsePositives
                == [FalsePositiveList(name: "RFC 1918", kind: .cidr, types: [.ipv4, .ipv6, .domain], values: ["10.0.0.0/8"])])
        let plain = try IndicatorSource(Array("10.0.0.0/8\ngood.example\n".utf8), path: "own.txt", purpose: .falsePositives)
        #expect(plain.falsePositives.map(\.kind) == [.cidr, .hostname])
    }

    @Test(
        "a file that is none of these is refused, with the reason",
        arguments: [
            ("{\"list\": [], \"type\": \"cidr\"}", IndicatorSource.Purpose.indicators, "name it under false_positives"),
            (
                "{\"list\": [], \"type\": \"odd\"}", .falsePositives,
                "the type \"odd\" is not one of cidr, string, hostname, substring, regex"
            ),
            ("{\"objects\": []}", .falsePositives, "name it under files"), ("{\"a\": 1}", .indicators, "no STIX bundle"),
            ("{\"objects\": [\n  {\"type\": }]}", .indicators, "feeds/feed.json:2:12: no JSON: expected a value"),
            (String(repeating: "[", count: 100_000), .indicators, "nested more than 64 deep"),
            ("{\"objects\":" + String(repeating: "{\"objects\":[", count: 100_000), .indicators, "nested more than 64 deep"),
        ])
    func refused(text: String, purpose: IndicatorSource.Purpose, expected: String) {
        let problem = #expect(throws: IndicatorProblem.self) { () throws -> Void in _ = try read(text, purpose) }
        #expect(problem?.description.contains(expected) == true, "\(problem?.description ?? "")")
    }

    @Test("whatever the bytes, reading ends and nothing is trapped")
    func hostile() throws {
        var random = SplitMix64.seeded()
        let seeds = [
            bundle(indicator("[domain-name:value = 'a.example' OR ipv4-addr:value ISSUBSET '10.0.0.0/8']")),
            "{\"Event\": {\"info\": \"x\", \"Attribute\": [{\"type\": \"domain|ip\", \"value\": \"a.example|1.2.3.4\"}]}}",
            "{\"list\": [\"/a(b|c)*/i\", \"1.2.3.4\"], \"type\": \"regex\", \"name\": \"n\"}",
            "hxxp[://]evil[.]example/%zz\n[::1]/8\n",
        ].map { Array($0.utf8) }
        var scanner = IndicatorScanner()
        var reader = ObservableReader()
        for _ in 0..<3000 {
            var bytes = random.chance(0.1) ? random.bytes(upTo: 400) : seeds[random.below(seeds.count)]
            for _ in 0..<random.below(6) where !bytes.isEmpty {
                let place = random.below(bytes.count)
                switch random.below(4) {
                case 0: bytes[place] = UInt8(random.below(256))
                case 1: bytes.remove(at: place)
                case 2: bytes.insert(Array("[](){}\\.:/@\"'%#".utf8)[random.below(15)], at: place)
                default: bytes.removeSubrange(place..<min(bytes.count, place + random.below(20)))
                }
            }
            for purpose in [IndicatorSource.Purpose.indicators, .falsePositives] {
                do throws(IndicatorProblem) {
                    let source = try IndicatorSource(bytes, path: "f", purpose: purpose)
                    let set = IndicatorSet(
                        source.indicators + [Indicator(id: "x", type: .ipv4, value: "0.0.0.0/0", source: "s")],
                        falsePositives: source.falsePositives, version: "v")
                    _ = scanner.matches(summary: String(decoding: bytes, as: UTF8.self), at: 0, in: set)
                } catch {
                    #expect(!error.description.isEmpty)
                }
            }
            _ = bytes.withUnsafeBufferPointer { bytes in reader.read(bytes, isCut: random.chance(0.5)) { _ in true } }
        }
    }
}
