import TocsinWire

/// Messages of a pool as they are delivered, in batches. One consumer iterates. Ends (returns nil) when closed. Thread-safe.
public final class Subscription: AsyncSequence, Sendable {
    public typealias Element = DeliveryBatch

    private let id: UInt64
    private let inbox: Inbox<DeliveryBatch>
    private let mailbox: Mailbox

    init(id: UInt64, inbox: Inbox<DeliveryBatch>, mailbox: Mailbox) {
        self.id = id
        self.inbox = inbox
        self.mailbox = mailbox
    }

    deinit {
        do {
            try mailbox.post(.closeStream(id))
        } catch {
            // The client is closed, and with it this.
        }
    }

    public struct AsyncIterator: AsyncIteratorProtocol {
        let subscription: Subscription
        /// Waits for the next batch; nil when closed.
        ///
        /// - Throws: `CancellationError`.
        public mutating func next() async throws -> DeliveryBatch? { try await subscription.inbox.next() }
    }
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(subscription: self) }

    /// Queues settlements and returns at once. Those of deliveries from before a reconnect are dropped: they come again.
    /// Each gives its credit back.
    public func settle(_ settlements: some Sequence<(Delivery, Settlement)>) {
        settle(settlements.lazy.map { ($0.0.lease, $0.1) })
    }

    /// As above.
    public func settle(_ settlements: some Sequence<(Lease, Settlement)>) {
        mailbox.settle(settlements, subscription: id)
    }

    /// Leaves the pool: what was delivered and not settled is given to others. Iteration ends.
    public func close() async {
        inbox.finish(dropping: true)
        do {
            try mailbox.post(.closeStream(id))
        } catch {
            // The client is closed, and with it this.
        }
    }
}

/// Messages seen by a tap, in stream order. Ends when closed; survives reconnects by continuing after the last sequence seen
/// (a live tap that has seen nothing yet continues live). Thread-safe.
public final class Tap: AsyncSequence, Sendable {
    public typealias Element = TapItem

    private let id: UInt64
    private let inbox: Inbox<TapChunk>
    private let mailbox: Mailbox

    init(id: UInt64, inbox: Inbox<TapChunk>, mailbox: Mailbox) {
        self.id = id
        self.inbox = inbox
        self.mailbox = mailbox
    }

    deinit {
        do {
            try mailbox.post(.closeStream(id))
        } catch {
            // The client is closed, and with it this.
        }
    }

    public struct AsyncIterator: AsyncIteratorProtocol {
        let tap: Tap
        private var items: [TapItem] = []
        private var next = 0

        init(tap: Tap) {
            self.tap = tap
        }

        /// Waits for the next message or gap; nil when closed.
        ///
        /// - Throws: `CancellationError`.
        public mutating func next() async throws -> TapItem? {
            while next == items.count {
                guard let chunk = try await tap.inbox.next() else { return nil }
                tap.unpack(chunk, into: &items)
                next = 0
            }
            defer { next += 1 }
            return items[next]
        }
    }
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(tap: self) }

    private func unpack(_ chunk: TapChunk, into items: inout [TapItem]) {
        items.removeAll(keepingCapacity: true)
        switch chunk {
        case .messages(let table, let body):
            do {
                try mailbox.post(.consumed(chunk.count, tap: id))
            } catch {
                // The client is closed; what it has received is still good.
            }
            readMessages(body) { index, message in
                let sequence = table.buffer.bigEndian(UInt64.self, at: index * 8)
                switch message {
                case .success(let message): items.append(.message(message, sequence: sequence))
                case .failure(let error):
                    items.append(.gap(first: sequence, last: sequence, reason: "the message cannot be read: \(error)"))
                }
            }
        case .gap(let first, let last, let reason):
            items.append(.gap(first: first, last: last, reason: reason))
        }
    }

    /// Ends the tap and its iteration.
    public func close() async {
        inbox.finish(dropping: true)
        do {
            try mailbox.post(.closeStream(id))
        } catch {
            // The client is closed, and with it this.
        }
    }
}
