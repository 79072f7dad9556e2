import GRDB
import TocsinKit
import TocsinPolicy
import TocsinProto

/// What an archiver would do, tried out: an archive of its own in a folder, by the caller's clock, and nobody is told.
package actor TrialArchive {
    private let store: ArchiveStore
    private var sequence: UInt64 = 0

    /// Makes the archive in `folder`, which is the caller's to remove. Of the configuration what decides counts, not paths and keys;
    /// nothing is sealed. Blocking.
    ///
    /// - Throws: `ArchiveError`.
    package init(in folder: String, configuration: ArchiveConfiguration) throws(ArchiveError) {
        let path = "\(folder)/trial.db"
        guard let lock = try ArchiveLock.take(databasePath: path, holder: "trial") else {
            throw ArchiveError(.locked, "the archive \(path) is in use; give each trial a folder of its own")
        }
        let vault = Vault(try MasterKey.file(MasterKeySource.beside(path), database: path), personalLabels: [])
        let policy: ArchivePolicy
        do throws(PolicyProblem) { policy = try configuration.judging() } catch { throw ArchiveError(.other, error.message) }
        store = try ArchiveStore(path: path, policy: policy, vault: vault, lock: lock)
    }

    /// Applies updates in one transaction and returns what the world would be told. `now`: milliseconds since 1970.
    ///
    /// - Throws: `ArchiveError`; one that names the first update that can never be applied.
    package func apply(_ updates: [Tocsin_V1_AlertUpdate], now: UInt64) async throws -> [Tocsin_V1_IncidentChange] {
        try await apply(updates.map { .alert($0) }, now: now)
    }

    /// Takes the latest word of a silence.
    package func apply(_ silence: Tocsin_V1_Silence, now: UInt64) async throws -> [Tocsin_V1_IncidentChange] {
        // Who was held by it is looked at at once.
        try await apply([.silence(silence)], now: now) + reconsider(now: now)
    }

    private func apply(_ contents: [ArchiveItem.Content], now: UInt64) async throws -> [Tocsin_V1_IncidentChange] {
        var items: [ArchiveItem] = []
        for content in contents {
            sequence += 1
            items.append(ArchiveItem(sequence: sequence, content: content))
        }
        let applied = try await store.apply(items, now: now)
        if let reason = applied.rejected.min(by: { $0.key < $1.key })?.value { throw ArchiveError(.other, reason) }
        return try await changes()
    }

    /// Looks again at everything that is due by `now`, as an archiver does.
    package func reconsider(now: UInt64) async throws -> [Tocsin_V1_IncidentChange] {
        var isMoreDue = true
        while isMoreDue { isMoreDue = try await store.reconsider(now: now).isMoreDue }
        return try await changes()
    }

    /// When something that is held back is to be looked at again, at the earliest; nil: nothing is. Milliseconds since 1970.
    package func nextDue() async throws -> UInt64? {
        try await store.read { try Int64.fetchOne($0, sql: "SELECT min(due) FROM holds WHERE due > 0") }.map {
            UInt64(clamping: $0)
        }
    }

    /// How it was decided about an alert, in order.
    package func explain(_ fingerprint: String) async throws -> [Tocsin_V1_DecisionRecord] {
        try await store.explain(.with { $0.fingerprint = fingerprint }).alerts.flatMap(\.records)
    }

    /// The silences that are not over at `now`.
    package func silences(at now: UInt64) async throws -> [Tocsin_V1_Silence] {
        try await store.readSealed { try SilenceRecord.all(at: now, $0) }
    }

    /// Takes what waits to be told.
    private func changes() async throws -> [Tocsin_V1_IncidentChange] {
        var changes: [Tocsin_V1_IncidentChange] = []
        while true {
            let rows = try await store.pendingChanges(limit: 1000, bytesMax: 16 << 20)
            if rows.isEmpty { return changes }
            for row in rows { changes.append(try row.message.decode(Tocsin_V1_IncidentChange.self)) }
            try await store.deletePublished(rows)
        }
    }

    /// The alert of a fingerprint; nil if there is none.
    package func alert(_ fingerprint: String) async throws -> Tocsin_V1_Alert? {
        try await store.readSealed { sealer in
            guard let record = try AlertRecord.find(fingerprint, in: sealer.db) else { return nil }
            var alert = try sealer.open(record.proto)
            try ArchiveStore.describeHold(of: record, &alert, sealer)
            return alert
        }
    }

    /// One incident with its alerts and its timeline.
    package func incident(_ number: UInt64) async throws -> Tocsin_V1_GetIncidentResponse { try await store.get(number) }

    /// All incidents, by their numbers; at most 1,000.
    package func incidents() async throws -> [Tocsin_V1_Incident] {
        let list = try await store.list(.with { $0.pageSize = UInt32(QueryLimit.incidentsMax) })
        return list.incidents.sorted { $0.number < $1.number }
    }

    /// - Throws: `ArchiveError` if SQLite cannot close.
    package func close() throws(ArchiveError) { try store.close() }
}
