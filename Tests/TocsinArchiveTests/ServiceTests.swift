import GRPCCore
import SwiftProtobuf
import Testing
import TocsinProto
import TocsinServices

@testable import TocsinArchive

/// Goal: who asks wrongly learns which field is wrong, with the code that gRPC has for it. Method: the service on a temporary
/// archive, without a hub.
@Suite("The service's answers", .timeLimit(.minutes(1)))
struct ServiceTests {
    private static func problem(_ call: (IncidentServer, ServerContext) async throws -> Void) async throws -> String? {
        let archive = try TestArchive()
        try await archive.apply(update("f", ["a"]))
        let server = IncidentServer(store: archive.store, hub: NoHub(), now: { TestArchive.now }, changed: {})
        let context = ServerContext(
            descriptor: Tocsin_V1_IncidentService.Method.ListIncidents.descriptor, remotePeer: "", localPeer: "",
            cancellation: .init())
        do {
            try await call(server, context)
            return nil
        } catch let error as RPCError {
            return "\(error.code): \(error.message)"
        }
    }

    @Test(
        "an event that cannot be stored is an invalid argument that names the field",
        arguments: [
            (Tocsin_V1_Event.with { $0.summary = "x" }, "event.service is empty"),
            (.with { $0.service = "s" }, "event.summary is empty"),
            (
                .with {
                    $0.service = String(repeating: "s", count: 256)
                    $0.summary = "x"
                }, "event.service has 256 bytes; at most 255 are possible"
            ),
            (
                .with {
                    $0.id = String(repeating: "i", count: 65)
                    $0.service = "s"
                    $0.summary = "x"
                }, "event.id has 65 bytes"
            ),
            (
                .with {
                    $0.kind = .UNRECOGNIZED(7)
                    $0.service = "s"
                    $0.summary = "x"
                }, "event.kind 7 does not exist"
            ),
            (
                .with {
                    $0.severityHint = "awful"
                    $0.service = "s"
                    $0.summary = "x"
                }, "event.severity_hint \"awful\" is none of"
            ),
        ])
    func events(event: Tocsin_V1_Event, message: String) async throws {
        let problem = try await Self.problem { (server, context) async throws -> Void in
            _ = try await server.reportEvent(request: .with { $0.event = event }, context: context)
        }
        #expect(problem?.hasPrefix("invalidArgument: \(message)") == true, "\(problem ?? "taken")")
    }

    @Test(
        "a list that cannot be is an invalid argument that names the field",
        arguments: [
            (Tocsin_V1_ListIncidentsRequest.with { $0.states = [.triaged, .unspecified] }, "states[1] is 0"),
            (.with { $0.states = [.UNRECOGNIZED(300)] }, "states[0] is 300"),
            (.with { $0.services = Array(repeating: "s", count: 65) }, "services are 65"),
            (.with { $0.minimumSeverity = .UNRECOGNIZED(9) }, "minimum_severity 9"),
            (
                .with {
                    $0.assignee = "a"
                    $0.unassigned = true
                }, "assignee and unassigned"
            ),
            (.with { $0.titleContains = String(repeating: "x", count: 513) }, "title_contains has 513 bytes"),
            (
                .with {
                    $0.since = 5
                    $0.until = 5
                }, "until 5 is not after since 5"
            ),
            (.with { $0.drills = .UNRECOGNIZED(3) }, "drills 3"),
            (.with { $0.pageToken = "nonsense" }, "page_token is none"),
            (.with { $0.pageToken = "MiAwIDEgMQ==" }, "page_token is none"),
            (.with { $0.pageToken = String(repeating: "A", count: 1 << 20) }, "page_token is none"),
        ])
    func lists(request: Tocsin_V1_ListIncidentsRequest, message: String) async throws {
        let problem = try await Self.problem { (server, context) async throws -> Void in
            _ = try await server.listIncidents(request: request, context: context)
        }
        #expect(problem?.hasPrefix("invalidArgument: \(message)") == true, "\(problem ?? "listed")")
    }

    @Test("bytes that are no request name the field and where it is, as far as it can be told")
    func garbage() throws {
        func problem<Request: Message>(
            _ bytes: [UInt8], _ type: Request.Type = Tocsin_V1_SplitIncidentRequest.self
        ) -> String {
            do {
                let message: Request = try FieldNamingDeserializer().deserialize(bytes)
                return message.textFormatString()
            } catch let error as RPCError {
                return "\(error.code): \(error.message)"
            } catch {
                return "\(error)"
            }
        }
        let name = "invalidArgument: these bytes are no tocsin.v1.SplitIncidentRequest: "
        // actor, then number as a varint without end; title that is longer than the bytes; fingerprints that are not UTF-8.
        #expect(
            problem([0x1A, 1, 0x61, 0x10, 0xFF])
                == name + "field number at byte 3, and the bytes end or make no sense within it")
        #expect(problem([0x2A, 9, 0x61]).hasPrefix(name + "field title at byte 0"))
        #expect(
            problem([0x22, 2, 0xC3, 0x28]) == name
                + "field fingerprints, bytes 0 to 3, holds what it cannot hold: text that is not UTF-8")
        #expect(problem([0xFF, 0xFF, 0xFF]).hasPrefix(name + "no field begins at byte 0"))
        #expect(problem([0xFA, 0x3E, 9]).hasPrefix(name + "field 1007 at byte 0"))
        // Within a message, and a map within that.
        let report = "invalidArgument: these bytes are no tocsin.v1.ReportEventRequest: "
        #expect(
            problem([0x0A, 4, 0x22, 2, 0xC3, 0x28], Tocsin_V1_ReportEventRequest.self)
                == report + "field event.service, bytes 2 to 5, holds what it cannot hold: text that is not UTF-8")
        #expect(
            problem([0x0A, 3, 0x22, 9, 0x61], Tocsin_V1_ReportEventRequest.self)
                == report + "field event.service at byte 2, and the bytes end or make no sense within it")
        #expect(
            problem([0x0A, 5, 0x4A, 3, 0x0A, 1, 0xFF], Tocsin_V1_ReportEventRequest.self)
                .hasPrefix(report + "field event.labels, bytes 2 to 6"))
        #expect(problem([]).isEmpty)
        for byte in UInt8.min...UInt8.max { #expect(!problem([byte, 0xFF, byte, 0x0A, 0xFF]).isEmpty) }
    }
}

private struct NoHub: IncidentHub {
    func report(_ event: Tocsin_V1_Event) async throws -> Bool { false }
    func changes(since: UInt64, _ each: (Tocsin_V1_WatchIncidentsResponse) async throws -> Void) async throws {}
}
