import ArgumentParser
import GRPCCore
import TocsinConfiguration
import TocsinKit
import TocsinPosix
import TocsinProgram
import TocsinProto
import TocsinServices
import TocsinWire

struct ReportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report", abstract: "Report that something is wrong, or that it is over.",
        discussion: """
            Returns when the report is on the hub's disk and, unless --no-wait, says which incident it became. On a terminal it asks \
            for what is left out.
            """)

    @Argument(help: "One line for a person.") var summary: String?
    @Option(name: .shortAndLong, help: "What it is about.") var service: String?
    @Option(
        name: [.customShort("S"), .long], help: "How bad it is: critical, major, minor, info, or another usual name.")
    var severity: SeverityArgument?
    @Option(help: "What tells this condition apart from others of the service; a --resolve with the same key ends it.")
    var key: String?
    @Option(help: "Who saw it. Default: cli:<person>.") var source: String?
    @Option(name: .shortAndLong, help: ArgumentHelp("Identity; may be given again.", valueName: "name=value"))
    var label: [PairArgument] = []
    @Option(name: .shortAndLong, help: ArgumentHelp("Evidence; may be given again.", valueName: "name=value"))
    var detail: [PairArgument] = []
    @Flag(help: "The condition is over.") var resolve = false
    @Flag(help: "An exercise: it is handled, and not counted.") var drill = false
    @Flag(inversion: .prefixedNo, help: "Wait for the incident's number.") var wait = true
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    func validate() throws {
        if !Terminal.isInteractive {
            if summary == nil { throw ValidationError("the summary is missing; say in one line what is wrong") }
            if service == nil { throw ValidationError("the service is missing; say with --service what it is about") }
        }
        try summary.map(Self.check(summary:))
        try service.map(Self.check(service:))
    }

    private static func check(summary: String) throws {
        if summary.allSatisfy(\.isWhitespace) {
            throw ValidationError("the summary is empty; say in one line what is wrong")
        }
    }

    private static func check(service: String) throws {
        if service.allSatisfy(\.isWhitespace) { throw ValidationError("the service is empty; say what it is about") }
        guard service.utf8.count <= Limits.keyBytes else {
            throw ValidationError(
                "the service has \(service.utf8.count) bytes; at most \(Limits.keyBytes) are possible")
        }
    }

    /// What a person is asked for, where it was left out.
    private mutating func ask() throws {
        let isAsked = summary == nil || service == nil
        if summary == nil { summary = try Terminal.ask("What is wrong, in one line?") }
        if service == nil { service = try Terminal.ask("What is it about? (the service)") }
        try Self.check(summary: summary ?? "")
        try Self.check(service: service ?? "")
        guard isAsked, severity == nil, !resolve else { return }
        let words = SeverityArgument.allValueStrings.joined(separator: ", ")
        let answer = try Terminal.ask("How bad is it: \(words)? (major)")
        guard !answer.isEmpty else { return }
        guard let value = SeverityArgument(argument: answer) else {
            throw ValidationError("\"\(answer)\" is no severity; one of \(words)")
        }
        severity = value
    }

    mutating func run() async throws {
        try ask()
        let report = self
        try await report.send(summary: summary ?? "", service: service ?? "")
    }

    private func send(summary: String, service: String) async throws {
        let (outcome, event) = try await HubSession.with(options) { session in
            let reporter = actor.name(session.provenName)
            let event = makeEvent(by: reporter, summary: summary, service: service)
            let message = try Message(
                event, id: Array(event.id.utf8), subject: "event.cli.\(Subject.token(reporter))",
                severity: severity.flatMap { WireSeverity(rawValue: $0.value.rawValue) } ?? .major, key: service)
            let follow = wait ? try await ReportFollower.ifAllowed(session: session, event: event) : nil
            try await publish(message, session)
            return (try await follow?.outcome() ?? .stored, event)
        }
        show(outcome, event: event)
    }

    private func makeEvent(by reporter: String, summary: String, service: String) -> Tocsin_V1_Event {
        var event = Tocsin_V1_Event()
        event.id = MessageID.random().hexadecimal
        event.kind = resolve ? .resolve : .trigger
        event.source = source ?? "cli:\(reporter)"
        event.service = service
        event.summary = summary
        event.severityHint = severity?.value.name ?? ""
        event.dedupKey = key ?? ""
        event.observedAt = MachineClock.wall()
        event.labels = Dictionary(label.map { ($0.name, $0.value) }) { $1 }
        event.details = Dictionary(detail.map { ($0.name, $0.value) }) { $1 }
        event.details["reported_by"] = event.details["reported_by"] ?? reporter
        event.drill = drill
        return event
    }

    private func publish(_ message: Message, _ session: HubSession) async throws {
        do {
            try await session.client.publish([message])
        } catch ClientError.timedOut {
            throw Failure(
                .timedOut,
                "the hub at \(session.endpoint) did not say within \(DurationText.format(session.timeout)) that the report "
                    + "is safe; report it again")
        }
    }

    private func show(_ outcome: ReportOutcome, event: Tocsin_V1_Event) {
        switch options.output.format {
        case .json:
            var pairs: [(String, JSON)] = [("event_id", .string(event.id)), ("stored", .bool(true))]
            pairs.append(("outcome", .string(outcome.name)))
            if case .incident(let incident) = outcome {
                pairs.append(("incident", .unsigned(incident.number)))
                pairs.append(("state", .string(incident.state.name)))
                pairs.append(("severity", .string(incident.severity.name)))
            } else {
                pairs.append(("incident", .null))
            }
            Terminal.print(json: .object(pairs))
        case .text:
            switch outcome {
            case .stored: Terminal.print("reported as event \(event.id)")
            case .pending:
                Terminal.print("reported as event \(event.id)")
                Terminal.say(
                    "the report is safe, but it has no incident yet; `tocsin status` shows whether triage and archiver work"
                )
            case .noIncident:
                Terminal.print("reported as event \(event.id)")
                Terminal.say("there was no open alert that it could end")
            case .recorded:
                Terminal.print("reported as event \(event.id), recorded")
                Terminal.say("it is no incident: below the severity that opens one (archiver.incident_severity)")
            case .suppressed(let rule):
                Terminal.print("reported as event \(event.id), suppressed")
                Terminal.say("triage recorded it and troubles nobody: \(rule.printable)")
            case .incident(let incident):
                Terminal.print(
                    "\(shown(incident.number)) \(incident.state.name) \(incident.severity.name) \(incident.priority.name): "
                        + incident.title.printable)
            }
        }
    }
}

/// What became of a report.
enum ReportOutcome: Sendable {
    /// It is safe; nobody asked further.
    case stored
    /// It is safe; no more was known in time.
    case pending
    /// It said that something is over which had not begun.
    case noIncident
    /// An alert, and not bad enough for an incident.
    case recorded
    case suppressed(rule: String)
    case incident(Tocsin_V1_Incident)

    var name: String {
        switch self {
        case .stored: "stored"
        case .pending: "pending"
        case .noIncident: "no_incident"
        case .recorded: "recorded"
        case .suppressed: "suppressed"
        case .incident: "incident"
        }
    }
}

/// Follows one event: sees in a tap which alert triage made of it, then asks the archive what became of it.
struct ReportFollower {
    private let session: HubSession
    private let eventID: String
    private let tap: Tap
    private let deadline: ContinuousClock.Instant

    /// To be made before the event is published, so that nothing is missed.
    init(session: HubSession, event: Tocsin_V1_Event) async throws {
        self.session = session
        eventID = event.id
        deadline = .now + session.timeout
        tap = try await session.client.tap(["alert.>"])
    }

    /// Nil for a key that may report and not see: a sensor's.
    static func ifAllowed(session: HubSession, event: Tocsin_V1_Event) async throws -> ReportFollower? {
        do {
            return try await ReportFollower(session: session, event: event)
        } catch ClientError.refused(.notAllowed, _, _) {
            return nil
        }
    }

    func outcome() async throws -> ReportOutcome {
        guard let update = try await alertUpdate() else { return .pending }
        var request = Tocsin_V1_TraceEventRequest()
        request.eventID = eventID
        request.fingerprint = update.fingerprint
        while ContinuousClock.now < deadline {
            do {
                let trace = try await session.call(.incidents) { try await $0.incidents.traceEvent(request, options: $1) }
                switch trace.fate {
                case .suppressed: return .suppressed(rule: update.rule)
                case .handled where trace.hasIncident: return .incident(trace.incident)
                case .handled: return update.kind == .resolve ? .noIncident : .recorded
                // The archive does not have it yet.
                case .unspecified, .UNRECOGNIZED: break
                }
            } catch let failure as Failure where failure.code == .unavailable || failure.code == .timedOut {
                return .pending
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        return .pending
    }

    /// The update that carries the event; nil if it does not come in time.
    private func alertUpdate() async throws -> Tocsin_V1_AlertUpdate? {
        let timer = Task {
            // Cancelled as soon as the update is there; the tap is closed either way.
            try? await Task.sleep(until: deadline, clock: .continuous)
            await tap.close()
        }
        defer { timer.cancel() }
        for try await item in tap {
            guard case .message(let message, _) = item else { continue }
            let update = try message.decode(Tocsin_V1_AlertUpdate.self)
            if update.events.contains(where: { $0.id == eventID }) { return update }
        }
        return nil
    }
}
