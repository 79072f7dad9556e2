import ArgumentParser
import GRPCCore
import TocsinDomain
import TocsinProgram
import TocsinProto
import TocsinServices

struct AcknowledgeCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "ack", abstract: "Acknowledge an incident: you own it now.", aliases: ["acknowledge"])
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_AcknowledgeIncidentRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_AcknowledgeIncidentResponse {
        try await incidents.acknowledgeIncident(request, options: options)
    }
}

struct AssignCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "assign", abstract: "Give an incident to somebody.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Argument(help: "Who owns it from now on.") var person: String
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    func fill(_ request: inout Tocsin_V1_AssignIncidentRequest) { request.assignee = person }

    static func deed(_ answer: Tocsin_V1_AssignIncidentResponse) -> String {
        "assigned to \(answer.entry.after.printable) by \(answer.entry.actor.printable)"
    }

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_AssignIncidentRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_AssignIncidentResponse {
        try await incidents.assignIncident(request, options: options)
    }
}

struct NoteCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "note", abstract: "Write something on the timeline.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Argument(help: "What to write.") var text: String
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    func fill(_ request: inout Tocsin_V1_AnnotateIncidentRequest) { request.note = text }

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_AnnotateIncidentRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_AnnotateIncidentResponse {
        try await incidents.annotateIncident(request, options: options)
    }
}

struct SeverityCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "severity", abstract: "Say how bad an incident is; its priority follows.",
        discussion: "Further events of the same severity do not change it; worse ones do.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Argument(help: "critical, major, minor, info, or another usual name.") var severity: SeverityArgument
    @Option(help: "Why.") var reason: String?
    @Option(help: "P1 to P5, where it is not to follow from the severity; needs a reason.") var priority: PriorityArgument?
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    func fill(_ request: inout Tocsin_V1_ChangeIncidentSeverityRequest) {
        request.severity = Tocsin_V1_Severity(rawValue: Int(severity.value.rawValue)) ?? .unspecified
        request.priority = priority.flatMap { Tocsin_V1_Priority(rawValue: Int($0.value.rawValue)) } ?? .unspecified
        request.reason = reason ?? ""
    }

    static func deed(_ answer: Tocsin_V1_ChangeIncidentSeverityResponse) -> String {
        "\(answer.incident.severity.name) \(answer.incident.priority.name) by \(answer.entry.actor.printable)"
    }

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_ChangeIncidentSeverityRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_ChangeIncidentSeverityResponse {
        try await incidents.changeIncidentSeverity(request, options: options)
    }
}

struct InvestigateCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "investigate", abstract: "Say that diagnosis is under way.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_InvestigateIncidentRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_InvestigateIncidentResponse {
        try await incidents.investigateIncident(request, options: options)
    }
}

struct MitigateCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "mitigate", abstract: "Say that the harm has stopped, though the fix may be temporary.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_MitigateIncidentRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_MitigateIncidentResponse {
        try await incidents.mitigateIncident(request, options: options)
    }
}

struct ResolveCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "resolve", abstract: "Say that normal service is restored and verified.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Option(help: "What caused it.") var cause = "unknown"
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    var remark: String? {
        cause == "unknown" ? "the cause is given as \"unknown\"; say it with --cause if you know it" : nil
    }

    func validate() throws {
        guard cause.allSatisfy(\.isWhitespace) else { return }
        throw ValidationError("The cause is blank; say what it was, or leave --cause out where it is not known.")
    }

    func fill(_ request: inout Tocsin_V1_ResolveIncidentRequest) { request.cause = cause }

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_ResolveIncidentRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_ResolveIncidentResponse {
        try await incidents.resolveIncident(request, options: options)
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

    func fill(_ request: inout Tocsin_V1_CloseIncidentRequest) {
        request.waivePostmortem = waivePostmortem != nil
        request.reason = waivePostmortem ?? ""
    }

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_CloseIncidentRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_CloseIncidentResponse {
        try await incidents.closeIncident(request, options: options)
    }
}

struct DismissCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "dismiss", abstract: "Say that it is no incident: false, duplicate or harmless.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Argument(help: "Why.") var reason: String
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    func fill(_ request: inout Tocsin_V1_DismissIncidentRequest) { request.reason = reason }

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_DismissIncidentRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_DismissIncidentResponse {
        try await incidents.dismissIncident(request, options: options)
    }
}

struct ReleaseCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "release", abstract: "Give an acknowledgement back: the incident waits for somebody.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Option(help: "Why.") var reason: String?
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    func fill(_ request: inout Tocsin_V1_ReleaseIncidentRequest) { request.reason = reason ?? "" }

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_ReleaseIncidentRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_ReleaseIncidentResponse {
        try await incidents.releaseIncident(request, options: options)
    }
}

struct ReopenCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "reopen", abstract: "Take up again what was resolved, mitigated, merged or dismissed.",
        discussion: "A merged incident gets back the alerts it brought, unless they were split off since.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Argument(help: "Why.") var reason: String
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    static func deed(_ answer: Tocsin_V1_ReopenIncidentResponse) -> String {
        let deed = "\(answer.entry.verb) by \(answer.entry.actor.printable)"
        // Not all that was merged away need have come back.
        let total = answer.incident.alertsTotal
        return answer.entry.verb == "restored" ? "\(deed) with \(total) alert\(total == 1 ? "" : "s")" : deed
    }

    func fill(_ request: inout Tocsin_V1_ReopenIncidentRequest) { request.reason = reason }

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_ReopenIncidentRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_ReopenIncidentResponse {
        try await incidents.reopenIncident(request, options: options)
    }
}

struct MergeCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "merge", abstract: "Make an incident part of another, which has its alerts from then on.",
        discussion: "`tocsin reopen` undoes it.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Argument(help: "The incident that takes its alerts; open.") var into: IncidentNumber
    @Option(help: "Why.") var reason: String
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    func fill(_ request: inout Tocsin_V1_MergeIncidentRequest) {
        request.into = into.value
        request.reason = reason
    }

    static func deed(_ answer: Tocsin_V1_MergeIncidentResponse) -> String {
        "merged into \(shown(answer.into.number)) by \(answer.entry.actor.printable)"
    }

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_MergeIncidentRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_MergeIncidentResponse {
        try await incidents.mergeIncident(request, options: options)
    }
}

struct SplitCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "split", abstract: "Make a new incident of some of an incident's alerts.",
        discussion: "`tocsin show` tells the fingerprints; as much of each is enough as tells it apart.")
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Argument(help: "The alerts that go.") var fingerprints: [String]
    @Option(help: "Of the new incident. Default: the summary of its worst alert.") var title: String?
    @Option(help: "Why.") var reason: String?
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    func fill(_ request: inout Tocsin_V1_SplitIncidentRequest) {
        request.fingerprints = fingerprints
        request.title = title ?? ""
        request.reason = reason ?? ""
    }

    /// Beginnings of fingerprints become whole ones; what begins none is for the archive to refuse.
    static func complete(
        _ request: Tocsin_V1_SplitIncidentRequest, _ session: HubSession
    ) async throws -> Tocsin_V1_SplitIncidentRequest {
        let found = try await session.call(.incidents) {
            try await $0.incidents.getIncident(.with { $0.number = request.number }, options: $1)
        }
        var request = request
        request.fingerprints = try request.fingerprints.map { beginning in
            let matches = found.alerts.map(\.fingerprint).filter { $0.hasPrefix(beginning) }
            guard matches.count < 2 || matches.contains(beginning) else {
                throw Failure(.usage, "\(beginning.printable) begins \(matches.count) fingerprints; give more of it")
            }
            return matches.count == 1 ? matches[0] : beginning
        }
        return request
    }

    static func deed(_ answer: Tocsin_V1_SplitIncidentResponse) -> String {
        let created = answer.created
        return
            "split by \(answer.entry.actor.printable), \(shown(created.number)) \(created.state.name) \(created.severity.name) "
            + "\(created.priority.name) is \"\(created.title.printable)\""
    }

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_SplitIncidentRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_SplitIncidentResponse {
        try await incidents.splitIncident(request, options: options)
    }
}

struct MarkCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "mark", abstract: "Say how far an incident may be passed on: the Traffic Light Protocol.",
        discussion: """
            red: to those who were told and nobody else; amber-strict: within the organisation, as it needs it; amber: to its \
            clients too; green: within the community; clear: to everybody. It is shown, and left to people to heed: who may \
            see an incident at all, `tocsin restrict` says.
            """)
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Argument(help: "red, amber-strict, amber, green or clear.") var light: TrafficLightArgument
    @Option(help: "Why.") var reason: String?
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    func fill(_ request: inout Tocsin_V1_MarkIncidentRequest) {
        request.trafficLight = Tocsin_V1_TrafficLight(rawValue: Int(light.value.rawValue)) ?? .unspecified
        request.reason = reason ?? ""
    }

    static func deed(_ answer: Tocsin_V1_MarkIncidentResponse) -> String {
        "marked \(answer.entry.after.printable) by \(answer.entry.actor.printable)"
    }

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_MarkIncidentRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_MarkIncidentResponse {
        try await incidents.markIncident(request, options: options)
    }
}

struct RestrictCommand: ActionCommand {
    static let configuration = CommandConfiguration(
        commandName: "restrict", abstract: "Say who may see an incident; for everybody else it does not exist.",
        discussion: """
            People are the names of their keys, and you have to be one of them. What was told of the incident before stays \
            told. On a hub without keys, and over the hub's own socket, nobody is told from others: there everybody sees \
            everything.
            """)
    @Argument(help: "42, #42 or INC-42.") var number: IncidentNumber
    @Argument(help: "Who may see it, by the names of their keys.") var people: [String] = []
    @Flag(help: "Whoever may see incidents may see it again.") var lift = false
    @Option(help: "Why.") var reason: String?
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    func validate() throws {
        guard people.isEmpty == lift else {
            throw ValidationError("Give the people who may see it, or --lift for everybody.")
        }
    }

    func fill(_ request: inout Tocsin_V1_RestrictIncidentRequest) {
        request.people = people
        request.reason = reason ?? ""
    }

    static func deed(_ answer: Tocsin_V1_RestrictIncidentResponse) -> String {
        let who = answer.incident.needToKnow
        let what = who.isEmpty ? "open to whoever may see incidents" : "seen by \(who.joined(separator: ", ").printable) only"
        return "\(what), says \(answer.entry.actor.printable)"
    }

    static func call(
        _ incidents: IncidentClient, _ request: Tocsin_V1_RestrictIncidentRequest, _ options: CallOptions
    ) async throws -> Tocsin_V1_RestrictIncidentResponse {
        try await incidents.restrictIncident(request, options: options)
    }
}
