/// The distinct terms of a text with their weights: what an index keeps of it.
struct WeightedTerms {
    struct Term {
        var hash: UInt64
        var kind: TextTerms.Kind
        /// More than 0, less than ``WeightedTerms/weightMax``; one of 255 steps.
        var weight: Float
        /// Where it stands first: of title, labels and body, and in bytes of that.
        var part: Int
        var range: Range<Int>
    }

    /// What a term that stands everywhere weighs.
    static let weightMax = 1 + saturation
    /// Steps of weight in 1.
    static let steps: Float = 255 / weightMax

    /// Those of the title first, each as it comes first.
    private(set) var terms: [Term] = []
    private(set) var titleCount = 0
    /// Title, labels and body.
    private var parts: [String]

    /// How soon it no longer matters how often a term stands in a text: BM25's k1.
    private static let saturation: Float = 1.2
    private static let titleWeight: Float = 4
    private static let labelWeight: Float = 2
    /// How much a body's length counts against each of its terms, BM25's b, and the length that is as it should be.
    private static let lengthShare: Float = 0.75
    private static let bodyTerms: Float = 100

    init(_ text: TextIndex.Text) {
        parts = [text.title, text.labels.joined(separator: "\n"), text.body]
        var places: [UInt64: Int] = [:]
        var reader = TextTerms()
        for (part, limit) in [TextIndex.titleTermsMax, TextIndex.titleTermsMax, TextIndex.bodyTermsMax].enumerated() {
            reader.read(parts[part])
            let read = reader.terms.prefix(limit)
            let body = 1 / (1 - Self.lengthShare + Self.lengthShare * Float(read.count) / Self.bodyTerms)
            let count = [Self.titleWeight, Self.labelWeight, body][part]
            // Identifiers are all one term: that both have one says nothing.
            for term in read where term.kind != .identifier {
                if let place = places[term.hash] {
                    terms[place].weight += count
                } else {
                    places[term.hash] = terms.count
                    terms.append(Term(hash: term.hash, kind: term.kind, weight: count, part: part, range: term.range))
                }
            }
            if part == 0 { titleCount = terms.count }
        }
        for place in terms.indices {
            let weight = terms[place].weight * Self.weightMax / (terms[place].weight + Self.saturation)
            terms[place].weight = (weight * Self.steps).rounded() / Self.steps
        }
    }

    /// The first `limit` of `terms` as they are spelt, without the parts of names that are among them and without long numbers.
    func spellings(_ terms: [Term], limit: Int) -> [String] {
        let names = terms.filter { $0.kind == .compound }
        let whole = terms.lazy.filter { term in
            !names.contains { $0.part == term.part && $0.range != term.range && $0.range.contains(term.range) }
                // Long numbers are all one term.
                && !(term.kind == .number && term.range.count > 5)
        }
        return whole.prefix(limit).map { term in
            String(decoding: parts[term.part].utf8.dropFirst(term.range.lowerBound).prefix(term.range.count), as: UTF8.self)
        }
    }
}
