import ArgumentParser

/// The tool behind `tools/evaluate`: runs detectors over recorded data and writes what they say of it.
@main struct Evaluate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tocsin-evaluate", abstract: "Runs Tocsin's detectors over recorded data.",
        subcommands: [AnomaliesCommand.self, LogsCommand.self])
}
