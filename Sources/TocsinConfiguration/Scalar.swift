import TocsinDomain
import TocsinWire

/// How one kind of value is written: read from text, and shown again.
struct Scalar<Value: Sendable> {
    /// One word, for the list of all keys: `duration`.
    let name: String
    /// What a person should write instead of what they wrote: `a duration such as 500ms, 10s or 5m`.
    let expected: String
    /// Words it is chosen from, for "did you mean".
    var words: [String] = []
    let parse: (String) -> Value?
    let format: (Value) -> String
}

extension Scalar where Value == String {
    static var text: Scalar { Scalar(name: "text", expected: "a text", parse: { $0 }, format: { $0 }) }

    /// A text that says something.
    static var word: Scalar {
        Scalar(
            name: "text", expected: "a text that is not empty", parse: { $0.allSatisfy(\.isWhitespace) ? nil : $0 },
            format: { $0 })
    }

    static var endpoint: Scalar {
        Scalar(
            name: "endpoint", expected: "a ZeroMQ endpoint such as tcp://127.0.0.1:7117 or ipc:///run/tocsin/hub",
            parse: { text in
                if text.hasPrefix("ipc://") { return text.utf8.count > 6 ? text : nil }
                guard text.hasPrefix("tcp://"), let colon = text.lastIndex(of: ":") else { return nil }
                guard let port = Int(text[text.index(after: colon)...]), (1...65535).contains(port) else { return nil }
                return text.distance(from: text.startIndex, to: colon) > 6 ? text : nil
            }, format: { $0 })
    }

    static var filter: Scalar {
        Scalar(
            name: "filter", expected: "a subject filter such as event.http.> or alert.*.checkout",
            parse: { text in
                do {
                    _ = try SubjectFilter(text)
                    return text
                } catch { return nil }
            }, format: { $0 })
    }

    /// One of `words`, in any case.
    static func choice(_ words: [String]) -> Scalar {
        Scalar(
            name: words.joined(separator: "|"), expected: "one of " + words.joined(separator: ", "), words: words,
            parse: { text in words.first { $0 == text.lowercased() } }, format: { $0 })
    }
}

extension Scalar where Value == Duration {
    static var duration: Scalar {
        Scalar(
            name: "duration", expected: "a duration such as 500ms, 10s, 5m or 1h30m", parse: DurationText.parse,
            format: DurationText.format)
    }

    /// A duration of at least `minimum`.
    static func duration(atLeast minimum: Duration) -> Scalar {
        Scalar(
            name: "duration", expected: "a duration of at least \(DurationText.format(minimum)), such as 10s or 5m",
            parse: { DurationText.parse($0).flatMap { $0 >= minimum ? $0 : nil } }, format: DurationText.format)
    }
}

extension Scalar where Value == Int {
    /// An amount of bytes.
    static func size(atLeast minimum: Int) -> Scalar {
        Scalar(
            name: "size", expected: "a size of at least \(SizeText.format(minimum)), such as 512KiB, 64MiB or 2GiB",
            parse: { SizeText.parse($0).flatMap { $0 >= minimum ? $0 : nil } }, format: SizeText.format)
    }

    static func integer(_ range: ClosedRange<Int>) -> Scalar {
        Scalar(
            name: "number", expected: "a whole number from \(range.lowerBound) to \(range.upperBound)",
            parse: { Int($0).flatMap { range.contains($0) ? $0 : nil } }, format: { "\($0)" })
    }
}

extension Scalar where Value == Double {
    static func number(_ range: ClosedRange<Double>) -> Scalar {
        Scalar(
            name: "number", expected: "a number from \(short(range.lowerBound)) to \(short(range.upperBound))",
            parse: { Double($0).flatMap { range.contains($0) ? $0 : nil } }, format: short)
    }

    private static func short(_ number: Double) -> String {
        Int(exactly: number).map { "\($0)" } ?? "\(number)"
    }
}

extension Scalar where Value == Bool {
    static var flag: Scalar {
        Scalar(
            name: "true|false", expected: "true or false", words: ["true", "false"],
            parse: { text in
                switch text.lowercased() {
                case "true", "yes", "on": true
                case "false", "no", "off": false
                default: nil
                }
            }, format: { $0 ? "true" : "false" })
    }
}

extension Scalar where Value == Severity {
    static var severity: Scalar {
        let words = Severity.allCases.reversed().map(\.name)
        return Scalar(
            name: "severity", expected: "a severity: " + words.joined(separator: ", "), words: words,
            parse: { Severity(parsing: $0) }, format: \.name)
    }
}

extension Scalar where Value == Level {
    static var level: Scalar {
        Scalar(
            name: "high|medium|low", expected: "high, medium or low", words: Level.allCases.map(\.name),
            parse: { Level(parsing: $0) }, format: \.name)
    }
}

extension Scalar where Value == Priority {
    static var priority: Scalar {
        Scalar(
            name: "priority", expected: "a priority from P1 to P5", words: Priority.allCases.map(\.name),
            parse: { Priority(parsing: $0) }, format: \.name)
    }
}

extension Scalar where Value == ClosedRange<Int> {
    /// `200`, or `200-299`.
    static var statuses: Scalar {
        Scalar(
            name: "statuses", expected: "an HTTP status such as 200, or a range such as 200-299",
            parse: { text in
                let parts = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
                guard let first = parts.first ?? nil, let last = parts.last ?? nil, parts.count <= 2 else { return nil }
                guard first >= 100, last <= 599, first <= last else { return nil }
                return first...last
            },
            format: { $0.lowerBound == $0.upperBound ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" })
    }
}
