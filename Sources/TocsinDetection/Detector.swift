import FoundationEssentials
import Logging
import TocsinKit
import TocsinSystem
import TocsinWire

/// What is wrong with a configuration, in one sentence.
public struct ConfigurationProblem: Error, CustomStringConvertible, Sendable {
    public var description: String
    public init(_ description: String) { self.description = description }
}

extension DetectorConfiguration {
    /// Every sentence about what cannot work, empty if nothing.
    public var problems: [String] {
        var problems: [String] = []
        var names: Set<String> = []
        if name.isEmpty { problems.append("the detector has no name") }
        for check in checks {
            let place = "check \"\(check.name)\""
            if check.name.isEmpty { problems.append("a check has no name") }
            // State files and subjects are named by the token.
            if !names.insert(fileToken(check.name)).inserted {
                problems.append(
                    "\(place): another check has the same name, or one that differs only in special characters")
            }
            if check.service.isEmpty { problems.append("\(place): it has no service") }
            if check.interval < .milliseconds(10) { problems.append("\(place): the interval must be 10 ms or more") }
            if check.timeout <= .zero { problems.append("\(place): the timeout must be more than 0") }
            if check.failuresToTrigger < 1 || check.successesToResolve < 1 {
                problems.append("\(place): failures_to_trigger and successes_to_resolve must be 1 or more")
            }
            problems += check.kind.problems.map { "\(place): \($0)" }
        }
        return problems
    }
}

extension Check.Kind {
    fileprivate var problems: [String] {
        switch self {
        case .http(let check):
            var problems: [String] = []
            if !check.url.hasPrefix("http://") && !check.url.hasPrefix("https://") {
                problems.append("\"\(check.url)\" is not an http or https URL")
            }
            if check.method.isEmpty || !check.method.utf8.allSatisfy({ (0x41...0x5A).contains($0) }) {
                problems.append("\"\(check.method)\" is not an HTTP method; write it in capital letters, GET for instance")
            }
            if check.expectStatus.isEmpty { problems.append("no status is expected; give at least one") }
            return problems
        case .tcp(let check):
            return (1...65535).contains(check.port) && !check.host.isEmpty
                ? [] : ["\"\(check.host):\(check.port)\" is not a host and a port from 1 to 65535"]
        case .command(let check):
            return check.argv.first?.isEmpty ?? true ? ["the command is empty; give a program and its arguments"] : []
        case .host(let check):
            let limits = [check.cpuAbove, check.memoryAbove, check.diskAbove, check.loadAbove]
            return limits.contains { $0 != nil }
                ? [] : ["no limit is set; give at least one of cpu, memory, disk, load"]
        case .log(let check):
            if check.path.isEmpty { return ["it has no path"] }
            do {
                _ = try LogMatcher(check.patterns)
                return []
            } catch {
                return [error.description]
            }
        }
    }
}

/// Watches what its configuration says and publishes events.
public enum Detector {
    /// Runs every check, each in its own rhythm, until the calling task is cancelled; then returns soon. While the hub is away
    /// events go to the client's spool, which `client` must have been given.
    ///
    /// - Throws: `ConfigurationProblem`, before anything is watched. What fails later is logged and tried again.
    public static func run(client: Client, configuration: DetectorConfiguration, logger: Logger) async throws {
        try await run(sink: ClientSink(client: client), configuration: configuration, logger: logger)
    }

    static func run(sink: any EventSink, configuration: DetectorConfiguration, logger: Logger) async throws {
        let problems = configuration.problems
        guard problems.isEmpty else { throw ConfigurationProblem(problems.joined(separator: "; ")) }
        let logs = configuration.checks.filter { if case .log = $0.kind { true } else { false } }.count
        // Logs have threads of their own, so that probes which wait for their timeouts do not hold them up.
        let probes = configuration.checks.count - logs
        // Each waits for one thing at a time, so the queue never refuses one.
        let probePool = BlockingPool(threads: min(32, max(1, probes)), queue: max(1024, probes))
        let logPool = BlockingPool(threads: min(4, max(1, logs)))
        let directory = configuration.spoolDirectory
        try await logPool.run { _ in
            do {
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            } catch {
                throw ConfigurationProblem("the folder \(directory) cannot be created: \(error.localizedDescription)")
            }
        }
        let outlet = Outlet(sink: sink, logger: logger)
        await withDiscardingTaskGroup { group in
            for check in configuration.checks {
                var logger = logger
                logger[metadataKey: "check"] = "\(check.name)"
                let runner = CheckRunner(
                    detector: configuration.name, directory: directory, check: check, outlet: outlet, logger: logger)
                switch check.kind {
                case .log(let log): group.addTask { await runner.follow(log, pool: logPool) }
                case .http(let http):
                    group.addTask {
                        await runner.probe(
                            HTTPProber(check: http, severity: check.severity, timeout: check.timeout, pool: probePool),
                            pool: probePool)
                    }
                case .tcp(let tcp):
                    group.addTask {
                        await runner.probe(
                            TCPProber(check: tcp, severity: check.severity, timeout: check.timeout, pool: probePool),
                            pool: probePool)
                    }
                case .command(let command):
                    group.addTask {
                        await runner.probe(
                            CommandProber(
                                check: command, severity: check.severity, timeout: check.timeout, pool: probePool),
                            pool: probePool)
                    }
                case .host(let host):
                    group.addTask {
                        await runner.probe(
                            HostProber(check: host, severity: check.severity, pool: probePool), pool: probePool)
                    }
                }
            }
        }
    }
}

/// A name as part of a file name.
func fileToken(_ name: String) -> String { Subject.token(name) }
