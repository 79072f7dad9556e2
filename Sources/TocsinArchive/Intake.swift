import TocsinKit

/// What was delivered and not applied yet, between the task that receives and the task that writes: while one transaction is
/// being synced the next batch gathers here, so that small deliveries do not mean small transactions. One producer, one
/// consumer.
actor Intake {
    private var waiting: [Delivery] = []
    private var hasEnded = false
    private var producer: CheckedContinuation<Void, Never>?
    private var consumer: CheckedContinuation<Void, Never>?
    private let limit: Int

    /// `limit`: deliveries kept; with as many the producer waits.
    init(limit: Int) { self.limit = limit }

    /// Returns at once while there is room; what comes after the end is dropped.
    func put(_ deliveries: [Delivery]) async {
        while waiting.count >= limit, !hasEnded {
            await withCheckedContinuation { producer = $0 }
        }
        guard !hasEnded else { return }
        waiting += deliveries
        wakeConsumer()
    }

    /// Everything there is, at least one and at most `count`; nil at the end.
    func take(_ count: Int) async -> [Delivery]? {
        while waiting.isEmpty {
            if hasEnded { return nil }
            await withCheckedContinuation { consumer = $0 }
        }
        let taken = Array(waiting.prefix(count))
        waiting.removeFirst(taken.count)
        wakeProducer()
        return taken
    }

    /// No more is taken in; what is there can still be taken. Either side may say so.
    func end() {
        hasEnded = true
        wakeProducer()
        wakeConsumer()
    }

    private func wakeProducer() {
        producer?.resume()
        producer = nil
    }

    private func wakeConsumer() {
        consumer?.resume()
        consumer = nil
    }
}
