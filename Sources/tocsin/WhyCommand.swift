import ArgumentParser
import TocsinProgram
import TocsinProto

struct WhyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "why", abstract: "Why somebody was called or was not: every decision, in order.",
        discussion: """
            `tocsin why 42` explains an incident, alert by alert; `tocsin why 3f9c02d1` an alert, by eight or more digits of its \
            fingerprint; `tocsin why EVENT-ID` one event, from its rule to who was told. Each line is a step: which rule, \
            silence, window or route decided, what it looked at, and what came of it.

            What consists of digits only is taken for an incident's number, unless --alert or --event says otherwise.
            """)

    @Argument(help: "An incident (42, #42), an alert's fingerprint or its beginning, or the id of an event.")
    var subject: String
    @Flag(help: "It is the fingerprint of an alert.")
    var alert = false
    @Flag(help: "It is the id of an event.")
    var event = false
    @OptionGroup var options: ClientOptionGroup

    func validate() throws {
        if alert, event { throw ValidationError("--alert and --event exclude each other") }
        if subject.isEmpty { throw ValidationError("say what is to be explained") }
    }

    func run() async throws {
        let questions = questions
        let response = try await HubSession.with(options) { session in
            for question in questions.dropLast() {
                do {
                    return try await session.call(.incidents) {
                        try await $0.incidents.explainDecisions(question, options: $1)
                    }
                } catch let failure as Failure where failure.code == .notFound {
                    continue
                }
            }
            return try await session.call(.incidents) {
                try await $0.incidents.explainDecisions(questions[questions.count - 1], options: $1)
            }
        }
        switch options.output.format {
        case .json: Terminal.print(json: response.json)
        case .text: Self.show(response)
        }
    }

    /// What it may be, the likeliest first; never empty.
    private var questions: [Tocsin_V1_ExplainDecisionsRequest] {
        let asAlert = Tocsin_V1_ExplainDecisionsRequest.with { $0.fingerprint = subject }
        let asEvent = Tocsin_V1_ExplainDecisionsRequest.with { $0.eventID = subject }
        if alert { return [asAlert] }
        if event { return [asEvent] }
        if let number = IncidentNumber(argument: subject) { return [.with { $0.incident = number.value }] }
        return subject.count >= 8 && subject.allSatisfy(\.isHexDigit) ? [asAlert, asEvent] : [asEvent]
    }

    private static func show(_ response: Tocsin_V1_ExplainDecisionsResponse) {
        let colour = Terminal.hasColour
        if response.hasIncident {
            let incident = response.incident
            let pages =
                incident.routes.isEmpty
                ? "each notification target decides for itself"
                : incident.pages.isEmpty ? "nobody is told" : "told: \(incident.pages.joined(separator: ", "))"
            Terminal.print(
                Style.bold.apply(
                    to: "\(shown(incident.number))  \(incident.severity.name) \(incident.priority.name) \(incident.state.name): "
                        + "\(incident.title.printable)", colour: colour))
            Terminal.print("  \(pages.printable)")
            Terminal.print("")
        }
        for explanation in response.alerts {
            let alert = explanation.alert
            let held = alert.heldBy.isEmpty ? "" : ", held by \(alert.heldBy)"
            let state = alert.state.isEmpty ? "set aside" : "\(alert.state)\(held), \(alert.events) events"
            Terminal.print(
                "alert \(alert.fingerprint.prefix(8))  \("\(alert.service): \(alert.summary)".printable) (\(state.printable))")
            var table = Table(columns: [
                .left("TIME"), .left("BY"), .left("STEP"), .left("RULE"), .left("FROM"), .left("OUTCOME"),
            ])
            for record in explanation.records {
                for (index, decision) in record.decisions.enumerated() {
                    let isFirst = index == 0
                    table.add(
                        isFirst ? TimeText.local(record.time) : "", isFirst ? "\(record.actor), policy \(record.policy)" : "",
                        decision.stage, decision.rule, decision.inputs, decision.outcome)
                }
            }
            Terminal.print(table)
            Terminal.print("")
        }
    }
}

struct AlertsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alerts", abstract: "List the alerts that have not ended, and what holds them.",
        discussion: """
            A matcher is one of name=value, name!=value, name=~expression, name!~expression; the names are those of labels, and \
            service, severity, source, alertname and fingerprint. All of them have to match.
            """)

    @Argument(help: "Matchers: service=checkout, 'severity=~critical|major'.")
    var matchers: [String] = []
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        let request = try Tocsin_V1_ListAlertsRequest.with { $0.matchers = try MatcherText.read(matchers) }
        let response = try await HubSession.with(options) {
            try await $0.call(.incidents) { try await $0.incidents.listAlerts(request, options: $1) }
        }
        switch options.output.format {
        case .json:
            Terminal.print(json: ["alerts": .array(response.alerts.map(\.json)), "total": .unsigned(UInt64(response.total))])
        case .text:
            if response.alerts.isEmpty { return Terminal.say("no alerts") }
            Terminal.print(Self.table(response.alerts))
            if response.alerts.count < response.total { Terminal.say("\(response.alerts.count) of \(response.total)") }
        }
    }

    private static func table(_ alerts: [Tocsin_V1_Alert]) -> Table {
        let length = FingerprintText.length(alerts.map(\.fingerprint))
        var table = Table(columns: [
            .left("FINGERPRINT"), .left("STATE"), .left("SEVERITY"), .left("SERVICE"), .right("EVENTS"), .right("LAST"),
            .right("INCIDENT"), .left("HELD BY"), .flexible("SUMMARY"),
        ])
        for alert in alerts {
            table.add(
                Table.Cell(String(alert.fingerprint.prefix(length))), Table.Cell(alert.state),
                Table.Cell(alert.severity.name, alert.severity.style), Table.Cell(alert.service), Table.Cell("\(alert.events)"),
                Table.Cell(TimeText.age(since: alert.lastAt)), Table.Cell(alert.incident == 0 ? "" : shown(alert.incident)),
                Table.Cell(alert.heldBy), Table.Cell(alert.summary))
        }
        return table
    }
}

extension Tocsin_V1_ExplainDecisionsResponse {
    fileprivate var json: JSON {
        [
            "incident": hasIncident ? incident.json : .null,
            "alerts": .array(
                alerts.map { explanation in
                    [
                        "alert": explanation.alert.json,
                        "records": .array(
                            explanation.records.map { record in
                                [
                                    "time": TimeText.json(record.time), "actor": .string(record.actor),
                                    "policy": .string(record.policy), "event_id": .text(record.eventID),
                                    "incident": record.incident == 0 ? .null : .unsigned(record.incident),
                                    "decisions": .array(
                                        record.decisions.map {
                                            [
                                                "stage": .string($0.stage), "rule": .text($0.rule), "inputs": .text($0.inputs),
                                                "outcome": .string($0.outcome),
                                            ]
                                        }),
                                ]
                            }),
                    ]
                }),
        ]
    }
}
