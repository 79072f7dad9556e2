import Logging
import TocsinKit
import TocsinSystem

/// Why a change cannot be handled to its end now. It is delivered again later.
struct NotNow: Error, CustomStringConvertible {
    var description: String
}

/// The time for which the hub lets this worker keep a delivery.
struct Lease: Sendable {
    /// What is kept back for publishing reports and settling.
    static let reserve = Duration.seconds(10)

    let end: ContinuousClock.Instant

    /// Throws `NotNow` if what takes so long at most could outlive the lease; another worker would then begin it too.
    func require(_ longest: Duration, for what: String) throws {
        guard ContinuousClock.now + longest + Self.reserve > end else { return }
        throw NotNow(description: "\(what) may take longer than is left of the delivery's visibility time")
    }
}

/// Runs one runbook for one change: steps, verification, reports, and the ledger before and after each.
struct RunbookExecutor: Sendable {
    let ledger: Ledger
    let publish: Publish
    let pool: BlockingPool
    let logger: Logger
    let wallClock: @Sendable () -> UInt64

    /// Continues where the ledger says an earlier attempt ended. Returns when the run has ended, well or not, and every
    /// report of it is on the hub's disk.
    ///
    /// - Throws: `NotNow`, `LedgerError`, `CancellationError`, or what publishing threw: deliver the change again.
    func run(_ run: PlannedRun, lease: Lease) async throws {
        let record = ledger.run(run.id)
        if record?.isReported == true { return }
        if record?.end == nil { try lease.require(run.runbook.longestRun, for: "runbook \"\(run.runbook.name)\"") }

        let reporter = Reporter(publish)
        let reports = ReportFactory(run)
        let startedAt = record?.startedAt ?? wallClock()
        let names = run.runbook.steps.map(\.name)
        if record == nil { try await ledger.record(.runStarted(run: run.id, steps: names, time: startedAt)) }
        await reporter.add(try reports.started(run, at: startedAt))
        for (step, outcome) in (record?.outcomes ?? []).enumerated() {
            await reporter.add(try reports.step(step, outcome))
        }
        var end = record?.end
        if end == nil {
            let result = try await finish(run, record ?? RunRecord(steps: names), reports, reporter)
            try await ledger.record(.runFinished(run: run.id, result))
            logger.info(
                "a runbook has ended",
                metadata: [
                    "incident": "\(run.change.number)", "runbook": "\(run.runbook.name)",
                    "succeeded": "\(result.succeeded)", "result": "\(result.text.prefix(200))",
                ])
            end = result
        }
        if let end { await reporter.add(try reports.end(end)) }
        try await reporter.flush()
        try await ledger.record(.runReported(run: run.id))
    }

    private func finish(
        _ run: PlannedRun, _ record: RunRecord, _ reports: ReportFactory, _ reporter: Reporter
    ) async throws -> RunEnd {
        let steps = run.runbook.steps
        guard record.steps == steps.map(\.name) else {
            return failed("the runbook's steps were changed while a run was interrupted; it is not continued")
        }
        if let last = record.outcomes.last, !last.succeeded { return failed(last.text) }
        var wasInterrupted = record.stepIsOpen
        for (number, step) in steps.enumerated().dropFirst(record.outcomes.count) {
            let title = "step \(number + 1) of \(steps.count) \"\(step.name)\""
            let outcome: StepOutcome
            if wasInterrupted && !step.idempotent {
                outcome = StepOutcome(
                    succeeded: false,
                    text:
                        "\(title): the responder ended while it ran; not known whether it ran to its end; not repeated",
                    time: wallClock())
            } else {
                outcome = try await perform(step, number, title, run)
            }
            wasInterrupted = false
            try await ledger.record(.stepFinished(run: run.id, step: number, outcome))
            await reporter.add(try reports.step(number, outcome))
            guard outcome.succeeded else { return failed(outcome.text) }
        }
        return try await verified(run)
    }

    private func perform(_ step: RunbookStep, _ number: Int, _ title: String, _ run: PlannedRun) async throws
        -> StepOutcome
    {
        try Task.checkCancellation()
        try await ledger.record(.stepStarted(run: run.id, step: number))
        var environment = run.environment
        environment["TOCSIN_STEP"] = step.name
        environment.merge(step.environment) { $1 }
        let outcome = try await Command.run(step.command, environment: environment, timeout: step.timeout, on: pool)
        return StepOutcome(succeeded: outcome.succeeded, text: "\(title): \(outcome.text)", time: wallClock())
    }

    private func verified(_ run: PlannedRun) async throws -> RunEnd {
        let done = "\(Words.count(run.runbook.steps.count, "step")) succeeded"
        guard let verify = run.runbook.verify else {
            return RunEnd(
                succeeded: true, mitigated: false, text: "\(done); the runbook has no verification", time: wallClock())
        }
        var last = ""
        for attempt in 1...max(1, verify.attempts) {
            if attempt > 1 { try await Task.sleep(for: verify.interval) }
            let (succeeded, text) = try await probe(verify, run)
            if succeeded {
                return RunEnd(
                    succeeded: true, mitigated: true, text: "\(done); verified at attempt \(attempt): \(text)",
                    time: wallClock())
            }
            last = text
        }
        return failed(
            "\(done), but not verified in \(Words.count(max(1, verify.attempts), "attempt")); the last: \(last)")
    }

    private func probe(_ verify: Verification, _ run: PlannedRun) async throws -> (succeeded: Bool, text: String) {
        switch verify.probe {
        case .command(let command):
            let outcome = try await Command.run(
                command, environment: run.environment, timeout: verify.timeout, on: pool)
            return (outcome.succeeded, outcome.text)
        case .http(let url, let expectStatus):
            do {
                let answer = try await HTTPRequest(url: url, timeout: verify.timeout, bodyLimit: 64 << 10).perform(
                    on: pool)
                return (expectStatus.contains { $0.contains(answer.status) }, "status \(answer.status)")
            } catch let error as HTTPError {
                return (false, error.description)
            }
        }
    }

    private func failed(_ text: String) -> RunEnd {
        RunEnd(succeeded: false, mitigated: false, text: text, time: wallClock())
    }
}
