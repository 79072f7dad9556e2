import Foundation
import Testing

/// Goal: after `tocsin privacy erase` and the stated retention no file has the person's data, and the command said what remained
/// until when. Method: real processes; every byte of every file under the data folder is searched.
@Suite("Privacy, with real processes", .timeLimit(.minutes(3)))
struct PrivacyTests {
    private static let person = "zoe.quux@example.org"

    /// Files under the folder that contain the text, in any case.
    private static func files(_ folder: String, with text: String) throws -> [String] {
        let names = try FileManager.default.subpathsOfDirectory(atPath: folder)
        return names.filter { name in
            // Sockets and folders cannot be read; a file may go while it is looked for.
            guard let bytes = try? Data(contentsOf: URL(filePath: "\(folder)/\(name)")) else { return false }
            return String(decoding: bytes, as: UTF8.self).lowercased().contains(text)
        }
    }

    @Test("what is erased is in no file once the journal's retention is over, and the command says until when it may be")
    func erased() async throws {
        try await Workplace.with { place async throws in
            try place.write(
                """
                data: data
                hub: {retain_age: 2s, dedup_window: 1s, segment: 1MiB}
                """)
            let up = try place.start("up", "--config", "tocsin.yaml")
            try await wait(until: "the archiver answers") { try await place.run("list").code == 0 }
            let report = try await place.run(
                "report", "Login of \(Self.person) fails", "--service", "login", "--severity", "critical", "--label",
                "email=\(Self.person)", "--detail", "username=\(Self.person)", "--output", "json")
            let number = "\(try #require(try report.json()["incident"] as? Int, "\(report.errors)"))"
            #expect(try await place.run("ack", number, "--as", Self.person).code == 0)
            #expect(try await place.run("note", number, "I am \(Self.person)", "--as", "bob").code == 0)
            #expect(try await place.run("assign", number, "bob", "--as", Self.person).code == 0)
            #expect(try await place.run("show", number).output.contains("I am \(Self.person)"))

            let archive = "\(place.folder)/data/archive"
            #expect(try Self.files(archive, with: Self.person) == [], "the archive has it in plain text")
            let export = try await place.run("privacy", "export", Self.person)
            #expect(export.output.contains("timeline actor: \(Self.person)"), "\(export.output)\(export.errors)")
            #expect(export.output.contains("I am \(Self.person)"))

            #expect(try await place.run("privacy", "erase", Self.person, "--reason", "asked for it").code == 64)
            let erasure = try await place.run(
                "privacy", "erase", Self.person, "--reason", "asked for it", "--yes", "--output", "json")
            #expect(erasure.code == 0, "\(erasure.errors)")
            let said = try erasure.json()
            #expect(try #require(said["pieces"] as? Int) > 5)
            let remainders = try #require(said["remainders"] as? [[String: Any]])
            let journal = try #require(remainders.first { $0["place"] as? String == "the hub's journal" })
            #expect(try #require(journal["until"] as? Int) > Int(Date.now.timeIntervalSince1970 * 1000))
            #expect(remainders.contains { ($0["place"] as? String)?.contains("backups") == true })

            let shown = try await place.run("show", number).output
            #expect(shown.contains("Login of [erased] fails") && shown.contains("I am [erased]"))
            #expect(try await place.run("privacy", "export", Self.person).output.isEmpty)
            try await wait(until: "no file has it") { try Self.files("\(place.folder)/data", with: Self.person).isEmpty }
            let verified = try await place.run("archive", "verify", "--config", "tocsin.yaml")
            #expect(verified.code == 0, "\(verified.output)\(verified.errors)")
            up.signal(SIGTERM)
            #expect(try await up.exitCode() == 0)
            #expect(try Self.files("\(place.folder)/data", with: Self.person) == [])
        }
    }
}
