import CLinux
import Glibc

/// The files, sockets and connections this process may have open. Thread-safe.
package enum Descriptors {
    /// Raises the process's own limit to what it may raise it to.
    ///
    /// - Returns: the limit from now on.
    package static func raiseLimit() -> Int {
        var limit = rlimit()
        guard tocsin_getrlimit_nofile(&limit) == 0 else { return 1024 }
        let before = limit.rlim_cur
        limit.rlim_cur = limit.rlim_max
        if tocsin_setrlimit_nofile(&limit) != 0 { limit.rlim_cur = before }
        return Int(clamping: limit.rlim_cur)
    }

    /// Descriptors among which every one is that is open when this is called, but for those of standard input and output. `about`:
    /// how many are expected.
    ///
    /// To ask the system of each that may be open costs less than to list those that are, until there once were many more.
    package static func candidates(about count: Int) -> [Int32] {
        let end = end()
        // Nil also where no descriptor is left to list them with.
        if Int(end) > 4 * (count + 64), let names = Folder.names("/proc/self/fd") {
            return names.compactMap { Int32($0) }.filter { $0 > 2 }
        }
        return Array(3..<end)
    }

    /// Every open descriptor is less than this; at least 64. It grows with what is opened and never shrinks.
    private static func end() -> Int32 {
        guard let file = fopen("/proc/self/status", "re") else { return 1 << 16 }
        defer { fclose(file) }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { line in
            while fgets(line.baseAddress, Int32(line.count), file) != nil {
                guard let base = line.baseAddress, strncmp(base, "FDSize:", 7) == 0 else { continue }
                return Int32(clamping: strtol(base + 7, nil, 10))
            }
            return 1 << 16
        }
    }
}
