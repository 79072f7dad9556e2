import InteropSuite
import Testing

/// Goal: what every gRPC transport does, by gRPC's own public test cases. Method: the cases, which are written for any transport,
/// through a real hub.
@Suite("gRPC interoperability cases through the hub", .timeLimit(.minutes(3))) struct InteropTests {
    @Test("case", arguments: InteropCase.allCases)
    func run(_ interop: InteropCase) async throws {
        let world = try await World()
        try await world.with { client, _ in try await interop.run(client) }
        try await world.stop()
    }
}
