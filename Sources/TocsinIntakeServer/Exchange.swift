import TocsinIntake

/// One HTTP request with all of its body. Apart from the server, so that protocols are tested without one.
struct IntakeRequest: Sendable {
    var method: String
    /// Decoded, without the query: `/api/v2/alerts`.
    var path: String
    /// In order; names may come again.
    var query: [(name: String, value: String)] = []
    /// Names in lower case; of several of one name the last.
    var headers: [String: String] = [:]
    var body: [UInt8] = []
    /// Of the client's certificate.
    var commonName: String?

    /// Whether a page in a browser sends it.
    var isOfBrowser: Bool { headers["origin"] != nil || headers["sec-fetch-site"] != nil }

    /// False for what a page of another site makes a browser send. It sends credentials along by itself, and reaches addresses that
    /// only this machine does.
    var isOfThisSite: Bool {
        if let site = headers["sec-fetch-site"] { return site == "same-origin" || site == "none" }
        guard let origin = headers["origin"] else { return true }
        guard let host = headers["host"], let scheme = origin.range(of: "://") else { return false }
        return origin[scheme.upperBound...] == host
    }

    /// The value of the last parameter `name`.
    subscript(name: String) -> String? { query.last { $0.name == name }?.value }

    /// Milliseconds since 1970 have no place here: whoever answers says what time it is.
    init(method: String, target: String, headers: [String: String] = [:], body: [UInt8] = [], commonName: String? = nil) {
        self.method = method
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = PercentEncoding.decoded(parts.first ?? "")
        if parts.count > 1 { query = Self.form(parts[1]) }
        self.headers = headers
        self.body = body
        self.commonName = commonName
    }

    /// `a=1&b=2` as a URL's query and `application/x-www-form-urlencoded` have it, at most 256 pairs.
    static func form(_ text: some StringProtocol) -> [(name: String, value: String)] {
        text.split(separator: "&").prefix(256).map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (
                PercentEncoding.decoded(parts[0], plusIsSpace: true),
                parts.count > 1 ? PercentEncoding.decoded(parts[1], plusIsSpace: true) : ""
            )
        }
    }
}

/// What is answered.
struct IntakeAnswer: Sendable, Equatable {
    var status: Int
    var headers: [String: String] = [:]
    var body: [UInt8] = []

    init(_ status: Int, headers: [String: String] = [:]) {
        self.status = status
        self.headers = headers
    }

    init(_ status: Int, json: JSON, type: String = "application/json") {
        self.status = status
        headers["content-type"] = type
        json.write(to: &body)
    }

    init(_ status: Int, text: String, type: String = "text/plain; charset=utf-8") {
        self.status = status
        headers["content-type"] = type
        body = Array(text.utf8)
    }
}

/// Why a request is not done, before it has the form of its protocol.
enum IntakeFailure: Error, Sendable, Equatable {
    case unauthenticated
    case denied(String)
    case sink(SinkError)

    var status: Int {
        switch self {
        case .unauthenticated: 401
        case .denied: 403
        case .sink(.overloaded): 429
        case .sink(.unavailable): 503
        case .sink(.refused): 400
        }
    }

    /// A sentence for whoever sent it.
    var message: String {
        switch self {
        case .unauthenticated:
            "send a token that is known: the header Authorization with \"Bearer\" and the token, or Basic with it as the password"
        case .denied(let reason): reason
        case .sink(.overloaded): "too much is under way; send it again later"
        case .sink(.unavailable(_, let reason)): reason
        case .sink(.refused(let index, let reason)): "event \(index): \(reason)"
        }
    }

    var headers: [String: String] {
        switch self {
        case .unauthenticated: ["www-authenticate": "Basic realm=\"tocsin\", charset=\"UTF-8\""]
        case .sink(.overloaded(let after)), .sink(.unavailable(let after, _)):
            ["retry-after": "\(max(1, after.components.seconds))"]
        case .denied, .sink(.refused): [:]
        }
    }
}
