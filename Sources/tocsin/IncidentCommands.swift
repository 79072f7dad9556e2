import ArgumentParser
import GRPCCore
import TocsinKit
import TocsinProgram
import TocsinProto
import TocsinServices
import TocsinWire

struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List incidents that are open.", aliases: ["ls"])

    @Flag(name: .shortAndLong, help: "Those that are closed, merged or dismissed too.")
    var all = false
    @Option(help: "Only of this service.")
    var service: String?
    @Option(help: "Only this severity and worse.")
    var severity: SeverityArgument?
    @Option(help: "At most this many, 1 to 1000.")
    var limit = 100
    @OptionGroup var options: ClientOptionGroup

    func validate() throws {
        guard (1...1000).contains(limit) else { throw ValidationError("--limit is from 1 to 1000") }
    }

    func run() async throws {
        var request = Tocsin_V1_ListIncidentsRequest()
        request.all = all
        request.service = service ?? ""
        if let severity { request.minimum = Tocsin_V1_Severity(rawValue: Int(severity.value.rawValue)) ?? .unspecified }
        request.limit = UInt32(limit)
        let question = request
        let response = try await HubSession.with(options) {
            try await $0.call(.incidents) { try await $0.incidents.list(question, options: $1) }
        }
        switch options.output.format {
        case .json:
            Terminal.print(json: [
                "incidents": .array(response.incidents.map(\.json)), "total": .unsigned(response.total),
            ])
        case .text:
            if response.incidents.isEmpty {
                Terminal.say(all ? "no incidents" : "no open incidents")
                return
            }
            Terminal.print(Self.table(response.incidents))
            if response.total > UInt64(response.incidents.count) {
                Terminal.say("\(response.incidents.count) of \(response.total); raise --limit to see more")
            }
        }
    }

    private static func table(_ incidents: [Tocsin_V1_Incident]) -> Table {
        var table = Table(columns: [
            .right("NUMBER"), .left("SEVERITY"), .left("PRIO"), .left("STATE"), .right("AGE"), .left("SERVICE"),
            .left("OWNER"), .right("EVENTS"), .flexible("TITLE"),
        ])
        for incident in incidents {
            table.add(
                Table.Cell(shown(incident.number)), Table.Cell(incident.severity.name, incident.severity.style),
                Table.Cell(incident.priority.name), Table.Cell(incident.state.name, incident.state.style),
                Table.Cell(TimeText.age(since: incident.detectedAt)),
                Table.Cell(incident.services.joined(separator: ",")), Table.Cell(incident.assignee),
                Table.Cell("\(incident.events)"), Table.Cell((incident.drill ? "[drill] " : "") + incident.title))
        }
        return table
    }
}

struct ShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show one incident with its alerts and timeline.")

    @Argument(help: "42, #42 or INC-42.")
    var number: IncidentNumber
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        var request = Tocsin_V1_GetIncidentRequest()
        request.number = number.value
        let question = request
        let response = try await HubSession.with(options) {
            try await $0.call(.incidents) { try await $0.incidents.get(question, options: $1) }
        }
        switch options.output.format {
        case .json:
            Terminal.print(json: [
                "incident": response.incident.json, "alerts": .array(response.alerts.map(\.json)),
                "timeline": .array(response.timeline.map(\.json)),
            ])
        case .text: Self.show(response)
        }
    }

    private static func show(_ response: Tocsin_V1_GetIncidentResponse) {
        let incident = response.incident
        let colour = Terminal.hasColour
        Terminal.print(Style.bold.apply(to: "\(shown(incident.number))  \(incident.title.printable)", colour: colour))
        let severity = incident.severity.style.apply(to: incident.severity.name, colour: colour)
        var facts = [("state", incident.state.name), ("severity", "\(severity)  \(incident.priority.name)")]
        facts.append(("service", incident.services.joined(separator: ", ")))
        facts.append(("owner", incident.assignee.isEmpty ? "nobody" : incident.assignee))
        facts.append(
            ("detected", "\(TimeText.local(incident.detectedAt)), \(TimeText.age(since: incident.detectedAt)) ago"))
        let stamps = [
            ("acknowledged", incident.acknowledgedAt), ("mitigated", incident.mitigatedAt),
            ("resolved", incident.resolvedAt), ("closed", incident.closedAt),
        ]
        for (name, time) in stamps where time > 0 {
            let after = time > incident.detectedAt ? time - incident.detectedAt : 0
            facts.append((name, "\(TimeText.local(time)), after \(TimeText.took(milliseconds: after))"))
        }
        if !incident.cause.isEmpty { facts.append(("cause", incident.cause)) }
        if !incident.runbook.isEmpty { facts.append(("runbook", incident.runbook)) }
        if incident.reopened > 0 { facts.append(("reopened", "\(incident.reopened) times")) }
        if incident.drill { facts.append(("drill", "yes")) }
        for (name, value) in facts {
            // The severity carries colour; everything else comes from outside.
            let text = name == "severity" ? value : value.printable
            Terminal.print("  \(name)\(String(repeating: " ", count: 14 - name.count))\(text)")
        }
        Terminal.print("")
        var alerts = Table(columns: [
            .left("ALERT"), .left("SEVERITY"), .left("SERVICE"), .right("EVENTS"), .right("LAST"), .flexible("RULE"),
            .flexible("SUMMARY"),
        ])
        for alert in response.alerts {
            alerts.add(
                Table.Cell(alert.state), Table.Cell(alert.severity.name, alert.severity.style),
                Table.Cell(alert.service),
                Table.Cell("\(alert.events)"), Table.Cell(TimeText.age(since: alert.lastAt)), Table.Cell(alert.rule),
                Table.Cell(alert.summary))
        }
        Terminal.print(alerts)
        Terminal.print("")
        // What happened is read to its end here; the terminal breaks the line.
        var timeline = Table(columns: [.left("TIME"), .left("WHO"), .left("WHAT")])
        for entry in response.timeline { timeline.add(TimeText.local(entry.time), entry.actor, entry.sentence) }
        Terminal.print(timeline)
    }
}

/// A person's action on one incident.
protocol ActionCommand: AsyncParsableCommand {
    var number: IncidentNumber { get }
    var actor: ActorOptions { get }
    var options: ClientOptionGroup { get }
    var action: Tocsin_V1_Action { get }
    /// Note, cause, reason or assignee.
    var text: String { get }
    var waivesPostmortem: Bool { get }
    /// Said before it is done. Not in `validate`, which runs before all arguments are known to be good.
    var remark: String? { get }
}

extension ActionCommand {
    var text: String { "" }
    var waivesPostmortem: Bool { false }
    var remark: String? { nil }

    func run() async throws {
        if let remark { Terminal.say(remark) }
        var request = Tocsin_V1_CommandRequest()
        request.id = MessageID.random().hexadecimal
        request.number = number.value
        request.actor = actor.name
        request.action = action
        request.text = text
        request.waivePostmortem = waivesPostmortem
        let question = request
        let response = try await HubSession.with(options) {
            try await $0.call(.incidents) { try await $0.incidents.apply(question, options: $1) }
        }
        switch options.output.format {
        case .json: Terminal.print(json: ["incident": response.incident.json, "entry": response.entry.json])
        case .text:
            let incident = response.incident
            let whom = action == .assign ? " to \(response.entry.after.printable)" : ""
            Terminal.print(
                "\(shown(incident.number)) \(response.entry.verb)\(whom) by \(response.entry.actor.printable): "
                    + "\(incident.title.printable) (\(incident.state.name))")
        }
    }
}
