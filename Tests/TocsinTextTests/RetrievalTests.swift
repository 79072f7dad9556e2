import Foundation
import TestSupport
import Testing

@testable import tocsin_evaluate

/// Goal: the commands that rate the index read folders as they are laid out, write what was found for each record, and compare with
/// BM25 as the textbook has it. Method: made-up folders with few records; scores worked out by hand.
@Suite struct RetrievalTests {
    let folder: TemporaryFolder
    var out: String { folder.path + "/out/ranked.jsonl" }

    init() throws { folder = try TemporaryFolder() }

    private func write(_ data: Data, _ name: String) throws { try data.write(to: URL(filePath: folder.path + "/" + name)) }

    private func lines() throws -> [[String: Any]] {
        try String(contentsOfFile: out, encoding: .utf8).split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
    }

    @Test("Duplicates: each report of a pair has a line with the reports most like it, never itself")
    func duplicates() throws {
        // Two gzip streams one after the other, as some programs write them: reports 1; 2 and 3.
        let parts = [
            "H4sIAAAAAAAAA6tWykxRsjLUUSouzc1NLKpUslJyySzOVkgrzclRyM9TKE9NUtJRSkktTi7KLCjJzM8DKsjLVyguSExOVchJTStRquUCAFSZSaBEAAAA",
            "H4sIAAAAAAAAA13MMQ6DMAwF0J1TWJ6ZysYZUO+QYqe1GuIonwghxN1bdaqYn/QONuHx1jPasoS688iTPy1TDJbAPYtirlZW"
                + "8/y1EoDNq5CBqsYGFT6745cM/8ndCSXMSp5pfSmJ4U0eadPHNc0tpbP7AG5G53+JAAAA",
        ]
        try write(parts.reduce(into: Data()) { $0 += Data(base64Encoded: $1) ?? Data() }, "reports.jsonl.gz")
        try write(Data("id,duplicate_id,kind\n1,3,similar\n".utf8), "pairs.csv")
        try DuplicatesCommand.parse(["--data", folder.path, "--out", out]).run()
        let found = try lines().map { line in
            (line["id"] as? Int, (line["ranked"] as? [[String: Any]])?.compactMap { $0["id"] as? Int })
        }
        #expect(found.map(\.0) == [1, 3])
        #expect(found.map(\.1) == [[3], [1]])
    }

    @Test("Runbooks: the one with the alert's name is the first, and the file has every alert")
    func runbooks() throws {
        let alerts = """
            {"alert": "DiskFull", "summary": "No space on {{ $labels.disk }}", "runbook": "node/DiskFull"}
            {"alert": "NodeDown", "description": "A node does not answer", "runbook": null}
            """
        let runbooks = """
            {"id": "node/NodeDown", "text": "# Node down\\n\\nThe node does not answer."}
            {"id": "node/DiskFull", "text": "# Disk full\\n\\nThere is no space left."}
            """
        try write(Data(alerts.utf8), "alerts.jsonl")
        try write(Data(runbooks.utf8), "runbooks.jsonl")
        try RunbooksCommand.parse(["--data", folder.path, "--out", out]).run()
        let firsts = try lines().map { (($0["ranked"] as? [[String: Any]])?.first)?["id"] as? String }
        #expect(firsts == ["node/DiskFull", "node/NodeDown"])
        #expect(RunbooksCommand.text("a {{ $x }} b {{ if") == "a   b  ")
    }

    @Test("Plain BM25 ranks as its formula does")
    func plain() {
        let bm25 = PlainBM25(["disk full", "disk disk disk disk", "mail"])
        // A rarer word is worth more than a common one told four times.
        #expect(bm25.better(than: 0, for: "full disk") == 0)
        #expect(bm25.better(than: 1, for: "full disk") == 1)
        #expect(bm25.better(than: 0, for: "DISK") == 1)
        #expect(bm25.better(than: 2, for: "disk") == nil)
        #expect(bm25.better(than: 0, for: "disk", excluding: 1) == 0)
    }

    @Test("A file that is cut short or no JSON is told with its place")
    func broken() throws {
        try write(
            Data(
                base64Encoded:
                    "H4sIAAAAAAAAA6tWykxRsjLUUSouzc1NLKpUslJyySzOVkgrzclRyM9TKE9NUtJRSkktTi7KLCjJzM8DKsjLVyguSExOVchJTStRquUCAFSZSaBEAAAA"
            )?.dropLast(9) ?? Data(), "reports.jsonl.gz")
        try write(Data("{}\n{".utf8), "alerts.jsonl")
        #expect(throws: DataError.self) { () throws -> Void in
            _ = try JSONLines.read("reports.jsonl", in: folder.path, as: [String: Int].self)
        }
        let problem = #expect(throws: DataError.self) { () throws -> Void in
            _ = try JSONLines.read("alerts.jsonl", in: folder.path, as: [String: Int].self)
        }
        #expect(problem?.description.contains("alerts.jsonl, line 2") == true)
    }
}
