import GRPCCore
import TocsinProto
import TocsinServices

/// `tocsin.v1.IncidentService`, answered from a store. Thread-safe.
struct IncidentServer: Tocsin_V1_IncidentService.SimpleServiceProtocol {
    static let service = "tocsin.v1.IncidentService"

    let store: ArchiveStore
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

    /// What went wrong, with its gRPC code and a sentence.
    private func answer<Response>(_ body: () async throws -> Response) async throws(RPCError) -> Response {
        do {
            return try await body()
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

extension CommandRefusal.Code {
    fileprivate var status: RPCError.Code {
        switch self {
        case .invalidArgument: .invalidArgument
        case .notFound: .notFound
        case .failedPrecondition: .failedPrecondition
        }
    }
}
