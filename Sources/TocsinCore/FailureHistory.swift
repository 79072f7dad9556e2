/// Why messages of a pool were not settled, for as long as they are not: the last attempts of each, of a bounded number of them.
struct FailureHistory: Sendable {
    /// Attempts kept of one message.
    static let attemptsMax = 8
    /// Messages of which any are kept; of more, the reason of the last attempt is all there will be.
    static let messagesMax = 65_536
    /// Bytes of a reason.
    static let reasonMax = 256

    private struct Failures {
        var attempts: [FailedAttempt] = []
        /// Attempts made since the message was last given back as new.
        var made: UInt8 = 0
    }
    private var failures: [UInt64: Failures] = [:]

    subscript(sequence: UInt64) -> [FailedAttempt] { failures[sequence]?.attempts ?? [] }

    /// Attempts that a message had, as far as it is one of those kept.
    func made(_ sequence: UInt64) -> UInt8 { failures[sequence]?.made ?? 0 }

    /// Of some messages there may be attempts that are not here.
    var isFull: Bool { failures.count >= Self.messagesMax }

    /// One that is there already is told again by a journal that was compacted.
    mutating func add(_ failed: FailedAttempt, to sequence: UInt64) {
        guard failures[sequence] != nil || !isFull else { return }
        failures[sequence, default: Failures()].made = failed.attempt
        guard failures[sequence]?.attempts.contains(failed) != true else { return }
        failures[sequence]?.attempts.append(failed)
        if let count = failures[sequence]?.attempts.count, count > Self.attemptsMax {
            failures[sequence]?.attempts.removeFirst()
        }
    }

    /// A dead letter is given to its pool as new; what happened to it stays known.
    mutating func restart(_ sequence: UInt64) { failures[sequence]?.made = 0 }

    mutating func forget(_ sequence: UInt64) {
        if !failures.isEmpty { failures[sequence] = nil }
    }
}

extension String {
    /// At most `limit` bytes, cut between characters.
    package func shortened(to limit: Int) -> String {
        guard utf8.count > limit else { return self }
        var end = utf8.index(startIndex, offsetBy: limit)
        while end.samePosition(in: unicodeScalars) == nil { end = utf8.index(before: end) }
        return String(self[..<end])
    }
}
