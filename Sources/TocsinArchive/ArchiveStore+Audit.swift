import GRDB

extension ArchiveStore {
    /// Signs how far the audit trail has come. `now`: milliseconds since 1970.
    ///
    /// - Throws: `ArchiveError`, `CancellationError`.
    func checkpoint(now: UInt64) async throws -> AuditCheckpoint {
        let audit = audit
        return try await read { try audit.checkpoint(in: $0, now: now) }
    }

    /// Keeps a checkpoint in the archive if there are `records` more since the last one, or one more and `interval`
    /// milliseconds have passed. Returns it; nil: it was not due.
    ///
    /// - Throws: `ArchiveError`, `CancellationError`.
    func keepCheckpoint(everyRecords records: Int64, interval: UInt64, now: UInt64) async throws -> AuditCheckpoint? {
        let audit = audit
        return try await write { db in
            let checkpoint = try audit.checkpoint(in: db, now: now)
            let last = try Row.fetchOne(
                db, sql: "SELECT sequence, time FROM audit_checkpoints ORDER BY sequence DESC LIMIT 1")
            let (sequence, time): (Int64, Int64) = (last?[0] ?? 0, last?[1] ?? 0)
            // The record of the last checkpoint itself is no news.
            let more = checkpoint.sequence - sequence - (last == nil ? 0 : 1)
            guard more >= records || more > 0 && checkpoint.time - time >= stored(interval) else { return nil }
            try checkpoint.keep(in: db)
            return checkpoint
        }
    }
}
