import ArgumentParser
import FoundationEssentials
import TocsinText

/// Looks for the duplicates of reports among all reports of their project.
struct DuplicatesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "duplicates", abstract: "Whether the report that tells the same fault is among the ten most like a report.",
        discussion: """
            Reads reports.jsonl.gz (id, summary, description) and pairs.csv (id, duplicate_id, kind) of a folder, or of each of \
            its folders. Nothing is learnt from the pairs, and product and component are not looked at: they are missing in many.

            recall@10: the share of pairs in which the one report is among the ten found for the other, of all reports of the \
            project. `for the duplicate` looks for the report of column id with the text of the one of column duplicate_id; \
            `for the report` the other way round. Beside each the same of plain BM25 over summary and description.

            Writes one JSON line for each report of a pair: project, id, and ranked, the ids most like it with their scores.
            """)

    @Option(help: "The folder with reports.jsonl.gz and pairs.csv, or one with such folders.") var data: String
    @Option(help: "Where the ranked ids of each report are written.") var out: String

    struct Report: Decodable {
        var id: Int
        var summary: String?
        var description: String?
    }

    struct Pair {
        var report: Int
        var duplicate: Int
        var kind: String
    }

    struct Line: Encodable {
        var project: String
        var id: Int
        var ranked: [Ranked]
    }

    struct Ranked: Encodable {
        var id: Int
        var score: Double
    }

    func run() throws {
        var lines: [Line] = []
        print("project      kind             pairs   for the duplicate (BM25)    for the report (BM25)")
        for folder in try folders() {
            let project = URL(filePath: folder).lastPathComponent
            let reports = try JSONLines.read("reports.jsonl", in: folder, as: Report.self)
            let pairs = try Self.pairs(in: folder)
            let result = try DuplicateSearch(reports, pairs)
            lines += result.ranked.map { Line(project: project, id: $0.id, ranked: $0.ranked) }
            for kind in Set(pairs.map(\.kind)).sorted().reversed() + ["all"] {
                let indices = pairs.indices.filter { kind == "all" || pairs[$0].kind == kind }
                let forDuplicate = [result.isFoundForDuplicate, result.isFoundForDuplicatePlainly]
                let forReport = [result.isFoundForReport, result.isFoundForReportPlainly]
                let shares = (forDuplicate + forReport).map { found in
                    (Double(indices.count { found[$0] }) / Double(max(1, indices.count))).fourPlaces
                }
                print(
                    project.padded(12), kind.padded(12), String(indices.count).leftPadded(9),
                    "      \(shares[0])     (\(shares[1]))         \(shares[2])  (\(shares[3]))")
            }
        }
        try JSONLines.write(lines, to: out)
    }

    private func folders() throws -> [String] {
        func isProject(_ folder: String) -> Bool { FileManager.default.fileExists(atPath: "\(folder)/pairs.csv") }
        if isProject(data) { return [data] }
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: data) else {
            throw ValidationError("\(data) cannot be listed; is it a folder that may be read?")
        }
        let folders = names.sorted().map { "\(data)/\($0)" }.filter(isProject)
        guard !folders.isEmpty else { throw ValidationError("neither \(data) nor a folder in it has pairs.csv") }
        return folders
    }

    private static func pairs(in folder: String) throws -> [Pair] {
        let table = try CSVTable(path: "\(folder)/pairs.csv")
        let columns = try ["id", "duplicate_id", "kind"].map(table.column)
        return try columns[0].indices.map { row in
            guard let report = Int(columns[0][row]), let duplicate = Int(columns[1][row]) else {
                throw DataError("\(folder)/pairs.csv, row \(row + 1): an id is not a number")
            }
            return Pair(report: report, duplicate: duplicate, kind: columns[2][row])
        }
    }
}

/// What is found for the reports of pairs.
private struct DuplicateSearch {
    static let rankedMax = 10

    var ranked: [(id: Int, ranked: [DuplicatesCommand.Ranked])] = []
    // By pair.
    var isFoundForDuplicate: [Bool] = []
    var isFoundForDuplicatePlainly: [Bool] = []
    var isFoundForReport: [Bool] = []
    var isFoundForReportPlainly: [Bool] = []

    init(_ reports: [DuplicatesCommand.Report], _ pairs: [DuplicatesCommand.Pair]) throws {
        let texts = reports.map { TextIndex.Text(title: $0.summary ?? "", body: $0.description ?? "") }
        let places = Dictionary(zip(reports.map(\.id), reports.indices)) { first, _ in first }
        func place(_ id: Int) throws -> Int {
            guard let place = places[id] else {
                throw DataError("pairs.csv names the report \(id), which is not in reports.jsonl")
            }
            return place
        }
        var index = TextIndex(capacity: max(1, reports.count))
        for (place, text) in texts.enumerated() { index.put(UInt64(place), text) }
        let plainTexts = texts.map { "\($0.title) \($0.body)" }
        let plain = PlainBM25(plainTexts)
        var found: [Int: [Int]] = [:]
        for place in try Set(pairs.flatMap { try [place($0.report), place($0.duplicate)] }).sorted() {
            let hits = index.similar(to: texts[place], limit: Self.rankedMax) { $0 != UInt64(place) }
            found[place] = hits.map { Int($0.id) }
            ranked.append((reports[place].id, hits.map { .init(id: reports[Int($0.id)].id, score: $0.score) }))
        }
        for pair in pairs {
            let (report, duplicate) = (try place(pair.report), try place(pair.duplicate))
            func isFoundPlainly(_ right: Int, for query: Int) -> Bool {
                plain.better(than: right, for: plainTexts[query], excluding: query).map { $0 < Self.rankedMax } ?? false
            }
            isFoundForDuplicate.append(found[duplicate, default: []].contains(report))
            isFoundForDuplicatePlainly.append(isFoundPlainly(report, for: duplicate))
            isFoundForReport.append(found[report, default: []].contains(duplicate))
            isFoundForReportPlainly.append(isFoundPlainly(duplicate, for: report))
        }
    }
}
