/// What words of monitoring mean in general, so that what is learnt of one is known of its like from the first examples on.
///
/// General knowledge, taken from no records; which label a sense speaks for is learnt.
enum TextSenses {
    /// Of a term; nil for the many words that have none of these.
    static func sense(of term: UInt64) -> UInt64? { senses[term] }

    static let words = [
        """
        absent dead disappeared disconnected down exited gone inaccessible lost missing offline stopped terminated unavailable
        unreachable vanished
        """,
        """
        abort broken corrupt corruption crash crashloop deadlock defect dropped error failed failure fatal fault faulty invalid
        killed oom panic rejected unhealthy
        """,
        "depleted empty exceeded exhausted expired full out overflow saturated",
        """
        approaching backlog behind decreasing degraded delay drift growing high increasing lag latency low nearing overloaded
        pending pressure queued retry retries slow slowly soon throttled usage
        """,
        "critical dangerous disaster emergency immediately outage severe urgent",
        "minor notice unusual warning",
        "changed idle info informational notification outdated restarted started unused updated",
    ]

    private static let senses: [UInt64: UInt64] = {
        var senses: [UInt64: UInt64] = [:]
        for (number, words) in words.enumerated() {
            for term in TextTerms(words).terms { senses[term.hash] = TextTerms.mixed(UInt64(number + 1)) }
        }
        return senses
    }()
}
