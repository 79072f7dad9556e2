import TocsinIntake

/// Indicators of MISP events: their attributes and those of their objects.
struct MISPReader {
    let source: String
    private(set) var indicators: [Indicator] = []
    /// Those of attributes that came before their event.
    private var orphans: [Int] = []
    private(set) var isMISP = false

    private static let labelsMax = 16

    init(source: String) { self.source = source }

    /// An event with all it has, with or without `{"Event": …}` around it.
    mutating func add(event: JSON, _ report: inout IndicatorReport) {
        let event = event["Event"] ?? event
        isMISP = true
        let start = orphans.count
        for attribute in event["Attribute"]?.array ?? [] { add(attribute: attribute, &report) }
        for object in event["Object"]?.array ?? [] {
            for attribute in object["Attribute"]?.array ?? [] { add(attribute: attribute, &report) }
        }
        adopt(orphans[start...], by: event)
        orphans.removeLast(orphans.count - start)
    }

    /// The event whose attributes came before it.
    mutating func finish(_ event: JSON, _ report: inout IndicatorReport) {
        if event["info"] != nil { isMISP = true }
        adopt(orphans[...], by: event)
        orphans.removeAll()
    }

    mutating func add(attribute: JSON, _ report: inout IndicatorReport) {
        isMISP = true
        func place() -> String { attribute["uuid"]?.string ?? attribute["id"]?.plain ?? "" }
        guard let type = attribute["type"]?.string, let value = attribute["value"]?.string else {
            return report.skip("an attribute without type or value", at: place())
        }
        if Self.isTrue(attribute["deleted"]) == true { return report.skip("deleted", at: place()) }
        if Self.isTrue(attribute["to_ids"]) == false { return report.skip("not for detection (to_ids is false)", at: place()) }
        let parts = Self.parts(of: type)
        guard !parts.isEmpty else { return report.skip("an attribute of type \(type.prefix(64))", at: place()) }
        let values = value.split(separator: "|", omittingEmptySubsequences: false)
        let tags = Self.tags(attribute)
        for part in parts {
            guard part.index < values.count, let expected = part.types.first,
                let normal = Normalised.value(String(values[part.index]), type: expected)
            else {
                report.skip("a value that is no \(type.prefix(64))", at: place())
                continue
            }
            orphans.append(indicators.count)
            indicators.append(
                Indicator(
                    id: place(), name: attribute["comment"]?.string ?? "", type: normal.type, value: normal.value, source: source,
                    confidence: Self.confidence(tags), labels: Array(tags.prefix(Self.labelsMax))))
        }
    }

    /// What an event says, its attributes need not.
    private mutating func adopt(_ orphans: ArraySlice<Int>, by event: JSON) {
        let info = event["info"]?.string ?? ""
        let tags = Self.tags(event)
        for index in orphans {
            if indicators[index].name.isEmpty { indicators[index].name = info }
            for tag in tags where !indicators[index].labels.contains(tag) && indicators[index].labels.count < Self.labelsMax {
                indicators[index].labels.append(tag)
            }
            if indicators[index].confidence == nil { indicators[index].confidence = Self.confidence(tags) }
        }
    }

    private static func tags(_ value: JSON) -> [String] { value["Tag"]?.array?.compactMap { $0["name"]?.string } ?? [] }

    /// MISP's taxonomy `misp:confidence-level`, with its numbers.
    private static func confidence(_ tags: [String]) -> UInt8? {
        for tag in tags where tag.hasPrefix("misp:confidence-level=") {
            switch tag.dropFirst("misp:confidence-level=".utf8.count).filter({ $0 != "\"" }) {
            case "completely-confident": return 100
            case "usually-confident": return 75
            case "fairly-confident": return 50
            case "rarely-confident": return 25
            case "unconfident": return 0
            default: break
            }
        }
        return nil
    }

    /// Booleans, also as `0`, `1` and in quotes; nil if it is not there.
    private static func isTrue(_ value: JSON?) -> Bool? {
        guard let value, !value.isNull else { return nil }
        return value.plain == "true" || value.plain == "1"
    }

    /// Which parts of an attribute's value, divided by `|`, are indicators, and of which types; none for what events do not show.
    static func parts(of type: String) -> [(index: Int, types: [IndicatorType])] {
        switch type {
        case "ip-src", "ip-dst", "ip-src|port", "ip-dst|port": [(0, [.ipv4, .ipv6])]
        case "domain", "hostname", "hostname|port": [(0, [.domain])]
        case "domain|ip": [(0, [.domain]), (1, [.ipv4, .ipv6])]
        case "url", "uri": [(0, [.url])]
        case "email", "email-src", "email-dst", "email-reply-to": [(0, [.email])]
        case "md5", "x509-fingerprint-md5": [(0, [.md5])]
        case "sha1", "x509-fingerprint-sha1": [(0, [.sha1])]
        case "sha256", "x509-fingerprint-sha256": [(0, [.sha256])]
        case "sha512": [(0, [.sha512])]
        case "filename|md5", "malware-sample": [(1, [.md5])]
        case "filename|sha1": [(1, [.sha1])]
        case "filename|sha256": [(1, [.sha256])]
        case "filename|sha512": [(1, [.sha512])]
        default: []
        }
    }
}
