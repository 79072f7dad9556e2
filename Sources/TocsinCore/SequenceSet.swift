/// A set of sequences that are mostly close together: one bit each from a moving floor. What a pool has not yet settled.
struct SequenceSet {
    private var base: UInt64 = 0
    private var words: [UInt64] = []
    private var firstWord = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func insert(_ sequence: UInt64) {
        if words.isEmpty { base = sequence & ~63 }
        if sequence < base {
            // More room in front than this one needs: a run of members in falling order must not move all words for each.
            let missing = Int((base - (sequence & ~63)) / 64)
            let room = min(max(missing, words.count / 2), Int(base / 64))
            words.insert(contentsOf: repeatElement(0, count: room), at: 0)
            base -= UInt64(room) * 64
            firstWord = room - missing
        }
        let word = Int((sequence - base) / 64)
        if word >= words.count { words.append(contentsOf: repeatElement(0, count: word - words.count + 1)) }
        let bit: UInt64 = 1 << (sequence & 63)
        if words[word] & bit == 0 {
            words[word] |= bit
            count += 1
            firstWord = min(firstWord, word)
        }
    }

    /// False if it was not there.
    @discardableResult mutating func remove(_ sequence: UInt64) -> Bool {
        guard sequence >= base else { return false }
        let word = Int((sequence - base) / 64)
        let bit: UInt64 = 1 << (sequence & 63)
        guard word < words.count, words[word] & bit != 0 else { return false }
        words[word] &= ~bit
        count -= 1
        trim()
        return true
    }

    func contains(_ sequence: UInt64) -> Bool {
        guard sequence >= base else { return false }
        let word = Int((sequence - base) / 64)
        return word < words.count && words[word] & (1 << (sequence & 63)) != 0
    }

    /// The lowest member.
    var first: UInt64? {
        guard count > 0 else { return nil }
        var word = firstWord
        while words[word] == 0 { word += 1 }
        return base + UInt64(word * 64 + words[word].trailingZeroBitCount)
    }

    private mutating func trim() {
        if count == 0 {
            words.removeAll(keepingCapacity: words.count < 4096)
            firstWord = 0
            return
        }
        while words[firstWord] == 0 { firstWord += 1 }
        if firstWord > 1024, firstWord * 2 > words.count {
            words.removeFirst(firstWord)
            base += UInt64(firstWord * 64)
            firstWord = 0
        }
    }
}
