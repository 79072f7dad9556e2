import Foundation
import Testing

/// A new folder, gone with its last reference. Its path is short, as that of a socket has at most 107 bytes.
public final class TemporaryFolder: Sendable {
    public let path: String

    /// - Throws: if none can be made.
    public init() throws {
        var template = Array("/tmp/tocsin-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw CocoaError(.fileWriteUnknown) }
        path = String(cString: made)
    }

    deinit {
        // A test may have taken its rights away.
        chmod(path, 0o700)
        do { try FileManager.default.removeItem(atPath: path) } catch { Issue.record(error) }
    }
}
