import FoundationEssentials
import TocsinPosix
import TocsinSystem

/// Why a state file was not read or written, or a followed log not read.
struct StateFileError: Error, CustomStringConvertible {
    var description: String
}

/// A small JSON file that is replaced as a whole: after a crash it holds the old value or the new one. Blocking.
struct StateFile<Value: Codable & Sendable>: Sendable {
    let path: String
    /// A state file has a few kilobytes; a larger one is not ours.
    private static var bytesMax: Int { 1 << 20 }

    /// Nil if there is none.
    func load() throws(StateFileError) -> Value? {
        do {
            guard let bytes = try WholeFile.read(path, limit: Self.bytesMax) else { return nil }
            return try JSONDecoder().decode(Value.self, from: Data(bytes))
        } catch {
            throw StateFileError(description: "the state in \(path) cannot be used, it is begun anew: \(error)")
        }
    }

    /// Durable when it returns.
    func save(_ value: Value) throws(StateFileError) {
        do {
            try WholeFile.replace(path, with: Array(JSONEncoder().encode(value)))
        } catch {
            throw StateFileError(description: "the state is not saved, what was seen may be reported twice: \(error)")
        }
    }
}
