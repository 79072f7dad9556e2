import TocsinDomain
import TocsinProto
import TocsinWire

/// Whether an event that a caller reports can be stored and understood.
enum EventCheck {
    /// Throws `invalidArgument` that names the field.
    static func check(_ event: Tocsin_V1_Event) throws(CommandRefusal) {
        func refuse(_ message: String) -> CommandRefusal { CommandRefusal(.invalidArgument, "event.\(message)") }
        if Command.isBlank(event.service) { throw refuse("service is empty; say what it is about") }
        if Command.isBlank(event.summary) { throw refuse("summary is empty; say in one line what is wrong") }
        // The id becomes the envelope's id, the service its key.
        let bounds = [("id", event.id, Limits.idBytes), ("service", event.service, Limits.keyBytes)]
        for (field, value, limit) in bounds where value.utf8.count > limit {
            throw refuse("\(field) has \(value.utf8.count) bytes; at most \(limit) are possible")
        }
        if case .UNRECOGNIZED(let kind) = event.kind {
            throw refuse("kind \(kind) does not exist; 1 is a trigger, 2 a resolve")
        }
        if !event.severityHint.isEmpty, Severity(parsing: event.severityHint) == nil {
            throw refuse("severity_hint \"\(event.severityHint.prefix(64))\" is none of critical, major, minor, info")
        }
    }
}
