import Glibc
import Synchronization
import TocsinPosix
import TocsinSystem

/// The right to write an archive: an exclusive `flock` on `<database>.lock`. It ends with the process, however that ends.
/// Thread-safe.
final class ArchiveLock: Sendable {
    let path: String
    /// -1 once it is released.
    private let descriptor: Atomic<Int32>

    private init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = Atomic(descriptor)
    }

    deinit { release() }

    /// Lets another process take it. Safe to call twice.
    func release() {
        let open = descriptor.exchange(-1, ordering: .acquiringAndReleasing)
        guard open >= 0 else { return }
        // By closing alone it would stay locked as long as a child process that was just begun has not closed its copy.
        flock(open, LOCK_UN)
        close(open)
    }

    /// Takes the lock of the database at `databasePath`, or returns nil if another process has it. Creates the folder and the
    /// lock file if absent. Blocking.
    ///
    /// - Throws: `ArchiveError.inaccessible`.
    static func take(databasePath: String, holder: String) throws(ArchiveError) -> ArchiveLock? {
        try makeFolder(of: databasePath)
        let path = databasePath + ".lock"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw inaccessible("the lock file \(path)", errno) }
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            if code == EINTR { continue }
            close(descriptor)
            if code == EWOULDBLOCK { return nil }
            throw inaccessible("the lock file \(path)", code)
        }
        // For people who ask who holds it; nothing depends on it.
        let text = Array("\(holder), process \(getpid())\n".utf8)
        if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, text, text.count, 0) }
        return ArchiveLock(path: path, descriptor: descriptor)
    }

    /// Who holds the lock, in its own words; empty if that cannot be read. Blocking.
    static func holder(databasePath: String) -> String {
        let descriptor = open(databasePath + ".lock", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return "" }
        return String(decoding: bytes[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }

    private static func makeFolder(of databasePath: String) throws(ArchiveError) {
        guard let slash = databasePath.lastIndex(of: "/") else { return }
        if let missing = Folder.make(String(databasePath[..<slash])) { throw inaccessible("the folder \(missing)", errno) }
    }

    private static func inaccessible(_ what: String, _ code: Int32) -> ArchiveError {
        ArchiveError(
            .inaccessible, "cannot create or open \(what) of the archive: \(errorText(code)); check its path and owner")
    }
}
