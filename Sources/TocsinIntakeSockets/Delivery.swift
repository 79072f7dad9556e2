import Logging
import Synchronization
import TocsinIntake
import TocsinPosix
import TocsinProto

/// Brings events to the hub, for as long as it takes.
struct Delivery: Sendable {
    let sink: any EventSink
    let complaints: Complaints
    /// Events that go to the hub at once.
    private static let batch = 1000

    /// Returns when every one of `events` is on the hub's disk, or was refused for good, which is logged.
    ///
    /// - Throws: `CancellationError` where the hub has not taken them by then; what was on its way is waited for.
    func deliver(_ events: [Tocsin_V1_Event]) async throws(CancellationError) {
        var rest = events[...]
        while !rest.isEmpty {
            let batch = Array(rest.prefix(Self.batch))
            // Shielded from cancellation: what the hub may have stored already is not to be given up half-way.
            switch await Task(operation: { await offer(batch) }).value {
            case nil: rest = rest.dropFirst(batch.count)
            case .refused(let index, let reason):
                complaints.add("the hub refuses an event for good; it is dropped", detail: reason)
                // Those before it may be stored or not; the same ids are not stored twice.
                if batch.indices.contains(index) { rest.remove(at: rest.startIndex + index) } else { return }
            case .overloaded(let wait): try await pause(min(wait, .milliseconds(200)))
            case .unavailable(_, let reason):
                complaints.add("events wait for the hub", detail: reason)
                try await pause(.milliseconds(500))
            }
        }
    }

    private func offer(_ events: [Tocsin_V1_Event]) async -> SinkError? {
        do throws(SinkError) {
            try await sink.accept(events)
            return nil
        } catch { return error }
    }

    /// Like `deliver`, for as long as somebody waits for an answer.
    ///
    /// - Returns: whether the hub has them all.
    func deliver(_ events: [Tocsin_V1_Event], within limit: Duration) async throws(CancellationError) -> Bool {
        if events.isEmpty { return true }
        let delivering = Task { try await deliver(events) }
        let watch = Task {
            try await Task.sleep(for: limit)
            delivering.cancel()
        }
        let result = await withTaskCancellationHandler {
            await delivering.result
        } onCancel: {
            delivering.cancel()
        }
        watch.cancel()
        if case .success = result { return true }
        if Task.isCancelled { throw CancellationError() }
        return false
    }

    private func pause(_ time: Duration) async throws(CancellationError) {
        do { try await Task.sleep(for: time) } catch { throw CancellationError() }
    }
}

/// Logs what goes wrong, of each kind at most once in 10 s, with how often it has been since the start.
final class Complaints: Sendable {
    private struct Known {
        var count: UInt64 = 0
        var nextLog: ContinuousClock.Instant?
    }
    private let known = Mutex<[String: Known]>([:])
    private let logger: Logger
    private static let interval: Duration = .seconds(10)

    init(_ logger: Logger) { self.logger = logger }

    /// - Parameter message: one of a few sentences; `detail` may be anything.
    func add(_ message: String, count: UInt64 = 1, detail: String) {
        let now = ContinuousClock.now
        let total: UInt64? = known.withLock { known in
            var entry = known[message, default: Known()]
            defer { known[message] = entry }
            entry.count += count
            if let next = entry.nextLog, now < next { return nil }
            entry.nextLog = now + Self.interval
            return entry.count
        }
        guard let total else { return }
        logger.warning("\(message)", metadata: ["since_start": "\(total)", "last": "\(detail.prefix(256))"])
    }
}

/// Milliseconds of the clocks that intakes are told.
enum Clock {
    /// Does not go back.
    static var steady: UInt64 { MachineClock.steady() / 1_000_000 }
    /// Since 1970.
    static var wall: UInt64 { MachineClock.wall() }
}
