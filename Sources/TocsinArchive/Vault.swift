import Crypto
import FoundationEssentials
import GRDB
import TocsinDomain
import TocsinWire

/// What seals personal data in an archive: the master key, and what counts as personal. Article: PersonalData.
struct Vault: Sendable {
    /// What the data of somebody who was erased is read as.
    static let erased = "[erased]"

    /// Names of labels and details whose values are personal.
    let personalLabels: Set<String>
    private let subjectIDs: SymmetricKey
    private let wrapping: SymmetricKey
    private let digests: SymmetricKey
    /// Tells whether it is the key that an archive was made with; tells nothing about the key.
    let check: Data

    init(_ master: MasterKey, personalLabels: [String]) {
        func derive(_ purpose: String) -> SymmetricKey {
            HKDF<SHA256>.deriveKey(
                inputKeyMaterial: master.key, info: Data("tocsin archive 1: \(purpose)".utf8), outputByteCount: 32)
        }
        self.personalLabels = Set(personalLabels)
        subjectIDs = derive("subject ids")
        wrapping = derive("keys of subjects")
        digests = derive("digests of ids")
        check = derive("check").withUnsafeBytes { Data($0) }
    }

    /// Whether an actor is a program: its name is nobody's.
    static func isProgram(_ actor: String) -> Bool {
        Lifecycle.isAutomatic(actor) || actor == "responder" || actor.hasPrefix("responder:") || actor.hasPrefix("notify:")
    }

    /// Who a value speaks of: white space around it and case make no difference. 12 bytes.
    func subject(of value: String) -> Data {
        let normal = value.trimmed.lowercased()
        return Data(HMAC<SHA256>.authenticationCode(for: Data(normal.utf8), using: subjectIDs)).prefix(12)
    }

    /// Stands for an id that would name somebody. The same id, the same digest.
    func digest(ofID id: String) -> String {
        let code = HMAC<SHA256>.authenticationCode(for: Data(id.utf8), using: digests)
        return code.prefix(16).hexadecimal
    }

    func wrap(_ key: SubjectKey) throws -> Data {
        let sealed = try AES.GCM.seal(
            key.key.withUnsafeBytes { Data($0) }, using: wrapping, authenticating: key.name)
        return sealed.nonce.withUnsafeBytes { Data($0) } + sealed.ciphertext + sealed.tag
    }

    func unwrap(_ wrapped: Data, subject: Data, generation: UInt32) throws -> SubjectKey {
        let name = SubjectKey.name(subject, generation)
        let key = SymmetricKey(data: try AES.GCM.open(try .init(combined: wrapped), using: wrapping, authenticating: name))
        return SubjectKey(subject: subject, generation: generation, key: key)
    }
}

/// One subject's key. After an erasure, what comes later has the key of the next generation.
struct SubjectKey {
    let subject: Data
    let generation: UInt32
    let key: SymmetricKey

    /// Subject and generation: what is sealed with the key, and the key itself, is bound to them.
    static func name(_ subject: Data, _ generation: UInt32) -> Data {
        subject + withUnsafeBytes(of: generation.bigEndian) { Data($0.dropFirst()) }
    }

    var name: Data { Self.name(subject, generation) }

    /// 12 bytes of subject, 3 of generation (big endian), 12 of nonce, the sealed value, 16 of tag.
    ///
    /// The nonce follows from the value: equal values of a generation are equal when sealed, so that they can be found. No two
    /// values share one but by a collision of 96 bits of HMAC among the few spellings of one name.
    func seal(_ value: String) throws -> Data {
        let nonces = HKDF<SHA256>.deriveKey(inputKeyMaterial: key, info: Data("nonces".utf8), outputByteCount: 32)
        let code = Data(HMAC<SHA256>.authenticationCode(for: Data(value.utf8), using: nonces)).prefix(12)
        let sealed = try AES.GCM.seal(
            Data(value.utf8), using: key, nonce: try AES.GCM.Nonce(data: code), authenticating: name)
        return name + code + sealed.ciphertext + sealed.tag
    }

    func open(_ sealed: Data) throws -> String {
        let box = try AES.GCM.SealedBox(combined: sealed.dropFirst(Self.nameBytes))
        return String(decoding: try AES.GCM.open(box, using: key, authenticating: name), as: UTF8.self)
    }

    static let nameBytes = 15
    static let generationMax: UInt32 = 0xFF_FFFF

    /// Whose key opens a sealed piece, and of which generation; nil if it is none.
    static func parse(_ sealed: Data) -> (subject: Data, generation: UInt32)? {
        guard sealed.count >= nameBytes + 12 + 16 else { return nil }
        let generation = sealed.dropFirst(12).prefix(3).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return (Data(sealed.prefix(12)), generation)
    }
}

/// Seals and opens within one transaction: the keys it has read are forgotten with it, so what is erased is erased for all that
/// comes later. Used where the database is.
final class Sealer {
    let vault: Vault
    let db: Database
    private var keys: [Data: SubjectKey?] = [:]
    private var current: [Data: SubjectKey] = [:]
    private var opened: [Data: String] = [:]

    init(_ vault: Vault, _ db: Database) {
        self.vault = vault
        self.db = db
    }

    // MARK: - Sealing

    /// The whole value, sealed with the key of whom it speaks; a key is made for who has none. To be written, so in a write.
    func seal(_ value: String) throws -> String {
        if Command.isBlank(value) || value == Vault.erased { return value }
        return SealedText.piece(try key(for: vault.subject(of: value)).seal(value))
    }

    /// A person's name; a program's stays as it is.
    func seal(actor: String) throws -> String {
        Vault.isProgram(actor) ? SealedText.escape(actor) : try seal(SealedText.escape(actor))
    }

    /// Text from outside, with each place sealed where it has one of the values.
    func seal(_ text: String, naming values: PersonalValues) throws -> String {
        try values.replacing(in: SealedText.escape(text)) { try seal($0) }
    }

    /// An id, which is looked for as it stands: one that names somebody becomes a digest.
    func seal(id: String, naming values: PersonalValues) -> String {
        values.occur(in: id) ? vault.digest(ofID: id) : SealedText.escape(id)
    }

    /// What `seal` would make of the value; nil if nothing of this subject was sealed since the last erasure.
    func find(_ value: String) throws -> String? {
        guard let key = try existingKey(for: vault.subject(of: value)) else { return nil }
        return SealedText.piece(try key.seal(value))
    }

    /// As `find`, of what `seal(actor:)` would make.
    func find(actor: String) throws -> String? { Vault.isProgram(actor) ? actor : try find(actor) }

    /// Whether somebody may know of an incident; nil: who may see everything.
    func shows(_ incident: IncidentRecord, to viewer: String?) throws -> Bool {
        guard let viewer, !incident.needToKnow.isEmpty else { return true }
        return try incident.needToKnow.contains { try open($0) == viewer }
    }

    // MARK: - Opening

    /// The text as it was, with `Vault.erased` for what was erased.
    ///
    /// - Throws: `ArchiveError.corrupt` for what is sealed and not by this archive.
    func open(_ text: String) throws -> String {
        try SealedText.replacing(text) { sealed in
            if let known = opened[sealed] { return known }
            let value = try open(sealed)
            if opened.count >= 10_000 { opened.removeAll() }
            opened[sealed] = value
            return value
        }
    }

    private func open(_ sealed: Data) throws -> String {
        guard let (subject, generation) = SubjectKey.parse(sealed) else { return "\u{FFFD}" }
        guard let key = try key(of: subject, generation) else { return Vault.erased }
        do { return try key.open(sealed) } catch {
            throw ArchiveError(.corrupt, "the archive holds sealed text that its key does not open; restore it from a copy")
        }
    }

    // MARK: - Keys

    private func key(of subject: Data, _ generation: UInt32) throws -> SubjectKey? {
        let name = SubjectKey.name(subject, generation)
        if let known = keys[name] { return known }
        let statement = try db.cachedStatement(sql: "SELECT wrapped_key FROM subjects WHERE id = ? AND generation = ?")
        let key = try Data.fetchOne(statement, arguments: [subject, Int64(generation)]).flatMap {
            $0.isEmpty ? nil : try unwrap($0, subject, generation)
        }
        keys[name] = .some(key)
        return key
    }

    /// What was erased within this transaction.
    func forget(_ subject: Data) {
        current[subject] = nil
        keys.removeAll()
        opened.removeAll()
    }

    func existingKey(for subject: Data) throws -> SubjectKey? {
        if let known = current[subject] { return known }
        let statement = try db.cachedStatement(
            sql: "SELECT generation, wrapped_key FROM subjects WHERE id = ? ORDER BY generation DESC LIMIT 1")
        guard let row = try Row.fetchOne(statement, arguments: [subject]) else { return nil }
        let wrapped: Data = row[1]
        guard !wrapped.isEmpty else { return nil }
        let key = try unwrap(wrapped, subject, UInt32(clamping: row[0] as Int64))
        current[subject] = key
        return key
    }

    private func unwrap(_ wrapped: Data, _ subject: Data, _ generation: UInt32) throws -> SubjectKey {
        do { return try vault.unwrap(wrapped, subject: subject, generation: generation) } catch {
            throw ArchiveError(.corrupt, "the archive holds a subject's key that the master key does not open")
        }
    }

    private func key(for subject: Data) throws -> SubjectKey {
        if let known = try existingKey(for: subject) { return known }
        let last = try Int64.fetchOne(
            db, sql: "SELECT coalesce(max(generation), 0) FROM subjects WHERE id = ?", arguments: [subject])
        guard let generation = UInt32(exactly: (last ?? 0) + 1), generation <= SubjectKey.generationMax else {
            throw ArchiveError(.other, "somebody was erased \(SubjectKey.generationMax) times; there is no other key for them")
        }
        let key = SubjectKey(subject: subject, generation: generation, key: SymmetricKey(size: .bits256))
        try db.cachedStatement(sql: "INSERT INTO subjects (id, generation, wrapped_key) VALUES (?, ?, ?)").execute(
            arguments: [subject, Int64(key.generation), try vault.wrap(key)])
        current[subject] = key
        return key
    }
}
