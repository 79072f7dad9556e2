import Crypto
import Glibc
import TocsinDomain
import TocsinKit
import TocsinProto
import TocsinSystem
import TocsinTemplates

/// One line of a log.
struct LogLine {
    /// Of the event, if it becomes one: the same whenever the line is read again.
    var id: String
    /// Valid during the call it is passed to.
    var bytes: UnsafeRawBufferPointer
    /// Whether the line went on behind `bytes`.
    var isCut: Bool
    /// What else its source says of it.
    var labels: [String: String] = [:]
    var details: [String: String] = [:]
}

/// Makes events of the lines of one log, whatever they were read from: by patterns, and by their templates. Used by one thread
/// at a time.
struct LineEvents: ~Copyable {
    static let summaryBytes = 512
    /// Of a line in an event's details.
    static let lineBytes = 64 << 10
    /// At most so often is it said that lines were cut or no text.
    static let saidEvery = Duration.seconds(60)

    private let maker: EventMaker
    /// Nil: no line is an event by itself.
    private let matcher: LogMatcher?
    private let templates: TemplateCheck?
    private let file: StateFile<TemplateWatch.Saved>
    private var watch: TemplateWatch?
    /// The watch has seen more than what is on disk.
    private var isUnsaved = false
    private var isBehind = false
    private var cutLines = 0
    private var otherLines = 0
    private var said: Duration?

    /// Blocking: reads what is known of templates. `problem` is told if that cannot be used.
    init(
        detector: String, directory: String, check: Check, log: LogCheck, problem: (StateFileError) -> Void
    ) throws(ConfigurationProblem) {
        maker = EventMaker(detector: detector, check: check)
        matcher = log.patterns.isEmpty && log.templates != nil ? nil : try LogMatcher(log.patterns)
        templates = log.templates
        file = StateFile(path: statePath(directory, "templates", detector, check.name))
        guard let templates else { return }
        var saved: TemplateWatch.Saved?
        do {
            saved = try file.load()
        } catch {
            problem(error)
        }
        watch = TemplateWatch(settling: templates.settling, saved: saved)
    }

    /// The event of a line, nil if it is none.
    mutating func take(_ line: LogLine, observedAt: UInt64) throws -> Message? {
        line.bytes.withMemoryRebound(to: UInt8.self) { watch?.observe($0.span) }
        if line.isCut { cutLines += 1 }
        guard let match = matcher?.match(line.bytes) else { return nil }
        let isText = isUTF8(line)
        if !isText { otherLines += 1 }
        let check = maker.check
        var labels = maker.baseLabels.merging(line.labels) { $1 }
        for capture in match.captures { labels[capture.name] = capture.value }
        var details = maker.baseDetails.merging(line.details) { $1 }
        if line.bytes.count > Self.summaryBytes { details["line"] = text(line.bytes, limit: Self.lineBytes) }
        if line.isCut { details["truncated"] = "true" }
        if !isText { details["not_utf8"] = "true" }
        return try maker.message(
            EventMaker.Content(
                id: line.id, kind: match.pattern.resolve ? .resolve : .trigger,
                service: match.pattern.service ?? check.service, summary: text(line.bytes, limit: Self.summaryBytes),
                severity: match.pattern.severity ?? check.severity, dedupKey: match.dedupKey, labels: labels,
                details: details, observedAt: observedAt))
    }

    /// Events about templates, every 10 s. `atEnd`: all lines that there are were taken.
    mutating func look(nowMs: UInt64, atEnd: Bool) throws -> [Message] {
        isBehind = isBehind || !atEnd
        guard watch?.isDue(nowMs: nowMs) == true, let findings = watch?.look(nowMs: nowMs, isBehind: isBehind) else { return [] }
        isBehind = false
        isUnsaved = true
        let beganMs = watch?.beganMs ?? nowMs
        return try findings.map { try event($0, beganMs: beganMs, nowMs: nowMs) }
    }

    private func event(_ finding: TemplateWatch.Finding, beganMs: UInt64, nowMs: UInt64) throws -> Message {
        let template = digest(finding.template)
        // A new template is so once for each watch; what begins and ends may come again.
        let time = finding.kind == .new ? beganMs : nowMs
        let summary =
            switch (finding.kind, finding.begins) {
            case (.new, _): "new in the log: "
            case (.burst, true): "\(finding.lines) lines, at most \(finding.expected ?? 0) are usual: "
            case (.burst, false): "as many lines as usual again: "
            case (.vanished, true): "no longer in the log: "
            case (.vanished, false): "in the log again: "
            }
        var labels = maker.baseLabels
        labels["finding"] = finding.kind.rawValue
        var details = maker.baseDetails
        details["template"] = finding.template
        details["lines"] = String(finding.lines)
        if let expected = finding.expected { details["expected"] = String(expected) }
        if let pause = finding.pauseMs { details["longest_pause_s"] = String(pause / 1000) }
        for (index, example) in finding.examples.enumerated() { details["example_\(index + 1)"] = example }
        let key = "\(maker.baseLabels["host"] ?? "")/\(maker.check.name)/\(finding.kind.rawValue)/\(template)"
        return try maker.message(
            EventMaker.Content(
                id: "template-" + digest("\(key)/\(finding.begins)/\(time)"), kind: finding.begins ? .trigger : .resolve,
                service: maker.check.service,
                summary: Array((summary + finding.template).utf8).withUnsafeBytes { text($0, limit: Self.summaryBytes) },
                severity: templates?.severity ?? maker.check.severity, dedupKey: key, labels: labels, details: details,
                observedAt: nowMs))
    }

    private func digest(_ text: String) -> String { SHA256.hash(data: Array(text.utf8)).prefix(12).hexadecimal }

    /// Writes down what is known of templates. Blocking.
    mutating func save() throws(StateFileError) {
        guard isUnsaved, let saved = watch?.saved else { return }
        try file.save(saved)
        isUnsaved = false
    }

    /// What is worth a sentence about the lines since the last time, nil if there is nothing or it was said not long ago.
    mutating func notice(now: Duration) -> String? {
        guard cutLines + otherLines > 0, said.map({ now - $0 >= Self.saidEvery }) ?? true else { return nil }
        var parts: [String] = []
        func lines(_ count: Int) -> String { count == 1 ? "1 line" : "\(count) lines" }
        if cutLines > 0 { parts.append("\(lines(cutLines)) longer than \(LogTail.lineLimit) bytes, cut") }
        if otherLines > 0 { parts.append("\(lines(otherLines)) with bytes that are not UTF-8, replaced") }
        (cutLines, otherLines, said) = (0, 0, now)
        return parts.joined(separator: "; ")
    }

    /// Whether the bytes are text, apart from a character that was cut.
    private func isUTF8(_ line: LogLine) -> Bool {
        let cut = line.isCut ? min(3, line.bytes.count) : 0
        return (0...cut).contains { String(validating: line.bytes.dropLast($0), as: UTF8.self) != nil }
    }
}
