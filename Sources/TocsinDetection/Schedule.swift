import Synchronization
import TocsinSystem

/// When a check is probed next: from start to start, a little later by chance, sooner while it fails and is not reported.
struct Rhythm: Sendable {
    private let interval: Duration
    private let retry: Duration
    private let jitter: Duration
    private var next = monotonicNow()
    /// Since when it fails, on the clock of `monotonicNow`; nil while it does not.
    private(set) var failingSince: Duration?

    init(_ check: Check) {
        interval = check.interval
        retry = check.retryInterval ?? check.interval
        jitter = check.jitter ?? min(check.interval / 10, .seconds(10))
    }

    /// By chance, less than the jitter.
    func delay() -> Duration { jitter * Double.random(in: 0..<1) }

    /// What is left until the next probe. What was missed while a probe took longer is left out.
    mutating func wait(isSoft: Bool) -> Duration {
        let now = monotonicNow()
        next = max(next + (isSoft ? retry : interval), now)
        // The jitter is not added up: the rhythm stays.
        return next - now + delay()
    }

    mutating func note(isFailing: Bool, at time: Duration) {
        failingSince = isFailing ? failingSince ?? time : nil
    }
}

/// What the checks of one detector know of each other.
final class CheckBoard: Sendable {
    private struct Entry {
        var isFailing: Bool
        /// When the probe began that said so.
        var at: Duration
    }
    private let entries = Mutex<[String: Entry]>([:])
    /// Checks that others depend on, and those of them that are to be probed now.
    private let depended: Set<String>
    private let wanted = Mutex<Set<String>>([])

    init(_ checks: [Check] = []) { depended = Set(checks.flatMap(\.dependsOn)) }

    /// Waits, for less if others want to know how this check is.
    func sleep(_ name: String, for duration: Duration) async throws {
        guard depended.contains(name) else { return try await Task.sleep(for: duration) }
        let end = ContinuousClock.now + duration
        while true {
            let left = end - ContinuousClock.now
            if left <= .zero || wanted.withLock({ $0.remove(name) }) != nil { return }
            try await Task.sleep(for: min(left, .milliseconds(500)))
        }
    }

    func note(_ name: String, isFailing: Bool, at time: Duration) {
        entries.withLock { $0[name] = Entry(isFailing: isFailing, at: time) }
    }

    /// Why a check that depends on `names` and fails since then is not to be reported; nil: it is. A check that it depends on
    /// may just have failed as well, and not know it yet: so each must have been seen to be well since, and is looked at now.
    func obstacle(to names: [String], since: Duration) -> String? {
        for name in names {
            let entry = entries.withLock { $0[name] }
            if let entry, entry.isFailing { return "\(name) fails" }
            guard let entry, entry.at >= since else {
                wanted.withLock { _ = $0.insert(name) }
                return entry == nil ? "\(name) has not been probed yet" : "\(name) has not been probed since"
            }
        }
        return nil
    }
}
