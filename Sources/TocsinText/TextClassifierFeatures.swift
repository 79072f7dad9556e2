/// What the classifier sees of an example: the identities of its features, ascending, each once.
///
/// Of each field: its value as a whole if it is short; its terms and their senses, alone and together with the field's name; and two
/// terms that follow each other. Of each two fields with short values: both values together. There are 2³² identities; two features that
/// share one by chance are one.
struct TextFeatures: Sendable {
    /// Of an example; further ones are not looked at.
    static let countMax = 1024
    private static let fieldsMax = 64
    /// A longer value is only its terms.
    private static let wholeBytesMax = 64
    /// A longer value stands with no other.
    private static let pairBytesMax = 24
    private static let pairedFieldsMax = 12

    /// Where features come from: a field's value as a whole, or words in it.
    struct Source: Sendable {
        var field: Int
        /// In the field's value, in bytes; all of it if it is nil.
        var range: Range<Int>?
    }

    private struct Feature {
        var identity: UInt32
        var source: Int
        /// The same as `source`, unless it is of two fields.
        var otherSource: Int
    }

    private(set) var identities: [UInt32] = []
    /// Of each identity, as indices in `sources`: twice the same, unless it is of two fields.
    private(set) var origins: [(Int, Int)] = []
    /// First each field as a whole, then words.
    private(set) var sources: [Source] = []
    private var found: [Feature] = []
    private var short: [(field: Int, hash: UInt64)] = []
    private var terms = TextTerms()

    mutating func read(_ fields: [TextClassifier.Field]) {
        sources.removeAll(keepingCapacity: true)
        found.removeAll(keepingCapacity: true)
        short.removeAll(keepingCapacity: true)
        let fields = fields.prefix(Self.fieldsMax)
        for index in fields.indices { sources.append(Source(field: index)) }
        for index in fields.indices { addField(fields[index], index) }
        for (index, one) in short.enumerated() {
            for other in short[..<index] { add(TextTerms.mixed(one.hash &+ other.hash), other.field, one.field) }
        }
        // Of those with one identity, the first in the fields' order stays.
        found.sort { ($0.identity, $0.source, $0.otherSource) < ($1.identity, $1.source, $1.otherSource) }
        identities.removeAll(keepingCapacity: true)
        origins.removeAll(keepingCapacity: true)
        for feature in found where feature.identity != identities.last {
            identities.append(feature.identity)
            origins.append((feature.source, feature.otherSource))
        }
    }

    private mutating func addField(_ field: TextClassifier.Field, _ index: Int) {
        let name = TextTerms.hash(Array(field.name.utf8))
        let value = Array(field.value.utf8)
        if value.count <= Self.wholeBytesMax {
            let hash = TextTerms.hash(value, name)
            add(hash, index, index)
            if value.count <= Self.pairBytesMax, short.count < Self.pairedFieldsMax { short.append((index, hash)) }
        }
        terms.read(value.span)
        var before: TextTerms.Term?
        for term in terms.terms where found.count < Self.countMax {
            let source = source(index, term.range, value.count)
            add(term.hash, source, source)
            add(TextTerms.mixed(term.hash ^ name), source, source)
            if let sense = TextSenses.sense(of: term.hash) {
                add(sense, source, source)
                add(TextTerms.mixed(sense ^ name), source, source)
            }
            guard term.kind != .compound else { continue }
            if let before {
                let both = self.source(index, before.range.lowerBound..<term.range.upperBound, value.count)
                add(TextTerms.mixed(term.hash &* 31 &+ before.hash), both, both)
            }
            before = term
        }
    }

    private mutating func source(_ field: Int, _ range: Range<Int>, _ valueBytes: Int) -> Int {
        guard range.count < valueBytes else { return field }
        sources.append(Source(field: field, range: range))
        return sources.count - 1
    }

    private mutating func add(_ hash: UInt64, _ source: Int, _ otherSource: Int) {
        guard found.count < Self.countMax else { return }
        found.append(Feature(identity: UInt32(truncatingIfNeeded: hash >> 20), source: source, otherSource: otherSource))
    }
}
