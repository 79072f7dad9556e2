import ArgumentParser
import GRPCCore
import GRPCZeroMQTransport
import SwiftProtobuf
import TocsinKit
import TocsinProgram
import TocsinProto
import TocsinServices
import TocsinWire

typealias IncidentClient = Tocsin_V1_IncidentService.Client<HubClientTransport>

/// A person's action on one incident.
protocol ActionCommand: AsyncParsableCommand {
    associatedtype Request: ActionRequest
    associatedtype Answer: ActionAnswer

    var number: IncidentNumber { get }
    var actor: ActorOptions { get }
    var options: ClientOptionGroup { get }
    /// Said before it is done. Not in `validate`, which runs before all arguments are known to be good.
    var remark: String? { get }

    /// Puts into the request what is not common to all.
    func fill(_ request: inout Request)
    /// What has to be asked before it can be sent.
    static func complete(_ request: Request, _ session: HubSession) async throws -> Request
    static func call(_ incidents: IncidentClient, _ request: Request, _ options: CallOptions) async throws -> Answer
    /// What was done, for people, without the incident's number and title: `acknowledged by alice`.
    static func deed(_ answer: Answer) -> String
}

extension ActionCommand {
    var remark: String? { nil }

    func fill(_ request: inout Request) {}

    static func complete(_ request: Request, _ session: HubSession) async throws -> Request { request }

    static func deed(_ answer: Answer) -> String { "\(answer.entry.verb) by \(answer.entry.actor.printable)" }

    func run() async throws {
        if let remark { Terminal.say(remark) }
        var request = Request()
        request.requestID = MessageID.random().hexadecimal
        request.number = number.value
        fill(&request)
        let (wish, actor) = (request, actor)
        let answer = try await HubSession.with(options) { session in
            var wish = wish
            wish.actor = actor.name(session.provenName)
            let question = try await Self.complete(wish, session)
            return try await session.call(.incidents) { try await Self.call($0.incidents, question, $1) }
        }
        switch options.output.format {
        case .json:
            let other = answer.other.map { [($0.name, $0.incident.json)] } ?? []
            Terminal.print(json: .object([("incident", answer.incident.json), ("entry", answer.entry.json)] + other))
        case .text:
            let incident = answer.incident
            Terminal.print(
                "\(shown(incident.number)) \(Self.deed(answer)): \(incident.title.printable) (\(incident.state.name))")
        }
    }
}

/// What the requests of all actions have in common.
protocol ActionRequest: SwiftProtobuf.Message, Sendable {
    var requestID: String { get set }
    var number: UInt64 { get set }
    var actor: String { get set }
}

/// What the answers to all actions have in common.
protocol ActionAnswer: Sendable {
    var incident: Tocsin_V1_Incident { get }
    var entry: Tocsin_V1_TimelineEntry { get }
    /// The other incident where two were changed, and what it is to the first.
    var other: (name: String, incident: Tocsin_V1_Incident)? { get }
}

extension ActionAnswer {
    var other: (name: String, incident: Tocsin_V1_Incident)? { nil }
}

extension Tocsin_V1_MergeIncidentResponse {
    var other: (name: String, incident: Tocsin_V1_Incident)? { ("into", into) }
}
extension Tocsin_V1_SplitIncidentResponse {
    var other: (name: String, incident: Tocsin_V1_Incident)? { ("created", created) }
}

extension Tocsin_V1_AcknowledgeIncidentRequest: ActionRequest {}
extension Tocsin_V1_AcknowledgeIncidentResponse: ActionAnswer {}
extension Tocsin_V1_AssignIncidentRequest: ActionRequest {}
extension Tocsin_V1_AssignIncidentResponse: ActionAnswer {}
extension Tocsin_V1_AnnotateIncidentRequest: ActionRequest {}
extension Tocsin_V1_AnnotateIncidentResponse: ActionAnswer {}
extension Tocsin_V1_ChangeIncidentSeverityRequest: ActionRequest {}
extension Tocsin_V1_ChangeIncidentSeverityResponse: ActionAnswer {}
extension Tocsin_V1_InvestigateIncidentRequest: ActionRequest {}
extension Tocsin_V1_InvestigateIncidentResponse: ActionAnswer {}
extension Tocsin_V1_MitigateIncidentRequest: ActionRequest {}
extension Tocsin_V1_MitigateIncidentResponse: ActionAnswer {}
extension Tocsin_V1_ResolveIncidentRequest: ActionRequest {}
extension Tocsin_V1_ResolveIncidentResponse: ActionAnswer {}
extension Tocsin_V1_ReopenIncidentRequest: ActionRequest {}
extension Tocsin_V1_ReopenIncidentResponse: ActionAnswer {}
extension Tocsin_V1_CloseIncidentRequest: ActionRequest {}
extension Tocsin_V1_CloseIncidentResponse: ActionAnswer {}
extension Tocsin_V1_DismissIncidentRequest: ActionRequest {}
extension Tocsin_V1_DismissIncidentResponse: ActionAnswer {}
extension Tocsin_V1_ReleaseIncidentRequest: ActionRequest {}
extension Tocsin_V1_ReleaseIncidentResponse: ActionAnswer {}
extension Tocsin_V1_MergeIncidentRequest: ActionRequest {}
extension Tocsin_V1_MergeIncidentResponse: ActionAnswer {}
extension Tocsin_V1_SplitIncidentRequest: ActionRequest {}
extension Tocsin_V1_SplitIncidentResponse: ActionAnswer {}
extension Tocsin_V1_MarkIncidentRequest: ActionRequest {}
extension Tocsin_V1_MarkIncidentResponse: ActionAnswer {}
extension Tocsin_V1_RestrictIncidentRequest: ActionRequest {}
extension Tocsin_V1_RestrictIncidentResponse: ActionAnswer {}
