import DequeModule
import Synchronization

/// What the client's thread has received for one consumer. Bounded by weight (messages): the hub's credit keeps it below.
final class Inbox<Element: Sendable>: Sendable {
    private struct State {
        var elements: Deque<(element: Element, weight: Int)> = []
        var weight = 0
        var waiter: CheckedContinuation<Element?, any Error>?
        var end: Result<Element?, any Error>?
    }
    private let state = Mutex(State())
    private let weightMax: Int

    init(weightMax: Int) {
        self.weightMax = weightMax
    }

    /// False if there is no room: the other side has sent more than it may.
    func push(_ element: Element, weight: Int) -> Bool {
        let (taken, waiter) = state.withLock { state -> (Bool, CheckedContinuation<Element?, any Error>?) in
            if state.end != nil { return (true, nil) }
            if let waiter = state.waiter {
                state.waiter = nil
                return (true, waiter)
            }
            guard state.weight + weight <= weightMax else { return (false, nil) }
            state.elements.append((element, weight))
            state.weight += weight
            return (true, nil)
        }
        waiter?.resume(returning: element)
        return taken
    }

    /// Waits for the next element; nil at the end. One task at a time.
    ///
    /// - Throws: what `finish` was given; `CancellationError`.
    func next() async throws -> Element? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result = state.withLock { state -> Result<Element?, any Error>? in
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if let first = state.elements.popFirst() {
                        state.weight -= first.weight
                        return .success(first.element)
                    }
                    if let end = state.end {
                        state.end = .success(nil)
                        return end
                    }
                    guard state.waiter == nil else {
                        return .failure(ClientError.badOption("two tasks iterate one subscription or tap; open one for each"))
                    }
                    state.waiter = continuation
                    return nil
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                defer { state.waiter = nil }
                return state.waiter
            }
            waiter?.resume(throwing: CancellationError())
        }
    }

    /// Drops what has not been taken.
    func clear() {
        state.withLock { state in
            state.elements.removeAll()
            state.weight = 0
        }
    }

    /// What is still there is handed out first, then nil, or `error` once.
    func finish(throwing error: (any Error)? = nil, dropping: Bool = false) {
        let waiter = state.withLock { state -> CheckedContinuation<Element?, any Error>? in
            if dropping {
                state.elements.removeAll()
                state.weight = 0
            }
            if state.end != nil { return nil }
            guard let waiter = state.waiter else {
                state.end = error.map { .failure($0) } ?? .success(nil)
                return nil
            }
            state.waiter = nil
            state.end = .success(nil)
            return waiter
        }
        if let error { waiter?.resume(throwing: error) } else { waiter?.resume(returning: nil) }
    }
}
