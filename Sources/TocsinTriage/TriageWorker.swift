import Glibc
import Logging
import Synchronization
import TocsinIndicators
import TocsinKit
import TocsinPolicy
import TocsinPosix

/// Takes events from the pool `triage` and publishes alerts. Stateless: any number of workers may come, go and crash; an
/// event is acknowledged only after the alert that carries it is stored, and what is delivered again makes updates that
/// the archive recognises by their event ids.
public enum TriageWorker {
    /// The pool of the hub's configuration that matches `event.>`.
    static let pool = "triage"
    /// Batches that wait for the hub's `accepted` at the same time. Bounds memory together with the credit.
    private static let inFlightMax = 4

    /// Works until its task is cancelled or the client is closed, then finishes what it has begun and returns.
    ///
    /// - Parameter policies: the policies to judge by from the next batch on, each as it comes.
    /// - Throws: `PolicyProblem` for a wrong configuration, `ClientError` if the pool cannot be joined, `IndicatorProblem` if there is
    ///   no thread for indicators. Files of indicators that cannot be used are said in the log.
    public static func run(
        client: Client, configuration: TriageConfiguration, policies: AsyncStream<Policy>, logger: Logger
    ) async throws {
        var judge = try await Judge(configuration.policy, configuration.limits, keeping: nil, logger)
        let next = NextJudge(judge)
        let reader = Task {
            for await policy in policies { await next.use(policy, configuration.limits, logger) }
        }
        defer { reader.cancel() }
        var scanner = IndicatorScanner()
        let subscription = try await client.subscribe(pool: pool, credit: configuration.credit)
        logger.info("triage has started", metadata: ["rules": "\(configuration.policy.rules.count)"])
        try await withTaskCancellationHandler {
            // Tasks of their own, so that a cancelled worker still finishes its batches.
            var inFlight: [Task<Void, Never>] = []
            for try await batch in subscription {
                if let next = next.take() { judge = next }
                let deliveries = batch.deliveries()
                // One set for a batch: it may be replaced at any time.
                let set = judge.indicators?.current.set ?? .empty
                let work = TriageBatch(
                    deliveries.map { ($0.message, $0.attempt) }, triage: &judge.triage, now: MachineClock.wall(),
                    indicators: { scanner.findings(in: $0, of: set) })
                if inFlight.count == inFlightMax { await inFlight.removeFirst().value }
                inFlight.append(
                    Task {
                        let outcomes = await work.settle { try await client.publish($0) }
                        report(outcomes, to: logger)
                        subscription.settle(zip(deliveries, outcomes).map { ($0, settlement($1)) })
                    })
            }
            for task in inFlight { await task.value }
        } onCancel: {
            Task { await subscription.close() }
        }
        logger.info("triage has stopped")
    }

    private static func settlement(_ outcome: TriageOutcome) -> Settlement {
        switch outcome {
        case .ack: .ack
        case .retry(let delay, let reason): .retry(after: delay, reason: reason)
        case .reject(let reason): .reject(reason: reason)
        }
    }

    /// One line for a batch, however much of it failed.
    private static func report(_ outcomes: [TriageOutcome], to logger: Logger) {
        var retried = 0
        var rejected = 0
        var example = ""
        for outcome in outcomes {
            switch outcome {
            case .ack: continue
            case .retry(_, let reason):
                retried += 1
                if example.isEmpty { example = reason }
            case .reject(let reason):
                rejected += 1
                example = reason
            }
        }
        guard retried + rejected > 0 else { return }
        logger.warning(
            "some events did not become alerts",
            metadata: ["retried": "\(retried)", "rejected": "\(rejected)", "reason": "\(example)"])
    }
}

/// What a worker judges by.
private struct Judge: Sendable {
    var triage: Triage
    /// Nil where none are looked for.
    let indicators: IndicatorFiles?
    private let settings: IndicatorPolicy

    /// Keeps the indicators of `last` if they are to be the same, and has them read again.
    init(_ policy: Policy, _ limits: UpdateLimits, keeping last: Judge?, _ logger: Logger) async throws {
        triage = try Triage(policy, limits: limits)
        settings = policy.indicators
        if let last, last.settings == policy.indicators {
            indicators = last.indicators
            indicators?.reload()
        } else {
            indicators = try await Self.indicators(of: policy, logger)
        }
    }

    /// Nil where none are looked for.
    private static func indicators(of policy: Policy, _ logger: Logger) async throws -> IndicatorFiles? {
        if policy.indicators.isEmpty { return nil }
        @Sendable func say(_ load: IndicatorLoad) {
            logger.info(
                "indicators are loaded",
                metadata: ["indicators": "\(load.set.count)", "files": "\(load.reports.count)", "version": "\(load.set.version)"])
        }
        @Sendable func complain(_ problems: [IndicatorProblem], _ what: String) {
            for problem in problems { logger.error("\(what)", metadata: ["reason": "\(problem)"]) }
        }
        let files = try await IndicatorFiles.open(policy.indicators) { news in
            switch news {
            case .loaded(let load): say(load)
            case .refused(let problems): complain(problems, "indicators changed and cannot be used; those before are kept")
            }
        }
        say(files.current)
        complain(files.current.problems, "a file of indicators cannot be used; triage goes on without it")
        return files
    }
}

/// What is to judge from the next batch on. Thread-safe.
private final class NextJudge: Sendable {
    private struct State {
        /// In use, or to be.
        var latest: Judge
        var isNew = false
    }
    private let state: Mutex<State>

    init(_ first: Judge) { state = Mutex(State(latest: first)) }

    /// Called by one task.
    func use(_ policy: Policy, _ limits: UpdateLimits, _ logger: Logger) async {
        do {
            let next = try await Judge(policy, limits, keeping: state.withLock { $0.latest }, logger)
            state.withLock { $0 = State(latest: next, isNew: true) }
            logger.notice("the policy has been read again", metadata: ["version": "\(policy.version)"])
        } catch {
            logger.error("the policy cannot be used, it stays as it is: \(error)")
        }
    }

    /// Nil: none has come since.
    func take() -> Judge? {
        state.withLock { state in
            defer { state.isNew = false }
            return state.isNew ? state.latest : nil
        }
    }
}
