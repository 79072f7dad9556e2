import Foundation
import TestSupport
import Testing
import TocsinArchive
import TocsinConfiguration
import TocsinPolicy

@testable import TocsinReplay

/// Goal: the project's own cases of a policy hold, as `tocsin policy test` says, and one that does not hold is told with its reasons.
@Suite("Cases of a policy")
struct CaseTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Policy").path

    private static func read(_ file: String) throws -> PolicyCaseFile {
        try ConfigurationLoader.cases(file: file, workingFolder: folder)
    }

    private static func configuration(_ policy: Policy) -> ArchiveConfiguration {
        ArchiveConfiguration(name: "trial", databasePath: "", policy: policy)
    }

    @Test("The project's own cases hold, 60 or more, and their policy has no fault", .timeLimit(.minutes(5)))
    func ownCases() async throws {
        let file = try Self.read("cases.yaml")
        let policy = try #require(file.policy)
        #expect(file.cases.count >= 60)
        #expect(Set(file.cases.map(\.name)).count == file.cases.count)
        let folder = try TemporaryFolder()
        for one in file.cases {
            let result = try await one.run(archive: Self.configuration(policy), folder: folder.path)
            #expect(result.failures.isEmpty, "\(one.name): \(result.failures)")
        }
        let findings = policy.findings(PolicyLintContext(now: 1_767_614_400_000))
        #expect(findings.filter { $0.level == .error }.isEmpty, "\(findings)")
    }

    /// What is expected in each is wrong, in one way.
    @Test("Each expectation that does not hold is told with what was, and with the decisions")
    func failures() async throws {
        let folder = try TemporaryFolder()
        let wrong = [
            ("service: db", "service: expected \"db\", was \"shop\""),
            ("severity: minor", "severity: expected minor, was critical"),
            ("priority: P4", "priority: expected P4, was P1"), ("rule: r", "rule: expected \"r\", was \"default\""),
            ("runbook: fix", "runbook: expected \"fix\", was nothing"),
            ("suppressed: true", "suppressed: expected true, was false"),
            ("alert: resolved", "alert: expected \"resolved\", was \"firing\""),
            ("held_by: flapping", "held_by: expected \"flapping\", was nothing"), ("incident: 7", "incident: expected 7, was 1"),
            ("incident_state: closed", "incident_state: expected closed, was triaged"),
            ("incident_severity: minor", "incident_severity: expected minor, was critical"),
            ("incident_priority: P2", "incident_priority: expected P2, was P1"), ("incidents: 2", "incidents: expected 2, was 1"),
            ("told: [resolved]", "told: expected [resolved], was [opened]"), ("page: [phone]", "page: expected [phone], was [*]"),
            ("of: nothing", "of: there was no event \"nothing\""),
        ]
        let cases = wrong.map {
            "  - {name: '\($0.0)', steps: [{event: {service: shop, severity: critical}, expect: {\($0.0)}}]}\n"
        }
        try Data("cases:\n\(cases.joined())".utf8).write(to: URL(filePath: "\(folder.path)/wrong.yaml"))
        let file = try ConfigurationLoader.cases(file: "wrong.yaml", workingFolder: folder.path)
        for (index, one) in file.cases.enumerated() {
            let result = try await one.run(archive: Self.configuration(Policy()), folder: folder.path)
            #expect(result.failures.map(\.message) == [wrong[index].1])
            let failure = try #require(result.failures.first)
            #expect(failure.place.hasPrefix("wrong.yaml:\(index + 2):"))
            if wrong[index].0 != "of: nothing" {
                #expect(failure.decisions.contains("triage: severity (severity hint critical): critical"))
                #expect(failure.decisions.contains { $0.hasPrefix("archiver: incident") })
            }
        }
    }

    @Test(
        "What is wrong in a file of cases is said at its place",
        arguments: [
            ("cases: []", "x.yaml:1:1: \"cases\" is missing; give at least one"),
            ("cases: [{name: a}]", "x.yaml:1:9: cases[0]: \"steps\" is missing; give at least one"),
            (
                "cases: [{name: a, steps: [{evnt: {}}]}]",
                "x.yaml:1:28: unknown key \"evnt\" in cases[0].steps[0]; did you mean \"event\"?"
            ),
            (
                "cases: [{name: a, steps: [{at: 2026-01-01 00:00}]}]",
                "x.yaml:1:32: cases[0].steps[0].at: 2026-01-01 00:00 is before the step before"
            ),
            (
                "cases: [{name: a, steps: [{event: {}, expire: s}]}]",
                "x.yaml:1:27: cases[0].steps[0]: give one of event and expire in a step"
            ),
            (
                "cases: [{name: a, steps: [{silence: {id: s, matchers: [x]}}]}]",
                "x.yaml:1:55: cases[0].steps[0].silence.matchers: bad matcher format: x"
            ),
        ])
    func wrongFiles(text: String, problem: String) throws {
        let folder = try TemporaryFolder()
        try Data(text.utf8).write(to: URL(filePath: "\(folder.path)/x.yaml"))
        do throws(ConfigurationError) {
            _ = try ConfigurationLoader.cases(file: "x.yaml", workingFolder: folder.path)
            Issue.record("it was read")
        } catch { #expect(error.problems.map(\.description) == [problem]) }
    }
}
