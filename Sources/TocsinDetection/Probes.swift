import CLinux
import Glibc
import TocsinDomain
import TocsinPosix
import TocsinSystem

/// Looks once. Never throws for what it looks at: a failed probe is an observation.
protocol Prober: Sendable {
    /// - Throws: only `CancellationError`, and errors of this machine (no thread, queue full) that say nothing about what
    ///   is probed.
    mutating func probe() async throws -> [Observation]

    /// Told before each probe which of its aspects are reported to be failing, also by the process before this one.
    mutating func reported(_ aspects: Set<String>)
}

extension Prober {
    func reported(_ aspects: Set<String>) {}
}

struct HTTPProber: Prober {
    let check: HTTPCheck
    let severity: String
    let timeout: Duration
    let pool: BlockingPool
    /// The URL as events show it.
    private let shown: String

    init(check: HTTPCheck, severity: String, timeout: Duration, pool: BlockingPool) {
        self.check = check
        self.severity = severity
        self.timeout = timeout
        self.pool = pool
        shown = Self.withoutSecrets(check.url)
    }

    func probe() async throws -> [Observation] {
        let request = HTTPRequest(
            url: check.url, method: check.method, headers: check.headers, followRedirects: check.followRedirects,
            timeout: timeout, roots: check.roots)
        do {
            return [judge(try await request.perform(on: pool), now: MachineClock.wall())]
        } catch let error as HTTPError {
            let details = ["url": shown, "status": "no answer", "output": error.description]
            return [Observation(healthy: false, severity: severity, summary: "\(shown): \(error)", details: details)]
        }
    }

    /// Without user, password and query: events are read by many.
    static func withoutSecrets(_ url: String) -> String {
        guard let scheme = url.range(of: "://") else { return url }
        let rest = url[scheme.upperBound...]
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let host = authority.lastIndex(of: "@").map { authority[authority.index(after: $0)...] } ?? authority
        let path = rest[authority.endIndex...].prefix { $0 != "?" && $0 != "#" }
        return String(url[..<scheme.upperBound] + host + path)
    }

    /// `now`: milliseconds since 1970.
    func judge(_ response: HTTPResponse, now: UInt64) -> Observation {
        var details = [
            "url": shown, "status": "\(response.status)", "latency_ms": "\(response.duration.milliseconds)",
        ]
        if !check.expectStatus.contains(where: { $0.contains(response.status) }) {
            details["output"] = response.body.withUnsafeBytes { text($0, limit: 512) }
            return Observation(
                healthy: false, severity: severity, summary: "\(shown) answers with status \(response.status)",
                details: details)
        }
        if let expected = check.expectBody, !contains(response.body, expected) {
            details["output"] = response.body.withUnsafeBytes { text($0, limit: 512) }
            return Observation(
                healthy: false, severity: severity,
                summary: "\(shown) answers \(response.status), but without \"\(expected)\" in its body",
                details: details)
        }
        if let days = response.certificateExpires.map({ ($0 - Int64(clamping: now / 1000)) / 86_400 }) {
            details["certificate_days"] = "\(days)"
            if let least = check.certificateDays, days < least {
                return Observation(
                    healthy: false, severity: severity, summary: "the certificate of \(shown) expires in \(days) days",
                    details: details)
            }
        }
        if let limit = check.slowerThan, response.duration > limit {
            return Observation(
                healthy: false, severity: severity,
                summary: "\(shown) answers in \(response.duration.milliseconds) ms, the limit is \(limit.milliseconds) ms",
                details: details)
        }
        return Observation(
            healthy: true, severity: severity,
            summary: "\(shown) answers \(response.status) in \(response.duration.milliseconds) ms", details: details
        )
    }

    private func contains(_ body: [UInt8], _ expected: String) -> Bool {
        if expected.isEmpty { return true }
        var expected = expected
        return expected.withUTF8 { needle in
            body.withUnsafeBytes { body in
                guard let start = body.baseAddress else { return false }
                return memmem(start, body.count, needle.baseAddress, needle.count) != nil
            }
        }
    }
}

struct TCPProber: Prober {
    let check: TCPCheck
    let severity: String
    let timeout: Duration
    let pool: BlockingPool

    func probe() async throws -> [Observation] {
        let address = "\(check.host):\(check.port)"
        do {
            let latency = try await TCPConnection.attempt(
                host: check.host, port: check.port, timeout: timeout, pool: pool)
            let details = ["address": address, "status": "connected", "latency_ms": "\(latency.milliseconds)"]
            return [
                Observation(
                    healthy: true, severity: severity, summary: "\(address) accepts connections", details: details)
            ]
        } catch let error as TCPError {
            let details = ["address": address, "status": "no connection", "output": error.description]
            return [Observation(healthy: false, severity: severity, summary: error.description, details: details)]
        }
    }
}

struct CommandProber: Prober {
    let check: CommandCheck
    let severity: String
    let timeout: Duration
    let pool: BlockingPool

    func probe() async throws -> [Observation] {
        do {
            let result = try await Subprocess.run(
                check.argv, environment: check.environment, timeout: timeout, pool: pool)
            return [judge(result)]
        } catch let error as SubprocessError {
            return [
                observation(.unknown, summary: error.description, details: ["command": program])
            ]
        }
    }

    /// What events show of the command: its arguments may hold a password.
    private var program: String { check.argv.first ?? "command" }

    func judge(_ result: Subprocess.Result) -> Observation {
        let output = PluginOutput(result.stdout.isEmpty ? result.stderr : result.stdout)
        var details = [
            "command": program, "exit": result.outcome,
            "latency_ms": "\(result.duration.milliseconds)",
        ]
        if !output.performance.isEmpty { details["perfdata"] = output.performance }
        if !output.more.isEmpty { details["output"] = output.more }
        let status = result.timedOut ? .unknown : PluginStatus(exit: result.exit)
        var summary = output.summary.isEmpty ? "\(program): \(result.outcome)" : output.summary
        if result.timedOut { summary = "\(program) \(result.outcome)" }
        return observation(status, summary: summary, details: details)
    }

    private func observation(_ status: PluginStatus, summary: String, details: [String: String]) -> Observation {
        var details = details
        details["status"] = status.rawValue
        let severity =
            switch status {
            case .ok, .critical: severity
            case .warning: "minor"
            case .unknown: "major"
            }
        return Observation(healthy: status == .ok, severity: severity, summary: summary, details: details)
    }
}
