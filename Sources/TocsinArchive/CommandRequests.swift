import SwiftProtobuf
import TocsinDomain
import TocsinProto

/// A request of the incident service that changes one incident on somebody's behalf.
protocol CommandRequest: Sendable {
    associatedtype Answer: CommandAnswer
    var requestID: String { get }
    var number: UInt64 { get }
    /// The name of the caller's key, where the caller has one.
    var actor: String { get set }
    /// What it asks for. Throws `invalidArgument` that names the field.
    func wish() throws(CommandRefusal) -> CommandWish
}

/// What a command was answered: the incident, and what was written on its timeline.
protocol CommandAnswer: Message, Sendable {
    var incident: Tocsin_V1_Incident { get set }
    var entry: Tocsin_V1_TimelineEntry { get set }
    var hasEntry: Bool { get }
    /// The other incident, where two are changed.
    var other: Tocsin_V1_Incident? { get }
    /// Takes the other incident, where two are changed.
    mutating func take(other: Tocsin_V1_Incident)
}

extension CommandAnswer {
    var other: Tocsin_V1_Incident? { nil }
    mutating func take(other: Tocsin_V1_Incident) {}
}

/// What a request asks for: the kind of command, and the text that goes with it under the name that its field has.
struct CommandWish {
    var kind: Command.Kind
    var field = ""
    var text = ""
    var waivePostmortem = false

    static func transition(_ action: IncidentAction, _ field: String = "", _ text: String = "") -> CommandWish {
        CommandWish(kind: .transition(action), field: field, text: text)
    }
}

extension Tocsin_V1_AcknowledgeIncidentResponse: CommandAnswer {}
extension Tocsin_V1_AcknowledgeIncidentRequest: CommandRequest {
    typealias Answer = Tocsin_V1_AcknowledgeIncidentResponse
    func wish() -> CommandWish { .transition(.acknowledge) }
}

extension Tocsin_V1_AssignIncidentResponse: CommandAnswer {}
extension Tocsin_V1_AssignIncidentRequest: CommandRequest {
    typealias Answer = Tocsin_V1_AssignIncidentResponse
    func wish() -> CommandWish { CommandWish(kind: .assign, field: "assignee", text: assignee) }
}

extension Tocsin_V1_AnnotateIncidentResponse: CommandAnswer {}
extension Tocsin_V1_AnnotateIncidentRequest: CommandRequest {
    typealias Answer = Tocsin_V1_AnnotateIncidentResponse
    func wish() -> CommandWish { CommandWish(kind: .note, field: "note", text: note) }
}

extension Tocsin_V1_ChangeIncidentSeverityResponse: CommandAnswer {}
extension Tocsin_V1_ChangeIncidentSeverityRequest: CommandRequest {
    typealias Answer = Tocsin_V1_ChangeIncidentSeverityResponse
    func wish() throws(CommandRefusal) -> CommandWish {
        guard let severity = Severity(rawValue: UInt8(clamping: severity.rawValue)) else {
            throw CommandRefusal(
                .invalidArgument, "severity \(severity.rawValue) does not exist; 1 to 4 are info, minor, major, critical")
        }
        var own: Priority?
        if priority != .unspecified {
            own = Priority(rawValue: UInt8(clamping: priority.rawValue))
            guard own != nil else {
                throw CommandRefusal(
                    .invalidArgument,
                    "priority \(priority.rawValue) does not exist; 1 to 5 are P1 to P5, 0 is what follows "
                        + "from the severity")
            }
            if Command.isBlank(reason) {
                throw CommandRefusal(.invalidArgument, "reason is empty; say why the priority is another than follows")
            }
        }
        return CommandWish(kind: .severity(severity, own), field: "reason", text: reason)
    }
}

extension Tocsin_V1_InvestigateIncidentResponse: CommandAnswer {}
extension Tocsin_V1_InvestigateIncidentRequest: CommandRequest {
    typealias Answer = Tocsin_V1_InvestigateIncidentResponse
    func wish() -> CommandWish { .transition(.investigate) }
}

extension Tocsin_V1_MitigateIncidentResponse: CommandAnswer {}
extension Tocsin_V1_MitigateIncidentRequest: CommandRequest {
    typealias Answer = Tocsin_V1_MitigateIncidentResponse
    func wish() -> CommandWish { .transition(.mitigate, "text", text) }
}

extension Tocsin_V1_ResolveIncidentResponse: CommandAnswer {}
extension Tocsin_V1_ResolveIncidentRequest: CommandRequest {
    typealias Answer = Tocsin_V1_ResolveIncidentResponse
    func wish() -> CommandWish { .transition(.resolve, "cause", cause) }
}

extension Tocsin_V1_ReopenIncidentResponse: CommandAnswer {}
extension Tocsin_V1_ReopenIncidentRequest: CommandRequest {
    typealias Answer = Tocsin_V1_ReopenIncidentResponse
    func wish() -> CommandWish { .transition(.reopen, "reason", reason) }
}

extension Tocsin_V1_CloseIncidentResponse: CommandAnswer {}
extension Tocsin_V1_CloseIncidentRequest: CommandRequest {
    typealias Answer = Tocsin_V1_CloseIncidentResponse
    func wish() -> CommandWish {
        CommandWish(kind: .transition(.close), field: "reason", text: reason, waivePostmortem: waivePostmortem)
    }
}

extension Tocsin_V1_DismissIncidentResponse: CommandAnswer {}
extension Tocsin_V1_DismissIncidentRequest: CommandRequest {
    typealias Answer = Tocsin_V1_DismissIncidentResponse
    func wish() -> CommandWish { .transition(.dismiss, "reason", reason) }
}

extension Tocsin_V1_ReleaseIncidentResponse: CommandAnswer {}
extension Tocsin_V1_ReleaseIncidentRequest: CommandRequest {
    typealias Answer = Tocsin_V1_ReleaseIncidentResponse
    func wish() -> CommandWish { .transition(.release, "reason", reason) }
}

extension Tocsin_V1_MergeIncidentResponse: CommandAnswer {
    var other: Tocsin_V1_Incident? { hasInto ? into : nil }
    mutating func take(other: Tocsin_V1_Incident) { into = other }
}
extension Tocsin_V1_MergeIncidentRequest: CommandRequest {
    typealias Answer = Tocsin_V1_MergeIncidentResponse
    func wish() throws(CommandRefusal) -> CommandWish {
        guard into > 0 else { throw CommandRefusal(.invalidArgument, "into is 0; name the incident that takes the alerts") }
        return CommandWish(kind: .merge(into: into), field: "reason", text: reason)
    }
}

extension Tocsin_V1_SplitIncidentResponse: CommandAnswer {
    var other: Tocsin_V1_Incident? { hasCreated ? created : nil }
    mutating func take(other: Tocsin_V1_Incident) { created = other }
}
extension Tocsin_V1_SplitIncidentRequest: CommandRequest {
    typealias Answer = Tocsin_V1_SplitIncidentResponse
    func wish() throws(CommandRefusal) -> CommandWish {
        guard (1...QueryLimit.alerts).contains(fingerprints.count) else {
            throw CommandRefusal(
                .invalidArgument,
                "fingerprints are \(fingerprints.count); name 1 to \(QueryLimit.alerts) alerts of the incident")
        }
        if let empty = fingerprints.firstIndex(of: "") {
            throw CommandRefusal(.invalidArgument, "fingerprints[\(empty)] is empty")
        }
        guard title.utf8.count <= TextLimit.title else {
            throw CommandRefusal(.invalidArgument, "title has \(title.utf8.count) bytes; at most \(TextLimit.title) are possible")
        }
        // Their order means nothing.
        let split = Command.Kind.split(fingerprints: Array(Set(fingerprints)).sorted(), title: title)
        return CommandWish(kind: split, field: "reason", text: reason)
    }
}

extension Tocsin_V1_MarkIncidentResponse: CommandAnswer {}
extension Tocsin_V1_MarkIncidentRequest: CommandRequest {
    typealias Answer = Tocsin_V1_MarkIncidentResponse
    func wish() throws(CommandRefusal) -> CommandWish {
        guard let light = TrafficLight(rawValue: UInt8(clamping: trafficLight.rawValue)) else {
            throw CommandRefusal(
                .invalidArgument,
                "traffic_light \(trafficLight.rawValue) does not exist; 1 to 5 are clear, green, amber, amber-strict, red")
        }
        return CommandWish(kind: .mark(light), field: "reason", text: reason)
    }
}

extension Tocsin_V1_RestrictIncidentResponse: CommandAnswer {}
extension Tocsin_V1_RestrictIncidentRequest: CommandRequest {
    typealias Answer = Tocsin_V1_RestrictIncidentResponse
    private static var peopleMax: Int { 64 }

    func wish() throws(CommandRefusal) -> CommandWish {
        guard people.count <= Self.peopleMax else {
            throw CommandRefusal(.invalidArgument, "people are \(people.count); at most \(Self.peopleMax) are possible")
        }
        for (index, person) in people.enumerated() {
            if Command.isBlank(person) { throw CommandRefusal(.invalidArgument, "people[\(index)] is empty") }
            guard person.utf8.count <= TextLimit.name else {
                throw CommandRefusal(
                    .invalidArgument,
                    "people[\(index)] has \(person.utf8.count) bytes; at most \(TextLimit.name) are possible")
            }
        }
        guard people.isEmpty || people.contains(actor) else {
            throw CommandRefusal(
                .invalidArgument, "people do not include \(actor), who restricts it and would not see it any more; name them too")
        }
        // Their order means nothing.
        return CommandWish(kind: .restrict(people: Array(Set(people)).sorted()), field: "reason", text: reason)
    }
}
