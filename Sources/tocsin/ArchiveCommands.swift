import ArgumentParser
import Glibc
import TocsinArchive
import TocsinPosix
import TocsinProgram
import TocsinProto
import TocsinServices
import TocsinWire

struct ArchiveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "archive", abstract: "Prove the archive whole, and read its audit trail.",
        discussion: "Every act is a record of the audit trail: a chain of hashes whose end the archiver signs.",
        subcommands: [ArchiveVerify.self, ArchiveCheckpoint.self, ArchiveLog.self])
}

struct ArchiveVerify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Compare the whole archive with its audit trail and name everything that is not as it was.",
        discussion: """
            Reads the database itself, also while an archiver works on it, and changes nothing. Ends with 0 if everything is \
            as Tocsin has written it, 65 if something was changed, dropped or added. An older copy of the whole archive is \
            told from a new one by a checkpoint that was kept elsewhere.
            """)

    @Option(help: ArgumentHelp("The archive. Default: that of the configuration.", valueName: "file")) var database: String?
    @Option(
        help: ArgumentHelp(
            "What `tocsin archive checkpoint` wrote, kept elsewhere; may be given again.", valueName: "file"))
    var checkpoint: [String] = []
    @Option(
        help: ArgumentHelp(
            "The key that has to have signed it: 64 hexadecimal digits, or a file of them. Default: that of the "
                + "archiver's own key, if it can be read.", valueName: "file or digits"))
    var publicKey: String?
    @OptionGroup var configuration: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let settings = try await configuration.load().archiver
        let path = database ?? settings.databasePath
        let keyPath = database.map { AuditKey.defaultPath(database: $0) } ?? settings.auditKeyPath
        let (format, files, given) = (output.format, checkpoint, publicKey)
        try await Blocking.run {
            let key = try given.map { try Self.publicKey($0) } ?? AuditKey.read(keyPath)?.publicKey
            let checkpoints = try files.map { try Self.checkpoint($0) }
            guard access(path, F_OK) == 0 else {
                throw Failure(.notFound, "there is no archive \(path); say where with --database, --data or --config")
            }
            let examination = try ArchiveVerifier.examine(path, publicKey: key, checkpoints: checkpoints)
            switch format {
            case .json: Terminal.print(json: examination.json(path, isKeyKnown: key != nil))
            case .text: examination.print(isKeyKnown: key != nil)
            }
            guard examination.isSound else {
                let count = examination.found == 1 ? "1 thing is" : "\(examination.found) things are"
                throw Failure(.damaged, "the archive \(path) is not as Tocsin has written it: \(count) wrong")
            }
        }
    }

    private static func publicKey(_ text: String) throws -> [UInt8] {
        var digits = text
        if [UInt8](hexadecimal: text)?.count != 32 {
            let content = try read(text, "the public key")
            digits = String(decoding: content.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        }
        guard let key = [UInt8](hexadecimal: digits), key.count == 32 else {
            throw Failure(.usage, "\(text) is neither 64 hexadecimal digits nor a file of them")
        }
        return key
    }

    private static func checkpoint(_ path: String) throws -> AuditCheckpoint {
        do {
            return try AuditCheckpoint(json: read(path, "the checkpoint"))
        } catch let error as ArchiveError {
            throw Failure(.usage, "\(path): \(error.message)")
        }
    }

    private static func read(_ path: String, _ what: String) throws -> [UInt8] {
        do {
            guard let bytes = try WholeFile.read(path, limit: 64 << 10) else {
                throw Failure(.notFound, "\(what) \(path) does not exist")
            }
            return bytes
        } catch let error as FileError {
            throw Failure(.cannotStart, error.description)
        }
    }
}

struct ArchiveCheckpoint: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "checkpoint", abstract: "Have the archiver sign how far the audit trail has come, to be kept elsewhere.",
        discussion: "Writes JSON. `tocsin archive verify --checkpoint FILE` says whether the archive still contains it.")

    @Option(help: ArgumentHelp("Write it to this file. Default: standard output.", valueName: "file")) var out: String?
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        let response = try await HubSession.with(options) {
            try await $0.call(.archive) { try await $0.archive.getCheckpoint(.init(), options: $1) }
        }
        let json = AuditCheckpoint(response.checkpoint).json
        guard let out else { return Terminal.print(json: json) }
        try await Blocking.run {
            do { try WholeFile.replace(out, with: Array("\(json.pretty)\n".utf8)) } catch {
                throw Failure(.cannotStart, "the checkpoint was not written: \(error)")
            }
        }
    }
}

struct ArchiveLog: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log", abstract: "Show the records of the audit trail: who did what, when, from what to what.",
        discussion: "Reads the database itself. What it shows is not verified: `tocsin archive verify` does that.")

    @Option(help: "Only of this incident.") var incident: IncidentNumber?
    @Option(help: "From this record on. Default: the last ones.") var from: UInt64?
    @Option(help: "At most this many, 1 to 100000.") var limit = 100
    @Flag(help: "Rows that changed in consequence of an act too.") var all = false
    @Option(help: ArgumentHelp("The archive. Default: that of the configuration.", valueName: "file")) var database: String?
    @OptionGroup var configuration: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...100_000).contains(limit) else { throw ValidationError("--limit is from 1 to 100000") }
    }

    func run() async throws {
        let settings = try await configuration.load().archiver
        let path = database ?? settings.databasePath
        let keyFile = database.map { MasterKeySource.beside($0) } ?? settings.masterKeyFile
        let (format, limit) = (output.format, limit)
        let choice = AuditLog.Choice(incident: incident?.value, from: from, limit: limit, actsOnly: !all)
        try await Blocking.run {
            guard access(path, F_OK) == 0 else {
                throw Failure(.notFound, "there is no archive \(path); say where with --database, --data or --config")
            }
            // Without the key the records are shown, and names are not.
            let key = keyFile.flatMap { access($0, R_OK) == 0 ? $0 : nil }
            let records = try AuditLog.read(path, choice, masterKey: key)
            switch format {
            case .json: Terminal.print(json: .array(records.map(\.json)))
            case .text:
                if records.isEmpty { return Terminal.say("no such records") }
                var table = Table(columns: [
                    .right("RECORD"), .left("TIME"), .left("ACTOR"), .left("VIA"), .right("INCIDENT"), .left("ACT"),
                    .flexible("ROW"),
                ])
                for record in records {
                    table.add(
                        "\(record.sequence)", TimeText.local(UInt64(clamping: record.time)), record.actor, record.caller,
                        record.incident == 0 ? "" : "\(record.incident)", record.sentence,
                        record.table.isEmpty ? "" : "\(record.table) \(record.key)")
                }
                Terminal.print(table)
            }
        }
    }
}

extension ArchiveExamination {
    fileprivate func json(_ path: String, isKeyKnown: Bool) -> JSON {
        [
            "database": .string(path), "sound": .bool(isSound), "records": .unsigned(records), "rows": .unsigned(rows),
            "key_known": .bool(isKeyKnown), "head": head?.json ?? .null, "found": .unsigned(found),
            "discrepancies": .array(
                discrepancies.map {
                    [
                        "kind": .string($0.kind.rawValue), "record": $0.record == 0 ? .null : .integer($0.record),
                        "table": .text($0.table), "key": .text($0.key), "description": .string($0.description),
                    ]
                }),
        ]
    }

    fileprivate func print(isKeyKnown: Bool) {
        for discrepancy in discrepancies { Terminal.print("\(discrepancy.kind.rawValue): \(discrepancy)".printable) }
        if found > discrepancies.count { Terminal.print("and \(found - UInt64(discrepancies.count)) more") }
        if let head { Terminal.print("\(records) records, \(rows) rows, signed \(TimeText.utc(UInt64(clamping: head.time)))") }
        if let head, !isKeyKnown {
            Terminal.say(
                "the key is the one that the archive itself names, \(head.publicKey.hexadecimal): compare it with the "
                    + "archiver's, or give --public-key")
        }
    }
}

extension AuditCheckpoint {
    var json: JSON {
        [
            "archive_id": .string(archiveID.hexadecimal), "sequence": .integer(sequence),
            "hash": .string(hash.hexadecimal), "time": .integer(time),
            "public_key": .string(publicKey.hexadecimal), "signature": .string(signature.hexadecimal),
        ]
    }
}

extension AuditRecord {
    fileprivate var json: JSON {
        [
            "record": .integer(sequence), "time": .integer(time), "actor": .text(actor), "caller": .text(caller),
            "incident": incident == 0 ? .null : .integer(incident), "verb": .string(verb), "before": .text(before),
            "after": .text(after), "table": .text(table), "key": .text(key), "was": .text(was.hexadecimal),
            "digest": .text(digest.hexadecimal),
        ]
    }

    /// `acknowledge: triaged → acknowledged`.
    fileprivate var sentence: String {
        if before.isEmpty && after.isEmpty { return verb }
        // Its code: gRPC's, where the command was refused.
        if table == "commands" { return "\(verb): \(after == "0" ? "done" : "refused")" }
        return "\(verb): " + (before.isEmpty ? after : "\(before) → \(after)")
    }
}
