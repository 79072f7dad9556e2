import ArgumentParser
import FoundationEssentials
import TocsinText

/// Predicts who solves each incident, when it is opened.
struct AssignmentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "assignment", abstract: "The group that solves each incident, predicted when it is opened.",
        discussion: """
            Reads incident_event_log.csv.gz or incident_event_log.csv, laid out as the UCI's "Incident management process \
            enriched event log". Each incident is predicted once, from its first row, and there only from what is written down \
            when it is opened: \(knownColumns.joined(separator: ", ")). The truth is the last group that its rows name. \
            Learnt is an incident's group at the time of its first row as Resolved or Closed, once that time is past; nothing \
            else of later rows is looked at. Incidents are in the order in which they were opened; the first ones are predicted \
            from nothing, and count.

            Writes one JSON line for each incident: id, its number, line, that of its first row, predicted, confidence, truth if \
            it is known, and counted, whether the incident is in the figures.
            """)

    @Option(help: "The folder with incident_event_log.csv.gz.") var data: String
    @Option(help: "Where the predictions are written.") var out: String

    /// Neither what is done with it nor what comes of it.
    private static let knownColumns = [
        "caller_id", "opened_by", "sys_created_by", "contact_type", "location", "category", "subcategory", "u_symptom", "cmdb_ci",
        "impact", "urgency",
    ]

    func run() throws {
        let prequential = try Prequential(try Self.records(IncidentLog(folder: data)))
        try JSONLines.write(prequential.outcomes, to: out)
        prequential.report()
    }

    static func records(_ log: IncidentLog) throws -> [Prequential.Record] {
        let records = try log.incidents().map { rows in
            let first = rows[0]
            // When it is solved it is known who did.
            let solved = rows.firstIndex { ["Resolved", "Closed"].contains(log.value("incident_state", $0)) } ?? rows.count - 1
            let lesson = try group(rows[...solved], log).map { ($0, try log.minutes("sys_updated_at", rows[solved])) }
            return Prequential.Record(
                id: log.value("number", first) ?? "", line: log.line(of: first),
                fields: knownColumns.compactMap { name in log.value(name, first).map { TextClassifier.Field(name, $0) } },
                time: try log.minutes("opened_at", first), truth: group(rows[...], log), lesson: lesson)
        }
        return records.indices.sorted { (records[$0].time, $0) < (records[$1].time, $1) }.map { records[$0] }
    }

    /// The last one that is named.
    private static func group(_ rows: ArraySlice<Int>, _ log: IncidentLog) -> String? {
        rows.reversed().lazy.compactMap { log.value("assignment_group", $0) }.first { $0 != "?" && !$0.isEmpty }
    }
}
