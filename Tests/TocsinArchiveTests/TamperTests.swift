import Foundation
import GRDB
import TestSupport
import Testing
import TocsinProto

@testable import TocsinArchive

/// Goal: whatever somebody who has the file, and not the key, changes in it, `verify` notices. Method: a realistic archive, and
/// copies of it that are tampered with at random, with a printed seed. TOCSIN_TAMPERINGS says how many; tools/tamper asks for
/// 1,000.
@Suite("Tampering with the archive", .timeLimit(.minutes(30)))
struct TamperTests {
    @Test("every tampering is detected")
    func random() async throws {
        let count = ProcessInfo.processInfo.environment["TOCSIN_TAMPERINGS"].flatMap(Int.init) ?? 60
        var random = SplitMix64.seeded()
        let original = try await TamperedArchive(&random)
        let sound = try original.examine(original.path)
        #expect(sound.isSound && sound.records > 500, "\(sound.discrepancies)")
        var detected: [Tampering: Int] = [:]
        var (made, idle) = (0, 0)
        while made < count {
            // The kinds in turn, so that each has its share.
            let kind = Tampering.allCases[(made + idle) % Tampering.allCases.count]
            guard let what = try original.tamper(kind, &random) else {
                idle += 1
                try #require(idle < 20 * count, "too much has no effect")
                continue
            }
            made += 1
            if try original.isDetected() {
                detected[kind, default: 0] += 1
            } else {
                Issue.record("tampering \(made) was not detected: \(what)")
            }
        }
        let table = detected.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.key) \($0.value)" }
        print(
            "tamperings: \(made), detected: \(detected.values.reduce(0, +)) (\(table.joined(separator: ", "))); without effect, not "
                + "counted: \(idle)")
    }

    @Test("a row that was changed before Tocsin itself changed it again stays detected")
    func laundered() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        try archive.store.close()
        try TamperedArchive.change(archive.path) { try $0.execute(sql: "UPDATE incidents SET title = 'nothing'") }
        try archive.reopen()
        _ = try await archive.store.command(command("1", .note, "looked at it"), now: TestArchive.now)
        let found = try ArchiveVerifier.examine(archive.path).discrepancies
        #expect(found.map(\.kind) == [.changed] && found.map(\.table) == ["incidents"] && found.map(\.key) == ["1"])
    }

    @Test("what is wrong is named: the record, the table, the row")
    func named() async throws {
        let archive = try TestArchive()
        try await archive.apply([.alert(update("f", ["a"])), .alert(update("g", ["b"]))])
        try archive.store.close()
        let cases: [(sql: String, kind: ArchiveDiscrepancy.Kind, table: String, key: String)] = [
            ("UPDATE alerts SET summary = 'fine' WHERE fingerprint = 'f'", .changed, "alerts", "f"),
            ("DELETE FROM timeline WHERE incident = 2 AND sequence = 1", .dropped, "timeline", "2/1"),
            ("INSERT INTO reports VALUES ('x', 1)", .added, "reports", "x"),
            ("DELETE FROM events WHERE id = 'a'", .changed, "events", "1"),
            ("INSERT INTO events VALUES ('z', 1, 7, 0)", .added, "events", "7"),
            ("DELETE FROM audit WHERE sequence > 3", .truncated, "", ""),
            ("UPDATE audit SET actor = 'mallory' WHERE verb = 'detected'", .changed, "", ""),
            ("DELETE FROM audit_head", .head, "", ""),
            ("CREATE TRIGGER t AFTER INSERT ON timeline BEGIN DELETE FROM timeline; END", .schema, "", ""),
            ("DELETE FROM audit; DELETE FROM audit_head", .head, "", ""),
        ]
        for (sql, kind, table, key) in cases {
            let copy = archive.folder + "/copy.sqlite"
            try TamperedArchive.copy(archive.path, to: copy)
            try TamperedArchive.change(copy) { try $0.execute(sql: sql) }
            let found = try ArchiveVerifier.examine(copy).discrepancies
            #expect(found.contains { $0.kind == kind && $0.table == table && $0.key == key }, "\(sql): \(found)")
        }
        try archive.reopen()
    }

    @Test("a checkpoint that was kept elsewhere shows an older copy, another archive, and a trail written anew")
    func checkpoints() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        let early = try await archive.store.checkpoint(now: 1)
        try archive.store.close()
        let old = archive.folder + "/old.sqlite"
        try TamperedArchive.copy(archive.path, to: old)
        try archive.reopen()
        try await archive.apply(update("g", ["b"]))
        let late = try await archive.store.checkpoint(now: 2)
        func kinds(_ path: String, _ checkpoint: AuditCheckpoint) throws -> [ArchiveDiscrepancy.Kind] {
            try ArchiveVerifier.examine(path, checkpoints: [checkpoint]).discrepancies.map(\.kind)
        }
        #expect(try kinds(archive.path, early) == [] && kinds(archive.path, late) == [])
        #expect(try kinds(old, early) == [] && kinds(old, late) == [.truncated])
        var forged = early
        forged.hash[3] ^= 1
        #expect(try kinds(archive.path, forged) == [.checkpoint])
        let other = try TestArchive()
        #expect(try await kinds(archive.path, other.store.checkpoint(now: 3)) == [.checkpoint])
        let key = try AuditKey.read(other.path + ".audit-key")
        #expect(try ArchiveVerifier.examine(archive.path, publicKey: key?.publicKey).discrepancies.map(\.kind) == [.head, .head])
    }

    @Test("checkpoints are kept when there is something new: after so many records, or so long")
    func keeping() async throws {
        let archive = try TestArchive()
        func keep(_ records: Int64, _ now: UInt64) async throws -> Int64? {
            try await archive.store.keepCheckpoint(everyRecords: records, interval: 1000, now: now)?.sequence
        }
        #expect(try await keep(1, 5000) == nil)
        try await archive.apply(update("f", ["a"]))
        let first = try await keep(100, 5000)
        #expect(first != nil)
        #expect(try await keep(1, 90_000) == nil)
        try await archive.apply(update("f", ["b"]))
        #expect(try await keep(100, 5999) == nil)
        #expect(try await keep(1, 5999) ?? 0 > first ?? 0)
        #expect(try ArchiveVerifier.examine(archive.path).isSound)
    }

    @Test("the archive is not opened with the wrong key, without one, without its trail, or with a key that others may read")
    func opening() async throws {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        try archive.store.close()
        let (key, files) = (archive.path + ".audit-key", FileManager.default)
        func problem() throws -> String {
            do {
                try TestArchive.open(archive.path).close()
                return ""
            } catch let error as ArchiveError {
                return error.message
            }
        }
        #expect(chmod(key, 0o640) == 0)
        #expect(try problem().contains("chmod 600"))
        #expect(chmod(key, 0o600) == 0)
        try files.moveItem(atPath: key, toPath: key + ".new")
        // As if the archiver had died before it put the key in its place.
        #expect(try problem() == "")
        try files.moveItem(atPath: key, toPath: key + ".away")
        #expect(try problem().contains("is not there"))
        try Data("\(String(repeating: "0a", count: 32))\n".utf8).write(to: URL(fileURLWithPath: key))
        #expect(chmod(key, 0o600) == 0)
        #expect(try problem().contains("is not the key"))
        try files.removeItem(atPath: key)
        try files.moveItem(atPath: key + ".away", toPath: key)
        try TamperedArchive.change(archive.path) { try $0.execute(sql: "DELETE FROM audit WHERE sequence > 5") }
        #expect(try problem().contains("does not end as its signed head says"))
        try TamperedArchive.change(archive.path) { try $0.execute(sql: "DELETE FROM audit; DELETE FROM audit_head") }
        #expect(try problem().contains("has had an audit trail"))
        // On purpose: what is there is taken over.
        try files.removeItem(atPath: key)
        #expect(try problem() == "")
        try TamperedArchive.change(archive.path) { try $0.execute(sql: "UPDATE incidents SET drill = 1") }
        let found = try ArchiveVerifier.examine(archive.path).discrepancies
        #expect(found.map(\.table) == ["incidents"], "\(found)")
        try archive.reopen()
    }
}

/// What may be done to the file.
enum Tampering: String, CaseIterable {
    case update, delete, insert, swap, duplicate, truncate, rewrite, rollHead, rollAll, empty, schema, flipByte
}

/// An archive with a history, and copies of it to tamper with.
final class TamperedArchive {
    private let archive: TestArchive
    private let checkpoint: AuditCheckpoint
    private let key: [UInt8]
    private let clean: [String]
    var path: String { archive.path }
    private var copy: String { archive.folder + "/copy.sqlite" }
    private var old: String { archive.folder + "/old.sqlite" }

    private static let tables = AuditedTable.all.map(\.name) + ["events", "audit", "audit_head"]

    init(_ random: inout SplitMix64) async throws {
        archive = try TestArchive()
        var history = History(random)
        for step in 0..<300 {
            try await history.step(archive, number: step)
            if step == 150 {
                _ = try await archive.store.keepCheckpoint(everyRecords: 1, interval: 1, now: TestArchive.now)
                try archive.store.close()
                try Self.copy(archive.path, to: archive.folder + "/old.sqlite")
                try archive.reopen()
            }
            _ = random.next()
        }
        try await archive.apply([
            .report(report("r1", "started")), .report(report("r2", "checked")),
            .alert(update("s", ["s1", "s2"], disposition: .suppressed)),
        ])
        checkpoint = try await archive.store.checkpoint(now: TestArchive.now)
        key = try #require(try AuditKey.read(archive.path + ".audit-key")).publicKey
        try archive.store.close()
        clean = try Self.dump(archive.path)
    }

    deinit {
        do { try archive.reopen() } catch { print("cannot open \(path) again: \(error)") }
    }

    static func copy(_ path: String, to copy: String) throws {
        for file in [copy, copy + "-wal", copy + "-shm"] where FileManager.default.fileExists(atPath: file) {
            try FileManager.default.removeItem(atPath: file)
        }
        try FileManager.default.copyItem(atPath: path, toPath: copy)
    }

    /// As a program does that knows nothing of the trail.
    static func change(_ path: String, _ body: (Database) throws -> Void) throws {
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        try queue.write(body)
        try queue.close()
    }

    func examine(_ path: String) throws -> ArchiveExamination {
        try ArchiveVerifier.examine(path, publicKey: key, checkpoints: [checkpoint])
    }

    /// Of the copy. That SQLite, or the file's own mark, refuses it counts too.
    func isDetected() throws -> Bool {
        do { return try !examine(copy).isSound } catch is ArchiveError { return true }
    }

    /// Tampers with a new copy. Returns what was done, or nil if it is without effect: not possible here, or in bytes that mean
    /// nothing.
    func tamper(_ kind: Tampering, _ random: inout SplitMix64) throws -> String? {
        try Self.copy(kind == .rollAll ? old : path, to: copy)
        var what: String? = "\(kind)"
        switch kind {
        case .rollAll: break
        case .flipByte: what = try flip(&random)
        default:
            do {
                try Self.change(copy) { what = try self.change(kind, $0, &random) }
            } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
                return nil
            }
        }
        guard let what else { return nil }
        do {
            if kind != .schema, try Self.dump(copy) == clean { return nil }
        } catch is DatabaseError {
            // SQLite notices; so has the verifier to.
        }
        return what
    }

    // MARK: - What is done

    private func flip(_ random: inout SplitMix64) throws -> String {
        var bytes = try Data(contentsOf: URL(fileURLWithPath: copy))
        let count = 1 + random.below(8)
        let first = random.below(bytes.count - count)
        for index in first..<first + count { bytes[index] ^= UInt8(1 + random.below(255)) }
        try bytes.write(to: URL(fileURLWithPath: copy))
        return "\(count) bytes from \(first)"
    }

    private func change(_ kind: Tampering, _ db: Database, _ random: inout SplitMix64) throws -> String? {
        var table = Self.tables[random.below(Self.tables.count)]
        switch kind {
        case .update:
            guard let row = try pick(table, db, &random) else { return nil }
            let columns = try db.columns(in: table).map(\.name)
            let column = columns[random.below(columns.count)]
            let value = Self.other(than: row[column], &random)
            try set(table, [column: value], at: row, db)
            return "\(table).\(column) of \(row) is \(value)"
        case .delete:
            guard let row = try pick(table, db, &random) else { return nil }
            try remove(table, row, db)
            return "\(row) of \(table) is gone"
        case .insert, .duplicate:
            guard let row = try pick(table, db, &random) else { return nil }
            var values = Dictionary(row.map { ($0.0, $0.1) }) { $1 }
            for column in try db.primaryKey(table).columns { values[column] = Self.other(than: row[column], &random) }
            if kind == .insert {
                let columns = Array(values.keys.sorted())
                let column = columns[random.below(columns.count)]
                values[column] = Self.other(than: values[column] ?? .null, &random)
            }
            let names = values.keys.sorted()
            try db.execute(
                sql: "INSERT INTO \(table) (\(names.joined(separator: ", "))) "
                    + "VALUES (\(names.map { _ in "?" }.joined(separator: ", ")))",
                arguments: StatementArguments(names.map { values[$0] }))
            return "\(values) was added to \(table)"
        case .swap:
            guard let one = try pick(table, db, &random), let two = try pick(table, db, &random) else { return nil }
            let keys = Set(try db.primaryKey(table).columns)
            let columns = one.columnNames.filter { !keys.contains($0) }
            try set(table, Dictionary(columns.map { ($0, two[$0]) }) { $1 }, at: one, db)
            try set(table, Dictionary(columns.map { ($0, one[$0]) }) { $1 }, at: two, db)
            return "\(one) and \(two) of \(table) were swapped"
        case .truncate:
            let last = try Int64.fetchOne(db, sql: "SELECT max(sequence) FROM audit") ?? 0
            let end = Int64(random.below(Int(last)))
            try db.execute(sql: "DELETE FROM audit WHERE sequence > ?", arguments: [end])
            if random.chance(0.5) { try pointHead(db) }
            return "the trail ends with \(end)"
        case .rewrite:
            let last = try Int64.fetchOne(db, sql: "SELECT max(sequence) FROM audit") ?? 0
            let from = 1 + Int64(random.below(Int(last)))
            let column = ["actor", "verb", "before", "after", "caller"][random.below(5)]
            try db.execute(sql: "UPDATE audit SET \(column) = \(column) || 'x' WHERE sequence = ?", arguments: [from])
            try rehash(db, from: from)
            try pointHead(db)
            return "\(column) of record \(from), and all hashes after it"
        case .rollHead:
            try db.execute(sql: "ATTACH ? AS old", arguments: [old])
            try db.execute(sql: "DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM old.audit_head")
            if random.chance(0.5) {
                // Only what it tells of, but for the tables.
                try db.execute(sql: "DELETE FROM audit WHERE sequence > (SELECT sequence FROM audit_head)")
            }
            return "the head is an old one"
        case .empty:
            if random.chance(0.2) { table = "audit" }
            try db.execute(sql: "DELETE FROM \(table)")
            if table == "audit" { try db.execute(sql: "DELETE FROM audit_head") }
            return "\(table) is empty"
        case .schema:
            let changes = [
                "DROP INDEX incidents_by_urgency", "CREATE TABLE more (a)", "ALTER TABLE alerts ADD COLUMN more TEXT",
                "CREATE TRIGGER t AFTER INSERT ON timeline BEGIN DELETE FROM timeline; END", "DROP TABLE audit_checkpoints",
                "CREATE VIEW v AS SELECT 1", "DELETE FROM grdb_migrations", "ALTER TABLE events DROP COLUMN batch",
                "DROP TABLE audit",
            ]
            let sql = changes[random.below(changes.count)]
            try db.execute(sql: sql)
            return sql
        case .rollAll, .flipByte: return nil
        }
    }

    private func rehash(_ db: Database, from: Int64) throws {
        var hash =
            try Data.fetchOne(db, sql: "SELECT hash FROM audit WHERE sequence = ?", arguments: [from - 1]).map { Array($0) }
            ?? AuditRecord.noHash
        var hashes: [(Int64, [UInt8])] = []
        let statement = try db.makeStatement(
            sql: "SELECT \(AuditRecord.columns) FROM audit WHERE sequence >= ? ORDER BY sequence")
        let cursor = try Row.fetchCursor(statement, arguments: [from])
        while try cursor.next() != nil {
            guard let (record, _) = AuditRecord.read(statement.sqliteStatement) else { return }
            hash = record.hash(after: hash)
            hashes.append((record.sequence, hash))
        }
        for (sequence, hash) in hashes {
            try db.execute(sql: "UPDATE audit SET hash = ? WHERE sequence = ?", arguments: [Data(hash), sequence])
        }
    }

    /// To the last record there is; what cannot be forged is the signature.
    private func pointHead(_ db: Database) throws {
        try db.execute(
            sql: """
                UPDATE audit_head SET (sequence, hash) = (SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1)
                WHERE EXISTS (SELECT 1 FROM audit)
                """)
    }

    // MARK: - Rows

    private func pick(_ table: String, _ db: Database, _ random: inout SplitMix64) throws -> Row? {
        let count = try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table)") ?? 0
        if count == 0 { return nil }
        return try Row.fetchOne(db, sql: "SELECT * FROM \(table) LIMIT 1 OFFSET \(random.below(count))")
    }

    private func condition(_ table: String, _ row: Row, _ db: Database) throws -> (String, StatementArguments) {
        let keys = try db.primaryKey(table).columns
        return (keys.map { "\($0) = ?" }.joined(separator: " AND "), StatementArguments(keys.map { row[$0] as DatabaseValue }))
    }

    private func set(_ table: String, _ values: [String: DatabaseValue], at row: Row, _ db: Database) throws {
        let names = values.keys.sorted()
        let (condition, arguments) = try condition(table, row, db)
        try db.execute(
            sql: "UPDATE \(table) SET \(names.map { "\($0) = ?" }.joined(separator: ", ")) WHERE \(condition)",
            arguments: StatementArguments(names.map { values[$0] }) + arguments)
    }

    private func remove(_ table: String, _ row: Row, _ db: Database) throws {
        let (condition, arguments) = try condition(table, row, db)
        try db.execute(sql: "DELETE FROM \(table) WHERE \(condition)", arguments: arguments)
    }

    private static func other(than value: DatabaseValue, _ random: inout SplitMix64) -> DatabaseValue {
        switch value.storage {
        case .int64(let number):
            let others = [number &+ 1, number &- 1, number == 0 ? 7 : 0, Int64(bitPattern: random.next()) | 1 << 40]
            return others[random.below(4)].databaseValue
        case .string(let text):
            let others = [text + "x", text.isEmpty ? "y" : "", text + " ", String(text.dropLast()) + "\u{FFFD}"]
            return others[random.below(4)].databaseValue
        case .blob(var data):
            if data.isEmpty || random.chance(0.2) {
                data.append(UInt8(random.below(256)))
            } else if random.chance(0.2) {
                data.removeLast()
            } else {
                data[random.below(data.count)] ^= UInt8(1 + random.below(255))
            }
            return data.databaseValue
        case .double, .null: return 1.databaseValue
        }
    }

    /// Everything that the trail covers, and the trail, byte for byte.
    private static func dump(_ path: String) throws -> [String] {
        var configuration = Configuration()
        configuration.readonly = true
        return try DatabaseQueue(path: path, configuration: configuration).read { db in
            var lines = try String.fetchAll(
                db, sql: "SELECT type || name || coalesce(sql, '') FROM sqlite_master WHERE name != 'sqlite_sequence'")
            lines += try String.fetchAll(db, sql: "SELECT typeof(identifier) || hex(identifier) FROM grdb_migrations")
            for table in tables {
                let columns = try db.columns(in: table).map { "typeof(\($0.name)) || hex(\($0.name))" }
                lines += try String.fetchAll(
                    db, sql: "SELECT '\(table) ' || \(columns.joined(separator: " || ' ' || ")) FROM \(table) NOT INDEXED")
            }
            return lines.sorted()
        }
    }
}
