import Logging
import TocsinConfiguration
import TocsinPosix

/// Writes the log to standard error: one line a message, in one write.
package struct LineLogHandler: LogHandler {
    package var metadata: Logger.Metadata = [:]
    package var logLevel: Logger.Level
    package let format: LogSettings.Format
    /// Which process of a system says it.
    package let process: String

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var fields: [(String, String)] = [
            ("time", TimeText.utc(MachineClock.wall())), ("level", event.level.rawValue), ("process", process),
            ("msg", event.message.description),
        ]
        let all = event.metadata.map { metadata.merging($0) { $1 } } ?? metadata
        for (key, value) in all.sorted(by: { $0.key < $1.key }) { fields.append((key, "\(value)")) }
        Terminal.write(line(fields) + "\n", to: 2)
    }

    func line(_ fields: [(String, String)]) -> String {
        switch format {
        case .json: JSON.object(fields.map { ($0.0, .string($0.1)) }).line
        case .logfmt: fields.map { "\($0.0)=\(Self.quotedIfNeeded($0.1))" }.joined(separator: " ")
        }
    }

    private static func quotedIfNeeded(_ text: String) -> String {
        let isPlain =
            !text.isEmpty
            && text.unicodeScalars.allSatisfy {
                $0.value > 0x20 && !$0.isUnsafeToShow && $0 != "\"" && $0 != "=" && $0 != "\\"
            }
        return isPlain ? text : JSON.quoted(text)
    }
}

extension LogSettings {
    /// A logger for the process called `process`.
    package func logger(process: String) -> Logger {
        let level = Logger.Level(rawValue: level) ?? .info
        return Logger(label: process) { _ in LineLogHandler(logLevel: level, format: format, process: process) }
    }
}
