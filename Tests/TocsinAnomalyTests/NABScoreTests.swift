import Foundation
import TestSupport
import Testing
import TocsinAnomaly

@testable import tocsin_evaluate

/// The scorer against cases counted by hand, after the benchmark's paper and its published scorer.
@Suite struct NABScoreTests {
    private let standard = NABProfile.standard

    /// 100 points, of which 15 are for learning; a window of ten, 50...59.
    private func series(alerts: [Int: Double]) -> LabelledScores {
        var scores = [Double](repeating: 0, count: 100)
        for (index, score) in alerts { scores[index] = score }
        return LabelledScores(category: "made", scores: scores, windows: [50...59])
    }

    private func sigmoid(_ position: Double) -> Double { 2 / (1 + exp(5 * position)) - 1 }

    @Test("No alert is 0, the first point of the window 100")
    func ends() {
        let silent = NABScorer([series(alerts: [:])], profile: standard).result(threshold: 0.5)
        #expect(silent.raw == -1)
        #expect(silent.normalized(standard) == 0)
        let perfect = NABScorer([series(alerts: [50: 1])], profile: standard).best()
        #expect(perfect.raw == 1)
        #expect(perfect.normalized(standard) == 100)
        #expect(perfect.threshold == 1)
        #expect(perfect.found == 1)
    }

    @Test("Of several alerts in a window the earliest counts, once")
    func earliest() {
        let result = NABScorer([series(alerts: [53: 1, 55: 1, 59: 1])], profile: standard).result(threshold: 0.5)
        // 53 is seven of ten lengths before the end.
        #expect(abs(result.raw - sigmoid(-0.7) / sigmoid(-1)) < 1e-12)
        #expect(result.falseAlerts == 0)
    }

    @Test("A false alert costs 0.11 before any window and far behind one, less just behind it, nothing while learning")
    func falseAlerts() {
        func cost(_ index: Int) -> Double {
            NABScorer([series(alerts: [index: 1])], profile: standard).result(threshold: 0.5).raw + 1
        }
        #expect(cost(14) == 0)
        #expect(abs(cost(15) + 0.11) < 1e-12)
        #expect(abs(cost(49) + 0.11) < 1e-12)
        // Lengths behind a window are of its points less one.
        #expect(abs(cost(60) - 0.11 * sigmoid(1.0 / 9)) < 1e-12)
        #expect(abs(cost(68) - 0.11 * sigmoid(1)) < 1e-12)
        #expect(abs(cost(99) + 0.11) < 1e-12)
    }

    @Test("The best threshold is one for all series, and is above every score where alerts only cost")
    func threshold() {
        let found = series(alerts: [50: 0.8, 20: 0.7])
        let missed = series(alerts: [30: 0.9])
        let best = NABScorer([found, missed], profile: standard).best()
        #expect(best.threshold == 0.8)
        #expect(best.falseAlerts == 1)
        #expect(abs(best.raw - (1 - 0.11 - 1)) < 1e-12)
        let costly = NABScorer([missed], profile: standard).best()
        #expect(costly.threshold > 1)
        #expect(costly.raw == -1)
    }

    @Test("Learning ends after 15 % of the points, and after 750 at the latest")
    func probation() {
        var scores = [Double](repeating: 0, count: 10_000)
        scores[749] = 1
        scores[750] = 1
        let long = LabelledScores(category: "made", scores: scores, windows: [])
        let result = NABScorer([long], profile: standard).result(threshold: 0.5)
        #expect(result.falseAlerts == 1)
        #expect(result.normalized(standard) == nil)
    }

    @Test(
        "Timestamps are read as UTC, with and without a fraction",
        arguments: [
            ("1970-01-01 00:00:00", 0), ("2000-02-29 12:00:00.000000", 951_825_600_000),
            ("2014-04-01T00:05:00Z", 1_396_310_700_000),
            ("2014-04-01", nil), ("2014-13-01 00:00:00", nil), ("1969-12-31 23:59:59", nil), ("", nil),
        ] as [(String, UInt64?)])
    func timestamps(text: String, expected: UInt64?) { #expect(SeriesFile.milliseconds(text) == expected) }

    @Test("Lines of both kinds of ending are read and written as they stand; what is wrong is named with its line")
    func files() throws {
        let file = try SeriesFile(
            name: "a/b.csv", text: "timestamp,value\r\n2014-04-01 00:00:00,1.50\r\n2014-04-01 00:05:00,\r\n\r\n")
        #expect(file.rows.map(\.time) == [1_396_310_400_000, 1_396_310_700_000])
        #expect(file.rows[1].number.isNaN)
        #expect(
            file.text(scores: [0, 0.5])
                == "timestamp,value,anomaly_score\n2014-04-01 00:00:00,1.50,0.0\n2014-04-01 00:05:00,,0.5\n")
        for (text, line) in [("timestamp,value\n2014-04-01 00:00:00,x\n", 2), ("2014-04-01 00:00:00,1\nhere,2\n", 2)] {
            let error = #expect(throws: DataError.self) { () throws -> Void in _ = try SeriesFile(name: "a/b.csv", text: text) }
            #expect(error?.description.hasPrefix("a/b.csv, line \(line):") == true)
        }
    }

    /// Method: the whole command on a folder without labels, then with.
    @Test("Every series has a file of its own, labels or not")
    func command() throws {
        let folder = try TemporaryFolder()
        let data = "\(folder.path)/in"
        let lines = (0..<600).map { "2014-04-0\($0 / 288 + 1) \(clock($0 % 288)),\($0 == 500 ? 90 : $0 % 7)" }
        try FileManager.default.createDirectory(atPath: "\(data)/data/made", withIntermediateDirectories: true)
        try ("timestamp,value\n" + lines.joined(separator: "\n")).write(
            toFile: "\(data)/data/made/one.csv", atomically: false, encoding: .utf8)
        let command = try AnomaliesCommand.parse(["--data", data, "--out", "\(folder.path)/out"])
        #expect(try command.evaluate().labelled.isEmpty)
        let written = try String(contentsOfFile: "\(folder.path)/out/made/one.csv", encoding: .utf8).split(separator: "\n")
        #expect(written.count == 601)
        #expect(zip(written.dropFirst(), lines).allSatisfy { $0.hasPrefix($1 + ",") })

        try FileManager.default.createDirectory(atPath: "\(data)/labels", withIntermediateDirectories: true)
        let windows = #"{"made/one.csv": [["2014-04-02 17:00:00.000000", "2014-04-02 18:00:00.000000"]]}"#
        try windows.write(toFile: "\(data)/labels/combined_windows.json", atomically: false, encoding: .utf8)
        let labelled = try command.evaluate().labelled
        #expect(labelled.map(\.windows) == [[492...504]])
        #expect(NABScorer(labelled, profile: standard).best().found == 1)
    }

    private static let datasets = ProcessInfo.processInfo.environment["TOCSIN_DATASETS"]

    @Test(
        "The benchmark's score is 70 or more",
        .enabled(if: datasets != nil, "TOCSIN_DATASETS, a folder with nab/ in it, is not set"))
    func benchmark() throws {
        let folder = try TemporaryFolder()
        let data = try #require(Self.datasets)
        let command = try AnomaliesCommand.parse(["--data", "\(data)/nab", "--out", folder.path])
        let labelled = try command.evaluate().labelled
        let best = NABScorer(labelled, profile: standard).best()
        let score = try #require(best.normalized(standard))
        print("standard profile: \(score) at \(best.threshold)")
        #expect(score >= 70)
    }
}

/// Five-minute steps as a time of day.
private func clock(_ step: Int) -> String {
    let (hour, minute) = (step / 12, step % 12 * 5)
    return "\(hour < 10 ? "0" : "")\(hour):\(minute < 10 ? "0" : "")\(minute):00"
}
