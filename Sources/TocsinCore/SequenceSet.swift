/// A set of sequences that are mostly close together: one bit each from a moving floor, and by themselves those that are left far
/// behind it. What a pool has not yet settled.
struct SequenceSet {
    private var base: UInt64 = 0
    private var words: [UInt64] = []
    private var firstWord = 0
    /// Members in `words`.
    private var near = 0
    /// Members below `base`, in order.
    private var far: [UInt64] = []
    /// Bits are cheaper than numbers where every second word has a member; fewer words are not worth the look.
    private static let sparseWords = 4096

    var isEmpty: Bool { count == 0 }
    var count: Int { near + far.count }

    mutating func insert(_ sequence: UInt64) {
        if words.isEmpty {
            if let last = far.last, last >= sequence { return insertFar(sequence) }
            base = sequence & ~63
            words.append(0)
            bringNear()
        }
        if sequence < base {
            guard growDown(to: sequence) else { return insertFar(sequence) }
        }
        var word = Int((sequence - base) / 64)
        if word >= words.count {
            if word > words.count + Self.sparseWords, near < word / 2 {
                leave(words.count)
                base = sequence & ~63
                word = 0
            }
            words.append(contentsOf: repeatElement(0, count: word - words.count + 1))
            if words.count > Self.sparseWords, near < words.count / 2 {
                let half = words.count / 2
                leave(half)
                word -= half
            }
        }
        let bit: UInt64 = 1 << (sequence & 63)
        if words[word] & bit == 0 {
            words[word] |= bit
            near += 1
            firstWord = min(firstWord, word)
        }
    }

    /// Makes room for bits in front, for members that come in falling order. False: it is too far down.
    private mutating func growDown(to sequence: UInt64) -> Bool {
        let missing = Int((base - (sequence & ~63)) / 64)
        guard missing <= max(Self.sparseWords, near / 2) else { return false }
        // More than this one needs: a run of such members must not move all words for each.
        let room = min(max(missing, words.count / 2), Int(base / 64))
        words.insert(contentsOf: repeatElement(0, count: room), at: 0)
        base -= UInt64(room) * 64
        firstWord = room - missing
        bringNear()
        return true
    }

    /// Makes bits of the numbers for which there are words now.
    private mutating func bringNear() {
        while let last = far.last, last >= base {
            far.removeLast()
            near += 1
            let word = Int((last - base) / 64)
            words[word] |= 1 << (last & 63)
            firstWord = min(firstWord, word)
        }
    }

    private mutating func insertFar(_ sequence: UInt64) {
        let position = place(sequence)
        if position == far.count || far[position] != sequence { far.insert(sequence, at: position) }
    }

    /// Turns the bits of so many words at the front into numbers.
    private mutating func leave(_ count: Int) {
        for word in firstWord..<max(count, firstWord) where words[word] != 0 {
            var bits = words[word]
            while bits != 0 {
                far.append(base + UInt64(word * 64 + bits.trailingZeroBitCount))
                near -= 1
                bits &= bits - 1
            }
        }
        words.removeFirst(count)
        base += UInt64(count * 64)
        firstWord = max(0, firstWord - count)
    }

    /// Of the first in `far` that is not less.
    private func place(_ sequence: UInt64) -> Int {
        var low = 0
        var high = far.count
        while low < high {
            let middle = (low + high) / 2
            if far[middle] < sequence { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// False if it was not there.
    @discardableResult mutating func remove(_ sequence: UInt64) -> Bool {
        guard sequence >= base else {
            let position = place(sequence)
            guard position < far.count, far[position] == sequence else { return false }
            far.remove(at: position)
            return true
        }
        let word = Int((sequence - base) / 64)
        let bit: UInt64 = 1 << (sequence & 63)
        guard word < words.count, words[word] & bit != 0 else { return false }
        words[word] &= ~bit
        near -= 1
        trim()
        return true
    }

    func contains(_ sequence: UInt64) -> Bool {
        guard sequence >= base else {
            let position = place(sequence)
            return position < far.count && far[position] == sequence
        }
        let word = Int((sequence - base) / 64)
        return word < words.count && words[word] & (1 << (sequence & 63)) != 0
    }

    /// The lowest member.
    var first: UInt64? { first(from: 0) }

    /// The lowest member that is not less than `sequence`.
    func first(from sequence: UInt64) -> UInt64? {
        if let last = far.last, last >= sequence { return far[place(sequence)] }
        guard near > 0 else { return nil }
        var word = firstWord
        var mask = UInt64.max
        if sequence > base, let distance = Int(exactly: (sequence - base) / 64), distance >= firstWord {
            word = distance
            mask <<= sequence & 63
        }
        while word < words.count {
            let bits = words[word] & mask
            if bits != 0 { return base + UInt64(word * 64 + bits.trailingZeroBitCount) }
            mask = .max
            word += 1
        }
        return nil
    }

    /// The members in `range`, in order.
    func members(in range: Range<UInt64>) -> [UInt64] {
        var members: [UInt64] = []
        var from = range.lowerBound
        while let next = first(from: from), next < range.upperBound {
            members.append(next)
            from = next + 1
        }
        return members
    }

    private mutating func trim() {
        if near == 0 {
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
