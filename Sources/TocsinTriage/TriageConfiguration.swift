public import TocsinPolicy

/// What a triage worker works by. Plain values: whoever reads the configuration file fills them in.
public struct TriageConfiguration: Sendable {
    public var policy: Policy
    /// How much is merged into one alert update.
    public var limits: UpdateLimits
    /// Events one worker holds at the same time, 1 to 65,536.
    public var credit: Int

    public init(policy: Policy = Policy(), limits: UpdateLimits = UpdateLimits(), credit: Int = 1024) {
        self.policy = policy
        self.limits = limits
        self.credit = credit
    }

    /// Everything that is wrong with it; empty if nothing is.
    public var problems: [String] {
        var problems = policy.problems
        if !(1...65_536).contains(credit) { problems.append("triage credit \(credit) is not in 1 to 65536") }
        if !(1...100_000).contains(limits.events) {
            problems.append("triage update_events \(limits.events) is not in 1 to 100000")
        }
        if !(1...900_000).contains(limits.bytes) {
            problems.append("triage update_size \(limits.bytes) is not in 1 to 900000, which a message can carry")
        }
        return problems
    }
}
