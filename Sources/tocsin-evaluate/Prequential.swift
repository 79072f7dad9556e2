import FoundationEssentials
import Glibc
import TocsinText

/// Predictions of a classifier for records in their order, each learnt from what was known before it alone.
struct Prequential {
    struct Record {
        var id: String
        /// Where it begins in its file, from 1.
        var line: Int
        var fields: [TextClassifier.Field]
        /// When it must be predicted; records are in this order.
        var time: Int
        /// What it turned out to be; nil if nobody knows.
        var truth: String?
        /// What is learnt from it, and from when on.
        var lesson: (label: String, time: Int)?
    }

    struct Outcome: Encodable {
        var id: String
        var line: Int
        var predicted: String?
        var confidence: Double?
        var truth: String?
        /// Whether it is in the figures: its truth is known.
        var counted: Bool
    }

    private(set) var outcomes: [Outcome] = []
    private var simple: [String?] = []
    private var nanoseconds = (predicting: 0, learning: 0)
    private var lessons = 0

    init(_ records: [Record]) throws {
        var classifier = TextClassifier()
        var bayes = NaiveBayes()
        let order = records.indices.filter { records[$0].lesson != nil }.sorted {
            (records[$0].lesson?.time ?? 0, $0) < (records[$1].lesson?.time ?? 0, $1)
        }
        for record in records {
            while lessons < order.count, let lesson = records[order[lessons]].lesson, lesson.time < record.time {
                let fields = records[order[lessons]].fields
                let start = clock()
                try classifier.learn(fields, label: lesson.label)
                nanoseconds.learning += (clock() - start) * (1_000_000_000 / CLOCKS_PER_SEC)
                bayes.learn(fields, label: lesson.label)
                lessons += 1
            }
            let start = clock()
            let prediction = classifier.predict(record.fields)
            nanoseconds.predicting += (clock() - start) * (1_000_000_000 / CLOCKS_PER_SEC)
            simple.append(bayes.predict(record.fields))
            outcomes.append(
                Outcome(
                    id: record.id, line: record.line, predicted: prediction?.label, confidence: prediction?.confidence,
                    truth: record.truth, counted: record.truth != nil))
        }
    }

    /// The figures of all counted records and of the last two fifths of them, which had most to learn from.
    func report() {
        let counted = outcomes.indices.filter { outcomes[$0].counted }
        guard !counted.isEmpty else { return print("no record has a known truth: no figures") }
        print("\("".padded(17)) records accuracy naive Bayes commonest calibration error")
        report("all", counted[...])
        report("the last 40 %", counted.suffix(counted.count * 2 / 5))
        let predicting = Double(nanoseconds.predicting) / Double(outcomes.count) / 1000
        let learning = Double(nanoseconds.learning) / Double(max(1, lessons)) / 1000
        print("\(predicting.onePlace) µs a prediction, \(learning.onePlace) µs an example learnt")
    }

    private func report(_ name: String, _ indices: ArraySlice<Int>) {
        guard !indices.isEmpty else { return }
        let count = Double(indices.count)
        let right = indices.count { outcomes[$0].predicted == outcomes[$0].truth }
        let simplyRight = indices.count { simple[$0] == outcomes[$0].truth }
        let commonest = Dictionary(grouping: indices) { outcomes[$0].truth }.values.map(\.count).max() ?? 0
        print(
            name.padded(17), String(indices.count).leftPadded(7), (Double(right) / count).fourPlaces.leftPadded(8),
            (Double(simplyRight) / count).fourPlaces.leftPadded(11), (Double(commonest) / count).fourPlaces.leftPadded(9),
            calibrationError(indices).fourPlaces.leftPadded(17))
    }

    /// Expected calibration error in fifteen bins: the mean distance of confidence and share of right predictions (Guo et al.,
    /// "On calibration of modern neural networks", 2017).
    private func calibrationError(_ indices: ArraySlice<Int>) -> Double {
        var bins = [(confidence: Double, right: Double)](repeating: (0, 0), count: 15)
        for index in indices {
            guard let confidence = outcomes[index].confidence else { continue }
            let bin = min(14, Int(confidence * 15))
            bins[bin].confidence += confidence
            bins[bin].right += outcomes[index].predicted == outcomes[index].truth ? 1 : 0
        }
        return bins.reduce(0) { $0 + abs($1.confidence - $1.right) } / Double(indices.count)
    }
}

extension Double {
    /// As `12.3`.
    var onePlace: String { String((self * 10).rounded() / 10) }
}
