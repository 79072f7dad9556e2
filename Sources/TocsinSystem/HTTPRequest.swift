import CCurl
import Glibc

/// The answer to an `HTTPRequest`.
public struct HTTPResponse: Sendable, Equatable {
    public var status: Int
    /// At most the request's `bodyLimit` bytes.
    public var body: [UInt8]
    /// The body was longer; the transfer was ended there.
    public var bodyTruncated: Bool
    public var duration: Duration
    /// When the server's own certificate expires, seconds since 1970; nil without TLS.
    public var certificateExpires: Int64?
}

/// No answer: not connected, no such host, timed out, not HTTP.
public struct HTTPError: Error, CustomStringConvertible {
    /// libcurl's code.
    public var code: UInt32
    public var description: String
}

/// One HTTP request by libcurl, on a connection of its own.
public struct HTTPRequest: Sendable {
    public var url: String
    public var method: String
    public var headers: [String: String]
    public var body: [UInt8]?
    public var followRedirects: Bool
    /// From the start to the last byte of the answer, redirects included.
    public var timeout: Duration
    public var bodyLimit: Int
    /// File of root certificates, in PEM, in place of the system's; nil: the system's.
    public var roots: String?

    public init(
        url: String, method: String = "GET", headers: [String: String] = [:], body: [UInt8]? = nil,
        followRedirects: Bool = true, timeout: Duration, bodyLimit: Int = 1 << 20, roots: String? = nil
    ) {
        self.url = url
        self.method = method
        self.headers = headers
        self.body = body
        self.followRedirects = followRedirects
        self.timeout = timeout
        self.bodyLimit = bodyLimit
        self.roots = roots
    }

    /// Sends the request and waits for the whole answer, whatever its status. TLS certificates are verified; only `http` and
    /// `https` are spoken, also in redirects (at most 10). A proxy named in the environment is used, but never for this host.
    ///
    /// - Throws: `HTTPError` if there is no answer; `CancellationError`; `BlockingPoolError`.
    public func perform(on pool: BlockingPool) async throws -> HTTPResponse {
        try await pool.run { try Transfer(self, cancelled: $0).perform() }
    }
}

/// `curl_global_init` is not thread-safe everywhere; a lazy global runs it once.
private let globalInit: CURLcode = tocsin_curl_global_init()

/// One transfer; used on one thread. Passed to curl's callbacks as their context.
private final class Transfer {
    private let request: HTTPRequest
    private let cancelled: CancellationSignal
    private var body: [UInt8] = []
    private var truncated = false

    init(_ request: HTTPRequest, cancelled: CancellationSignal) {
        self.request = request
        self.cancelled = cancelled
    }

    func perform() throws -> HTTPResponse {
        guard globalInit == CURLE_OK, let handle = curl_easy_init() else {
            throw HTTPError(code: CURLE_FAILED_INIT.rawValue, description: "libcurl cannot be initialised")
        }
        defer { curl_easy_cleanup(handle) }
        let started = monotonicNow()
        let failure = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
        failure.pointee = 0
        defer { failure.deallocate() }
        var list: UnsafeMutablePointer<curl_slist>?
        defer { curl_slist_free_all(list) }
        guard !request.method.isEmpty, request.method.utf8.allSatisfy({ (0x41...0x5A).contains($0) }) else {
            throw HTTPError(
                code: CURLE_BAD_FUNCTION_ARGUMENT.rawValue,
                description: "\"\(request.method)\" is not an HTTP method; write it in capital letters, GET for instance")
        }
        // Without this curl waits up to a second for "100 Continue" before a larger body.
        for line in request.headers.map({ "\($0.key): \($0.value)" }) + ["Expect:"] {
            guard !line.utf8.contains(where: { $0 < 0x20 && $0 != 0x09 }) else {
                throw HTTPError(
                    code: CURLE_BAD_FUNCTION_ARGUMENT.rawValue,
                    description: "a header of the request to \(request.url) has a control character in it")
            }
            if let longer = curl_slist_append(list, line) { list = longer }
        }
        try configure(handle, headers: list, failure: failure)

        let code = curl_easy_perform(handle)
        if code == CURLE_ABORTED_BY_CALLBACK && cancelled.isSet { throw CancellationError() }
        guard code == CURLE_OK || (code == CURLE_WRITE_ERROR && truncated) else {
            let detail = String(cString: failure)
            throw HTTPError(
                code: code.rawValue, description: detail.isEmpty ? String(cString: curl_easy_strerror(code)) : detail)
        }
        var status = 0
        tocsin_curl_get_long(handle, CURLINFO_RESPONSE_CODE, &status)
        return HTTPResponse(
            status: status, body: body, bodyTruncated: truncated, duration: monotonicNow() - started,
            certificateExpires: Self.certificateExpires(handle))
    }

    /// Of the first certificate of the chain, the server's own.
    private static func certificateExpires(_ handle: UnsafeMutableRawPointer) -> Int64? {
        var info: UnsafeMutablePointer<curl_certinfo>?
        guard tocsin_curl_get_certificates(handle, &info) == CURLE_OK, let info = info?.pointee, info.num_of_certs > 0
        else { return nil }
        var line = info.certinfo[0]
        while let item = line {
            let text = String(cString: item.pointee.data)
            // curl_getdate takes the form that OpenSSL writes: "Nov 28 10:00:00 2026 GMT".
            if text.hasPrefix("Expire date:") {
                let seconds = curl_getdate(String(text.dropFirst("Expire date:".count)), nil)
                return seconds < 0 ? nil : Int64(seconds)
            }
            line = item.pointee.next
        }
        return nil
    }

    private func configure(
        _ handle: UnsafeMutableRawPointer, headers: UnsafeMutablePointer<curl_slist>?,
        failure: UnsafeMutablePointer<CChar>
    ) throws {
        let context = Unmanaged.passUnretained(self).toOpaque()
        var codes = [
            tocsin_curl_set_pointer(handle, CURLOPT_ERRORBUFFER, failure),
            tocsin_curl_set_string(handle, CURLOPT_URL, request.url),
            tocsin_curl_set_string(handle, CURLOPT_PROTOCOLS_STR, "http,https"),
            tocsin_curl_set_string(handle, CURLOPT_REDIR_PROTOCOLS_STR, "http,https"),
            tocsin_curl_set_string(handle, CURLOPT_NOPROXY, Self.hostsWithoutProxy),
            tocsin_curl_set_string(handle, CURLOPT_USERAGENT, "tocsin"),
            // Signals would interrupt other threads.
            tocsin_curl_set_long(handle, CURLOPT_NOSIGNAL, 1),
            tocsin_curl_set_long(handle, CURLOPT_TIMEOUT_MS, max(1, request.timeout.milliseconds)),
            tocsin_curl_set_long(handle, CURLOPT_FOLLOWLOCATION, request.followRedirects ? 1 : 0),
            tocsin_curl_set_long(handle, CURLOPT_MAXREDIRS, 10),
            tocsin_curl_set_long(handle, CURLOPT_CERTINFO, 1),
            tocsin_curl_set_pointer(handle, CURLOPT_HTTPHEADER, headers),
            tocsin_curl_set_pointer(handle, CURLOPT_WRITEDATA, context),
            tocsin_curl_set_write(handle) { data, size, count, context in
                guard let data, let context else { return 0 }
                let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
                return transfer.take(UnsafeRawBufferPointer(start: data, count: size * count))
            },
            tocsin_curl_set_long(handle, CURLOPT_NOPROGRESS, 0),
            tocsin_curl_set_pointer(handle, CURLOPT_XFERINFODATA, context),
            tocsin_curl_set_progress(handle) { context, _, _, _, _ in
                guard let context else { return 1 }
                return Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().cancelled.isSet ? 1 : 0
            },
        ]
        if let roots = request.roots { codes.append(tocsin_curl_set_string(handle, CURLOPT_CAINFO, roots)) }
        if request.method == "HEAD" {
            codes.append(tocsin_curl_set_long(handle, CURLOPT_NOBODY, 1))
        } else if request.method != "GET" || request.body != nil {
            codes.append(tocsin_curl_set_string(handle, CURLOPT_CUSTOMREQUEST, request.method))
        }
        if let bytes = request.body {
            // The size first: curl then copies that many bytes.
            codes.append(tocsin_curl_set_long(handle, CURLOPT_POSTFIELDSIZE, bytes.count))
            bytes.withUnsafeBytes { bytes in
                // An empty array may have no address, and curl takes NULL for "read from a callback".
                let start = UnsafeMutableRawPointer(mutating: bytes.baseAddress) ?? context
                codes.append(tocsin_curl_set_pointer(handle, CURLOPT_COPYPOSTFIELDS, start))
            }
        }
        if let bad = codes.first(where: { $0 != CURLE_OK }) {
            throw HTTPError(
                code: bad.rawValue,
                description: "libcurl refused an option of the request to \(request.url): "
                    + String(cString: curl_easy_strerror(bad)))
        }
    }

    /// What the environment says, and this host: a proxy elsewhere would look at itself.
    private static let hostsWithoutProxy: String = {
        let given = [getenv("no_proxy"), getenv("NO_PROXY")].compactMap { $0.map { String(cString: $0) } }.first ?? ""
        if given == "*" { return given }
        return (given.isEmpty ? "" : given + ",") + "localhost,127.0.0.1,::1"
    }()

    /// Keeps up to the limit. A smaller count than it was given ends the transfer.
    private func take(_ bytes: UnsafeRawBufferPointer) -> Int {
        let room = max(0, request.bodyLimit - body.count)
        body.append(contentsOf: bytes.prefix(room))
        guard bytes.count <= room else {
            truncated = true
            return 0
        }
        return bytes.count
    }
}
