import FoundationEssentials

/// What became of one step. `text` is what the timeline says.
struct StepOutcome: Sendable, Equatable {
    var succeeded: Bool
    var text: String
    /// Milliseconds since 1970.
    var time: UInt64
}

/// How a run ended.
struct RunEnd: Sendable, Equatable {
    var succeeded: Bool
    /// Verified, that is.
    var mitigated: Bool
    var text: String
    var time: UInt64
}

/// How telling one target of one change ended.
struct NotificationOutcome: Sendable, Equatable {
    var delivered: Bool
    var text: String
    var time: UInt64
}

/// One line of the ledger: something that was begun or done, and must not be forgotten.
enum LedgerEntry: Sendable, Equatable {
    case runStarted(run: String, steps: [String], time: UInt64)
    case stepStarted(run: String, step: Int)
    case stepFinished(run: String, step: Int, StepOutcome)
    case runFinished(run: String, RunEnd)
    /// Every report of the run is on the hub's disk; its texts are not needed any more.
    case runReported(run: String)
    case notified(notification: String, NotificationOutcome)
}

/// The lines of the ledger file:
///
///     <16 hex digits: FNV-1a of the JSON> <space> <JSON object> <newline>
///
/// A line that was cut off anywhere has no newline or the wrong checksum.
enum LedgerLine {
    private struct Fields: Codable {
        var kind: String
        var id: String
        var step: Int?
        var steps: [String]?
        var ok: Bool?
        var mitigated: Bool?
        var text: String?
        var time: UInt64?
    }

    /// With its newline. Throws what JSONEncoder throws.
    static func encode(_ entry: LedgerEntry) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let json = Array(try encoder.encode(fields(entry)))
        return Array(Checksum.hex(json).utf8) + [UInt8(ascii: " ")] + json + [UInt8(ascii: "\n")]
    }

    /// Without its newline. Nil if this is not a whole line of a ledger.
    static func decode(_ line: some Collection<UInt8>) -> LedgerEntry? {
        let json = Data(line.dropFirst(17))
        guard line.count > 17, line.prefix(17).elementsEqual((Checksum.hex(json) + " ").utf8) else { return nil }
        do {
            return entry(try JSONDecoder().decode(Fields.self, from: json))
        } catch {
            return nil
        }
    }

    private static func fields(_ entry: LedgerEntry) -> Fields {
        switch entry {
        case .runStarted(let run, let steps, let time): Fields(kind: "run-started", id: run, steps: steps, time: time)
        case .stepStarted(let run, let step): Fields(kind: "step-started", id: run, step: step)
        case .stepFinished(let run, let step, let outcome):
            Fields(
                kind: "step-finished", id: run, step: step, ok: outcome.succeeded, text: outcome.text,
                time: outcome.time)
        case .runFinished(let run, let end):
            Fields(
                kind: "run-finished", id: run, ok: end.succeeded, mitigated: end.mitigated, text: end.text,
                time: end.time)
        case .runReported(let run): Fields(kind: "run-reported", id: run)
        case .notified(let notification, let outcome):
            Fields(
                kind: "notified", id: notification, ok: outcome.delivered, text: outcome.text, time: outcome.time)
        }
    }

    private static func entry(_ fields: Fields) -> LedgerEntry? {
        switch (fields.kind, fields.step, fields.ok, fields.text, fields.time) {
        case ("run-started", _, _, _, let time?):
            fields.steps.map { .runStarted(run: fields.id, steps: $0, time: time) }
        case ("step-started", let step?, _, _, _): .stepStarted(run: fields.id, step: step)
        case ("step-finished", let step?, let ok?, let text?, let time?):
            .stepFinished(run: fields.id, step: step, StepOutcome(succeeded: ok, text: text, time: time))
        case ("run-finished", _, let ok?, let text?, let time?):
            .runFinished(
                run: fields.id,
                RunEnd(succeeded: ok, mitigated: fields.mitigated ?? false, text: text, time: time))
        case ("run-reported", _, _, _, _): .runReported(run: fields.id)
        case ("notified", _, let ok?, let text?, let time?):
            .notified(
                notification: fields.id, NotificationOutcome(delivered: ok, text: text, time: time))
        default: nil
        }
    }
}
