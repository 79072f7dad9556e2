import Foundation
import TestSupport
import Testing

@testable import tocsin_evaluate

/// Goal: the commands read folders as they are laid out, predict each record from what was known before it alone, and count what
/// they say they count. Method: made-up folders in which one word or column decides.
@Suite struct EvaluateTests {
    let folder: TemporaryFolder
    var out: String { folder.path + "/out/predictions.jsonl" }

    init() throws { folder = try TemporaryFolder() }

    private func write(_ text: String, _ name: String) throws {
        try Data(text.utf8).write(to: URL(filePath: folder.path + "/" + name))
    }

    struct Prediction: Decodable, Equatable {
        var id: String
        var line: Int
        var predicted: String?
        var confidence: Double?
        var truth: String?
        var counted: Bool?
    }

    private func predictions() throws -> [Prediction] { try JSONLines.read("predictions.jsonl", in: folder.path + "/out") }

    // -- severity ---------------------------------------------------------------------------------------------------

    private func rules(_ count: Int, _ severity: (Int) -> String?) -> String {
        (0..<count).map { index in
            let severity = severity(index).map { "\"\($0)\"" } ?? "null"
            return
                #"{"name":"Thing \#(index % 7) \#(index % 2 == 0 ? "unreachable" : "slow")","severity":\#(severity),"for":null}"#
        }.joined(separator: "\n") + "\n"
    }

    @Test("Severities are learnt from the rules before, and each rule has its line")
    func severity() throws {
        try write(rules(100) { $0 == 60 ? nil : $0 % 2 == 0 ? "critical" : "warning" }, "community_rules.jsonl")
        try SeverityCommand.parse(["--data", folder.path, "--out", out]).run()
        let predictions = try predictions()
        #expect(predictions.map(\.line) == Array(1...100))
        #expect(predictions[0].predicted == nil)
        #expect(predictions[1].predicted == "critical")
        #expect(predictions[50...].allSatisfy { $0.predicted == ($0.line % 2 == 1 ? "critical" : "warning") })
        #expect(predictions.filter { $0.counted == false }.map(\.line) == [61])
        #expect(predictions[50...].allSatisfy { ($0.confidence ?? 0) > 0.5 && ($0.confidence ?? 2) <= 1 })
    }

    @Test("What comes later changes no prediction")
    func laterRecords() throws {
        try write(rules(60) { $0 % 2 == 0 ? "critical" : "warning" }, "community_rules.jsonl")
        try SeverityCommand.parse(["--data", folder.path, "--out", out]).run()
        let before = try predictions()
        try write(rules(60) { $0 < 30 ? $0 % 2 == 0 ? "critical" : "warning" : "info" }, "community_rules.jsonl")
        try SeverityCommand.parse(["--data", folder.path, "--out", out]).run()
        let after = try predictions()
        for (one, other) in zip(before, after).prefix(31) {
            #expect(one.predicted == other.predicted)
            #expect(one.confidence == other.confidence)
        }
        #expect(before[40...].map(\.predicted) != after[40...].map(\.predicted))
    }

    @Test("Rules with a date are in its order, and have their own id")
    func dates() throws {
        let rules = [
            #"{"id":"b","title":"second","level":"high","date":"2020-02-01","logsource":{"product":"windows"},"tags":["x"]}"#,
            #"{"id":"a","title":"first","level":"low","date":"2019-02-01","logsource":{"product":"linux"},"tags":null}"#,
        ]
        try write(rules.joined(separator: "\n"), "rules_meta.jsonl")
        let records = try SeverityCommand.records(in: folder.path)
        #expect(records.map(\.id) == ["a", "b"])
        #expect(records.map(\.line) == [2, 1])
        #expect(records[1].fields.map(\.name) == ["logsource.product", "tags", "title"])
        #expect(records.map(\.truth) == ["low", "high"])
    }

    @Test("Compressed files are read; a folder without rules is an error that says what was looked for")
    func files() throws {
        let compressed = try #require(
            Data(
                base64Encoded:
                    "H4sIAAAAAAACA6tWykvMTVWyUkrJLM5WSCvNyVHSUSpOLUstyiypBAonA+nM5MQcpVquahSlxTn55ahKyxOL8jLz0oEqAWF8ASlVAAAA"))
        #expect(throws: DataError.self) { try SeverityCommand.records(in: folder.path) }
        try write("{\"a\":1}\n", "other.jsonl")
        #expect(throws: DataError.self) { try SeverityCommand.records(in: folder.path) }
        try compressed.write(to: URL(filePath: folder.path + "/rules.jsonl.gz"))
        #expect(try SeverityCommand.records(in: folder.path).map(\.truth) == ["critical", "warning"])
        try write("{\"severity\":\n", "rules2.jsonl")
        let error = #expect(throws: DataError.self) { try SeverityCommand.records(in: folder.path) }
        #expect(error?.description.contains("line 1") == true)
    }

    // -- incidents --------------------------------------------------------------------------------------------------

    private let header = "number,incident_state,opened_at,sys_updated_at,category,assignment_group,impact,urgency,priority"

    /// Of each incident: opened at the minute, solved an hour later.
    private func incidents(_ groups: [(category: String, first: String, last: String)]) -> String {
        let rows = groups.enumerated().flatMap { index, incident in
            let number = "INC\(index)"
            let opened = "1/3/2016 \(index / 60):\(index % 60)"
            let levels = "2 - Medium,2 - Medium,3 - Moderate"
            return [
                "\(number),New,\(opened),\(opened),\(incident.category),\(incident.first),\(levels)",
                "\(number),Resolved,\(opened),1/3/2016 \(index / 60 + 1):\(index % 60),other,\(incident.last),\(levels)",
            ]
        }
        return ([header] + rows).joined(separator: "\n") + "\n"
    }

    @Test("A group is learnt once the incident is solved, and predicted from what the first row says")
    func assignment() throws {
        let kinds = [("network", "1", "10"), ("printer", "?", "20")]
        try write(incidents((0..<240).map { kinds[$0 % 2] }), "incident_event_log.csv")
        try AssignmentCommand.parse(["--data", folder.path, "--out", out]).run()
        let predictions = try predictions()
        #expect(predictions.map(\.id) == (0..<240).map { "INC\($0)" })
        #expect(predictions[3].line == 8)
        // The first one is solved at the sixtieth minute, and known in the next.
        #expect(predictions[...60].allSatisfy { $0.predicted == nil })
        #expect(predictions[61].predicted == "10")
        #expect(predictions[120...].allSatisfy { $0.predicted == $0.truth })
        #expect(Set(predictions.map(\.truth)) == ["10", "20"])
    }

    @Test("An incident whose group nobody names is predicted, not learnt, and not counted")
    func unknownGroup() throws {
        try write(incidents([("network", "?", "?"), ("network", "1", "1")]), "incident_event_log.csv")
        let records = try AssignmentCommand.records(IncidentLog(folder: folder.path))
        #expect(records.map(\.truth) == [nil, "1"])
        #expect(records.map { $0.lesson?.label } == [nil, "1"])
        #expect(records[1].time + 60 == records[1].lesson?.time)
        #expect(try Prequential(records).outcomes.map(\.counted) == [false, true])
    }

    @Test("Only columns of the opening are looked at")
    func knownColumns() throws {
        try write(
            "\(header),closed_code,resolved_by,made_sla\nINC1,New,1/3/2016 0:00,1/3/2016 0:00,c,1,1 - High,2 - Medium,2 - High,5,9,true\n",
            "incident_event_log.csv")
        let records = try AssignmentCommand.records(IncidentLog(folder: folder.path))
        #expect(records.map { $0.fields.map(\.name) } == [["category", "impact", "urgency"]])
    }

    @Test("Priorities come from the matrix, and from rows before where these say otherwise")
    func priority() throws {
        let rows = ["1 - High,3 - Low,3 - Moderate", "3 - Low,3 - Low,5 - Planning", "3 - Low,3 - Low,5 - Planning"]
        try write(
            ([header] + rows.map { "INC1,New,1/3/2016 0:00,1/3/2016 0:00,c,1,\($0)" }).joined(separator: "\n"),
            "incident_event_log.csv")
        try PriorityCommand.parse(["--data", folder.path, "--out", out]).run()
        #expect(try predictions().map(\.predicted) == ["3 - Moderate", "4 - Low", "5 - Planning"])
    }

    @Test("A log that is not as it must be is an error that says where")
    func faults() throws {
        #expect(throws: DataError.self) { try IncidentLog(folder: folder.path) }
        try write("number,opened_at\n1,2\n", "incident_event_log.csv")
        let missing = #expect(throws: DataError.self) { try IncidentLog(folder: folder.path) }
        #expect(missing?.description.contains("incident_state") == true)
        try write("\(header)\n1,2\n", "incident_event_log.csv")
        let short = #expect(throws: DataError.self) { try IncidentLog(folder: folder.path) }
        #expect(short?.description.contains("row 2") == true)
        try write("\(header)\nINC1,New,yesterday,1/3/2016 0:00,c,1,1 - High,2 - Medium,none\n", "incident_event_log.csv")
        let time = #expect(throws: DataError.self) { try AssignmentCommand.records(IncidentLog(folder: folder.path)) }
        #expect(time?.description.contains("line 2: opened_at is \"yesterday\"") == true)
        try write("\(header)\nINC1,New,1/3/2016 0:00,1/3/2016 0:00,c,1,huge,2 - Medium,none\n", "incident_event_log.csv")
        let level = #expect(throws: DataError.self) { try PriorityCommand.outcomes(IncidentLog(folder: folder.path)) }
        #expect(level?.description.contains("impact huge") == true)
    }
}
