/// The times of one incident, from its stamps. A metric is nil while its end is not reached (the incident is censored, not
/// zero) or when the stamps contradict each other.
public struct IncidentMetrics: Sendable, Equatable {
    /// Detected − started.
    public var timeToDetect: Duration?
    /// Acknowledged by a person − detected.
    public var timeToAcknowledge: Duration?
    /// Mitigated − detected; what was resolved without a mitigation was mitigated by that.
    public var timeToMitigate: Duration?
    /// Resolved − detected (time to restore).
    public var timeToResolve: Duration?

    /// Stamps in milliseconds since 1970, 0 where not reached or not known.
    public init(
        startedAt: UInt64 = 0, detectedAt: UInt64, acknowledgedAt: UInt64 = 0, mitigatedAt: UInt64 = 0,
        resolvedAt: UInt64 = 0
    ) {
        timeToDetect = Self.duration(from: startedAt, to: detectedAt)
        timeToAcknowledge = Self.duration(from: detectedAt, to: acknowledgedAt)
        timeToMitigate = Self.duration(from: detectedAt, to: mitigatedAt == 0 ? resolvedAt : mitigatedAt)
        timeToResolve = Self.duration(from: detectedAt, to: resolvedAt)
    }

    private static func duration(from start: UInt64, to end: UInt64) -> Duration? {
        guard start > 0, end >= start else { return nil }
        return .milliseconds(Int64(clamping: end - start))
    }
}
