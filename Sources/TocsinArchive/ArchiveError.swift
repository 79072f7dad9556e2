import GRDB
import TocsinProto

/// Why the archive cannot be opened, read or written: one sentence with what, where and what to do.
public struct ArchiveError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: Sendable, Equatable {
        /// Another archiver, or another program, holds it.
        case locked
        /// The files cannot be opened, read or written: permissions, a missing folder.
        case inaccessible
        /// The file is damaged.
        case corrupt
        /// It is no archive of Tocsin, or one of a newer version.
        case foreign
        /// The disk is full or fails. Worth trying again.
        case storage
        /// This store has been closed.
        case closed
        /// None of these: a fault of the program.
        case other
    }

    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Time or a person may put it right without a restart.
    var isTransient: Bool {
        switch code {
        case .locked, .storage, .inaccessible: true
        case .corrupt, .foreign, .closed, .other: false
        }
    }

    public var description: String { message }

    /// What an error of SQLite means for the archive at `path`.
    init(_ error: DatabaseError, path: String) {
        let detail = error.message ?? "\(error.resultCode)"
        switch error.resultCode {
        case .SQLITE_BUSY, .SQLITE_LOCKED:
            self.init(
                .locked, "another program keeps the archive \(path) locked; close it (perhaps a database browser)")
        case .SQLITE_NOTADB:
            self.init(
                .foreign,
                "\(path) is not an archive of Tocsin (\(detail)); give another path, or move the file away to begin a new one"
            )
        case .SQLITE_CORRUPT:
            self.init(
                .corrupt,
                "the archive \(path) is damaged (\(detail)); restore it from a copy, or save what `sqlite3 \(path) .recover` finds"
            )
        case .SQLITE_FULL:
            self.init(
                .storage, "the disk of the archive \(path) is full; make room, it then goes on by itself")
        case .SQLITE_IOERR, .SQLITE_NOMEM:
            self.init(
                .storage, "the archive \(path) cannot be written (\(detail)); look at its disk and the system's log")
        case .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_READONLY, .SQLITE_AUTH:
            self.init(
                .inaccessible,
                "the archive \(path) cannot be opened for writing (\(detail)); check that its folder exists and belongs to this user"
            )
        default: self.init(.other, "the archive \(path) failed: \(error)")
        }
    }
}
