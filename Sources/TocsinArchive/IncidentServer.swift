import GRPCCore
import TocsinDomain
import TocsinKit
import TocsinProto
import TocsinServices
import TocsinWire

/// `tocsin.v1.IncidentService`, answered from a store. Thread-safe.
struct IncidentServer: Tocsin_V1_IncidentService.SimpleServiceProtocol {
    static let service = "tocsin.v1.IncidentService"

    let store: ArchiveStore
    /// For what is not in the store: reports go to the hub, changes come from it.
    let hub: any IncidentHub
    /// Callers who may see every incident.
    var seesEverything: Set<String> = []
    /// Milliseconds since 1970.
    let now: @Sendable () -> UInt64
    /// Called after a command was done.
    let changed: @Sendable () -> Void

    func listIncidents(
        request: Tocsin_V1_ListIncidentsRequest, context: ServerContext
    ) async throws -> Tocsin_V1_ListIncidentsResponse {
        try await answering { try await store.list(request, for: viewer) }
    }

    func getIncident(
        request: Tocsin_V1_GetIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_GetIncidentResponse {
        try await answering { try await store.get(request.number, for: viewer) }
    }

    func getAccounting(
        request: Tocsin_V1_GetAccountingRequest, context: ServerContext
    ) async throws -> Tocsin_V1_GetAccountingResponse {
        try await answering { try await store.accounting() }
    }

    func traceEvent(
        request: Tocsin_V1_TraceEventRequest, context: ServerContext
    ) async throws -> Tocsin_V1_TraceEventResponse {
        try await answering { try await store.trace(request, for: viewer) }
    }

    func explainDecisions(
        request: Tocsin_V1_ExplainDecisionsRequest, context: ServerContext
    ) async throws -> Tocsin_V1_ExplainDecisionsResponse {
        try await answering { try await store.explain(request, for: viewer) }
    }

    func listAlerts(
        request: Tocsin_V1_ListAlertsRequest, context: ServerContext
    ) async throws -> Tocsin_V1_ListAlertsResponse {
        try await answering { try await store.alerts(request, for: viewer) }
    }

    func listSilences(
        request: Tocsin_V1_ListSilencesRequest, context: ServerContext
    ) async throws -> Tocsin_V1_ListSilencesResponse {
        try await answering { try await store.silences(now: now()) }
    }

    func findSimilarIncidents(
        request: Tocsin_V1_FindSimilarIncidentsRequest, context: ServerContext
    ) async throws -> Tocsin_V1_FindSimilarIncidentsResponse {
        try await answering { try await store.findSimilar(request, for: viewer) }
    }

    func listChanges(
        request: Tocsin_V1_ListChangesRequest, context: ServerContext
    ) async throws -> Tocsin_V1_ListChangesResponse {
        try await answering { try await store.changes(request, now: now()) }
    }

    func reportEvent(
        request: Tocsin_V1_ReportEventRequest, context: ServerContext
    ) async throws -> Tocsin_V1_ReportEventResponse {
        try await answering {
            var event = request.event
            try EventCheck.check(event)
            if event.id.isEmpty { event.id = MessageID.random().hexadecimal }
            if event.source.isEmpty { event.source = "grpc" }
            if event.observedAt == 0 { event.observedAt = now() }
            let id = event.id
            let isDuplicate = try await hub.report(event)
            return .with {
                $0.eventID = id
                $0.duplicate = isDuplicate
            }
        }
    }

    func watchIncidents(
        request: Tocsin_V1_WatchIncidentsRequest, response: RPCWriter<Tocsin_V1_WatchIncidentsResponse>,
        context: ServerContext
    ) async throws {
        let viewer = viewer
        try await answering {
            try await hub.changes(since: request.since) { item in
                if case .change(let change)? = item.what {
                    let people = change.incident.needToKnow
                    guard viewer.map({ people.isEmpty || people.contains($0) }) ?? true,
                        request.number == 0 || change.incident.number == request.number,
                        request.service.isEmpty || change.incident.services.contains(request.service)
                    else { return }
                }
                try await response.write(item)
            }
        }
    }

    // MARK: - Commands

    func acknowledgeIncident(
        request: Tocsin_V1_AcknowledgeIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_AcknowledgeIncidentResponse { try await command(request) }

    func assignIncident(
        request: Tocsin_V1_AssignIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_AssignIncidentResponse { try await command(request) }

    func annotateIncident(
        request: Tocsin_V1_AnnotateIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_AnnotateIncidentResponse { try await command(request) }

    func changeIncidentSeverity(
        request: Tocsin_V1_ChangeIncidentSeverityRequest, context: ServerContext
    ) async throws -> Tocsin_V1_ChangeIncidentSeverityResponse { try await command(request) }

    func investigateIncident(
        request: Tocsin_V1_InvestigateIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_InvestigateIncidentResponse { try await command(request) }

    func mitigateIncident(
        request: Tocsin_V1_MitigateIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_MitigateIncidentResponse { try await command(request) }

    func resolveIncident(
        request: Tocsin_V1_ResolveIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_ResolveIncidentResponse { try await command(request) }

    func reopenIncident(
        request: Tocsin_V1_ReopenIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_ReopenIncidentResponse { try await command(request) }

    func closeIncident(
        request: Tocsin_V1_CloseIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_CloseIncidentResponse { try await command(request) }

    func dismissIncident(
        request: Tocsin_V1_DismissIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_DismissIncidentResponse { try await command(request) }

    func releaseIncident(
        request: Tocsin_V1_ReleaseIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_ReleaseIncidentResponse { try await command(request) }

    func mergeIncident(
        request: Tocsin_V1_MergeIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_MergeIncidentResponse { try await command(request) }

    func splitIncident(
        request: Tocsin_V1_SplitIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_SplitIncidentResponse { try await command(request) }

    func markIncident(
        request: Tocsin_V1_MarkIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_MarkIncidentResponse { try await command(request) }

    func restrictIncident(
        request: Tocsin_V1_RestrictIncidentRequest, context: ServerContext
    ) async throws -> Tocsin_V1_RestrictIncidentResponse { try await command(request) }

    /// Whose view of the incidents is asked for; nil: everything.
    private var viewer: String? { Caller.current.name.flatMap { seesEverything.contains($0) ? nil : $0 } }

    private func command<Request: CommandRequest>(_ request: Request) async throws -> Request.Answer {
        try await answering {
            let request = try Caller.current.named(request)
            let response = try await store.command(request, for: viewer, caller: Caller.current.name ?? "", now: now())
            changed()
            return response
        }
    }
}

/// Runs the body of a call; what went wrong gets its gRPC code and a sentence.
func answering<Response>(_ body: () async throws -> Response) async throws(RPCError) -> Response {
    do {
        return try await body()
    } catch let error as RPCError {
        throw error
    } catch let refusal as CommandRefusal {
        throw RPCError(code: refusal.code.status, message: refusal.message)
    } catch let error as ArchiveError {
        // Unavailable: may be tried again; internal: may not.
        let isPassing = error.isTransient || error.code == .closed
        throw RPCError(code: isPassing ? .unavailable : .internalError, message: error.message)
    } catch is CancellationError {
        throw RPCError(code: .cancelled, message: "the call was cancelled")
    } catch {
        throw RPCError(code: .unknown, message: "\(error)")
    }
}

/// The hub as the incident service needs it.
protocol IncidentHub: Sendable {
    /// Returns when the event is on disk: whether it was there before. Throws `RPCError`.
    func report(_ event: Tocsin_V1_Event) async throws -> Bool

    /// Calls `each` with every change from a time on, milliseconds since 1970, or from now on (0), until the task is cancelled.
    func changes(since: UInt64, _ each: (Tocsin_V1_WatchIncidentsResponse) async throws -> Void) async throws
}

extension Client {
    /// Returns when the event is on disk: whether it was there before. Throws `RPCError`.
    func report(_ event: Tocsin_V1_Event) async throws -> Bool {
        do {
            let message = try Message(
                event, id: Array(event.id.utf8), subject: "event.grpc.report",
                severity: WireSeverity(rawValue: Severity(hint: event.severityHint).rawValue) ?? .major, key: event.service)
            return try await publish([message]).duplicates > 0
        } catch ClientError.refused(.tooLarge, let message, _) {
            throw RPCError(code: .resourceExhausted, message: "the event is too large: \(message)")
        } catch let error as ClientError {
            throw RPCError(code: .unavailable, message: "the hub has not taken the event: \(error); report it again")
        }
    }
}

extension CommandRefusal.Code {
    fileprivate var status: RPCError.Code {
        switch self {
        case .invalidArgument: .invalidArgument
        case .notFound: .notFound
        case .failedPrecondition: .failedPrecondition
        }
    }
}
