import FoundationEssentials
import TocsinDomain

/// The event log of an incident management tool: a row for each event of an incident, as the incident was then.
struct IncidentLog {
    /// What must be there.
    private static let required = [
        "number", "incident_state", "opened_at", "sys_updated_at", "assignment_group", "impact", "urgency", "priority",
    ]

    let path: String
    private let columns: [String: Int]
    private let rows: [[String]]

    /// Reads incident_event_log.csv.gz or incident_event_log.csv.
    init(folder: String) throws {
        let names = ["incident_event_log.csv.gz", "incident_event_log.csv"]
        guard let path = names.map({ "\(folder)/\($0)" }).first(where: FileManager.default.fileExists) else {
            throw DataError("\(folder) has neither \(names.joined(separator: " nor "))")
        }
        let table = try CSVTable(path: path)
        for name in Self.required where !table.header.contains(name) {
            throw DataError("\(path) has no column \(name), only \(table.header.joined(separator: ", "))")
        }
        if let short = table.rows.firstIndex(where: { $0.count != table.header.count }) {
            throw DataError("\(path), row \(short + 2) has \(table.rows[short].count) columns, the header \(table.header.count)")
        }
        self.path = path
        columns = Dictionary(zip(table.header, table.header.indices)) { first, _ in first }
        rows = table.rows
    }

    var rowIndices: Range<Int> { rows.indices }

    /// Of the file, the header being line 1.
    func line(of row: Int) -> Int { row + 2 }

    /// Nil if there is no such column.
    func value(_ name: String, _ row: Int) -> String? { columns[name].map { rows[row][$0] } }

    /// The indices of each incident's rows, in the order of the file.
    func incidents() -> [[Int]] {
        var places: [String: Int] = [:]
        var incidents: [[Int]] = []
        for row in rows.indices {
            let number = value("number", row) ?? ""
            if let place = places[number] {
                incidents[place].append(row)
            } else {
                places[number] = incidents.count
                incidents.append([row])
            }
        }
        return incidents
    }

    /// In minutes, from `29/2/2016 01:16`.
    func minutes(_ name: String, _ row: Int) throws -> Int {
        let text = value(name, row) ?? ""
        let parts = text.split { !$0.isNumber }.map { Int($0) ?? -1 }
        guard parts.count == 5, (1...31).contains(parts[0]), (1...12).contains(parts[1]), (1...9999).contains(parts[2]),
            (0...23).contains(parts[3]), (0...59).contains(parts[4])
        else {
            throw DataError(
                "\(path), line \(line(of: row)): \(name) is \(text.debugDescription), expected a time as 29/2/2016 01:16")
        }
        return (CivilDate.days(year: parts[2], month: parts[1], day: parts[0]) * 24 + parts[3]) * 60 + parts[4]
    }
}
