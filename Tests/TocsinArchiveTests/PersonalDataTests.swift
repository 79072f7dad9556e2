import Foundation
import GRDB
import Testing
import TocsinDomain
import TocsinProto

@testable import TocsinArchive

extension ArchiveStore {
    fileprivate func exportPersonalData(_ subject: String) async throws -> [PersonalPiece] {
        var pieces: [PersonalPiece] = []
        try await exportPersonalData(subject) { pieces.append($0) }
        return pieces
    }
}

/// Goal: what says who somebody is stands in no file of the archive, is read as it was said, and can be made unreadable. Method:
/// an archive in a folder of its own, whose bytes are searched.
@Suite("Personal data", .timeLimit(.minutes(1)))
struct PersonalDataTests {
    private static let names = ["zoe.quux", "Mallory.Frood"]

    /// Events of a person, commands of another who names the first, and a report.
    private static func lived(_ archive: TestArchive) async throws {
        var alert = update("f", ["a", "zoe.quux-1"])
        alert.summary = "login of Zoe.Quux fails (user=zoe.quux)"
        alert.rule = "names zoe.quux"
        alert.labels = ["user": "zoe.quux", "check": "login", "url": "/users/zoe.quux/login"]
        try await archive.apply(alert)
        _ = try await archive.store.command(command("1", .acknowledge, actor: "Mallory.Frood"), now: TestArchive.now)
        _ = try await archive.store.command(
            command("mallory.frood/2", .note, "asked zoe.quux; says Mallory.Frood", actor: "Mallory.Frood"),
            now: TestArchive.now)
        _ = try await archive.store.command(command("3", .assign, "zoe.quux", actor: "Mallory.Frood"), now: TestArchive.now)
        await #expect(throws: CommandRefusal.self) { () async throws -> Void in
            _ = try await archive.store.command(
                command("4", .assign, "zoe.quux", actor: "Mallory.Frood"), now: TestArchive.now)
        }
        var told = report("r", "notified")
        told.text = "told zoe.quux and mallory.frood"
        try await archive.apply([.report(told)])
        _ = try await archive.store.command(
            command("5", .resolve, "zoe.quux typed it wrong", actor: "Mallory.Frood"), now: TestArchive.now)
    }

    /// Files under the folder whose bytes are such.
    private static func files(_ folder: String, where matches: (Data) -> Bool) throws -> [String] {
        let names = try FileManager.default.subpathsOfDirectory(atPath: folder)
        return try names.filter { matches(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\($0)"))) }
    }

    /// Files under the folder that contain one of the texts, in any case.
    private static func files(_ folder: String, with texts: [String]) throws -> [String] {
        try files(folder) { bytes in
            let text = String(decoding: bytes, as: UTF8.self).lowercased()
            return texts.contains { text.contains($0.lowercased()) }
        }
    }

    @Test("no file of the archive has a personal value, and everything is read as it was said")
    func sealedAtRest() async throws {
        let archive = try TestArchive()
        try await Self.lived(archive)
        #expect(try Self.files(archive.folder, with: Self.names) == [])
        let shown = try await archive.store.get(1)
        #expect(shown.incident.title == "login of Zoe.Quux fails (user=zoe.quux)")
        #expect(shown.incident.assignee == "zoe.quux")
        #expect(shown.incident.cause == "zoe.quux typed it wrong")
        #expect(shown.alerts[0].labels["url"] == "/users/zoe.quux/login")
        #expect(shown.alerts[0].rule == "names zoe.quux")
        #expect(shown.timeline.contains { $0.text == "asked zoe.quux; says Mallory.Frood" && $0.actor == "Mallory.Frood" })
        #expect(shown.timeline.contains { $0.text == "told zoe.quux and mallory.frood" })
        let change = try #require(try await archive.changes().last)
        #expect(change.incident.assignee == "zoe.quux")
        #expect(change.labels["user"] == "zoe.quux")
        // After a restart too, with the key from its file.
        try archive.restart()
        #expect(try await archive.store.get(1) == shown)
        #expect(try Self.files(archive.folder, with: Self.names) == [])
    }

    @Test("a command that comes again is answered as it was, and another with its id is refused")
    func repeatedCommand() async throws {
        let archive = try TestArchive()
        try await Self.lived(archive)
        let again = command("3", .assign, "zoe.quux", actor: "Mallory.Frood")
        let answer = try await archive.store.command(again, now: TestArchive.now)
        #expect(answer.incident.assignee == "zoe.quux")
        #expect(answer.entry.after == "zoe.quux")
        await #expect(
            throws: CommandRefusal(.failedPrecondition, "ALREADY_IN_STATE: the incident is already assigned to zoe.quux")
        ) {
            () async throws -> Void in
            _ = try await archive.store.command(
                command("4", .assign, "zoe.quux", actor: "Mallory.Frood"), now: TestArchive.now)
        }
        await #expect(throws: CommandRefusal.self) { () async throws -> Void in
            _ = try await archive.store.command(command("3", .assign, "eve", actor: "Mallory.Frood"), now: TestArchive.now)
        }
    }

    @Test("sealed values are found: who owns an incident, the text of a title, the event of an id")
    func searches() async throws {
        let archive = try TestArchive()
        try await Self.lived(archive)
        func found(_ fill: (inout Tocsin_V1_ListIncidentsRequest) -> Void) async throws -> Int {
            var request = Tocsin_V1_ListIncidentsRequest()
            fill(&request)
            return try await archive.store.list(request).incidents.count
        }
        #expect(try await found { $0.assignee = "zoe.quux" } == 1)
        #expect(try await found { $0.assignee = "nobody.here" } == 0)
        #expect(try await found { $0.titleContains = "LOGIN of" } == 1)
        #expect(try await found { $0.titleContains = "zoe.quux" } == 1)
        // What it is sealed as is no text of the title.
        let piece = try await archive.store.read { try String.fetchOne($0, sql: "SELECT title FROM incidents") }
        let sealed = try #require(piece).unicodeScalars.drop { $0.value != 0xFDD0 }.dropFirst().prefix(6)
        #expect(try await found { $0.titleContains = String(String.UnicodeScalarView(sealed)) } == 0)
        let fate = try await archive.store.trace(
            .with {
                $0.eventID = "zoe.quux-1"
                $0.fingerprint = "f"
            })
        #expect(fate.fate == .handled)
        #expect(fate.incident.number == 1)
    }

    @Test("text from outside that looks sealed is not taken for it")
    func forged() async throws {
        let archive = try TestArchive()
        try await Self.lived(archive)
        let stolen = try await archive.store.read { try String.fetchOne($0, sql: "SELECT assignee FROM incidents") }
        let piece = try #require(stolen)
        #expect(piece.unicodeScalars.first?.value == 0xFDD0)
        _ = try await archive.store.command(command("f", .note, "it is \(piece)!", actor: piece), now: TestArchive.now)
        let entry = try #require(try await archive.store.get(1).timeline.last)
        #expect(!entry.text.contains("zoe") && entry.text.hasPrefix("it is \u{FFFD}"))
        #expect(!entry.actor.contains("zoe"))
    }

    @Test(
        "a value is found where it stands as a word, a long one anywhere",
        arguments: [
            ("al", "signal of al", "signal of <al>"), ("al", "AL, Al2 al", "<AL>, Al2 <al>"), ("a", "a b", "a b"),
            ("zoe.quux", "xzoe.quuxx", "x<zoe.quux>x"), ("zoé", "zoés zoé", "zoés <zoé>"),
        ])
    func occurrences(_ value: String, _ text: String, _ expected: String) {
        #expect(PersonalValues([value]).replacing(in: text) { "<\($0)>" } == expected)
    }

    @Test("what is erased is read as erased everywhere, and the next word of the same person is read")
    func erasure() async throws {
        let archive = try TestArchive()
        try await Self.lived(archive)
        let held = try await archive.store.exportPersonalData(" Zoe.QUUX ")
        #expect(Set(held.map(\.place)).isSuperset(of: ["incident", "timeline", "alert", "command"]))
        #expect(held.allSatisfy { $0.value.lowercased().contains("zoe.quux") })
        let erasure = Erasure(requestID: "e", subject: "zoe.quux", actor: "dpo", reason: "asked for it")
        let pieces = try await archive.store.erasePersonalData(erasure, now: TestArchive.now)
        #expect(pieces > 0)
        // The same again has no further effect, and the same answer.
        #expect(try await archive.store.erasePersonalData(erasure, now: TestArchive.now) == pieces)
        #expect(try await archive.store.exportPersonalData("zoe.quux") == [])
        let shown = try await archive.store.get(1)
        #expect(shown.incident.title == "login of [erased] fails (user=[erased])")
        #expect(shown.incident.assignee == "[erased]")
        #expect(shown.timeline.contains { $0.text == "asked [erased]; says Mallory.Frood" })
        #expect(try await archive.changes().allSatisfy { !"\($0)".lowercased().contains("zoe") })
        var alert = update("f", ["b"], at: 100)
        alert.labels = ["user": "zoe.quux"]
        alert.summary = "login of zoe.quux fails"
        try await archive.apply(alert)
        let now = try await archive.store.get(1)
        #expect(now.alerts[0].summary == "login of zoe.quux fails")
        #expect(now.incident.title == "login of [erased] fails (user=[erased])")
        #expect(try Self.files(archive.folder, with: Self.names) == [])
    }

    @Test("an erased key is in no file of the archive, though it was there")
    func keyIsGone() async throws {
        let archive = try TestArchive()
        try await Self.lived(archive)
        let subject = archive.store.vault.subject(of: "zoe.quux")
        let wrapped = try await archive.store.read {
            try Data.fetchOne($0, sql: "SELECT wrapped_key FROM subjects WHERE id = ?", arguments: [subject])
        }
        let key = try #require(wrapped)
        func holds() throws -> [String] { try Self.files(archive.folder) { $0.range(of: key) != nil } }
        #expect(try !holds().isEmpty)
        _ = try await archive.store.erasePersonalData(
            Erasure(requestID: "e", subject: "zoe.quux", actor: "dpo", reason: "asked for it"), now: TestArchive.now)
        #expect(try holds() == [])
    }

    @Test("an archive from before there was a master key is sealed when it is opened")
    func adopted() async throws {
        let archive = try TestArchive()
        try await Self.lived(archive)
        let shown = try await archive.store.get(1)
        let changes = try await archive.changes()
        let vault = archive.store.vault
        // As the version before had it: in plain text, and without the trail that would know of it.
        try archive.store.close()
        let queue = try DatabaseQueue(path: archive.path)
        try await queue.write { db in
            let sealer = Sealer(vault, db)
            for (table, columns) in [
                ("incidents", ["title", "assignee", "cause", "mitigated_by", "labels"]),
                ("alerts", ["summary", "rule", "labels"]),
                ("timeline", ["actor", "text", "before", "after"]), ("commands", ["actor", "text", "message", "arguments"]),
                ("refused", ["actor", "message"]),
            ] {
                for column in columns {
                    for text in try String.fetchAll(db, sql: "SELECT DISTINCT \(column) FROM \(table)") {
                        try db.execute(
                            sql: "UPDATE \(table) SET \(column) = ? WHERE \(column) = ?",
                            arguments: [try sealer.open(text), text])
                    }
                }
            }
            for row in try Row.fetchAll(db, sql: "SELECT id, response FROM commands WHERE response <> x''") {
                let answer = try Tocsin_V1_MergeIncidentResponse(serializedBytes: row[1] as Data)
                try db.execute(
                    sql: "UPDATE commands SET response = ? WHERE id = ?",
                    arguments: [try sealer.open(answer).serializedBytes() as Data, row[0] as String])
            }
            for row in try Row.fetchAll(db, sql: "SELECT id, payload FROM outbox") {
                let change = try Tocsin_V1_IncidentChange(serializedBytes: row[1] as Data)
                try db.execute(
                    sql: "UPDATE outbox SET payload = ? WHERE id = ?",
                    arguments: [try sealer.open(change).serializedBytes() as Data, row[0] as Int64])
            }
            try db.execute(
                sql: "DELETE FROM subjects; DELETE FROM master_key; DELETE FROM audit; DELETE FROM audit_head")
        }
        try queue.close()
        try FileManager.default.removeItem(atPath: archive.path + ".audit-key")
        #expect(try !Self.files(archive.folder, with: Self.names).isEmpty)
        try archive.reopen()
        #expect(try Self.files(archive.folder, with: Self.names) == [])
        #expect(try await archive.store.get(1) == shown)
        #expect(try await archive.changes() == changes)
        #expect(
            try await archive.store.command(command("3", .assign, "zoe.quux", actor: "Mallory.Frood"), now: 0).entry.after
                == "zoe.quux")
    }

    @Test("another master key is refused, a lost one is not replaced, a file that others may read is not used")
    func masterKey() async throws {
        let archive = try TestArchive()
        try await Self.lived(archive)
        try archive.store.close()
        let path = archive.path + ".master-key"
        let key = try Data(contentsOf: URL(fileURLWithPath: path))
        try FileManager.default.removeItem(atPath: path)
        func problem() throws -> String {
            do { try archive.reopen() } catch let error as ArchiveError { return error.message }
            return ""
        }
        #expect(try problem().contains("restore it from a copy"))
        #expect(!FileManager.default.fileExists(atPath: path))
        try Data(repeating: 7, count: 32).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
        #expect(try problem().contains("run: chmod 600 \(path)"))
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
        #expect(try problem().contains("not the one the archive"))
        try key.write(to: URL(fileURLWithPath: path))
        #expect(try problem() == "")
        #expect(try await archive.incident(1).assignee == "zoe.quux")
    }

    @Test(
        "a key is read from what a command writes",
        arguments: [
            (String(repeating: "0f", count: 32) + "\n", true), (Data(repeating: 15, count: 32).base64EncodedString(), true),
            ("", false), (String(repeating: "0f", count: 31), false), (String(repeating: "zz", count: 32), false),
        ])
    func parse(_ text: String, _ isKey: Bool) { #expect((MasterKey.parse(text) != nil) == isKey) }
}
