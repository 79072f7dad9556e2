/// What the ledger knows of one run.
struct RunRecord: Sendable, Equatable {
    /// The names of the runbook's steps when the run began.
    var steps: [String] = []
    var startedAt: UInt64 = 0
    /// Of the steps that ended, in order.
    var outcomes: [StepOutcome] = []
    /// The step after those was begun.
    var stepIsOpen = false
    var end: RunEnd?
    var isReported = false
}

/// Everything the ledger knows, in memory. A pure fold over its entries.
struct LedgerState: Sendable, Equatable {
    private(set) var runs: [String: Remembered<RunRecord>] = [:]
    private(set) var notifications: [String: Remembered<NotificationOutcome>] = [:]
    private var next: UInt64 = 0

    struct Remembered<Value: Sendable & Equatable>: Sendable, Equatable {
        var order: UInt64
        var value: Value
    }

    /// Entries of runs that were forgotten meanwhile change nothing.
    mutating func apply(_ entry: LedgerEntry) {
        next += 1
        switch entry {
        case .runStarted(let run, let steps, let time):
            runs[run] = Remembered(order: next, value: RunRecord(steps: steps, startedAt: time))
        case .stepStarted(let run, let step):
            guard runs[run]?.value.outcomes.count == step else { return }
            runs[run]?.value.stepIsOpen = true
        case .stepFinished(let run, let step, let outcome):
            guard runs[run]?.value.outcomes.count == step else { return }
            runs[run]?.value.outcomes.append(outcome)
            runs[run]?.value.stepIsOpen = false
        case .runFinished(let run, let end): runs[run]?.value.end = end
        case .runReported(let run):
            // Also the only entry that a compacted ledger has of the run.
            runs[run] = Remembered(order: runs[run]?.order ?? next, value: RunRecord(isReported: true))
        case .notified(let notification, let outcome):
            notifications[notification] = Remembered(order: next, value: outcome)
        }
    }

    /// Forgets the oldest runs and notifications beyond `limit` each; runs whose reports are published go first.
    mutating func trim(to limit: Int) {
        if runs.count > limit {
            let oldest = runs.sorted {
                ($0.value.value.isReported ? 0 : 1, $0.value.order) < (
                    $1.value.value.isReported ? 0 : 1, $1.value.order
                )
            }
            for (run, _) in oldest.prefix(runs.count - limit) { runs[run] = nil }
        }
        if notifications.count > limit {
            let oldest = notifications.sorted { $0.value.order < $1.value.order }
            for (notification, _) in oldest.prefix(notifications.count - limit) { notifications[notification] = nil }
        }
    }

    /// The shortest list of entries that makes this state, oldest run first.
    var entries: [LedgerEntry] {
        var entries: [(order: UInt64, entries: [LedgerEntry])] = notifications.map {
            ($0.value.order, [.notified(notification: $0.key, $0.value.value)])
        }
        for (run, remembered) in runs { entries.append((remembered.order, Self.entries(run, remembered.value))) }
        return entries.sorted { $0.order < $1.order }.flatMap { $0.entries }
    }

    private static func entries(_ run: String, _ record: RunRecord) -> [LedgerEntry] {
        if record.isReported { return [.runReported(run: run)] }
        var entries: [LedgerEntry] = [.runStarted(run: run, steps: record.steps, time: record.startedAt)]
        for (step, outcome) in record.outcomes.enumerated() {
            entries.append(.stepFinished(run: run, step: step, outcome))
        }
        if record.stepIsOpen { entries.append(.stepStarted(run: run, step: record.outcomes.count)) }
        if let end = record.end { entries.append(.runFinished(run: run, end)) }
        return entries
    }
}
