import Foundation
import TestSupport
import Testing
import TocsinCalendar
import TocsinPolicy

@testable import TocsinConfiguration

/// Goal: the section `policy` is read whole, in its place or from a file, and what is wrong with it is said at its place.
@Suite("Policies in the configuration")
struct PolicyTests {
    static let text = """
        rules: [{name: r, correlate: [zone]}]
        services:
          db: {tier: 1, aliases: ["pg*"], hosts: ["db*"]}
          shop: {depends_on: [db]}
        correlation: {window: 10m, topology: false, text: 0}
        times:
          day: {zone: Europe/Berlin, weekdays: [mon-fri], from: 8:00, to: 18:00}
          moon: {nth_weekday: [second tue, last sun], days_of_month: [-1], first_day: 2026-01-01, last_day: 2026-12-31}
        routes:
          - name: night
            match: {services: [db], labels: {team: "d*"}, sources: [sql], minimum_severity: major, minimum_priority: P2, drill: no, within: [moon], outside: [day]}
            page: [phone]
            continue: true
            note: who has duty
          - {name: nobody, page: []}
        inhibit:
          - {name: explained, source: ["service=db", 'severity=~"major|critical"'], target: [service=shop], equal: [zone]}
        maintenance:
          - {name: move, match: {services: [shop]}, window: {from: 2026-10-24 22:00, to: 2026-10-25 06:00, zone: Europe/Berlin}, reason: new racks}
        flapping: {changes: 4, within: 5m, hold: 10m}
        prediction: {threshold: 0.7, support: 5, window: 1h}
        indicators: {files: [/srv/feed.json], false_positives: [/srv/benign], severity: critical, reload: 5s, minimum_confidence: 40}
        """

    private func configuration(
        _ text: String, in folder: String = "/etc/tocsin", overrides: [String: Override] = [:]
    ) throws(ConfigurationError) -> Configuration {
        try ConfigurationLoader.parse(
            text, file: "t.yaml", path: "\(folder)/t.yaml", overrides: overrides, workingFolder: folder)
    }

    private func problems(_ text: String, in folder: String = "/etc/tocsin") -> [String] {
        do throws(ConfigurationError) {
            _ = try configuration(text, in: folder)
            return []
        } catch { return error.problems.map(\.description) }
    }

    private static func indented(_ text: String) -> String {
        "policy:\n" + text.split(separator: "\n").map { "  \($0)\n" }.joined()
    }

    @Test("Every key is read")
    func everything() throws {
        let policy = try configuration(Self.indented(Self.text)).policy
        let berlin = try TimeZoneRules.named("Europe/Berlin")
        #expect(
            policy.indicators
                == IndicatorPolicy(
                    files: ["/srv/feed.json"], falsePositives: ["/srv/benign"], reload: .seconds(5),
                    severity: .critical, minimumConfidence: 40))
        let few = try configuration("policy: {indicators: {files: [./threats], severity: unchanged}}").policy.indicators
        #expect(few == IndicatorPolicy(files: ["/etc/tocsin/threats"], severity: nil))
        #expect(policy.rules.first?.correlate == ["zone"])
        #expect(
            policy.services == [
                "db": ServiceEntry(tier: 1, aliases: ["pg*"], hosts: ["db*"]), "shop": ServiceEntry(dependsOn: ["db"]),
            ])
        #expect(policy.correlation == Correlation(window: .seconds(600), services: true, topology: false, similarity: nil))
        #expect(policy.times["day"]?.description == "mon, tue, wed, thu, fri 08:00 to 18:00 Europe/Berlin")
        #expect(
            policy.times["moon"]?.description
                == "last sun, second tue day -1 from 2026-01-01 until 2026-12-31 00:00 to 24:00 UTC")
        #expect(
            policy.routes == [
                Route(
                    name: "night",
                    match: AlertMatch(
                        services: ["db"], sources: ["sql"], labels: ["team": "d*"], minimumSeverity: .major, drill: false),
                    minimumPriority: .p2, within: ["moon"], outside: ["day"], page: ["phone"], continues: true,
                    note: "who has duty"), Route(name: "nobody", page: []),
            ])
        #expect(
            policy.inhibitions == [
                Inhibition(
                    name: "explained", source: ["service=db", "severity=~\"major|critical\""], target: ["service=shop"],
                    equal: ["zone"])
            ])
        let window = try RecurringWindow(
            .once(#require(CivilTime(parsing: "2026-10-24 22:00")), #require(CivilTime(parsing: "2026-10-25 06:00"))),
            zone: berlin)
        #expect(
            policy.maintenance == [
                Maintenance(name: "move", match: AlertMatch(services: ["shop"]), window: window, reason: "new racks")
            ])
        #expect(policy.flapping == Flapping(changes: 4, within: .seconds(300), hold: .seconds(600)))
        #expect(try configuration("").policy.flapping == Flapping())
        #expect(policy.prediction == Prediction(threshold: 0.7, support: 5, window: .seconds(3600)))
        #expect(try configuration("").policy.prediction == Prediction())
        #expect(try configuration("policy: {prediction: {threshold: 0}}").policy.prediction == nil)
        #expect(try configuration("policy: {flapping: {enabled: false}}").policy.flapping == nil)
    }

    @Test("A file of its own means the same, is found beside the configuration, and is named in what is wrong with it")
    func file() throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/rules.yaml"
        try Self.text.write(toFile: path, atomically: true, encoding: .utf8)
        let main = "policy: rules.yaml\n"
        let named = try configuration(main, in: folder.path)
        #expect(named.policy.version == (try configuration(Self.indented(Self.text)).policy.version))
        let setting = try #require(named.settings.first { $0.key == "policy.correlation.window" })
        #expect(setting.source == .file("rules.yaml", Position(line: 5, column: 23)))
        let overridden = try configuration(
            "policy: absent.yaml\n", in: folder.path, overrides: ["policy": Override(path, from: .flag("--policy"))])
        #expect(overridden.policy.version == named.policy.version)

        try "ruels: []\nroutes: [{name: r}]\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(
            problems(main + "log: {levl: info}\n", in: folder.path) == [
                "t.yaml:2:7: unknown key \"levl\" in log; did you mean \"level\"?",
                "rules.yaml:1:1: unknown key \"ruels\" in policy; did you mean \"rules\"?",
                "rules.yaml:2:10: policy.routes[0]: \"page\" is missing; write whom to tell, or [] for nobody",
            ])
        try "a: [\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(problems(main, in: folder.path).first?.hasPrefix("rules.yaml:2:1: not valid YAML") == true)
        #expect(
            problems("policy: absent.yaml\n", in: folder.path) == [
                "t.yaml:1:9: policy: absent.yaml cannot be read: No such file or directory"
            ])
    }

    @Test("A model is read with the configuration; one that is not there yet has learnt nothing, a damaged one is refused")
    func classifier() throws {
        let folder = try TemporaryFolder()
        var model = IncidentModel()
        try model.learn(
            7, IncidentModel.fields(service: "db", source: "sql", summary: "down", labels: [:]), severity: .major, category: "")
        let bytes = model.encoded()
        try Data(bytes).write(to: URL(filePath: "\(folder.path)/learnt.model"))
        try Data(bytes.dropLast()).write(to: URL(filePath: "\(folder.path)/cut.model"))
        func read(_ keys: String) throws -> EventClassifier {
            try #require(try configuration("policy: {classifier: {\(keys)}}", in: folder.path).policy.classifier)
        }
        let learnt = try read("model: learnt.model, threshold: 0.5")
        #expect(learnt.version == model.version && learnt.threshold == 0.5 && learnt.model.lastIncident == 7)
        let absent = try read("model: absent.model")
        #expect(absent.version == IncidentModel().version && absent.threshold == 0.7)
        #expect(
            problems("policy: {classifier: {model: cut.model}}", in: folder.path) == [
                "t.yaml:1:30: policy.classifier.model: it is damaged or cut off; remove it and learn it again"
            ])
        #expect(
            problems("policy: {classifier: {threshold: 0.5}}", in: folder.path) == [
                "t.yaml:1:22: policy.classifier: \"model\" is missing; name a file of `tocsin classifier learn`"
            ])
        #expect(try configuration("").policy.classifier == nil)
    }

    @Test(
        "What is wrong is said at its place, with what was meant",
        arguments: [
            (
                "times: {day: {zone: Europe/Berln}}",
                "t.yaml:2:23: policy.times.day.zone: there is no time zone \"Europe/Berln\"; did you mean \"Europe/Berlin\"?"
            ),
            (
                "times: {day: {weekdays: [mon-fry]}}",
                "t.yaml:2:28: policy.times.day.weekdays[0]: expected a day such as mon, or days such as mon-fri, found \"mon-fry\""
            ),
            (
                "times: {day: {from: 25:00}}",
                "t.yaml:2:23: policy.times.day.from: expected a time such as 22:00, or with a date, 2026-03-29 22:00, found \"25:00\""
            ),
            (
                "times: {day: {from: 2026-01-01 22:00, to: 6:00}}",
                "t.yaml:2:16: policy.times.day: give a date in both \"from\" and \"to\", or in neither"
            ),
            (
                "times: {day: {from: 2026-01-02 22:00, to: 2026-01-02 21:00}}",
                "t.yaml:2:16: policy.times.day: it ends at 2026-01-02 21:00, which is not after its begin at 2026-01-02 22:00"
            ),
            (
                "times: {day: {days_of_month: [0]}}",
                "t.yaml:2:16: policy.times.day: 0 is not a day of a month; write 1 to 31, or -1 for the last"
            ),
            ("maintenance: [{name: m}]", "t.yaml:2:17: policy.maintenance[0]: \"window\" is missing; say when it is"),
            (
                "routes: [{name: r, page: [], match: {within: [dya]}}]",
                "t.yaml:2:12: policy.routes[0]: route \"r\": there is no time window \"dya\"; add it to \"times\""
            ),
            (
                "routes: [{name: r, page: []}, {name: r, page: []}]",
                "t.yaml:2:33: policy.routes[1]: route \"r\": two have this name; rename one"
            ),
            (
                "inhibit: [{name: i, source: [db], target: [a=b]}]",
                "t.yaml:2:13: policy.inhibit[0]: inhibition \"i\": source: bad matcher format: db; write name=\"value\", or with !=, =~ or !~"
            ),
            (
                "services: {shop: {depends_on: [bd]}, db: {}}",
                "t.yaml:2:3: policy: service \"shop\" depends on \"bd\", which is not in the catalogue; did you mean \"db\"?"
            ),
            (
                "flapping: {changes: 1}",
                "t.yaml:2:23: policy.flapping.changes: expected a whole number from 2 to 100, found \"1\""
            ),
        ])
    func wrong(text: String, problem: String) { #expect(problems("policy:\n  \(text)\n") == [problem]) }

    @Test("A target that is not there is refused where the targets are known")
    func targets() {
        let responders = "responders: {notifications: [{name: phone, command: [a]}]}\n"
        let policy = "policy:\n  routes: [{name: r, page: [phon]}]\n"
        #expect(problems(policy).isEmpty)
        #expect(
            problems(policy + responders) == [
                "t.yaml:2:28: policy.routes[0].page: there is no notification \"phon\"; did you mean \"phone\"?"
            ])
    }
}
