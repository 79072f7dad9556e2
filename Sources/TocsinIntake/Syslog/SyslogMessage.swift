/// One syslog message, as RFC 5424, RFC 3164 and what is really sent have it. Made of any bytes: what cannot be understood is
/// part of the message's text, so that nothing is lost, and `isWellFormed` says so.
public struct SyslogMessage: Equatable, Sendable {
    public enum Form: Sendable {
        /// `<PRI>VERSION TIMESTAMP HOST APP PROCID MSGID SD MSG`.
        case rfc5424
        /// `<PRI>TIMESTAMP HOST TAG: MSG`, or the like: what Cisco, Windows and forwarding daemons make of it.
        case rfc3164
        /// No timestamp where one is expected: all is text.
        case text
    }
    public struct Element: Equatable, Sendable {
        public var id: String
        public var parameters: [(name: String, value: String)]

        public static func == (a: Element, b: Element) -> Bool {
            a.id == b.id && a.parameters.elementsEqual(b.parameters) { $0.name == $1.name && $0.value == $1.value }
        }
    }

    public var form: Form
    /// All of it is as the RFC of its form demands.
    public var isWellFormed: Bool
    /// 0 to 23.
    public var facility: UInt8
    public var severity: SyslogSeverity
    /// Milliseconds since 1970; nil where the sender does not say, or not of which year and zone.
    public var time: UInt64?
    /// As the sender wrote it; empty for none.
    public var timeText = ""
    /// Empty for none, as are the next three.
    public var host = ""
    public var app = ""
    public var process = ""
    /// The kind of message: MSGID; of Cisco `LINK-3-UPDOWN`; of Windows the event's number.
    public var messageID = ""
    public var elements: [Element] = []
    /// Without the byte order mark and without line ends behind it; bytes that are no UTF-8 became U+FFFD.
    public var text = ""

    /// Of what stands in one frame or datagram. Takes time in proportion to the bytes.
    public init(_ bytes: [UInt8]) {
        var scanner = SyslogScanner(bytes)
        self = scanner.message()
    }

    init(form: Form, isWellFormed: Bool, priority: UInt8) {
        self.form = form
        self.isWellFormed = isWellFormed
        facility = priority >> 3
        severity = SyslogSeverity(priority: priority)
    }

    public var facilityName: String {
        let names = [
            "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit",
            "alert", "clock",
        ]
        return Int(facility) < names.count ? names[Int(facility)] : "local\(Int(facility) - names.count)"
    }
}

/// RFC 5424, 6.2.1. A smaller number is worse; comparison is by how bad it is.
public enum SyslogSeverity: UInt8, Sendable, CaseIterable, Comparable {
    case emergency, alert, critical, error, warning, notice, informational, debug

    init(priority: UInt8) { self = Self.allCases[Int(priority & 7)] }

    /// A word as syslog daemons know it, or the number; nil for another.
    public init?(_ word: String) {
        if let number = UInt8(word) {
            self.init(rawValue: number)
        } else {
            guard let known = Self.allCases.first(where: { $0.keyword == word || "\($0)" == word }) else { return nil }
            self = known
        }
    }

    public var keyword: String {
        switch self {
        case .emergency: "emerg"
        case .alert: "alert"
        case .critical: "crit"
        case .error: "err"
        case .warning: "warning"
        case .notice: "notice"
        case .informational: "info"
        case .debug: "debug"
        }
    }

    public static func < (a: SyslogSeverity, b: SyslogSeverity) -> Bool { a.rawValue > b.rawValue }
}
