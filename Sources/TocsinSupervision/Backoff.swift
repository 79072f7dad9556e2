/// How long to wait before a process that ended is started again: doubled each time it ends soon, forgotten once it has
/// run for a while.
public struct Backoff: Sendable, Equatable {
    public var first: Duration
    public var longest: Duration
    /// A process that ran this long was well.
    public var forgivenAfter: Duration
    private var next: Duration?

    public init(
        first: Duration = .milliseconds(500), longest: Duration = .seconds(30), forgivenAfter: Duration = .seconds(60)
    ) {
        self.first = first
        self.longest = longest
        self.forgivenAfter = forgivenAfter
    }

    /// The wait after a run of `uptime` has ended.
    public mutating func wait(afterRunOf uptime: Duration) -> Duration {
        let wait = uptime >= forgivenAfter ? first : next ?? first
        next = min(longest, wait * 2)
        return wait
    }
}
