import FoundationEssentials
import Glibc
import Testing
import TocsinIntake
import TocsinProto

/// A folder of what monitoring products send, `PRODUCT.json` each, and `cloudevents-http-binding.feature` of the CloudEvents
/// conformance tests.
private let folder = getenv("TOCSIN_ALERT_PAYLOADS").map { String(cString: $0) } ?? ""
private let now: UInt64 = 1_795_856_670_000

@Suite(
    "What products really send is taken",
    .enabled(if: access(folder, R_OK) == 0, "TOCSIN_ALERT_PAYLOADS names no folder that can be read"))
struct PayloadTests {
    private func bytes(_ name: String) throws -> [UInt8] { try Array(Data(contentsOf: URL(filePath: "\(folder)/\(name)"))) }

    @Test("each product's alerts pass as the data of a CloudEvent, and every member that says something is kept") func products()
        throws
    {
        let tool = CloudEvents(mapping: .standard(.cloudevents))
        var count = 0
        for file in try FileManager.default.contentsOfDirectory(atPath: folder) where file.hasSuffix(".json") {
            let kinds = try JSON(try bytes(file))
            #expect(try JSON(Array(kinds.text.utf8)) == kinds, "\(file) is not read back as it was written")
            for (kind, value) in kinds.object ?? [] {
                guard let payload = value["payload"], let members = payload.object else { continue }
                count += 1
                let body: JSON = [
                    "specversion": "1.0", "id": .string(kind), "source": .string(file), "type": .string(kind), "data": payload,
                ]
                let intake = try tool.events(
                    contentType: "application/cloudevents+json", headers: [:], body: Array(body.text.utf8), now: now)
                let event = try #require(intake.events.first)
                #expect(!event.summary.isEmpty)
                let cut = event.details["truncated"] ?? ""
                for (name, value) in members where !value.isNull && !cut.contains(name) && name != "id" {
                    #expect(event.details[name] == value.plain, "\(file), \(kind): \(name)")
                }
            }
        }
        #expect(count > 0)
    }

    @Test("Prometheus's samples pass as alerts, with their service and severity") func prometheus() throws {
        let tool = Alertmanager(mapping: .standard(.alertmanager))
        for (name, value) in try JSON(try bytes("prometheus.json")).object ?? [] {
            let payload = try #require(value["payload"])
            var labels = payload["labels"]?.object ?? []
            labels.append((name: "alertname", value: .string(name)))
            let body: JSON = [["labels": .object(labels), "annotations": ["summary": payload["summary"] ?? .null]]]
            guard let summary = payload["summary"]?.string else { continue }
            let event = try #require(try tool.alerts(Array(body.text.utf8), source: "p", now: now).events.first)
            #expect(event.summary == summary)
            #expect(event.severityHint == payload["labels"]?["severity"]?.string ?? "")
            #expect(event.labels.count == labels.count)
        }
    }

    /// Goal: the attributes and the data that the conformance tests expect of each request are in the event.
    @Test("the requests of the CloudEvents conformance tests are understood") func conformance() throws {
        let text = String(decoding: try bytes("cloudevents-http-binding.feature"), as: UTF8.self)
        var count = 0
        for scenario in text.components(separatedBy: "Scenario Outline:").dropFirst() {
            let blocks = scenario.components(separatedBy: "\"\"\"")
            let types = scenario.components(separatedBy: "Examples:")[1].split(separator: "\n").dropFirst()
                .map { $0.trimmed(of: " |") }.filter { $0.contains("/") }
            for type in types {
                count += 1
                let lines = blocks[1].replacing("<contentType>", with: type).split(
                    separator: "\n", omittingEmptySubsequences: false
                )
                .map { $0.trimmed(of: " ") }.drop { $0.isEmpty }
                let head = lines.dropFirst().prefix { !$0.isEmpty }
                var headers: [String: String] = [:]
                for line in head {
                    let parts = line.split(separator: ":", maxSplits: 1)
                    headers[parts[0].lowercased()] = parts[1].trimmed(of: " ")
                }
                let body = lines.dropFirst(head.count + 2).joined(separator: "\n")
                let intake = try CloudEvents(mapping: .standard(.cloudevents)).events(
                    contentType: headers["content-type"] ?? "", headers: headers, body: Array(body.utf8), now: now)
                let event = try #require(intake.events.first)
                #expect(event.details["id"] == "1234-1234-1234")
                #expect(event.labels["type"] == "com.example.someevent")
                #expect(event.labels["source"] == "/mycontext/subcontext")
                #expect(event.observedAt == Timestamp.parse("2018-04-05T03:56:24Z"))
                #expect(event.details["message"] == "Hello World!")
            }
        }
        #expect(count > 0)
    }
}

extension StringProtocol {
    fileprivate func trimmed(of characters: String) -> String {
        var text = Substring(self)
        while let first = text.first, characters.contains(first) { text = text.dropFirst() }
        while let last = text.last, characters.contains(last) { text = text.dropLast() }
        return String(text)
    }

    fileprivate func components(separatedBy separator: String) -> [String] {
        var parts: [String] = []
        var rest = Substring(self)
        while let range = rest.firstRange(of: separator) {
            parts.append(String(rest[..<range.lowerBound]))
            rest = rest[range.upperBound...]
        }
        return parts + [String(rest)]
    }
}
