import ArgumentParser
import TocsinArchive
import TocsinConfiguration
import TocsinJournal
import TocsinKit
import TocsinProgram
import TocsinProto
import TocsinReplay
import TocsinWire

struct PolicyDiffCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff", abstract: "Say who would have been called under another policy, and who not.",
        discussion: """
            What the hub still keeps of events and silences is put in again, under both policies, by a clock of its own: nobody is \
            told. With --journal it is read from the folder of a journal, of a hub that is stopped or a copy. The same input gives \
            the same output. `*` stands for each notification that decides for itself.
            """)

    @Option(help: ArgumentHelp("The other policy.", valueName: "file")) var policy: String
    @Option(help: ArgumentHelp("The policy it is compared with. Default: that of the configuration.", valueName: "file"))
    var old: String?
    @Option(help: ArgumentHelp("What came in the last while, such as 12h or 7d.", valueName: "duration"))
    var since = DurationArgument(.seconds(86_400))
    @Option(help: ArgumentHelp("Read this folder, all of it, and no hub.", valueName: "folder")) var journal: String?
    @OptionGroup var options: ClientOptionGroup

    /// What is put in again, at most: all of it is in memory.
    private static let inputsMax = 2_000_000

    func run() async throws {
        let new = try await PolicySource.load(options.configuration, policy: policy, named: "--policy")
        let old = try await PolicySource.load(options.configuration, policy: old, named: "--old")
        let inputs = try await journal == nil ? tapped() : recorded()
        let difference = try await TrialFolder.with { folder in
            func pages(_ source: PolicySource, _ name: String) async throws -> [PolicyPage] {
                try await PolicyReplay.pages(
                    of: inputs, source.configuration.archiver, indicators: LoadedIndicators.set(of: source.policy),
                    folder: "\(folder)/\(name)")
            }
            return PolicyDifference(before: try await pages(old, "old"), after: try await pages(new, "new"))
        }
        switch options.output.format {
        case .json: Terminal.print(json: Self.json(difference, inputs.count, old.policy.version, new.policy.version))
        case .text:
            Self.print(difference)
            Terminal.print(
                "\(inputs.count) events and silences; \(difference.before) calls under policy \(old.policy.version), "
                    + "\(difference.after) under \(new.policy.version): \(difference.gained.count) gained, "
                    + "\(difference.lost.count) lost, \(difference.moved.count) moved")
        }
    }

    // MARK: What was recorded

    private func tapped() async throws -> [RecordedInput] {
        let start = TimeText.before(since.value)
        return try await HubSession.with(options) { session in
            // Up to here; what comes while it is read is for the next time.
            let last = try await session.hubStatus().lastSequence
            var inputs = InputList(limit: Self.inputsMax)
            guard last > 0 else { return [] }
            // Everything, so that the end is seen whatever it is.
            let tap = try await session.client.tap([">"], from: .time(start), credit: 8192)
            for try await item in tap {
                let sequence: UInt64
                switch item {
                case .message(let message, let number):
                    try inputs.add(message.id, message.subject, message.payload, time: message.publishedAt)
                    sequence = number
                case .gap(_, let end, let reason):
                    Terminal.say("some of it is not there: \(reason)")
                    sequence = end
                }
                if sequence >= last { break }
            }
            await tap.close()
            return inputs.inputs
        }
    }

    private func recorded() async throws -> [RecordedInput] {
        let directory = journal ?? ""
        return try await Blocking.run {
            let folder = try JournalFolder(at: directory)
            var inputs = InputList(limit: Self.inputsMax)
            let survey = try folder.attempt {
                try JournalSurvey(folder.disk) { batch in
                    guard batch.header.kind == .messages else { return }
                    var envelopes: [[UInt8]] = []
                    // As in a listing: what another version wrote may not read.
                    _ = try? LengthPrefixed.forEach(in: batch.body, atMost: .max) { (_, _, bytes) throws(WireError) in
                        envelopes.append(Array(bytes))
                    }
                    for envelope in envelopes {
                        let envelope = try Tocsin_V1_Envelope(serializedBytes: envelope)
                        try inputs.add(Array(envelope.id), envelope.subject, Array(envelope.payload), time: envelope.publishedAt)
                    }
                }
            }
            for damage in survey.damages { Terminal.say("damaged, and left out: \(damage)") }
            return inputs.inputs
        }
    }

    // MARK: What is said

    private static func row(_ page: PolicyPage) -> String {
        "\(TimeText.utc(page.detectedAt))  \(page.verb)  \(page.severity) \(page.priority)  \(page.service)  \"\(page.title)\""
    }

    private static func whom(_ page: PolicyPage) -> String {
        let routes = page.routes.isEmpty ? "no route" : "route " + page.routes.joined(separator: ", ")
        return "\(page.targets.joined(separator: ", ")) (\(routes))"
    }

    private static func print(_ difference: PolicyDifference) {
        for page in difference.gained { Terminal.print("gained  \(row(page)): \(whom(page))".printable) }
        for page in difference.lost { Terminal.print("lost    \(row(page)): \(whom(page))".printable) }
        for (old, new) in difference.moved { Terminal.print("moved   \(row(new)): \(whom(old)) → \(whom(new))".printable) }
    }

    private static func json(_ difference: PolicyDifference, _ inputs: Int, _ old: String, _ new: String) -> JSON {
        func page(_ page: PolicyPage) -> JSON {
            [
                "detected_at": TimeText.json(page.detectedAt), "verb": .string(page.verb), "title": .string(page.title),
                "service": .string(page.service), "severity": .string(page.severity), "priority": .string(page.priority),
                "targets": .strings(page.targets), "routes": .strings(page.routes),
            ]
        }
        return [
            "inputs": .unsigned(UInt64(inputs)), "old_policy": .string(old), "new_policy": .string(new),
            "calls_before": .unsigned(UInt64(difference.before)), "calls_after": .unsigned(UInt64(difference.after)),
            "gained": .array(difference.gained.map(page)), "lost": .array(difference.lost.map(page)),
            "moved": .array(difference.moved.map { ["before": page($0.before), "after": page($0.after)] }),
        ]
    }
}

/// What is put in again, in order.
private struct InputList {
    private(set) var inputs: [RecordedInput] = []
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    /// Takes events and silences; everything else is passed over, and so is what cannot be read, as the roles do.
    mutating func add(_ id: [UInt8], _ subject: String, _ payload: [UInt8], time: UInt64) throws {
        let content: RecordedInput.Content
        do {
            if subject.hasPrefix("event.") {
                var event = try Tocsin_V1_Event(serializedBytes: payload)
                // As triage does.
                if event.id.isEmpty { event.id = id.idText }
                content = .event(event, subject: subject)
            } else if subject.hasPrefix("silence.") {
                content = .silence(try Tocsin_V1_Silence(serializedBytes: payload))
            } else {
                return
            }
        } catch { return }
        guard inputs.count < limit else {
            throw Failure(.refused, "there are more than \(limit) events; give a shorter --since")
        }
        // Clocks of those who publish differ; the stream has one order.
        inputs.append(RecordedInput(time: max(time, inputs.last?.time ?? 0), content))
    }
}
