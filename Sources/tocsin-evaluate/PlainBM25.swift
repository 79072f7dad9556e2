import Glibc

/// BM25 as it is in the textbook, to compare with: words of letters and digits in lower case, each word of the query once,
/// k1 = 1.2, b = 0.75, and the logarithm that is never negative.
struct PlainBM25 {
    private var postings: [String: [(text: Int, share: Double)]] = [:]
    private let count: Int

    init(_ texts: [String]) {
        let words = texts.map(Self.words)
        let mean = Double(words.reduce(0) { $0 + $1.count }) / Double(max(1, words.count))
        for (text, words) in words.enumerated() {
            let length = 1.2 * (1 - 0.75 + 0.75 * Double(words.count) / mean)
            for (word, times) in words.reduce(into: [String: Double](), { $0[$1, default: 0] += 1 }) {
                postings[word, default: []].append((text, times * 2.2 / (times + length)))
            }
        }
        count = texts.count
    }

    /// How many texts but `excluded` are better for the query than `right`; nil if that has nothing of it.
    func better(than right: Int, for query: String, excluding excluded: Int? = nil) -> Int? {
        var scores = [Double](repeating: 0, count: count)
        for word in Set(Self.words(query)).sorted() {
            guard let postings = postings[word] else { continue }
            let frequency = Double(postings.count)
            let weight = log(1 + (Double(count) - frequency + 0.5) / (frequency + 0.5))
            for posting in postings { scores[posting.text] += weight * posting.share }
        }
        guard scores[right] > 0 else { return nil }
        return scores.indices.count { $0 != excluded && scores[$0] > scores[right] }
    }

    private static func words(_ text: String) -> [String] {
        text.lowercased().utf8.split { !(0x61...0x7A).contains($0) && !(0x30...0x39).contains($0) }.map { String($0)! }
    }
}
