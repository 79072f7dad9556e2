import Logging
import TocsinKit
import TocsinWire

/// Brings the outbox to the hub, in order. A change is deleted after the hub has accepted it; what was accepted and not
/// deleted, because the archiver died in between, is published again under the same id, and the hub knows it.
struct OutboxPublisher: Sendable {
    let store: ArchiveStore
    let logger: Logger
    let publish: @Sendable ([Message]) async throws -> Void

    /// In one publish; below the protocol's bounds, so that it is one batch and `index` of a refusal is one of ours.
    private static let messagesMax = 1000
    private static let bytesMax = 2 << 20

    /// Publishes what waits each time `signal` says that there may be something, and once at the start. Ends with its task.
    func run(_ signal: AsyncStream<Void>) async {
        var backoff = Backoff()
        var iterator = signal.makeAsyncIterator()
        repeat {
            var isEmpty = false
            while !isEmpty, !Task.isCancelled {
                do {
                    isEmpty = try await step()
                    if backoff.reset() { logger.info("changes of incidents reach the hub again") }
                } catch is CancellationError {
                    return
                } catch {
                    if backoff.isFirst {
                        logger.warning("changes of incidents wait in the outbox", metadata: ["reason": "\(error)"])
                    }
                    await backoff.wait()
                }
            }
        } while await iterator.next() != nil
    }

    /// Publishes the oldest changes. True if none are left to publish.
    func step() async throws -> Bool {
        let rows = try await store.pendingChanges(limit: Self.messagesMax, bytesMax: Self.bytesMax)
        guard !rows.isEmpty else { return true }
        do {
            try await publish(rows.map(\.message))
        } catch ClientError.refused(let reason, let text, let index)
            where Self.isPermanent(reason) && rows.indices.contains(index)
        {
            // None of them was stored. The wrong one is set aside, the others are tried again.
            logger.error(
                "the hub will never take a change of an incident; it stays in the outbox",
                metadata: [
                    "id": "\(String(decoding: rows[index].message.id, as: UTF8.self))",
                    "reason": "\(reason.name): \(text)",
                ])
            try await store.setAside(rows[index], because: "\(reason.name): \(text)")
            return false
        }
        try await store.deletePublished(rows)
        return false
    }

    /// The same bytes will be refused for ever. A subject that nothing takes may be taken once the hub is configured.
    private static func isPermanent(_ reason: Reason) -> Bool {
        switch reason {
        case .tooLarge, .badEnvelope: true
        default: false
        }
    }
}

/// Growing waits between attempts.
struct Backoff: Sendable {
    private static let shortest = Duration.milliseconds(250)
    static let longest = Duration.seconds(10)
    private var next = Self.shortest
    private(set) var isFirst = true

    /// Waits, or returns early when the task is cancelled.
    mutating func wait() async {
        let delay = next
        next = min(next * 2, Self.longest)
        isFirst = false
        do { try await Task.sleep(for: delay) } catch { return }
    }

    /// It worked. True if it had not before.
    mutating func reset() -> Bool {
        defer { self = Backoff() }
        return !isFirst
    }
}
