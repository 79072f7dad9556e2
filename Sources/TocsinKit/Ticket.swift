import Synchronization

/// What the hub's answer to a request comes down to.
enum Answer: Sendable, Equatable {
    case done
    case accepted(Receipt)
    /// The encoded response of a call.
    case reply([UInt8])
}

/// A result that comes once, from the client's thread, for one waiting task. Whoever completes it first decides.
final class Ticket: Sendable {
    private enum State {
        case open
        case awaited(CheckedContinuation<Answer, any Error>)
        case done(Result<Answer, any Error>)
    }
    private let state = Mutex(State.open)
    private let whenDone: (@Sendable (Result<Answer, any Error>) -> Void)?

    /// `whenDone` is called once, on the thread that completes the ticket.
    init(whenDone: (@Sendable (Result<Answer, any Error>) -> Void)? = nil) {
        self.whenDone = whenDone
    }

    /// False if it had a result already; that one stands.
    @discardableResult func complete(_ result: Result<Answer, any Error>) -> Bool {
        let (first, waiter) = state.withLock { state -> (Bool, CheckedContinuation<Answer, any Error>?) in
            switch state {
            case .open:
                state = .done(result)
                return (true, nil)
            case .awaited(let waiter):
                state = .done(result)
                return (true, waiter)
            case .done:
                return (false, nil)
            }
        }
        waiter?.resume(with: result)
        if first { whenDone?(result) }
        return first
    }

    /// Waits for the result. One task may wait. If it is cancelled the result is `CancellationError`.
    func value() async throws -> Answer {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result = state.withLock { state -> Result<Answer, any Error>? in
                    switch state {
                    case .open:
                        state = .awaited(continuation)
                        return nil
                    case .awaited:
                        preconditionFailure("two tasks wait for one ticket")
                    case .done(let result):
                        return result
                    }
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            complete(.failure(CancellationError()))
        }
    }
}
