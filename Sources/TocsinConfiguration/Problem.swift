/// Where in the file, both counted from 1.
public struct Position: Sendable, Equatable, Comparable {
    public var line: Int
    public var column: Int

    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    public static func < (a: Position, b: Position) -> Bool { (a.line, a.column) < (b.line, b.column) }
}

/// Where a value comes from; each wins over those after it.
public enum Source: Sendable, Equatable, CustomStringConvertible {
    /// `--endpoint`.
    case flag(String)
    /// `TOCSIN_ENDPOINT`.
    case environment(String)
    case file(String, Position?)
    case `default`

    public var description: String {
        switch self {
        case .flag(let name), .environment(let name): name
        case .file(let name, let position): position.map { "\(name):\($0.line):\($0.column)" } ?? name
        case .default: "default"
        }
    }
}

/// One thing that is wrong with a configuration: where, and one sentence that says what and what to do.
public struct Problem: Sendable, Equatable, CustomStringConvertible {
    public var source: Source
    public var message: String

    public init(_ source: Source, _ message: String) {
        self.source = source
        self.message = message
    }

    /// `tocsin.yaml:4:9: …`.
    public var description: String { source == .default ? message : "\(source): \(message)" }
}

/// A configuration cannot be used: everything that is wrong with it, in the order of the file.
public struct ConfigurationError: Error, Sendable, CustomStringConvertible {
    /// More are not described, only counted.
    public static let problemsShown = 20

    public var problems: [Problem]

    public init(_ problems: [Problem]) { self.problems = problems }

    /// One problem a line, at most `problemsShown`.
    public var description: String {
        var lines = problems.prefix(Self.problemsShown).map(\.description)
        if problems.count > Self.problemsShown { lines.append("and \(problems.count - Self.problemsShown) more") }
        return lines.joined(separator: "\n")
    }
}
