import TocsinCore
import TocsinJournal

extension PreparedRepair {
    /// What is lost and what that means, a sentence or two a line, before anything is changed. Empty: nothing needs repair.
    public var explanation: [String] {
        let damages = repair.survey.damages
        guard !damages.isEmpty else { return [] }
        var lines: [String] = []
        for damage in damages {
            lines.append(damage.description)
            lines += damage.lossLines.map { "  " + $0 }
        }
        return lines + consequences
    }

    /// Of all damage together.
    private var consequences: [String] {
        let damages = repair.survey.damages
        var lines: [String] = []
        let lost = damages.compactMap(\.sequences)
        let most = damages.contains(where: \.isAtMost) ? "at most " : ""
        if lost.isEmpty {
            lines.append("No message is lost.")
        } else {
            let count = lost.reduce(0) { $0 + $1.count }
            lines.append(
                "Lost in all: \(most)\(count) \(count == 1 ? "message" : "messages") (\(lost.map(\.words).joined(separator: ", "))). Pools go on "
                    + "without, taps are told of the gap. A publisher that sends one of them again has it stored anew.")
        }
        if damages.contains(where: \.mayHoldControl) {
            lines.append(
                "Settlements may be lost: what they acknowledged may be delivered again, and so may dead letters that were given "
                    + "up there; attempts counted there are not counted.")
        }
        if !restoredPools.isEmpty {
            lines.append(
                "The declaration of \(restoredPools.joined(separator: ", ")) is lost and put back from a later checkpoint.")
        }
        if orphanedRecords > 0 {
            lines.append(
                "\(orphanedRecords) intact records after the damage are given up too: whose pool they are about cannot be told. "
                    + "What they settled may be delivered again.")
        }
        if mayLosePool {
            lines.append(
                "If a pool was declared there for the first time, it is forgotten: declared again, it begins with new messages.")
        }
        return lines
    }
}

extension JournalSurvey.Damage {
    /// "batch 3", "messages 7 to 9 (3)" and what can be read of them.
    var lossLines: [String] {
        guard let ordinals else { return ["nothing is lost"] }
        let most = isAtMost ? "at most " : ""
        var line = "lost: \(most)\(ordinals.count == 1 ? "batch" : "batches") \(ordinals.words)"
        if let sequences {
            line += "; \(most)\(sequences.count == 1 ? "message" : "messages") \(sequences.words) (\(sequences.count))"
        } else {
            line += "; no message"
        }
        var lines = [line]
        if !subjects.isEmpty {
            let list = subjects.sorted { $0.key < $1.key }.prefix(20).map { "\($0.key) ×\($0.value)" }
            lines.append("subjects that can still be read: \(list.joined(separator: ", "))\(subjects.count > 20 ? ", …" : "")")
        }
        let records = controlText
        if !records.isEmpty {
            lines.append("control records that can still be read, without proof: \(records.joined(separator: "; "))")
        } else if !carried.isEmpty {
            lines.append(
                "it held messages of older segments that were still needed, and are lost: as far as can be read, without proof, "
                    + ControlFact.listed(carried))
        } else if mayHoldControl {
            lines.append(
                "control records may be among it (settlements, attempts, dead letters, pools), and messages of older segments that were still needed"
            )
        }
        return lines
    }

    /// As far as the bytes make sense.
    private var controlText: [String] {
        var texts: [String] = []
        controlBytes.withUnsafeBytes {
            // Damaged bytes end somewhere; nothing is decided by them.
            try? ControlFact.read($0) { (fact, _) in
                texts.append((fact.pool.map { "pool \($0) " } ?? "") + String(fact.text.prefix(200)))
            }
        }
        return Array(texts.prefix(20))
    }
}

extension ClosedRange<UInt64> {
    /// "7" or "7 to 9".
    fileprivate var words: String { count == 1 ? "\(lowerBound)" : "\(lowerBound) to \(upperBound)" }
}
