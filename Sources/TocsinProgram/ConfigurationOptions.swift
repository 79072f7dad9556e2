import ArgumentParser
import TocsinConfiguration
import TocsinSystem

/// Which configuration; for every command that reads it.
package struct ConfigurationOptions: ParsableArguments {
    package init() {}

    @Option(
        help: ArgumentHelp(
            "The configuration file. Default: ./tocsin.yaml if there is one. (Environment: TOCSIN_CONFIG.)",
            valueName: "file"))
    package var config: String?

    @Option(
        help: ArgumentHelp(
            "Where the hub is, such as tcp://hub.example.org:7117. (Environment: TOCSIN_ENDPOINT.)", valueName: "endpoint"))
    package var endpoint: String?

    @Option(
        help: ArgumentHelp(
            "The key file that says who you are to the hub, over TCP. (Environment: TOCSIN_IDENTITY.)", valueName: "file"))
    package var identity: String?

    @Option(help: ArgumentHelp("The data folder. (Environment: TOCSIN_DATA.)", valueName: "folder"))
    package var data: String?

    @Option(
        help: ArgumentHelp(
            "trace, debug, info, notice, warning, error or critical. (Environment: TOCSIN_LOG.)", valueName: "level"))
    package var logLevel: String?

    /// The file to read; nil: the default one, if it is there.
    package var file: String? { config ?? Self.variable("TOCSIN_CONFIG") }

    /// What flags and environment say, by configuration key.
    package var overrides: [String: Override] {
        var overrides: [String: Override] = [:]
        let sources: [(key: String, flag: String, value: String?, variable: String)] = [
            ("endpoint", "--endpoint", endpoint, "TOCSIN_ENDPOINT"), ("data", "--data", data, "TOCSIN_DATA"),
            ("identity", "--identity", identity, "TOCSIN_IDENTITY"),
            ("hub.allow_plain_tcp", "", nil, "TOCSIN_ALLOW_PLAIN_TCP"),
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
    package func load() async throws -> Configuration {
        let (file, overrides) = (file, overrides)
        return try await Blocking.run { try ConfigurationLoader.load(file: file, overrides: overrides) }
    }

    /// A variable that is set to nothing is not set.
    private static func variable(_ name: String) -> String? {
        Terminal.environment(name).flatMap { $0.isEmpty ? nil : $0 }
    }
}

/// A thread for what blocks, so that Swift's cooperative threads never do.
package enum Blocking {
    private static let pool = BlockingPool(threads: 2)

    package static func run<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await pool.run { _ in try work() }
    }
}
