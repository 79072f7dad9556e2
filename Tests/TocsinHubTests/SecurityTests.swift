import Foundation
import GRPCCore
import GRPCZeroMQTransport
import Synchronization
import TestSupport
import Testing
import TocsinAccess
import TocsinCore
import TocsinKeys
import TocsinKit
import TocsinPosix
import TocsinProto
import TocsinTransport
import TocsinWire

@testable import TocsinHub

/// A hub with keys, on a port of its own and on a socket file.
final class GuardedWorld: Sendable {
    let folder: TemporaryFolder
    let keys: KeyFolder
    let run: HubRun
    private let hubKey: CurvePublicKey
    var endpoint: String { run.hub.endpoints[0] }

    init() async throws {
        folder = try TemporaryFolder()
        keys = KeyFolder(folder.path + "/keys")
        hubKey = try keys.create().publicKey
        var options = HubOptions(directory: folder.path + "/hub", keys: keys.path)
        options.endpoints = ["tcp://127.0.0.1:*", "ipc://\(folder.path)/socket"]
        options.handshakeMilliseconds = 1000
        options.engine.journal.segmentBytes = 1 << 20
        options.engine.core.heartbeat = 500
        options.engine.core.serviceGrace = 0
        options.engine.core.subjects = [.all]
        options.engine.pools = try [
            "triage": "event.>", "archive": "alert.>", "responder": "incident.>", "notifier": "incident.>", "other": "other.>",
        ]
        .map { try PoolDefinition(name: $0.key, filters: [$0.value]) }
        run = try await HubRun(options)
    }

    /// A key that is authorised, unless that is to be left out.
    func identity(
        _ name: String, _ role: Role? = nil, rules: [RuleKind: [String]] = [:], expires: UInt64? = nil,
        isAuthorized: Bool = true
    ) throws -> Identity {
        let pair = try KeyFolder.generate()
        if isAuthorized {
            try keys.authorize(
                try AuthorizedKey(
                    name: name, publicKey: pair.publicKey, role: role, rules: rules, created: MachineClock.wall(),
                    expires: expires))
        }
        return Identity(name: name, role: role?.rawValue ?? "", keys: pair, hub: endpoint, hubKey: hubKey)
    }

    func idle(_ identity: Identity?, endpoint: String? = nil) throws -> Client {
        try Client(
            ClientOptions(
                endpoint: endpoint ?? self.endpoint, identity: identity, name: identity?.name ?? "nobody", role: "test",
                publishTimeout: .seconds(10)), logger: quiet)
    }

    func client(_ identity: Identity?, endpoint: String? = nil) async throws -> Client {
        let client = try idle(identity, endpoint: endpoint)
        try await client.ready(within: .seconds(20))
        return client
    }

    /// The hub's owner.
    func local() async throws -> Client { try await client(nil, endpoint: run.hub.endpoints[1]) }
}

/// `SecurityMatrix.md`: the cells of its table.
private struct Matrix {
    var cells: [(operation: String, role: Role, isAllowed: Bool)] = []

    init() throws {
        let path = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "../../Sources/TocsinAccess/TocsinAccess.docc/SecurityMatrix.md")
        let rows = try String(contentsOf: path, encoding: .utf8).split(separator: "\n").filter { $0.hasPrefix("|") }.map {
            $0.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        }
        let roles = try rows[0].dropFirst().map { try #require(Role(rawValue: $0)) }
        #expect(Set(roles) == Set(Role.allCases))
        for row in rows.dropFirst(2) {
            for (role, word) in zip(roles, row.dropFirst()) {
                try #require(word == "yes" || word == "-")
                cells.append((row[0], role, word == "yes"))
            }
        }
    }
}

@Suite("Who may do what", .timeLimit(.minutes(3))) struct SecurityTests {
    /// Tries an operation of the matrix; true if the hub allowed it.
    private func attempt(_ operation: String, _ client: Client, _ owner: Client) async throws -> Bool {
        let words = operation.split(separator: "`", omittingEmptySubsequences: false).map(String.init)
        let (verb, object) = (words[0].trimmingCharacters(in: .whitespaces), words.count > 1 ? words[1] : "")
        do {
            switch verb {
            case "publish": try await client.publish([message("\(UInt64.random(in: 0 ... .max))", subject: object)])
            case "consume": await (try client.subscribe(pool: object, credit: 1)).close()
            case "declare":
                let filter = words[3]
                // The filters of a pool that is there cannot be others: that is refused too, and by another name.
                do { try await client.pool(object, filter) } catch ClientError.refused(.badPool, _, _) {}
            case "tap": await (try client.tap([object], from: .live)).close()
            case "see": return try await sees(object, client, owner)
            case "call": try await call(object, client)
            case "serve": try await serve(object, client)
            case "say for whom it calls": try await call("tocsin.v1.BrokerAdmin/GetStatus", client, ["tocsin-caller": "somebody"])
            default: throw NotNow(description: "no operation: \(operation)")
            }
            return true
        } catch ClientError.refused(.notAllowed, _, _) {
            return false
        } catch let error as RPCError where error.code == .permissionDenied {
            return false
        }
    }

    private func sees(_ subject: String, _ client: Client, _ owner: Client) async throws -> Bool {
        let tap = try await client.tap(["incident.>"], from: .live)
        try await owner.publish([message("\(UInt64.random(in: 0 ... .max))", subject: subject)])
        try await owner.publish([message("\(UInt64.random(in: 0 ... .max))", subject: "incident.last.shop")])
        var seen: [String] = []
        for try await item in tap {
            guard case .message(let message, _) = item else { continue }
            seen.append(message.subject)
            if message.subject == "incident.last.shop" { break }
        }
        await tap.close()
        return seen.contains(subject)
    }

    private func call(_ method: String, _ client: Client, _ metadata: Metadata = [:]) async throws {
        let slash = try #require(method.lastIndex(of: "/"))
        let grpc = GRPCClient(transport: HubClientTransport(client))
        let request = ClientRequest<[UInt8]>(message: [], metadata: metadata)
        let descriptor = MethodDescriptor(
            fullyQualifiedService: String(method[..<slash]), method: String(method[method.index(after: slash)...]))
        do {
            try await grpc.unary(
                request: request, descriptor: descriptor, serializer: Raw(), deserializer: Raw(), options: .defaults
            ) { _ = try $0.message }
        } catch let error as RPCError where error.code != .permissionDenied {
            // The service is not there, or the request not one of its.
        }
    }

    private func serve(_ service: String, _ client: Client) async throws {
        try await client.serve(service, CallService(singleResponses: []) { $0.cancel() })
        client.withdraw(service)
    }

    @Test("every cell of the matrix")
    func matrix() async throws {
        let world = try await GuardedWorld()
        let owner = try await world.local()
        let matrix = try Matrix()
        #expect(matrix.cells.count >= 32 * Role.allCases.count)
        var clients: [Role: Client] = [:]
        for role in Role.allCases { clients[role] = try await world.client(try world.identity("a-\(role.rawValue)", role)) }
        var denied = 0
        for cell in matrix.cells {
            let isAllowed = try await attempt(cell.operation, try #require(clients[cell.role]), owner)
            #expect(isAllowed == cell.isAllowed, "\(cell.role.rawValue): \(cell.operation)")
            if !isAllowed, !cell.operation.hasPrefix("see") { denied += 1 }
        }
        let status = try await owner.status()
        // Seeing takes a tap, which those are refused who may not see any incident.
        let refusedTaps = matrix.cells.filter { $0.operation == "tap `incident.>`" && !$0.isAllowed }.count
        #expect(status.security.denied.values.reduce(0, +) == UInt64(denied + refusedTaps))
        #expect(status.peers.contains { $0.key == "a-sensor" && $0.name == "a-sensor" })
        for client in clients.values { await client.close() }
        await owner.close()
        try await world.run.stop()
    }

    @Test("rules of a key stand in place of its role's")
    func rules() async throws {
        let world = try await GuardedWorld()
        let owner = try await world.local()
        let client = try await world.client(
            try world.identity(
                "only-web", .sensor,
                rules: [.publish: ["event.web.>", "!event.web.secret"], .call: ["tocsin.v1.BrokerAdmin/GetStatus"]]))
        #expect(try await attempt("publish `event.web.http`", client, owner))
        #expect(try await !attempt("publish `event.web.secret`", client, owner))
        #expect(try await !attempt("publish `event.db`", client, owner))
        #expect(try await attempt("call `tocsin.v1.BrokerAdmin/GetStatus`", client, owner))
        // One message that it may not publish, and nothing of the batch is stored.
        let before = try await owner.status().accepted
        await #expect(throws: ClientError.self) {
            try await client.publish([message("a", subject: "event.web.a"), message("b", subject: "event.db.b")])
        }
        #expect(try await owner.status().accepted == before)
        await client.close()
        await owner.close()
        try await world.run.stop()
    }

    @Test("who may publish events cannot keep out an incident by taking its id first")
    func ids() async throws {
        let world = try await GuardedWorld()
        let owner = try await world.local()
        let sensor = try await world.client(try world.identity("sensor", .sensor))
        #expect(try await sensor.publish([message("change-7", subject: "event.web.http")]).stored == 1)
        #expect(try await owner.publish([message("change-7", subject: "incident.opened.shop")]).stored == 1)
        #expect(try await owner.publish([message("change-7", subject: "incident.resolved.shop")]).duplicates == 1)
        for client in [sensor, owner] { await client.close() }
        try await world.run.stop()
    }

    @Test("a key that is not known, none at all, and one whose hub is another are told so and let in nowhere")
    func strangers() async throws {
        let world = try await GuardedWorld()
        let unknown = try world.idle(try world.identity("unknown", .admin, isAuthorized: false))
        await notAdmitted(unknown, "does not let in the key of unknown")
        let plain = try world.idle(nil)
        await notAdmitted(plain, "give the file of one with --identity")
        var other = try world.identity("known", .admin)
        other.hubKey = try KeyFolder.generate().publicKey
        let misled = try world.idle(other)
        await notAdmitted(misled, "does not answer as the holder of the hub's key")
        let owner = try await world.local()
        // What libzmq itself turns away is counted a moment later.
        let isCounted = try await eventually(seconds: 20) {
            let rejected = try await owner.status().security.rejected
            return ["UNKNOWN_KEY", "NO_CURVE", "BAD_HANDSHAKE"].allSatisfy { rejected[$0, default: 0] > 0 }
        }
        #expect(isCounted)
        // The hub's owner alone.
        #expect(try await owner.status().security.admitted == 1)
        for client in [unknown, plain, misled, owner] { await client.close() }
        try await world.run.stop()
    }

    private func notAdmitted(_ client: Client, _ text: String) async {
        let error = await #expect(throws: ClientError.self) { try await client.ready(within: .seconds(60)) }
        guard case .notAdmitted(let message)? = error else {
            Issue.record("\(text): \(error.map { "\($0)" } ?? "let in")")
            return
        }
        #expect(message.contains(text))
    }

    @Test("a revoked key is cut off where it is, and what it held goes to others; one that expires, too")
    func revoked() async throws {
        let world = try await GuardedWorld()
        let owner = try await world.local()
        let revoked = try await world.client(try world.identity("triage-a", .triage))
        try await owner.publish([message("1")])
        var reader = try await Reader(revoked, pool: "triage")
        #expect(try await reader.next().message.text == "1")
        try world.keys.revoke("triage-a", at: MachineClock.wall())
        // Redelivered to whoever may still work.
        var heir = try await Reader(owner, pool: "triage")
        #expect(try await heir.next(settling: .ack).attempt == 2)
        #expect(try await eventually(seconds: 20) { try await owner.status().peers.allSatisfy { $0.key != "triage-a" } })
        #expect(try await owner.status().security.cut == 1)
        let again = try world.idle(try identity(of: revoked))
        await notAdmitted(again, "was revoked")

        let expiring = try await world.client(try world.identity("for-a-while", .sensor, expires: MachineClock.wall() + 2500))
        #expect(try await owner.status().peers.contains { $0.key == "for-a-while" })
        #expect(try await eventually(seconds: 20) { try await owner.status().peers.allSatisfy { $0.key != "for-a-while" } })
        for client in [revoked, again, expiring, owner] { await client.close() }
        try await world.run.stop()
    }

    private func identity(of client: Client) throws -> Identity { try #require(client.identity) }

    @Test("a key that may do other things from now on does so without a restart, and nothing that was open stays")
    func changed() async throws {
        let world = try await GuardedWorld()
        let owner = try await world.local()
        let identity = try world.identity("worker", .triage)
        let client = try await world.client(identity)
        #expect(try await !attempt("publish `event.web.http`", client, owner))
        let tap = try await client.tap(["event.>"], from: .live)
        try world.keys.authorize(
            try AuthorizedKey(name: "worker", publicKey: identity.keys.publicKey, role: .sensor, created: MachineClock.wall()))
        let isSensor = try await eventually(seconds: 20) {
            do { return try await attempt("publish `event.web.http`", client, owner) } catch ClientError.timedOut { return false }
        }
        #expect(isSensor)
        // It is asked for again in the new session, and refused.
        await #expect(throws: ClientError.self) { for try await _ in tap {} }
        for client in [client, owner] { await client.close() }
        try await world.run.stop()
    }

    @Test("key files that others can use are refused, and say what to do")
    func modes() async throws {
        let folder = try TemporaryFolder()
        let keys = KeyFolder(folder.path + "/keys")
        let pair = try keys.create()
        let file = folder.path + "/a.key"
        try Identity(name: "a", role: "sensor", keys: pair, hub: "tcp://127.0.0.1:1", hubKey: pair.publicKey).write(to: file)
        #expect(try Identity.load(file).keys == pair)
        chmod(file, 0o640)
        let error = #expect(throws: KeyError.self) { try Identity.load(file) }
        #expect(error?.description == "\(file) can be used by others (mode 0640); run: chmod 600 \(file)")

        chmod(keys.hubKeyPath, 0o604)
        var options = HubOptions(directory: folder.path + "/hub", keys: keys.path)
        options.endpoints = ["tcp://127.0.0.1:*"]
        options.engine.journal.segmentBytes = 1 << 20
        let refused = await #expect(throws: HubError.self) { _ = try await HubRun(options) }
        #expect(refused?.code == .keys && refused?.description.contains("chmod 600") == true)
        chmod(keys.hubKeyPath, 0o600)
        chmod(keys.path + "/authorized", 0o777)
        let open = await #expect(throws: HubError.self) { _ = try await HubRun(options) }
        #expect(open?.description.contains("can be changed by others (mode 0777); run: chmod 755") == true)
    }

    @Test("TCP without keys has to be asked for by name")
    func plain() async throws {
        let folder = try TemporaryFolder()
        var options = HubOptions(directory: folder.path + "/hub")
        options.endpoints = ["tcp://127.0.0.1:*"]
        options.engine.journal.segmentBytes = 1 << 20
        let error = await #expect(throws: HubError.self) { _ = try await HubRun(options) }
        #expect(error?.code == .keys && error?.description.contains("tocsin init") == true)
        options.allowsPlainTCP = true
        try await HubRun(options).stop()
    }
}

/// Bytes as they are.
private struct Raw: MessageSerializer, MessageDeserializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }
    func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] { bytes.withUnsafeBytes { Array($0) } }
}

/// The door by itself: what libzmq does with and without its handler.
@Suite("The ZAP handler", .timeLimit(.minutes(1))) struct AdmissionTests {
    private struct Door {
        let folder: TemporaryFolder
        let keys: KeyFolder
        let hubKeys: CurveKeyPair
        let context: Context
        let router: ZMQSocket

        init() throws {
            folder = try TemporaryFolder()
            keys = KeyFolder(folder.path + "/keys")
            hubKeys = try keys.create()
            context = try Context()
            var options = SocketOptions()
            options.handshake = 500
            router = try ZMQSocket(.router, context: context, options: options)
            try router.secure(.curveServer(hubKeys.secretKey, domain: "curve"))
        }

        func admission() throws -> Admission {
            try Admission(folder: keys, allowsPlainTCP: false, logger: quiet, changed: {})
        }

        /// Whether somebody with this key gets in within two seconds; and the user id that comes with what they say.
        func letsIn(_ pair: CurveKeyPair) throws -> UInt32? {
            let own = try Context()
            let dealer = try ZMQSocket(.dealer, context: own)
            try dealer.secure(.curveClient(server: hubKeys.publicKey, own: pair))
            try dealer.connect(try router.lastEndpoint())
            let events = try EventCounter()
            var (there, here) = (
                Poller(socket: dealer, descriptor: events.descriptor), Poller(socket: router, descriptor: events.descriptor)
            )
            guard try there.wait(timeout: 2000, toSend: true).contains(.send) else { return nil }
            #expect(try dealer.send([Bytes([1])]) == .sent)
            _ = try here.wait(timeout: 2000)
            var parts: [Bytes] = []
            #expect(try router.receive(into: &parts))
            return router.senderUser
        }
    }

    @Test("nobody gets in before there is one, nor after it has ended; while it is there, those it knows do")
    func dead() throws {
        let door = try Door()
        let pair = try KeyFolder.generate()
        try door.keys.authorize(
            try AuthorizedKey(name: "known", publicKey: pair.publicKey, role: .sensor, created: MachineClock.wall()))
        let admission = try door.admission()
        try door.router.bind("tcp://127.0.0.1:*")
        #expect(try door.letsIn(pair) == nil)
        let thread = try admission.start(door.context, watching: door.router)
        let user = try #require(try door.letsIn(pair))
        #expect(admission.takeChange()?[user]?.name == "known")
        #expect(try door.letsIn(try KeyFolder.generate()) == nil)
        admission.stop()
        thread.join()
        #expect(try door.letsIn(pair) == nil)
    }

    @Test("while the folder of keys cannot be read nobody new gets in by key, and they do again when it can")
    func unreadable() async throws {
        let door = try Door()
        let pair = try KeyFolder.generate()
        try door.keys.authorize(
            try AuthorizedKey(name: "known", publicKey: pair.publicKey, role: .sensor, created: MachineClock.wall()))
        let admission = try door.admission()
        let thread = try admission.start(door.context, watching: door.router)
        try door.router.bind("tcp://127.0.0.1:*")
        #expect(try door.letsIn(pair) != nil)
        chmod(door.keys.path + "/authorized", 0o777)
        #expect(try await eventually(seconds: 20) { try door.letsIn(pair) == nil })
        #expect(admission.counts.rejected["KEYS_UNREADABLE", default: 0] > 0)
        chmod(door.keys.path + "/authorized", 0o700)
        #expect(try await eventually(seconds: 20) { try door.letsIn(pair) != nil })
        admission.stop()
        thread.join()
    }
}
