import Foundation
import Synchronization
import TestSupport
import Testing
import TocsinPolicy

@testable import TocsinIndicators

/// Sets from files, and files that change.
@Suite struct IndicatorFilesTests {
    @Test("of folders, all files are read; the version depends on their content")
    func folders() throws {
        let folder = try TemporaryFolder()
        try folder.write("a.txt", "192.0.2.7\n")
        try folder.write("b.list", "evil.example\n")
        try folder.write("README.md", "not a list\n")
        let settings = IndicatorPolicy(files: [folder.path])
        let first = IndicatorLoad(settings)
        #expect(first.problems == [])
        #expect(first.reports.map(\.path) == ["\(folder.path)/a.txt", "\(folder.path)/b.list"])
        #expect(first.set.counts == [.ipv4: 1, .domain: 1])
        #expect(first.set.version.utf8.count == 16)
        #expect(IndicatorLoad(settings).set.version == first.set.version)
        try folder.write("b.list", "other.example\n")
        #expect(IndicatorLoad(settings).set.version != first.set.version)
    }

    @Test("a file that is not there or cannot be used is told, and the others are used")
    func problems() throws {
        let folder = try TemporaryFolder()
        let good = try folder.write("a.txt", "192.0.2.7\n")
        let bad = try folder.write("b.json", "{")
        let load = IndicatorLoad(IndicatorPolicy(files: [good, bad, "\(folder.path)/c.txt"]))
        #expect(load.set.count == 1)
        #expect(
            load.problems.map(\.description) == [
                "\(bad):1:2: no JSON: expected the name of a member in quotes", "\(folder.path)/c.txt is not there",
            ])
    }

    @Test("of an indicator's versions the latest counts, in whatever file; a revocation is a version")
    func versions() throws {
        func bundle(_ modified: String, _ domain: String, _ more: String = "") -> String {
            """
            {"type": "bundle", "objects": [{"type": "indicator", "id": "indicator--1", "created": "2026-01-01T00:00:00Z",
            "modified": "\(modified)", "pattern": "[domain-name:value = '\(domain)']"\(more)}]}
            """
        }
        let folder = try TemporaryFolder()
        try folder.write("1.json", bundle("2026-03-01T00:00:00Z", "new.example"))
        try folder.write("2.json", bundle("2026-02-01T00:00:00Z", "old.example"))
        let settings = IndicatorPolicy(files: [folder.path])
        #expect(found("new.example old.example", in: IndicatorLoad(settings).set) == ["indicator--1=new.example"])
        try folder.write("3.json", bundle("2026-04-01T00:00:00Z", "new.example", ", \"revoked\": true"))
        let load = IndicatorLoad(settings)
        #expect(load.set.count == 0)
        #expect(load.reports.map(\.counts) == [[.domain: 0], [.domain: 0], [:]])
    }

    @Test("indicators of little confidence are left out if that is asked for")
    func confidence() throws {
        func indicator(_ id: String, _ confidence: String) -> String {
            "{\"type\": \"indicator\", \"id\": \"\(id)\", \"pattern\": \"[domain-name:value = '\(id).example']\"\(confidence)}"
        }
        let folder = try TemporaryFolder()
        let file = try folder.write(
            "a.json",
            """
            {"objects": [\(indicator("low", ", \"confidence\": 20")), \(indicator("high", ", \"confidence\": 80")),
            \(indicator("none", ""))]}
            """
        )
        let load = IndicatorLoad(IndicatorPolicy(files: [file], minimumConfidence: 50))
        #expect(found("low.example high.example none.example", in: load.set) == ["high=high.example", "none=none.example"])
        #expect(load.reports.first?.skipped.map(\.reason) == ["confidence below 50"])
    }

    @Test("a set follows its files; what cannot be used does not take the place of what is in force")
    func follows() async throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("a.json", "{\"objects\": []}")
        let news = Mutex<[String]>([])
        let files = try await IndicatorFiles.open(IndicatorPolicy(files: [file], reload: .milliseconds(5))) { what in
            news.withLock {
                switch what {
                case .loaded(let load): $0.append("loaded \(load.set.count)")
                case .refused(let problems): $0.append("refused \(problems.count)")
                }
            }
        }
        #expect(files.current.set.count == 0)
        let one =
            "{\"objects\": [{\"type\": \"indicator\", \"id\": \"i\", \"pattern\": \"[domain-name:value = 'evil.example']\"}]}"
        try folder.write("a.json", one)
        #expect(await eventually { files.current.set.count == 1 })
        let version = files.current.set.version
        try folder.write("a.json", "{\"objects\": [")
        #expect(await eventually { news.withLock { $0.last == "refused 1" } })
        #expect(files.current.set.version == version)
        try FileManager.default.removeItem(atPath: file)
        #expect(await eventually { news.withLock { $0.suffix(2) == ["refused 1", "refused 1"] } })
        // The same again is no news, unless it is asked for.
        try folder.write("a.json", one)
        files.reload()
        #expect(await eventually { news.withLock { $0.last == "loaded 1" } })
        #expect(files.current.set.version == version)
    }

    private static let datasets = ProcessInfo.processInfo.environment["TOCSIN_DATASETS"]

    @Test(
        "published bundles and warninglists are read",
        .enabled(if: datasets != nil, "TOCSIN_DATASETS, a folder with stix/ and misp-warninglists/ in it, is not set"))
    func published() throws {
        let datasets = try #require(Self.datasets)
        let load = IndicatorLoad(
            IndicatorPolicy(files: ["\(datasets)/stix/examples"], falsePositives: ["\(datasets)/misp-warninglists"]))
        #expect(load.problems == [])
        #expect(load.set.count > 0)
        let lists = load.reports.filter { $0.format == .warninglist }
        #expect(!lists.isEmpty)
        // Of the lists no more than one value in a hundred is not understood.
        let values = lists.reduce(0) { $0 + $1.falsePositives }
        #expect(lists.flatMap(\.skipped).reduce(0) { $0 + $1.count } * 100 < values)
        for report in load.reports { print(report) }
    }
}
