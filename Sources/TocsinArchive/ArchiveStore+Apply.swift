import GRDB
import TocsinProto

/// One message of the archive's pool, decoded.
struct ArchiveItem: Sendable, Equatable {
    enum Content: Sendable, Equatable {
        case alert(Tocsin_V1_AlertUpdate)
        case silence(Tocsin_V1_Silence)
        case report(Tocsin_V1_ResponseReport)
    }

    /// Its place in the stream.
    var sequence: UInt64
    var content: Content
}

/// What became of a batch.
struct AppliedBatch: Sendable, Equatable {
    /// Index in the batch and reason of each message that can never be applied.
    var rejected: [Int: String] = [:]
    /// Changes put into the outbox.
    var changes = 0
}

extension ArchiveStore {
    /// Applies messages in order, all in one transaction. Messages and events that were applied before have no effect, so a
    /// batch may be applied again, whole or in parts.
    ///
    /// `now`: milliseconds since 1970; no time that is taken from a message is later.
    ///
    /// - Throws: `ArchiveError` or `CancellationError`; then nothing of the batch was written.
    func apply(_ items: [ArchiveItem], now: UInt64) async throws -> AppliedBatch {
        let (policy, audit) = (policy, audit)
        return try await writeSealed { sealer in
            var batch = try BatchWriter(sealer, policy: policy, batch: audit.batch, now: now)
            for (index, item) in items.enumerated() { try batch.apply(item, index: index) }
            return try batch.finish()
        }
    }

    /// Alerts looked at again in one transaction, at most.
    private static let reconsideredMax = 256

    /// Looks again at alerts that were held back until `now` or before, a bounded number of them: what nothing holds any more is
    /// told, and what has been calm ends. Returns how many changes are to be published, and whether more is due.
    ///
    /// - Throws: `ArchiveError` or `CancellationError`; then nothing was written.
    func reconsider(now: UInt64) async throws -> (changes: Int, isMoreDue: Bool) {
        guard try await read({ try HoldRecord.isAnyDue(by: now, in: $0) }) else { return (0, false) }
        let (policy, audit) = (policy, audit)
        return try await writeSealed { sealer in
            var batch = try BatchWriter(sealer, policy: policy, batch: audit.batch, now: now)
            for held in try HoldRecord.due(by: now, limit: Self.reconsideredMax, in: sealer.db) {
                try batch.reconsider(held)
            }
            let changes = try batch.finish().changes
            return (changes, try HoldRecord.isAnyDue(by: now, in: sealer.db))
        }
    }
}
