import Glibc
import TocsinPosix

/// Runs a command in the place of this process: with its terminal, its input and its output, and in its process group.
public enum ForegroundCommand {
    /// Runs `argv` (the program is looked up in PATH), and waits for its end. Returns its exit code, or 128 and the signal that ended
    /// it, as shells do.
    ///
    /// - Throws: `SubprocessError` if it cannot be started.
    public static func run(_ argv: [String]) async throws -> Int32 {
        guard let program = argv.first, !program.isEmpty, !argv.contains(where: { $0.utf8.contains(0) }) else {
            throw SubprocessError(description: "the command is empty, or has a NUL byte in it")
        }
        return try await BlockingPool(threads: 1).run { _ in
            let attributes = SpawnAttributes()
            posix_spawnattr_setflags(attributes.pointer, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
            let arguments = CStrings(argv)
            var pid: pid_t = 0
            let code = posix_spawnp(&pid, program, nil, attributes.pointer, arguments.pointers, environ)
            guard code == 0 else { throw SubprocessError(description: "cannot start \"\(program)\": \(errorText(code))") }
            var status: Int32 = 0
            while waitpid(pid, &status, 0) < 0 {
                guard errno == EINTR else {
                    throw SubprocessError(description: "cannot wait for \"\(program)\": \(errorText(errno))")
                }
            }
            let signal = status & 0x7F
            return signal == 0 ? (status >> 8) & 0xFF : 128 + signal
        }
    }
}
