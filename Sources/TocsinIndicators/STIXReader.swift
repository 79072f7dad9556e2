import TocsinIntake

/// Indicators of STIX 2.1 objects (and 2.0, which differs little). What a bundle has besides indicators says nothing of events.
struct STIXReader {
    let source: String
    private(set) var indicators: [Indicator] = []
    /// When each version that was seen was made: of an id the latest, milliseconds since 1970.
    private(set) var versions: [String: UInt64] = [:]
    /// Of each of `indicators`, when its version was made.
    private(set) var modified: [UInt64] = []

    private static let labelsMax = 16

    init(source: String) { self.source = source }

    mutating func add(_ object: JSON, _ report: inout IndicatorReport) {
        guard let type = object["type"]?.string else { return report.skip("no STIX object", at: object.kind) }
        guard type == "indicator" else { return }
        guard let id = object["id"]?.string, !id.isEmpty else { return report.skip("an indicator without an id", at: "") }
        let created = object["created"]?.string.flatMap(Timestamp.parse)
        let modified = object["modified"]?.string.flatMap(Timestamp.parse) ?? created ?? 0
        if let known = versions[id], modified <= known {
            return report.skip("a version of an indicator that has a later one", at: id)
        }
        versions[id] = modified
        if object["revoked"] == .bool(true) { return report.skip("revoked", at: id) }
        let language = object["pattern_type"]?.string ?? "stix"
        guard language == "stix" else { return report.skip("a pattern of type \(language.prefix(32))", at: id) }
        guard let pattern = object["pattern"]?.string else { return report.skip("no pattern", at: id) }

        guard let validFrom = Self.time(object["valid_from"], otherwise: created ?? 0),
            let validUntil = Self.time(object["valid_until"], otherwise: UInt64.max)
        else { return report.skip("a time that is not RFC 3339 in valid_from or valid_until", at: id) }
        guard validFrom < validUntil else { return report.skip("valid_until is not after valid_from", at: id) }

        let parsed: STIXPattern
        do throws(STIXPattern.Problem) {
            parsed = try STIXPattern(pattern)
        } catch {
            return report.skip("a pattern that is wrong: \(error.message)", at: "\(id), byte \(error.offset) of its pattern")
        }
        for reason in parsed.unusable { report.skip(reason, at: id) }
        let labels = Self.strings(object["labels"]) + Self.strings(object["indicator_types"])
        for (type, value) in parsed.values {
            indicators.append(
                Indicator(
                    id: id, name: object["name"]?.string ?? "", type: type, value: value, source: source,
                    confidence: object["confidence"].flatMap { UInt8($0.text) }.flatMap { $0 <= 100 ? $0 : nil },
                    labels: Array(labels.prefix(Self.labelsMax)), validFrom: validFrom,
                    validUntil: validUntil == .max ? nil : validUntil))
            self.modified.append(modified)
        }
    }

    private static func strings(_ value: JSON?) -> [String] { value?.array?.compactMap(\.string) ?? [] }

    /// Nil for what is no time.
    private static func time(_ value: JSON?, otherwise: UInt64) -> UInt64? {
        guard let value, !value.isNull else { return otherwise }
        return value.string.flatMap(Timestamp.parse)
    }
}
