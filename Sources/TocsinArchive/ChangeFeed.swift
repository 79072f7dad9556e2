import DequeModule
import GRPCCore
import Logging
import TocsinKit
import TocsinPosix
import TocsinProto

/// Changes of incidents as the hub tells of them, for any number of watchers: one tap fills a ring, and a watcher is a place in
/// it. So watchers cost the hub nothing, and a slow one costs nobody anything: what has left the ring it is told it missed.
actor ChangeFeed {
    /// The ring holds so many changes at most, and so many bytes.
    static let entriesMax = 10_000
    static let bytesMax = 32 << 20
    /// Watchers that begin before the ring does read from the hub until they have reached it: so many at once.
    static let replaysMax = 32

    private struct Entry {
        var item: Tocsin_V1_WatchIncidentsResponse
        var sequence: UInt64
        /// Milliseconds since 1970, when it was published.
        var time: UInt64
        var bytes: Int
    }
    private var entries: Deque<Entry> = []
    /// Number of the ring's first entry, counted from the first there ever was.
    private var first = 0
    private var bytes = 0
    /// Everything that was published from here on is in the ring, milliseconds since 1970.
    private var coveredFrom: UInt64
    private var replays = 0
    private var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    private var lastWaiter: UInt64 = 0

    private var end: Int { first + entries.count }

    /// - Parameter from: what was published since then it will hold as soon as it is filled, milliseconds since 1970.
    init(from: UInt64) { coveredFrom = from }

    // MARK: Filling

    /// Keeps the ring filled until the task is cancelled or the client closed.
    ///
    /// - Throws: `ClientError` for what another try does not mend.
    func run(_ client: Client, _ logger: Logger) async throws {
        while !Task.isCancelled {
            do {
                let tap = try await client.tap(["incident.>"], from: .time(coveredFrom))
                defer { Task { await tap.close() } }
                for try await item in tap { append(item, logger) }
                return
            } catch ClientError.timedOut { continue }
        }
    }

    func append(_ item: TapItem, _ logger: Logger) {
        guard let response = Self.response(item, logger) else { return }
        let (sequence, time, size) =
            switch item {
            case .message(let message, let sequence): (sequence, message.publishedAt, message.payload.count)
            // A gap has no time; it is where the entry before it was.
            case .gap(_, let last, let reason): (last, entries.last?.time ?? coveredFrom, reason.utf8.count)
            }
        entries.append(Entry(item: response, sequence: sequence, time: time, bytes: size))
        bytes += size
        while entries.count > Self.entriesMax || (bytes > Self.bytesMax && entries.count > 1), let gone = entries.popFirst() {
            first += 1
            bytes -= gone.bytes
            coveredFrom = max(coveredFrom, gone.time + 1)
        }
        for waiter in waiters.values { waiter.resume() }
        waiters.removeAll()
    }

    // MARK: Watching

    /// Calls `each` with every change from a time on, milliseconds since 1970, or from now on (0), until it throws or the task
    /// is cancelled.
    ///
    /// - Throws: RESOURCE_EXHAUSTED if too many watchers begin with what only the hub still has; UNAVAILABLE without a hub then.
    nonisolated func watch(
        since: UInt64, _ client: Client, _ logger: Logger, _ each: (Tocsin_V1_WatchIncidentsResponse) async throws -> Void
    ) async throws {
        let since = since == 0 ? MachineClock.wall() : since
        var place: Int
        var seen: UInt64 = 0
        if let found = await self.place(since: since) {
            place = found
        } else {
            guard await beginReplay() else {
                throw RPCError(
                    code: .resourceExhausted,
                    message: "\(Self.replaysMax) watchers are reading what is long past; try again, or begin later")
            }
            let result: Result<(place: Int, seen: UInt64), any Error>
            do { result = .success(try await replay(since: since, client, logger, each)) } catch { result = .failure(error) }
            await endReplay()
            (place, seen) = try result.get()
        }
        while true {
            try Task.checkCancellation()
            let next = await self.next(from: place, after: seen)
            for entry in next.entries where entry.time >= since { try await each(entry.item) }
            (place, seen) = (next.place, next.seen)
            if next.entries.isEmpty { await wait(beyond: place) }
        }
    }

    /// Where what was published at `since` or later begins; nil if some of it may have left the ring, or never was in it.
    private func place(since: UInt64) -> Int? {
        guard since >= coveredFrom else { return nil }
        return first + (entries.firstIndex { $0.time >= since } ?? entries.count)
    }

    /// Where the ring has a message that a watcher has got from the hub, or what follows it; nil if the ring is not that far yet
    /// (what comes next to it the watcher may have seen already), or no longer has it.
    private func place(of sequence: UInt64) -> Int? {
        guard let start = entries.first?.sequence, start <= sequence,
            let index = entries.firstIndex(where: { $0.sequence >= sequence })
        else { return nil }
        return first + index
    }

    private func beginReplay() -> Bool {
        guard replays < Self.replaysMax else { return false }
        replays += 1
        return true
    }

    private func endReplay() { replays -= 1 }

    /// Reads from the hub until the ring goes on, and says where, and up to which sequence the watcher has everything.
    nonisolated private func replay(
        since: UInt64, _ client: Client, _ logger: Logger, _ each: (Tocsin_V1_WatchIncidentsResponse) async throws -> Void
    ) async throws -> (place: Int, seen: UInt64) {
        let tap: Tap
        do { tap = try await client.tap(["incident.>"], from: .time(since)) } catch {
            throw RPCError(code: .unavailable, message: "the hub cannot be watched now: \(error)")
        }
        defer { Task { await tap.close() } }
        for try await item in tap {
            let sequence =
                switch item {
                case .message(_, let sequence): sequence
                case .gap(_, let last, _): last
                }
            if let place = await self.place(of: sequence) { return (place, sequence - 1) }
            if let response = Self.response(item, logger) { try await each(response) }
        }
        throw RPCError(code: .unavailable, message: "the archiver is ending; watch again")
    }

    /// Entries from a place on, some at a time; before them, where the ring no longer has that place, what was missed.
    private func next(from place: Int, after seen: UInt64) -> (entries: [Entry], place: Int, seen: UInt64) {
        let start = max(place, first)
        var next = Array(entries[(start - first)..<min(start - first + 256, entries.count)])
        let last = next.last?.sequence ?? seen
        if place < first, let oldest = next.first {
            let missed = Tocsin_V1_WatchIncidentsResponse.with {
                $0.missed = .with {
                    $0.first = seen + 1
                    $0.last = oldest.sequence - 1
                    $0.reason = "this watcher was too slow"
                }
            }
            next.insert(Entry(item: missed, sequence: oldest.sequence - 1, time: oldest.time, bytes: 0), at: 0)
            return (next, start + next.count - 1, last)
        }
        return (next, start + next.count, last)
    }

    /// Returns when the ring may have grown beyond a place, or the task is cancelled.
    private func wait(beyond place: Int) async {
        guard end <= place else { return }
        lastWaiter += 1
        let id = lastWaiter
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled { continuation.resume() } else { waiters[id] = continuation }
            }
        } onCancel: {
            Task { await self.release(id) }
        }
    }

    private func release(_ id: UInt64) { waiters.removeValue(forKey: id)?.resume() }

    /// Nil for what cannot be read, which is left out: anybody may publish.
    private static func response(_ item: TapItem, _ logger: Logger) -> Tocsin_V1_WatchIncidentsResponse? {
        switch item {
        case .message(let message, let sequence):
            do {
                let change = try message.decode(Tocsin_V1_IncidentChange.self)
                return .with { $0.change = change }
            } catch {
                logger.warning(
                    "a message that is no change of an incident is not shown to watchers",
                    metadata: ["subject": "\(message.subject)", "sequence": "\(sequence)", "reason": "\(error)"])
                return nil
            }
        case .gap(let first, let last, let reason):
            return .with {
                $0.missed = .with {
                    $0.first = first
                    $0.last = last
                    $0.reason = reason
                }
            }
        }
    }
}

/// The hub, by a connection for what is reported and a feed for what is watched.
struct HubAccess: IncidentHub {
    let client: Client
    let feed: ChangeFeed
    let logger: Logger

    func report(_ event: Tocsin_V1_Event) async throws -> Bool { try await client.report(event) }

    func changes(since: UInt64, _ each: (Tocsin_V1_WatchIncidentsResponse) async throws -> Void) async throws {
        try await feed.watch(since: since, client, logger, each)
    }
}
