import Glibc

/// Says which of the labels it has learnt an example has: a severity, a category, the group that solves it.
///
/// It learns one example after another, and from the first on. Nothing is configured: the labels are those it was given, and what
/// the fields are called is part of what is learnt. The model is multinomial logistic regression over hashed features
/// (Weinberger et al., "Feature hashing for large scale multitask learning", 2009), rare ones weighing more, fitted by AdaGrad
/// (Duchi, Hazan, Singer, 2011); with each new example three past ones are gone through again, from a sample of all that were
/// seen. The confidence is what predictions that were stated as surely turned out to be worth when the label came.
///
/// The same examples in the same order give the same model and the same bytes. Memory is bounded: 9 MiB and what is kept of
/// examples, at most 2,000 with 1,024 features. A prediction takes some ten microseconds, an example two or three times that.
/// Several threads may predict at once. A copy costs nothing until it learns.
public struct TextClassifier: Sendable {
    /// Part of an example. Names say which values belong together; a name may stand several times.
    public struct Field: Sendable, Hashable {
        public var name: String
        /// A word, a name or a text.
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// What spoke for a prediction.
    public struct Evidence: Sendable, Hashable {
        /// Words as they stand in the text, or `field=value`.
        public var text: String
        /// What it added to the logarithm of the label's odds, above 0.
        public var weight: Double
    }

    public struct Prediction: Sendable, Hashable {
        public var label: String
        /// The share of such predictions that are right, 0…1.
        public var confidence: Double
        /// The strongest first.
        public var evidence: [Evidence]
    }

    public static let labelsMax = 256
    public static let labelBytesMax = 128

    static let weightBits = 20
    static let documentBits = 16
    static let examplesMax = 2000
    private static let rate: Float = 0.4
    private static let biasRate: Float = 0.12
    static let initialSquare: Float = 0.01
    private static let replays = 3
    /// An error of a probability that is not worth a step.
    private static let errorMin: Float = 0.005

    struct Example: Sendable, Equatable {
        var identities: [UInt32]
        var label: Int
    }

    /// In the order in which they were first seen.
    public internal(set) var labels: [String] = []
    /// Examples learnt.
    public internal(set) var exampleCount = 0

    /// Of each label, and the sum of its squared steps.
    var biases: [Float] = []
    var biasSquares: [Float] = []
    /// A feature's weight for label `k` is at its place plus `k`, around the end.
    var weights: [Float]
    var squares: [Float]
    /// In how many examples a feature was.
    var documents: [UInt32]
    /// A uniform sample of what was learnt.
    var examples: [Example] = []
    var random: UInt64 = 0
    var calibration = ConfidenceCalibration()

    /// What is worked out for one example.
    private struct Work {
        var features = TextFeatures()
        /// Of the features that have weights, in the order of their identities.
        var places: [(place: Int, value: Float)] = []
        /// The probability of each label.
        var scores: [Float] = []
    }

    public init() {
        weights = [Float](repeating: 0, count: 1 << Self.weightBits)
        squares = [Float](repeating: Self.initialSquare, count: 1 << Self.weightBits)
        documents = [UInt32](repeating: 0, count: 1 << Self.documentBits)
    }

    /// The likeliest label; nil before the first example.
    /// - Parameter evidenceMax: how many pieces of evidence are wanted at most.
    public func predict(_ fields: [Field], evidenceMax: Int = 5) -> Prediction? {
        var work = Work()
        work.features.read(fields)
        guard let best = score(work.features.identities, &work) else { return nil }
        return Prediction(
            label: labels[best], confidence: Double(calibration.value(stated: work.scores[best])),
            evidence: evidenceMax > 0 ? evidence(for: best, fields, work, evidenceMax) : [])
    }

    /// - Throws: for a label that is empty or longer than `labelBytesMax`, and for one more than `labelsMax`.
    public mutating func learn(_ fields: [Field], label: String) throws(TextClassifierError) {
        let index = try self.index(of: label)
        var work = Work()
        work.features.read(fields)
        let example = Example(identities: work.features.identities, label: index)
        if exampleCount > 0, let best = score(example.identities, &work) {
            calibration.count(stated: work.scores[best], isRight: best == index)
        }
        exampleCount += 1
        for identity in example.identities { documents[Self.documentPlace(identity)] += 1 }
        keep(example)
        step(example, &work)
        for _ in 0..<Self.replays { step(examples[below(examples.count)], &work) }
    }

    private mutating func index(of label: String) throws(TextClassifierError) -> Int {
        if let index = labels.firstIndex(of: label) { return index }
        guard (1...Self.labelBytesMax).contains(label.utf8.count) else {
            throw TextClassifierError("a label has 1 to \(Self.labelBytesMax) bytes, this one \(label.utf8.count)")
        }
        guard labels.count < Self.labelsMax else {
            throw TextClassifierError(
                "\(label) would be label \(Self.labelsMax + 1); a classifier tells at most \(Self.labelsMax)")
        }
        labels.append(label)
        biases.append(0)
        biasSquares.append(Self.initialSquare)
        return labels.count - 1
    }

    /// How often each label, in their order, is among the examples that are kept: all of them, or a uniform sample of 2,000.
    public var keptCounts: [Int] {
        examples.reduce(into: [Int](repeating: 0, count: labels.count)) { $0[$1.label] += 1 }
    }

    /// What predictions were worth lately.
    public struct Calibration: Sendable, Hashable {
        /// What the model stated.
        public var stated: ClosedRange<Double>
        /// So many were stated so surely, and so many of them were right; of many the recent ones.
        public var predictions: Int
        public var right: Int
        /// The confidence they are given.
        public var confidence: Double
    }

    /// In steps of a sixteenth, those without predictions left out.
    public var calibrations: [Calibration] {
        let width = 1 / Double(ConfidenceCalibration.binCount)
        return calibration.bins.enumerated().filter { $0.element.predictions > 0 }.map { index, bin in
            Calibration(
                stated: Double(index) * width...Double(index + 1) * width,
                predictions: Int(bin.predictions), right: Int(bin.right),
                confidence: Double(calibration.value(stated: (Float(index) + 0.5) * Float(width))))
        }
    }

    // -- the model --------------------------------------------------------------------------------------------------

    private static func documentPlace(_ identity: UInt32) -> Int { Int(identity & (1 << documentBits - 1)) }

    private static func weightPlace(_ identity: UInt32) -> Int {
        Int((identity &* 0x9E37_79B1) >> (32 - UInt32(weightBits)))
    }

    /// Works out places and scores; returns the likeliest label.
    private func score(_ identities: [UInt32], _ work: inout Work) -> Int? {
        guard !labels.isEmpty else { return nil }
        weigh(identities, &work.places)
        work.scores.removeAll(keepingCapacity: true)
        work.scores += biases
        let mask = weights.count - 1
        for (place, value) in work.places {
            for label in labels.indices { work.scores[label] += weights[(place + label) & mask] * value }
        }
        var best = 0
        for label in labels.indices where work.scores[label] > work.scores[best] { best = label }
        let top = work.scores[best]
        var sum: Float = 0
        for label in labels.indices {
            work.scores[label] = expf(work.scores[label] - top)
            sum += work.scores[label]
        }
        for label in labels.indices { work.scores[label] /= sum }
        return best
    }

    /// Features weigh by the root of their inverse document frequency, and together 1. Those that were never seen take their
    /// part of that, so that less is said of an example the more of it is new.
    private func weigh(_ identities: [UInt32], _ places: inout [(place: Int, value: Float)]) {
        places.removeAll(keepingCapacity: true)
        let total = Float(exampleCount + 1)
        var squareSum: Float = 0
        for identity in identities {
            let count = documents[Self.documentPlace(identity)]
            let square = logf(total / (Float(count) + 0.5))
            guard square > 0 else { continue }
            squareSum += square
            if count > 0 { places.append((Self.weightPlace(identity), square.squareRoot())) }
        }
        guard squareSum > 0 else { return }
        let scale = 1 / squareSum.squareRoot()
        for index in places.indices { places[index].value *= scale }
    }

    private mutating func step(_ example: Example, _ work: inout Work) {
        guard score(example.identities, &work) != nil else { return }
        let mask = weights.count - 1
        for label in labels.indices {
            let error = work.scores[label] - (label == example.label ? 1 : 0)
            guard abs(error) >= Self.errorMin else { continue }
            biasSquares[label] += error * error
            biases[label] -= Self.biasRate * error / biasSquares[label].squareRoot()
            for (place, value) in work.places {
                let index = (place + label) & mask
                let gradient = error * value
                squares[index] += gradient * gradient
                weights[index] -= Self.rate * gradient / squares[index].squareRoot()
            }
        }
    }

    /// Reservoir sampling (Vitter's algorithm R, 1985).
    private mutating func keep(_ example: Example) {
        if examples.count < Self.examplesMax {
            examples.append(example)
            return
        }
        let place = below(exampleCount)
        if place < Self.examplesMax { examples[place] = example }
    }

    /// SplitMix64, scaled by a multiplication.
    private mutating func below(_ bound: Int) -> Int {
        random &+= 0x9E37_79B9_7F4A_7C15
        return Int(TextTerms.mixed(random).multipliedFullWidth(by: UInt64(bound)).high)
    }

    // -- evidence ---------------------------------------------------------------------------------------------------

    /// By how much the features of each source speak for the label more than for others on average; what is of two fields counts
    /// half for each.
    private func evidence(for label: Int, _ fields: [Field], _ work: Work, _ countMax: Int) -> [Evidence] {
        let mask = weights.count - 1
        var sums = [Float](repeating: 0, count: work.features.sources.count)
        var next = 0
        for (identity, origin) in zip(work.features.identities, work.features.origins) {
            let place = Self.weightPlace(identity)
            // Those without a weight are not in `places`.
            guard next < work.places.count, work.places[next].place == place else { continue }
            var mean: Float = 0
            for other in labels.indices { mean += weights[(place + other) & mask] }
            let difference = weights[(place + label) & mask] - mean / Float(labels.count)
            sums[origin.0] += difference * work.places[next].value / 2
            sums[origin.1] += difference * work.places[next].value / 2
            next += 1
        }
        let strongest = sums.indices.filter { sums[$0] > 0 }.sorted { (sums[$1], $0) < (sums[$0], $1) }
        return strongest.prefix(countMax).map { index in
            Evidence(text: text(of: work.features.sources[index], fields), weight: Double(sums[index]))
        }
    }

    private func text(of source: TextFeatures.Source, _ fields: [Field]) -> String {
        let field = fields[source.field]
        guard let range = source.range else { return "\(field.name)=\(field.value)" }
        return String(decoding: Array(field.value.utf8)[range], as: UTF8.self)
    }
}

/// What a classifier cannot take, and why.
public struct TextClassifierError: Error, Equatable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
