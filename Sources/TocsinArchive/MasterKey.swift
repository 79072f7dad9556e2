import Crypto
import FoundationEssentials
import Glibc
import TocsinPosix
import TocsinSystem

/// Where the key is that seals the keys of people in an archive. It is never in the database, on a command line or in a log.
public enum MasterKeySource: Sendable, Equatable {
    /// The file beside a database.
    public static func beside(_ database: String) -> String { "\(database).master-key" }

    /// A file of 32 bytes that nobody but its owner may read. Made when the archive is.
    case file(String)
    /// A program and its arguments, such as an agent of a key store: what it writes to standard output is the key, in Base64 or
    /// hexadecimal digits.
    case command([String])
}

/// The key that seals the keys of people.
struct MasterKey: Sendable {
    static let bytes = 32
    private static let commandTimeout = Duration.seconds(30)

    let key: SymmetricKey

    /// Gets the key; where it is to be in a file and neither the file nor `database` is there, a new one is made.
    ///
    /// - Throws: `ArchiveError` with what to do; no part of a key is in it. `CancellationError`.
    static func load(_ source: MasterKeySource, database: String, pool: BlockingPool) async throws -> MasterKey {
        switch source {
        case .file(let path): try await pool.run { _ in try file(path, database: database) }
        case .command(let argv): try await command(argv, pool)
        }
    }

    /// Blocking.
    static func file(_ path: String, database: String) throws(ArchiveError) -> MasterKey {
        func failure(_ text: String) -> ArchiveError { ArchiveError(.inaccessible, "the archive's master key: \(text)") }
        do {
            if let bytes = try WholeFile.read(path, limit: bytes + 1) {
                var status = stat()
                guard stat(path, &status) == 0 else { throw failure("\(path) cannot be read: \(errorText(errno))") }
                if let problem = FileMode.problem(path, status.st_mode, .secret) { throw failure(problem) }
                guard bytes.count == Self.bytes else {
                    throw failure("\(path) has not \(Self.bytes) bytes and is no master key; restore it from a copy")
                }
                return MasterKey(key: SymmetricKey(data: bytes))
            }
            guard try !ArchiveStore.isSealed(database) else {
                throw failure(
                    "\(path) is not there, and \(database) cannot be read without it; restore it from a copy (a new archive makes a new key)"
                )
            }
            let key = SymmetricKey(size: .bits256)
            try WholeFile.replace(path, with: key.withUnsafeBytes { Array($0) })
            return MasterKey(key: key)
        } catch {
            throw (error as? ArchiveError) ?? failure("\(error)")
        }
    }

    private static func command(_ argv: [String], _ pool: BlockingPool) async throws -> MasterKey {
        let name = argv.first ?? ""
        func failure(_ text: String) -> ArchiveError {
            ArchiveError(.inaccessible, "the command \(name) gave no master key for the archive: \(text)")
        }
        let result: Subprocess.Result
        do {
            result = try await Subprocess.run(argv, timeout: commandTimeout, outputLimit: 1 << 10, pool: pool)
        } catch let error as SubprocessError {
            throw failure("\(error)")
        }
        // What it wrote is not repeated: it may be the key.
        guard result.succeeded else { throw failure("\(result.outcome); run it by hand to see why") }
        guard let key = parse(String(decoding: result.stdout, as: UTF8.self)) else {
            throw failure("its output is not \(bytes) bytes in Base64 or hexadecimal digits, and nothing else")
        }
        return key
    }

    /// Nil unless `text` is 32 bytes in Base64 or hexadecimal digits, white space around it.
    static func parse(_ text: String) -> MasterKey? {
        let text = text.trimmed
        if text.utf8.count == 2 * bytes { return [UInt8](hexadecimal: text).map { MasterKey(key: SymmetricKey(data: $0)) } }
        guard let data = Data(base64Encoded: text), data.count == bytes else { return nil }
        return MasterKey(key: SymmetricKey(data: data))
    }
}

extension String {
    /// Without white space at its ends.
    var trimmed: String { String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed()) }
}
