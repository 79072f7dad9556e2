import ArgumentParser
import TocsinConfiguration
import TocsinProgram

struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Check, show or explain the configuration.",
        subcommands: [ConfigCheck.self, ConfigShow.self, ConfigExplain.self])
}

struct ConfigCheck: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Say everything that is wrong with the configuration.")

    @OptionGroup var configuration: ConfigurationOptions

    func run() async throws {
        let loaded = try await configuration.load()
        let place = loaded.file ?? "no file (\(ConfigurationLoader.defaultFile) is not there); the defaults"
        Terminal.say("the configuration is good: \(place)")
    }
}

struct ConfigShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show what is in effect, and where each value comes from.")

    @Flag(help: "Only what is not a default.") var changed = false
    @Flag(help: "Headers, environments and webhook addresses too.") var secrets = false
    @OptionGroup var configuration: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let loaded = try await configuration.load()
        let settings = loaded.settings.filter { !changed || $0.source != .default }
        func value(_ setting: Setting) -> String { setting.isSecret && !secrets ? "(hidden)" : setting.value }
        switch output.format {
        case .json:
            Terminal.print(
                json: .array(
                    settings.map {
                        ["key": .string($0.key), "value": .string(value($0)), "source": .string($0.source.description)]
                    }))
        case .text:
            var table = Table(columns: [.left("KEY"), .flexible("VALUE"), .left("FROM")])
            for setting in settings { table.add(setting.key, value(setting), setting.source.description) }
            Terminal.print(table)
        }
    }
}

struct ConfigExplain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "List every key with its type, default and purpose.")

    @Argument(help: "Only keys that begin with this.") var prefix = ""
    @OptionGroup var output: OutputOptions

    func run() throws {
        let settings = ConfigurationLoader.explain().filter { $0.key.hasPrefix(prefix) }
        guard !settings.isEmpty else { throw Failure(.notFound, "no key begins with \"\(prefix)\"") }
        switch output.format {
        case .json:
            Terminal.print(
                json: .array(
                    settings.map {
                        [
                            "key": .string($0.key), "type": .string($0.type), "default": .string($0.value),
                            "description": .string($0.documentation),
                        ]
                    }))
        case .text:
            for setting in settings {
                Terminal.print(
                    "\(Style.bold.apply(to: setting.key, colour: Terminal.hasColour))  \(setting.type), \(setting.value == "required" ? "required" : "default \(setting.value)")"
                )
                Terminal.print("    \(setting.documentation)")
            }
        }
    }
}
