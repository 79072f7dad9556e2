import ArgumentParser
import TocsinConfiguration
import TocsinIndicators
import TocsinPolicy
import TocsinPosix
import TocsinProgram

struct IndicatorsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "indicators", abstract: "Threat indicators: which there are, and what they say of a text.",
        discussion: "They are the files of policy.indicators in the configuration; triage looks for them in every event.",
        subcommands: [IndicatorsCheck.self, IndicatorsList.self])
}

/// The indicators of the configuration, read now.
enum LoadedIndicators {
    static func load(_ options: ConfigurationOptions) async throws -> IndicatorLoad {
        let policy = try await options.load().policy.indicators
        guard !policy.isEmpty else {
            throw Failure(.notFound, "the configuration names no indicators; list their files under policy.indicators.files")
        }
        return try await Blocking.run { IndicatorLoad(policy) }
    }

    /// What triage would go by. Every file has to be right.
    static func set(of policy: Policy) async throws -> IndicatorSet {
        if policy.indicators.isEmpty { return .empty }
        let load = try await Blocking.run { IndicatorLoad(policy.indicators) }
        try complain(load)
        return load.set
    }

    /// Said of files that cannot be used, after what could be done without them.
    static func complain(_ load: IndicatorLoad) throws {
        guard !load.problems.isEmpty else { return }
        throw Failure(.configuration, load.problems.map(\.description).joined(separator: "\n"))
    }
}

struct IndicatorsCheck: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Say what in a text is an indicator, and why.",
        discussion: """
            As triage does with an event that is observed now. Addresses may be written harmlessly: evil[.]example, \
            hxxp://evil.example. Of a file each line is looked at on its own.
            """)

    @Argument(help: "An address, a domain, a URL, a hash, or any text with some in it.") var text: String?
    @Option(help: ArgumentHelp("A file in place of the text; - is standard input.", valueName: "file")) var file: String?
    @OptionGroup var configuration: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    private static let fileBytesMax = 64 << 20

    func validate() throws {
        if (text == nil) == (file == nil) { throw ValidationError("give a text, or --file") }
    }

    func run() async throws {
        let load = try await LoadedIndicators.load(configuration)
        let now = MachineClock.wall()
        var scanner = IndicatorScanner()
        var found: [(line: Int, match: IndicatorMatch)] = []
        for (index, line) in try await lines().enumerated() {
            for match in scanner.matches(summary: String(decoding: line, as: UTF8.self), at: now, in: load.set) {
                found.append((index + 1, match))
            }
        }
        switch output.format {
        case .json:
            Terminal.print(json: [
                "version": .string(load.set.version),
                "matches": .array(found.map { json($0.line, $0.match) }),
            ])
        case .text:
            if found.isEmpty { Terminal.say("nothing in it is one of \(load.set.count) indicators") }
            for (line, match) in found { show(line, match) }
        }
        try LoadedIndicators.complain(load)
    }

    private func lines() async throws -> [ArraySlice<UInt8>] {
        guard let file else { return [Array((text ?? "").utf8)[...]] }
        let path = file == "-" ? "/dev/stdin" : file
        let bytes = try await Blocking.run {
            do throws(FileError) {
                return try WholeFile.read(path, limit: Self.fileBytesMax)
            } catch {
                throw Failure(.notFound, error.description)
            }
        }
        guard let bytes else { throw Failure(.notFound, "\(file) is not there") }
        return bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
    }

    private func show(_ line: Int, _ match: IndicatorMatch) {
        let indicator = match.indicator
        let place = file == nil ? "" : "line \(line): "
        let named = match.observed == indicator.value ? "" : " is named by \(indicator.value)"
        Terminal.print("\(place)\(indicator.type) \(match.observed)\(named): \(match.outcome)".printable)
        var facts = [indicator.name, "\(indicator.id) of \(indicator.source)"]
        if let confidence = indicator.confidence { facts.append("confidence \(confidence)") }
        if !indicator.labels.isEmpty { facts.append(indicator.labels.joined(separator: ", ")) }
        if indicator.validFrom > 0 { facts.append("from \(TimeText.utc(indicator.validFrom))") }
        if let end = indicator.validUntil { facts.append("until \(TimeText.utc(end))") }
        Terminal.print("  " + facts.filter { !$0.isEmpty }.joined(separator: "; ").printable)
    }

    private func json(_ line: Int, _ match: IndicatorMatch) -> JSON {
        let indicator = match.indicator
        return [
            "line": .integer(Int64(line)), "type": .string("\(indicator.type)"), "observed": .string(match.observed),
            "outcome": .string("\(match.outcome)"), "value": .string(indicator.value), "indicator": .string(indicator.id),
            "name": .text(indicator.name), "source": .string(indicator.source),
            "confidence": indicator.confidence.map { .integer(Int64($0)) } ?? .null, "labels": .strings(indicator.labels),
            "valid_from": indicator.validFrom == 0 ? .null : .string(TimeText.utc(indicator.validFrom)),
            "valid_until": indicator.validUntil.map { .string(TimeText.utc($0)) } ?? .null,
        ]
    }
}

struct IndicatorsList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the files of indicators: how many of which type, and what is left out and why.")

    @OptionGroup var configuration: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let load = try await LoadedIndicators.load(configuration)
        switch output.format {
        case .json:
            Terminal.print(json: [
                "version": .string(load.set.version), "indicators": .integer(Int64(load.set.count)),
                "files": .array(load.reports.map(json)), "problems": .strings(load.problems.map(\.description)),
            ])
        case .text: show(load)
        }
        try LoadedIndicators.complain(load)
    }

    private func show(_ load: IndicatorLoad) {
        var table = Table(columns: [.left("FILE"), .left("FORMAT"), .right("USED"), .right("LEFT OUT"), .flexible("TYPES")])
        for report in load.reports {
            let isList = report.falsePositives > 0
            let used = isList ? report.falsePositives : report.counts.values.reduce(0, +)
            let types = Self.counts(report).map { "\($0.count) \($0.type)" }.joined(separator: ", ")
            table.add(
                Self.shown(report), report.format.rawValue, "\(used)", "\(report.skipped.reduce(0) { $0 + $1.count })",
                isList ? "false positives" : types)
        }
        Terminal.print(table)
        for report in load.reports {
            for skipped in report.skipped {
                let first = skipped.first.isEmpty ? "" : ", first \(skipped.first)"
                Terminal.print("\(Self.shown(report)): \(skipped.count) left out: \(skipped.reason)\(first)".printable)
            }
        }
        Terminal.print("\(load.set.count) indicators, version \(load.set.version)")
    }

    /// Under the working folder, as one would type it.
    private static func shown(_ report: IndicatorReport) -> String {
        let folder = ConfigurationLoader.currentFolder() + "/"
        return report.path.hasPrefix(folder) ? String(report.path.dropFirst(folder.count)) : report.path
    }

    private static func counts(_ report: IndicatorReport) -> [(type: IndicatorType, count: Int)] {
        IndicatorType.allCases.compactMap { type in
            report.counts[type].flatMap { $0 > 0 ? (type, $0) : nil }
        }
    }

    private func json(_ report: IndicatorReport) -> JSON {
        [
            "path": .string(report.path), "format": .string(report.format.rawValue),
            "counts": .object(Self.counts(report).map { ("\($0.type)", .integer(Int64($0.count))) }),
            "false_positives": .integer(Int64(report.falsePositives)),
            "left_out": .array(
                report.skipped.map {
                    ["reason": .string($0.reason), "count": .integer(Int64($0.count)), "first": .text($0.first)]
                }),
        ]
    }
}
