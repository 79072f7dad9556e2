import Crypto
public import TocsinDomain
public import TocsinText
import TocsinWire

/// What confirmed incidents taught: how bad what is reported will turn out to be, and what kind of trouble it is.
///
/// It learns each incident once, in the order of their numbers; those that are not confirmed yet are remembered, so that it can go
/// on later. The same incidents in the same order give the same model and the same bytes. It holds no text: only hashes of words
/// and numbers, and the names of categories. At most 20 MiB in memory and half as much as bytes.
public struct IncidentModel: Sendable {
    public private(set) var severity = TextClassifier()
    public private(set) var category = TextClassifier()
    /// The highest number that it was shown; 0: none.
    public private(set) var lastIncident: UInt64 = 0
    /// Numbers, not above `lastIncident`, of those that were not confirmed when it was shown them; the latest `waitingMax`.
    public private(set) var waiting: Set<UInt64> = []

    static let waitingMax = 65_536
    /// What others made of an event is no part of it: triage adds the owner, and the rest is what is asked for.
    private static let answers: Set<String> = ["severity", "priority", "category", "owner"]

    public init() {}

    /// What it looks at, of an event as of an alert.
    public static func fields(
        service: String, source: String, summary: String, labels: [String: String]
    ) -> [TextClassifier.Field] {
        [.init("service", service), .init("source", source), .init("summary", summary)]
            + labels.filter { !answers.contains($0.key) }.sorted { $0.key < $1.key }.map { .init("label \($0.key)", $0.value) }
    }

    /// Whether it has not learnt this incident.
    public func wants(_ number: UInt64) -> Bool { number > lastIncident || waiting.contains(number) }

    /// Learns an incident; `category` empty: nobody said it. A category that a classifier cannot have, too long or one too many, is
    /// left out.
    public mutating func learn(
        _ number: UInt64, _ fields: [TextClassifier.Field], severity: Severity, category: String
    ) throws(TextClassifierError) {
        try self.severity.learn(fields, label: severity.name)
        if (1...TextClassifier.labelBytesMax).contains(category.utf8.count),
            self.category.labels.contains(category) || self.category.labels.count < TextClassifier.labelsMax
        {
            try self.category.learn(fields, label: category)
        }
        waiting.remove(number)
        lastIncident = max(lastIncident, number)
    }

    /// Remembers an incident to learn it when it is confirmed.
    public mutating func wait(for number: UInt64) {
        lastIncident = max(lastIncident, number)
        waiting.insert(number)
        if waiting.count > Self.waitingMax, let oldest = waiting.min() { waiting.remove(oldest) }
    }
}

/// A model as bytes. Numbers are little-endian.
///
/// | size | field |
/// |---|---|
/// | 7 | `TocsinM` |
/// | 1 | version, 1 |
/// | 8 | the highest number of an incident |
/// | 4 | incidents that wait, then of each, ascending: number (8) |
/// | 4 | length of the classifier of severities, then its bytes |
/// | 4 | length of the classifier of categories, then its bytes |
/// | 32 | SHA-256 of all before |
extension IncidentModel {
    public static let encodedBytesMax = 2 * TextClassifier.encodedBytesMax + (1 << 20)
    private static let magic = Array("TocsinM".utf8) + [1]
    private static let hashBytes = 32

    /// 12 hexadecimal digits: two models with the same one are the same. Costs what encoding does.
    public var version: String { SHA256.hash(data: content()).prefix(6).hexadecimal }

    public func encoded() -> [UInt8] {
        let content = content()
        return content + Array(SHA256.hash(data: content))
    }

    private func content() -> [UInt8] {
        var bytes = Self.magic
        func add(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
        add(lastIncident)
        add(UInt32(waiting.count))
        for number in waiting.sorted() { add(number) }
        for classifier in [severity, category] {
            let encoded = classifier.encoded()
            add(UInt32(encoded.count))
            bytes += encoded
        }
        return bytes
    }

    /// - Throws: for bytes that no model of this version gave.
    public init(decoding bytes: [UInt8]) throws(PolicyProblem) {
        guard bytes.starts(with: Self.magic.dropLast()) else { throw PolicyProblem("it is no model of confirmed incidents") }
        guard bytes.starts(with: Self.magic) else {
            throw PolicyProblem("it is a model of another version of Tocsin; remove it and learn it again")
        }
        let content = bytes.dropLast(Self.hashBytes)
        guard content.count >= Self.magic.count, bytes.suffix(Self.hashBytes).elementsEqual(SHA256.hash(data: content)) else {
            throw PolicyProblem("it is damaged or cut off; remove it and learn it again")
        }
        var rest = content.dropFirst(Self.magic.count)
        lastIncident = try Self.read(UInt64.self, &rest)
        for _ in 0..<(try Self.read(UInt32.self, &rest, atMost: UInt32(Self.waitingMax))) {
            waiting.insert(try Self.read(UInt64.self, &rest))
        }
        severity = try Self.readClassifier(&rest)
        if let label = severity.labels.first(where: { name in Severity.allCases.allSatisfy { $0.name != name } }) {
            throw PolicyProblem("it tells a severity \(quoted(label)), which there is not; learn it again")
        }
        category = try Self.readClassifier(&rest)
    }

    private static func read<T: FixedWidthInteger & UnsignedInteger>(
        _ type: T.Type, _ rest: inout ArraySlice<UInt8>, atMost most: T = .max
    ) throws(PolicyProblem) -> T {
        let bytes = rest.prefix(T.bitWidth / 8)
        rest = rest.dropFirst(bytes.count)
        let value = bytes.reversed().reduce(T(0)) { $0 << 8 | T($1) }
        guard bytes.count == T.bitWidth / 8, value <= most else {
            throw PolicyProblem("it ends too early, or a number in it is too large; learn it again")
        }
        return value
    }

    private static func readClassifier(_ rest: inout ArraySlice<UInt8>) throws(PolicyProblem) -> TextClassifier {
        let count = Int(try read(UInt32.self, &rest))
        defer { rest = rest.dropFirst(count) }
        do throws(TextClassifierError) { return try TextClassifier(decoding: Array(rest.prefix(count))) } catch {
            throw PolicyProblem("it cannot be read: \(error)")
        }
    }
}
