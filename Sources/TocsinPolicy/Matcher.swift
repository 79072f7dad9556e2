import TocsinDomain
public import TocsinProto

/// A test of one label, as Alertmanager's API and silences have it: `name="value"`, `!=`, `=~`, `!~`. An expression matches the whole
/// value; a label that is absent is empty.
public struct Matcher: Sendable {
    public enum Operator: String, Sendable, CaseIterable {
        case equal = "="
        case notEqual = "!="
        case matches = "=~"
        case matchesNot = "!~"

        init(_ matcher: Tocsin_V1_LabelMatcher) {
            self = matcher.regex ? (matcher.negated ? .matchesNot : .matches) : (matcher.negated ? .notEqual : .equal)
        }
    }
    /// Says what is wrong.
    public struct Problem: Error, Sendable, Equatable, CustomStringConvertible {
        public var description: String
    }
    public let name: String
    public let value: String
    public let `operator`: Operator
    private var pattern: TextPattern?

    /// - Throws: for an empty name, and an expression that is none or is not understood.
    public init(name: String, _ operator: Operator, value: String) throws(Problem) {
        guard !name.isEmpty else { throw Problem(description: "the name of a label is empty") }
        self.name = name
        self.value = value
        self.operator = `operator`
        guard `operator` == .matches || `operator` == .matchesNot else { return }
        do throws(TextPattern.Problem) {
            // By itself first: a closing bracket too many must not end the group.
            _ = try TextPattern(value)
            pattern = try TextPattern("^(?:\(value))$")
        } catch {
            throw Problem(description: "bad regular expression \"\(shortened(value, to: 128))\": \(error)")
        }
    }

    /// `severity="critical"`, also without quotes, as `amtool` sends it.
    public init(parsing text: String) throws(Problem) {
        let text = Self.trimmed(text)
        guard let at = text.firstIndex(where: { "=!".contains($0) }) else {
            throw Problem(description: "bad matcher format: \(shortened(String(text), to: 128))")
        }
        let name = Self.trimmed(text[..<at])
        let rest = text[at...]
        let found = Operator.allCases.sorted { $0.rawValue.count > $1.rawValue.count }.first { rest.hasPrefix($0.rawValue) }
        guard let found, !name.isEmpty else {
            throw Problem(description: "bad matcher format: \(shortened(String(text), to: 128))")
        }
        let value = Self.trimmed(rest.dropFirst(found.rawValue.count))
        try self.init(name: Self.unquoted(name), found, value: Self.unquoted(value))
    }

    private static func trimmed(_ text: some StringProtocol) -> Substring {
        var rest = Substring(text).drop(while: \.isWhitespace)
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return rest
    }

    private static func unquoted(_ text: Substring) -> String {
        guard text.count >= 2, text.hasPrefix("\""), text.hasSuffix("\"") else { return String(text) }
        var output = ""
        var isEscaped = false
        for character in text.dropFirst().dropLast() {
            if isEscaped {
                output.append(character == "n" ? "\n" : character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else {
                output.append(character)
            }
        }
        return output
    }

    public init(_ matcher: Tocsin_V1_LabelMatcher) throws(Problem) {
        try self.init(name: matcher.name, Operator(matcher), value: matcher.value)
    }

    /// `service=~"web.*"`, as `amtool` shows it.
    public static func words(_ matcher: Tocsin_V1_LabelMatcher) -> String {
        "\(matcher.name)\(Operator(matcher).rawValue)\"\(matcher.value)\""
    }

    public var message: Tocsin_V1_LabelMatcher {
        .with {
            $0.name = name
            $0.value = value
            $0.regex = pattern != nil
            $0.negated = `operator` == .notEqual || `operator` == .matchesNot
        }
    }

    public mutating func matches(_ labels: [String: String]) -> Bool { matches(labels[name] ?? "") }

    /// Whether a value matches, whatever label it is of.
    package mutating func matches(_ text: String) -> Bool {
        switch `operator` {
        case .equal: text == value
        case .notEqual: text != value
        case .matches: pattern?.matches(text) ?? false
        case .matchesNot: !(pattern?.matches(text) ?? false)
        }
    }
}

extension Array where Element == Matcher {
    /// Whether all of them match.
    public mutating func match(_ labels: [String: String]) -> Bool {
        for index in indices where !self[index].matches(labels) { return false }
        return true
    }
}
