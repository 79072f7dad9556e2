import SwiftProtobuf
import TocsinKit
import TocsinProto

/// `tocsin.v1.IncidentService`, answered from a store. Thread-safe.
struct IncidentServer: Sendable {
    static let service = "tocsin.v1.IncidentService"

    let store: ArchiveStore
    /// Milliseconds since 1970.
    let now: @Sendable () -> UInt64
    /// Called after a command was done.
    let changed: @Sendable () -> Void

    /// The encoded response. Throws `CallFailure` with the gRPC code and a sentence.
    func answer(_ call: IncomingCall) async throws -> [UInt8] {
        do {
            switch call.method {
            case "\(Self.service)/List":
                return try await store.list(decode(call)).serializedBytes()
            case "\(Self.service)/Get":
                let request: Tocsin_V1_GetIncidentRequest = try decode(call)
                return try await store.get(request.number).serializedBytes()
            case "\(Self.service)/Apply":
                let response = try await store.command(decode(call), now: now())
                changed()
                return try response.serializedBytes()
            case "\(Self.service)/GetAccounting":
                let _: Tocsin_V1_AccountingRequest = try decode(call)
                return try await store.accounting().serializedBytes()
            case "\(Self.service)/Trace":
                return try await store.trace(decode(call)).serializedBytes()
            default:
                throw CallFailure(code: 12, message: "\(call.method) is not a method of this version of the archive")
            }
        } catch let refusal as CommandRefusal {
            throw CallFailure(code: refusal.code.rawValue, message: refusal.message)
        } catch let error as ArchiveError {
            // 14, unavailable: may be tried again; 13, internal: may not.
            throw CallFailure(code: error.isTransient || error.code == .closed ? 14 : 13, message: error.message)
        } catch is CancellationError {
            throw CallFailure(code: 1, message: "the call was cancelled")
        }
    }

    private func decode<Request: SwiftProtobuf.Message>(_ call: IncomingCall) throws -> Request {
        do {
            return try Request(serializedBytes: call.request)
        } catch {
            throw CallFailure(code: 3, message: "the request is not a \(Request.protoMessageName): \(error)")
        }
    }
}
