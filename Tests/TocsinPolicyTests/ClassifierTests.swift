import Crypto
import Testing
import TocsinDomain
import TocsinProto
import TocsinText

@testable import TocsinPolicy

/// Goal: what was learnt decides the severity where nobody said it, and only there and only if it is sure; always in the same way,
/// under a version of its own. Method: a model of incidents with two kinds of words.
@Suite("The classifier at triage")
struct ClassifierTests {
    private static let learnt = Result { EventClassifier(try model()) }

    /// Incidents: a database that refuses is critical, a certificate that expires soon is info.
    private static func model(count: Int = 60) throws -> IncidentModel {
        var model = IncidentModel()
        for number in 1...UInt64(count) {
            let isDatabase = number % 2 == 1
            let fields = IncidentModel.fields(
                service: "shop", source: "log:shop",
                summary: isDatabase ? "Database db-\(number) refuses connections" : "Certificate of web-\(number) expires soon",
                labels: ["host": "h\(number)"])
            try model.learn(
                number, fields, severity: isDatabase ? .critical : .info, category: isDatabase ? "database" : "certificate")
        }
        return model
    }

    private static func event(
        _ summary: String, hint: String = "", kind: Tocsin_V1_EventKind = .trigger, labels: [String: String] = [:],
        id: String = "e"
    ) -> Tocsin_V1_Event {
        TriageTests.event(id, summary, service: "shop", hint: hint, kind: kind, labels: labels, source: "log:shop")
    }

    private static func triage(_ rules: [TriageRule] = [], threshold: Double = 0.7) throws -> Triage {
        var classifier = try learnt.get()
        classifier.threshold = threshold
        return try Triage(Policy(rules: rules, classifier: classifier))
    }

    private static func asked(_ decision: TriageDecision) -> [Decision] { decision.decisions.filter { $0.stage == .classifier } }

    private static let refused = "Database db-99 refuses connections"

    @Test("what is confident is taken, and the decision says how sure, by which model and why")
    func confident() throws {
        var triage = try Self.triage()
        let decision = triage.decide(Self.event(Self.refused), subject: TriageTests.subject)
        #expect(decision.severity == .critical && decision.urgency == .high && decision.category == "database")
        let asked = Self.asked(decision)
        let version = try Self.learnt.get().version
        #expect(asked.count == 2 && asked.allSatisfy { $0.rule == version })
        let severity = try #require(asked.first)
        #expect(severity.outcome == "critical" && severity.inputs.hasPrefix("confidence 0.9 to 1 for critical; "))
        #expect(severity.inputs.contains("refuses") && !severity.inputs.contains("99"), "\(severity.inputs)")
        #expect(asked.last?.outcome == "category database")
        #expect(
            decision.why.hasPrefix(
                "default: no severity hint, taken for minor; classified as critical, confidence 0.9 to 1; impact high"),
            "\(decision.why)")
        #expect(decision.decisions.first { $0.stage == .severity }?.outcome == "minor")
        let odd = triage.decide(Self.event(Self.refused, hint: "bananas"), subject: TriageTests.subject)
        #expect(odd.severity == .critical)
    }

    @Test("what is not sure changes nothing, and asks")
    func unsure() throws {
        var triage = try Self.triage()
        let decision = triage.decide(
            TriageTests.event("e", "Lorem ipsum dolor", service: "x", source: "y"), subject: TriageTests.subject)
        #expect(decision.severity == .minor && decision.category.isEmpty)
        #expect(
            Self.asked(decision).first?.outcome == "unsure, below 0.7: taken for minor; confirm with `tocsin severity`",
            "\(decision.decisions)")
        #expect(decision.why.contains("; unsure: confidence 0."))
        // Nothing can be surer than this.
        var sure = try Self.triage(threshold: 1)
        #expect(sure.decide(Self.event(Self.refused), subject: TriageTests.subject).severity == .minor)
        var empty = try Triage(Policy(classifier: EventClassifier(IncidentModel())))
        let unlearnt = empty.decide(Self.event(Self.refused), subject: TriageTests.subject)
        #expect(Self.asked(unlearnt).map(\.inputs) == ["nothing is learnt yet"] && unlearnt.severity == .minor)
    }

    @Test("it is not asked what a rule or the source said, nor about what is over or suppressed")
    func notAsked() throws {
        var triage = try Self.triage([
            TriageRule(name: "set", match: RuleMatch(labels: ["rule": "set"]), severity: .major),
            TriageRule(name: "noise", match: RuleMatch(labels: ["rule": "noise"]), suppress: "known"),
            TriageRule(name: "open", match: RuleMatch(labels: ["rule": "open"]), runbook: "restart"),
        ])
        func severity(_ event: Tocsin_V1_Event) -> (Severity, asked: Bool) {
            let decision = triage.decide(event, subject: TriageTests.subject)
            return (decision.severity, Self.asked(decision).contains { !$0.inputs.hasPrefix("category: ") })
        }
        #expect(severity(Self.event(Self.refused, hint: "warning")) == (.minor, false))
        #expect(severity(Self.event(Self.refused, labels: ["rule": "set"])) == (.major, false))
        #expect(severity(Self.event(Self.refused, labels: ["rule": "noise"])) == (.minor, false))
        #expect(severity(Self.event(Self.refused, kind: .resolve)) == (.minor, false))
        #expect(severity(Self.event(Self.refused, labels: ["rule": "open"])) == (.critical, true))
        let over = triage.decide(Self.event(Self.refused, kind: .resolve), subject: TriageTests.subject)
        #expect(Self.asked(over).isEmpty)
    }

    @Test("events that are alike are one update, with the category that the latest says itself")
    func merged() throws {
        var triage = try Self.triage()
        let inputs = (1...20).map { number in
            TriageInput(
                event: Self.event(
                    "Database db-\(number) refuses connections", labels: number == 20 ? ["category": "storage"] : [:],
                    id: "e\(number)"), subject: TriageTests.subject, size: 100)
        }
        let alike = triage.updates(for: Array(inputs.dropLast()), now: 1)
        #expect(alike.count == 1 && alike.first?.update.category == "database")
        #expect(triage.updates(for: inputs, now: 1).last?.update.category == "storage")
    }

    @Test("the same incidents make the same model, and a policy's version is its model's too")
    func versions() throws {
        let (model, same, other) = (try Self.model(), try Self.model(), try Self.model(count: 61))
        #expect(model.encoded() == same.encoded() && model.version == same.version && model.version != other.version)
        func version(_ model: IncidentModel, _ threshold: Double = 0.7) -> String {
            Policy(classifier: EventClassifier(model, threshold: threshold)).version
        }
        #expect(version(model) == version(same))
        #expect(version(model) != version(other) && version(model) != version(model, 0.8) && version(model) != Policy().version)
    }

    @Test("a model goes on from its bytes where it ended, and knows which incidents it has not learnt")
    func continued() throws {
        var model = try Self.model()
        model.wait(for: 61)
        #expect(!model.wants(60) && model.wants(61) && model.wants(62))
        var decoded = try IncidentModel(decoding: model.encoded())
        #expect(decoded.version == model.version && decoded.waiting == [61] && decoded.lastIncident == 61)
        let fields = IncidentModel.fields(service: "a", source: "b", summary: "c", labels: [:])
        try model.learn(61, fields, severity: .major, category: "")
        try decoded.learn(61, fields, severity: .major, category: String(repeating: "x", count: 200))
        #expect(decoded.version == model.version && !decoded.wants(61) && decoded.wants(62))
    }

    @Test("what is asked for, and who is told, is no part of what is looked at")
    func answers() {
        let plain = IncidentModel.fields(service: "a", source: "b", summary: "c", labels: ["host": "h"])
        #expect(
            plain
                == IncidentModel.fields(
                    service: "a", source: "b", summary: "c",
                    labels: ["host": "h", "severity": "major", "owner": "web", "category": "x", "priority": "P1"]))
    }

    @Test("bytes that are no model are refused, wherever they are damaged")
    func damaged() throws {
        let bytes = try Self.model(count: 4).encoded()
        for length in [0, 1, 7, 8, 20, 40, bytes.count / 2, bytes.count - 1] {
            #expect(throws: PolicyProblem.self) { _ = try IncidentModel(decoding: Array(bytes.prefix(length))) }
        }
        for place in stride(from: 0, to: bytes.count, by: 97) {
            var wrong = bytes
            wrong[place] ^= 4
            #expect(throws: PolicyProblem.self) { _ = try IncidentModel(decoding: wrong) }
        }
        // Whole, and of severities that there are not.
        var strange = TextClassifier()
        try strange.learn([.init("summary", "x")], label: "terrible")
        var content = Array("TocsinM".utf8) + [1] + [UInt8](repeating: 0, count: 12)
        for classifier in [strange, TextClassifier()] {
            let encoded = classifier.encoded()
            content += withUnsafeBytes(of: UInt32(encoded.count).littleEndian) { Array($0) } + encoded
        }
        let message = "it tells a severity \"terrible\", which there is not; learn it again"
        #expect(throws: PolicyProblem(message)) { _ = try IncidentModel(decoding: content + Array(SHA256.hash(data: content))) }
    }
}
