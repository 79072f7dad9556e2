import ArgumentParser
import GRPCCore
import Glibc
import TocsinKit
import TocsinProgram
import TocsinProto
import TocsinServices
import TocsinWire

struct PrivacyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "privacy", abstract: "Show or erase what the archive holds about one person.",
        discussion: """
            A person is what a personal field says: a name, an address. Personal are actors, owners, the labels of \
            archiver.personal_labels, and these values where they stand in titles, notes and other texts of their incident.
            """,
        subcommands: [PrivacyExport.self, PrivacyErase.self])
}

struct PrivacyExport: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Show everything the archive holds about one person.",
        discussion: "With --output json one JSON object a line.")
    @Argument(help: "A name, an address, whatever a personal field says.") var subject: String
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        let (request, format) = (Tocsin_V1_ExportPersonalDataRequest.with { $0.subject = subject }, options.output.format)
        let count = try await HubSession.with(options) { session in
            try await session.call(.archive) { session, options in
                try await session.archive.exportPersonalData(request, options: options) { response in
                    var count = 0
                    for try await piece in response.messages {
                        count += 1
                        Self.show(piece, format)
                    }
                    return count
                }
            }
        }
        Terminal.say(count == 0 ? "the archive holds nothing that can be read about this person" : "\(count) pieces")
    }

    private static func show(_ piece: Tocsin_V1_ExportPersonalDataResponse, _ format: OutputFormat) {
        switch format {
        case .json:
            let json: JSON = [
                "place": .string(piece.place), "incident": piece.incident == 0 ? .null : .unsigned(piece.incident),
                "field": .string(piece.field), "value": .string(piece.value), "time": TimeText.json(piece.time),
            ]
            Terminal.print(json.line)
        case .text:
            let incident = piece.incident == 0 ? "-" : shown(piece.incident)
            let time = piece.time == 0 ? "-" : TimeText.local(piece.time)
            Terminal.print("\(time) \(incident) \(piece.place) \(piece.field): \(piece.value.printable)")
        }
    }
}

struct PrivacyErase: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "erase", abstract: "Make everything the archive holds about one person unreadable, for good.",
        discussion: """
            The person's key is destroyed; answered when it is on no disk of the archive. What is left elsewhere, and until \
            when, is printed. The reason stays in the audit trail for ever: do not name the person in it.
            """)
    @Argument(help: "A name, an address, whatever a personal field says.") var subject: String
    @Option(help: "Why, for the audit trail.") var reason: String
    @Flag(name: .shortAndLong, help: "Do not ask whether it is meant.") var yes = false
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        try confirm()
        var request = Tocsin_V1_ErasePersonalDataRequest()
        request.requestID = MessageID.random().hexadecimal
        request.subject = subject
        request.reason = reason
        let (wish, actor) = (request, actor)
        let response = try await HubSession.with(options) { session in
            var question = wish
            question.actor = actor.name(session.provenName)
            let request = question
            return try await session.call(.archive) { try await $0.archive.erasePersonalData(request, options: $1) }
        }
        switch options.output.format {
        case .json:
            Terminal.print(json: [
                "pieces": .unsigned(response.pieces),
                "remainders": .array(
                    response.remainders.map {
                        ["place": .string($0.place), "what": .string($0.what), "until": TimeText.json($0.until)]
                    }),
            ])
        case .text:
            Terminal.print("erased: \(response.pieces) pieces cannot be read any more")
            Terminal.print("\nWhat remains:")
            for remainder in response.remainders {
                let until = remainder.until == 0 ? "until somebody does something" : "until \(TimeText.local(remainder.until))"
                Terminal.print("  \(remainder.place.printable), \(until): \(remainder.what.printable)")
            }
        }
    }

    private func confirm() throws {
        if yes { return }
        guard isatty(STDIN_FILENO) == 1 else {
            throw Failure(.usage, "an erasure cannot be undone; say that it is meant with --yes")
        }
        Terminal.say("erase everything about \(subject.printable)? This cannot be undone. Type yes:")
        guard readLine() == "yes" else { throw Failure(.usage, "nothing was erased") }
    }
}
