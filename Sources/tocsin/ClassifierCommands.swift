import ArgumentParser
import TocsinDomain
import TocsinPolicy
import TocsinPosix
import TocsinProgram
import TocsinProto
import TocsinServices
import TocsinText

struct ClassifierCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "classifier", abstract: "Learn from confirmed incidents how bad what is reported will turn out to be.",
        discussion: """
            What is learnt is a file. Triage asks it if policy.classifier.model names it, for events of which neither a rule nor \
            their source says the severity.
            """,
        subcommands: [ClassifierLearn.self, ClassifierShow.self, ClassifierAsk.self])
}

private enum ModelFile {
    /// - Throws: `Failure` if it is not there or is no model.
    static func read(_ path: String) async throws -> IncidentModel {
        try await Blocking.run {
            do {
                guard let bytes = try WholeFile.read(path, limit: IncidentModel.encodedBytesMax) else {
                    throw Failure(.notFound, "\(path) is not there; make it with `tocsin classifier learn --out \(path)`")
                }
                return try IncidentModel(decoding: bytes)
            } catch let error as FileError {
                throw Failure(.cannotStart, error.description)
            } catch let problem as PolicyProblem {
                throw Failure(.configuration, "\(path): \(problem)")
            }
        }
    }

    static func write(_ model: IncidentModel, to path: String) async throws {
        try await Blocking.run {
            do throws(FileError) { try WholeFile.replace(path, with: model.encoded()) } catch {
                throw Failure(.cannotStart, error.description)
            }
        }
    }
}

struct ClassifierLearn: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "learn", abstract: "Learn from the archive's confirmed incidents, and write the model.",
        discussion: """
            Confirmed is what was resolved or closed, and of which a person resolved it, closed it or set its severity; no drills. \
            Of each the severity it ended with is learnt and, where its alert has one, the label category, from the worst of its \
            alerts, in the order of their numbers. The values of archiver.personal_labels are left out.

            With --from a model goes on where it ended: with incidents that are new, or were not confirmed then.
            """)

    @Option(help: ArgumentHelp("Where the model goes. What is there is replaced.", valueName: "file")) var out: String
    @Option(help: ArgumentHelp("A model to go on with; it may be the same file.", valueName: "file")) var from: String?
    @Option(help: ArgumentHelp("Only what was detected in the last while, such as 90d.", valueName: "duration"))
    var since: DurationArgument?
    @OptionGroup var options: ClientOptionGroup

    private static let pageSize: UInt32 = 1000

    func run() async throws {
        let start = if let from { try await ModelFile.read(from) } else { IncidentModel() }
        let personal = Set(try await options.configuration.load().archiver.personalLabels)
        let (model, learnt) = try await HubSession.with(options) { session in
            var (model, learnt) = (start, 0)
            for incident in try await incidents(session) where model.wants(incident.number) {
                if try await learn(incident, &model, personal, session) {
                    learnt += 1
                } else {
                    model.wait(for: incident.number)
                }
            }
            return (model, learnt)
        }
        try await ModelFile.write(model, to: out)
        switch options.output.format {
        case .json:
            Terminal.print(json: [
                "file": .string(out), "version": .string(model.version), "learnt": .integer(Int64(learnt)),
                "examples": .integer(Int64(model.severity.exampleCount)), "waiting": .integer(Int64(model.waiting.count)),
                "last_incident": .unsigned(model.lastIncident),
            ])
        case .text:
            Terminal.print(
                "\(out): \(learnt) incidents learnt, \(model.severity.exampleCount) in all; \(model.waiting.count) not confirmed")
        }
    }

    /// By number.
    private func incidents(_ session: HubSession) async throws -> [Tocsin_V1_Incident] {
        var incidents: [Tocsin_V1_Incident] = []
        var request = Tocsin_V1_ListIncidentsRequest.with {
            $0.states = IncidentState.allCases.compactMap { Tocsin_V1_IncidentState(rawValue: Int($0.rawValue)) }
            $0.since = since.map { TimeText.before($0.value) } ?? 0
            $0.drills = .exclude
            $0.pageSize = Self.pageSize
        }
        repeat {
            let question = request
            let page = try await session.call(.incidents) { try await $0.incidents.listIncidents(question, options: $1) }
            incidents += page.incidents
            request.pageToken = page.nextPageToken
        } while !request.pageToken.isEmpty
        return incidents.sorted { $0.number < $1.number }
    }

    /// False if it is not confirmed.
    private func learn(
        _ incident: Tocsin_V1_Incident, _ model: inout IncidentModel, _ personal: Set<String>, _ session: HubSession
    ) async throws -> Bool {
        guard incident.state == .resolved || incident.state == .closed else { return false }
        let question = Tocsin_V1_GetIncidentRequest.with { $0.number = incident.number }
        let found = try await session.call(.incidents) { try await $0.incidents.getIncident(question, options: $1) }
        let alerts = found.alerts.filter { $0.incident == incident.number }
        guard Self.isConfirmed(found), let severity = Severity(rawValue: UInt8(clamping: found.incident.severity.rawValue)),
            let alert = alerts.max(by: { $0.severity.rawValue < $1.severity.rawValue })
        else { return false }
        let fields = IncidentModel.fields(
            service: alert.service, source: alert.source, summary: alert.summary,
            labels: alert.labels.filter { !personal.contains($0.key) })
        try model.learn(incident.number, fields, severity: severity, category: alert.labels["category"] ?? "")
        return true
    }

    /// Whether a person said what it was.
    private static func isConfirmed(_ found: Tocsin_V1_GetIncidentResponse) -> Bool {
        found.timeline.contains { entry in
            ["resolved", "closed", "severity-changed"].contains(entry.verb) && !Lifecycle.isAutomatic(entry.actor)
        }
    }
}

struct ClassifierShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show what a model has learnt, and what its confidence was worth.")

    @Argument(help: "A file of `tocsin classifier learn`.") var file: String
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let model = try await ModelFile.read(file)
        let questions = [("severity", model.severity), ("category", model.category)]
        switch output.format {
        case .json:
            Terminal.print(json: [
                "version": .string(model.version), "last_incident": .unsigned(model.lastIncident),
                "waiting": .integer(Int64(model.waiting.count)),
                "questions": .object(questions.map { ($0.0, Self.json($0.1)) }),
            ])
        case .text:
            Terminal.print(
                "model \(model.version), learnt up to \(shown(model.lastIncident)); \(model.waiting.count) are not confirmed")
            for (question, classifier) in questions where classifier.exampleCount > 0 { Self.show(question, classifier) }
        }
    }

    private static func show(_ question: String, _ classifier: TextClassifier) {
        Terminal.print("")
        Terminal.print("\(question): \(classifier.exampleCount) examples")
        var labels = Table(columns: [.left("LABEL"), .right("EXAMPLES KEPT")])
        for (label, count) in zip(classifier.labels, classifier.keptCounts) { labels.add(label, "\(count)") }
        Terminal.print(labels)
        var calibrations = Table(columns: [.left("STATED"), .right("PREDICTIONS"), .right("RIGHT"), .right("CONFIDENCE")])
        for bin in classifier.calibrations {
            calibrations.add(
                "\(percent(bin.stated.lowerBound)) to \(percent(bin.stated.upperBound))", "\(bin.predictions)", "\(bin.right)",
                percent(bin.confidence))
        }
        Terminal.print(calibrations)
    }

    private static func json(_ classifier: TextClassifier) -> JSON {
        [
            "examples": .integer(Int64(classifier.exampleCount)),
            "labels": .object(zip(classifier.labels, classifier.keptCounts).map { ($0, .integer(Int64($1))) }),
            "calibration": .array(
                classifier.calibrations.map {
                    [
                        "stated_from": .number($0.stated.lowerBound), "stated_to": .number($0.stated.upperBound),
                        "predictions": .integer(Int64($0.predictions)), "right": .integer(Int64($0.right)),
                        "confidence": .number($0.confidence),
                    ]
                }),
        ]
    }
}

struct ClassifierAsk: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ask", abstract: "Ask a model about an event, as triage does.")

    @Argument(help: "A file of `tocsin classifier learn`.") var file: String
    @Argument(help: "The event's summary.") var summary: String
    @Option(name: .shortAndLong, help: "What it is about.") var service = ""
    @Option(help: "Who saw it.") var source = ""
    @Option(name: .shortAndLong, help: ArgumentHelp("Of the event; may be given again.", valueName: "name=value"))
    var label: [PairArgument] = []
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let model = try await ModelFile.read(file)
        let fields = IncidentModel.fields(
            service: service, source: source, summary: summary, labels: Dictionary(label.map { ($0.name, $0.value) }) { $1 })
        let answers = [("severity", model.severity), ("category", model.category)].compactMap { question, classifier in
            classifier.predict(fields).map { (question, $0) }
        }
        switch output.format {
        case .json:
            Terminal.print(json: .object([("version", .string(model.version))] + answers.map { ($0.0, Self.json($0.1)) }))
        case .text:
            if answers.isEmpty { return Terminal.say("it has learnt nothing yet") }
            var table = Table(columns: [.left("QUESTION"), .left("ANSWER"), .right("CONFIDENCE"), .flexible("EVIDENCE")])
            for (question, answer) in answers {
                table.add(
                    question, answer.label, percent(answer.confidence), answer.evidence.map(\.text).joined(separator: ", "))
            }
            Terminal.print(table)
        }
    }

    private static func json(_ answer: TextClassifier.Prediction) -> JSON {
        [
            "answer": .string(answer.label), "confidence": .number(answer.confidence),
            "evidence": .array(answer.evidence.map { ["text": .string($0.text), "weight": .number($0.weight)] }),
        ]
    }
}

private func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }
