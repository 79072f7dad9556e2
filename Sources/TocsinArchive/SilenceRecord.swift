import GRDB
import TocsinPolicy
import TocsinProto

/// Silences in the archive: the latest word of each.
enum SilenceRecord {
    private struct Matcher: Codable {
        var name: String
        var value: String
        var regex: Bool
        var negated: Bool
    }

    /// Silences looked at together, at most; those that end last are beyond.
    static let activeMax = 10_000

    private static let columns = "id, matchers, starts_at, ends_at, updated_at, created_by, comment"
    private static let upsert =
        Tables.upsert("silences", columns, key: "id") + " WHERE excluded.updated_at >= silences.updated_at"
    /// How long one is kept after its end, for events that come late.
    private static let kept: UInt64 = 30 * 86_400_000

    /// As it stands in the tables.
    static func id(_ id: String) -> String { SealedText.escape(TextLimit.clip(id, to: TextLimit.name)) }

    /// Takes a silence as it was said, in place of an earlier word of the same id; false if a later one is known, since of several
    /// gateways one may say again what another has changed.
    static func put(_ silence: Tocsin_V1_Silence, _ sealer: Sealer) throws -> Bool {
        let named = PersonalValues(silence.createdBy.isEmpty ? [] : [silence.createdBy])
        let matchers = try silence.matchers.map {
            Matcher(
                name: $0.name,
                value: sealer.vault.personalLabels.contains($0.name) && !$0.value.isEmpty
                    ? try sealer.seal(SealedText.escape($0.value)) : SealedText.escape($0.value),
                regex: $0.regex, negated: $0.negated)
        }
        try sealer.db.cachedStatement(sql: upsert).execute(arguments: [
            id(silence.id), try JSONText.encode(matchers),
            stored(silence.startsAt), stored(silence.endsAt), stored(silence.updatedAt),
            try sealer.seal(actor: TextLimit.clip(silence.createdBy, to: TextLimit.name)),
            try sealer.seal(TextLimit.clip(silence.comment, to: TextLimit.cause), naming: named),
        ])
        guard sealer.db.changesCount > 0 else { return false }
        let time = max(silence.startsAt, silence.updatedAt)
        if time > kept {
            try sealer.db.cachedStatement(sql: "DELETE FROM silences WHERE ends_at < ?").execute(arguments: [stored(time - kept)])
        }
        return true
    }

    /// Those that are not over at `time`, as they were said; the one that ends first at the front.
    static func all(at time: UInt64, _ sealer: Sealer) throws -> [Tocsin_V1_Silence] {
        let statement = try sealer.db.cachedStatement(
            sql: "SELECT \(columns) FROM silences WHERE ends_at > ? ORDER BY ends_at, id LIMIT \(activeMax)")
        return try Row.fetchAll(statement, arguments: [stored(time)]).map { row in
            let matchers: [Matcher] = try JSONText.decode(row[1])
            return try .with {
                $0.id = row[0]
                $0.matchers = try matchers.map { matcher in
                    try .with {
                        $0.name = matcher.name
                        $0.value = try sealer.open(matcher.value)
                        $0.regex = matcher.regex
                        $0.negated = matcher.negated
                    }
                }
                $0.startsAt = UInt64(clamping: row[2] as Int64)
                $0.endsAt = UInt64(clamping: row[3] as Int64)
                $0.updatedAt = UInt64(clamping: row[4] as Int64)
                $0.createdBy = try sealer.open(row[5])
                $0.comment = try sealer.open(row[6])
            }
        }
    }
}
