import ArgumentParser
import GRPCCore
import TocsinDomain
import TocsinKit
import TocsinProgram
import TocsinProto
import TocsinServices
import TocsinWire

struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List incidents that are open or resolved.",
        discussion: "What has to be acted on comes first, then the worst, then the latest.", aliases: ["ls"])

    @Flag(name: .shortAndLong, help: "Those that are closed, merged or dismissed too.")
    var all = false
    @Option(help: "Only in this state; may be given again.") var state: [StateArgument] = []
    @Option(help: "Only of this service; may be given again.") var service: [String] = []
    @Option(help: "Only this severity and worse.") var severity: SeverityArgument?
    @Option(help: ArgumentHelp("Only what this person owns.", valueName: "person")) var owner: String?
    @Flag(help: "Only what nobody owns.") var unowned = false
    @Option(help: "Only with this text in the title.") var text: String?
    @Option(help: ArgumentHelp("Only what was detected in the last while, such as 2h.", valueName: "duration"))
    var since: DurationArgument?
    @Option(help: ArgumentHelp("Only what was detected longer ago.", valueName: "duration")) var until: DurationArgument?
    @Flag(help: "Only drills, or none.") var drills: DrillChoice?
    @Option(help: "At most this many, 1 to 1000.") var limit = 100
    @Option(help: ArgumentHelp("Go on where a list ended: the token it gave.", valueName: "token")) var page: String?
    @OptionGroup var options: ClientOptionGroup

    func validate() throws {
        guard (1...1000).contains(limit) else { throw ValidationError("--limit is from 1 to 1000") }
        if all && !state.isEmpty { throw ValidationError("give one of --all and --state") }
        if owner != nil && unowned { throw ValidationError("give one of --owner and --unowned") }
    }

    private func request() -> Tocsin_V1_ListIncidentsRequest {
        .with {
            let states = all ? IncidentState.allCases : state.map(\.value)
            $0.states = states.compactMap { Tocsin_V1_IncidentState(rawValue: Int($0.rawValue)) }
            $0.services = service
            if let severity {
                $0.minimumSeverity = Tocsin_V1_Severity(rawValue: Int(severity.value.rawValue)) ?? .unspecified
            }
            $0.assignee = owner ?? ""
            $0.unassigned = unowned
            $0.titleContains = text ?? ""
            $0.since = since.map { TimeText.before($0.value) } ?? 0
            $0.until = until.map { TimeText.before($0.value) } ?? 0
            $0.drills = drills?.filter ?? .unspecified
            $0.pageSize = UInt32(limit)
            $0.pageToken = page ?? ""
        }
    }

    func run() async throws {
        let question = request()
        let response = try await HubSession.with(options) {
            try await $0.call(.incidents) { try await $0.incidents.listIncidents(question, options: $1) }
        }
        switch options.output.format {
        case .json:
            Terminal.print(json: [
                "incidents": .array(response.incidents.map(\.json)), "total": .unsigned(response.total),
                "next_page_token": .text(response.nextPageToken),
            ])
        case .text:
            if response.incidents.isEmpty {
                Terminal.say(all || !state.isEmpty ? "no incidents" : "no open incidents")
                return
            }
            Terminal.print(Self.table(response.incidents))
            if !response.nextPageToken.isEmpty {
                Terminal.say(
                    "\(response.incidents.count) of \(response.total); the next with the same options and "
                        + "--page \(response.nextPageToken)")
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
                Table.Cell("\(incident.events)"), Table.Cell(incident.marks + incident.title))
        }
        return table
    }
}

struct ShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show one incident with its alerts and timeline, and similar ones of the past.")

    @Argument(help: "42, #42 or INC-42.")
    var number: IncidentNumber
    @OptionGroup var options: ClientOptionGroup

    /// Incidents of the past that are less alike are not shown.
    private static let alikeMin = 0.3

    func run() async throws {
        let question = Tocsin_V1_GetIncidentRequest.with { $0.number = number.value }
        let similarTo = Tocsin_V1_FindSimilarIncidentsRequest.with {
            $0.number = number.value
            $0.limit = 3
        }
        let (response, found) = try await HubSession.with(options) {
            try await $0.call(.incidents) {
                (
                    try await $0.incidents.getIncident(question, options: $1),
                    try await $0.incidents.findSimilarIncidents(similarTo, options: $1)
                )
            }
        }
        let similar = found.incidents.filter { $0.score >= Self.alikeMin }
        switch options.output.format {
        case .json:
            Terminal.print(json: [
                "incident": response.incident.json, "alerts": .array(response.alerts.map(\.json)),
                "timeline": .array(response.timeline.map(\.json)), "changes": .array(response.changes.map(\.json)),
                "similar": .array(similar.map(\.json)),
            ])
        case .text:
            Self.show(response)
            if !similar.isEmpty {
                Terminal.print("")
                Terminal.print(SimilarCommand.table(similar))
            }
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
        if incident.mergedInto > 0 { facts.append(("merged into", shown(incident.mergedInto))) }
        if incident.splitFrom > 0 { facts.append(("split from", shown(incident.splitFrom))) }
        if incident.drill { facts.append(("drill", "yes")) }
        if let light = incident.trafficLight.domain { facts.append(("may be told", light.label)) }
        if !incident.needToKnow.isEmpty { facts.append(("seen by", incident.needToKnow.joined(separator: ", "))) }
        for (name, value) in facts {
            // The severity carries colour; everything else comes from outside.
            let text = name == "severity" ? value : value.printable
            Terminal.print("  \(name)\(String(repeating: " ", count: 14 - name.count))\(text)")
        }
        Terminal.print("")
        // What `tocsin split` needs, where there is something to split.
        let length = response.alerts.count > 1 ? FingerprintText.length(response.alerts.map(\.fingerprint)) : 0
        var alerts = Table(
            columns: (length > 0 ? [.left("FINGERPRINT")] : []) + [
                .left("ALERT"), .left("SEVERITY"), .left("SERVICE"), .right("EVENTS"), .right("LAST"), .flexible("RULE"),
                .flexible("SUMMARY"),
            ])
        for alert in response.alerts {
            let belongs = alert.incident == incident.number ? "" : ", now of \(shown(alert.incident))"
            alerts.add(
                (length > 0 ? [Table.Cell(String(alert.fingerprint.prefix(length)))] : []) + [
                    Table.Cell(alert.state + belongs), Table.Cell(alert.severity.name, alert.severity.style),
                    Table.Cell(alert.service), Table.Cell("\(alert.events)"),
                    Table.Cell(TimeText.age(since: alert.lastAt)), Table.Cell(alert.rule), Table.Cell(alert.summary),
                ])
        }
        // What was merged has none.
        if !response.alerts.isEmpty {
            Terminal.print(alerts)
            Terminal.print("")
        }
        if !response.changes.isEmpty {
            var changes = Table(columns: [.left("CHANGED"), .left("SERVICE"), .left("BY"), .flexible("WHAT")])
            for change in response.changes {
                let before = incident.detectedAt > change.changedAt ? incident.detectedAt - change.changedAt : 0
                changes.add(
                    "\(TimeText.span(milliseconds: before)) before", change.service, change.author,
                    change.kind.isEmpty ? change.summary : "\(change.kind): \(change.summary)")
            }
            Terminal.print(changes)
            Terminal.print("")
        }
        // What happened is read to its end here; the terminal breaks the line.
        var timeline = Table(columns: [.left("TIME"), .left("WHO"), .left("WHAT")])
        for entry in response.timeline { timeline.add(TimeText.local(entry.time), entry.actor, entry.sentence) }
        Terminal.print(timeline)
    }
}

extension Tocsin_V1_Incident {
    /// What has to be known before a word of it is passed on, in front of the title.
    fileprivate var marks: String {
        let marks = [drill ? "drill" : "", trafficLight.domain?.label ?? "", needToKnow.isEmpty ? "" : "need to know"]
        return marks.filter { !$0.isEmpty }.map { "[\($0)] " }.joined()
    }
}

/// Fingerprints as people read and type them.
enum FingerprintText {
    /// How many characters, 8 at least, tell these apart.
    static func length(_ fingerprints: [String]) -> Int {
        let longest = fingerprints.map(\.count).max() ?? 0
        var length = min(8, longest)
        while length < longest, Set(fingerprints.map { $0.prefix(length) }).count < fingerprints.count { length += 1 }
        return length
    }
}
