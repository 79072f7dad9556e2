import GRPCCore
import TocsinProto
import TocsinServices

/// `tocsin.v1.ArchiveAdmin`, answered from a store. Thread-safe.
struct ArchiveAdminServer: Tocsin_V1_ArchiveAdmin.SimpleServiceProtocol {
    static let service = "tocsin.v1.ArchiveAdmin"

    let store: ArchiveStore
    /// The hub's `retain_age`.
    var hubRetention = Duration.seconds(7 * 86_400)
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
    ) async throws {
        try await answering {
            try await store.exportPersonalData(request.subject) { piece in
                try await response.write(
                    .with {
                        $0.place = piece.place
                        $0.incident = piece.incident
                        $0.field = piece.field
                        $0.value = piece.value
                        $0.time = piece.time
                    })
            }
        }
    }

    func erasePersonalData(
        request: Tocsin_V1_ErasePersonalDataRequest, context: ServerContext
    ) async throws -> Tocsin_V1_ErasePersonalDataResponse {
        try await answering {
            let actor = try Caller.current.actor(request.actor)
            let erasure = Erasure(
                requestID: request.requestID, subject: request.subject, actor: actor, reason: request.reason)
            let pieces = try await store.erasePersonalData(erasure, caller: Caller.current.name ?? "", now: now())
            return .with {
                $0.pieces = pieces
                $0.remainders = remainders(after: now())
            }
        }
    }

    /// Where a person's data may be that the archive cannot reach. PersonalData.md has the same.
    private func remainders(after now: UInt64) -> [Tocsin_V1_Remainder] {
        func remainder(_ place: String, _ what: String, until: UInt64 = 0) -> Tocsin_V1_Remainder {
            .with {
                $0.place = place
                $0.what = what
                $0.until = until
            }
        }
        let age = UInt64(clamping: hubRetention.milliseconds)
        return [
            remainder(
                "the hub's journal",
                "messages that are settled, as they were published; they go hub.retain_age after that, and with a smaller "
                    + "hub.retain_age sooner", until: now + age + age / 8 + Self.rollGrace),
            remainder(
                "dead letters, delayed and waiting messages",
                "they stay in the hub's journal until they are discarded, due or settled, and its hub.retain_age from then on: "
                    + "`tocsin dlq list` shows the first, `tocsin dlq discard` drops them"),
            remainder(
                "spools of detectors", "reports that have not reached the hub yet; they leave when it can be reached again"),
            remainder(
                "ledgers of responders",
                "what commands of runbooks and notifications said; each ledger keeps the last 8192 of them"),
            remainder(
                "what was sent and written elsewhere",
                "notifications, what runbooks did with a change, output of `tocsin watch`, and logs of other programs"),
            remainder(
                "backups of the archive and of the hub",
                "a copy of the database has the person's key as it was, wrapped by the master key: delete those made before now"),
        ]
    }

    /// Beyond an eighth of its age, how much later than that the hub drops a message: a segment is closed once a minute at most.
    private static let rollGrace: UInt64 = 60_000
}
