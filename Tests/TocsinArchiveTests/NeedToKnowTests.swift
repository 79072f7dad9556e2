import GRPCCore
import Testing
import TocsinDomain
import TocsinProto
import TocsinServices

@testable import TocsinArchive

/// Goal: for who need not know of it, an incident does not exist; who has a key acts in no other name. Method: the service on a
/// temporary archive, called as one caller or another.
@Suite("Need to know", .timeLimit(.minutes(1)))
struct NeedToKnowTests {
    private let archive: TestArchive
    private let server: IncidentServer

    init() async throws {
        archive = try TestArchive()
        try await archive.apply([
            .alert(update("f", ["a"])), .alert(update("g", ["b"], service: "billing")),
        ])
        server = IncidentServer(
            store: archive.store, hub: NoHub(), seesEverything: ["robot"], now: { TestArchive.now }, changed: {})
    }

    private func call<Value>(
        as name: String, _ body: (IncidentServer, ServerContext) async throws -> Value
    ) async throws -> Value {
        let context = ServerContext(
            descriptor: Tocsin_V1_IncidentService.Method.ListIncidents.descriptor, remotePeer: "", localPeer: "",
            cancellation: .init())
        let caller = Caller(name.isEmpty ? [:] : ["tocsin-caller": .string(name)])
        return try await Caller.$current.withValue(caller) { try await body(server, context) }
    }

    private func refusal(
        as name: String, _ body: (IncidentServer, ServerContext) async throws -> Void
    ) async throws -> RPCError.Code? {
        do {
            try await call(as: name, body)
            return nil
        } catch let error as RPCError { return error.code }
    }

    private func listed(as name: String) async throws -> [UInt64] {
        try await call(as: name) { try await $0.listIncidents(request: .init(), context: $1) }.incidents.map(\.number).sorted()
    }

    private func restrict(_ people: [String], _ id: String = "r") async throws -> Tocsin_V1_RestrictIncidentResponse {
        try await call(as: "alice") {
            try await $0.restrictIncident(
                request: .with {
                    $0.requestID = id
                    $0.number = 1
                    $0.people = people
                }, context: $1)
        }
    }

    @Test("who is not named finds no such incident, who is named and what sees everything does")
    func visibility() async throws {
        let answer = try await restrict(["alice", "bob"])
        #expect(answer.incident.needToKnow == ["alice", "bob"])
        #expect(answer.entry.actor == "alice" && answer.entry.after == "alice, bob")
        for name in ["alice", "bob", "robot", "", "anonymous"] { #expect(try await listed(as: name) == [1, 2], "\(name)") }
        #expect(try await listed(as: "eve") == [2])
        let get = Tocsin_V1_GetIncidentRequest.with { $0.number = 1 }
        #expect(try await refusal(as: "bob") { _ = try await $0.getIncident(request: get, context: $1) } == nil)
        #expect(try await refusal(as: "eve") { _ = try await $0.getIncident(request: get, context: $1) } == .notFound)
        let note = Tocsin_V1_AnnotateIncidentRequest.with { ($0.requestID, $0.number, $0.note) = ("n", 1, "seen?") }
        #expect(try await refusal(as: "eve") { _ = try await $0.annotateIncident(request: note, context: $1) } == .notFound)
        let merge = Tocsin_V1_MergeIncidentRequest.with { ($0.requestID, $0.number, $0.into, $0.reason) = ("m", 2, 1, "x") }
        #expect(try await refusal(as: "eve") { _ = try await $0.mergeIncident(request: merge, context: $1) } == .notFound)
        // Its alerts would be seen by others.
        #expect(
            try await refusal(as: "bob") { _ = try await $0.mergeIncident(request: merge, context: $1) } == .failedPrecondition)
        let trace = Tocsin_V1_TraceEventRequest.with { ($0.eventID, $0.fingerprint) = ("a", "f") }
        #expect(try await !call(as: "eve") { try await $0.traceEvent(request: trace, context: $1) }.hasIncident)
        #expect(try await call(as: "bob") { try await $0.traceEvent(request: trace, context: $1) }.incident.number == 1)
        _ = try await restrict([], "l")
        #expect(try await listed(as: "eve") == [1, 2])
    }

    @Test("changes of a restricted incident are told where only those who need to know may listen")
    func subjects() async throws {
        _ = try await restrict(["alice"])
        _ = try await restrict([], "l")
        let subjects = try await archive.store.pendingChanges(limit: 100, bytesMax: 1 << 20).map(\.message.subject)
        #expect(subjects.contains("incident.need-to-know.restricted.checkout"))
        #expect(subjects.contains("incident.restriction-lifted.checkout"))
    }

    @Test("who restricts an incident has to be one of those who see it")
    func ownName() async throws {
        await #expect(throws: RPCError.self) { () async throws -> Void in _ = try await restrict(["bob"]) }
        #expect(try await listed(as: "eve") == [1, 2])
    }

    @Test("who has a key acts in its name, and in no other")
    func actors() async throws {
        var note = Tocsin_V1_AnnotateIncidentRequest.with { ($0.requestID, $0.number, $0.note) = ("1", 1, "x") }
        let answer = try await call(as: "alice") { try await $0.annotateIncident(request: note, context: $1) }
        #expect(answer.entry.actor == "alice")
        note.actor = "bob"
        note.requestID = "2"
        #expect(
            try await refusal(as: "alice") { _ = try await $0.annotateIncident(request: note, context: $1) }
                == .permissionDenied)
        #expect(try await call(as: "") { try await $0.annotateIncident(request: note, context: $1) }.entry.actor == "bob")
    }

    @Test("a mark is shown and told, and the same again is refused")
    func marks() async throws {
        func mark(_ id: String) async throws -> Tocsin_V1_MarkIncidentResponse {
            try await call(as: "alice") {
                try await $0.markIncident(
                    request: .with { ($0.requestID, $0.number, $0.trafficLight) = (id, 1, .amberStrict) }, context: $1)
            }
        }
        #expect(try await mark("1").entry.after == "TLP:AMBER+STRICT")
        #expect(try await archive.incident(1).trafficLight == .amberStrict)
        await #expect(throws: RPCError.self) { () async throws -> Void in _ = try await mark("2") }
    }
}

private struct NoHub: IncidentHub {
    func report(_ event: Tocsin_V1_Event) async throws -> Bool { false }
    func changes(since: UInt64, _ each: (Tocsin_V1_WatchIncidentsResponse) async throws -> Void) async throws {}
}
