import ArgumentParser
import FoundationEssentials
import TocsinText

/// Looks for the runbooks of alerts.
struct RunbooksCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runbooks", abstract: "Whether the right runbook is the first found for an alert.",
        discussion: """
            Reads alerts.jsonl.gz (alert, summary, description, runbook, the right one or null) and runbooks.jsonl.gz (id, text). \
            A runbook's title is the last part of its id and its first heading. Nothing is learnt from which are right.

            R@1: the share of alerts with a right runbook for which it is found first; MRR: the mean of 1 / rank. They are also \
            told for alerts whose name is hidden, and for plain BM25 with summary and description over the texts.

            Writes one JSON line for each alert: line, that of alerts.jsonl, alert, and ranked, the ids of runbooks with their \
            scores.
            """)

    @Option(help: "The folder with alerts.jsonl.gz and runbooks.jsonl.gz.") var data: String
    @Option(help: "Where the ranked runbooks of each alert are written.") var out: String

    struct Alert: Decodable {
        var alert: String
        var summary: String?
        var description: String?
        var runbook: String?
    }

    struct Runbook: Decodable {
        var id: String
        var text: String

        /// Its file's name and its first heading.
        var title: String {
            let heading = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("# ") }?.dropFirst(2) ?? ""
            return "\(id.split(separator: "/").last ?? "") \(heading)"
        }
    }

    struct Line: Encodable {
        var line: Int
        var alert: String
        var ranked: [Ranked]
    }

    struct Ranked: Encodable {
        var id: String
        var score: Double
    }

    func run() throws {
        let alerts = try JSONLines.read("alerts.jsonl", in: data, as: Alert.self)
        let runbooks = try JSONLines.read("runbooks.jsonl", in: data, as: Runbook.self)
        guard !runbooks.isEmpty else { throw ValidationError("\(data)/runbooks.jsonl has no runbook") }
        let places = Dictionary(zip(runbooks.map(\.id), runbooks.indices)) { first, _ in first }
        var index = TextIndex(capacity: runbooks.count)
        for (place, runbook) in runbooks.enumerated() {
            index.put(UInt64(place), .init(title: runbook.title, body: runbook.text))
        }
        let plain = PlainBM25(runbooks.map(\.text))
        var lines: [Line] = []
        var ranks = (named: Ranks(), nameless: Ranks(), plain: Ranks())
        for (number, alert) in alerts.enumerated() {
            let (summary, description) = (Self.text(alert.summary), Self.text(alert.description))
            func found(_ title: String) -> [TextIndex.Hit] {
                index.similar(to: .init(title: title, body: description), limit: runbooks.count)
            }
            let hits = found("\(alert.alert) \(summary)")
            lines.append(
                Line(
                    line: number + 1, alert: alert.alert,
                    ranked: hits.map { .init(id: runbooks[Int($0.id)].id, score: $0.score) }))
            guard let right = alert.runbook else { continue }
            let place = places[right]
            ranks.named.add(hits.firstIndex { $0.id == place.map(UInt64.init) })
            ranks.nameless.add(found(summary).firstIndex { $0.id == place.map(UInt64.init) })
            ranks.plain.add(place.flatMap { plain.better(than: $0, for: "\(alert.summary ?? "") \(alert.description ?? "")") })
        }
        try JSONLines.write(lines, to: out)
        print("                       alerts     R@1     MRR")
        print("by name and text      \(ranks.named)")
        print("by text alone         \(ranks.nameless)")
        print("plain BM25, by text   \(ranks.plain)")
    }

    /// Without what the monitor fills in: `{{ $labels.pod }}`.
    static func text(_ template: String?) -> String {
        var text = ""
        var rest = (template ?? "")[...]
        while let begin = rest.firstRange(of: "{{") {
            text += rest[..<begin.lowerBound]
            text += " "
            rest = rest[begin.upperBound...].firstRange(of: "}}").map { rest[$0.upperBound...] } ?? ""
        }
        return text + rest
    }
}

private struct Ranks: CustomStringConvertible {
    var count = 0
    var first = 0
    var reciprocals = 0.0

    /// - Parameter index: 0 for the first; nil for one that was not found.
    mutating func add(_ index: Int?) {
        count += 1
        first += index == 0 ? 1 : 0
        reciprocals += index.map { 1 / Double($0 + 1) } ?? 0
    }

    var description: String {
        let count = Double(max(1, count))
        return "\(String(self.count).leftPadded(7))  \((Double(first) / count).fourPlaces)  \((reciprocals / count).fourPlaces)"
    }
}
