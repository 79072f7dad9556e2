import DequeModule
import Synchronization

/// Bounds what is under way: so many pieces and so many bytes. Others wait in the order they came. Thread-safe.
final class Gate: Sendable {
    private struct State {
        var pieces = 0
        var bytes = 0
        var waiting: Deque<(ticket: Ticket, bytes: Int)> = []
        var closed = false
    }
    private let state = Mutex(State())
    let piecesMax: Int
    private let bytesMax: Int

    init(pieces: Int, bytes: Int = .max) {
        piecesMax = pieces
        bytesMax = bytes
    }

    /// How many have got in and not left, and how many wait for room.
    var counts: (underWay: Int, waiting: Int) { state.withLock { ($0.pieces, $0.waiting.count) } }

    /// Waits for room until `deadline` (milliseconds of the steady clock); false if there was none. A piece larger than all the
    /// room there is gets in when nothing else is under way. Whoever gets in must `leave`.
    ///
    /// - Throws: `ClientError.closed`, `CancellationError`.
    func enter(bytes: Int = 0, deadline: Int64) async throws -> Bool {
        let ticket = try state.withLock { state -> Ticket? in
            if state.closed { throw ClientError.closed }
            if state.waiting.isEmpty && fits(bytes, in: state) {
                admit(bytes, to: &state)
                return nil
            }
            let ticket = Ticket()
            state.waiting.append((ticket, bytes))
            return ticket
        }
        guard let ticket else { return true }
        let timer = Task {
            try await Task.sleep(for: .milliseconds(max(0, deadline - steadyNow())))
            ticket.complete(.failure(Late()))
        }
        defer { timer.cancel() }
        do {
            _ = try await ticket.value()
            return true
        } catch {
            forget(ticket)
            if error is Late { return false }
            throw error
        }
    }

    private struct Late: Error {}

    /// Its task no longer waits: it neither takes memory nor stands before others.
    private func forget(_ ticket: Ticket) {
        state.withLock { state in
            guard let position = state.waiting.firstIndex(where: { $0.ticket === ticket }) else { return }
            state.waiting.remove(at: position)
            admitWaiting(&state)
        }
    }

    func leave(bytes: Int = 0) {
        state.withLock { state in
            state.pieces -= 1
            state.bytes -= bytes
            admitWaiting(&state)
        }
    }

    private func admitWaiting(_ state: inout State) {
        while let next = state.waiting.first, fits(next.bytes, in: state) {
            state.waiting.removeFirst()
            // A task that gave up meanwhile does not take its place.
            if next.ticket.complete(.success(.done)) { admit(next.bytes, to: &state) }
        }
    }

    /// Whoever waits, or comes later, gets `ClientError.closed`.
    func close() {
        let waiting = state.withLock { state in
            state.closed = true
            defer { state.waiting.removeAll() }
            return state.waiting
        }
        for entry in waiting { entry.ticket.complete(.failure(ClientError.closed)) }
    }

    private func fits(_ bytes: Int, in state: State) -> Bool {
        state.pieces == 0 || (state.pieces < piecesMax && state.bytes + bytes <= bytesMax)
    }

    private func admit(_ bytes: Int, to state: inout State) {
        state.pieces += 1
        state.bytes += bytes
    }
}
