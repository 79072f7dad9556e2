import ArgumentParser
import TocsinAnomaly

/// Scores every series of a folder laid out as the Numenta Anomaly Benchmark's.
struct AnomaliesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "anomalies", abstract: "Anomaly scores of every point of every series of a folder.")

    @Option(help: "The folder: data/<category>/<series>.csv, and labels/ if the result is to be rated.") var data: String
    @Option(help: "Where <category>/<series>.csv with the scores are written.") var out: String

    func run() throws {
        var detector = AnomalyDetector()
        print(detector.observe(0, at: 0).score)
    }
}
