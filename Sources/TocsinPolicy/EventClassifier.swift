import TocsinDomain
import TocsinProto
import TocsinText

/// A model, and how sure it has to be. Asked for the severity of events of which neither a rule nor their source says it, and for the
/// category of all whose label `category` does not.
public struct EventClassifier: Sendable, CustomStringConvertible {
    public let model: IncidentModel
    /// Of the model.
    public let version: String
    /// What is told with less confidence is not taken, 0…1.
    public var threshold: Double

    public init(_ model: IncidentModel, threshold: Double = 0.7) {
        self.model = model
        version = model.version
        self.threshold = threshold
    }

    /// All that matters of it.
    public var description: String { "model \(version), threshold \(threshold)" }
}

/// What a classifier makes of one event. Few different ones for events that are alike: what is said of confidence is rounded, and
/// nothing that varies is quoted.
struct Classification: Sendable, Hashable {
    static let none = Classification()

    /// Nil: it was not asked, or is not sure.
    var severity: Severity?
    /// Empty: not known.
    var category = ""
    var decisions: [Decision] = []
    /// Of the severity, for the alert; empty: it was not asked.
    var words = ""
}

extension EventClassifier {
    private static let evidenceMax = 3
    private static let evidenceBytesMax = 40

    /// - Parameter severity: what the event is taken for unless the classifier knows better; nil: it is not asked.
    func classify(_ event: Tocsin_V1_Event, insteadOf severity: Severity?) -> Classification {
        var classification = Classification()
        let asksCategory = event.labels["category", default: ""].isEmpty && !model.category.labels.isEmpty
        guard severity != nil || asksCategory else { return classification }
        let fields = IncidentModel.fields(
            service: event.service, source: event.source, summary: event.summary, labels: event.labels)
        if let severity { tell(severity, fields, &classification) }
        if asksCategory { tellCategory(fields, &classification) }
        return classification
    }

    private func tell(_ severity: Severity, _ fields: [TextClassifier.Field], _ classification: inout Classification) {
        guard let prediction = model.severity.predict(fields, evidenceMax: 2 * Self.evidenceMax),
            let told = Severity.allCases.first(where: { $0.name == prediction.label })
        else {
            classification.decisions.append(Decision(.classifier, rule: version, "nothing is learnt yet", severity.name))
            return
        }
        let confidence = Self.rounded(prediction.confidence)
        let outcome: String
        if prediction.confidence >= threshold {
            classification.severity = told
            classification.words = "classified as \(told), confidence \(confidence)"
            outcome = told.name
        } else {
            outcome = "unsure, below \(threshold): taken for \(severity); confirm with `tocsin severity`"
            classification.words =
                "unsure: confidence \(confidence) for \(told), below \(threshold); confirm with `tocsin severity`"
        }
        classification.decisions.append(Decision(.classifier, rule: version, Self.inputs(prediction), outcome))
    }

    private func tellCategory(_ fields: [TextClassifier.Field], _ classification: inout Classification) {
        guard let prediction = model.category.predict(fields, evidenceMax: 2 * Self.evidenceMax) else { return }
        let isSure = prediction.confidence >= threshold
        if isSure { classification.category = prediction.label }
        classification.decisions.append(
            Decision(
                .classifier, rule: version, "category: " + Self.inputs(prediction),
                isSure ? "category \(prediction.label)" : "no category: unsure, below \(threshold)"))
    }

    /// Names and numbers differ between events that are alike, so they are not quoted.
    private static func inputs(_ prediction: TextClassifier.Prediction) -> String {
        let evidence = prediction.evidence.lazy.map(\.text).filter { text in
            text.utf8.count <= evidenceBytesMax && !text.utf8.contains { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        }.prefix(evidenceMax).map { quoted($0) }
        return "confidence \(rounded(prediction.confidence)) for \(prediction.label)"
            + (evidence.isEmpty ? "" : "; " + evidence.joined(separator: ", "))
    }

    /// `0.8 to 0.9`.
    private static func rounded(_ confidence: Double) -> String {
        let tenths = min(9, max(0, Int(confidence * 10)))
        return "0.\(tenths) to \(tenths == 9 ? "1" : "0.\(tenths + 1)")"
    }
}
