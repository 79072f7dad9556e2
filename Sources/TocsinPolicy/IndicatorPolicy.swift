public import TocsinDomain

/// Where threat indicators come from and what a match does.
public struct IndicatorPolicy: Sendable, Equatable {
    /// STIX bundles, MISP events, plain lists, and folders of them.
    public var files: [String]
    /// MISP warninglists, plain lists, and folders of them: values that are known to be benign.
    public var falsePositives: [String]
    /// How often files are looked at for changes.
    public var reload: Duration
    /// A match makes an event at least this severe; nil: it does not change the severity.
    public var severity: Severity?
    /// Indicators of less confidence, 0 to 100, are not used; those that say none are.
    public var minimumConfidence: UInt8

    public init(
        files: [String] = [], falsePositives: [String] = [], reload: Duration = .seconds(30), severity: Severity? = .major,
        minimumConfidence: UInt8 = 0
    ) {
        self.files = files
        self.falsePositives = falsePositives
        self.reload = reload
        self.severity = severity
        self.minimumConfidence = minimumConfidence
    }

    /// Nothing is looked for.
    public var isEmpty: Bool { files.isEmpty }
}
