import GRDB
import GRPCCore
import Testing
import TocsinProto
import TocsinServices
import TocsinWire

@testable import TocsinArchive

/// Goal: the trail says who did what, and its bytes are those of AuditTrail.md. Method: single acts, and digests that another
/// program has computed from that page.
@Suite("The audit trail", .timeLimit(.minutes(1)))
struct AuditTests {
    private static func records(_ archive: TestArchive, _ table: String) throws -> [AuditRecord] {
        try AuditLog.read(archive.path, .init(from: 1, limit: 1000, actsOnly: false), masterKey: archive.path + ".master-key")
            .filter { $0.table == table }
    }

    @Test("a command is in the trail with who did it, who asked for it, and from what to what; a refused one too")
    func acts() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        _ = try await archive.store.command(command("1", .acknowledge), caller: "gateway", now: TestArchive.now)
        await #expect(throws: CommandRefusal.self) {
            try await archive.store.command(command("2", .acknowledge, actor: "bob"), caller: "bob", now: TestArchive.now)
        }
        let entry = try #require(try Self.records(archive, "timeline").last)
        #expect(entry.actor == "alice" && entry.caller == "gateway" && entry.verb == "acknowledged" && entry.incident == 1)
        #expect(entry.before == "triaged" && entry.after == "acknowledged" && entry.key == "1/3" && entry.was.isEmpty)
        let commands = try Self.records(archive, "commands")
        #expect(commands.map(\.actor) == ["alice", "bob"] && commands.map(\.caller) == ["gateway", "bob"])
        #expect(commands.map(\.verb) == ["acknowledge", "acknowledge"] && commands.map(\.after) == ["0", "9"])
        #expect(try Self.records(archive, "refused").map(\.after) == ["ALREADY_IN_STATE"])
        let alerts = try Self.records(archive, "alerts")
        #expect(alerts.map(\.verb) == ["added"] && alerts.map(\.after) == ["firing"])
        #expect(try ArchiveVerifier.examine(archive.path).isSound)
    }

    @Test("what is no row has a record too, and what a transaction that failed had changed has none")
    func appending() async throws {
        let archive = try TestArchive()
        let audit = archive.store.audit
        try await archive.store.write(caller: "admin") { db in
            audit.append(AuditAct(actor: "admin\0", verb: "erased", before: "1", after: "2"))
            try db.execute(sql: "INSERT INTO reports VALUES ('r', 1)")
            try db.execute(sql: "DELETE FROM reports")
        }
        await #expect(throws: ArchiveError.self) {
            try await archive.store.write { db in
                try db.execute(sql: "INSERT INTO reports VALUES ('s', 1)")
                try db.execute(sql: "INSERT INTO nothing VALUES (1)")
            }
        }
        let records = try AuditLog.read(
            archive.path, .init(limit: 10, actsOnly: true), masterKey: archive.path + ".master-key")
        #expect(records.map(\.verb) == ["erased"] && records.map(\.actor) == ["admin"] && records.map(\.caller) == ["admin"])
        let examination = try ArchiveVerifier.examine(archive.path)
        // The other one is the caller's key.
        #expect(examination.isSound && examination.records == 2, "\(examination.discrepancies)")
        #expect(try Self.records(archive, "subjects").map(\.verb) == ["added"])
    }

    @Test("events are only added, and by the transaction they say")
    func events() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        for sql in ["INSERT INTO events VALUES ('b', 1, 0)", "UPDATE events SET fate = 2", "DELETE FROM events"] {
            await #expect(throws: ArchiveError.self, "\(sql)") { try await archive.store.write { try $0.execute(sql: sql) } }
        }
        #expect(try ArchiveVerifier.examine(archive.path).isSound)
    }

    @Test("the service signs how far the trail has come; a file of it is read as it was")
    func service() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        let server = ArchiveAdminServer(store: archive.store, now: { 12_345 })
        let context = ServerContext(
            descriptor: Tocsin_V1_ArchiveAdmin.Method.GetCheckpoint.descriptor, remotePeer: "", localPeer: "",
            cancellation: .init())
        let checkpoint = AuditCheckpoint(try await server.getCheckpoint(request: .init(), context: context).checkpoint)
        #expect(checkpoint.time == 12_345 && checkpoint.sequence > 4 && checkpoint.isSigned(by: checkpoint.publicKey))
        #expect(try ArchiveVerifier.examine(archive.path, checkpoints: [checkpoint]).isSound)
        func file(_ hash: String) -> [UInt8] {
            Array(
                """
                {"archive_id": "\(checkpoint.archiveID.hexadecimal)", "sequence": \(checkpoint.sequence), "hash": "\(hash)",
                 "time": 12345, "public_key": "\(checkpoint.publicKey.hexadecimal)",
                 "signature": "\(checkpoint.signature.hexadecimal)"}
                """.utf8)
        }
        #expect(try AuditCheckpoint(json: file(checkpoint.hash.hexadecimal)) == checkpoint)
        #expect(throws: ArchiveError.self) { try AuditCheckpoint(json: file("abc")) }
        #expect(throws: ArchiveError.self) { try AuditCheckpoint(json: Array("no".utf8)) }
    }

    @Test("records, rows and events are hashed as AuditTrail.md says")
    func format() throws {
        let record = AuditRecord(
            sequence: 7, time: 1_700_000_000_000, actor: "alice", caller: "gateway", incident: 3, verb: "noted", after: "x",
            table: "timeline", key: "3/7", digest: [UInt8](repeating: 0xAB, count: 32))
        #expect(
            record.hash(after: [UInt8](repeating: 0x11, count: 32)).hexadecimal
                == "97c8161b0aa9fa7a7df1c4fb3bd05c9e3a4233cd08f0f94c92da5fe59ea1823d")
        try DatabaseQueue().write { db in
            try db.execute(
                sql: """
                    CREATE TABLE t (z INTEGER, n TEXT, c BLOB, b TEXT, a INTEGER, e TEXT, f BLOB) STRICT;
                    INSERT INTO t VALUES (0, NULL, x'00FF', 'ü', -5, '', x'')
                    """)
            var digest = try RowDigest("t", in: db)
            let statement = try db.makeStatement(sql: "SELECT \(digest.columns.joined(separator: ", ")) FROM t")
            let rows = try Row.fetchCursor(statement)
            #expect(try rows.next() != nil)
            let row = digest.digest { StoredValue(statement.sqliteStatement, column: $0) }
            #expect(
                row.hexadecimal == "2b3440ee29440effda85da3b54ec1abe2d5172464370235394e8426ce8af2348")
            var events = EventBatchDigest()
            events.add(row)
            events.add(row)
            #expect(
                events.digest.hexadecimal
                    == "9caaf466aa32724313c3d3e933b2b620ac00094c0f03a701f9ccbd2dc6bb9f2b")
        }
    }
}
