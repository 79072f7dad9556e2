import TocsinKit
import TocsinProto
import TocsinWire

/// The reports about one run or one notification, and the messages that carry them. Ids are made of the change, the
/// runbook and the step, so a report that is published again has no second effect.
struct ReportFactory: Sendable {
    let change: Change
    /// "runbook:restart-checkout", "notify:ops".
    let actor: String
    /// The runbook or the target; the last token of the subject.
    let name: String

    init(_ run: PlannedRun) {
        self.init(change: run.change, runbook: run.runbook.name)
    }

    init(change: Change, runbook: String) {
        self.change = change
        actor = Actor.runbookPrefix + runbook
        name = runbook
    }

    init(_ notification: PlannedNotification) {
        change = notification.change
        actor = Actor.notifyPrefix + notification.target.name
        name = notification.target.name
    }

    func started(_ run: PlannedRun, at time: UInt64) throws -> Message {
        let steps = Words.count(run.runbook.steps.count, "step")
        let then = run.runbook.verify == nil ? "no verification" : "then verification"
        return try message("started", .started, "after \"\(change.verb)\": \(steps), \(then)", at: time)
    }

    /// `step` counts from 0.
    func step(_ step: Int, _ outcome: StepOutcome) throws -> Message {
        try message("step-\(step + 1)", .step, outcome.text, at: outcome.time)
    }

    func end(_ end: RunEnd) throws -> Message {
        try message("end", end.succeeded ? .succeeded : .failed, end.text, at: end.time, mitigated: end.mitigated)
    }

    func notified(_ outcome: NotificationOutcome) throws -> Message {
        try message("notified", outcome.delivered ? .notified : .notificationFailed, outcome.text, at: outcome.time)
    }

    private func message(
        _ part: String, _ verb: ReportVerb, _ text: String, at time: UInt64, mitigated: Bool = false
    ) throws -> Message {
        let id = "\(change.id)/\(actor)/\(part)"
        let report = Tocsin_V1_ResponseReport.with {
            $0.id = id
            $0.incident = change.number
            $0.actor = actor
            $0.verb = verb.rawValue
            $0.text = text
            $0.time = time
            $0.mitigated = mitigated
        }
        return try Message(
            report, id: Self.messageID(id), subject: "response.\(verb.rawValue).\(Subject.token(name))",
            severity: WireSeverity(rawValue: change.severity.rawValue) ?? .info, key: "incident-\(change.number)")
    }

    /// The id itself, or where it is longer than a message id may be, its start and a hash of it.
    static func messageID(_ id: String) -> [UInt8] {
        let bytes = Array(id.utf8)
        guard bytes.count > 64 else { return bytes }
        return bytes.prefix(47) + [UInt8(ascii: "#")] + Array(Checksum.hex(bytes).utf8)
    }
}

/// The verbs of reports; the second token of their subjects.
enum ReportVerb: String, CaseIterable {
    case started = "runbook-started"
    case step = "runbook-step"
    case succeeded = "runbook-succeeded"
    case failed = "runbook-failed"
    case notified = "notified"
    case notificationFailed = "notification-failed"
}

/// FNV-1a, 64 bits: against torn writes and mixed-up names, not against people.
enum Checksum {
    /// 16 lower-case hexadecimal digits.
    static func hex(_ bytes: some Sequence<UInt8>) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
