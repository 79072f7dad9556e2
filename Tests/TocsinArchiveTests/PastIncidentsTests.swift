import Testing
import TocsinDomain
import TocsinProto

@testable import TocsinArchive

/// Goal: of the incidents of the past those are found that are like one, as they are at that moment, by who may see them. Method:
/// a store on a temporary database whose incidents are resolved, restricted, reopened, erased and removed.
@Suite("Similar incidents", .timeLimit(.minutes(1)))
struct PastIncidentsTests {
    private static let later = TestArchive.start + 60_000

    /// 1: the disk of web is full, fixed by a runbook; 2: a certificate of api ended; 3: open, the disk of mail is full.
    private static func archive() async throws -> TestArchive {
        let archive = try TestArchive()
        try await archive.apply([
            .alert(told("f", "a", "web", "Disk /var of web-3 is full")), .alert(told("g", "b", "api", "TLS handshake fails")),
            .alert(told("h", "c", "mail", "Disk /spool of mail-1 is full")),
        ])
        try await archive.apply(
            [.report(report("r", "runbook-succeeded", mitigated: true, actor: "runbook:rotate-logs"))], from: 4)
        try await resolve(archive, 1, "logrotate did not run")
        try await resolve(archive, 2, "The certificate ended, alice had not renewed it")
        return archive
    }

    private static func told(_ fingerprint: String, _ event: String, _ service: String, _ summary: String)
        -> Tocsin_V1_AlertUpdate
    {
        var update = update(fingerprint, [event], service: service)
        update.summary = summary
        return update
    }

    private static func resolve(_ archive: TestArchive, _ number: UInt64, _ cause: String) async throws {
        let request = Tocsin_V1_ResolveIncidentRequest.with {
            ($0.requestID, $0.number, $0.actor, $0.cause) = ("resolve-\(number)-\(cause)", number, "alice", cause)
        }
        _ = try await archive.store.command(request, now: later + number)
    }

    private static func similar(
        _ archive: TestArchive, to number: UInt64, for viewer: String? = nil
    ) async throws -> Tocsin_V1_FindSimilarIncidentsResponse {
        try await archive.store.findSimilar(.with { $0.number = number }, for: viewer)
    }

    private static func similar(
        _ archive: TestArchive, to text: String, limit: UInt32 = 0
    ) async throws -> Tocsin_V1_FindSimilarIncidentsResponse {
        try await archive.store.findSimilar(
            .with {
                $0.text = text
                $0.limit = limit
            })
    }

    @Test("An open incident finds the resolved one that tells the same, with its cause, what helped and the shared words")
    func found() async throws {
        let archive = try await Self.archive()
        let response = try await Self.similar(archive, to: 3)
        #expect(response.known == 2)
        let first = try #require(response.incidents.first)
        #expect(first.number == 1 && first.cause == "logrotate did not run" && first.services == ["web"])
        #expect(first.runbook == "rotate-logs" && first.resolution == "fixed by runbook rotate-logs")
        #expect(first.score > 0.1 && first.score <= 1 && first.sharedTerms.contains("Disk"))
        #expect(!response.incidents.contains { $0.number == 3 })
        #expect(response.runbooks.map(\.runbook) == ["rotate-logs"] && response.runbooks[0].incidents == [1])
        // By what is told, cause and all.
        #expect(try await Self.similar(archive, to: "certificate not renewed").incidents.first?.number == 2)
        #expect(try await Self.similar(archive, to: "disk or certificate", limit: 1).incidents.count == 1)
        #expect(try await Self.similar(archive, to: "volcano").incidents.isEmpty)
    }

    @Test("What was there before the archiver started is read, and what changes meanwhile is not overwritten")
    func learnt() async throws {
        let archive = try await Self.archive()
        try archive.restart()
        #expect(try await Self.similar(archive, to: 3).known == 0)
        #expect(try await archive.store.learnPast(limit: 1))
        // The later one first.
        #expect(try await Self.similar(archive, to: "certificate").incidents.map(\.number) == [2])
        _ = try await archive.store.command(Self.reopening(1), now: Self.later + 1000)
        #expect(try await !archive.store.learnPast(limit: 10))
        #expect(try await Self.similar(archive, to: 3).known == 1)
        #expect(try await !archive.store.learnPast(limit: 10))
    }

    private static func reopening(_ number: UInt64) -> Tocsin_V1_ReopenIncidentRequest {
        .with { ($0.requestID, $0.number, $0.actor, $0.reason) = ("reopen-\(number)", number, "alice", "again") }
    }

    @Test("What is reopened teaches nothing until it is resolved again; nor does what has no cause, or is a drill")
    func taught() async throws {
        let archive = try await Self.archive()
        _ = try await archive.store.command(Self.reopening(1), now: Self.later + 1000)
        #expect(try await Self.similar(archive, to: "full disk").incidents.isEmpty)
        try await Self.resolve(archive, 1, "unknown")
        #expect(try await Self.similar(archive, to: "full disk").incidents.isEmpty)
        try await archive.apply(
            [
                .alert(update("d", ["d"], service: "web", drill: true)),
                .alert(update("d", ["e"], .resolve, service: "web", drill: true)),
            ], from: 10)
        try await archive.apply([.alert(update("h", ["x"], .resolve, service: "mail"))], from: 20)
        #expect(try await Self.similar(archive, to: "full disk").known == 1)
    }

    @Test("Who need not know of an incident does not find it, nor what is like it")
    func needToKnow() async throws {
        let archive = try await Self.archive()
        let restriction = Tocsin_V1_RestrictIncidentRequest.with {
            ($0.requestID, $0.number, $0.actor, $0.people) = ("restrict", 1, "alice", ["alice"])
        }
        _ = try await archive.store.command(restriction, now: Self.later + 1000)
        #expect(try await Self.similar(archive, to: 3, for: "alice").incidents.map(\.number) == [1])
        #expect(try await Self.similar(archive, to: 3).incidents.map(\.number) == [1])
        let eve = try await Self.similar(archive, to: 3, for: "eve")
        #expect(eve.incidents.isEmpty && eve.runbooks.isEmpty)
        await #expect(throws: CommandRefusal(.notFound, "there is no incident 1")) {
            () async throws -> Void in _ = try await Self.similar(archive, to: 1, for: "eve")
        }
    }

    @Test("Names of people are neither found nor told as shared, and an erased one is read as erased")
    func people() async throws {
        let archive = try await Self.archive()
        #expect(try await Self.similar(archive, to: "alice").incidents.isEmpty)
        let before = try await Self.similar(archive, to: "certificate ended, alice").incidents
        #expect(before.first?.cause == "The certificate ended, alice had not renewed it")
        #expect(before.first?.sharedTerms.contains("alice") == false)
        let erasure = Erasure(requestID: "e", subject: "alice", actor: "bob", reason: "asked for it")
        _ = try await archive.store.erasePersonalData(erasure, now: Self.later + 1000)
        let after = try await Self.similar(archive, to: "certificate ended").incidents
        #expect(after.first?.cause == "The certificate ended, [erased] had not renewed it")
    }

    @Test("What retention removes is not found")
    func removed() async throws {
        let archive = try await Self.archive()
        let close = Tocsin_V1_CloseIncidentRequest.with {
            ($0.requestID, $0.number, $0.actor) = ("close", 2, "alice")
            ($0.waivePostmortem, $0.reason) = (true, "small")
        }
        _ = try await archive.store.command(close, now: Self.later + 1000)
        #expect(try await Self.similar(archive, to: "certificate").incidents.count == 1)
        let retention = RetentionPolicy(incidents: .seconds(1))
        _ = try await archive.apply([.alert(update("g", ["z"], .resolve, service: "api"))], from: 30)
        #expect(try await archive.store.purge(retention, limit: 10, now: TestArchive.now) == 1)
        #expect(try await Self.similar(archive, to: "certificate").known == 1)
        #expect(try await Self.similar(archive, to: "certificate").incidents.isEmpty)
    }

    @Test("A question that is wrong is told so")
    func refused() async throws {
        let archive = try await Self.archive()
        for (request, word) in [
            (Tocsin_V1_FindSimilarIncidentsRequest(), "number and text"), (.with { $0.text = " " }, "text is empty"),
            (.with { $0.text = String(repeating: "x", count: 20_000) }, "20000 bytes"),
            (.with { $0.number = 99 }, "no incident 99"),
        ] {
            let refusal = await #expect(throws: CommandRefusal.self) {
                () async throws -> Void in _ = try await archive.store.findSimilar(request)
            }
            #expect(refusal?.message.contains(word) == true)
        }
    }
}
