import Foundation
import Glibc
import Testing

/// Goal: a journal is proved whole, looked into and mended from the command line, with the real executable and its exit codes.
@Suite("Journal commands", .timeLimit(.minutes(2)))
struct JournalTests {
    private func runHub(_ place: Workplace, _ reports: Int) async throws {
        let hub = try place.start("hub")
        try await wait(until: "the hub is ready") { hub.errors.contains("the hub is ready") }
        for number in 0..<reports {
            let report = try await place.run("report", "Report \(number)", "--service", "shop", "--no-wait")
            #expect(report.code == 0)
        }
        hub.signal(SIGTERM)
        #expect(try await hub.exitCode() == 0)
    }

    /// The place of the first message's batch: after the checkpoint and the control batch with the pools.
    private func flip(_ text: String, in file: String) throws -> Int {
        let handle = try FileHandle(forUpdating: URL(filePath: file))
        defer { try? handle.close() }
        let bytes = try #require(try handle.read(upToCount: 1 << 20))
        let offset = try #require(bytes.firstRange(of: Data(text.utf8))).lowerBound
        try handle.seek(toOffset: UInt64(offset))
        try handle.write(contentsOf: Data([bytes[offset] ^ 1]))
        return offset
    }

    @Test("one byte changes: refused by file and offset, explained, repaired, and the hub starts")
    func damaged() async throws {
        try await Workplace.with { place async throws in
            try place.write("hub: {segment: 1MiB}\n")
            let nothing = try await place.run("journal", "verify")
            #expect(nothing.code == 66 && nothing.errors.contains("there is no journal in"))
            try await runHub(place, 3)
            let verified = try await place.run("journal", "verify")
            #expect(verified.code == 0 && verified.output.hasSuffix("intact\n"), "\(verified)")
            let shown = try await place.run("journal", "inspect", "--sequence", "2", "--payload", "--output", "json")
            #expect(shown.code == 0 && shown.output.contains("Report 1"), "\(shown)")

            let file = "\(place.folder)/tocsin-data/hub/segment-00000001.log"
            _ = try flip("Report 1", in: file)
            let hub = try await place.run("hub")
            #expect(hub.code == 73)
            #expect(hub.errors.contains("segment-00000001.log is damaged at offset"), "\(hub.errors)")
            #expect(hub.errors.contains("`tocsin journal repair`"), "\(hub.errors)")

            let broken = try await place.run("journal", "verify", "--output", "json")
            #expect(broken.code == 65)
            let damages = try #require(try broken.json()["damages"] as? [[String: Any]])
            #expect((damages.first?["sequences"] as? [String: Int]) == ["first": 2, "last": 2], "\(broken.output)")
            let before = try Data(contentsOf: URL(filePath: file))
            let explained = try await place.run("journal", "repair")
            #expect(explained.code == 65 && explained.errors.contains("nothing was changed"), "\(explained)")
            #expect(explained.output.contains("message 2 (1)") && explained.output.contains("event.cli.alice"), "\(explained)")
            #expect(try Data(contentsOf: URL(filePath: file)) == before)

            let repaired = try await place.run("journal", "repair", "--yes")
            #expect(repaired.code == 0 && repaired.errors.contains("the journal is sound again"), "\(repaired)")
            #expect(try Data(contentsOf: URL(filePath: file + ".damaged-2")) == before)
            #expect(try await place.run("journal", "verify").code == 0)
            try await runHub(place, 1)
            let listed = try await place.run("journal", "inspect", "--from", "1", "--output", "json")
            for text in ["\"sequence\": 1,", "2 to 2 were given up", "\"sequence\": 3,", "\"sequence\": 4,"] {
                #expect(listed.output.contains(text), "\(text) in \(listed.output)")
            }
        }
    }

    @Test("a journal whose hub runs is left alone")
    func inUse() async throws {
        try await Workplace.with { place async throws in
            let hub = try place.start("hub")
            try await wait(until: "the hub is ready") { hub.errors.contains("the hub is ready") }
            for command in ["verify", "inspect", "repair"] {
                let outcome = try await place.run("journal", command)
                #expect(outcome.code == 73)
                #expect(outcome.errors.contains("is in use by a hub that runs; stop it first"), "\(outcome.errors)")
            }
        }
    }
}
