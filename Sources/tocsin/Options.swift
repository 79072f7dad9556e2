import ArgumentParser
import Glibc
import TocsinConfiguration
import TocsinDomain
import TocsinProgram
import TocsinProto
import TocsinSystem

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
            "Who does it. Default: the name of your key; without one, the login name. (Environment: TOCSIN_USER.)",
            valueName: "person"))
    var person: String?

    /// `proven`: the name of the key, which the hub knows anyway.
    func name(_ proven: String?) -> String { Self.name(person, proven: proven) }

    /// The same for a person who is given another way.
    static func name(_ person: String?, proven: String?) -> String {
        if let person { return person }
        if let proven { return proven }
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

/// A mark of the Traffic Light Protocol, by its name.
struct TrafficLightArgument: ExpressibleByArgument, Sendable {
    let value: TrafficLight
    init?(argument: String) {
        guard let light = TrafficLight(name: argument) else { return nil }
        value = light
    }
    static var allValueStrings: [String] { TrafficLight.allCases.reversed().map(\.name) }
}

/// A state of an incident, by its name.
struct StateArgument: ExpressibleByArgument, Sendable {
    let value: IncidentState
    init?(argument: String) {
        guard let state = IncidentState.allCases.first(where: { $0.name == argument.lowercased() }) else { return nil }
        value = state
    }
    static var allValueStrings: [String] { IncidentState.allCases.map(\.name) }
}

/// `--drills-only`, `--no-drills`.
enum DrillChoice: EnumerableFlag {
    case only, none

    static func name(for value: DrillChoice) -> NameSpecification {
        switch value {
        case .only: .customLong("drills-only")
        case .none: .customLong("no-drills")
        }
    }

    var filter: Tocsin_V1_DrillFilter {
        switch self {
        case .only: .only
        case .none: .exclude
        }
    }
}

/// `P1` to `P5`.
struct PriorityArgument: ExpressibleByArgument, Sendable {
    let value: Priority
    init?(argument: String) {
        guard let priority = Priority(parsing: argument) else { return nil }
        value = priority
    }
    static var allValueStrings: [String] { Priority.allCases.map(\.name) }
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
