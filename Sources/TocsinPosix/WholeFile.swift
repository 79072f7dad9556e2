import Glibc

/// Why a file could not be read or replaced: one sentence with the path and the system's reason.
package struct FileError: Error, Sendable, CustomStringConvertible {
    package var description: String
    /// The system's error number; 0 if it was not the system that refused.
    package var code: Int32

    package init(_ description: String, code: Int32 = 0) {
        self.description = description
        self.code = code
    }
}

/// Small files that are read and replaced as a whole. Blocking: use a `BlockingPool` or a thread of your own.
package enum WholeFile {
    /// The content of the file at `path`, nil if there is none.
    ///
    /// - Throws: `FileError`, also if the file has more than `limit` bytes.
    package static func read(_ path: String, limit: Int) throws(FileError) -> [UInt8]? {
        let descriptor = openRetrying(path, O_RDONLY | O_CLOEXEC)
        if descriptor < 0 {
            let code = errno
            if code == ENOENT { return nil }
            throw FileError("\(path) cannot be opened: \(errorText(code))", code: code)
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count == 0 { return bytes }
            if count < 0 {
                let code = errno
                if code == EINTR { continue }
                throw FileError("\(path) cannot be read: \(errorText(code))", code: code)
            }
            bytes.append(contentsOf: buffer.prefix(count))
            guard bytes.count <= limit else { throw FileError("\(path) is larger than \(limit) bytes") }
        }
    }

    /// Puts `bytes` in the place of the file at `path`, readable by its owner only: after a crash of the machine it holds the
    /// old content or the new. Durable when this returns. Writes `<path>.new` on the way, so one caller at a time for a path.
    ///
    /// - Throws: `FileError`; then the old content is still there, or the new if only the folder could not be synced.
    package static func replace(_ path: String, with bytes: [UInt8]) throws(FileError) {
        let temporary = path + ".new"
        let descriptor = openRetrying(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(temporary, "created") }
        do throws(FileError) {
            try write(bytes, to: descriptor, temporary)
            // Before the rename, or a power failure could leave an empty file under the final name.
            guard fdatasync(descriptor) == 0 else { throw failure(temporary, "synced") }
        } catch {
            close(descriptor)
            unlink(temporary)
            throw error
        }
        close(descriptor)
        guard rename(temporary, path) == 0 else {
            let error = failure(path, "replaced")
            unlink(temporary)
            throw error
        }
        try syncFolder(of: path)
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32, _ path: String) throws(FileError) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress.map { $0 + written }, $0.count - written)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw failure(path, "written") }
            written += count
        }
    }

    /// A rename lasts when its folder is synced.
    private static func syncFolder(of path: String) throws(FileError) {
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let descriptor = openRetrying(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(folder, "opened") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure(folder, "synced") }
    }

    private static func openRetrying(_ path: String, _ flags: Int32) -> Int32 {
        while true {
            let descriptor = open(path, flags, 0o600)
            if descriptor >= 0 || errno != EINTR { return descriptor }
        }
    }

    /// Reads `errno`, so nothing may come between the failed call and this.
    private static func failure(_ path: String, _ verb: String) -> FileError {
        let code = errno
        return FileError("\(path) cannot be \(verb): \(errorText(code))", code: code)
    }
}

/// The system's words for an errno value.
package func errorText(_ code: Int32) -> String {
    String(cString: strerror(code))
}
