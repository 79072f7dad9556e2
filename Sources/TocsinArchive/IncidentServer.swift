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
    /// Milliseconds since 1970.
    let now: @Sendable () -> UInt64
    /// Called after a command was done.
    let changed: @Sendable () -> Void

    func list(
        request: Tocsin_V1_ListIncidentsRequest, context: ServerContext
    ) async throws -> Tocsin_V1_ListIncidentsResponse {
        try await answer { try await store.list(request) }
    }

    func get(request: Tocsin_V1_GetIncidentRequest, context: ServerContext) async throws -> Tocsin_V1_GetIncidentResponse {
        try await answer { try await store.get(request.number) }
    }

    func apply(request: Tocsin_V1_CommandRequest, context: ServerContext) async throws -> Tocsin_V1_CommandResponse {
        try await answer {
            let response = try await store.command(request, now: now())
            changed()
            return response
        }
    }

    func getAccounting(
        request: Tocsin_V1_AccountingRequest, context: ServerContext
    ) async throws -> Tocsin_V1_AccountingResponse {
        try await answer { try await store.accounting() }
    }

    func trace(request: Tocsin_V1_TraceRequest, context: ServerContext) async throws -> Tocsin_V1_TraceResponse {
        try await answer { try await store.trace(request) }
    }

    func report(request: Tocsin_V1_ReportRequest, context: ServerContext) async throws -> Tocsin_V1_ReportResponse {
        try await answer {
            var event = request.event
            try check(event)
            if event.id.isEmpty {
                event.id = MessageID.random().hexadecimal
            }
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

    private func check(_ event: Tocsin_V1_Event) throws(RPCError) {
        func refuse(_ message: String) -> RPCError { RPCError(code: .invalidArgument, message: message) }
        if event.service.allSatisfy(\.isWhitespace) { throw refuse("event.service is empty; say what it is about") }
        if event.summary.allSatisfy(\.isWhitespace) { throw refuse("event.summary is empty; say in one line what is wrong") }
        if event.id.utf8.count > 64 { throw refuse("event.id has \(event.id.utf8.count) bytes; at most 64 are possible") }
        if !event.severityHint.isEmpty, Severity(parsing: event.severityHint) == nil {
            throw refuse("event.severity_hint \"\(event.severityHint.prefix(64))\" is none of critical, major, minor, info")
        }
    }

    func watch(
        request: Tocsin_V1_WatchRequest, response: RPCWriter<Tocsin_V1_WatchResponse>, context: ServerContext
    ) async throws {
        try await answer {
            try await hub.changes(since: request.since) { item in
                if case .change(let change)? = item.what {
                    guard request.number == 0 || change.incident.number == request.number,
                        request.service.isEmpty || change.incident.services.contains(request.service)
                    else { return }
                }
                try await response.write(item)
            }
        }
    }

    /// What went wrong, with its gRPC code and a sentence.
    private func answer<Response>(_ body: () async throws -> Response) async throws(RPCError) -> Response {
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
}

/// The hub as the incident service needs it.
protocol IncidentHub: Sendable {
    /// Returns when the event is on disk: whether it was there before. Throws `RPCError`.
    func report(_ event: Tocsin_V1_Event) async throws -> Bool

    /// Calls `each` with every change from a time on, milliseconds since 1970, or from now on (0), until the task is cancelled.
    func changes(since: UInt64, _ each: (Tocsin_V1_WatchResponse) async throws -> Void) async throws
}

extension Client {
    /// Returns when the event is on disk: whether it was there before. Throws `RPCError`.
    func report(_ event: Tocsin_V1_Event) async throws -> Bool {
        do {
            let message = try Message(
                event, id: Array(event.id.utf8), subject: "event.grpc.report", severity: .init(event.severityHint),
                key: event.service)
            return try await publish([message]).duplicates > 0
        } catch let error as ClientError {
            throw RPCError(code: .unavailable, message: "the hub has not taken the event: \(error); report it again")
        }
    }
}

extension WireSeverity {
    /// Of an event; one that says nothing is taken for major.
    fileprivate init(_ hint: String) {
        self = Severity(parsing: hint).flatMap { WireSeverity(rawValue: $0.rawValue) } ?? .major
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
