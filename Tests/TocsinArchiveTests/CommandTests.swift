import GRPCCore
import Testing
import TocsinDomain
import TocsinKit
import TocsinProto
import TocsinServices

@testable import TocsinArchive

/// Goal: what people do to incidents, once each, and what they may not. Method: a store on a temporary database with one
/// critical incident.
@Suite("Commands", .timeLimit(.minutes(1)))
struct CommandTests {
    private static let later = TestArchive.start + 60_000

    private static func archive() async throws -> TestArchive {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        return archive
    }

    private static func refusal(
        _ archive: TestArchive, _ request: some CommandRequest, now: UInt64 = later
    ) async throws -> CommandRefusal? {
        do {
            _ = try await archive.store.command(request, now: now)
            return nil
        } catch let refusal as CommandRefusal {
            return refusal
        }
    }

    @Test("an incident goes its whole way, and each step is stamped, written and told")
    func wholeLife() async throws {
        let archive = try await Self.archive()
        let requests = [
            command("1", .acknowledge), command("2", .assign, "bob"), command("3", .note, "it is the disk"),
            command("4", .investigate), command("5", .mitigate, "moved to another disk"),
            command("6", .resolve, "a full disk"), command("7", .close, "nothing to learn", waive: true),
        ]
        for (index, request) in requests.enumerated() {
            _ = try await archive.store.command(request, now: Self.later + UInt64(index) * 1000)
        }
        let incident = try await archive.incident(1)
        #expect(incident.state == .closed && incident.cause == "a full disk" && incident.assignee == "bob")
        #expect(incident.acknowledgedAt == Self.later && incident.mitigatedAt == Self.later + 4000)
        #expect(incident.resolvedAt == Self.later + 5000 && incident.closedAt == Self.later + 6000)
        #expect(incident.version == 8 && incident.updatedAt == Self.later + 6000)
        let verbs = [
            "opened", "acknowledged", "assigned", "noted", "investigating", "mitigated", "resolved", "closed",
        ]
        #expect(try await archive.changes().map(\.verb) == verbs)
        #expect(try await archive.changes().map(\.id) == (1...8).map { "incident/1/\($0)" })
        let timeline = try await archive.store.get(1).timeline
        #expect(timeline.dropFirst(2).allSatisfy { $0.actor == "alice" })
        #expect(timeline.first { $0.verb == "assigned" }?.before == "alice")
        #expect(timeline.last?.text == "nothing to learn")
    }

    @Test("who acknowledges owns the incident, unless it is somebody's already")
    func owner() async throws {
        let archive = try await Self.archive()
        let first = try await archive.store.command(command("1", .acknowledge), now: Self.later)
        #expect(first.incident.assignee == "alice" && first.entry.verb == "acknowledged")
        let other = try await Self.archive()
        _ = try await other.store.command(command("1", .assign, "bob"), now: Self.later)
        #expect(try await other.store.command(command("2", .acknowledge), now: Self.later).incident.assignee == "bob")
    }

    @Test("the same command again has no further effect and the same answer, also after a restart")
    func idempotent() async throws {
        let archive = try await Self.archive()
        let request = command("1", .acknowledge)
        let answer = try await archive.store.command(request, now: Self.later)
        let before = try await archive.dump()
        try archive.restart()
        #expect(try await archive.store.command(request, now: Self.later + 5000) == answer)
        #expect(try await archive.dump() == before)
    }

    @Test("a refused command is answered alike when it is repeated")
    func refusedAgain() async throws {
        let archive = try await Self.archive()
        let request = command("1", .close, "done")
        let first = try #require(try await Self.refusal(archive, request))
        _ = try await archive.store.command(command("2", .resolve, "known"), now: Self.later)
        #expect(try await Self.refusal(archive, request) == first)
        #expect(try await archive.count("refused") == 1)
    }

    @Test("an id used for another command is refused")
    func reusedID() async throws {
        let archive = try await Self.archive()
        _ = try await archive.store.command(command("1", .note, "one"), now: Self.later)
        let refusal = try await Self.refusal(archive, command("1", .note, "two"))
        #expect(refusal?.code == .invalidArgument)
        #expect(try await archive.verbs(1).filter { $0 == "noted" }.count == 1)
    }

    @Test("what the lifecycle does not allow is refused with its name and a sentence, and journalled")
    func refused() async throws {
        let archive = try await Self.archive()
        let wrong: [(TestCommand, String)] = [
            (
                command("1", .close, "x"),
                "ILLEGAL_TRANSITION: cannot close an incident that is triaged; resolve it first"
            ),
            (command("2", .resolve), "CAUSE_MISSING: state the cause, or \"unknown\", to resolve the incident"),
            (command("3", .reopen), "ILLEGAL_TRANSITION: cannot reopen an incident that is triaged; it is open"),
            (command("4", .dismiss, "  "), "REASON_MISSING: say why the incident is dismissed"),
        ]
        let before = try await archive.incident(1)
        for (request, message) in wrong {
            let refusal = try #require(try await Self.refusal(archive, request))
            #expect(refusal.code == .failedPrecondition && refusal.message == message)
        }
        #expect(try await archive.incident(1) == before)
        #expect(try await archive.count("refused", where: "actor <> 'alice' AND incident = 1") == 4)
        #expect(try await archive.changes().count == 1)
    }

    @Test("a P1 is closed with a postmortem or a reason not to")
    func postmortem() async throws {
        let archive = try await Self.archive()
        _ = try await archive.store.command(command("1", .resolve, "known"), now: Self.later)
        #expect(
            try await Self.refusal(archive, command("2", .close, "done"))?.message.hasPrefix("POSTMORTEM_MISSING")
                == true)
        #expect(
            try await Self.refusal(archive, command("3", .close, waive: true))?.message.hasPrefix("REASON_MISSING")
                == true)
        let closed = try await archive.store.command(
            command("4", .close, "a drill in all but name", waive: true), now: Self.later)
        #expect(closed.incident.state == .closed)
    }

    @Test("who resolves an incident resolves its alerts; if they fire on it is reopened")
    func resolveByHand() async throws {
        let archive = try await Self.archive()
        let resolved = try await archive.store.command(command("1", .resolve, "unknown"), now: Self.later)
        #expect(resolved.incident.alertsFiring == 0 && resolved.incident.acknowledgedAt == Self.later)
        #expect(try await archive.store.get(1).alerts.map(\.state) == ["resolved"])
        try await archive.apply(update("f", ["b"], at: 90))
        let incident = try await archive.incident(1)
        #expect(incident.state == .triaged && incident.reopened == 1 && incident.alertsFiring == 1)
    }

    @Test("reopening is allowed within the window, by hand, and gives the incident an owner")
    func reopenByHand() async throws {
        let archive = try await Self.archive()
        _ = try await archive.store.command(command("1", .resolve, "known"), now: Self.later)
        let late = Self.later + 25 * 3600 * 1000
        #expect(
            try await Self.refusal(archive, command("2", .reopen), now: late)?.message.hasPrefix("REOPEN_WINDOW_PASSED")
                == true)
        let reopened = try await archive.store.command(command("3", .reopen, actor: "bob"), now: Self.later + 1000)
        #expect(reopened.incident.state == .investigating && reopened.incident.reopened == 1)
    }

    @Test("a dismissed incident that is taken up again counts the alerts that are still its own")
    func restored() async throws {
        let archive = try await Self.archive()
        _ = try await archive.store.command(command("1", .dismiss, "noise"), now: Self.later)
        let restored = try await archive.store.command(command("2", .reopen, "no noise"), now: Self.later)
        #expect(restored.incident.state == .triaged && restored.incident.alertsFiring == 1)
        try await archive.apply(update("f", ["b"], .resolve, at: 90))
        #expect(try await archive.incident(1).state == .resolved)
    }

    @Test("what makes no sense for any incident is an invalid argument")
    func invalid() async throws {
        let archive = try await Self.archive()
        let long = String(repeating: "x", count: 20_000)
        let wrong = [
            command("", .note, "x"), command("1", .note, " "), command("2", .assign), command("3", .note, long),
            command("4", .acknowledge, actor: "  "), command("5", .acknowledge, number: 0),
            command(long, .note, "x"), command("7", .note, "x", actor: long), command("8", .resolve, long),
        ]
        for request in wrong {
            #expect(try await Self.refusal(archive, request)?.code == .invalidArgument, "\(request.requestID.prefix(20))")
        }
        #expect(try await archive.count("commands") == 0)
    }

    @Test("an incident that does not exist is not found, whatever its number")
    func notFound() async throws {
        let archive = try await Self.archive()
        for number in [2, UInt64.max] {
            #expect(try await Self.refusal(archive, command("1", .acknowledge, number: number))?.code == .notFound)
        }
        // Nothing is remembered: it may exist later.
        #expect(try await archive.count("commands") == 0)
    }

    @Test("the service answers by method, and failures with their gRPC code")
    func service() async throws {
        let archive = try await Self.archive()
        let server = IncidentServer(store: archive.store, hub: NoHub(), now: { Self.later }, changed: {})
        let context = ServerContext(
            descriptor: Tocsin_V1_IncidentService.Method.GetIncident.descriptor, remotePeer: "", localPeer: "",
            cancellation: .init())
        func code(_ call: () async throws -> Void) async throws -> RPCError.Code? {
            do {
                try await call()
                return nil
            } catch let error as RPCError {
                return error.code
            }
        }
        let list = try await server.listIncidents(request: .init(), context: context)
        #expect(list.total == 1 && list.incidents.map(\.number) == [1])
        let get = try await server.getIncident(request: .with { $0.number = 1 }, context: context)
        #expect(get.alerts.count == 1)
        let acknowledge = Tocsin_V1_AcknowledgeIncidentRequest.with {
            $0.requestID = "1"
            $0.number = 1
            $0.actor = "alice"
        }
        let acknowledged = try await server.acknowledgeIncident(request: acknowledge, context: context)
        #expect(acknowledged.incident.state == .acknowledged)
        let accounting = try await server.getAccounting(request: .init(), context: context)
        #expect(accounting.handled == 1)
        #expect(try await code { _ = try await server.getIncident(request: .init(), context: context) } == .notFound)
        let close = Tocsin_V1_CloseIncidentRequest.with {
            $0.requestID = "2"
            $0.number = 1
            $0.actor = "alice"
        }
        #expect(
            try await code { _ = try await server.closeIncident(request: close, context: context) } == .failedPrecondition)
        #expect(
            try await code { _ = try await server.closeIncident(request: .init(), context: context) } == .invalidArgument)
    }
}

private struct NoHub: IncidentHub {
    func report(_ event: Tocsin_V1_Event) async throws -> Bool { false }
    func changes(since: UInt64, _ each: (Tocsin_V1_WatchIncidentsResponse) async throws -> Void) async throws {}
}
