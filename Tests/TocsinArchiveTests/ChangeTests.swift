import Testing
import TocsinPolicy
import TocsinProto

@testable import TocsinArchive

/// Goal: an incident is shown with what was changed shortly before of its services and of what they need, and with nothing else;
/// a change is written down once. Method: records in an archive of its own, the clock given.
@Suite("What was changed")
struct ChangeTests {
    private static let hour: UInt64 = 3_600_000
    /// When the incidents of these tests are detected.
    private static let detected = TestArchive.start + 24 * hour
    private static let now = detected + 24 * hour
    private static let shops = Policy(
        services: [
            "orders-db": ServiceEntry(tier: 1), "queue": ServiceEntry(tier: 1, dependsOn: ["orders-db"]),
            "checkout": ServiceEntry(tier: 1, dependsOn: ["queue"]), "search": ServiceEntry(tier: 2),
        ])

    private static func change(
        _ id: String, _ service: String = "checkout", before: UInt64 = 60_000, by author: String = "", _ summary: String? = nil
    ) -> Tocsin_V1_ChangeRecord {
        .with {
            $0.id = id
            $0.summary = summary ?? "deploy \(id)"
            $0.service = service
            $0.kind = "deploy"
            $0.author = author
            $0.changedAt = detected - before
            $0.url = "https://ci/\(id)"
        }
    }

    private static func incident(_ service: String = "checkout") -> ArchiveItem.Content {
        .alert(update(service, ["\(service)-e"], at: 24 * 3600, service: service))
    }

    /// The clock is that of the day of the incidents: later, the changes would be gone.
    @discardableResult
    private static func apply(_ archive: TestArchive, _ contents: [ArchiveItem.Content]) async throws -> AppliedBatch {
        let items = contents.enumerated().map { ArchiveItem(sequence: UInt64($0) + 1, content: $1) }
        return try await archive.store.apply(items, now: now)
    }

    private static func latest(_ archive: TestArchive, _ services: [String] = [], limit: UInt32 = 0) async throws -> [String] {
        let request = Tocsin_V1_ListChangesRequest.with { ($0.services, $0.limit) = (services, limit) }
        return try await archive.store.changes(request, now: now).changes.map(\.id)
    }

    @Test("an incident is shown with the changes of its service and of what that needs within two hours, the nearest first")
    func near() async throws {
        let archive = try TestArchive(.standard, Self.shops)
        let applied = try await Self.apply(
            archive,
            [
                .change(Self.change("far", before: 2 * Self.hour + 1)), .change(Self.change("edge", before: 2 * Self.hour)),
                .change(Self.change("database", "orders-db", before: Self.hour)), .change(Self.change("near", before: 1)),
                .change(Self.change("at once", "queue", before: 0)), .change(Self.change("other", "search")),
                .change(.with { ($0.id, $0.service, $0.summary, $0.changedAt) = ("later", "checkout", "s", Self.detected + 1) }),
                Self.incident(),
            ])
        #expect(applied.rejected.isEmpty)
        #expect(try await archive.store.get(1).changes.map(\.id) == ["at once", "near", "database", "edge"])
        #expect(try await Self.latest(archive) == ["later", "at once", "near", "other", "database", "edge", "far"])
        #expect(try await Self.latest(archive, ["search", "orders-db"]) == ["other", "database"])
        #expect(try await Self.latest(archive, limit: 2) == ["later", "at once"])
    }

    @Test("what a service needs explains it; what needs it does not")
    func direction() async throws {
        let archive = try TestArchive(.standard, Self.shops)
        try await Self.apply(
            archive,
            [
                .change(Self.change("shop", "checkout")), .change(Self.change("database", "orders-db")),
                Self.incident("orders-db"),
            ])
        #expect(try await archive.store.get(1).changes.map(\.id) == ["database"])
        let other = try TestArchive(.standard, Self.shops)
        try await Self.apply(other, [.change(Self.change("shop")), Self.incident("unheard-of")])
        #expect(try await other.store.get(1).changes.isEmpty)
    }

    @Test("a change that comes again does nothing, whatever it says")
    func again() async throws {
        let archive = try TestArchive()
        let first = Self.change("c", by: "zoe.quux")
        try await Self.apply(archive, [.change(first)])
        let (rows, audited) = (try await archive.dump(), try await archive.count("audit"))
        try await Self.apply(archive, [.change(first), .change(Self.change("c", "search", by: "eve", "another"))])
        let (after, auditedAfter) = (try await archive.dump(), try await archive.count("audit"))
        #expect(rows.filter { $0.hasPrefix("changes") } == after.filter { $0.hasPrefix("changes") })
        #expect(rows.filter { $0.hasPrefix("changes") }.count == 1)
        // Only how far the stream was read may have been written.
        #expect(auditedAfter - audited <= 2)
        let kept = try await archive.store.changes(.init(), now: Self.now).changes
        #expect(kept == [first])
    }

    @Test("who changed something is sealed, and read as it was said")
    func sealed() async throws {
        let archive = try TestArchive()
        let change = Self.change("build-of-zoe.quux", by: "zoe.quux", "deploy for Zoe.Quux")
        try await Self.apply(archive, [.change(change)])
        let row = try #require(try await archive.dump().first { $0.hasPrefix("changes") })
        #expect(!row.lowercased().contains("zoe.quux"))
        let read = try #require(try await archive.store.changes(.init(), now: Self.now).changes.first)
        #expect((read.author, read.summary, read.url) == (change.author, change.summary, change.url))
        var places: [String] = []
        try await archive.store.exportPersonalData("zoe.quux") { if $0.place == "change" { places.append($0.field) } }
        #expect(places.sorted() == ["author", "summary", "url"])
    }

    @Test("what can never be stored is refused with the reason, and nothing of it is kept")
    func refused() async throws {
        let archive = try TestArchive()
        let bad = [
            (Self.change(""), "no id"), (Self.change("a", " "), "no service"),
            (Self.change("b", "s", by: "", "\n"), "no summary"),
            (Self.change(String(repeating: "x", count: 129)), "129 bytes; at most 128"),
        ]
        let applied = try await Self.apply(archive, bad.map { .change($0.0) } + [.change(Self.change("good"))])
        for (index, (_, reason)) in bad.enumerated() { #expect(applied.rejected[index]?.contains(reason) == true, "\(reason)") }
        #expect(applied.rejected.count == bad.count)
        #expect(try await Self.latest(archive) == ["good"])
    }

    @Test("no change is from later than when it came, and none is kept for longer than 90 days")
    func times() async throws {
        let archive = try TestArchive()
        let days: UInt64 = 24 * Self.hour
        func at(_ id: String, _ time: UInt64) -> ArchiveItem.Content {
            .change(.with { ($0.id, $0.service, $0.summary, $0.changedAt) = (id, "checkout", "s", time) })
        }
        try await Self.apply(
            archive,
            [
                at("future", .max), at("unsaid", 0), at("old", Self.now - 90 * days), at("too old", Self.now - 90 * days - 1),
            ])
        let kept = try await archive.store.changes(.init(), now: Self.now).changes
        #expect(kept.map(\.id) == ["future", "unsaid", "old"])
        #expect(kept.prefix(2).map(\.changedAt) == [Self.now, Self.now])
    }

    @Test("who may not see an incident does not see it by its changes either, and sees the changes")
    func needToKnow() async throws {
        let archive = try TestArchive()
        try await Self.apply(archive, [.change(Self.change("c")), Self.incident()])
        let restrict = Tocsin_V1_RestrictIncidentRequest.with {
            ($0.requestID, $0.number, $0.actor, $0.people) = ("r", 1, "alice", ["alice"])
        }
        _ = try await archive.store.command(restrict, for: "alice", now: Self.now)
        #expect(try await archive.store.get(1, for: "alice").changes.map(\.id) == ["c"])
        await #expect(throws: CommandRefusal(.notFound, "there is no incident 1")) { () async throws -> Void in
            _ = try await archive.store.get(1, for: "eve")
        }
        #expect(try await Self.latest(archive) == ["c"])
    }
}
