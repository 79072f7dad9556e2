import CLinux
import Glibc
import TocsinSystem

/// Looks once. Never throws for what it looks at: a failed probe is an observation.
protocol Prober: Sendable {
    /// - Throws: only `CancellationError`, and errors of this machine (no thread, queue full) that say nothing about what
    ///   is probed.
    mutating func probe() async throws -> [Observation]
}

struct HTTPProber: Prober {
    let check: HTTPCheck
    let severity: String
    let timeout: Duration
    let pool: BlockingPool

    func probe() async throws -> [Observation] {
        let request = HTTPRequest(
            url: check.url, method: check.method, headers: check.headers, followRedirects: check.followRedirects,
            timeout: timeout)
        do {
            return [judge(try await request.perform(on: pool))]
        } catch let error as HTTPError {
            let details = ["url": check.url, "status": "no answer", "output": error.description]
            return [
                Observation(healthy: false, severity: severity, summary: "\(check.url): \(error)", details: details)
            ]
        }
    }

    func judge(_ response: HTTPResponse) -> Observation {
        var details = [
            "url": check.url, "status": "\(response.status)", "latency_ms": "\(response.duration.milliseconds)",
        ]
        if !check.expectStatus.contains(where: { $0.contains(response.status) }) {
            details["output"] = response.body.withUnsafeBytes { text($0, limit: 512) }
            return Observation(
                healthy: false, severity: severity, summary: "\(check.url) answers with status \(response.status)",
                details: details)
        }
        if let expected = check.expectBody, !contains(response.body, expected) {
            details["output"] = response.body.withUnsafeBytes { text($0, limit: 512) }
            return Observation(
                healthy: false, severity: severity,
                summary: "\(check.url) answers \(response.status), but without \"\(expected)\" in its body",
                details: details)
        }
        return Observation(
            healthy: true, severity: severity,
            summary: "\(check.url) answers \(response.status) in \(response.duration.milliseconds) ms", details: details
        )
    }

    private func contains(_ body: [UInt8], _ expected: String) -> Bool {
        var expected = expected
        return expected.withUTF8 { needle in
            body.withUnsafeBytes {
                memmem(
                    $0.baseAddress ?? UnsafeRawPointer(needle.baseAddress), $0.count, needle.baseAddress, needle.count)
                    != nil
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
                observation(
                    .unknown, summary: error.description, details: ["command": check.argv.joined(separator: " ")])
            ]
        }
    }

    func judge(_ result: Subprocess.Result) -> Observation {
        let output = PluginOutput(result.stdout.isEmpty ? result.stderr : result.stdout)
        var details = [
            "command": check.argv.joined(separator: " "), "exit": result.outcome,
            "latency_ms": "\(result.duration.milliseconds)",
        ]
        if !output.performance.isEmpty { details["perfdata"] = output.performance }
        if !output.more.isEmpty { details["output"] = output.more }
        let status = result.timedOut ? .unknown : PluginStatus(exit: result.exit)
        var summary = output.summary.isEmpty ? "\(check.argv.first ?? "command"): \(result.outcome)" : output.summary
        if result.timedOut { summary = "\(check.argv.first ?? "command") \(result.outcome)" }
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

/// What the exit code of a Nagios plugin says.
enum PluginStatus: String, Sendable {
    case ok = "OK"
    case warning = "WARNING"
    case critical = "CRITICAL"
    case unknown = "UNKNOWN"

    /// Nil (ended by a signal) and every code but 0, 1 and 2 are UNKNOWN.
    init(exit: Int32?) {
        switch exit {
        case 0: self = .ok
        case 1: self = .warning
        case 2: self = .critical
        default: self = .unknown
        }
    }
}

/// The output of a Nagios plugin: a first line `TEXT|PERFORMANCE DATA`, then more text.
struct PluginOutput: Equatable, Sendable {
    /// At most 512 bytes.
    var summary = ""
    /// At most 1,024 bytes.
    var performance = ""
    /// At most 4,096 bytes.
    var more = ""

    init(_ bytes: [UInt8]) {
        let newline = bytes.firstIndex(of: UInt8(ascii: "\n")) ?? bytes.endIndex
        let first = bytes[..<newline]
        let bar = first.firstIndex(of: UInt8(ascii: "|")) ?? first.endIndex
        summary = Self.trimmed(first[..<bar], limit: 512)
        performance = Self.trimmed(first[bar...].dropFirst(), limit: 1024)
        more = Self.trimmed(bytes[newline...].dropFirst(), limit: 4096)
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>, limit: Int) -> String {
        let isSpace: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0D).contains($0) }
        var slice = bytes.drop(while: isSpace)
        while let last = slice.last, isSpace(last) { slice.removeLast() }
        return slice.withUnsafeBytes { text($0, limit: limit) }
    }
}
