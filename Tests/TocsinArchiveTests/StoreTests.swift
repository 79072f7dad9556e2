import Foundation
import GRDB
import Testing
import TocsinProto

@testable import TocsinArchive

/// Goal: one writer, and a clear sentence for each way in which a file can be wrong. Method: files made wrong on purpose.
@Suite("The archive's files", .timeLimit(.minutes(1)))
struct StoreTests {
    private static func problem(_ path: String) throws -> ArchiveError? {
        do {
            try TestArchive.open(path).close()
            return nil
        } catch let error as ArchiveError {
            return error
        }
    }

    /// Closes the archive, lets `body` spoil its file, and returns what opening says.
    private static func spoiled(_ body: (String) throws -> Void) async throws -> ArchiveError? {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        try archive.store.close()
        for suffix in ["-wal", "-shm"] where FileManager.default.fileExists(atPath: archive.path + suffix) {
            try FileManager.default.removeItem(atPath: archive.path + suffix)
        }
        try body(archive.path)
        return try problem(archive.path)
    }

    @Test("commits are synced: WAL with synchronous=FULL, on the connection that writes")
    func durable() async throws {
        let archive = try TestArchive()
        let (mode, synchronous) = try await archive.store.write { db in
            (try String.fetchOne(db, sql: "PRAGMA journal_mode"), try Int.fetchOne(db, sql: "PRAGMA synchronous"))
        }
        #expect(mode == "wal" && synchronous == 2)
    }

    @Test("only the owner may read the files")
    func modes() throws {
        let archive = try TestArchive()
        for name in try FileManager.default.contentsOfDirectory(atPath: archive.folder) {
            let attributes = try FileManager.default.attributesOfItem(atPath: archive.folder + "/" + name)
            #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600, "\(name)")
        }
    }

    @Test("one archiver at a time: the lock says who, and is free once the archive is closed")
    func lock() throws {
        let archive = try TestArchive()
        #expect(try ArchiveLock.take(databasePath: archive.path, holder: "second") == nil)
        #expect(ArchiveLock.holder(databasePath: archive.path).hasPrefix("test, process "))
        try archive.store.close()
        let lock = try ArchiveLock.take(databasePath: archive.path, holder: "second")
        #expect(lock != nil)
        lock?.release()
        try archive.restart()
    }

    @Test("a closed archive refuses everything")
    func closed() async throws {
        let archive = try TestArchive()
        try archive.store.close()
        await #expect(throws: ArchiveError.self) { try await archive.apply(update("f", ["a"])) }
        await #expect(throws: ArchiveError.self) { try await archive.store.accounting() }
        try archive.restart()
    }

    @Test("a file that is no database")
    func garbage() async throws {
        let error = try await Self.spoiled { path in
            try Data(repeating: 65, count: 4096).write(to: URL(fileURLWithPath: path))
        }
        #expect(error?.code == .foreign && error?.message.contains("is not an archive") == true)
    }

    @Test("another program's database")
    func foreign() async throws {
        let error = try await Self.spoiled { path in
            try FileManager.default.removeItem(atPath: path)
            try DatabaseQueue(path: path).write { try $0.execute(sql: "CREATE TABLE songs (title TEXT)") }
        }
        #expect(error?.code == .foreign && error?.message.contains("another program") == true)
    }

    @Test("an archive of a newer version")
    func newer() async throws {
        let error = try await Self.spoiled { path in
            try DatabaseQueue(path: path).write {
                try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('9: from the future')")
            }
        }
        #expect(error?.code == .foreign && error?.message.contains("newer version") == true)
    }

    @Test("an archive of the first version is opened, keeps what it has, and counts on")
    func older() async throws {
        let archive = try TestArchive()
        let new = try TestArchive()
        try archive.store.close()
        try FileManager.default.removeItem(atPath: archive.path)
        try FileManager.default.removeItem(atPath: archive.path + ".audit-key")
        let queue = try DatabaseQueue(path: archive.path)
        try Schema.migrator.migrate(queue, upTo: "1: incidents, alerts, timeline, events, outbox")
        // As that version left it after a critical alert of two events, an answered command and a dismissed incident.
        try await new.apply([.alert(update("f", ["a", "b"])), .alert(update("g", ["c"], .trigger, .minor))])
        // By programs: people's names are sealed since, in each archive in its own way.
        let acknowledge = command("1", .acknowledge, actor: "runbook:a")
        let answer = try await new.store.command(acknowledge, now: TestArchive.start + 60_000)
        let dismiss = command("2", .dismiss, "noise", number: 2, actor: "runbook:a")
        _ = try await new.store.command(dismiss, now: TestArchive.start + 60_000)
        try new.store.close()
        try await queue.writeWithoutTransaction { [path = new.path] db in
            try db.execute(sql: "ATTACH ? AS new", arguments: [path])
            try db.inTransaction {
                for table in ["counters", "incidents", "alerts", "incident_alerts", "timeline", "events", "commands", "outbox"] {
                    let columns = try db.columns(in: table, in: "main").map(\.name).joined(separator: ", ")
                    try db.execute(sql: "INSERT INTO main.\(table) (\(columns)) SELECT \(columns) FROM new.\(table)")
                }
                return .commit
            }
            try db.execute(sql: "DETACH new")
        }
        try queue.close()
        try new.restart()

        try archive.reopen()
        #expect(try await archive.store.command(acknowledge, now: TestArchive.start + 90_000) == answer)
        // How wide it reaches was not kept then, nor why anything was decided.
        try await new.store.write {
            try $0.execute(
                sql: """
                    UPDATE incidents SET impact = 0; UPDATE alerts SET impact = 0, priority = 0, source = '', changes = '';
                    DELETE FROM correlations; DELETE FROM decisions;
                    """)
        }
        let (migrated, made) = (try await archive.dump(), try await new.dump())
        #expect(migrated == made)
        let merge = Tocsin_V1_MergeIncidentRequest.with {
            ($0.requestID, $0.number, $0.actor, $0.into, $0.reason) = ("3", 1, "alice", 2, "one cause")
        }
        _ = try await archive.store.command(command("4", .reopen, "no noise", number: 2), now: TestArchive.start + 90_000)
        #expect(try await archive.store.command(merge, now: TestArchive.start + 90_000).into.events == 3)
    }

    @Test("a damaged file")
    func damaged() async throws {
        let error = try await Self.spoiled { path in
            let file = try #require(FileHandle(forUpdatingAtPath: path))
            // Past the header: the page of the schema.
            try file.seek(toOffset: 100)
            try file.write(contentsOf: Data(repeating: 0x5A, count: 3996))
            try file.close()
        }
        #expect(error?.code == .corrupt && error?.message.contains("damaged") == true, "\(String(describing: error))")
    }

    @Test("a folder where the file should be, and a file where the folder should be")
    func inaccessible() throws {
        let archive = try TestArchive()
        try FileManager.default.createDirectory(atPath: archive.folder + "/folder", withIntermediateDirectories: false)
        #expect(try Self.problem(archive.folder + "/folder")?.code == .inaccessible)
        #expect(throws: ArchiveError.self) {
            try ArchiveLock.take(databasePath: archive.path + "/below/archive.sqlite", holder: "x")
        }
    }

    @Test("folders are made as needed")
    func folders() throws {
        let archive = try TestArchive()
        #expect(try Self.problem(archive.folder + "/a/b/archive.sqlite") == nil)
    }

    @Test("a value in a row that cannot be is reported as damage, not trapped on")
    func impossibleRow() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        for damage in ["state = 77", "services = 'not JSON'", "priority = -1"] {
            try await archive.store.write { try $0.execute(sql: "UPDATE incidents SET \(damage)") }
            do {
                _ = try await archive.store.get(1)
                Issue.record("\(damage) was not noticed")
            } catch let error as ArchiveError {
                #expect(error.code == .corrupt)
            }
        }
    }

    @Test("a full disk fails the batch as a whole, and the batch succeeds when there is room")
    func fullDisk() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        let before = try await archive.dump()
        try await archive.store.write { db in
            let pages = try Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0
            try db.execute(sql: "PRAGMA max_page_count = \(pages)")
        }
        let batch: [ArchiveItem.Content] = (0..<500).map { .alert(update("g\($0)", ["e\($0)"])) }
        do {
            try await archive.apply(batch)
            Issue.record("500 incidents were written to a full disk")
        } catch let error as ArchiveError {
            #expect(error.code == .storage && error.isTransient && error.message.contains("full"))
        }
        #expect(try await archive.dump() == before)
        try await archive.store.write { try $0.execute(sql: "PRAGMA max_page_count = 1000000") }
        try await archive.apply(batch)
        #expect(try await archive.count("incidents") == 501)
    }

    @Test("a program that keeps the database locked is named as the reason")
    func busy() {
        let error = ArchiveError(DatabaseError(resultCode: .SQLITE_BUSY, message: "database is locked"), path: "/x")
        #expect(error.code == .locked && error.isTransient && error.message.contains("/x"))
    }
}
