import ArgumentParser
import GRPCCore
import TocsinProgram
import TocsinProto
import TocsinServices
import TocsinWire

struct DeadLettersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dlq", abstract: "Look at messages that could not be handled; try them again, or let go of them.",
        subcommands: [DeadLetterList.self, DeadLetterShow.self, DeadLetterRetry.self, DeadLetterDiscard.self],
        defaultSubcommand: DeadLetterList.self)
}

struct DeadLetterList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List dead letters.")

    @Option(help: "Only of this pool.") var pool: String?
    @Option(help: "At most this many, 1 to 1000.") var limit = 100
    @OptionGroup var options: ClientOptionGroup

    func validate() throws {
        guard (1...1000).contains(limit) else { throw ValidationError("--limit is from 1 to 1000") }
    }

    func run() async throws {
        let (pool, limit) = (pool ?? "", UInt32(limit))
        let letters = try await HubSession.with(options) { try await $0.deadLetters(pool: pool, limit: limit) }
        switch options.output.format {
        case .json: Terminal.print(json: ["dead_letters": .array(letters.map(\.json))])
        case .text:
            if letters.isEmpty {
                Terminal.say("no dead letters")
                return
            }
            var table = Table(columns: [
                .left("POOL"), .right("SEQUENCE"), .right("ATTEMPTS"), .right("AGE"), .left("SUBJECT"),
                .flexible("REASON"),
            ])
            for letter in letters {
                table.add(
                    letter.pool, "\(letter.sequence)", "\(letter.attempts)", TimeText.age(since: letter.time),
                    letter.content?.subject ?? "unreadable", letter.reason)
            }
            Terminal.print(table)
        }
    }
}

struct DeadLetterShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show one dead letter with its content.")

    @Argument(help: "The pool that gave it up.") var pool: String
    @Argument(help: "Its sequence number.") var sequence: UInt64
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        let (pool, sequence) = (pool, sequence)
        let letters = try await HubSession.with(options) { try await $0.deadLetters(pool: pool, from: sequence, limit: 1) }
        guard let letter = letters.first(where: { $0.sequence == sequence }) else {
            throw Failure(.notFound, "pool \"\(pool)\" has no dead letter \(sequence); see `tocsin dlq list`")
        }
        switch options.output.format {
        case .json: Terminal.print(json: letter.json)
        case .text:
            Terminal.print(
                "\(letter.pool.printable) \(letter.sequence): given up \(TimeText.local(letter.time)) after "
                    + "\(letter.attempts) attempts: \(letter.reason.printable)")
            for failed in letter.history {
                Terminal.print("  attempt \(failed.attempt), \(TimeText.local(failed.time)): \(failed.reason.printable)")
            }
            Terminal.print(json: letter.message)
        }
    }
}

struct DeadLetterRetry: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retry", abstract: "Give dead letters to their pool again.",
        discussion: "Without sequence numbers, all of the pool.")

    @Argument(help: "The pool that gave them up.") var pool: String
    @Argument(help: "Sequence numbers.") var sequences: [UInt64] = []
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        var request = Tocsin_V1_RetryDeadLettersRequest()
        request.pool = pool
        request.sequences = sequences
        let question = request
        let response = try await HubSession.with(options) {
            try await $0.call(.broker) { try await $0.broker.retryDeadLetters(question, options: $1) }
        }
        switch options.output.format {
        case .json: Terminal.print(json: ["retried": .unsigned(UInt64(response.retried))])
        case .text: Terminal.print("\(response.retried) given to pool \(pool.printable) again")
        }
        if response.retried == 0 {
            throw Failure(.notFound, "pool \"\(pool)\" has no such dead letters; see `tocsin dlq list`")
        }
    }
}

struct DeadLetterDiscard: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "discard", abstract: "Let go of dead letters for good.",
        discussion: "They are never delivered again, and no longer keep the journal from letting go of what is before them.")

    @Argument(help: "The pool that gave them up.") var pool: String
    @Argument(help: "Sequence numbers, at least one.") var sequences: [UInt64]
    @OptionGroup var options: ClientOptionGroup

    func run() async throws {
        var request = Tocsin_V1_DiscardDeadLettersRequest()
        request.pool = pool
        request.sequences = sequences
        let question = request
        let response = try await HubSession.with(options) {
            try await $0.call(.broker) { try await $0.broker.discardDeadLetters(question, options: $1) }
        }
        switch options.output.format {
        case .json: Terminal.print(json: ["discarded": .unsigned(UInt64(response.discarded))])
        case .text: Terminal.print("\(response.discarded) of pool \(pool.printable) discarded")
        }
        if response.discarded == 0 {
            throw Failure(.notFound, "pool \"\(pool)\" has no such dead letters; see `tocsin dlq list`")
        }
    }
}

extension HubSession {
    fileprivate func deadLetters(pool: String, from sequence: UInt64 = 0, limit: UInt32) async throws -> [Tocsin_V1_DeadLetter] {
        var request = Tocsin_V1_ListDeadLettersRequest()
        request.pool = pool
        request.fromSequence = sequence
        request.limit = limit
        let response = try await call(.broker) { try await $0.broker.listDeadLetters(request, options: $1) }
        return response.letters
    }
}

extension Tocsin_V1_DeadLetter {
    /// Nil for bytes that cannot be read, which is a reason to be here.
    fileprivate var content: Tocsin_V1_Envelope? {
        do { return try Tocsin_V1_Envelope(serializedBytes: envelope) } catch { return nil }
    }

    fileprivate var json: JSON {
        [
            "pool": .string(pool), "sequence": .unsigned(sequence), "attempts": .unsigned(UInt64(attempts)),
            "reason": .string(reason), "time": TimeText.json(time),
            "history": .array(
                history.map {
                    [
                        "attempt": .unsigned(UInt64($0.attempt)), "time": TimeText.json($0.time),
                        "reason": .string($0.reason),
                    ]
                }), "message": message,
        ]
    }

    fileprivate var message: JSON {
        guard let content else { return ["unreadable": .string(envelope.prefix(256).hexadecimal)] }
        return [
            "subject": .string(content.subject), "severity": .string(content.severity.name), "key": .text(content.key),
            "type": .text(content.type), "published_at": TimeText.json(content.publishedAt),
            "headers": .table(content.headers), "payload": content.payloadJSON,
        ]
    }
}

extension Tocsin_V1_Envelope {
    /// The payload of the types that are known; of others only its size.
    var payloadJSON: JSON {
        do {
            switch type {
            case Tocsin_V1_Event.protoMessageName: return try Tocsin_V1_Event(serializedBytes: payload).json
            case Tocsin_V1_AlertUpdate.protoMessageName: return try Tocsin_V1_AlertUpdate(serializedBytes: payload).json
            case Tocsin_V1_IncidentChange.protoMessageName:
                return try Tocsin_V1_IncidentChange(serializedBytes: payload).json
            case Tocsin_V1_ResponseReport.protoMessageName:
                return try Tocsin_V1_ResponseReport(serializedBytes: payload).json
            default: return ["bytes": .unsigned(UInt64(payload.count))]
            }
        } catch {
            return ["bytes": .unsigned(UInt64(payload.count)), "unreadable": .string("\(error)")]
        }
    }
}
