import TocsinIntake

/// What one file gave.
public struct IndicatorReport: Sendable, Equatable {
    /// As the configuration, or a folder that it names, leads to it.
    public var path: String
    public var format: Format
    /// Values that are looked for, by type. None for a false-positive list.
    public var counts: [IndicatorType: Int] = [:]
    /// Values of a false-positive list.
    public var falsePositives = 0
    public var skipped: [Skipped] = []

    public enum Format: String, Sendable, CaseIterable {
        case stix = "STIX"
        case misp = "MISP"
        case warninglist = "MISP warninglist"
        case list = "list"
    }

    /// Entries that are not used, for one reason.
    public struct Skipped: Sendable, Equatable {
        public var reason: String
        public var count: Int
        /// Where the first is: `line 3`, or an indicator's id.
        public var first: String
    }

    /// Different reasons of one file that are told.
    private static let reasonsMax = 100

    mutating func skip(_ reason: String, at place: @autoclosure () -> String) {
        if let index = skipped.firstIndex(where: { $0.reason == reason }) {
            skipped[index].count += 1
        } else if skipped.count < Self.reasonsMax {
            skipped.append(Skipped(reason: reason, count: 1, first: place()))
        } else {
            skipped[skipped.count - 1].count += 1
        }
    }
}

/// A file cannot be used at all. One sentence with the path, the place and what to do.
public struct IndicatorProblem: Error, Sendable, Equatable, CustomStringConvertible {
    public var description: String
    init(_ description: String) { self.description = description }
}

/// The content of one file, read.
struct IndicatorSource {
    private(set) var report: IndicatorReport
    private(set) var indicators: [Indicator] = []
    /// Of STIX indicators, when each version was made, milliseconds since 1970: the latest of an id counts, in whatever file.
    private(set) var versions: [String: UInt64] = [:]
    /// Of STIX indicators, each of `indicators`' own version; else empty.
    private(set) var modified: [UInt64] = []
    private(set) var falsePositives: [FalsePositiveList] = []

    enum Purpose: Sendable {
        case indicators, falsePositives
    }

    /// `path` is for reports; its last part is the indicators' `source`.
    init(_ bytes: [UInt8], path: String, purpose: Purpose) throws(IndicatorProblem) {
        report = IndicatorReport(path: path, format: .list)
        let name = path.split(separator: "/").last.map(String.init) ?? path
        // Some tools begin UTF-8 with a mark.
        let bytes = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
        switch bytes.first(where: { $0 > 0x20 }) {
        case UInt8(ascii: "{"): try readJSON(bytes, handingOut: ["objects", "Attribute", "response", "list"], name, purpose)
        // Of several events each has to keep its attributes.
        case UInt8(ascii: "["): try readJSON(bytes, handingOut: [], name, purpose)
        default: readList(bytes, name, purpose)
        }
        for indicator in indicators { report.counts[indicator.type, default: 0] += 1 }
    }

    // JSON.

    private mutating func readJSON(
        _ bytes: [UInt8], handingOut members: Set<String>, _ name: String, _ purpose: Purpose
    ) throws(IndicatorProblem) {
        var stix = STIXReader(source: name)
        var misp = MISPReader(source: name)
        var values: [String] = []
        var report = report
        let root: JSON
        do throws(JSONProblem) {
            root = try JSON.read(bytes, elementsOf: members) { member, value, offset in
                switch member {
                case "objects": stix.add(value, &report)
                case "list":
                    if let text = value.string { values.append(text) } else { report.skip("no text", at: "byte \(offset)") }
                case "response": misp.add(event: value, &report)
                default: misp.add(attribute: value, &report)
                }
            }
        } catch {
            let before = bytes[..<min(error.offset, bytes.count)]
            let line = before.count { $0 == 0x0A } + 1
            let column = before.count - (before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0) + 1
            throw IndicatorProblem("\(report.path):\(line):\(column): no JSON: \(error.message)")
        }
        self.report = report
        // An array of events, or a single STIX object.
        for event in root.array ?? [] where event["Event"] != nil { misp.add(event: event, &self.report) }
        misp.finish(root["Event"] ?? root, &self.report)
        if root["type"]?.string == "indicator" { stix.add(root, &self.report) }

        if root["list"] != nil {
            guard purpose == .falsePositives else {
                throw IndicatorProblem(
                    "\(report.path) is a MISP warninglist, of values that are benign; name it under false_positives")
            }
            try readWarninglist(root, values)
        } else if root["objects"] != nil || root["type"]?.string != nil {
            self.report.format = .stix
            (indicators, versions, modified) = (stix.indicators, stix.versions, stix.modified)
        } else if misp.isMISP {
            self.report.format = .misp
            indicators = misp.indicators
        } else {
            throw IndicatorProblem(
                "\(report.path) is JSON, but no STIX bundle (\"objects\"), MISP event (\"Event\") or warninglist (\"list\")"
            )
        }
        if purpose == .falsePositives, root["list"] == nil {
            throw IndicatorProblem("\(report.path) has indicators; name it under files, not under false_positives")
        }
    }

    private mutating func readWarninglist(_ root: JSON, _ values: [String]) throws(IndicatorProblem) {
        report.format = .warninglist
        guard let kind = root["type"]?.string.flatMap(FalsePositiveList.Kind.init) else {
            let kinds = FalsePositiveList.Kind.allCases.map(\.rawValue).joined(separator: ", ")
            throw IndicatorProblem("\(report.path): the type \(root["type"]?.text ?? "is missing") is not one of \(kinds)")
        }
        var types: Set<IndicatorType> = []
        let attributes = root["matching_attributes"]?.array ?? []
        for attribute in attributes { for part in MISPReader.parts(of: attribute.plain) { types.formUnion(part.types) } }
        falsePositives = [
            FalsePositiveList(
                name: root["name"]?.string ?? report.path, kind: kind,
                types: attributes.isEmpty ? Set(IndicatorType.allCases) : types, values: values)
        ]
        report.falsePositives = values.count
    }

    // Plain lists.

    private mutating func readList(_ bytes: [UInt8], _ name: String, _ purpose: Purpose) {
        var values: [FalsePositiveList.Kind: [String]] = [:]
        var seen: Set<String> = []
        var number = 0
        for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
            number += 1
            guard let content = Self.content(of: line) else { continue }
            guard let (type, value) = Self.value(content) else {
                report.skip("no address, network, domain, URL, e-mail address or hash", at: "line \(number)")
                continue
            }
            guard seen.insert(value).inserted else {
                report.skip("the same once more", at: "line \(number)")
                continue
            }
            switch (purpose, type) {
            case (.indicators, _):
                indicators.append(Indicator(id: "\(name):\(number)", type: type, value: value, source: name))
            case (.falsePositives, .ipv4), (.falsePositives, .ipv6): values[.cidr, default: []].append(value)
            case (.falsePositives, .domain): values[.hostname, default: []].append(value)
            case (.falsePositives, _): values[.string, default: []].append(value)
            }
        }
        for (kind, values) in values.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            falsePositives.append(FalsePositiveList(name: name, kind: kind, values: values))
            report.falsePositives += values.count
        }
    }

    /// A line without what is around its entry: space, and a comment from `#` or `;` at the start or after a space. Nil if
    /// nothing is left.
    private static func content(of line: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        func isSpace(_ byte: UInt8) -> Bool { byte <= 0x20 }
        var content = line
        for index in line.indices where line[index] == UInt8(ascii: "#") || line[index] == UInt8(ascii: ";") {
            guard index == line.startIndex || isSpace(line[index - 1]) else { continue }
            content = line[..<index]
            break
        }
        while let first = content.first, isSpace(first) { content.removeFirst() }
        while let last = content.last, isSpace(last) { content.removeLast() }
        return content.isEmpty ? nil : content
    }

    /// What an entry that does not say it is; it may have been made harmless.
    static func value(_ content: ArraySlice<UInt8>) -> (type: IndicatorType, value: String)? {
        guard content.count <= Normalised.bytesMax, !content.contains(where: { $0 <= 0x20 }) else { return nil }
        let text = String(decoding: ObservableReader.restored(Array(content)), as: UTF8.self)
        if let address = Normalised.value(text, type: .ipv4) { return address }
        if let hash = IndicatorType(hashDigits: text.utf8.count), let value = Normalised.value(text, type: hash) { return value }
        if text.contains("://") { return Normalised.value(text, type: .url) }
        if let domain = Normalised.value(text, type: .domain) { return domain }
        if let email = Normalised.value(text, type: .email) { return email }
        // "evil.example/path": of whatever scheme.
        let host = text.prefix { $0 != "/" && $0 != ":" && $0 != "?" }
        let rest = text.dropFirst(host.count + 1)
        guard host.utf8.count < text.utf8.count, let (type, _) = value(Array(host.utf8)[...]) else { return nil }
        // A network whose prefix length is wrong is no URL.
        guard type == .domain || rest.contains(where: \.isLetter) else { return nil }
        return Normalised.value("//" + text, type: .url)
    }

    /// Keeps the indicators for which `choose` has no reason against; it is given each with its own version, if it is STIX's.
    mutating func choose(_ choose: (Indicator, _ modified: UInt64?) -> String?) {
        for (index, indicator) in indicators.enumerated() {
            guard let reason = choose(indicator, modified.isEmpty ? nil : modified[index]) else { continue }
            report.counts[indicator.type, default: 0] -= 1
            report.skip(reason, at: indicator.id)
        }
        indicators = []
    }

    /// A false-positive list has something that cannot be used.
    mutating func skip(falsePositive reason: String) { report.skip(reason, at: "its list") }
}
