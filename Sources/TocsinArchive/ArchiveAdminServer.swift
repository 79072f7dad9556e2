import GRPCCore
import TocsinProto
import TocsinServices

/// `tocsin.v1.ArchiveAdmin`, answered from a store. Thread-safe.
struct ArchiveAdminServer: Tocsin_V1_ArchiveAdmin.SimpleServiceProtocol {
    static let service = "tocsin.v1.ArchiveAdmin"

    let store: ArchiveStore
    /// Milliseconds since 1970.
    let now: @Sendable () -> UInt64

    func getCheckpoint(
        request: Tocsin_V1_GetCheckpointRequest, context: ServerContext
    ) async throws -> Tocsin_V1_GetCheckpointResponse {
        try await answering {
            let checkpoint = try await store.checkpoint(now: now())
            return .with { $0.checkpoint = checkpoint.proto }
        }
    }

    func exportPersonalData(
        request: Tocsin_V1_ExportPersonalDataRequest, response: RPCWriter<Tocsin_V1_ExportPersonalDataResponse>,
        context: ServerContext
    ) async throws { throw RPCError(code: .unimplemented, message: "not yet") }

    func erasePersonalData(
        request: Tocsin_V1_ErasePersonalDataRequest, context: ServerContext
    ) async throws -> Tocsin_V1_ErasePersonalDataResponse { throw RPCError(code: .unimplemented, message: "not yet") }
}
