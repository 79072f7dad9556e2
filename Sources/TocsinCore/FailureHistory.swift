/// Why messages of a pool were not settled, for as long as they are not: the last attempts of each, of a bounded number of them.
struct FailureHistory: Sendable {
    /// Attempts kept of one message.
    static let attemptsMax = 8
    /// Messages of which any are kept; of more, the reason of the last attempt is all there will be.
    static let messagesMax = 65_536
    /// Bytes of a reason.
    static let reasonMax = 256

    private var attempts: [UInt64: [FailedAttempt]] = [:]

    subscript(sequence: UInt64) -> [FailedAttempt] { attempts[sequence] ?? [] }

    mutating func add(_ failed: FailedAttempt, to sequence: UInt64) {
        guard attempts[sequence] != nil || attempts.count < Self.messagesMax else { return }
        attempts[sequence, default: []].append(failed)
        if let count = attempts[sequence]?.count, count > Self.attemptsMax { attempts[sequence]?.removeFirst() }
    }

    mutating func forget(_ sequence: UInt64) {
        if !attempts.isEmpty { attempts[sequence] = nil }
    }
}

extension String {
    /// At most `limit` bytes, cut between characters.
    func shortened(to limit: Int) -> String {
        guard utf8.count > limit else { return self }
        var end = utf8.index(startIndex, offsetBy: limit)
        while end.samePosition(in: unicodeScalars) == nil { end = utf8.index(before: end) }
        return String(self[..<end])
    }
}
