import Glibc
import Synchronization
import TestSupport
import Testing
import TocsinKit
import TocsinProto

@testable import TocsinResponse

/// A gate that holds work until it is opened.
private final class Gate: Sendable {
    private let state = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

    func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    func pass() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }
}

/// What happened, in order.
private final class Log: Sendable {
    private let lines = Mutex<[String]>([])
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
}

@Suite("Deliveries of one pool", .timeLimit(.minutes(3)))
struct PoolWorkerTests {
    private func delivery(_ sequence: UInt64, incident: UInt64, token: UInt64 = 1) throws -> Delivery {
        let change = try change(number: incident, version: sequence).proto
        let message = try Message(change, subject: "incident.opened.web", key: "incident-\(incident)")
        return Delivery(message: message, sequence: sequence, token: token, attempt: 1, session: 1)
    }

    private func worker(
        limit: Int = 8, log: Log, handle: @escaping @Sendable (Change) async throws -> Void
    ) -> PoolWorker {
        PoolWorker(
            limit: limit, visibility: .seconds(60), logger: quiet,
            settle: { delivery, settlement in
                let word =
                    switch settlement {
                    case .ack: "ack"
                    case .retry(_, let reason): "retry: \(reason)"
                    case .reject(let reason): "reject: \(reason)"
                    }
                log.add("\(delivery.sequence)/\(delivery.token) \(word)")
            }, handle: { change, _ in try await handle(change) })
    }

    @Test("changes of one incident are handled in order, those of others meanwhile")
    func order() async throws {
        let log = Log()
        let gate = Gate()
        let worker = worker(log: log) { change in
            log.add("begin \(change.id)")
            if change.number == 1 { await gate.pass() }
        }
        for (sequence, incident) in [(1, 1), (2, 1), (3, 2), (4, 2)] as [(UInt64, UInt64)] {
            await worker.take(try delivery(sequence, incident: incident), arrived: .now)
        }
        #expect(await eventually { log.all.contains("4/1 ack") })
        #expect(!log.all.contains("1/1 ack") && !log.all.contains("begin incident/1/2"))
        let other = log.all.filter { $0.contains("/2/") || $0.hasPrefix("3/") || $0.hasPrefix("4/") }
        #expect(other == ["begin incident/2/3", "3/1 ack", "begin incident/2/4", "4/1 ack"])
        gate.open()
        #expect(await eventually { log.all.contains("2/1 ack") })
        let first = log.all.filter { $0.contains("/1/") || $0.hasPrefix("1/") || $0.hasPrefix("2/") }
        #expect(first == ["begin incident/1/1", "1/1 ack", "begin incident/1/2", "2/1 ack"])
    }

    @Test("no more incidents than the limit at a time")
    func limit() async throws {
        let log = Log()
        let gate = Gate()
        let running = Mutex((now: 0, most: 0))
        let worker = worker(limit: 3, log: log) { _ in
            running.withLock {
                $0.now += 1
                $0.most = max($0.most, $0.now)
            }
            await gate.pass()
            running.withLock { $0.now -= 1 }
        }
        let deliveries = try (1...20).map { try delivery($0, incident: $0) }
        let feed = Task { for delivery in deliveries { await worker.take(delivery, arrived: .now) } }
        #expect(await eventually { running.withLock { $0.now } == 3 })
        gate.open()
        await feed.value
        #expect(await eventually { log.all.count == 20 })
        #expect(running.withLock { $0.most } == 3)
    }

    @Test("what is delivered again while it is worked on is not begun again, and settled by its newest delivery")
    func redelivered() async throws {
        let log = Log()
        let gate = Gate()
        let worker = worker(limit: 1, log: log) { change in
            log.add("begin \(change.id)")
            await gate.pass()
        }
        await worker.take(try delivery(5, incident: 1, token: 1), arrived: .now)
        await worker.take(try delivery(5, incident: 1, token: 2), arrived: .now)
        gate.open()
        #expect(await eventually { log.all.count == 2 })
        #expect(log.all == ["begin incident/1/5", "5/2 ack"])
    }

    @Test("a payload that is not understood is rejected, a failure is tried again later, both with the reason")
    func failures() async throws {
        let log = Log()
        let worker = worker(log: log) { _ in throw NotNow(description: "the hub is away") }
        let bad = Delivery(
            message: Message(subject: "incident.opened.web", payload: [0xFF]), sequence: 1, token: 1, attempt: 1,
            session: 1)
        await worker.take(bad, arrived: .now)
        #expect(log.all.first?.hasPrefix("1/1 reject: the payload is not an IncidentChange") == true)
        await worker.take(try delivery(2, incident: 1), arrived: .now)
        #expect(await eventually { log.all.last == "2/1 retry: the hub is away" })
    }

    @Test("stopping lets work end within the grace, takes nothing more, and settles nothing that was cut short")
    func stop() async throws {
        let log = Log()
        let gate = Gate()
        let worker = worker(limit: 2, log: log) { change in
            log.add("begin \(change.id)")
            if change.number == 1 { await gate.pass() } else { try await Task.sleep(for: .seconds(600)) }
        }
        await worker.take(try delivery(1, incident: 1), arrived: .now)
        await worker.take(try delivery(2, incident: 2), arrived: .now)
        let third = try delivery(3, incident: 3)
        let waiting = Task { await worker.take(third, arrived: .now) }
        #expect(await eventually { log.all.count == 2 })
        let stopping = Task { await worker.stop(grace: .milliseconds(300)) }
        await waiting.value
        gate.open()
        await stopping.value
        await worker.take(try delivery(4, incident: 4), arrived: .now)
        #expect(log.all.suffix(from: 2) == ["1/1 ack"])
    }

    @Test("a webhook that does not answer holds up no runbook, of its own incident or another")
    func silentWebhook() async throws {
        let folder = try TemporaryFolder()
        let hub = FakeHub()
        let isOver = Mutex(false)
        let silent = try LoopbackServer { _, _ in
            while !isOver.withLock({ $0 }) { usleep(5_000) }
            return .init(200)
        }
        defer {
            isOver.withLock { $0 = true }
            silent.stop()
        }
        let target = NotificationTarget(
            name: "silent", channel: .webhook(url: silent.url, headers: [:]), timeout: .seconds(600), attempts: 1)
        let response = try await responder(
            in: folder, hub: hub, runbooks: [runbook([shell("a", "true")])], notifications: [target])
        let told = Log()
        let ran = Log()
        let notifier = worker(log: told) { try await response.notify(of: $0, lease: longLease) }
        let runner = worker(log: ran) { try await response.runRunbooks(for: $0, lease: longLease) }
        for incident in 1...3 as ClosedRange<UInt64> {
            await notifier.take(try delivery(incident, incident: incident), arrived: .now)
            await runner.take(try delivery(incident, incident: incident), arrived: .now)
        }
        #expect(await eventually { ran.all.count == 3 })
        #expect(told.all.isEmpty)
        await notifier.stop(grace: .zero)
        await runner.stop(grace: .zero)
    }
}
