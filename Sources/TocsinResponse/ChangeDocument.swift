import FoundationEssentials
import TocsinProto

/// What a notification says: the change as JSON, with the names of `incident.proto`, severities, priorities and states
/// as words, times in milliseconds since 1970-01-01 UTC and left out where not reached.
struct ChangeDocument: Encodable {
    let id: String
    let verb: String
    let incident: IncidentDocument
    let entry: EntryDocument?
    let labels: [String: String]

    struct IncidentDocument: Encodable {
        let number: UInt64
        let state: String
        let title: String
        let services: [String]
        let severity: String
        let priority: String
        let assignee: String
        let cause: String
        let runbook: String
        let drill: Bool
        let alertsFiring: UInt32
        let alertsTotal: UInt32
        let events: UInt64
        let reopened: UInt32
        let version: UInt64
        let detectedAt: UInt64?
        let triagedAt: UInt64?
        let acknowledgedAt: UInt64?
        let mitigatedAt: UInt64?
        let resolvedAt: UInt64?
        let closedAt: UInt64?
        let updatedAt: UInt64?
    }

    struct EntryDocument: Encodable {
        let time: UInt64
        let actor: String
        let verb: String
        let text: String
        let before: String
        let after: String
    }

    init(_ change: Change) {
        func stamp(_ time: UInt64) -> UInt64? { time == 0 ? nil : time }
        let incident = change.incident
        id = change.id
        verb = change.verb
        labels = change.labels
        self.incident = IncidentDocument(
            number: incident.number, state: Words.state(incident.state), title: incident.title,
            services: incident.services, severity: change.severity.name, priority: Words.priority(incident.priority),
            assignee: incident.assignee, cause: incident.cause, runbook: incident.runbook, drill: incident.drill,
            alertsFiring: incident.alertsFiring, alertsTotal: incident.alertsTotal, events: incident.events,
            reopened: incident.reopened, version: incident.version, detectedAt: stamp(incident.detectedAt),
            triagedAt: stamp(incident.triagedAt), acknowledgedAt: stamp(incident.acknowledgedAt),
            mitigatedAt: stamp(incident.mitigatedAt), resolvedAt: stamp(incident.resolvedAt),
            closedAt: stamp(incident.closedAt), updatedAt: stamp(incident.updatedAt))
        let entry = change.proto.entry
        self.entry =
            change.proto.hasEntry
            ? EntryDocument(
                time: entry.time, actor: entry.actor, verb: entry.verb, text: entry.text, before: entry.before,
                after: entry.after) : nil
    }

    /// The same bytes each time, so that a receiver may compare repetitions.
    func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(self))
    }
}
