import Glibc

/// What is in a folder. Thread-safe.
package enum Folder {
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
