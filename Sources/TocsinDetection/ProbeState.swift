import TocsinSystem

/// What one probe saw of one condition.
struct Observation: Sendable, Equatable {
    /// Which condition of the check, where it has several: `cpu`, `disk:/var`. Empty: the only one.
    var aspect = ""
    var healthy: Bool
    /// Neither: within the band of a hysteresis. What is reported stays so, what is not is not.
    var isBetween = false
    /// A failure that is reported at once, however many there must be in a row otherwise.
    var isHard = false
    /// The hint of the event, if it fails.
    var severity: String
    /// One line for a person.
    var summary: String
    var details: [String: String] = [:]
}

/// Turns a row of observations into the few that are worth an event: a pure state machine.
struct ProbeState: Codable, Sendable, Equatable {
    /// What there is to publish; `withheld`: it would be triggered, if it might be.
    enum Verdict: Equatable, Sendable { case nothing, trigger, resolve, withheld }

    /// The severity hint it was last triggered with; nil while it is not firing. This survives a restart.
    private(set) var firing: String?
    /// When the last trigger was published, milliseconds since 1970. 0 after a restart, so that a trigger which a crash kept
    /// from being published follows at the first failure.
    private var triggeredAt: UInt64 = 0
    /// In a row.
    private(set) var failures = 0
    private var successes = 0
    /// It fails, and is not reported: not often enough yet, or withheld.
    var isSoft: Bool { failures > 0 && firing == nil }

    private enum CodingKeys: String, CodingKey { case firing }

    /// Takes an observation in. A trigger comes after enough failures in a row, at once when the severity changes, and again
    /// every repeat interval; a resolve after enough successes in a row. Nothing is triggered that was not, unless it `mayTrigger`.
    mutating func observe(_ observation: Observation, check: Check, nowMs: UInt64, mayTrigger: Bool = true) -> Verdict {
        if observation.isBetween {
            (failures, successes) = (0, 0)
            return .nothing
        }
        guard !observation.healthy else {
            failures = 0
            guard firing != nil else { return .nothing }
            successes += 1
            guard successes >= check.successesToResolve else { return .nothing }
            firing = nil
            successes = 0
            return .resolve
        }
        successes = 0
        failures = min(failures + 1, 1_000_000)
        if let firing {
            let age = nowMs >= triggeredAt ? nowMs - triggeredAt : UInt64.max
            guard observation.severity != firing || age >= UInt64(check.repeatInterval.milliseconds) else {
                return .nothing
            }
        } else if failures < check.failuresToTrigger && !observation.isHard {
            return .nothing
        } else if !mayTrigger {
            return .withheld
        }
        firing = observation.severity
        triggeredAt = nowMs
        return .trigger
    }
}
