import Logging
import TocsinKit
import TocsinSystem

/// Tells one target of one change, and reports that on the incident's timeline.
struct Notifier: Sendable {
    private let ledger: Ledger
    private let publish: Publish
    private let logger: Logger
    private let wallClock: @Sendable () -> UInt64
    /// Threads for each target by its name, so that one whose receiver is slow does not hold up the others.
    private let pools: [String: BlockingPool]

    static let threadsPerTarget = 8

    init(
        targets: [NotificationTarget], ledger: Ledger, publish: @escaping Publish, logger: Logger,
        wallClock: @escaping @Sendable () -> UInt64
    ) {
        self.ledger = ledger
        self.publish = publish
        self.logger = logger
        self.wallClock = wallClock
        pools = Dictionary(
            targets.map { ($0.name, BlockingPool(threads: Self.threadsPerTarget)) },
            uniquingKeysWith: { first, _ in first })
    }

    /// Returns when the target was told, or every attempt has failed, and the report of that is on the hub's disk. What
    /// the ledger knows to be done is only reported again. A crash between telling and recording tells twice, with the
    /// same `Idempotency-Key`.
    ///
    /// - Throws: `NotNow`, `LedgerError`, `CancellationError`, or what publishing threw: deliver the change again.
    func notify(_ notification: PlannedNotification, lease: Lease) async throws {
        let outcome: NotificationOutcome
        if let known = ledger.notification(notification.id) {
            outcome = known
        } else {
            outcome = try await attempts(notification, lease)
            try await ledger.record(.notified(notification: notification.id, outcome))
            if !outcome.delivered {
                logger.warning(
                    "a notification was not delivered",
                    metadata: ["incident": "\(notification.change.number)", "target": "\(notification.target.name)"])
            }
        }
        try await publish([ReportFactory(notification).notified(outcome)])
    }

    private func attempts(_ notification: PlannedNotification, _ lease: Lease) async throws -> NotificationOutcome {
        let target = notification.target
        let body = try ChangeDocument(notification.change).encoded()
        let about = "of \"\(notification.change.verb)\""
        var last = Attempt(result: .failed, text: "")
        for number in 1...max(1, target.attempts) {
            if number > 1 { try await Task.sleep(for: target.wait(after: number - 1)) }
            try lease.require(target.timeout + Command.killGrace, for: "notification \"\(target.name)\"")
            last = try await attempt(notification, body)
            switch last.result {
            case .delivered:
                return NotificationOutcome(
                    delivered: true, text: "told \(about) at attempt \(number): \(last.text)", time: wallClock())
            case .refused:
                return NotificationOutcome(
                    delivered: false, text: "not told \(about), and not tried again: \(last.text)", time: wallClock())
            case .failed: continue
            }
        }
        return NotificationOutcome(
            delivered: false,
            text: "not told \(about) in \(Words.count(max(1, target.attempts), "attempt")); the last: \(last.text)",
            time: wallClock())
    }

    private struct Attempt {
        enum Result {
            case delivered
            /// It may succeed later.
            case failed
            /// It would be refused again.
            case refused
        }
        var result: Result
        var text: String
    }

    private func attempt(_ notification: PlannedNotification, _ body: [UInt8]) async throws -> Attempt {
        let target = notification.target
        guard let pool = pools[target.name] else {
            return Attempt(result: .refused, text: "the target is not configured")
        }
        switch target.channel {
        case .command(let command):
            let change = notification.change
            var environment = ChangeEnvironment.variables(of: change, service: change.services.first ?? "")
            environment["TOCSIN_NOTIFICATION"] = notification.id
            let outcome = try await Command.run(
                command, environment: environment, stdin: body + [UInt8(ascii: "\n")], timeout: target.timeout, on: pool)
            return Attempt(result: outcome.succeeded ? .delivered : .failed, text: outcome.text)
        case .webhook(let url, let headers):
            return try await post(body, to: url, headers, key: notification.id, timeout: target.timeout, on: pool)
        }
    }

    private func post(
        _ body: [UInt8], to url: String, _ headers: [String: String], key: String, timeout: Duration,
        on pool: BlockingPool
    ) async throws -> Attempt {
        var headers = headers
        if !headers.keys.contains(where: { $0.lowercased() == "content-type" }) {
            headers["Content-Type"] = "application/json"
        }
        headers["Idempotency-Key"] = key
        let request = HTTPRequest(
            url: url, method: "POST", headers: headers, body: body, followRedirects: false, timeout: timeout,
            bodyLimit: 4096)
        do {
            let answer = try await request.perform(on: pool)
            let text = "status \(answer.status)"
            switch answer.status {
            case 200...299: return Attempt(result: .delivered, text: text)
            case 408, 429, 500...599: return Attempt(result: .failed, text: text)
            default: return Attempt(result: .refused, text: text)
            }
        } catch let error as HTTPError {
            // The URL of a webhook is often its secret.
            return Attempt(result: .failed, text: error.description.replacing(url, with: "the webhook"))
        }
    }
}
