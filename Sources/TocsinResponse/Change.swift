import TocsinDomain
import TocsinKit
import TocsinProto

/// Why a delivery can never be handled. The message becomes a dead letter.
struct MalformedChange: Error, CustomStringConvertible {
    var description: String
}

/// A change of an incident, checked, in the domain's types.
struct Change: Sendable {
    /// `incident/<number>/<version>`: the same however often the change is delivered.
    let id: String
    let verb: String
    /// Who made it; empty if the change does not say.
    let actor: String
    let number: UInt64
    let severity: Severity
    /// Everything else, as it came.
    let proto: Tocsin_V1_IncidentChange

    var incident: Tocsin_V1_Incident { proto.incident }
    var services: [String] { proto.incident.services }
    var labels: [String: String] { proto.labels }
    var isDrill: Bool { proto.incident.drill }

    init(_ message: Message) throws(MalformedChange) {
        guard message.type.isEmpty || message.type == Tocsin_V1_IncidentChange.protoMessageName else {
            throw MalformedChange(
                description:
                    "the payload is a \(message.type.prefix(64)), not a \(Tocsin_V1_IncidentChange.protoMessageName)")
        }
        let change: Tocsin_V1_IncidentChange
        do {
            change = try message.decode()
        } catch {
            throw MalformedChange(description: "the payload is not an IncidentChange: \(error)")
        }
        try self.init(change)
    }

    init(_ change: Tocsin_V1_IncidentChange) throws(MalformedChange) {
        guard change.incident.number > 0 else {
            throw MalformedChange(description: "the change has no incident number")
        }
        // The id becomes part of report ids, of an HTTP header and of the ledger.
        guard (1...128).contains(change.id.utf8.count), change.id.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw MalformedChange(
                description:
                    "the change of incident \(change.incident.number) has no usable id; 1 to 128 printable ASCII "
                    + "characters without spaces are needed")
        }
        guard !change.verb.isEmpty else {
            throw MalformedChange(description: "the change \(change.id) has no verb")
        }
        id = change.id
        verb = change.verb
        actor = change.entry.actor
        number = change.incident.number
        severity = UInt8(exactly: change.incident.severity.rawValue).flatMap(Severity.init(rawValue:)) ?? .info
        proto = change
    }
}
