import ArgumentParser
import Glibc
import TocsinCore
import TocsinEngine
import TocsinJournal
import TocsinPosix
import TocsinProgram
import TocsinProto
import TocsinWire

struct JournalCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "journal", abstract: "Look into the hub's journal, prove it whole, and mend it.",
        discussion: "For a journal whose hub is stopped: each takes the lock of its folder.",
        subcommands: [JournalVerify.self, JournalInspect.self, JournalRepairCommand.self])
}

struct JournalVerify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Read the whole journal and name all damage.",
        discussion: """
            Every file is read and everything is checked that a hub checks when it starts, beyond the first damage too. \
            Changes nothing. Ends with 0 if the journal is intact, 65 if it is damaged.
            """)

    @OptionGroup var configuration: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let format = output.format
        try await JournalFolder.with(configuration) { folder in
            let examination = try folder.examine()
            switch format {
            case .json: Terminal.print(json: examination.json(folder.directory))
            case .text: for line in examination.lines { Terminal.print(line.printable) }
            }
            guard examination.isSound else { throw folder.damaged(examination) }
        }
    }
}

struct JournalRepairCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repair", abstract: "Make a damaged journal one that a hub starts with, and say what is lost.",
        discussion: """
            Says first which batches and messages are lost and what that means; only with --yes anything is changed. \
            Everything that is intact is kept, also after the damage. Each file that is changed is kept as it was beside it, \
            under its name with .damaged- and a number. A backup of the files is better, if there is one.
            """)

    @Flag(help: "Do it. Without this, only say what would be lost.") var yes = false
    @OptionGroup var configuration: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let (format, yes) = (output.format, yes)
        try await JournalFolder.with(configuration) { folder in
            let examination = try folder.examine()
            let prepared = try folder.attempt { try PreparedRepair(examination, folder.disk) }
            if examination.isSound {
                if format == .json { Terminal.print(json: examination.json(folder.directory)) }
                Terminal.say("the journal in \(folder.directory) is intact; there is nothing to repair")
                return
            }
            let explanation = prepared.explanation
            if format == .text { for line in explanation { Terminal.print(line.printable) } }
            var kept: [String] = []
            if yes {
                kept = try folder.attempt { try prepared.repair.perform(on: folder.disk, time: MachineClock.wall()) }
                guard try folder.examine().isSound else {
                    throw Failure(
                        .internalError, "the repair did not make the journal whole; the old files are beside the new ones")
                }
            }
            if format == .json {
                Terminal.print(
                    json: [
                        "directory": .string(folder.directory), "repaired": .bool(yes),
                        "damages": .array(examination.survey.damages.map(\.json)),
                        "explanation": .strings(explanation), "kept": .strings(kept),
                    ])
            }
            guard yes else {
                let files = prepared.repair.files.joined(separator: ", ")
                throw Failure(
                    .damaged, "nothing was changed; with --yes \(files) would be, each kept as it was beside the new one")
            }
            Terminal.say(
                "the journal is sound again, and a hub starts with it; what was there before is in \(kept.joined(separator: ", "))"
            )
        }
    }
}

struct JournalInspect: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Show the journal's segments, messages and control records, damaged or not.",
        discussion: """
            Without a choice, the segments. With --sequence, one message and all that is recorded of it; with --from and \
            --to, messages and records in the order they were written. Changes nothing.
            """)

    @Option(help: "One message, and every record about it.") var sequence: UInt64?
    @Option(help: "From this sequence on.") var from: UInt64?
    @Option(help: "Up to this sequence.") var to: UInt64?
    @Option(help: "At most this many, 1 to 1000000.") var limit = 100
    @Flag(help: "The content of the messages too.") var payload = false
    @OptionGroup var configuration: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...1_000_000).contains(limit) else { throw ValidationError("--limit is from 1 to 1000000") }
        guard sequence == nil || from == nil && to == nil else {
            throw ValidationError("--sequence goes with neither --from nor --to")
        }
        if let from, let to, from > to { throw ValidationError("--from is beyond --to") }
    }

    func run() async throws {
        let format = output.format
        let chosen = JournalListing.Choice(
            sequences: sequence.map { $0...$0 } ?? (from ?? 0)...(to ?? .max), isOne: sequence != nil, limit: limit,
            payload: payload)
        let isListing = sequence != nil || from != nil || to != nil
        try await JournalFolder.with(configuration) { folder in
            guard isListing else {
                let survey = try folder.attempt { try JournalSurvey(folder.disk) }
                switch format {
                case .json: Terminal.print(json: survey.segmentsJSON(folder.directory))
                case .text: survey.printSegments()
                }
                return
            }
            var listing = JournalListing(chosen)
            do {
                _ = try folder.attempt { try JournalSurvey(folder.disk) { try listing.take($0) } }
            } catch is JournalListing.Enough {
                Terminal.say("there is more; see --limit and --from")
            }
            if listing.rows.isEmpty { throw Failure(.notFound, "nothing of that is in the journal") }
            switch format {
            case .json: Terminal.print(json: .array(listing.rows.map(\.json)))
            case .text: listing.print()
            }
        }
    }
}

/// The journal's folder, locked.
struct JournalFolder {
    let directory: String
    let disk: PosixDisk

    /// Runs `body` on a thread of its own while the folder is locked.
    static func with(_ options: ConfigurationOptions, _ body: @escaping @Sendable (JournalFolder) throws -> Void) async throws {
        let directory = try await options.load().hub.directory
        try await Blocking.run {
            try body(try JournalFolder(at: directory))
        }
    }

    /// Locks the folder. Blocking.
    init(at directory: String) throws {
        let nothing = Failure(.notFound, "there is no journal in \(directory); say where with --data or --config")
        var status = stat()
        // Looking must not make a folder.
        guard stat(directory, &status) == 0 else { throw nothing }
        self.directory = directory
        disk = try Self.open(directory)
        guard try attempt({ try disk.list() }).contains(where: JournalSurvey.isOfJournal) else { throw nothing }
    }

    private static func open(_ directory: String) throws -> PosixDisk {
        do { return try PosixDisk(directory: directory) } catch {
            guard error.code == .other(errno: EWOULDBLOCK) else { throw Failure(.cannotStart, error.description) }
            throw Failure(.cannotStart, "the journal in \(directory) is in use by a hub that runs; stop it first")
        }
    }

    func examine() throws -> JournalExamination { try attempt { try JournalExamination(disk) } }

    /// Gives errors of the journal the exit code that belongs to them.
    func attempt<Value>(_ body: () throws -> Value) throws -> Value {
        do { return try body() } catch let error as JournalError {
            throw Failure(error.code == .disk ? .cannotStart : .damaged, "\(directory): \(error.description)")
        } catch let error as DiskError {
            throw Failure(.cannotStart, error.description)
        }
    }

    func damaged(_ examination: JournalExamination) -> Failure {
        let count = examination.survey.damages.count
        guard count > 0 else {
            return Failure(.damaged, "the journal in \(directory) holds what this version cannot read; nothing is damaged")
        }
        return Failure(
            .damaged,
            "the journal in \(directory) is damaged in \(count == 1 ? "one place" : "\(count) places"); "
                + "`tocsin journal repair` says what would be lost without it")
    }
}
