import ArgumentParser
import TocsinProgram
import TocsinProto
import TocsinServices

struct SimilarCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "similar", abstract: "Show incidents of the past that are like one, or like a text.",
        discussion: """
            Of those that are resolved or closed with a stated cause: what it was, what helped, and the words that both have. \
            Alike is from 0 to 1, and 1 for the same text; from 0.3 on it is worth a look.
            """)

    @Argument(help: ArgumentHelp("42, #42 or INC-42, or words that tell what happens.", valueName: "incident or text"))
    var what: [String]
    @Option(help: "At most this many, 1 to 50.") var limit = 10
    @OptionGroup var options: ClientOptionGroup

    func validate() throws {
        guard (1...50).contains(limit) else { throw ValidationError("--limit is from 1 to 50") }
    }

    func run() async throws {
        var request = Tocsin_V1_FindSimilarIncidentsRequest()
        if what.count == 1, let number = IncidentNumber(argument: what[0]) {
            request.number = number.value
        } else {
            request.text = what.joined(separator: " ")
        }
        request.limit = UInt32(limit)
        let question = request
        let response = try await HubSession.with(options) {
            try await $0.call(.incidents) { try await $0.incidents.findSimilarIncidents(question, options: $1) }
        }
        switch options.output.format {
        case .json:
            Terminal.print(json: [
                "incidents": .array(response.incidents.map(\.json)), "runbooks": .array(response.runbooks.map(\.json)),
                "known": .unsigned(UInt64(response.known)),
            ])
        case .text:
            if response.incidents.isEmpty {
                Terminal.say("nothing similar among the \(response.known) incidents whose cause is known")
                return
            }
            Terminal.print(Self.table(response.incidents))
            for runbook in response.runbooks {
                let incidents = runbook.incidents.map { shown($0) }.joined(separator: ", ")
                Terminal.print("runbook \(runbook.runbook.printable) helped in \(incidents)")
            }
        }
    }

    static func table(_ incidents: [Tocsin_V1_SimilarIncident]) -> Table {
        var table = Table(columns: [
            .right("SIMILAR"), .right("ALIKE"), .right("AGO"), .left("SERVICE"), .flexible("TITLE"), .flexible("CAUSE"),
            .flexible("HELPED"), .flexible("SHARED"),
        ])
        for incident in incidents {
            table.add(
                shown(incident.number), incident.alike, TimeText.age(since: incident.resolvedAt),
                incident.services.joined(separator: ","), incident.title, incident.cause, incident.resolution,
                incident.sharedTerms.joined(separator: " "))
        }
        return table
    }
}

extension Tocsin_V1_SimilarIncident {
    /// `0.83`.
    fileprivate var alike: String {
        let hundredths = Int((min(max(score, 0), 1) * 100).rounded())
        return "\(hundredths / 100).\(hundredths % 100 / 10)\(hundredths % 10)"
    }

    var json: JSON {
        [
            "number": .unsigned(number), "title": .string(title), "services": .strings(services), "cause": .string(cause),
            "resolution": .text(resolution), "runbook": .text(runbook), "resolved_at": TimeText.json(resolvedAt),
            "score": .number(score), "shared_terms": .strings(sharedTerms),
        ]
    }
}

extension Tocsin_V1_RunbookSuggestion {
    fileprivate var json: JSON {
        [
            "runbook": .string(runbook), "score": .number(score),
            "incidents": .array(incidents.map { .unsigned($0) }),
        ]
    }
}
