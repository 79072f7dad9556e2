import Crypto
import FoundationEssentials
import GRDB
import TocsinPolicy
import TocsinProto

/// What was decided about alerts, and why: written when it is decided, never changed, read by whoever asks.
enum DecisionLog {
    /// As one text of a table: stage, rule, inputs, outcome.
    private struct Line: Codable {
        var stage: String
        var rule: String
        var inputs: String
        var outcome: String
    }

    /// Of one update or alert, at most; what is beyond is cut by whoever sends it.
    static let decisionsMax = 64

    static func encode(_ decisions: [Tocsin_V1_Decision], _ seal: (String) throws -> String) throws -> String {
        try JSONText.encode(
            try decisions.prefix(decisionsMax).map {
                Line(
                    stage: TextLimit.clip($0.stage, to: TextLimit.name),
                    rule: try seal(TextLimit.clip($0.rule, to: TextLimit.name)),
                    inputs: try seal(TextLimit.clip($0.inputs, to: TextLimit.cause)),
                    outcome: try seal(TextLimit.clip($0.outcome, to: TextLimit.cause)))
            })
    }

    static func decode(_ text: String, _ open: (String) throws -> String) throws -> [Tocsin_V1_Decision] {
        let lines: [Line] = try JSONText.decode(text)
        return try lines.map { line in
            try .with {
                $0.stage = line.stage
                $0.rule = try open(line.rule)
                $0.inputs = try open(line.inputs)
                $0.outcome = try open(line.outcome)
            }
        }
    }

    /// The row of what triage decided, made if nothing was judged so before. 0: the update says nothing of it.
    static func judgement(
        of update: Tocsin_V1_AlertUpdate, time: UInt64, _ sealer: Sealer, naming named: PersonalValues
    ) throws -> Int64 {
        if update.decisions.isEmpty { return 0 }
        var hash = SHA256()
        hash.update(data: Array(update.policy.utf8))
        hash.update(data: [0])
        // As it was said, because a text is sealed in another way each time.
        for decision in update.decisions { hash.update(data: try decision.serializedBytes() as [UInt8]) }
        let digest = Data(hash.finalize().bytes.prefix(16))
        let db = sealer.db
        let known = try db.cachedStatement(sql: "SELECT id FROM judgements WHERE fingerprint = ? AND digest = ?")
        if let id = try Int64.fetchOne(known, arguments: [update.fingerprint, digest]) { return id }
        let text = try encode(update.decisions) { try sealer.seal($0, naming: named) }
        try db.cachedStatement(
            sql: "INSERT INTO judgements (fingerprint, digest, time, policy, decisions) VALUES (?, ?, ?, ?, ?)"
        ).execute(arguments: [
            update.fingerprint, digest, stored(time), TextLimit.clip(update.policy, to: TextLimit.name), text,
        ])
        return db.lastInsertedRowID
    }

    /// Writes down what the archive decided about an alert. `event`: the one at which it was, as it is stored; empty: time
    /// passed.
    static func add(
        _ decisions: [Decision], about fingerprint: String, at time: UInt64, event: String, incident: UInt64, policy: String,
        _ sealer: Sealer, naming named: PersonalValues
    ) throws {
        let text = try encode(decisions.map(\.proto)) { try sealer.seal($0, naming: named) }
        try sealer.db.cachedStatement(
            sql: "INSERT INTO decisions (fingerprint, time, event, incident, policy, decisions) VALUES (?, ?, ?, ?, ?, ?)"
        ).execute(arguments: [fingerprint, stored(time), event, stored(incident), policy, text])
    }
}
