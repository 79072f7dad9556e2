import Glibc
import TocsinText

/// Multinomial naive Bayes with Laplace's smoothing: what the classifier is compared with.
struct NaiveBayes {
    private var counts: [UInt64: [Int: Double]] = [:]
    /// Of each label: examples, and words in them.
    private var examples: [Double] = []
    private var words: [Double] = []
    private var labels: [String] = []
    private var terms = TextTerms()

    mutating func learn(_ fields: [TextClassifier.Field], label: String) {
        let index = labels.firstIndex(of: label) ?? labels.count
        if index == labels.count {
            labels.append(label)
            examples.append(0)
            words.append(0)
        }
        examples[index] += 1
        for word in bag(fields) {
            counts[word, default: [:]][index, default: 0] += 1
            words[index] += 1
        }
    }

    mutating func predict(_ fields: [TextClassifier.Field]) -> String? {
        var scores = examples.map { log($0) }
        let unseen = words.map { log(1 / ($0 + Double(counts.count))) }
        for word in bag(fields) {
            guard let counts = counts[word] else { continue }
            for index in labels.indices { scores[index] += unseen[index] }
            for (index, count) in counts { scores[index] += log(count + 1) }
        }
        return scores.indices.max { scores[$0] < scores[$1] }.map { labels[$0] }
    }

    /// The words of texts; a short value is one word.
    private mutating func bag(_ fields: [TextClassifier.Field]) -> [UInt64] {
        fields.flatMap { field in
            if field.value.utf8.count <= 24 { return [Self.hash("\(field.name)=\(field.value)")] }
            terms.read(field.value)
            return terms.terms.map(\.hash)
        }
    }

    private static func hash(_ text: String) -> UInt64 { text.utf8.reduce(5381) { $0 &* 33 &+ UInt64($1) } }
}
