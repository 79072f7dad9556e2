import Glibc

/// What others than its owner may do with a file.
package enum FileMode {
    /// What a file is for.
    package enum Guard: Sendable {
        /// Nobody but its owner may use it.
        case secret
        /// Nobody but its owner may change it.
        case trusted
    }

    /// Nil if others may do no more than they may, else a sentence that says what to run.
    package static func problem(_ path: String, _ mode: mode_t, _ kind: Guard) -> String? {
        let (mask, verb): (mode_t, String) = kind == .secret ? (0o077, "used") : (0o022, "changed")
        let mode = mode & 0o777
        guard mode & mask != 0 else { return nil }
        let (octal, right) = (String(mode, radix: 8), String(mode & ~mask, radix: 8))
        return "\(path) can be \(verb) by others (mode 0\(octal)); run: chmod \(right) \(path)"
    }
}
