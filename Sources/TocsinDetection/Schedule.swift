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

    func note(_ name: String, isFailing: Bool, at time: Duration) {
        entries.withLock { $0[name] = Entry(isFailing: isFailing, at: time) }
    }

    /// Why a check that depends on `names` and fails since then is not to be reported; nil: it is. A check that it depends on
    /// may just have failed as well, and not know it yet: so each must have been seen to be well since.
    func obstacle(to names: [String], since: Duration) -> String? {
        entries.withLock { entries in
            for name in names {
                guard let entry = entries[name] else { return "\(name) has not been probed yet" }
                if entry.isFailing { return "\(name) fails" }
                if entry.at < since { return "\(name) has not been probed since" }
            }
            return nil
        }
    }
}
