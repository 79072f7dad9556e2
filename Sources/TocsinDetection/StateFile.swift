import Foundation
import Glibc
import TocsinSystem

/// Why a state file was not read or written.
struct StateFileError: Error, CustomStringConvertible {
    var description: String
}

/// A small JSON file that is replaced as a whole: after a crash it holds the old value or the new one. Blocking.
struct StateFile<Value: Codable & Sendable>: Sendable {
    let path: String

    /// Nil if there is none.
    func load() throws(StateFileError) -> Value? {
        guard access(path, F_OK) == 0 else { return nil }
        do {
            return try JSONDecoder().decode(Value.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            throw StateFileError(description: "\(path) cannot be read: \(error); it is begun anew")
        }
    }

    func save(_ value: Value) throws(StateFileError) {
        let bytes: Data
        do {
            bytes = try JSONEncoder().encode(value)
        } catch {
            throw StateFileError(description: "\(path) cannot be encoded: \(error)")
        }
        let temporary = path + ".new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("created") }
        let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        // Synced before the rename, or a power failure could leave an empty file under the final name.
        guard written == bytes.count, fdatasync(descriptor) == 0 else {
            let error = failure("written")
            close(descriptor)
            throw error
        }
        close(descriptor)
        guard rename(temporary, path) == 0 else { throw failure("renamed") }
    }

    private func failure(_ verb: String) -> StateFileError {
        StateFileError(
            description: "\(path) cannot be \(verb): \(errorText(errno)); what was seen may be reported twice")
    }
}
