import Glibc
import Synchronization
import TocsinPosix

/// The real disk: one folder, locked, so that one process at a time has it. Thread-safe.
public final class PosixDisk: Disk {
    public static var readsAhead: Bool { true }
    public let directory: String
    private let lock: Int32
    /// Open files by name; closed when removed or renamed, and at the end.
    private let open = Mutex<[String: Int32]>([:])

    /// Creates the folder where needed and takes its lock.
    ///
    /// - Throws: `DiskError`, also if another process has it.
    public init(directory: String) throws(DiskError) {
        self.directory = directory
        if let missing = Folder.make(directory) { throw Self.error("create the folder", missing) }
        let path = directory + "/lock"
        lock = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw Self.error("open", path) }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            // `deinit` closes it: it runs also for an object whose `init` throws once everything is set.
            let code = errno
            guard code == EWOULDBLOCK else { throw Self.error("lock", path, code) }
            throw DiskError(
                .other(errno: code),
                "the folder \(directory) is in use by another hub; stop that one, or give this one a folder of its own")
        }
    }

    deinit {
        open.withLock { for descriptor in $0.values { close(descriptor) } }
        // By closing alone it would stay locked as long as a child process that was just begun has not closed its copy.
        flock(lock, LOCK_UN)
        close(lock)
    }

    private static func error(_ verb: String, _ path: String, _ code: Int32 = errno) -> DiskError {
        let kind: DiskError.Code = code == ENOSPC || code == EDQUOT ? .full : .other(errno: code)
        return DiskError(kind, "cannot \(verb) \(path): \(String(cString: strerror(code)))")
    }

    private func path(_ name: String) -> String { "\(directory)/\(name)" }

    private func descriptor(_ name: String) throws(DiskError) -> Int32 {
        let result: Int32 = open.withLock { open in
            if let known = open[name] { return known }
            let descriptor = Glibc.open(path(name), O_RDWR | O_CLOEXEC)
            if descriptor >= 0 { open[name] = descriptor }
            return descriptor
        }
        guard result >= 0 else { throw Self.error("open", path(name)) }
        return result
    }

    private func forget(_ name: String) {
        open.withLock { if let descriptor = $0.removeValue(forKey: name) { close(descriptor) } }
    }

    /// Bytes of the whole file system that the folder is on.
    public func capacity() throws(DiskError) -> Int {
        var info = statvfs()
        guard statvfs(directory, &info) == 0 else { throw Self.error("look at the file system of", directory) }
        return Int(clamping: UInt64(info.f_blocks).multipliedReportingOverflow(by: UInt64(info.f_frsize)).partialValue)
    }

    public func list() throws(DiskError) -> [String] {
        guard let names = Folder.names(directory) else { throw Self.error("read the folder", directory) }
        return names.filter { $0 != "." && $0 != ".." && $0 != "lock" }
    }

    public func size(_ name: String) throws(DiskError) -> Int {
        var status = stat()
        guard fstat(try descriptor(name), &status) == 0 else { throw Self.error("look at", path(name)) }
        return Int(status.st_size)
    }

    public func create(_ name: String, size: Int) throws(DiskError) {
        forget(name)
        let path = path(name)
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.error("create", path) }
        defer { close(descriptor) }
        // Written zeros, not only reserved space: a sync of later data then has no extents to convert. In small pieces, because
        // the kernel keeps what is written at once as one folio, and a later write or sync of some bytes looks at every block
        // of theirs. Synced now and then, so that syncs of other files never queue behind much of it.
        let (piece, syncedAtOnce) = (16 << 10, 4 << 20)
        let zeros = UnsafeMutableRawBufferPointer.allocate(byteCount: piece, alignment: 4096)
        defer { zeros.deallocate() }
        zeros.initializeMemory(as: UInt8.self, repeating: 0)
        var offset = 0
        while offset < size {
            let count = pwrite(descriptor, zeros.baseAddress, min(piece, size - offset), off_t(offset))
            if count < 0 {
                if errno == EINTR { continue }
                let failure = Self.error("write", path)
                unlink(path)
                throw failure
            }
            offset += count
            if offset % syncedAtOnce == 0, fdatasync(descriptor) != 0 {
                let failure = Self.error("sync", path)
                unlink(path)
                throw failure
            }
        }
        guard fsync(descriptor) == 0 else { throw Self.error("sync", path) }
    }

    public func write(_ name: String, at offset: Int, _ parts: [UnsafeRawBufferPointer]) throws(DiskError) {
        let descriptor = try descriptor(name)
        var vectors = parts.map { iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count) }
        var position = offset
        var first = 0
        // Each round writes at least one byte or throws.
        while first < vectors.count {
            let count = vectors.withUnsafeBufferPointer { vectors in
                pwritev(
                    descriptor, vectors.baseAddress.map { $0 + first }, Int32(min(vectors.count - first, 1024)), off_t(position))
            }
            if count < 0 {
                if errno == EINTR { continue }
                throw Self.error("write", path(name))
            }
            position += count
            var left = count
            while first < vectors.count, left >= vectors[first].iov_len {
                left -= vectors[first].iov_len
                first += 1
            }
            if left > 0 {
                vectors[first].iov_base += left
                vectors[first].iov_len -= left
            }
        }
    }

    public func sync(_ name: String) throws(DiskError) {
        guard fdatasync(try descriptor(name)) == 0 else { throw Self.error("sync", path(name)) }
    }

    public func read(
        _ name: String, at offset: Int, into target: UnsafeMutableRawBufferPointer
    ) throws(DiskError) -> Int {
        let descriptor = try descriptor(name)
        var done = 0
        while done < target.count {
            let count = pread(descriptor, target.baseAddress.map { $0 + done }, target.count - done, off_t(offset + done))
            if count < 0 {
                if errno == EINTR { continue }
                throw Self.error("read", path(name))
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    public func rename(_ name: String, to target: String) throws(DiskError) {
        forget(name)
        forget(target)
        guard Glibc.rename(path(name), path(target)) == 0 else { throw Self.error("rename", path(name)) }
    }

    public func remove(_ name: String) throws(DiskError) {
        forget(name)
        guard unlink(path(name)) == 0 || errno == ENOENT else { throw Self.error("remove", path(name)) }
    }

    public func syncFolder() throws(DiskError) {
        let descriptor = Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.error("open the folder", directory) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw Self.error("sync the folder", directory) }
    }
}
