import Foundation
import TestSupport
import Testing
import TocsinArchive
import TocsinDomain
import TocsinPolicy
import TocsinProto

@testable import TocsinReplay

/// Goal: what another policy would change for those who are called is found, and found alike each time.
@Suite("Pages gained, lost and moved")
struct DifferenceTests {
    private static func event(
        _ time: UInt64, _ id: Int, _ service: String, _ severity: String, isResolve: Bool = false
    ) -> RecordedInput {
        let event = Tocsin_V1_Event.with {
            $0.id = "e\(id)"
            $0.service = service
            $0.summary = "\(service) is ill"
            $0.severityHint = severity
            $0.dedupKey = service
            $0.observedAt = time
            $0.source = "test"
            $0.kind = isResolve ? .resolve : .trigger
        }
        return RecordedInput(time: time, .event(event, subject: "event.test.test"))
    }

    private static let start: UInt64 = 1_770_000_000_000
    private static let before = Policy(routes: [
        Route(name: "critical", match: AlertMatch(minimumSeverity: .critical), page: ["phone"]),
        Route(name: "rest", page: ["mail"]),
    ])

    private static func pages(_ inputs: [RecordedInput], _ policy: Policy) async throws -> [PolicyPage] {
        let folder = try TemporaryFolder()
        return try await PolicyReplay.pages(
            of: inputs, ArchiveConfiguration(name: "trial", databasePath: "", policy: policy), folder: folder.path)
    }

    @Test("Lost where it is suppressed, gained where it is no more, moved where another route decides, raised where it worsens")
    func difference() async throws {
        let inputs = [
            Self.event(Self.start, 1, "blog", "major"), Self.event(Self.start + 60_000, 2, "shop", "major"),
            Self.event(Self.start + 120_000, 3, "mail", "minor"), Self.event(Self.start + 180_000, 4, "mail", "critical"),
        ]
        var old = Self.before
        old.rules = [TriageRule(name: "quiet", match: RuleMatch(services: ["shop"]), suppress: "noise")]
        var new = Self.before
        new.rules = [TriageRule(name: "quiet", match: RuleMatch(services: ["blog"]), suppress: "noise")]
        new.routes[1].page = ["chat"]
        let difference = PolicyDifference(before: try await Self.pages(inputs, old), after: try await Self.pages(inputs, new))
        #expect(difference.before == 3 && difference.after == 3)
        #expect(difference.gained.map(\.title) == ["shop is ill"])
        #expect(difference.lost.map(\.title) == ["blog is ill"])
        #expect(difference.moved.map(\.before.targets) == [["mail"]])
        #expect(difference.moved.map(\.after.targets) == [["chat"]])
        let raised = try await Self.pages(inputs, new).last
        #expect(raised?.verb == "escalated" && raised?.targets == ["phone"] && raised?.severity == "critical")
        #expect(
            PolicyDifference(before: try await Self.pages(inputs, new), after: try await Self.pages(inputs, new)).moved.isEmpty)
    }

    @Test("A silence that was recorded holds, and what fires when it ends is called for then")
    func silences() async throws {
        let silence = Tocsin_V1_Silence.with {
            $0.id = "s"
            $0.matchers = [.with { ($0.name, $0.value) = ("service", "shop") }]
            $0.startsAt = Self.start
            $0.endsAt = Self.start + 3_600_000
            $0.updatedAt = Self.start
        }
        let inputs = [
            RecordedInput(time: Self.start, .silence(silence)), Self.event(Self.start + 1000, 1, "shop", "major"),
            Self.event(Self.start + 2000, 2, "blog", "major"), Self.event(Self.start + 4_000_000, 3, "other", "major"),
        ]
        #expect(try await Self.pages(inputs, Self.before).map(\.service) == ["blog", "shop", "other"])
        #expect(try await Self.pages(Array(inputs.prefix(3)), Self.before).map(\.service) == ["blog"])
    }

    @Test("A random day gives the same pages twice", .timeLimit(.minutes(5)))
    func repeatable() async throws {
        var random = SplitMix64.seeded()
        var time = Self.start
        var inputs: [RecordedInput] = []
        let severities = ["critical", "major", "minor", "info", "?"]
        for id in 0..<200 {
            time += UInt64(random.below(300_000))
            inputs.append(
                Self.event(
                    time, id, "s\(random.below(20))", severities[random.below(severities.count)], isResolve: random.chance(0.4)))
        }
        var policy = Self.before
        policy.services = Dictionary(
            uniqueKeysWithValues: (0..<20).map {
                ("s\($0)", ServiceEntry(dependsOn: $0 % 3 == 0 && $0 > 0 ? ["s\($0 - 1)"] : []))
            })
        let first = try await Self.pages(inputs, policy)
        #expect(first.count > 20)
        #expect(try await Self.pages(inputs, policy) == first)
    }
}
