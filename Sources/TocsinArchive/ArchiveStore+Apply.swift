import GRDB
import TocsinProto

/// One message of the archive's pool, decoded.
struct ArchiveItem: Sendable, Equatable {
    enum Content: Sendable, Equatable {
        case alert(Tocsin_V1_AlertUpdate)
        case silence(Tocsin_V1_Silence)
        case report(Tocsin_V1_ResponseReport)
        case change(Tocsin_V1_ChangeRecord)
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
        try await writeSealed { sealer in
            var batch = try BatchWriter(sealer, policy: self.policy, batch: self.audit.batch, now: now)
            for (index, item) in items.enumerated() { try batch.apply(item, index: index) }
            return try batch.finish()
        }
    }

    /// Alerts looked at again in one transaction, at most.
    private static let reconsideredMax = 256

    /// Looks again at alerts that were held back until `now` or before, a bounded number of them: what nothing holds any more is
    /// told, and what has been calm ends. Returns how many changes are to be published, and whether more is due.
    ///
    /// One that cannot be is put off for a minute, so that it does not stand in the way of the others.
    ///
    /// - Throws: `ArchiveError` or `CancellationError`; of what it was thrown for nothing was written.
    func reconsider(now: UInt64) async throws -> (changes: Int, isMoreDue: Bool) {
        let due = try await read { try HoldRecord.due(by: now, limit: Self.reconsideredMax, in: $0) }
        if due.isEmpty { return (0, false) }
        var changes = 0
        do {
            changes = try await reconsider(due, now: now)
        } catch let error as ArchiveError where error.code == .other {
            var last: ArchiveError?
            for fingerprint in due {
                do {
                    changes += try await reconsider([fingerprint], now: now)
                } catch let error as ArchiveError where error.code == .other {
                    last = error
                    try await write { try HoldRecord.put(off: fingerprint, until: now + 60_000, in: $0) }
                }
            }
            if let last, changes == 0 { throw last }
        }
        return (changes, try await read { try HoldRecord.isAnyDue(by: now, in: $0) })
    }

    private func reconsider(_ fingerprints: [String], now: UInt64) async throws -> Int {
        try await writeSealed { sealer in
            var batch = try BatchWriter(sealer, policy: self.policy, batch: self.audit.batch, now: now)
            try batch.reconsider(fingerprints)
            return try batch.finish().changes
        }
    }
}
