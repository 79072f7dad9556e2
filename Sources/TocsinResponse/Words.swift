import TocsinDomain
import TocsinProto

/// The words people see for what travels as numbers. Empty for "not set" and for numbers this version does not know.
enum Words {
    static func state(_ state: Tocsin_V1_IncidentState) -> String {
        UInt8(exactly: state.rawValue).flatMap(IncidentState.init(rawValue:))?.name ?? ""
    }

    static func priority(_ priority: Tocsin_V1_Priority) -> String {
        UInt8(exactly: priority.rawValue).flatMap(Priority.init(rawValue:))?.name ?? ""
    }

    static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
}

extension String {
    /// The longest start of at most so many bytes that cuts no character.
    func prefix(utf8 limit: Int) -> String {
        guard utf8.count > limit else { return self }
        var bytes = 0
        var end = startIndex
        while end < endIndex {
            let next = index(after: end)
            bytes += utf8.distance(from: end, to: next)
            if bytes > limit { break }
            end = next
        }
        return String(self[..<end])
    }
}

/// The start of what a command said, fit for a timeline.
enum Excerpt {
    private static let linesMax = 10
    private static let bytesMax = 1024

    /// At most 10 lines and 1,024 bytes, without control characters and trailing space. Empty if there was nothing.
    static func of(_ output: [UInt8]) -> String {
        let text = String(decoding: output.prefix(4 * bytesMax), as: UTF8.self)
        var lines: [String] = []
        for line in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).prefix(linesMax) {
            let visible = line.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }
            var trimmed = String(String.UnicodeScalarView(visible))[...]
            while trimmed.last == " " { trimmed.removeLast() }
            lines.append(String(trimmed))
        }
        while lines.last?.isEmpty == true { lines.removeLast() }
        return lines.joined(separator: "\n").prefix(utf8: bytesMax)
    }

    /// Of a command: what it printed, standard error after standard output.
    static func of(stdout: [UInt8], stderr: [UInt8]) -> String {
        let parts = [of(stdout), of(stderr)].filter { !$0.isEmpty }
        return parts.joined(separator: "\n").prefix(utf8: bytesMax)
    }
}
