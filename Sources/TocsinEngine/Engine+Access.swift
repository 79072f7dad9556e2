import TocsinAccess
import TocsinCore
import TocsinProto
import TocsinWire

/// Who is admitted, and what those were refused; part of the engine.
struct AccessState {
    /// By number; nil: everybody may do everything (the simulator).
    var principals: [UInt32: Principal]?
    /// Of those with a session.
    var peers: [PeerID: UInt32] = [:]
    /// The subject each published on last: allowed, and most likely the next.
    var lastSubjects: [UInt32: [UInt8]] = [:]
    /// Requests that were refused, since start, by the name of the key; beyond `namesMax` names all others together.
    var denied: [String: UInt64] = [:]
    /// Peers cut off since start.
    var cut: UInt64 = 0
    /// What was refused and is not logged yet; more than `notesMax` are only counted.
    var notes: [String] = []

    /// Of limits, by the name of the key.
    var usage: [String: KeyUsage] = [:]

    static let namesMax = 1024
    static let notesMax = 64
}

/// Decisions at the door, since the hub's start.
public struct AdmissionCounts: Sendable {
    /// Keys that may connect now.
    public var keys = 0
    public var admitted: UInt64 = 0
    /// By why.
    public var rejected: [String: UInt64] = [:]
    public init() {}
}

extension Engine {
    /// Takes in who is admitted now, if that has changed.
    public mutating func admitChanges() throws {
        if let principals = takeAdmitted() { try admit(principals) }
    }

    /// Who is admitted from now on. Peers of principals that are not any more are cut off.
    public mutating func admit(_ principals: [UInt32: Principal]) throws {
        access.principals = principals
        access.lastSubjects = access.lastSubjects.filter { principals[$0.key] != nil }
        let names = Set(principals.values.map(\.name))
        access.usage = access.usage.filter { names.contains($0.key) }
        for (peer, number) in access.peers where principals[number] == nil {
            access.cut += 1
            link.cut(peer)
            lose(peer, clock.now())
        }
        try perform(clock.now())
    }

    /// What was refused since the last time, one sentence each, for the log; some may be left out.
    public mutating func takeDenials() -> [String] {
        let notes = access.notes
        access.notes.removeAll(keepingCapacity: true)
        return notes
    }

    /// Whom a message is from. Nil: nobody is asked who they are.
    ///
    /// - Throws: `notAllowed` if it was admitted and is not any more.
    mutating func principal(of received: Received) throws -> Principal? {
        if let principal = access.principals?[received.principal] { return principal }
        guard access.principals != nil else { return nil }
        // Somebody who was let in just now may be here before the news of it.
        try admitChanges()
        if let principal = access.principals?[received.principal] { return principal }
        throw WireError(.notAllowed, "the key of this connection is not authorised any more")
    }

    /// What a request is refused with; also counts it and notes it for the log.
    mutating func denied(_ principal: Principal, _ what: String, may rules: String) -> WireError {
        let name = access.denied[principal.name] != nil || access.denied.count < AccessState.namesMax ? principal.name : "others"
        access.denied[name, default: 0] += 1
        if access.notes.count < AccessState.notesMax { access.notes.append("\(principal.name) may not \(what)") }
        return WireError(.notAllowed, "\(principal.name) may not \(what); it may \(rules)")
    }

    /// Whether each message's subject may be published is asked while a batch is read; this decides about one.
    mutating func mayPublish(_ principal: Principal, _ subject: UnsafeRawBufferPointer) -> Bool {
        if let last = access.lastSubjects[principal.number], last.count == subject.count, last.elementsEqual(subject) {
            return true
        }
        guard principal.permissions.publish.allows(subject) else { return false }
        access.lastSubjects[principal.number] = Array(subject)
        return true
    }

    /// - Throws: `notAllowed` unless the principal may work for the pool, and see what its filters select.
    mutating func checkDeclare(_ principal: Principal?, _ definition: PoolDefinition) throws(WireError) {
        guard let principal else { return }
        try checkConsume(principal, definition.name)
        let rules = principal.permissions.read
        for filter in definition.filters where !rules.coversWhole(filter) {
            throw denied(principal, "declare a pool of \"\(filter)\"", may: "read \(rules)")
        }
    }

    mutating func checkConsume(_ principal: Principal?, _ pool: String) throws(WireError) {
        guard let principal, !principal.permissions.consume.allows(pool) else { return }
        throw denied(
            principal, "work for the pool \"\(pool.shortened(to: 64))\"", may: "consume \(principal.permissions.consume)")
    }

    /// The rules a tap is held to message by message; nil: none.
    mutating func checkTap(_ principal: Principal?, _ filters: [SubjectFilter]) throws(WireError) -> SubjectRules? {
        guard let principal else { return nil }
        let rules = principal.permissions.read
        for filter in filters where !rules.covers(filter) {
            throw denied(principal, "tap \"\(filter.description.shortened(to: 64))\"", may: "read \(rules)")
        }
        return rules.isEverything ? nil : rules
    }

    mutating func checkServe(_ principal: Principal?, _ service: String) throws(WireError) {
        guard let principal, !principal.permissions.serve.allows(service) else { return }
        throw denied(principal, "serve \(service.shortened(to: 128))", may: "serve \(principal.permissions.serve)")
    }

    /// The head of a call as its server gets it: with who calls, unless the caller says for whom it does.
    ///
    /// - Throws: `notAllowed` for a method it may not call, or if it says who calls and may not.
    mutating func checkCall(
        _ principal: Principal?, _ head: Tocsin_V1_CallHead, _ bytes: Bytes
    ) throws(WireError) -> Bytes {
        guard let principal else { return bytes }
        guard principal.permissions.call.allows(head.method) else {
            throw denied(principal, "call \(head.method.shortened(to: 128))", may: "call \(principal.permissions.call)")
        }
        if principal.permissions.speaksForOthers { return head.caller.isEmpty ? bytes : Self.stamped(bytes, "") }
        guard !head.metadata.contains(where: { $0.key == CallerMetadata.key }) else {
            throw denied(principal, "say for whom it calls (metadata \(CallerMetadata.key))", may: "call for itself")
        }
        return Self.stamped(bytes, principal.name)
    }

    /// The last value of a field counts (protobuf, "Last One Wins"), so what is appended replaces whatever the peer wrote.
    private static func stamped(_ head: Bytes, _ caller: String) -> Bytes {
        let name = Array(caller.utf8.prefix(127))
        var writer = ByteWriter(capacity: head.count + name.count + 2)
        writer.append(head.buffer)
        [UInt8(0x22), UInt8(name.count)].withUnsafeBytes { writer.append($0) }
        name.withUnsafeBytes { writer.append($0) }
        return writer.finish()
    }
}
