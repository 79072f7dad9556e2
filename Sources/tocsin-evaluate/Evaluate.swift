import ArgumentParser

/// The tool behind `tools/evaluate`: runs detectors, and what is learnt from texts, over recorded data and writes what they say.
@main struct Evaluate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tocsin-evaluate", abstract: "Runs Tocsin's detectors and what it learns over recorded data.",
        subcommands: [
            AnomaliesCommand.self, LogsCommand.self, DuplicatesCommand.self, RunbooksCommand.self, SeverityCommand.self,
            AssignmentCommand.self, PriorityCommand.self,
        ])
}
