import ArgumentParser
import Glibc
import TocsinConfiguration
import TocsinDomain
import TocsinSystem

/// Which configuration; for every command that reads it.
struct ConfigurationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The configuration file. Default: ./tocsin.yaml if there is one. (Environment: TOCSIN_CONFIG.)",
            valueName: "file"))
    var config: String?

    @Option(
        help: ArgumentHelp(
            "Where the hub is, such as tcp://127.0.0.1:7117. (Environment: TOCSIN_ENDPOINT.)", valueName: "endpoint"))
    var endpoint: String?

    @Option(help: ArgumentHelp("The data folder. (Environment: TOCSIN_DATA.)", valueName: "folder"))
    var data: String?

    @Option(
        help: ArgumentHelp(
            "trace, debug, info, notice, warning, error or critical. (Environment: TOCSIN_LOG.)", valueName: "level"))
    var logLevel: String?

    /// The file to read; nil: the default one, if it is there.
    var file: String? { config ?? Self.variable("TOCSIN_CONFIG") }

    /// What flags and environment say, by configuration key.
    var overrides: [String: Override] {
        var overrides: [String: Override] = [:]
        let sources: [(key: String, flag: String, value: String?, variable: String)] = [
            ("endpoint", "--endpoint", endpoint, "TOCSIN_ENDPOINT"), ("data", "--data", data, "TOCSIN_DATA"),
            ("log.level", "--log-level", logLevel, "TOCSIN_LOG"), ("log.format", "", nil, "TOCSIN_LOG_FORMAT"),
        ]
        for source in sources {
            if let value = source.value {
                overrides[source.key] = Override(value, from: .flag(source.flag))
            } else if let value = Self.variable(source.variable) {
                overrides[source.key] = Override(value, from: .environment(source.variable))
            }
        }
        return overrides
    }

    /// Reads the configuration. Throws `ConfigurationError`.
    func load() async throws -> Configuration {
        let (file, overrides) = (file, overrides)
        return try await Blocking.run { try ConfigurationLoader.load(file: file, overrides: overrides) }
    }

    /// A variable that is set to nothing is not set.
    private static func variable(_ name: String) -> String? {
        Terminal.environment(name).flatMap { $0.isEmpty ? nil : $0 }
    }
}

/// A thread for what blocks, so that Swift's cooperative threads never do.
enum Blocking {
    private static let pool = BlockingPool(threads: 2)

    static func run<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await pool.run { _ in try work() }
    }
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text, json
}

struct OutputOptions: ParsableArguments {
    @Option(name: [.customShort("o"), .customLong("output")], help: "text for people, json for programs.")
    var format: OutputFormat = .text
}

/// For every command that talks to the hub as a client.
struct ClientOptionGroup: ParsableArguments {
    @OptionGroup var configuration: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    @Option(help: ArgumentHelp("How long to wait for the hub, and for an answer.", valueName: "duration"))
    var timeout = DurationArgument(.seconds(5))
}

/// Who acts; for commands that change something.
struct ActorOptions: ParsableArguments {
    @Option(
        name: .customLong("as"),
        help: ArgumentHelp(
            "Who does it. Default: the login name. (Environment: TOCSIN_USER.)", valueName: "person"))
    var person: String?

    var name: String {
        if let person { return person }
        if let user = Terminal.environment("TOCSIN_USER"), !user.isEmpty { return user }
        if let entry = getpwuid(getuid()), let name = entry.pointee.pw_name { return String(cString: name) }
        return "uid-\(getuid())"
    }
}

/// `500ms`, `10s`, `5m`.
struct DurationArgument: ExpressibleByArgument, Sendable {
    let value: Duration
    init(_ value: Duration) { self.value = value }
    init?(argument: String) {
        guard let value = DurationText.parse(argument) else { return nil }
        self.value = value
    }
    var defaultValueDescription: String { DurationText.format(value) }
}

/// `42`, `#42` or `INC-42`.
struct IncidentNumber: ExpressibleByArgument, Sendable {
    let value: UInt64
    init?(argument: String) {
        var digits = argument[...]
        if digits.hasPrefix("#") { digits = digits.dropFirst() }
        if digits.lowercased().hasPrefix("inc-") { digits = digits.dropFirst(4) }
        guard let number = UInt64(digits), number > 0, digits.allSatisfy(\.isNumber) else { return nil }
        value = number
    }
}

/// A severity by any of its usual names.
struct SeverityArgument: ExpressibleByArgument, Sendable {
    let value: Severity
    init?(argument: String) {
        guard let severity = Severity(parsing: argument) else { return nil }
        value = severity
    }
    static var allValueStrings: [String] { Severity.allCases.reversed().map(\.name) }
}

/// `name=value`.
struct PairArgument: ExpressibleByArgument, Sendable {
    let name: String
    let value: String
    init?(argument: String) {
        guard let separator = argument.firstIndex(of: "="), separator != argument.startIndex else { return nil }
        name = String(argument[..<separator])
        value = String(argument[argument.index(after: separator)...])
    }
}
