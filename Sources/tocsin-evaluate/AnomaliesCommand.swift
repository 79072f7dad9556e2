import ArgumentParser
import FoundationEssentials
import Glibc
import TocsinAnomaly

/// Scores every series of a folder laid out as the Numenta Anomaly Benchmark's.
struct AnomaliesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "anomalies", abstract: "Writes an anomaly score for every point of every series of a folder.",
        discussion: """
            The folder is laid out as the Numenta Anomaly Benchmark's: data/<category>/<series>.csv with the columns timestamp and \
            value. With labels/combined_windows.json the benchmark's score is printed too, for each profile of labels/profiles.json. \
            The detector has one setting, and sees neither labels nor any point before its turn.
            """)

    @Option(help: "The folder with data/ and, if there are labels, labels/.") var data: String
    @Option(help: "Where <category>/<series>.csv are written, with the columns timestamp, value and anomaly_score.")
    var out: String

    struct Evaluation {
        var seriesCount = 0
        var pointCount = 0
        /// Of the processor, for all points.
        var nanoseconds = 0
        /// The series that the labels name.
        var labelled: [LabelledScores] = []
    }

    func run() throws {
        // First, while the process has no memory to use again.
        let bytes = try Self.bytesOfOneSeries()
        let evaluation = try evaluate()
        print(
            "\(evaluation.seriesCount) series, \(evaluation.pointCount) points:",
            "\(evaluation.nanoseconds / max(1, evaluation.pointCount)) ns a point, \(bytes) bytes a series")
        guard !evaluation.labelled.isEmpty else { return print("no labels: no score") }
        let unlabelled = evaluation.seriesCount - evaluation.labelled.count
        if unlabelled > 0 { print("\(unlabelled) series without labels are not in the score") }
        for profile in try readProfiles() { report(evaluation.labelled, profile) }
    }

    /// Scores all series and writes their files.
    func evaluate() throws -> Evaluation {
        let files = try readSeries()
        var evaluation = Evaluation()
        var scoresOfFiles: [[Double]] = []
        for file in files {
            var scores: [Double] = []
            scores.reserveCapacity(file.rows.count)
            let start = clock()
            var detector = AnomalyDetector()
            for row in file.rows { scores.append(detector.observe(row.number, at: row.time).score) }
            evaluation.nanoseconds += (clock() - start) * (1_000_000_000 / CLOCKS_PER_SEC)
            evaluation.seriesCount += 1
            evaluation.pointCount += file.rows.count
            try write(file.text(scores: scores), to: "\(out)/\(file.name)")
            scoresOfFiles.append(scores)
        }
        let windows = try readWindows(of: files)
        for (file, scores) in zip(files, scoresOfFiles) {
            guard let windows = windows[file.name] else { continue }
            let category = file.name.split(separator: "/").first.map(String.init) ?? ""
            evaluation.labelled.append(LabelledScores(category: category, scores: scores, windows: windows))
        }
        return evaluation
    }

    private func report(_ series: [LabelledScores], _ profile: NABProfile) {
        let best = NABScorer(series, profile: profile).best()
        print(line(profile.name, best, profile), "at threshold \(decimal(best.threshold, 3))")
        guard profile.name == NABProfile.standard.name else { return }
        var others = best
        others.raw = 0
        let categories = Set(series.map(\.category)).sorted()
        for category in categories {
            let own = NABScorer(series.filter { $0.category == category }, profile: profile)
            print("  " + line(category, own.result(threshold: best.threshold), profile))
            let elsewhere = NABScorer(series.filter { $0.category != category }, profile: profile).best()
            others.raw += own.result(threshold: elsewhere.threshold).raw
        }
        if categories.count > 1, let score = others.normalized(profile) {
            print("  with each category at the best threshold of the others: \(decimal(score, 2))")
        }
    }

    private func line(_ name: String, _ result: NABResult, _ profile: NABProfile) -> String {
        let score = result.normalized(profile).map { decimal($0, 2) } ?? "no windows"
        return "\(name): \(score), \(result.found) of \(result.windows) windows, \(result.falseAlerts) false alerts"
    }

    // -- files ------------------------------------------------------------------------------------------------------

    private func readSeries() throws -> [SeriesFile] {
        let folder = "\(data)/data"
        guard FileManager.default.fileExists(atPath: folder) else {
            throw DataError("there is no \(folder); expected \(folder)/<category>/<series>.csv")
        }
        let names: [String]
        do {
            names = try FileManager.default.subpathsOfDirectory(atPath: folder).filter { $0.hasSuffix(".csv") }.sorted()
        } catch {
            throw DataError("\(folder) cannot be read: \(error)")
        }
        guard !names.isEmpty else { throw DataError("\(folder) has no .csv file; expected \(folder)/<category>/<series>.csv") }
        return try names.map { try SeriesFile(name: $0, text: read("\(folder)/\($0)")) }
    }

    /// The labelled windows of each series; a series that the labels do not name has none. Empty without labels.
    private func readWindows(of files: [SeriesFile]) throws -> [String: [ClosedRange<Int>]] {
        let path = "\(data)/labels/combined_windows.json"
        guard FileManager.default.fileExists(atPath: path) else { return [:] }
        let labels = try decode([String: [[String]]].self, from: path)
        var windows: [String: [ClosedRange<Int>]] = [:]
        for file in files {
            guard let limits = labels[file.name] else { continue }
            windows[file.name] = try limits.map { limits in
                guard limits.count == 2, let start = SeriesFile.milliseconds(limits[0]),
                    let end = SeriesFile.milliseconds(limits[1]), let window = file.window(from: start, to: end)
                else { throw DataError("\(path), \(file.name): \(limits) is no window of that series") }
                return window
            }
        }
        return windows
    }

    private func readProfiles() throws -> [NABProfile] {
        struct Profile: Decodable {
            struct Costs: Decodable {
                var tpWeight: Double
                var fnWeight: Double
                var fpWeight: Double
            }
            var costs: Costs

            enum CodingKeys: String, CodingKey { case costs = "CostMatrix" }
        }
        let path = "\(data)/labels/profiles.json"
        guard FileManager.default.fileExists(atPath: path) else { return [.standard] }
        let profiles = try decode([String: Profile].self, from: path).map { name, profile in
            NABProfile(
                name: name, truePositive: profile.costs.tpWeight, falseNegative: profile.costs.fnWeight,
                falsePositive: profile.costs.fpWeight)
        }
        return profiles.sorted { $0.name < $1.name }
    }

    private func decode<T: Decodable>(_ type: T.Type, from path: String) throws -> T {
        do {
            return try JSONDecoder().decode(type, from: Data(read(path).utf8))
        } catch let error as DecodingError {
            throw DataError("\(path) is not as expected: \(error)")
        }
    }

    private func read(_ path: String) throws -> String {
        do {
            return try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw DataError("\(path) cannot be read: \(error)")
        }
    }

    private func write(_ text: String, to path: String) throws {
        let folder = path.prefix(upTo: path.lastIndex(of: "/") ?? path.startIndex)
        do {
            try FileManager.default.createDirectory(atPath: String(folder), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: URL(filePath: path))
        } catch {
            throw DataError("\(path) cannot be written: \(error)")
        }
    }

    // -- figures ----------------------------------------------------------------------------------------------------

    /// What the process grows by for a detector that has seen more points than it remembers.
    private static func bytesOfOneSeries() throws -> Int {
        let count = 1000
        var detectors: [AnomalyDetector] = []
        detectors.reserveCapacity(count)
        let before = try residentBytes()
        for index in 0..<count {
            var detector = AnomalyDetector()
            for point in 0..<1000 {
                _ = detector.observe(Double((point * 7919 + index) % 1000), at: UInt64(point) * 300_000)
            }
            detectors.append(detector)
        }
        let after = try residentBytes()
        return withExtendedLifetime(detectors) { (after - before) / count }
    }

    private static func residentBytes() throws -> Int {
        let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
        guard fields.count > 1, let pages = Int(fields[1]) else { throw DataError("/proc/self/statm is not as expected") }
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }
}

private func decimal(_ value: Double, _ digits: Int) -> String {
    let scale = pow(10, Double(digits))
    let parts = String((abs(value) * scale).rounded() / scale).split(separator: ".")
    let fraction = parts.count > 1 ? String(parts[1]) : ""
    return (value < 0 ? "-" : "") + parts[0] + "." + fraction + String(repeating: "0", count: max(0, digits - fraction.count))
}
