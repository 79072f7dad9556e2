import ArgumentParser
import FoundationEssentials
import TocsinDomain

/// Predicts the priority of incidents from their impact and urgency.
struct PriorityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "priority", abstract: "The priority of each incident, from impact and urgency.",
        discussion: """
            Reads incident_event_log.csv.gz or incident_event_log.csv, as `assignment` does. Each row is predicted from its impact \
            and urgency: by the priority that most rows before it have with these two, and where there was none by the matrix that \
            tocsin.yaml has if nothing is configured.

            Writes one JSON line for each row: id, the incident's number, line, predicted, truth, and learnt, whether rows before it \
            decided.
            """)

    @Option(help: "The folder with incident_event_log.csv.gz.") var data: String
    @Option(help: "Where the predictions are written.") var out: String

    struct Outcome: Encodable {
        var id: String
        var line: Int
        var predicted: String
        var truth: String
        var learnt: Bool
    }

    func run() throws {
        let log = try IncidentLog(folder: data)
        let outcomes = try Self.outcomes(log)
        guard !outcomes.isEmpty else { throw DataError("\(log.path) has no rows") }
        try JSONLines.write(outcomes, to: out)
        let right = outcomes.count { $0.predicted == $0.truth }
        let byMatrix = outcomes.count { !$0.learnt }
        print(
            "\(outcomes.count) rows of \(log.incidents().count) incidents: accuracy",
            "\((Double(right) / Double(outcomes.count)).fourPlaces), \(byMatrix) by the matrix before any such row")
    }

    static func outcomes(_ log: IncidentLog) throws -> [Outcome] {
        struct Cell: Hashable {
            var impact: String
            var urgency: String
        }
        var learnt: [Cell: [String: Int]] = [:]
        return try log.rowIndices.map { row in
            let cell = Cell(impact: log.value("impact", row) ?? "", urgency: log.value("urgency", row) ?? "")
            let truth = log.value("priority", row) ?? ""
            let most = learnt[cell]?.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
            learnt[cell, default: [:]][truth, default: 0] += 1
            guard let impact = level(cell.impact), let urgency = level(cell.urgency) else {
                throw DataError(
                    "\(log.path), line \(log.line(of: row)): impact \(cell.impact) and urgency \(cell.urgency), expected 1 - High to 3 - Low"
                )
            }
            return Outcome(
                id: log.value("number", row) ?? "", line: log.line(of: row),
                predicted: most ?? name(PriorityMatrix.standard[impact: impact, urgency: urgency]), truth: truth,
                learnt: most != nil)
        }
    }

    /// Of `1 - High`.
    private static func level(_ text: String) -> Level? {
        text.split(separator: " ").first.flatMap { Level(parsing: String($0)) }
    }

    /// As the tool writes it.
    private static func name(_ priority: Priority) -> String {
        switch priority {
        case .p1: "1 - Critical"
        case .p2: "2 - High"
        case .p3: "3 - Moderate"
        case .p4: "4 - Low"
        case .p5: "5 - Planning"
        }
    }
}
