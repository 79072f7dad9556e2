/// "Did you mean …?"
public enum Suggestion {
    /// Longer words are not compared: the cost grows with the product of the lengths.
    private static let longestWord = 64

    /// The candidate closest to a word that was not understood, or nil if none is close. Case does not matter; a swap of
    /// neighbours counts as one error. One error is forgiven up to 3 letters, two up to 7, three beyond. Of equally close
    /// candidates the first is returned.
    public static func closest(to word: String, in candidates: some Sequence<String>) -> String? {
        let letters = Array(word.lowercased().utf8)
        guard !letters.isEmpty, letters.count <= longestWord else { return nil }
        let forgiven = letters.count <= 3 ? 1 : letters.count <= 7 ? 2 : 3
        var best: (candidate: String, distance: Int)?
        for candidate in candidates {
            let other = Array(candidate.lowercased().utf8)
            guard other.count <= longestWord, abs(other.count - letters.count) <= forgiven else { continue }
            let distance = distance(letters, other)
            // As many errors as letters is no likeness.
            guard distance <= forgiven, distance < max(letters.count, other.count) else { continue }
            if distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        return best?.candidate
    }

    /// Damerau–Levenshtein distance in its restricted form (optimal string alignment), over bytes.
    static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var beforeLast = [Int](repeating: 0, count: b.count + 1)
        var last = Array(0...b.count)
        for i in 0..<a.count {
            var row = [i + 1]
            row.reserveCapacity(b.count + 1)
            for j in 0..<b.count {
                var cost = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, beforeLast[j - 1] + 1) }
                row.append(cost)
            }
            beforeLast = last
            last = row
        }
        return last[b.count]
    }
}
