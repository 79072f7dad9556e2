import Glibc
import TocsinPosix

/// The spool's folder. Every failure becomes `ClientError.spoolFailed` with the path and the reason.
struct SpoolDirectory {
    let path: String

    /// Makes the folder, and those above it, if absent. Only its owner may read it.
    init(_ path: String) throws(ClientError) {
        self.path = path
        if let missing = Folder.make(path) { throw .spool("make the folder", missing) }
        try sync()
    }

    func open(_ name: String, create: Bool) throws(ClientError) -> SpoolFile {
        try SpoolFile(path + "/" + name, create: create)
    }

    func names() throws(ClientError) -> [String] {
        guard let names = Folder.names(path) else { throw failure("read the folder") }
        return names
    }

    /// 0 if there is no such file.
    func size(of name: String) throws(ClientError) -> Int {
        var status = stat()
        guard stat(path + "/" + name, &status) == 0 else {
            if errno == ENOENT { return 0 }
            throw failure("look at \(name) in")
        }
        return Int(status.st_size)
    }

    func remove(_ name: String) throws(ClientError) {
        guard unlink(path + "/" + name) == 0 || errno == ENOENT else { throw failure("remove \(name) from") }
    }

    func rename(_ name: String, to other: String) throws(ClientError) {
        guard Glibc.rename(path + "/" + name, path + "/" + other) == 0 else { throw failure("rename \(name) in") }
    }

    /// Makes names that were added or removed durable.
    func sync() throws(ClientError) {
        let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("open the folder") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure("sync the folder") }
    }

    private func failure(_ doing: String) -> ClientError {
        .spool(doing, path)
    }
}

/// An open file of the spool, closed with the last reference.
final class SpoolFile {
    let path: String
    private let descriptor: Int32

    init(_ path: String, create: Bool) throws(ClientError) {
        self.path = path
        descriptor = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0o600)
        guard descriptor >= 0 else { throw .spool("open", path) }
    }

    deinit { close(descriptor) }

    /// Takes the file for this process until it is closed; false if another has it.
    func lock() throws(ClientError) -> Bool {
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            if errno == EWOULDBLOCK { return false }
            if errno != EINTR { throw failure("lock") }
        }
        return true
    }

    func unlock() { flock(descriptor, LOCK_UN) }

    func size() throws(ClientError) -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure("look at") }
        return Int(status.st_size)
    }

    /// Fewer bytes than asked for at the end of the file.
    func read(_ count: Int, at offset: Int) throws(ClientError) -> [UInt8] {
        var failed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, read in
            while read < count {
                let more = pread(descriptor, buffer.baseAddress.map { $0 + read }, count - read, off_t(offset + read))
                if more < 0 && errno == EINTR { continue }
                failed = more < 0
                if more <= 0 { return }
                read += more
            }
        }
        if failed { throw failure("read") }
        return bytes
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(ClientError) {
        var written = 0
        while written < bytes.count {
            let more = bytes.withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress.map { $0 + written }, bytes.count - written, off_t(offset + written))
            }
            if more < 0 && errno == EINTR { continue }
            guard more > 0 else { throw failure("write") }
            written += more
        }
    }

    func truncate(to size: Int) throws(ClientError) {
        while ftruncate(descriptor, off_t(size)) != 0 {
            if errno != EINTR { throw failure("cut") }
        }
    }

    func sync() throws(ClientError) {
        guard fdatasync(descriptor) == 0 else { throw failure("sync") }
    }

    private func failure(_ doing: String) -> ClientError {
        .spool(doing, path)
    }
}

extension ClientError {
    /// What failed, as `errno` says, where, and what may help.
    fileprivate static func spool(_ doing: String, _ path: String) -> ClientError {
        let code = errno
        let advice =
            switch code {
            case ENOSPC, EDQUOT: "make room on this disk"
            case EACCES, EPERM, EROFS: "let this process write there, or name another spool folder"
            case EMFILE, ENFILE: "raise the limit of open files"
            default: "see whether the disk is in order"
            }
        return .spoolFailed("cannot \(doing) \(path): \(String(cString: strerror(code))); \(advice)")
    }
}
