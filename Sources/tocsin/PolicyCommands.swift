import ArgumentParser
import TocsinConfiguration
import TocsinPolicy
import TocsinPosix
import TocsinProgram

struct PolicyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy", abstract: "Look through a policy, try it out, and compare two.",
        discussion: "None of these changes anything. `tocsin config explain policy` lists the keys of a policy.",
        subcommands: [PolicyLintCommand.self])
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
            "policy \(policy.version): \(policy.rules.count) rules, \(policy.services.count) services, \(policy.routes.count) routes; "
                + (findings.isEmpty ? "nothing to say of it" : "nothing that has to be mended"))
    }
}
