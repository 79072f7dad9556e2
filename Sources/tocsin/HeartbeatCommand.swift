import ArgumentParser
import TocsinConfiguration
import TocsinKit
import TocsinPosix
import TocsinProgram
import TocsinProto
import TocsinSystem
import TocsinWire

/// A sign of life, for cron jobs and sensors.
struct HeartbeatCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "heartbeat", abstract: "Say that a job or a sensor is alive; when it no longer is, an incident opens.",
        discussion: """
            Returns when the heartbeat is on the hub's disk. With a command after `--` it runs that: a heartbeat when it succeeds, an \
            incident when it fails; its output goes where it would go, and its exit code is this command's. A detector with a \
            heartbeat check watches.
            """)

    @Argument(help: "Whose: the name of the job.") var name: String
    @Option(help: ArgumentHelp("When the next one comes at the latest: 90s, 5m, 1d.", valueName: "duration"))
    var every: DurationArgument?
    @Option(help: ArgumentHelp("How late it may be. Default: a tenth of that.", valueName: "duration"))
    var grace: DurationArgument?
    @Option(name: .shortAndLong, help: "What it is about. Default: the name.") var service: String?
    @Option(name: [.customShort("S"), .long], help: "How bad its absence is.") var severity: SeverityArgument?
    @Option(help: "What the job has to say, for a person.") var note: String?
    @Flag(help: "The job ran and failed: an incident opens at once.") var failed = false
    @Flag(help: "No more will come: it is not missed any longer.") var ended = false
    @OptionGroup var options: ClientOptionGroup
    @Argument(parsing: .postTerminator, help: ArgumentHelp("A command to run, and its arguments.", valueName: "command"))
    var command: [String] = []

    func validate() throws {
        if name.allSatisfy(\.isWhitespace) || name.utf8.count > 128 {
            throw ValidationError("the name is empty, or has more than 128 bytes")
        }
        if ended && (failed || !command.isEmpty) {
            throw ValidationError("--ended says that there is nothing more to come; it goes with nothing else")
        }
        if failed && !command.isEmpty { throw ValidationError("whether the command fails is seen; leave out --failed") }
    }

    func run() async throws {
        var outcome: Int32 = 0
        var beat = Tocsin_V1_Heartbeat.with {
            $0.name = name
            $0.intervalMs = UInt64(every?.value.wholeMilliseconds ?? 0)
            $0.graceMs = UInt64(grace?.value.wholeMilliseconds ?? 0)
            $0.service = service ?? ""
            $0.severityHint = severity?.value.name ?? ""
            $0.note = String((note ?? "").prefix(1024))
            $0.failed = failed
            $0.ended = ended
        }
        if !command.isEmpty {
            outcome = try await ForegroundCommand.run(command)
            beat.failed = outcome != 0
            if outcome != 0, beat.note.isEmpty { beat.note = "\(command[0]): exit code \(outcome)" }
        }
        beat.observedAt = MachineClock.wall()
        let message = try Message(beat, subject: "heartbeat.\(Subject.token(name))", key: "heartbeat/\(name)")
        try await HubSession.with(options) { session in _ = try await session.client.publish([message]) }
        if every == nil && !failed && !ended && outcome == 0 {
            Terminal.say("without --every it is watched only where a detector's configuration says how often it comes")
        }
        if outcome != 0 { throw ExitCode(outcome) }
    }
}
