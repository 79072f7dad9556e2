import CLinux
import Glibc

/// The patterns of one log, ready to be applied. Not Sendable, as compiled regular expressions are not.
struct LogMatcher {
    /// A regular expression looks at so many bytes of a line; `contains` at all of it.
    static let regexBytes = 8 << 10

    struct Match {
        var pattern: LogPattern
        /// Of the named groups.
        var captures: [(name: String, value: String)]
    }

    private struct Compiled {
        var pattern: LogPattern
        var needle: [UInt8]
        var regex: Regex<AnyRegexOutput>?
    }

    private let patterns: [Compiled]

    /// - Throws: `ConfigurationProblem` with the pattern that is not a regular expression.
    init(_ patterns: [LogPattern]) throws(ConfigurationProblem) {
        var compiled: [Compiled] = []
        for pattern in patterns.isEmpty ? [LogPattern()] : patterns {
            var regex: Regex<AnyRegexOutput>?
            if let source = pattern.regex {
                do {
                    regex = try Regex(source)
                } catch {
                    throw ConfigurationProblem("\"\(source)\" is not a regular expression: \(error)")
                }
            }
            compiled.append(Compiled(pattern: pattern, needle: Array((pattern.contains ?? "").utf8), regex: regex))
        }
        self.patterns = compiled
    }

    /// The first pattern that matches, nil if none does.
    func match(_ line: UnsafeRawBufferPointer) -> Match? {
        var decoded: String?
        for compiled in patterns {
            if !compiled.needle.isEmpty, !contains(line, compiled.needle) { continue }
            guard let regex = compiled.regex else { return Match(pattern: compiled.pattern, captures: []) }
            let string = decoded ?? text(line, limit: Self.regexBytes)
            decoded = string
            // A match that fails inside the engine is no match.
            guard let found = string.firstMatch(of: regex) else { continue }
            var captures: [(name: String, value: String)] = []
            for element in found.output {
                if let name = element.name, let value = element.substring { captures.append((name, String(value))) }
            }
            return Match(pattern: compiled.pattern, captures: captures)
        }
        return nil
    }

    private func contains(_ line: UnsafeRawBufferPointer, _ needle: [UInt8]) -> Bool {
        guard let start = line.baseAddress, line.count >= needle.count else { return false }
        return needle.withUnsafeBytes { memmem(start, line.count, $0.baseAddress ?? start, $0.count) != nil }
    }
}
