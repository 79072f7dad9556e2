import Crypto
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCZeroMQTransport
import Synchronization
import TestSupport
import Testing
import TocsinAccess
import TocsinKit
import TocsinMessaging
import TocsinProto
import TocsinServices
import TocsinWire

@testable import TocsinGateway

private func grant(_ name: String, _ permissions: Permissions) -> Access.Grant {
    Access.Grant(name: name, proof: .token(Array(SHA256.hash(data: Array(name.utf8)))), permissions: permissions)
}

private func bearer(_ name: String) -> Metadata { ["authorization": "Bearer \(name)"] }

/// A gateway with all services before a hub, and a client of it.
private func withGateway(
    _ grants: [Access.Grant],
    _ body: @escaping @Sendable (GRPCClient<AnyHTTP>, TocsinKit.Client) async throws -> Void
) async throws {
    let world = try await World()
    let own = try await world.client("gateway")
    try await withGateway(
        GatewayOptions(host: "127.0.0.1", port: 0, grants: grants), upstream: own,
        services: [
            PublisherService(own), SubscriberService { caller throws(ClientError) in try world.newClient(caller) },
        ]
    ) { client in try await body(client, own) }
    try await world.stop()
}

/// The code it ends with; nil: OK.
private func code(_ body: () async throws -> Void) async throws -> RPCError.Code? {
    do {
        try await body()
        return nil
    } catch let error as RPCError { return error.code }
}

/// Everything that is tried by every role. What is not refused ends otherwise: nobody takes the subject, there is no such pool, no
/// worker serves the method, or another of its filters is none.
private enum Deed: Sendable, Hashable, CustomStringConvertible {
    case publish(String)
    case consume(String)
    case declare(String, String)
    case tap(String)
    case call(String)

    var description: String {
        switch self {
        case .publish(let subject): "publish \(subject)"
        case .consume(let pool): "consume \(pool)"
        case .declare(let pool, let filter): "declare \(pool) \(filter)"
        case .tap(let filter): "tap \(filter)"
        case .call(let method): "call \(method)"
        }
    }

    func isRefused(_ client: GRPCClient<AnyHTTP>, _ metadata: Metadata) async throws -> Bool {
        let publisher = Tocsin_V1_Publisher.Client(wrapping: client)
        let subscriber = Tocsin_V1_Subscriber.Client(wrapping: client)
        let refusal: RPCError.Code?
        switch self {
        case .publish(let subject):
            refusal = try await code {
                _ = try await publisher.publish(.with { $0.messages = [.with { $0.subject = subject }] }, metadata: metadata)
            }
        case .consume(let pool):
            refusal = try await code {
                try await subscriber.consume(metadata: metadata) { requests in
                    try await requests.write(.with { $0.join = .with { $0.pool = pool } })
                } onResponse: { responses in
                    for try await _ in responses.messages {}
                }
            }
        case .declare(let pool, let filter):
            refusal = try await code {
                let spec = Tocsin_V1_PoolSpec.with {
                    $0.name = pool
                    $0.filters = [filter]
                    // Refused by the hub, so that the next role finds none.
                    $0.visibilityMs = 1
                }
                _ = try await subscriber.declarePool(.with { $0.pool = spec }, metadata: metadata)
            }
        case .tap(let filter):
            refusal = try await code {
                // The second is none, for which the hub refuses what the gateway has let through.
                try await subscriber.tap(.with { $0.filters = [filter, "."] }, metadata: metadata) { responses in
                    for try await _ in responses.messages {}
                }
            }
        case .call(let method): refusal = try await GRPCZeroMQTransportTests.code(client, method, metadata)
        }
        return refusal == .permissionDenied
    }
}

@Suite("What clients of the gateway may do", .timeLimit(.minutes(3))) struct PermissionTests {
    private static let subjects = ["event.a", "alert.a", "response.a", "incident.a.opened", "other.a"]
    private static let pools = ["triage", "archive", "responder", "notifier", "other"]
    private static let filters = ["event.>", "alert.>", "response.>", "incident.>", "incident.need-to-know.>", ">"]
    private static let methods = [
        "tocsin.v1.IncidentService/ListIncidents", "tocsin.v1.IncidentService/ResolveIncident",
        "tocsin.v1.BrokerAdmin/GetStatus", "tocsin.v1.BrokerAdmin/RetryDeadLetters",
        "tocsin.v1.BrokerAdmin/DiscardDeadLetters", "tocsin.v1.ArchiveAdmin/Erase", "other.Service/Method",
    ]
    private static let declared = [("triage", "event.>"), ("archive", "alert.>"), ("responder", "incident.>"), ("other", ">")]

    private static var all: [Deed] {
        subjects.map(Deed.publish) + pools.map(Deed.consume) + declared.map(Deed.declare) + filters.map(Deed.tap)
            + methods.map(Deed.call)
    }

    private static let looking: [Deed] = [methods[0], methods[2]].map(Deed.call)
    /// What each role may, of all that is tried.
    private static let matrix: [Role: Set<Deed>] = [
        .sensor: [.publish("event.a")],
        .triage: [.publish("alert.a"), .consume("triage"), .declare("triage", "event.>"), .tap("event.>")],
        .responder: [
            .publish("response.a"), .consume("responder"), .consume("notifier"), .declare("responder", "incident.>"),
            .tap("incident.>"), .tap("incident.need-to-know.>"), looking[0], looking[1],
        ],
        .archiver: [
            .publish("incident.a.opened"), .publish("event.a"), .consume("archive"), .declare("archive", "alert.>"),
            .tap("alert.>"), .tap("response.>"), .tap("incident.>"), .tap("incident.need-to-know.>"),
        ],
        .operator: [
            .publish("event.a"), .tap("incident.>"), .tap("incident.need-to-know.>"), .tap("alert.>"), looking[0], looking[1],
            .call(methods[1]), .call(methods[3]),
        ],
        .observer: [.tap("incident.>"), .tap("incident.need-to-know.>"), looking[0], looking[1]],
        .gateway: Set(all), .admin: Set(all),
    ]

    @Test("every role may do at the gateway what it is for, and nothing else", arguments: Role.allCases)
    func roles(role: Role) async throws {
        try await withGateway([grant("client", role.permissions)]) { (client, _) async throws -> Void in
            let allowed = try await withThrowingTaskGroup(of: Deed?.self) { group in
                for deed in Self.all {
                    group.addTask { try await deed.isRefused(client, bearer("client")) ? nil : deed }
                }
                var allowed: Set<Deed> = []
                for try await deed in group { if let deed { allowed.insert(deed) } }
                return allowed
            }
            let expected = try #require(Self.matrix[role])
            #expect(allowed.subtracting(expected) == [], "allowed and should not be")
            #expect(expected.subtracting(allowed) == [], "refused and should not be")
        }
    }

    @Test("without a token nothing is allowed, and each refusal is counted and few are told")
    func strangers() async throws {
        let told = Mutex<[Refusals.Report]>([])
        let refusals = Refusals { report in told.withLock { $0.append(report) } }
        let access = Access([grant("known", Role.observer.permissions)], refusals: refusals)
        let method = MethodDescriptor(fullyQualifiedService: "a.B", method: "C")
        for _ in 0..<100 {
            #expect(throws: RPCError.self) { try access.authenticate([:], commonName: nil, method) }
            let caller = try access.authenticate(bearer("known"), commonName: nil, method)
            #expect(throws: RPCError.self) { try access.authorize(caller, method) }
        }
        #expect(told.withLock { $0.count } == 1)
        #expect(told.withLock { $0.first?.last.method } == "a.B/C")
        #expect(refusals.counts == Refusals.Counts(unauthenticated: 100, denied: 100))
        try await withGateway([grant("known", .everything)]) { (client, _) async throws -> Void in
            for method in [
                "tocsin.v1.BrokerAdmin/GetStatus", "tocsin.v1.Publisher/Publish", "tocsin.v1.Subscriber/DeclarePool",
                "tocsin.v1.Subscriber/Consume", "tocsin.v1.Subscriber/Tap",
            ] {
                #expect(try await GRPCZeroMQTransportTests.code(client, method, [:]) == .unauthenticated, "\(method)")
            }
        }
    }

    @Test("what is taken back of a rule is left out of a tap message by message, and no pool may have it")
    func takenBack() async throws {
        var permissions = Permissions()
        permissions.read = try SubjectRules(["test.>", "!test.secret.>"])
        permissions.consume = NameRules(["mine-*"])
        try await withGateway([grant("client", permissions)]) { [permissions] (client, own) async throws -> Void in
            #expect(permissions.read.covers(try SubjectFilter("test.>")))
            var spec = Tocsin_V1_PoolSpec()
            spec.name = "all"
            spec.filters = ["test.>"]
            try await own.declare(spec)
            try await own.publish(["test.a", "test.secret.b", "test.c"].map { Message(subject: $0, payload: []) })
            let subscriber = Tocsin_V1_Subscriber.Client(wrapping: client)
            let seen = Mutex<[String]>([])
            try await subscriber.tap(
                .with {
                    $0.filters = ["test.>"]
                    $0.sequence = 1
                }, metadata: bearer("client")
            ) { responses in
                for try await response in responses.messages {
                    let subject = response.message.message.subject
                    let count = seen.withLock { seen in
                        seen.append(subject)
                        return seen.count
                    }
                    if count == 2 { break }
                }
            }
            #expect(seen.withLock { $0 } == ["test.a", "test.c"])
            let name = "mine-1"
            for (filter, isAllowed) in [("test.>", false), ("test.*.x", false), ("test.open.>", true), ("other.>", false)] {
                let request = Tocsin_V1_DeclarePoolRequest.with {
                    $0.pool = .with {
                        $0.name = name
                        $0.filters = [filter]
                    }
                }
                let ended = try await code { _ = try await subscriber.declarePool(request, metadata: bearer("client")) }
                #expect(ended == (isAllowed ? nil : .permissionDenied), "\(filter)")
            }
        }
    }
}
