import Glibc
import HeapModule

/// Which of many texts are most like one: an inverted index in memory.
///
/// A text has fields; a term counts by the heaviest field it stands in, and with how often it does: BM25F's weights (Robertson,
/// Zaragoza, "The Probabilistic Relevance Framework", 2009), with lengths against a fixed one, so that the weight of a term in a
/// text does not depend on other texts. Two texts are compared by the terms they share, each by its rarity, and by how much of
/// the title of each the other has. One setting for all: reports that tell one fault, runbooks for an alert, incidents.
///
/// What was found depends only on the texts that are in the index, not on how they came there. Finding reads; it may be done by
/// several threads at once, changing may not.
public struct TextIndex: Sendable {
    /// Further terms of a title or of labels are not looked at.
    public static let titleTermsMax = 64
    /// Further terms of a body are not looked at: what matters is told first, and logs are what comes later.
    public static let bodyTermsMax = 256
    /// Of an index.
    public static let textsMax = 1 << 24
    /// Of a hit.
    public static let sharedTermsMax = 8

    /// What is compared.
    public struct Text: Sendable, Hashable {
        /// What it is about, in a few words; also its name. Counts four times.
        public var title: String
        /// Names of what it concerns: services, components. Count twice.
        public var labels: [String]
        public var body: String

        public init(title: String, labels: [String] = [], body: String = "") {
            self.title = title
            self.labels = labels
            self.body = body
        }
    }

    public struct Hit: Sendable, Hashable {
        public var id: UInt64
        /// How alike, 0...1, for any query and any index: 1 is the same text. What tells of one fault has 0.2 and up.
        public var score: Double
        /// The terms that both have and that said most, as they are spelt in the query; the weightiest first.
        public var sharedTerms: [String]
    }

    /// How many texts it takes: one more puts out the one of the lowest id.
    public let capacity: Int
    /// How many texts are in it.
    public var count: Int { slots.count }

    // A text has a slot, a term a number; both are used again. Term weights are 0...255 of `WeightedTerms.weightMax`.
    private var texts: [Entry] = []
    private var slots: [UInt64: UInt32] = [:]
    private var freeSlots: [UInt32] = []
    private var numbers: [UInt64: UInt32] = [:]
    private var freeNumbers: [UInt32] = []
    private var terms: [TermEntry] = []

    /// A text by its slot.
    private struct Entry: Sendable {
        var id: UInt64
        /// Number << 8 | weight; those of the title first. Empty for a free slot.
        var terms: [UInt32]
        var titleCount: Int
        /// What the sum over shared terms is multiplied by to compare texts of different lengths before rarities are known.
        var norm: Float
    }

    /// A term by its number.
    private struct TermEntry: Sendable {
        var hash: UInt64
        /// Slot << 8 | weight, in no order. Empty for a free number.
        var postings: [UInt32]

        mutating func remove(_ slot: UInt32) {
            guard let index = postings.firstIndex(where: { $0 >> 8 == slot }) else { return }
            postings.swapAt(index, postings.count - 1)
            postings.removeLast()
        }
    }

    /// - Parameter capacity: 1 to ``textsMax``.
    public init(capacity: Int) {
        precondition((1...Self.textsMax).contains(capacity), "an index takes 1 to \(Self.textsMax) texts")
        self.capacity = capacity
    }

    public func contains(_ id: UInt64) -> Bool { slots[id] != nil }

    // -- changes ----------------------------------------------------------------------------------------------------

    /// Adds a text, or replaces the one of this id.
    public mutating func put(_ id: UInt64, _ text: Text) {
        remove(id)
        if count == capacity {
            // As many as there are incidents a minute: a scan is cheap enough.
            guard let lowest = slots.keys.min(), lowest < id else { return }
            remove(lowest)
        }
        let weighted = WeightedTerms(text)
        let slot = freeSlots.popLast() ?? UInt32(texts.count)
        var packed: [UInt32] = []
        packed.reserveCapacity(weighted.terms.count)
        var squares: Float = 0
        for term in weighted.terms {
            guard let number = number(of: term.hash) else { continue }
            let weight = UInt32((term.weight * WeightedTerms.steps).rounded())
            packed.append(number << 8 | weight)
            terms[Int(number)].postings.append(slot << 8 | weight)
            squares += term.weight * term.weight
        }
        let entry = Entry(
            id: id, terms: packed, titleCount: min(weighted.titleCount, packed.count),
            norm: powf(max(squares, 1), -Self.lengthExponent))
        if Int(slot) == texts.count { texts.append(entry) } else { texts[Int(slot)] = entry }
        slots[id] = slot
    }

    /// Takes a text out; nothing of it stays. None of this id: nothing happens.
    public mutating func remove(_ id: UInt64) {
        guard let slot = slots.removeValue(forKey: id) else { return }
        for packed in texts[Int(slot)].terms {
            let number = packed >> 8
            terms[Int(number)].remove(slot)
            if terms[Int(number)].postings.isEmpty {
                numbers[terms[Int(number)].hash] = nil
                terms[Int(number)] = TermEntry(hash: 0, postings: [])
                freeNumbers.append(number)
            }
        }
        texts[Int(slot)] = Entry(id: 0, terms: [], titleCount: 0, norm: 0)
        freeSlots.append(slot)
    }

    /// Nil when there are as many terms as numbers.
    private mutating func number(of hash: UInt64) -> UInt32? {
        if let number = numbers[hash] { return number }
        let number: UInt32
        if let free = freeNumbers.popLast() {
            number = free
            terms[Int(number)].hash = hash
        } else {
            guard terms.count < 1 << 24 else { return nil }
            number = UInt32(terms.count)
            terms.append(TermEntry(hash: hash, postings: []))
        }
        numbers[hash] = number
        return number
    }

    // -- finding ----------------------------------------------------------------------------------------------------

    /// How much the length of a text counts against it: 0 not at all, 0.5 as with the cosine.
    private static let lengthExponent: Float = 0.3
    /// What it adds when all of the title of the one is in the other, beside 1 for the same text.
    private static let titleShare: Float = 0.125
    /// Postings that are looked at to find candidates, those of the rarest terms first: what bounds the time. The terms beyond it
    /// say little, and count when candidates are compared in full.
    private static let postingsMax = 200_000
    /// Texts that are compared in full.
    private static let candidatesMax = 512

    /// The texts most like `text`, best first; of equal ones the lower id first.
    ///
    /// - Parameters:
    ///   - limit: how many at most.
    ///   - isShown: which texts may be found, by id. It is asked only about texts that would be found.
    public func similar(to text: Text, limit: Int = 10, where isShown: (UInt64) -> Bool = { _ in true }) -> [Hit] {
        guard limit > 0, count > 0 else { return [] }
        let query = Query(WeightedTerms(text), self)
        guard query.whole > 0 else { return [] }
        var rarities = [Float](repeating: 0, count: terms.count)
        var indices = [Int32](repeating: 0, count: terms.count)
        for (index, term) in query.terms.enumerated() {
            if let number = term.number { indices[Int(number)] = Int32(index + 1) }
        }
        var hits: [(slot: UInt32, id: UInt64, score: Float)] = []
        for candidate in candidates(query, max(limit, Self.candidatesMax), isShown) {
            let entry = texts[Int(candidate.slot)]
            hits.append((candidate.slot, entry.id, score(entry, query, indices, &rarities)))
        }
        hits.sort { ($0.score, $1.id) > ($1.score, $0.id) }
        return hits.prefix(limit).map { hit in
            Hit(id: hit.id, score: Double(hit.score), sharedTerms: sharedTerms(texts[Int(hit.slot)], query, indices))
        }
    }

    /// What is rare says much. `log` as BM25 has it, to the power of 1.5.
    private func rarity(_ frequency: Int) -> Float {
        let frequency = Float(frequency)
        let information = logf(1 + (Float(count) - frequency + 0.5) / (frequency + 0.5))
        return information * information.squareRoot()
    }

    private struct Query {
        struct Term {
            var term: WeightedTerms.Term
            /// Nil if no text has it.
            var number: UInt32?
            var rarity: Float
            var isTitle: Bool
        }
        var terms: [Term]
        /// What the query has in common with itself.
        var whole: Float
        var title: Float
        var weighted: WeightedTerms

        init(_ weighted: WeightedTerms, _ index: TextIndex) {
            terms = weighted.terms.enumerated().map { position, term in
                let number = index.numbers[term.hash]
                // What no text has is not known to be rarer than what one has.
                let frequency = number.map { index.terms[Int($0)].postings.count } ?? 1
                return Term(
                    term: term, number: number, rarity: index.rarity(frequency), isTitle: position < weighted.titleCount)
            }
            whole = terms.reduce(0) { $0 + $1.rarity * $1.term.weight * $1.term.weight }
            title = terms.reduce(0) { $0 + ($1.isTitle ? $1.rarity : 0) }
            self.weighted = weighted
        }
    }

    private struct Candidate: Comparable {
        var score: Float
        var slot: UInt32
        var id: UInt64

        static func < (left: Candidate, right: Candidate) -> Bool { (left.score, right.id) < (right.score, left.id) }
    }

    /// The texts that share most with the query, in no order.
    private func candidates(_ query: Query, _ limit: Int, _ isShown: (UInt64) -> Bool) -> [Candidate] {
        var sums = [Float](repeating: 0, count: texts.count)
        var postingsLeft = Self.postingsMax
        for term in query.terms.filter({ $0.number != nil }).sorted(by: { ($0.rarity, $1.term.hash) > ($1.rarity, $0.term.hash) })
        {
            let postings = terms[Int(term.number!)].postings
            guard postingsLeft > 0 else { break }
            postingsLeft -= postings.count
            let factor = term.rarity * term.term.weight
            for posting in postings { sums[Int(posting >> 8)] += factor * Float(posting & 0xFF) }
        }
        var best = Heap<Candidate>(minimumCapacity: limit + 1)
        var least: Float = 0
        for (slot, sum) in sums.enumerated() where sum > 0 {
            let entry = texts[slot]
            let candidate = Candidate(score: sum * entry.norm, slot: UInt32(slot), id: entry.id)
            if best.count == limit {
                guard candidate.score >= least, let worst = best.min, worst < candidate, isShown(entry.id) else { continue }
                best.replaceMin(with: candidate)
                least = best.min?.score ?? 0
            } else if isShown(entry.id) {
                best.insert(candidate)
                least = best.min?.score ?? 0
            }
        }
        return best.unordered
    }

    private func score(_ entry: Entry, _ query: Query, _ indices: [Int32], _ rarities: inout [Float]) -> Float {
        var shared: Float = 0
        var whole: Float = 0
        var queryTitle: Float = 0
        var title: Float = 0
        var sharedTitle: Float = 0
        for (position, packed) in entry.terms.enumerated() {
            let number = Int(packed >> 8)
            if rarities[number] == 0 { rarities[number] = rarity(terms[number].postings.count) }
            let rarity = rarities[number]
            let weight = Float(packed & 0xFF) / WeightedTerms.steps
            whole += rarity * weight * weight
            let isTitle = position < entry.titleCount
            if isTitle { title += rarity }
            guard indices[number] > 0 else { continue }
            let term = query.terms[Int(indices[number]) - 1]
            shared += rarity * weight * term.term.weight
            if term.isTitle { queryTitle += rarity }
            if isTitle { sharedTitle += rarity }
        }
        let alike = shared / (powf(query.whole, 1 - Self.lengthExponent) * powf(whole, Self.lengthExponent))
        let titles = (query.title > 0 ? queryTitle / query.title : 0) + (title > 0 ? sharedTitle / title : 0)
        return min(1, (alike + Self.titleShare * titles) / (1 + 2 * Self.titleShare))
    }

    private func sharedTerms(_ entry: Entry, _ query: Query, _ indices: [Int32]) -> [String] {
        var shared: [(weight: Float, index: Int)] = []
        for packed in entry.terms where indices[Int(packed >> 8)] > 0 {
            let index = Int(indices[Int(packed >> 8)]) - 1
            shared.append((query.terms[index].rarity * query.terms[index].term.weight * Float(packed & 0xFF), index))
        }
        shared.sort { ($0.weight, $1.index) > ($1.weight, $0.index) }
        return query.weighted.spellings(shared.map { query.terms[$0.index].term }, limit: Self.sharedTermsMax)
    }
}
