import Testing
import TocsinProto

@testable import TocsinArchive

/// Goal: what a person sees. Method: a store with incidents of several services and severities.
@Suite("Queries", .timeLimit(.minutes(1)))
struct QueryTests {
    private static let everyState = Tocsin_V1_IncidentState.allCases.filter { $0 != .unspecified }

    private static func list(
        _ archive: TestArchive, _ fill: (inout Tocsin_V1_ListIncidentsRequest) -> Void = { _ in }
    ) async throws -> Tocsin_V1_ListIncidentsResponse {
        var request = Tocsin_V1_ListIncidentsRequest()
        fill(&request)
        return try await archive.store.list(request)
    }

    /// 1 minor a, 2 critical b (resolved), 3 major a, 4 critical a, 5 minor b (dismissed).
    private static func archive() async throws -> TestArchive {
        let archive = try TestArchive()
        try await archive.apply([
            .alert(update("1", ["1"], .trigger, .minor, service: "a")),
            .alert(update("2", ["2"], .trigger, .critical, service: "b")),
            .alert(update("3", ["3"], .trigger, .major, service: "a")),
            .alert(update("4", ["4"], .trigger, .critical, service: "a")),
            .alert(update("5", ["5"], .trigger, .minor, service: "b")),
            .alert(update("2", ["6"], .resolve, .critical, at: 60, service: "b")),
        ])
        _ = try await archive.store.command(command("c", .dismiss, "noise", number: 5), now: TestArchive.now)
        return archive
    }

    @Test(
        "open ones come first, then the worst, then the latest; closed, merged and dismissed ones only when asked for")
    func order() async throws {
        let archive = try await Self.archive()
        #expect(try await Self.list(archive).incidents.map(\.number) == [4, 3, 1, 2])
        let all = try await Self.list(archive) { $0.states = Self.everyState }
        #expect(all.incidents.map(\.number) == [4, 3, 1, 2, 5] && all.total == 5)
    }

    @Test("filters by service and severity, alone and together")
    func filters() async throws {
        let archive = try await Self.archive()
        #expect(try await Self.list(archive) { $0.services = ["b"] }.incidents.map(\.number) == [2])
        #expect(try await Self.list(archive) { $0.minimumSeverity = .major }.incidents.map(\.number) == [4, 3, 2])
        let both = try await Self.list(archive) {
            $0.services = ["a"]
            $0.minimumSeverity = .critical
        }
        #expect(both.incidents.map(\.number) == [4] && both.total == 1)
        #expect(try await Self.list(archive) { $0.services = ["a'; DROP TABLE incidents; --"] }.total == 0)
    }

    @Test("a limit cuts the list and not the total; the default is 100, the most 1,000")
    func limits() async throws {
        let archive = try TestArchive()
        try await archive.apply((1...1100).map { .alert(update("f\($0)", ["e\($0)"], .trigger, .minor)) })
        #expect(try await Self.list(archive).incidents.count == 100)
        let two = try await Self.list(archive) { $0.pageSize = 2 }
        #expect(two.incidents.map(\.number) == [1100, 1099] && two.total == 1100)
        #expect(try await Self.list(archive) { $0.pageSize = .max }.incidents.count == 1000)
    }

    @Test("filters by state, owner, title, time and drill")
    func moreFilters() async throws {
        let archive = try await Self.archive()
        try await archive.apply(update("6", ["7"], .trigger, .minor, at: 1000, service: "c", drill: true))
        _ = try await archive.store.command(command("d", .assign, "bob", number: 3), now: TestArchive.now)
        func numbers(_ fill: (inout Tocsin_V1_ListIncidentsRequest) -> Void) async throws -> [UInt64] {
            try await Self.list(archive, fill).incidents.map(\.number)
        }
        #expect(try await numbers { $0.states = [.resolved, .dismissed] } == [2, 5])
        #expect(try await numbers { $0.services = ["b", "c"] } == [6, 2])
        #expect(try await numbers { $0.assignee = "bob" } == [3])
        #expect(try await numbers { $0.unassigned = true } == [4, 6, 1, 2])
        #expect(try await numbers { $0.titleContains = "C IS d" } == [6])
        #expect(try await numbers { $0.titleContains = "100%" } == [])
        #expect(try await numbers { $0.since = TestArchive.start + 1 } == [6])
        #expect(try await numbers { $0.until = TestArchive.start + 1 } == [4, 3, 1, 2])
        #expect(try await numbers { $0.drills = .only } == [6])
        #expect(try await numbers { $0.drills = .exclude } == [4, 3, 1, 2])
    }

    @Test("pages hold everything once, though incidents come and go between them")
    func pages() async throws {
        let archive = try TestArchive()
        let severities: [Tocsin_V1_Severity] = [.minor, .major, .critical]
        try await archive.apply((1...50).map { .alert(update("f\($0)", ["e\($0)"], .trigger, severities[$0 % 3])) })
        try await archive.apply((1...10).map { .alert(update("f\($0)", ["r\($0)"], .resolve, severities[$0 % 3], at: 9)) })
        let whole = try await Self.list(archive).incidents.map(\.number)
        var found: [UInt64] = []
        var token = ""
        var pages = 0
        repeat {
            let page = try await Self.list(archive) {
                $0.pageSize = 7
                $0.pageToken = token
            }
            found += page.incidents.map(\.number)
            token = page.nextPageToken
            pages += 1
            // One comes before what is next, one that was seen goes.
            try await archive.apply(update("new\(pages)", ["n\(pages)"], .trigger, .critical))
            let gone = command("g\(pages)", .dismiss, "noise", number: found[pages - 1])
            _ = try await archive.store.command(gone, now: TestArchive.now)
        } while !token.isEmpty && pages < 20
        #expect(found == whole && pages == 8)
    }

    @Test("an event is traced to its fate, and to the incident of its alert once it is applied")
    func traces() async throws {
        let archive = try TestArchive()
        func trace(_ event: String, _ fingerprint: String) async throws -> Tocsin_V1_TraceEventResponse {
            var request = Tocsin_V1_TraceEventRequest()
            request.eventID = event
            request.fingerprint = fingerprint
            return try await archive.store.trace(request)
        }
        try await archive.apply([
            .alert(update("f", ["a"])), .alert(update("quiet", ["q"], .trigger, .info)),
            .alert(update("none", ["n"], .resolve)), .alert(update("s", ["s"], disposition: .suppressed)),
        ])
        let traced = try await trace("a", "f")
        #expect(traced.fate == .handled && traced.incident.number == 1)
        // Not applied: what its alert was before is no answer.
        let unknown = try await trace("b", "f")
        #expect(unknown.fate == .unspecified && !unknown.hasIncident)
        for (event, fingerprint) in [("q", "quiet"), ("n", "none")] {
            let alone = try await trace(event, fingerprint)
            #expect(alone.fate == .handled && !alone.hasIncident)
        }
        #expect(try await trace("s", "s").fate == .suppressed)
    }

    @Test("of a timeline that is too long the latest entries are shown")
    func longTimeline() async throws {
        let archive = try await Self.archive()
        let note = String(repeating: "x", count: 16 << 10)
        for index in 0..<40 {
            _ = try await archive.store.command(command("n\(index)", .note, note), now: TestArchive.now)
        }
        let timeline = try await archive.store.get(1).timeline
        #expect(timeline.last?.sequence == 42 && timeline.count == 32)
        #expect(timeline.map(\.sequence) == timeline.map(\.sequence).sorted())
    }
}
