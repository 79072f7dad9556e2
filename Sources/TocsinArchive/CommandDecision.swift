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
    }

    var id: String
    var number: UInt64
    var actor: String
    var kind: Kind
    var text: String
    var waivePostmortem: Bool

    /// Throws `invalidArgument` with what is missing or too long.
    init(_ request: Tocsin_V1_CommandRequest) throws(CommandRefusal) {
        id = request.id
        number = request.number
        actor = request.actor
        text = request.text
        waivePostmortem = request.waivePostmortem
        switch request.action {
        case .acknowledge: kind = .transition(.acknowledge)
        case .investigate: kind = .transition(.investigate)
        case .mitigate: kind = .transition(.mitigate)
        case .resolve: kind = .transition(.resolve)
        case .close: kind = .transition(.close)
        case .dismiss: kind = .transition(.dismiss)
        case .reopen: kind = .transition(.reopen)
        case .assign: kind = .assign
        case .note: kind = .note
        case .unspecified, .UNRECOGNIZED:
            throw CommandRefusal(.invalidArgument, "action \(request.action.rawValue) is not known to this archive")
        }
        if id.isEmpty { throw CommandRefusal(.invalidArgument, "give the command an id, so that it is done only once") }
        for (what, value) in [("id", id), ("actor", actor)] where value.utf8.count > TextLimit.name {
            throw CommandRefusal(
                .invalidArgument, "the \(what) has \(value.utf8.count) bytes; the limit is \(TextLimit.name)")
        }
        if Self.isBlank(actor) {
            throw CommandRefusal(.invalidArgument, "say who does it; every change of an incident has a named actor")
        }
        let limit: Int
        switch kind {
        case .assign:
            limit = TextLimit.name
            if Self.isBlank(text) { throw CommandRefusal(.invalidArgument, "say to whom the incident is assigned") }
        case .note:
            limit = TextLimit.note
            if Self.isBlank(text) { throw CommandRefusal(.invalidArgument, "the note is empty") }
        case .transition: limit = TextLimit.cause
        }
        guard text.utf8.count <= limit else {
            throw CommandRefusal(.invalidArgument, "the text has \(text.utf8.count) bytes; the limit is \(limit)")
        }
    }

    /// As it stands in the tables: `acknowledge`, `assign`, ...
    var action: String {
        switch kind {
        case .transition(let action): action.name
        case .assign: "assign"
        case .note: "note"
        }
    }

    static func isBlank(_ text: String) -> Bool { text.allSatisfy(\.isWhitespace) }
}

extension IncidentPolicy {
    /// What a person's command does to its incident, or why it may not be done.
    func decide(
        _ command: Command, incident: IncidentRecord, now: UInt64
    ) -> Result<IncidentDraft, TransitionRefusal> {
        var draft = IncidentDraft(incident)
        switch command.kind {
        case .note:
            draft.record("noted", by: command.actor, command.text, at: now)
            draft.tell("noted")
        case .assign:
            if incident.state.isTerminal {
                return .failure(
                    TransitionRefusal(
                        .illegalTransition, "cannot assign a \(incident.state) incident; nobody has to act on it"))
            }
            if incident.assignee == command.text {
                return .failure(
                    TransitionRefusal(.alreadyInState, "the incident is already assigned to \(command.text)"))
            }
            draft.edit { $0.assignee = command.text }
            draft.record(
                "assigned", by: command.actor, "", before: incident.assignee, after: command.text, at: now)
            draft.tell("assigned")
        case .transition(let action):
            let cause = action == .resolve && Command.isBlank(command.text) ? incident.cause : command.text
            let context = TransitionContext(
                actor: command.actor, now: now, priority: incident.priority, reason: command.text, cause: cause,
                waivePostmortem: command.waivePostmortem, resolvedAt: incident.resolvedAt, reopenWindow: reopenWindow)
            switch Lifecycle.plan(action, from: incident.state, context: context) {
            case .failure(let refusal): return .failure(refusal)
            case .success(let steps):
                draft.walk(steps, by: command.actor, action == .resolve ? cause : command.text, at: now)
            }
            if action == .resolve {
                draft.edit { $0.cause = cause }
                draft.resolveAlerts()
            }
            if action == .reopen, draft.incident.assignee.isEmpty, !Lifecycle.isAutomatic(command.actor) {
                draft.edit { $0.assignee = command.actor }
            }
        }
        draft.finish(at: now)
        return .success(draft)
    }
}
