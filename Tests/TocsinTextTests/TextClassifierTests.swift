import TestSupport
import Testing

@testable import TocsinText

/// Goal: the classifier learns what fields and words say about labels, says how sure it is and why, and does the same every time.
/// Method: made-up alerts whose severity follows from one word and one field, among words that say nothing.
@Suite struct TextClassifierTests {
    struct Example {
        var fields: [TextClassifier.Field]
        var label: String
    }

    /// `noise` of the labels are wrong.
    static func examples(_ count: Int, noise: Double = 0, _ random: inout SplitMix64) -> [Example] {
        let words = ["disk", "queue", "replica", "probe", "node", "cache", "index", "broker", "shard", "proxy"]
        let states = [("unreachable", "critical"), ("slow", "warning"), ("rotated", "info")]
        return (0..<count).map { _ in
            let (state, label) = states[random.below(3)]
            let text = (0..<4).map { _ in words[random.below(words.count)] } + [state]
            return Example(
                fields: [
                    TextClassifier.Field("service", words[random.below(words.count)]),
                    TextClassifier.Field("summary", text.joined(separator: " ")),
                ], label: random.chance(noise) ? states[random.below(3)].1 : label)
        }
    }

    @Test("It learns from words, and names the word that decided")
    func words() throws {
        var random = SplitMix64.seeded()
        var classifier = TextClassifier()
        for example in Self.examples(200, &random) { try classifier.learn(example.fields, label: example.label) }
        let fresh = Self.examples(200, &random)
        let right = try fresh.filter { example in
            let prediction = try #require(classifier.predict(example.fields))
            if prediction.label == example.label {
                #expect(["unreachable", "slow", "rotated"].contains(prediction.evidence.first?.text))
            }
            #expect(prediction.evidence.count <= 5)
            #expect(prediction.evidence.allSatisfy { $0.weight > 0 })
            return prediction.label == example.label
        }
        #expect(right.count >= 195)
        #expect(Set(classifier.labels) == ["critical", "warning", "info"])
        #expect(classifier.exampleCount == 200)
    }

    @Test("It learns from fields, alone and two together")
    func fields() throws {
        var random = SplitMix64.seeded()
        var classifier = TextClassifier()
        func example() -> Example {
            let site = random.below(2)
            let kind = random.below(2)
            return Example(
                fields: [
                    TextClassifier.Field("site", "s\(site)"), TextClassifier.Field("kind", "k\(kind)"),
                    TextClassifier.Field("caller", "c\(random.below(50))"),
                ], label: site == kind ? "same" : "other")
        }
        for _ in 0..<400 {
            let example = example()
            try classifier.learn(example.fields, label: example.label)
        }
        var right = 0
        var explained = 0
        for _ in 0..<100 {
            let example = example()
            let prediction = try #require(classifier.predict(example.fields))
            right += prediction.label == example.label ? 1 : 0
            explained += ["site", "kind"].contains(prediction.evidence.first?.text.prefix(4)) ? 1 : 0
        }
        #expect(right >= 95)
        #expect(explained >= 80)
    }

    @Test("What is learnt of a word is known of its like")
    func senses() throws {
        var classifier = TextClassifier()
        for (text, label) in [
            ("db unreachable", "critical"), ("db slow", "minor"), ("web offline", "critical"), ("web lag", "minor"),
        ] {
            try classifier.learn([TextClassifier.Field("summary", text)], label: label)
        }
        #expect(classifier.predict([TextClassifier.Field("summary", "cache vanished")])?.label == "critical")
        #expect(classifier.predict([TextClassifier.Field("summary", "cache delayed")])?.label == "minor")
        // No word has two senses.
        let terms = TextSenses.words.flatMap { TextTerms($0).terms }
        let kinds = Set(terms.map(\.hash))
        #expect(kinds.count == TextSenses.words.map { Set(TextTerms($0).terms.map(\.hash)).count }.reduce(0, +))
        #expect(terms.allSatisfy { $0.kind == .word && TextSenses.sense(of: $0.hash) != nil })
    }

    @Test("It says nothing before the first example, and the only label after it")
    func beginning() throws {
        var classifier = TextClassifier()
        #expect(classifier.predict([TextClassifier.Field("summary", "disk full")]) == nil)
        try classifier.learn([TextClassifier.Field("summary", "disk full")], label: "major")
        #expect(classifier.predict([])?.label == "major")
        #expect(classifier.predict([TextClassifier.Field("summary", "disk full")], evidenceMax: 0)?.evidence == [])
    }

    @Test("Labels are bounded in length and number")
    func labels() throws {
        var classifier = TextClassifier()
        #expect(throws: TextClassifierError.self) { try classifier.learn([], label: "") }
        #expect(throws: TextClassifierError.self) {
            try classifier.learn([], label: String(repeating: "a", count: TextClassifier.labelBytesMax + 1))
        }
        for index in 0..<TextClassifier.labelsMax { try classifier.learn([], label: "label \(index)") }
        #expect(throws: TextClassifierError.self) { try classifier.learn([], label: "another") }
        try classifier.learn([], label: "label 0")
        #expect(classifier.exampleCount == TextClassifier.labelsMax + 1)
        #expect(try TextClassifier(decoding: classifier.encoded()).labels == classifier.labels)
    }

    @Test("Fields without end are looked at only as far as the bound")
    func bounds() throws {
        var random = SplitMix64.seeded()
        var classifier = TextClassifier()
        let text = (0..<5000).map { "word\($0)" }.joined(separator: " ")
        let fields = (0..<300).map { TextClassifier.Field("field \($0)", $0 % 2 == 0 ? text : "value \(random.below(9))") }
        try classifier.learn(fields, label: "major")
        #expect(classifier.examples[0].identities.count <= TextFeatures.countMax)
        #expect(classifier.predict(fields)?.label == "major")
        for _ in 0..<TextClassifier.examplesMax { try classifier.learn([TextClassifier.Field("a", "b")], label: "minor") }
        #expect(classifier.examples.count == TextClassifier.examplesMax)
    }

    @Test("The confidence is the share of right predictions, also where labels are wrong")
    func confidence() throws {
        var random = SplitMix64.seeded()
        var classifier = TextClassifier()
        var stated = 0.0
        var right = 0
        for (index, example) in Self.examples(3000, noise: 0.4, &random).enumerated() {
            if index >= 1000, let prediction = classifier.predict(example.fields) {
                stated += prediction.confidence
                right += prediction.label == example.label ? 1 : 0
            }
            try classifier.learn(example.fields, label: example.label)
        }
        #expect(abs(stated - Double(right)) < 150, "\(stated) expected, \(right) of 2000 right")
    }

    // -- encoding ---------------------------------------------------------------------------------------------------

    @Test("The same examples give the same bytes; what is decoded predicts and learns on as the original")
    func encoding() throws {
        var random = SplitMix64.seeded()
        var one = TextClassifier()
        var other = TextClassifier()
        let examples = Self.examples(2300, noise: 0.2, &random)
        for (index, example) in examples.enumerated() {
            try one.learn(example.fields, label: example.label)
            // Predictions leave no trace.
            _ = other.predict(example.fields)
            try other.learn(example.fields, label: example.label)
            if index == 50 || index == 2100 { other = try TextClassifier(decoding: other.encoded()) }
        }
        #expect(one.encoded() == other.encoded())
        #expect(one.digest == other.digest)
        #expect(one.predict(examples[7].fields) == other.predict(examples[7].fields))
        try other.learn(examples[0].fields, label: "info")
        #expect(one.digest != other.digest)
    }

    @Test("Every beginning of the bytes and every changed byte is an error that says so")
    func damage() throws {
        var random = SplitMix64.seeded()
        var classifier = TextClassifier()
        for example in Self.examples(10, &random) { try classifier.learn(example.fields, label: example.label) }
        let bytes = classifier.encoded()
        for count in stride(from: 0, to: bytes.count, by: 97) {
            #expect(throws: TextClassifierError.self) { try TextClassifier(decoding: Array(bytes.prefix(count))) }
        }
        for _ in 0..<20 {
            var damaged = bytes
            damaged[random.below(bytes.count)] ^= UInt8(1 + random.below(255))
            #expect(throws: TextClassifierError.self) { try TextClassifier(decoding: damaged) }
        }
        var older = bytes
        older[7] = 9
        let error = #expect(throws: TextClassifierError.self) { try TextClassifier(decoding: older) }
        #expect(error?.description.contains("version") == true)
    }

    @Test("Bytes that a stranger made, with a digest that fits, are an error or a classifier that works")
    func hostileBytes() throws {
        var random = SplitMix64.seeded()
        var classifier = TextClassifier()
        for example in Self.examples(30, &random) { try classifier.learn(example.fields, label: example.label) }
        let bytes = Array(classifier.encoded().dropLast(8))
        var decoded = 0
        for round in 0..<100 {
            var hostile = bytes
            // Half of them near the beginning, where counts and labels are.
            for _ in 0...random.below(4) {
                hostile[random.below(round % 2 == 0 ? 200 : bytes.count)] = UInt8(random.below(256))
            }
            if random.chance(0.2) { hostile.removeLast(random.below(hostile.count)) }
            if random.chance(0.2) { hostile += random.bytes(upTo: 50) }
            withUnsafeBytes(of: TextTerms.hash(hostile).littleEndian) { hostile += $0 }
            do {
                var stranger = try TextClassifier(decoding: hostile)
                decoded += 1
                for example in Self.examples(3, &random) {
                    if let prediction = stranger.predict(example.fields) { #expect((0...1).contains(prediction.confidence)) }
                    try stranger.learn(example.fields, label: example.label)
                }
            } catch {
                #expect(!error.description.isEmpty)
            }
        }
        // Else only the first checks were tested.
        #expect(decoded > 0)
    }

    @Test("An example of a label that there is not is refused")
    func missingLabel() throws {
        var classifier = TextClassifier()
        try classifier.learn([], label: "major")
        var bytes = Array(classifier.encoded().dropLast(8))
        // The last example: label, and how many features.
        #expect(bytes.suffix(2) == [0, 0])
        bytes[bytes.count - 2] = 1
        withUnsafeBytes(of: TextTerms.hash(bytes).littleEndian) { bytes += $0 }
        let error = #expect(throws: TextClassifierError.self) { try TextClassifier(decoding: bytes) }
        #expect(error?.description.contains("label 1") == true)
    }

    // -- calibration ------------------------------------------------------------------------------------------------

    @Test("A calibrated confidence never falls where the stated one rises, whatever was counted")
    func monotone() {
        var random = SplitMix64.seeded()
        for _ in 0..<200 {
            var calibration = ConfidenceCalibration()
            for _ in 0..<random.below(2000) {
                let stated = Float(random.below(1001)) / 1000
                calibration.count(stated: stated, isRight: random.chance(Double(random.below(2))))
            }
            let values = (0...100).map { calibration.value(stated: Float($0) / 100) }
            for (one, next) in zip(values, values.dropFirst()) { #expect(one <= next) }
            #expect(values.allSatisfy { $0 >= 0 && $0 <= 1 })
            #expect(ConfidenceCalibration(bins: calibration.bins) == calibration)
        }
    }

    @Test("Overconfidence is corrected, and nothing is claimed before anything was counted")
    func correction() {
        var random = SplitMix64.seeded()
        var calibration = ConfidenceCalibration()
        for stated in [Float(0.1), 0.4, 0.9] { #expect(abs(calibration.value(stated: stated) - stated) < 0.07) }
        for _ in 0..<4000 {
            let stated = Float(random.below(1000)) / 1000
            calibration.count(stated: stated, isRight: random.chance(Double(stated * stated)))
        }
        for stated in [Float(0.3), 0.5, 0.7, 0.9] {
            #expect(abs(calibration.value(stated: stated) - stated * stated) < 0.12)
        }
    }

    @Test("Bins that cannot be are refused")
    func bins() {
        let bin = ConfidenceCalibration.Bin(predictions: 3, right: 2)
        let bins = [ConfidenceCalibration.Bin](repeating: bin, count: ConfidenceCalibration.binCount)
        #expect(ConfidenceCalibration(bins: bins) != nil)
        #expect(ConfidenceCalibration(bins: Array(bins.dropLast())) == nil)
        #expect(ConfidenceCalibration(bins: bins.dropLast() + [.init(predictions: 2, right: 3)]) == nil)
        #expect(ConfidenceCalibration(bins: bins.dropLast() + [.init(predictions: 256, right: 3)]) == nil)
    }
}
