import ArgumentParser
import Glibc
import TocsinConfiguration
import TocsinProgram

/// The whole command line.
struct Tocsin: AsyncParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "tocsin",
        abstract: "Incident management on its own message broker.",
        discussion: """
            Try it: `tocsin up` in one terminal, and in another `tocsin report "Checkout is down" --service checkout \
            --severity critical`, `tocsin list`, `tocsin watch`.

            Data goes to standard output, talk to standard error. `tocsin exit-codes` lists the exit codes.
            """,
        version: version,
        groupedSubcommands: [
            CommandGroup(
                name: "Incidents:",
                subcommands: [
                    ReportCommand.self, HeartbeatCommand.self, ListCommand.self, ShowCommand.self, WhyCommand.self,
                    AlertsCommand.self, SilenceCommand.self, AcknowledgeCommand.self,
                    AssignCommand.self,
                    NoteCommand.self, SeverityCommand.self, InvestigateCommand.self, MitigateCommand.self, ResolveCommand.self,
                    CloseCommand.self, DismissCommand.self, ReleaseCommand.self, ReopenCommand.self, MergeCommand.self,
                    SplitCommand.self, MarkCommand.self, RestrictCommand.self, SimilarCommand.self, ChangeCommand.self,
                    WatchCommand.self,
                ]),
            CommandGroup(
                name: "The system:",
                subcommands: [
                    InitCommand.self, KeysCommand.self, StatusCommand.self, DeadLettersCommand.self, JournalCommand.self,
                    ArchiveCommand.self, PrivacyCommand.self, PolicyCommand.self, ConfigCommand.self, ClassifierCommand.self,
                    IndicatorsCommand.self, ExitCodesCommand.self,
                ]),
            CommandGroup(
                name: "Processes:",
                subcommands: [
                    UpCommand.self, HubCommand.self, DetectorCommand.self, TriageCommand.self, ResponderCommand.self,
                    ArchiverCommand.self,
                ]),
        ])
}
