import TestSupport
import Testing

@testable import TocsinKit

@Suite("What bounds a client's requests", .timeLimit(.minutes(3))) struct GateTests {
    private let never = steadyNow() + 1_000_000

    private func isWaiting(_ gate: Gate, _ count: Int) async -> Bool { await eventually { gate.counts.waiting == count } }

    @Test("whoever waits gets in, in the order of coming, as there is room in pieces and in bytes")
    func order() async throws {
        let gate = Gate(pieces: 2, bytes: 100)
        #expect(try await gate.enter(bytes: 60, deadline: never))
        let large = Task { try await gate.enter(bytes: 50, deadline: never) }
        #expect(await isWaiting(gate, 1))
        let small = Task { try await gate.enter(bytes: 10, deadline: never) }
        #expect(await isWaiting(gate, 2), "it would fit, but is not let past the other")
        gate.leave(bytes: 60)
        #expect(try await large.value)
        #expect(try await small.value)
        #expect(gate.counts.waiting == 0)
        // Larger than all the room there is: alone.
        let huge = Task { try await gate.enter(bytes: 1000, deadline: never) }
        #expect(await isWaiting(gate, 1))
        gate.leave(bytes: 50)
        gate.leave(bytes: 10)
        #expect(try await huge.value)
    }

    @Test("who no longer waits, cancelled or past the deadline, leaves nothing behind and stands in nobody's way")
    func givenUp() async throws {
        let gate = Gate(pieces: 10, bytes: 100)
        #expect(try await gate.enter(bytes: 60, deadline: never))
        for _ in 0..<20 { #expect(try await gate.enter(bytes: 50, deadline: steadyNow() + 1) == false) }
        #expect(gate.counts.waiting == 0)
        let large = Task { try await gate.enter(bytes: 50, deadline: never) }
        #expect(await isWaiting(gate, 1))
        let small = Task { try await gate.enter(bytes: 10, deadline: never) }
        #expect(await isWaiting(gate, 2))
        large.cancel()
        await #expect(throws: CancellationError.self) { try await large.value }
        #expect(try await small.value)
        #expect(gate.counts.waiting == 0)
        gate.leave(bytes: 60)
        gate.leave(bytes: 10)
        // All of the room is there again.
        #expect(try await gate.enter(bytes: 100, deadline: never))
        #expect(try await gate.enter(bytes: 0, deadline: never))
    }

    @Test("closing ends every wait, and later ones do not begin")
    func close() async throws {
        let gate = Gate(pieces: 1)
        #expect(try await gate.enter(deadline: never))
        let waiting = Task { try await gate.enter(deadline: never) }
        #expect(await isWaiting(gate, 1))
        gate.close()
        for late in [waiting, Task { try await gate.enter(deadline: never) }] {
            let error = await #expect(throws: ClientError.self) { try await late.value }
            guard case .closed? = error else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
    }
}
