import ArgumentParser
import TocsinProgram
import TocsinProto

struct AcknowledgeCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "ack", abstract: "Acknowledge an incident: you own it now.", aliases: ["acknowledge"])
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup
    var action: Tocsin_V1_Action { .acknowledge }
}

struct AssignCommand: ActionCommand {
    static let configuration = CommandConfiguration(commandName: "assign", abstract: "Give an incident to somebody.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Argument(help: "Who owns it from now on.") var person: String
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup
    var action: Tocsin_V1_Action { .assign }
    var text: String { person }
}

struct NoteCommand: ActionCommand {
    static let configuration = CommandConfiguration(commandName: "note", abstract: "Write something on the timeline.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Argument(help: "What to write.") var text: String
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup
    var action: Tocsin_V1_Action { .note }
}

struct InvestigateCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "investigate", abstract: "Say that diagnosis is under way.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup
    var action: Tocsin_V1_Action { .investigate }
}

struct MitigateCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "mitigate", abstract: "Say that the harm has stopped, though the fix may be temporary.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup
    var action: Tocsin_V1_Action { .mitigate }
}

struct ResolveCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "resolve", abstract: "Say that normal service is restored and verified.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Option(help: "What caused it.") var cause = "unknown"
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup
    var action: Tocsin_V1_Action { .resolve }
    var text: String { cause }
    var remark: String? {
        cause == "unknown" ? "the cause is given as \"unknown\"; say it with --cause if you know it" : nil
    }
}

struct CloseCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "close", abstract: "Close a resolved incident: nothing is left to do.",
        discussion: "An incident of priority P1 or P2 needs a postmortem, or a reason to do without.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Option(help: ArgumentHelp("Close without a postmortem, for this reason.", valueName: "reason"))
    var waivePostmortem: String?
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup
    var action: Tocsin_V1_Action { .close }
    var text: String { waivePostmortem ?? "" }
    var waivesPostmortem: Bool { waivePostmortem != nil }
}

struct DismissCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "dismiss", abstract: "Say that it is no incident: false, duplicate or harmless.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Argument(help: "Why.") var reason: String
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup
    var action: Tocsin_V1_Action { .dismiss }
    var text: String { reason }
}

struct ReopenCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "reopen", abstract: "Take up again what was resolved, mitigated or dismissed.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Argument(help: "Why.") var reason: String
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup
    var action: Tocsin_V1_Action { .reopen }
    var text: String { reason }
}
