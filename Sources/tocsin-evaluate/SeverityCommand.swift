import ArgumentParser
import FoundationEssentials
import TocsinText

/// Predicts the severity of alert rules, one after another.
struct SeverityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "severity", abstract: "The severity of each alert rule, predicted from the rules before it.",
        discussion: """
            Reads the one file of JSON lines, <name>.jsonl.gz or <name>.jsonl, whose records have a severity, as the community's \
            Prometheus rules, or a level, as Sigma's rules. All other members of a record but id and date are known when it is \
            predicted. Records are in the order of their dates if they have some, else in the file's. Each is predicted \
            from those before it, and only then learnt; the first is predicted from nothing, and counts.

            Writes one JSON line for each record: id, that of the record or else the number of its line, line, predicted, \
            confidence, truth if it is known, and counted, whether the record is in the figures.
            """)

    @Option(help: "The folder with the rules.") var data: String
    @Option(help: "Where the predictions are written.") var out: String

    func run() throws {
        let prequential = try Prequential(try Self.records(in: data))
        try JSONLines.write(prequential.outcomes, to: out)
        prequential.report()
    }

    private static let labelNames = ["severity", "level"]

    static func records(in folder: String) throws -> [Prequential.Record] {
        let files = Set(try names(in: folder).map { $0.hasSuffix(".gz") ? String($0.dropLast(3)) : $0 })
        var found: [Prequential.Record] = []
        for name in files.sorted() where name.hasSuffix(".jsonl") {
            let rules = try JSONLines.read(name, in: folder, as: [String: JSONValue].self)
            guard let label = labelNames.first(where: { label in rules.contains { $0[label] != nil } }) else { continue }
            guard found.isEmpty else {
                throw DataError("\(folder) has several files of rules, \(name) is the second; give a folder with one")
            }
            found = records(rules, label)
        }
        guard !found.isEmpty else {
            throw DataError("\(folder) has no .jsonl.gz and no .jsonl file whose records have a severity or a level")
        }
        return found
    }

    private static func records(_ rules: [[String: JSONValue]], _ label: String) -> [Prequential.Record] {
        // ISO dates are in the order of their letters.
        let dates = rules.map { $0["date"]?.text ?? "" }
        let order = rules.indices.sorted { (dates[$0], $0) < (dates[$1], $1) }
        return order.enumerated().map { time, index in
            let rule = rules[index]
            let truth = rule[label]?.text
            let known = rule.keys.sorted().filter { ![label, "id", "date"].contains($0) }
            return Prequential.Record(
                id: rule["id"]?.text ?? String(index + 1), line: index + 1,
                fields: known.flatMap { rule[$0]?.fields(named: $0) ?? [] }, time: time, truth: truth,
                lesson: truth.map { ($0, time) })
        }
    }
}

/// Any JSON.
enum JSONValue: Decodable {
    case null
    case text(String)
    case list([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let text = try? container.decode(String.self) {
            self = .text(text)
        } else if let flag = try? container.decode(Bool.self) {
            self = .text(String(flag))
        } else if let number = try? container.decode(Double.self) {
            self = .text(String(number))
        } else if let list = try? container.decode([JSONValue].self) {
            self = .list(list)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    var text: String? {
        switch self {
        case .text(let text): text
        case .null, .list, .object: nil
        }
    }

    /// One for each text in it, named by where it stands, as `logsource.product`.
    func fields(named name: String) -> [TextClassifier.Field] {
        switch self {
        case .null: []
        case .text(let text): [TextClassifier.Field(name, text)]
        case .list(let list): list.flatMap { $0.fields(named: name) }
        case .object(let object): object.keys.sorted().flatMap { object[$0]?.fields(named: "\(name).\($0)") ?? [] }
        }
    }
}
