import TocsinDomain
import TocsinProto

/// Why a request of the incident service is not done, with the gRPC code it is answered with.
struct CommandRefusal: Error, Sendable, Equatable, CustomStringConvertible {
    /// Numbers are gRPC's, and those that the archive stores.
    enum Code: UInt32, Sendable {
        case invalidArgument = 3
        case notFound = 5
        case failedPrecondition = 9
    }

    var code: Code
    /// One sentence; of a refused transition it begins with the name of the refusal.
    var message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    init(_ refusal: TransitionRefusal) { self.init(.failedPrecondition, refusal.description) }

    var description: String { message }
}

/// A person's command, looked at without regard to any incident.
struct Command: Sendable, Equatable {
    enum Kind: Sendable, Equatable {
        case transition(IncidentAction)
        case assign
        case note
        /// Without a priority, it follows from the severity.
        case severity(Severity, Priority?)
        case merge(into: UInt64)
        /// The fingerprints in order, each once.
        case split(fingerprints: [String], title: String)
        case mark(TrafficLight)
        /// Each once; none: everybody.
        case restrict(people: [String])
    }

    var id: String
    var number: UInt64
    var actor: String
    var kind: Kind
    var text: String
    var waivePostmortem: Bool

    /// Throws `invalidArgument` with the field that is missing, wrong or too long.
    init(_ request: some CommandRequest) throws(CommandRefusal) {
        let wish = try request.wish()
        id = request.requestID
        number = request.number
        actor = request.actor
        kind = wish.kind
        text = wish.text
        waivePostmortem = wish.waivePostmortem
        func refuse(_ message: String) -> CommandRefusal { CommandRefusal(.invalidArgument, message) }
        if id.isEmpty { throw refuse("request_id is empty; give each command an id, so that it is done only once") }
        if number == 0 { throw refuse("number is 0; say which incident") }
        if Self.isBlank(actor) { throw refuse("actor is empty; every change of an incident has a named actor") }
        let limit: Int
        switch kind {
        case .assign:
            limit = TextLimit.name
            if Self.isBlank(text) { throw refuse("assignee is empty; say to whom the incident is assigned") }
        case .note:
            limit = TextLimit.note
            if Self.isBlank(text) { throw refuse("note is empty") }
        case .transition, .severity, .merge, .split, .mark, .restrict: limit = TextLimit.cause
        }
        let bounds = [
            ("request_id", id, TextLimit.name), ("actor", actor, TextLimit.name), (wish.field, text, limit),
        ]
        for (field, value, limit) in bounds where value.utf8.count > limit {
            throw refuse("\(field) has \(value.utf8.count) bytes; at most \(limit) are possible")
        }
    }

    /// What the archive does of itself, as a person would.
    init(id: String, number: UInt64, kind: Kind, text: String) {
        self.id = id
        self.number = number
        actor = Lifecycle.automaticActor
        self.kind = kind
        self.text = text
        waivePostmortem = false
    }

    /// As it stands in the tables: `acknowledge`, `assign`, ...
    var action: String {
        switch kind {
        case .transition(let action): action.name
        case .assign: "assign"
        case .note: "note"
        case .severity: "severity"
        case .merge: "merge"
        case .split: "split"
        case .mark: "mark"
        case .restrict: "restrict"
        }
    }

    /// What else tells it apart from other commands of its action, as it stands in the tables.
    func arguments() throws -> String {
        switch kind {
        case .transition, .assign, .note: ""
        case .severity(let severity, let priority): "\(severity) \(priority?.name ?? "")"
        case .merge(let into): "\(into)"
        case .split(let fingerprints, let title): try JSONText.encode(fingerprints + [title])
        case .mark(let light): light.name
        case .restrict(let people): try JSONText.encode(people)
        }
    }

    static func isBlank(_ text: String) -> Bool { text.allSatisfy(\.isWhitespace) }
}
