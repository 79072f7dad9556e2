/// What kind of observable a value is.
public enum IndicatorType: UInt8, Sendable, CaseIterable, CustomStringConvertible {
    case ipv4
    case ipv6
    case domain
    case url
    case email
    case md5
    case sha1
    case sha256
    case sha512

    /// As people see it: `ipv4`, `domain`, `sha256` ...
    public var description: String {
        switch self {
        case .ipv4: "ipv4"
        case .ipv6: "ipv6"
        case .domain: "domain"
        case .url: "url"
        case .email: "email"
        case .md5: "md5"
        case .sha1: "sha1"
        case .sha256: "sha256"
        case .sha512: "sha512"
        }
    }

    var isAddress: Bool { self == .ipv4 || self == .ipv6 }
    var isHash: Bool { rawValue >= IndicatorType.md5.rawValue }

    /// The hash that has so many hexadecimal digits, or nil.
    init?(hashDigits count: Int) {
        switch count {
        case 32: self = .md5
        case 40: self = .sha1
        case 64: self = .sha256
        case 128: self = .sha512
        default: return nil
        }
    }
}

/// One value that somebody says is bad, and what they say of it. An indicator of a file that names several values is several of
/// these, with one id.
public struct Indicator: Sendable, Equatable {
    /// The STIX id, the MISP attribute's UUID, or `FILE:LINE` of a plain list.
    public var id: String
    /// What it is, for a person; empty if nobody said.
    public var name: String
    public var type: IndicatorType
    /// Normalised. Networks have a prefix length: `198.51.100.0/24`; single addresses have none.
    public var value: String
    /// The name of the file it comes from.
    public var source: String
    /// 0 to 100; nil: nobody said.
    public var confidence: UInt8?
    public var labels: [String]
    /// Milliseconds since 1970, inclusive; 0: from the beginning.
    public var validFrom: UInt64
    /// Milliseconds since 1970, exclusive; nil: without end.
    public var validUntil: UInt64?

    public init(
        id: String, name: String = "", type: IndicatorType, value: String, source: String, confidence: UInt8? = nil,
        labels: [String] = [], validFrom: UInt64 = 0, validUntil: UInt64? = nil
    ) {
        self.id = id
        self.name = name
        self.type = type
        self.value = value
        self.source = source
        self.confidence = confidence
        self.labels = labels
        self.validFrom = validFrom
        self.validUntil = validUntil
    }

    /// Whether it counts at a time, in milliseconds since 1970; always at a time that is not known.
    public func isValid(at time: UInt64?) -> Bool {
        guard let time else { return true }
        return validFrom <= time && time < validUntil ?? .max
    }
}

/// An indicator that names something an event mentions.
public struct IndicatorMatch: Sendable, Equatable {
    public var indicator: Indicator
    /// What the event says, normalised: `a.evil.example` where the indicator is `evil.example`.
    public var observed: String
    public var place: Place
    public var outcome: Outcome

    /// Where in the event.
    public enum Place: Sendable, Hashable, CustomStringConvertible {
        case summary
        case label(String)
        case detail(String)

        /// `summary`, `label NAME`, `detail NAME`.
        public var description: String {
            switch self {
            case .summary: "summary"
            case .label(let name): "label \(name)"
            case .detail(let name): "detail \(name)"
            }
        }
    }

    /// What it means.
    public enum Outcome: Sendable, Hashable, CustomStringConvertible {
        case matched
        /// The event is older than the indicator or younger: see `validFrom` and `validUntil`.
        case notValidThen
        /// Known to be benign, by the list of this name.
        case falsePositive(list: String)

        public var description: String {
            switch self {
            case .matched: "matched"
            case .notValidThen: "not valid then"
            case .falsePositive(let list): "false-positive list \"\(list)\""
            }
        }
    }
}
