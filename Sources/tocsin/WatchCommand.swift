import ArgumentParser
import TocsinKit
import TocsinProgram
import TocsinProto

struct WatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch", abstract: "Show every change of every incident as it happens.",
        discussion: "One line a change, with --output json one JSON object a line. Ctrl-C ends it.")

    @Flag(help: "Begin with everything the hub still keeps.") var replay = false
    @Option(help: ArgumentHelp("Begin with what happened in the last while, such as 10m.", valueName: "duration"))
    var since: DurationArgument?
    @OptionGroup var options: ClientOptionGroup

    func validate() throws {
        if replay && since != nil { throw ValidationError("give one of --replay and --since") }
    }

    private var start: TapStart {
        if replay { return .sequence(1) }
        guard let since else { return .live }
        return .time(TimeText.before(since.value))
    }

    func run() async throws {
        let (start, format) = (start, options.output.format)
        try await HubSession.with(options) { session in
            let tap = try await session.client.tap(["incident.>"], from: start)
            Signals.onStop { Task { await tap.close() } }
            let watcher = Task { try await Self.reportAbsence(of: session) }
            defer { watcher.cancel() }
            if start == .live { Terminal.say("watching \(session.endpoint); Ctrl-C ends it") }
            for try await item in tap {
                switch item {
                case .message(let message, _): Self.show(try message.decode(Tocsin_V1_IncidentChange.self), format)
                case .gap(let first, let last, let reason):
                    Terminal.say("missed messages \(first) to \(last): \(reason)")
                }
            }
        }
    }

    private static func show(_ change: Tocsin_V1_IncidentChange, _ format: OutputFormat) {
        switch format {
        case .json: Terminal.print(change.json.line)
        case .text:
            let incident = change.incident
            let severity = incident.severity.style.apply(to: incident.severity.name, colour: Terminal.hasColour)
            let detail = change.entry.text.isEmpty ? "" : ": \(change.entry.text.printable)"
            var line = "\(TimeText.local(change.entry.time)) \(shown(incident.number)) \(change.verb) \(severity) "
            line += "\(incident.priority.name) \(incident.services.joined(separator: ",").printable) "
            line += "\"\(incident.title.printable)\" by \(change.entry.actor.printable)\(detail)"
            Terminal.print(line)
        }
    }

    /// Says so once when the hub goes away, and when it is back.
    private static func reportAbsence(of session: HubSession) async throws {
        var wasThere = true
        while true {
            try await Task.sleep(for: .milliseconds(500))
            let isThere = session.client.isConnected
            if isThere != wasThere {
                Terminal.say(isThere ? "the hub is back" : "the hub at \(session.endpoint) is away; waiting for it")
            }
            wasThere = isThere
        }
    }
}
