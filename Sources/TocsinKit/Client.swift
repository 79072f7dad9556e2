import Logging
import SwiftProtobuf
import Synchronization
import TocsinKeys
import TocsinPosix
import TocsinProto
import TocsinTransport
import TocsinWire

/// A connection to the hub; see `publish`, `subscribe` and `tap`, and the library GRPCZeroMQTransport for calls and services.
/// Reconnects by itself. Thread-safe.
///
/// It has a thread of its own for the socket, and one more if it has a spool. Both end with `close`, or soon after the last
/// reference goes.
public final class Client: Sendable {
    let options: ClientOptions
    let mailbox: Mailbox
    let shared: SharedState
    private let spool: Spool?

    /// Begins to connect, and opens the spool where there is one: this reads what an earlier run has left in it.
    ///
    /// - Throws: `ClientError.badOption` for an endpoint that cannot work or a spool in use by another process;
    ///   `spoolFailed` if the spool cannot be read.
    public init(_ options: ClientOptions, logger: Logger) throws(ClientError) {
        self.options = options
        do {
            mailbox = try Mailbox()
        } catch {
            throw .badOption("\(error)")
        }
        shared = SharedState()
        let connection = try Connection(options, mailbox: mailbox, shared: shared, logger: logger)
        if let directory = options.spoolDirectory {
            let timeout = options.publishTimeout.wholeMilliseconds
            let spool = try Spool(
                directory: directory, bytesMax: options.spoolBytesMax, logger: logger,
                isConnected: { [shared] in shared.isConnected.load(ordering: .acquiring) },
                publisher: { [mailbox, shared] batch, ticket in
                    Task {
                        do {
                            let deadline = steadyNow() + timeout
                            try await Self.submit(
                                batch, ticket, deadline: deadline, gate: .waiting, mailbox: mailbox, shared: shared)
                        } catch {
                            ticket.complete(.failure(error))
                        }
                    }
                })
            shared.onConnect { [weak spool] in spool?.wake() }
            self.spool = spool
        } else {
            spool = nil
        }
        try connection.start()
    }

    deinit {
        do {
            try mailbox.post(.close(nil))
        } catch {
            // Closed already.
        }
    }

    // MARK: Session

    /// Where the hub is, and how this client calls itself.
    package var endpoint: String { options.endpoint }
    package var name: String { options.name }
    package var identity: Identity? { options.identity }

    /// Waits until the hub has welcomed this client.
    ///
    /// - Throws: `ClientError.timedOut`, `closed`, `CancellationError`.
    public func ready(within: Duration) async throws {
        let ticket = Ticket()
        try mailbox.post(.ready(ticket, deadline: steadyNow() + within.wholeMilliseconds))
        _ = try await ticket.value()
    }

    /// Whether there is a session with the hub at this moment.
    public var isConnected: Bool { shared.isConnected.load(ordering: .acquiring) }

    /// Says goodbye, ends subscriptions and taps, releases the thread. What waits for an answer gets `ClientError.closed`.
    /// Settlements queued before are still sent, also if the task that closes was cancelled. Safe to call twice.
    public func close() async {
        // A task of its own: the one that closes was often cancelled for it, and must not end the process before all is sent.
        await Task {
            await spool?.close()
            let ticket = Ticket()
            do {
                try mailbox.post(.close(ticket))
                _ = try await ticket.value()
            } catch {
                // Closed already.
            }
        }.value
    }

    // MARK: Publishing

    /// Returns when every message is on the hub's disk. Sent in batches of the hub's bounds, in order. While the hub is away or
    /// can store nothing it waits; all of it takes at most `options.publishTimeout`.
    ///
    /// - Throws: `ClientError.timedOut` (the text says whether some may be stored); `refused` with the index of the first wrong
    ///   message, which is not stored, as others may not be; `closed`; `CancellationError`. After any of them the same ids may
    ///   be published again: what is stored is not stored twice.
    @discardableResult public func publish(_ messages: [Message]) async throws -> Receipt {
        let deadline = steadyNow() + options.publishTimeout.wholeMilliseconds
        var receipt = Receipt(firstSequence: 0, stored: 0, duplicates: 0)
        var window = PublishWindow()
        var next = 0
        var failure: (any Error)?
        while failure == nil, next < messages.count {
            do {
                let batch = try EncodedBatch(messages, from: next, limits: shared.limits, now: MachineClock.wall())
                let ticket = try await submit(batch, deadline: deadline, gate: .waiting, from: next)
                window.append(ticket, from: next)
                next += batch.count
                if window.isFull { try await window.takeFirst(into: &receipt) }
            } catch {
                failure = error
            }
        }
        // After a failure too: what is under way is waited for, so that nothing of it happens later unseen.
        while !window.isEmpty {
            do {
                try await window.takeFirst(into: &receipt)
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
        return receipt
    }

    /// Publishes one batch that is encoded already: `count` length-prefixed envelopes.
    package func publish(encoded body: Bytes, count: Int) async throws -> Receipt {
        let deadline = steadyNow() + options.publishTimeout.wholeMilliseconds
        var receipt = Receipt(firstSequence: 0, stored: 0, duplicates: 0)
        var window = PublishWindow()
        window.append(
            try await submit(EncodedBatch(body: body, count: count), deadline: deadline, gate: .waiting), from: 0)
        try await window.takeFirst(into: &receipt)
        return receipt
    }

    private func submit(
        _ batch: EncodedBatch, deadline: Int64, gate: PublishGate, from start: Int = 0
    ) async throws -> Ticket {
        let ticket = Ticket()
        try await Self.submit(batch, ticket, deadline: deadline, gate: gate, from: start, mailbox: mailbox, shared: shared)
        return ticket
    }

    /// Waits for room, then gives the batch to the client's thread, which completes the ticket and makes room again.
    private static func submit(
        _ batch: EncodedBatch, _ ticket: Ticket, deadline: Int64, gate: PublishGate, from start: Int = 0, mailbox: Mailbox,
        shared: SharedState
    ) async throws {
        guard try await shared.gate(gate).enter(bytes: batch.body.count, deadline: deadline) else {
            throw ClientError.timedOut(
                "the messages from number \(start) on were not sent: too much that this client published before was still under"
                    + " way; publish less at once, or set a longer publishTimeout")
        }
        do {
            try mailbox.post(.publish(batch, id: mailbox.nextID(), ticket, deadline: deadline, gate: gate))
        } catch {
            shared.gate(gate).leave(bytes: batch.body.count)
            throw error
        }
    }

    /// Like `publish`, but while the hub is away or can store nothing (its disk is full, it shuts down) the messages go, synced,
    /// to the spool directory and are published later, in order. Returns when they are durable, there or here.
    ///
    /// - Throws: `ClientError.refused` for a message that can never be stored; `spoolFull`, `spoolFailed`; `closed`;
    ///   `CancellationError`.
    public func publishOrSpool(_ messages: [Message]) async throws {
        guard let spool else {
            try await publish(messages)
            return
        }
        var next = 0
        while next < messages.count {
            let batch = try EncodedBatch(messages, from: next, limits: shared.limits, now: MachineClock.wall())
            try Self.check(batch, from: next)
            // Behind what is there already, so that the order is kept.
            if spool.count > 0 || !isConnected {
                try await spool.append(batch)
            } else {
                do {
                    let ticket = try await submit(batch, deadline: steadyNow() + Self.spoolAfter, gate: .spooling)
                    _ = try await ticket.value()
                } catch ClientError.timedOut {
                    try await spool.append(batch)
                } catch ClientError.refused(let reason, let message, let index) {
                    throw ClientError.refused(reason, message, index: next + index)
                }
            }
            next += batch.count
        }
    }

    /// Milliseconds without an answer after which a message goes to the spool.
    private static let spoolAfter: Int64 = 2000

    /// What the hub would refuse later is refused now: from the spool it could not be told to anyone.
    private static func check(_ batch: EncodedBatch, from start: Int) throws(ClientError) {
        do throws(WireError) {
            _ = try LengthPrefixed.forEach(in: batch.body.buffer) { index, _, bytes throws(WireError) in
                do throws(WireError) {
                    _ = try EnvelopeView(scanning: bytes)
                } catch {
                    throw WireError(error.reason, error.message, index: index)
                }
            }
        } catch {
            throw .refused(error.reason, error.message, index: start + error.index)
        }
    }

    /// Messages in the spool that the hub does not have yet.
    public var spooled: Int { spool?.count ?? 0 }

    // MARK: Pools and taps

    var requestDeadline: Int64 { steadyNow() + options.publishTimeout.wholeMilliseconds }

    /// Creates a pool or confirms it, now and on each new connection.
    ///
    /// - Throws: `ClientError.refused`; `timedOut` without a hub within `options.publishTimeout`; `closed`.
    public func declare(_ pool: Tocsin_V1_PoolSpec) async throws {
        let ticket = Ticket()
        let spec = Bytes(try pool.serializedBytes())
        try mailbox.post(
            .declare(pool: pool.name, spec: spec, id: mailbox.nextID(), ticket, deadline: requestDeadline))
        _ = try await ticket.value()
    }

    /// Joins a pool. The subscription survives reconnects.
    ///
    /// - Parameter credit: how many messages may be here and not settled, 1 to 65,536.
    /// - Throws: `ClientError.refused`; `timedOut` without a hub within `options.publishTimeout`; `closed`.
    public func subscribe(pool: String, credit: Int) async throws -> Subscription {
        try Self.check(credit: credit)
        // A delivery that the hub took back for being late and gave again is here twice.
        let inbox = Inbox<DeliveryBatch>(weightMax: 2 * credit + Limits.batch)
        let id = mailbox.nextID()
        let subscription = Subscription(id: id, inbox: inbox, mailbox: mailbox)
        let ticket = Ticket()
        try mailbox.post(
            .subscribe(pool: pool, credit: credit, id: id, inbox, ticket, deadline: requestDeadline))
        _ = try await ticket.value()
        return subscription
    }

    private static func check(credit: Int) throws(ClientError) {
        guard (1...Limits.credit).contains(credit) else {
            throw .badOption("a credit of \(credit) for a subscription or tap; give it 1 to \(Limits.credit)")
        }
    }

    /// Opens a tap: a view of the stream that takes nothing away from pools.
    ///
    /// - Parameter credit: how many messages may be here and not taken, 1 to 65,536.
    /// - Throws: `ClientError.refused`; `timedOut` without a hub within `options.publishTimeout`; `closed`.
    public func tap(_ filters: [String], from start: TapStart = .live, credit: Int = 1024) async throws -> Tap {
        try Self.check(credit: credit)
        let inbox = Inbox<TapChunk>(weightMax: 2 * credit + Limits.batch)
        let id = mailbox.nextID()
        let tap = Tap(id: id, inbox: inbox, mailbox: mailbox)
        let ticket = Ticket()
        try mailbox.post(
            .tap(filters: filters, start, credit: credit, id: id, inbox, ticket, deadline: requestDeadline))
        _ = try await ticket.value()
        return tap
    }
}

/// The batches of one `publish` that are under way, oldest first.
private struct PublishWindow {
    private static let size = 16
    private var entries: [(ticket: Ticket, start: Int)] = []
    private var first = 0

    var isEmpty: Bool { first == entries.count }
    var isFull: Bool { entries.count - first >= Self.size }

    mutating func append(_ ticket: Ticket, from start: Int) { entries.append((ticket, start)) }

    /// Waits for the oldest and adds what became of it to `receipt`.
    ///
    /// - Throws: why it was not stored; `refused` with the index in the whole publish.
    mutating func takeFirst(into receipt: inout Receipt) async throws {
        let (ticket, start) = entries[first]
        first += 1
        do {
            guard case .accepted(let part) = try await ticket.value() else { return }
            receipt.add(part)
        } catch ClientError.refused(let reason, let message, let index) {
            throw ClientError.refused(reason, message, index: start + index)
        }
    }
}
