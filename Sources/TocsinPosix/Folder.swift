import Glibc

/// Folders: what is in one, and that it is there. Thread-safe.
package enum Folder {
    /// Makes the folder, and those above it, where they are not there; its own user alone may use what is made, unless `mode`
    /// says more. Nil if it is there, else the one that cannot be made, with the reason in `errno`.
    package static func make(_ path: String, mode: mode_t = 0o700) -> String? {
        var made = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            made += (made.isEmpty || made == "/" ? "" : "/") + part
            if mkdir(made, mode) == 0 || errno == EEXIST { continue }
            // A file system that cannot be written may say that of what is there, too.
            let code = errno
            if code == EROFS, access(made, F_OK) == 0 { continue }
            errno = code
            return made
        }
        return nil
    }

    /// Names of all that is in it, `.` and `..` too, in no order; nil if it cannot be read, with the reason in `errno`.
    package static func names(_ path: String) -> [String]? {
        guard let stream = opendir(path) else { return nil }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            // In place: a copy would read 256 bytes, and the entry may be the last of its page.
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                })
        }
        return names
    }
}
