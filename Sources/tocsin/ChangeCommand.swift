import ArgumentParser
import TocsinKit
import TocsinPosix
import TocsinProgram
import TocsinProto
import TocsinWire

import enum TocsinIntake.EventID
import enum TocsinIntake.Timestamp

struct ChangeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "change", abstract: "What was changed: what breaks is often what was changed last.",
        subcommands: [RecordChangeCommand.self, ListChangesCommand.self])
}

struct RecordChangeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "record", abstract: "Write down a change to a service: a deployment, a setting, a switch.",
        discussion: """
            Returns when it is on the hub's disk. `tocsin show` lists, with an incident, what was changed shortly before of its \
            services and of what they depend on.
            """)

    @Argument(help: "One line for a person, such as \"deploy build 512\".") var summary: String
    @Option(name: .shortAndLong, help: "What was changed.") var service: String
    @Option(help: ArgumentHelp("When, such as 2026-11-28T09:00:00Z. Default: now.", valueName: "time")) var at: TimeArgument?
    @Option(help: "What kind of change it is: deploy, config, flag, migration ...") var kind = ""
    @Option(help: "Where more is said about it.") var url = ""
    @Option(
        help: "Tells it from others: one with the id of one before is the same, so that it can be said again. Default: a new one."
    )
    var id: String?
    @Option(
        help: ArgumentHelp("Who changed it. Default: the name of your key; without one, the login name.", valueName: "person"))
    var by: String?
    @OptionGroup var options: ClientOptionGroup

    func validate() throws {
        for (name, text) in [("summary", summary), ("service", service), ("id", id ?? "-")] where text.allSatisfy(\.isWhitespace)
        {
            throw ValidationError("the \(name) is empty")
        }
        let bounds = [
            ("summary", summary, 512), ("service", service, 128), ("kind", kind, 128), ("url", url, 2048), ("id", id ?? "", 128),
            ("by", by ?? "", 128),
        ]
        for (name, text, limit) in bounds where text.utf8.count > limit {
            throw ValidationError("\(name) has \(text.utf8.count) bytes; at most \(limit) are possible")
        }
    }

    func run() async throws {
        try await HubSession.with(options) { session in
            let change = Tocsin_V1_ChangeRecord.with {
                $0.id = id ?? MessageID.random().hexadecimal
                $0.summary = summary
                $0.service = service
                $0.kind = kind
                $0.author = ActorOptions.name(by, proven: session.provenName)
                $0.changedAt = at?.milliseconds ?? MachineClock.wall()
                $0.url = url
            }
            let message = try Message(
                change, id: Array(EventID.of(["change", change.id]).utf8), subject: "change.\(Subject.token(service))",
                key: service)
            _ = try await session.client.publish([message])
        }
    }
}

struct ListChangesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List what was changed, the latest first.", aliases: ["ls"])

    @Option(name: .shortAndLong, help: "Of this service only; may be given again.") var service: [String] = []
    @Option(help: ArgumentHelp("How far back.", valueName: "duration")) var since = DurationArgument(.seconds(86_400))
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        let question = Tocsin_V1_ListChangesRequest.with {
            $0.services = service
            $0.since = TimeText.before(since.value)
        }
        let changes = try await HubSession.with(options) {
            try await $0.call(.incidents) { try await $0.incidents.listChanges(question, options: $1) }
        }.changes
        switch options.output.format {
        case .json: Terminal.print(json: ["changes": .array(changes.map(\.json))])
        case .text:
            if changes.isEmpty { return Terminal.say("nothing was changed, or nobody wrote it down: `tocsin change record`") }
            var table = Table(columns: [.left("WHEN"), .left("SERVICE"), .left("KIND"), .left("BY"), .flexible("CHANGE")])
            for change in changes {
                table.add(TimeText.local(change.changedAt), change.service, change.kind, change.author, change.summary)
            }
            Terminal.print(table)
        }
    }
}

/// A point in time as RFC 3339 writes it, with a zone.
struct TimeArgument: ExpressibleByArgument, Sendable {
    /// Since 1970.
    let milliseconds: UInt64

    init?(argument: String) {
        guard let time = Timestamp.parse(argument), time > 0 else { return nil }
        milliseconds = time
    }
}

extension Tocsin_V1_ChangeRecord {
    var json: JSON {
        [
            "id": .string(id), "summary": .string(summary), "service": .string(service), "kind": .string(kind),
            "author": .string(author), "changed_at": TimeText.json(changedAt), "url": .string(url),
        ]
    }
}
