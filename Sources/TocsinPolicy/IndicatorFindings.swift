import TocsinDomain
public import TocsinProto

/// What a set of threat indicators says of one event. Found by whoever has the set; a fact to `Triage`, like the event itself.
public struct IndicatorFindings: Sendable, Equatable {
    /// Of the set.
    public var version: String
    /// In the order of the event's texts; few.
    public var findings: [Finding]

    /// One indicator that names something in the event.
    public struct Finding: Sendable, Equatable {
        public var match: Tocsin_V1_IndicatorMatch
        /// The indicator's own value: `198.51.100.0/24` where the event says `198.51.100.7`.
        public var value: String
        /// Why it does not count: it is on a false-positive list, or was not valid then. Empty: it counts.
        public var exception: String

        public init(match: Tocsin_V1_IndicatorMatch, value: String, exception: String = "") {
            self.match = match
            self.value = value
            self.exception = exception
        }

        public var counts: Bool { exception.isEmpty }
    }

    /// Nothing.
    public static let none = IndicatorFindings(version: "", findings: [])

    public init(version: String, findings: [Finding]) {
        self.version = version
        self.findings = findings
    }

    /// The matches that count.
    var matches: [Finding] { findings.filter(\.counts) }

    /// How each was judged. The value is the indicator's, so that events which differ in what they say are still judged alike.
    func decisions(raising severity: Severity?) -> [Decision] {
        findings.map { finding in
            Decision(
                .indicator, rule: finding.match.source,
                "\(finding.match.type) \(finding.value), \(finding.match.indicator), in \(finding.match.place); set \(version)",
                finding.counts ? severity.map { "matched: at least \($0)" } ?? "matched" : finding.exception)
        }
    }
}
