import Crypto
import GRDB
import GRDBSQLite

/// What is hashed and signed, as bytes that can be read in one way only: integers are 8 bytes, big-endian; texts and blobs are
/// led by their length in 4 bytes, big-endian. AuditTrail.md has the format.
struct CanonicalBytes {
    private(set) var bytes: [UInt8] = []

    /// Begins with the name of what follows, so that no two kinds of thing can have the same bytes.
    init(_ domain: String) { add(domain) }

    mutating func add(_ integer: Int64) {
        withUnsafeBytes(of: integer.bigEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
    }

    mutating func add(_ blob: [UInt8]) { blob.withUnsafeBytes { add($0) } }

    mutating func add(_ blob: UnsafeRawBufferPointer) {
        withUnsafeBytes(of: UInt32(clamping: blob.count).bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: blob)
    }

    /// A value whose type is not known: the type first.
    mutating func add(_ value: StoredValue) {
        bytes.append(value.type)
        add(field: value)
    }

    /// A value whose type is known.
    mutating func add(field value: StoredValue) {
        switch value {
        case .null: break
        case .integer(let integer): add(integer)
        case .real(let real): add(Int64(bitPattern: real.bitPattern))
        case .text(let text): add(text)
        case .blob(let blob): add(blob)
        }
    }

    /// Back to the first `count` bytes.
    mutating func cut(to count: Int) { bytes.removeLast(bytes.count - count) }

    /// SHA-256, 32 bytes.
    var digest: [UInt8] {
        var hash = SHA256()
        bytes.withUnsafeBytes { hash.update(bufferPointer: $0) }
        return hash.finalize().bytes
    }
}

/// A value of a row, byte for byte as SQLite has it: text that is no UTF-8, or has a zero in it, is not mended. What it points
/// to is SQLite's, until the statement goes on.
enum StoredValue {
    case null
    case integer(Int64)
    case real(Double)
    case text(UnsafeRawBufferPointer)
    case blob(UnsafeRawBufferPointer)

    /// SQLite's number of the type: 1 integer, 2 real, 3 text, 4 blob, 5 null.
    var type: UInt8 {
        switch self {
        case .integer: UInt8(SQLITE_INTEGER)
        case .real: UInt8(SQLITE_FLOAT)
        case .text: UInt8(SQLITE_TEXT)
        case .blob: UInt8(SQLITE_BLOB)
        case .null: UInt8(SQLITE_NULL)
        }
    }

    /// An argument of a function.
    init(_ value: OpaquePointer?) {
        func bytes(_ start: UnsafeRawPointer?) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(start: start, count: Int(sqlite3_value_bytes(value)))
        }
        switch sqlite3_value_type(value) {
        case SQLITE_INTEGER: self = .integer(sqlite3_value_int64(value))
        case SQLITE_FLOAT: self = .real(sqlite3_value_double(value))
        case SQLITE_TEXT: self = .text(bytes(sqlite3_value_text(value)))
        case SQLITE_BLOB: self = .blob(bytes(sqlite3_value_blob(value)))
        default: self = .null
        }
    }

    /// A column of the row that `statement` is at.
    init(_ statement: OpaquePointer, column: Int) {
        let column = Int32(column)
        func bytes(_ start: UnsafeRawPointer?) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, column)))
        }
        switch sqlite3_column_type(statement, column) {
        case SQLITE_INTEGER: self = .integer(sqlite3_column_int64(statement, column))
        case SQLITE_FLOAT: self = .real(sqlite3_column_double(statement, column))
        case SQLITE_TEXT: self = .text(bytes(sqlite3_column_text(statement, column)))
        case SQLITE_BLOB: self = .blob(bytes(sqlite3_column_blob(statement, column)))
        default: self = .null
        }
    }

    /// The text, nil if it is none; what is no UTF-8 is mended.
    var string: String? {
        guard case .text(let bytes) = self else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    var int64: Int64? { if case .integer(let integer) = self { integer } else { nil } }

    /// The blob, nil if it is none.
    var array: [UInt8]? { if case .blob(let bytes) = self { Array(bytes) } else { nil } }
}

/// How the rows of one table are made into digests.
struct RowDigest {
    /// In the order of the names' bytes: the order in which values are given.
    let columns: [String]
    private let types: [UInt8]
    private let names: [CanonicalBytes]
    private var encoding: CanonicalBytes
    private let prefix: Int

    /// Throws `DatabaseError` if there is no such table.
    init(_ table: String, in db: Database) throws {
        let found = try db.columns(in: table).sorted { Array($0.name.utf8).lexicographicallyPrecedes(Array($1.name.utf8)) }
        columns = found.map(\.name)
        types = found.map {
            switch $0.type {
            case "INTEGER": UInt8(SQLITE_INTEGER)
            case "TEXT": UInt8(SQLITE_TEXT)
            default: UInt8(SQLITE_BLOB)
            }
        }
        names = columns.map { CanonicalBytes($0) }
        encoding = CanonicalBytes("tocsin.audit.row.1")
        encoding.add(table)
        prefix = encoding.bytes.count
    }

    /// Of the row whose values `value` gives, by place in `columns`.
    ///
    /// What has the empty value of its column's type (0, no text, no bytes) is left out, so that a column that a later version
    /// adds changes no digest.
    mutating func digest(_ value: (Int) -> StoredValue) -> [UInt8] {
        encoding.cut(to: prefix)
        for index in columns.indices {
            let value = value(index)
            if value.type == types[index], value.isEmpty { continue }
            encoding.add(name: names[index])
            encoding.add(value)
        }
        return encoding.digest
    }
}

extension SHA256Digest {
    var bytes: [UInt8] { withUnsafeBytes { Array($0) } }
}

extension CanonicalBytes {
    fileprivate mutating func add(name: CanonicalBytes) { bytes.append(contentsOf: name.bytes) }
}

extension StoredValue {
    fileprivate var isEmpty: Bool {
        switch self {
        case .null, .real: false
        case .integer(let integer): integer == 0
        case .text(let bytes), .blob(let bytes): bytes.isEmpty
        }
    }
}
