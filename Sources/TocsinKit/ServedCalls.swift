import DequeModule
import TocsinProto

/// The calls this client is serving: handlers run in tasks, `runningMax` at a time; the others wait their turn.
///
/// Used on the client's thread; results come back by the mailbox.
struct ServedCalls {
    private static let runningMax = 64

    /// By service.
    var handlers: [String: Handler] = [:]
    private let mailbox: Mailbox
    private var running: [UInt64: (session: UInt64, task: Task<Void, Never>)] = [:]
    /// Bounded by the session, which refuses calls past the protocol's limit.
    private var waiting: Deque<(id: UInt64, session: UInt64, call: IncomingCall)> = []
    /// Tasks that were cancelled and have not ended yet.
    private var ending = 0

    init(mailbox: Mailbox) {
        self.mailbox = mailbox
    }

    mutating func begin(_ id: UInt64, session: UInt64, _ head: Tocsin_V1_CallHead, _ request: [UInt8]) {
        let timeout = head.timeoutMs == 0 ? 30_000 : Int64(head.timeoutMs)
        let call = IncomingCall(
            method: head.method, metadata: head.metadata, request: request, deadline: .now + .milliseconds(timeout))
        waiting.append((id, session, call))
        runWaiting()
    }

    private mutating func runWaiting() {
        while running.count + ending < Self.runningMax, let (id, session, call) = waiting.popFirst() {
            let handler = call.method.lastIndex(of: "/").flatMap { handlers[String(call.method[..<$0])] }
            let mailbox = mailbox
            running[id] = (
                session,
                Task {
                    let result = await Self.answer(call, handler)
                    do {
                        try mailbox.post(.reply(id: id, session: session, result))
                    } catch {
                        // The client is closed: nobody is left to answer.
                    }
                }
            )
        }
    }

    private static func answer(_ call: IncomingCall, _ handler: Handler?) async -> CallResult {
        guard let handler else {
            return CallResult(code: 12, message: "\(call.method) is not served here", response: [])
        }
        do {
            return CallResult(code: 0, message: "", response: try await handler(call))
        } catch let failure as CallFailure {
            return CallResult(code: failure.code == 0 ? 2 : failure.code, message: failure.message, response: [])
        } catch is CancellationError {
            return CallResult(code: 1, message: "\(call.method) was cancelled", response: [])
        } catch {
            return CallResult(code: 2, message: "\(error)", response: [])
        }
    }

    /// The handler of `id` has returned.
    mutating func finished(_ id: UInt64, session: UInt64) {
        if running[id]?.session == session {
            running[id] = nil
        } else {
            ending -= 1
        }
        runWaiting()
    }

    mutating func cancel(_ id: UInt64) {
        waiting.removeAll { $0.id == id }
        guard let call = running.removeValue(forKey: id) else { return }
        ending += 1
        call.task.cancel()
    }

    mutating func cancelAll() {
        waiting.removeAll()
        for id in Array(running.keys) { cancel(id) }
    }
}
