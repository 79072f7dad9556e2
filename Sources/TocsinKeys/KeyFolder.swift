import Glibc
import TocsinPosix
import TocsinTransport

/// The hub's keys on disk: its own pair (`hub.key`), who is let in (`authorized/NAME.key`), who was (`revoked/`). Blocking.
public struct KeyFolder: Sendable {
    public let path: String
    /// Files read at most.
    public static let keysMax = 4096

    public init(_ path: String) { self.path = path }

    public var hubKeyPath: String { "\(path)/hub.key" }
    var authorizedPath: String { "\(path)/authorized" }
    private var revokedPath: String { "\(path)/revoked" }

    // MARK: The hub's own

    /// Whether the hub has a key pair.
    public var isThere: Bool { access(hubKeyPath, F_OK) == 0 }

    /// - Throws: `KeyError`, also if others can read the file.
    public func hubKeys() throws(KeyError) -> CurveKeyPair {
        let text = try KeyText(
            try GuardedFile.read(hubKeyPath, .secret), path: hubKeyPath, known: ["public_key", "secret_key"])
        return try Identity.keyPair(text)
    }

    /// Makes the folder and the hub's key pair.
    ///
    /// - Throws: `KeyError`, also if there is one already.
    @discardableResult public func create() throws(KeyError) -> CurveKeyPair {
        guard !isThere else { throw KeyError("there are keys already: \(hubKeyPath)") }
        for folder in [path, authorizedPath, revokedPath] { try GuardedFile.makeFolder(folder) }
        let keys = try Self.generate()
        try GuardedFile.write(
            hubKeyPath,
            """
            # The hub's own key pair. Who has this file can pretend to be the hub.
            public_key: '\(keys.publicKey)'
            secret_key: '\(keys.secretKey.z85)'

            """)
        return keys
    }

    /// - Throws: `KeyError` if libzmq was built without CURVE.
    public static func generate() throws(KeyError) -> CurveKeyPair {
        do { return try .generate() } catch { throw KeyError("\(error)") }
    }

    // MARK: Who is let in

    /// Every key that is well-formed, by name, and what is wrong with the others.
    ///
    /// - Throws: `KeyError` if the folder cannot be read, or others may change it.
    public func authorized() throws(KeyError) -> (keys: [AuthorizedKey], problems: [KeyError]) {
        try GuardedFile.check(authorizedPath, .trusted)
        guard let names = Folder.names(authorizedPath) else {
            throw KeyError("\(authorizedPath) cannot be read: \(errorText(errno))")
        }
        var keys: [AuthorizedKey] = []
        var problems: [KeyError] = []
        var seen: [CurvePublicKey: String] = [:]
        for name in names.filter({ $0.hasSuffix(".key") }).sorted() {
            guard keys.count < Self.keysMax else {
                problems.append(KeyError("\(authorizedPath) has more than \(Self.keysMax) keys; the others are not let in"))
                break
            }
            let file = "\(authorizedPath)/\(name)"
            do throws(KeyError) {
                let key = try AuthorizedKey(try GuardedFile.read(file, .trusted), path: file)
                guard name == key.name + ".key" else {
                    throw KeyError("\(file) is of a key called \(key.name); rename it to \(key.name).key")
                }
                if let other = seen[key.publicKey] { throw KeyError("\(file) has the same public key as \(other)") }
                seen[key.publicKey] = name
                keys.append(key)
            } catch {
                problems.append(error)
            }
        }
        return (keys, problems)
    }

    /// - Throws: `KeyError` if it is there and cannot be read.
    public func authorized(_ name: String) throws(KeyError) -> AuthorizedKey? {
        if let problem = KeyName.problem(name) { throw KeyError(problem) }
        let file = self.file(name)
        guard access(file, F_OK) == 0 else { return nil }
        return try AuthorizedKey(try GuardedFile.read(file, .trusted), path: file)
    }

    /// Lets a key in, in place of the one of its name if there is one. A hub that runs notices.
    ///
    /// - Throws: `KeyError`, also for rules that are none, and for a public key that another name has.
    public func authorize(_ key: AuthorizedKey) throws(KeyError) {
        if let problem = KeyName.problem(key.name) { throw KeyError(problem) }
        _ = try AuthorizedKey(key.text, path: file(key.name))
        for other in try authorized().keys where other.publicKey == key.publicKey && other.name != key.name {
            throw KeyError("that public key is authorised already, as \(other.name)")
        }
        try GuardedFile.write(file(key.name), key.text)
    }

    /// Lets a key in no more; its file is kept under `revoked/`. A hub that runs cuts whoever is connected with it.
    ///
    /// - Throws: `KeyError`, also if there is none.
    public func revoke(_ name: String, at time: UInt64) throws(KeyError) {
        if let problem = KeyName.problem(name) { throw KeyError(problem) }
        guard access(file(name), F_OK) == 0 else {
            throw KeyError("no key called \(name) is authorised; `tocsin keys list` shows those that are")
        }
        try GuardedFile.makeFolder(revokedPath)
        guard rename(file(name), "\(revokedPath)/\(name)-\(time).key") == 0 else {
            throw KeyError("\(file(name)) cannot be moved: \(errorText(errno))")
        }
    }

    private func file(_ name: String) -> String { "\(authorizedPath)/\(name).key" }

    /// Changes whenever a file of the folder does.
    public func stamp() -> [String] {
        guard let names = Folder.names(authorizedPath) else { return ["unreadable: \(errno)"] }
        var stamps: [String] = [Self.stamp(authorizedPath)]
        for name in names.sorted().prefix(Self.keysMax) where name.hasSuffix(".key") {
            stamps.append("\(name) \(Self.stamp("\(authorizedPath)/\(name)"))")
        }
        return stamps
    }

    private static func stamp(_ path: String) -> String {
        var status = stat()
        guard stat(path, &status) == 0 else { return "\(errno)" }
        let (modified, changed) = (status.st_mtim, status.st_ctim)
        return "\(status.st_ino) \(status.st_size) \(modified.tv_sec).\(modified.tv_nsec) \(changed.tv_sec).\(changed.tv_nsec)"
    }
}
