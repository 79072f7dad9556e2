import CLinux
import Glibc
import TocsinDomain

/// The patterns of one log, ready to be applied. Not Sendable, as compiled regular expressions are not.
struct LogMatcher {
    /// A regular expression looks at so many bytes of a line; `contains` at all of it.
    static let regexBytes = 8 << 10
    /// Of the value of a named group.
    static let captureBytes = 256

    struct Match {
        var pattern: LogPattern
        /// Of the named groups that matched something.
        var captures: [(name: String, value: String)]
        /// Empty: triage makes a fingerprint.
        var dedupKey: String
    }

    private struct Compiled {
        var pattern: LogPattern
        var needle: [UInt8]
        var regex: Regex<AnyRegexOutput>?
        var dedupKey: DedupTemplate
    }

    private let patterns: [Compiled]

    /// - Throws: `ConfigurationProblem` for the first pattern that cannot work.
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
            let template = DedupTemplate(pattern.dedupKey ?? "")
            for name in template.names where regex?.contains(captureNamed: name) != true {
                throw ConfigurationProblem(
                    "the dedup key \"\(pattern.dedupKey ?? "")\" uses {\(name)}, but the regular expression has no group (?<\(name)>…)"
                )
            }
            compiled.append(
                Compiled(
                    pattern: pattern, needle: Array((pattern.contains ?? "").utf8), regex: regex, dedupKey: template))
        }
        self.patterns = compiled
    }

    /// The first pattern that matches, nil if none does.
    func match(_ line: UnsafeRawBufferPointer) -> Match? {
        var decoded: String?
        for compiled in patterns {
            if !compiled.needle.isEmpty, !contains(line, compiled.needle) { continue }
            guard let regex = compiled.regex else {
                return Match(pattern: compiled.pattern, captures: [], dedupKey: compiled.dedupKey.filled([]))
            }
            let string = decoded ?? text(line, limit: Self.regexBytes)
            decoded = string
            // A match that fails inside the engine is no match.
            guard let found = string.firstMatch(of: regex) else { continue }
            var captures: [(name: String, value: String)] = []
            for element in found.output {
                guard let name = element.name, let value = element.substring, !value.isEmpty else { continue }
                captures.append((name, shortened(value)))
            }
            return Match(
                pattern: compiled.pattern, captures: captures, dedupKey: compiled.dedupKey.filled(captures))
        }
        return nil
    }

    private func shortened(_ value: Substring) -> String {
        guard value.utf8.count > Self.captureBytes else { return String(value) }
        return Array(value.utf8.prefix(Self.captureBytes + 1)).withUnsafeBytes { text($0, limit: Self.captureBytes) }
    }

    private func contains(_ line: UnsafeRawBufferPointer, _ needle: [UInt8]) -> Bool {
        guard let start = line.baseAddress, line.count >= needle.count else { return false }
        return needle.withUnsafeBytes { memmem(start, line.count, $0.baseAddress ?? start, $0.count) != nil }
    }
}

/// A dedup key with `{name}` in it. Filled in one pass: braces in a value mean themselves.
private struct DedupTemplate {
    private enum Part {
        case text(String)
        case name(String)
    }

    private var parts: [Part] = []

    init(_ source: String) {
        var rest = source[...]
        while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
            parts.append(.text(String(rest[..<open])))
            parts.append(.name(String(rest[rest.index(after: open)..<close])))
            rest = rest[rest.index(after: close)...]
        }
        parts.append(.text(String(rest)))
    }

    var names: [String] {
        parts.compactMap { if case .name(let name) = $0 { name } else { nil } }
    }

    func filled(_ captures: [(name: String, value: String)]) -> String {
        var key = ""
        for part in parts {
            switch part {
            case .text(let text): key += text
            case .name(let name): key += captures.first { $0.name == name }?.value ?? ""
            }
        }
        return key
    }
}
