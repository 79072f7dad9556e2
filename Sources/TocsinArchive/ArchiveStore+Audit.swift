import GRDB

extension ArchiveStore {
    /// Signs how far the audit trail has come. `now`: milliseconds since 1970.
    func checkpoint(now: UInt64) async throws -> AuditCheckpoint {
        let audit = audit
        return try await read { try audit.checkpoint(in: $0, now: now) }
    }
}
