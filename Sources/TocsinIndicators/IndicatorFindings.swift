public import TocsinPolicy
public import TocsinProto

extension IndicatorScanner {
    /// What a set says of an event, by the event's own time, as triage takes it.
    public mutating func findings(in event: Tocsin_V1_Event, of set: IndicatorSet) -> IndicatorFindings {
        let matches = matches(
            summary: event.summary, labels: event.labels, details: event.details,
            at: event.observedAt == 0 ? nil : event.observedAt, in: set)
        guard !matches.isEmpty else { return .none }
        return IndicatorFindings(version: set.version, findings: matches.map(\.finding))
    }
}

extension IndicatorMatch {
    fileprivate var finding: IndicatorFindings.Finding {
        IndicatorFindings.Finding(
            match: .with {
                $0.indicator = indicator.id
                $0.type = indicator.type.isHash ? "hash" : indicator.type.description
                $0.value = observed
                $0.place = place.description
                $0.source = indicator.source
                $0.confidence = UInt32(indicator.confidence ?? 0)
                $0.labels = indicator.labels
            }, value: indicator.value, exception: outcome == .matched ? "" : outcome.description)
    }
}
