import ArgumentParser
import FoundationEssentials
import Glibc
import TocsinArchive
import TocsinConfiguration
import TocsinPolicy
import TocsinPosix
import TocsinProgram
import TocsinReplay

struct PolicyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy", abstract: "Look through a policy, try it out, and compare two.",
        discussion: "None of these changes anything. `tocsin config explain policy` lists the keys of a policy.",
        subcommands: [PolicyLintCommand.self, PolicyTestCommand.self, PolicyDiffCommand.self])
}

/// The configuration, with another policy than its own where one is named.
struct PolicySource {
    let configuration: Configuration

    static func load(_ options: ConfigurationOptions, policy file: String?, named flag: String) async throws -> PolicySource {
        let (path, overrides) = (options.file, options.overrides)
        return try await PolicySource(
            configuration: Blocking.run {
                var overrides = overrides
                if let file { overrides["policy"] = Override(file, from: .flag(flag)) }
                return try ConfigurationLoader.load(file: path, overrides: overrides)
            })
    }

    var policy: Policy { configuration.policy }

    /// Where a part of the policy is written, such as `routes[2]`.
    func source(of place: String) -> Source {
        let key = place.isEmpty ? "policy" : "policy.\(place)"
        let setting = configuration.settings.first { setting in
            guard setting.key.hasPrefix(key), case .file = setting.source else { return false }
            let rest = setting.key.dropFirst(key.count)
            return rest.isEmpty || rest.hasPrefix(".") || rest.hasPrefix("[")
        }
        return setting?.source ?? .default
    }
}

struct PolicyLintCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lint", abstract: "Name what is in a policy and surely not meant.",
        discussion: """
            Rules and routes that others before them hide, names that are not there, services that depend on each other in a \
            circle, inhibitions that silence themselves or each other, windows that never come. Notifications and runbooks are \
            those of the configuration. Ends with 0, or with 1 if there is an error (with --strict: or a warning).
            """)

    @Argument(help: "A file with a policy. Default: the policy of the configuration.") var file: String?
    @Flag(help: "Warnings count as errors.") var strict = false
    @OptionGroup var configuration: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let source = try await PolicySource.load(configuration, policy: file, named: "FILE")
        func names(_ names: [String]) -> [String]? { names.isEmpty ? nil : names }
        let responders = source.configuration.responders
        let findings = source.policy.findings(
            PolicyLintContext(
                targets: names(responders.notifications.map(\.name)), runbooks: names(responders.runbooks.map(\.name)),
                now: MachineClock.wall()))
        switch output.format {
        case .json:
            Terminal.print(
                json: .array(
                    findings.map {
                        [
                            "level": .string($0.level.rawValue), "place": .string($0.place),
                            "source": .string(source.source(of: $0.place).description), "message": .string($0.message),
                        ]
                    }))
        case .text:
            for finding in findings {
                let place = source.source(of: finding.place)
                let prefix = place == .default ? "" : "\(place): "
                Terminal.print("\(prefix)\(finding.level.rawValue): \(finding.message)".printable)
            }
        }
        let bad = findings.count { $0.level >= (strict ? .warning : .error) }
        guard bad == 0 else {
            throw Failure(.refused, "the policy has \(bad == 1 ? "a fault" : "\(bad) faults")")
        }
        let policy = source.policy
        Terminal.say(
            "policy \(policy.version), with \(policy.services.count) services, \(policy.rules.count) rules and \(policy.routes.count) routes: "
                + (findings.isEmpty ? "nothing to say of it" : "nothing that has to be mended"))
    }
}

struct PolicyTestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test", abstract: "Run cases through triage and an archiver under a policy, by a clock of their own.",
        discussion: """
            Needs no hub and tells nobody. A case is a list of steps: events, silences, time that passes, and what is expected \
            then. Ends with 0 if all are as expected, else with 1.
            """)

    @Argument(help: "A YAML file with cases.") var cases: String
    @Option(
        help: ArgumentHelp("The policy. Default: that of the cases' file, else that of the configuration.", valueName: "file"))
    var policy: String?
    @Option(help: ArgumentHelp("Only cases with this in their names.", valueName: "text")) var only: String?
    @OptionGroup var configuration: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let file = cases
        let read = try await Blocking.run { try ConfigurationLoader.cases(file: file) }
        let source = try await PolicySource.load(configuration, policy: policy, named: "--policy")
        var archiver = source.configuration.archiver
        if policy == nil, let policy = read.policy { archiver.policy = policy }
        let chosen = read.cases.filter { only.map($0.name.contains) ?? true }
        guard !chosen.isEmpty else { throw Failure(.notFound, "no case of \(file) has \"\(only ?? "")\" in its name") }
        let indicators = try await LoadedIndicators.set(of: archiver.policy)
        var results: [CaseResult] = []
        try await TrialFolder.with { folder in
            for one in chosen {
                let result = try await one.run(archive: archiver, indicators: indicators, folder: folder)
                if output.format == .text { show(result) }
                results.append(result)
            }
        }
        let failed = results.count { !$0.failures.isEmpty }
        if output.format == .json { Terminal.print(json: .array(results.map(Self.json))) }
        let version = archiver.policy.version
        guard failed == 0 else {
            throw Failure(.refused, "\(results.count - failed) passed, \(failed) failed, under policy \(version)")
        }
        Terminal.say("\(results.count) passed, 0 failed, under policy \(version)")
    }

    private func show(_ result: CaseResult) {
        let mark = result.failures.isEmpty ? "ok    " : "FAIL  "
        Terminal.print("\(mark)\(result.name)".printable)
        for failure in result.failures {
            Terminal.print("      \(failure.place): \(failure.message)".printable)
            for decision in failure.decisions { Terminal.print("        \(decision)".printable) }
        }
    }

    private static func json(_ result: CaseResult) -> JSON {
        [
            "name": .string(result.name), "place": .string(result.place), "passed": .bool(result.failures.isEmpty),
            "failures": .array(
                result.failures.map {
                    ["place": .string($0.place), "message": .string($0.message), "decisions": .strings($0.decisions)]
                }),
        ]
    }
}

/// A folder for what is tried out, gone afterwards.
enum TrialFolder {
    static func with<Value>(_ body: (String) async throws -> Value) async throws -> Value {
        // In memory where there is such a place: what is tried out is not worth a sync to disk.
        let memory = "/dev/shm"
        let isThere = access(memory, W_OK) == 0
        let folder = "\(isThere ? memory : FileManager.default.temporaryDirectory.path)/tocsin-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let result: Result<Value, any Error>
        do { result = .success(try await body(folder)) } catch { result = .failure(error) }
        try FileManager.default.removeItem(atPath: folder)
        return try result.get()
    }
}
