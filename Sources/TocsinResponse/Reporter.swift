import TocsinKit

/// How reports leave: to the hub, or in tests elsewhere. Returns when they are durable; the same ids may be sent again.
typealias Publish = @Sendable ([Message]) async throws -> Void

/// Publishes the reports of one run in order, while the run goes on: a hub that is away does not hold up a repair.
actor Reporter {
    private let publish: Publish
    /// At most one run's reports: one for each step and three.
    private var waiting: [Message] = []
    private var sending: Task<Void, Never>?

    init(_ publish: @escaping Publish) { self.publish = publish }

    func add(_ report: Message) {
        waiting.append(report)
        if sending == nil { sending = Task { await self.send() } }
    }

    /// Returns when every report is on the hub's disk. Throws what the last attempt to publish threw.
    func flush() async throws {
        await sending?.value
        guard !waiting.isEmpty else { return }
        try await publish(waiting)
        waiting = []
    }

    private func send() async {
        while !waiting.isEmpty {
            let batch = waiting
            do {
                try await publish(batch)
            } catch {
                // `add` and `flush` try again; `flush` says why it failed.
                break
            }
            waiting.removeFirst(batch.count)
        }
        sending = nil
    }
}
