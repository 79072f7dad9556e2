import ArgumentParser
import FoundationEssentials
import Glibc
import TocsinConfiguration
import TocsinKit
import TocsinPolicy
import TocsinPosix
import TocsinProgram
import TocsinProto

import enum TocsinIntake.EventID
import struct TocsinIntake.SilenceTable

struct SilenceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "silence", abstract: "Keep alerts from telling anybody for a while.",
        discussion: "They are recorded all the same; what still fires when the silence ends is told then.",
        subcommands: [SilenceAdd.self, SilenceList.self, SilenceExpire.self])
}

struct SilenceAdd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Silence the alerts that match.",
        discussion: """
            A matcher is one of name=value, name!=value, name=~expression, name!~expression; the names are those of labels, and \
            service, severity, source, alertname and fingerprint. All of them have to match. Says first how many alerts of how \
            many services that are. Few are silenced at once; for more than 10, or of more than 2 services, a terminal is asked, \
            and without one --yes is needed.
            """)

    @Argument(help: "Matchers: service=checkout, 'alertname=~Disk.*'.") var matchers: [String]
    @Option(name: .customLong("for"), help: ArgumentHelp("How long, such as 2h.", valueName: "duration"))
    var duration: DurationArgument
    @Option(help: "Why; at most 2,048 bytes.") var reason: String
    @Flag(help: "Also if it is of many alerts.") var yes = false
    @OptionGroup var actor: ActorOptions
    @OptionGroup var options: ClientOptionGroup

    /// What is done without a question: somebody who is woken has other things to read.
    private static let alertsMax = 10
    private static let servicesMax = 2

    func validate() throws {
        guard !matchers.isEmpty else { throw ValidationError("give at least one matcher, such as service=checkout") }
        guard !reason.allSatisfy(\.isWhitespace), reason.utf8.count <= 2048 else {
            throw ValidationError("--reason is a few words for who wonders why it is so quiet, at most 2048 bytes")
        }
        guard duration.value >= .seconds(1) else { throw ValidationError("--for is at least 1s") }
    }

    func run() async throws {
        let wanted = try MatcherText.read(matchers)
        let (yes, format) = (yes, options.output.format)
        let silence = try await HubSession.with(options) { session in
            let author = actor.name(session.provenName)
            let silence = try Self.silence(wanted, for: duration.value, by: author, reason)
            let request = Tocsin_V1_ListAlertsRequest.with {
                $0.matchers = wanted
                $0.limit = 1000
            }
            let found = try await session.call(.incidents) { try await $0.incidents.listAlerts(request, options: $1) }
            Terminal.say(Self.words(found))
            let isMany = found.total > Self.alertsMax || found.services > Self.servicesMax
            if isMany, !yes { try Self.confirm() }
            try await SilenceMessage.publish(silence, session)
            return silence
        }
        switch format {
        case .json: Terminal.print(json: silence.json)
        case .text: Terminal.print("\(silence.id)  until \(TimeText.local(silence.endsAt))")
        }
    }

    private static func silence(
        _ matchers: [Tocsin_V1_LabelMatcher], for duration: Duration, by author: String, _ reason: String
    ) throws -> Tocsin_V1_Silence {
        let now = MachineClock.wall()
        let silence = Tocsin_V1_Silence.with {
            $0.matchers = matchers
            $0.startsAt = now
            $0.endsAt = now + UInt64(duration.wholeMilliseconds)
            $0.createdBy = author
            $0.comment = reason
        }
        do throws(SilenceTable.Problem) {
            let messages = try SilenceTable().setting(silence, now: now) { UUID().uuidString.lowercased() }
            return messages[messages.count - 1]
        } catch {
            switch error {
            case .invalid(let reason): throw Failure(.usage, reason)
            case .notFound: throw Failure(.notFound, "there is no such silence")
            }
        }
    }

    /// `would mute 3 alerts of 2 services: shop 2, db 1`.
    private static func words(_ found: Tocsin_V1_ListAlertsResponse) -> String {
        if found.total == 0 { return "mutes nothing that fires now; what begins to fire later and matches is muted" }
        let counts = Dictionary(grouping: found.alerts, by: \.service).map { ($0.key, $0.value.count) }
            .sorted { ($1.1, $0.0) < ($0.1, $1.0) }
        let named = counts.prefix(5).map { "\($0.0) \($0.1)" }.joined(separator: ", ") + (counts.count > 5 ? ", …" : "")
        let alerts = found.total == 1 ? "1 alert" : "\(found.total) alerts"
        let services = found.services == 1 ? "1 service" : "\(found.services) services"
        return "would mute \(alerts) of \(services): \(named)".printable
    }

    private static func confirm() throws {
        guard isatty(STDIN_FILENO) == 1 else {
            throw Failure(.refused, "these are many; narrow the matchers, or add --yes. Nothing was changed")
        }
        guard try Terminal.ask("Silence them? [y/N]").lowercased().hasPrefix("y") else {
            throw Failure(.refused, "nothing was changed")
        }
    }
}

struct SilenceList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the silences that are not over, the one that ends first at the front.")

    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        let response = try await HubSession.with(options) { try await $0.silences() }
        switch options.output.format {
        case .json: Terminal.print(json: .array(response.map(\.json)))
        case .text:
            if response.isEmpty { return Terminal.say("no silences") }
            var table = Table(columns: [
                .left("ID"), .left("BEGINS"), .left("ENDS"), .left("BY"), .flexible("MATCHERS"), .flexible("REASON"),
            ])
            for silence in response {
                table.add(
                    silence.id, TimeText.local(silence.startsAt), TimeText.local(silence.endsAt), silence.createdBy,
                    silence.matchers.map(Matcher.words).joined(separator: " "), silence.comment)
            }
            Terminal.print(table)
        }
    }
}

struct SilenceExpire: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "expire", abstract: "End a silence now: what still fires is told.")

    @Argument(help: "Its id, or the first digits of it.") var id: String
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        let id = id
        let ended = try await HubSession.with(options) { session in
            let found = try await session.silences().filter { $0.id.hasPrefix(id) }
            guard let silence = found.first else { throw Failure(.notFound, "there is no silence \"\(id)\" that is not over") }
            guard found.count == 1 else { throw Failure(.usage, "\(found.count) silences begin with \"\(id)\"; give more of it") }
            guard let ended = SilenceTable.ended(silence, now: MachineClock.wall()) else {
                throw Failure(.refused, "silence \(silence.id) is over already")
            }
            try await SilenceMessage.publish(ended, session)
            return ended
        }
        switch options.output.format {
        case .json: Terminal.print(json: ended.json)
        case .text: Terminal.say("silence \(ended.id) is over")
        }
    }
}

private enum SilenceMessage {
    /// Returns when the hub has it on its disk.
    static func publish(_ silence: Tocsin_V1_Silence, _ session: HubSession) async throws {
        let id = EventID.of(["silence", silence.id, "\(silence.updatedAt)", "\(silence.endsAt)", "0"])
        let message = try Message(silence, id: Array(id.utf8), subject: SilenceTable.subject(silence.id))
        _ = try await session.client.publish([message])
    }
}

extension HubSession {
    /// Those that are not over.
    fileprivate func silences() async throws -> [Tocsin_V1_Silence] {
        try await call(.incidents) { try await $0.incidents.listSilences(Tocsin_V1_ListSilencesRequest(), options: $1) }.silences
    }
}

extension Tocsin_V1_Silence {
    fileprivate var json: JSON {
        [
            "id": .string(id), "matchers": .strings(matchers.map(Matcher.words)), "starts_at": TimeText.json(startsAt),
            "ends_at": TimeText.json(endsAt), "created_by": .text(createdBy), "comment": .text(comment),
        ]
    }
}
