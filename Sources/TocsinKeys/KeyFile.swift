import Glibc
import TocsinPosix
import TocsinWire

/// What is wrong with a key, or with a file of one: a sentence with the path and what to do. No secret is in it.
public struct KeyError: Error, Sendable, Equatable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}

/// The text of a key file: one `name: value` a line, `#` for remarks; a value may be in single quotes. A subset of YAML that
/// takes no library to read, so that programs in any language can.
struct KeyText {
    private(set) var values: [String: String] = [:]
    /// For problems.
    let path: String
    static let bytesMax = 64 << 10

    /// - Throws: `KeyError` with path and line.
    init(_ text: String, path: String, known: Set<String>) throws(KeyError) {
        self.path = path
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = Self.trimmed(line.hasSuffix("\r") ? line.dropLast() : line)
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard let colon = line.firstIndex(of: ":") else {
                throw KeyError("\(path):\(index + 1): not a line of the form \"name: value\"")
            }
            let name = String(Self.trimmed(line[..<colon]))
            var value = Self.trimmed(line[line.index(after: colon)...])
            if value.hasPrefix("'"), value.hasSuffix("'"), value.count >= 2 { value = value.dropFirst().dropLast() }
            guard known.contains(name) else {
                let names = known.sorted().joined(separator: ", ")
                throw KeyError("\(path):\(index + 1): \"\(name.prefix(40))\" is none of \(names)")
            }
            guard values.updateValue(String(value), forKey: name) == nil else {
                throw KeyError("\(path):\(index + 1): \"\(name)\" is there twice")
            }
        }
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }

    func require(_ name: String) throws(KeyError) -> String {
        guard let value = values[name], !value.isEmpty else { throw KeyError("\(path): \"\(name)\" is missing") }
        return value
    }

    func words(_ name: String) -> [String]? {
        values[name].map { $0.split(whereSeparator: { $0 == " " || $0 == "," }).map(String.init) }
    }
}

/// Files that hold a secret, and those that say who is let in.
package enum GuardedFile {
    /// - Throws: `KeyError` if it cannot be read, is too large, or others may do with it what they must not.
    static func read(_ path: String, _ kind: FileMode.Guard) throws(KeyError) -> String {
        try check(path, kind)
        let bytes: [UInt8]?
        do { bytes = try WholeFile.read(path, limit: KeyText.bytesMax) } catch { throw KeyError("\(error)") }
        guard let bytes else { throw KeyError("there is no key file \(path)") }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw KeyError("\(path) is not UTF-8 text") }
        return text
    }

    /// Of a file or folder.
    package static func check(_ path: String, _ kind: FileMode.Guard) throws(KeyError) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            let code = errno
            throw KeyError(code == ENOENT ? "there is no \(path)" : "\(path) cannot be read: \(errorText(code))")
        }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw KeyError("\(path) belongs to another user (\(status.st_uid)); make it your own with chown")
        }
        if let problem = FileMode.problem(path, status.st_mode, kind) { throw KeyError(problem) }
    }

    /// Durable when it returns; readable by the owner alone.
    static func write(_ path: String, _ text: String) throws(KeyError) {
        do { try WholeFile.replace(path, with: Array(text.utf8)) } catch { throw KeyError("\(error)") }
    }

    /// With mode 0700, and the folders above it.
    static func makeFolder(_ path: String) throws(KeyError) {
        if let missing = Folder.make(path) { throw KeyError("the folder \(missing) cannot be made: \(errorText(errno))") }
    }
}
