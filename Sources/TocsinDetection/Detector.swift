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
            if check.interval < check.jitter ?? .zero { problems.append("\(place): the jitter is longer than the interval") }
            if check.service.isEmpty { problems.append("\(place): it has no service") }
            if check.interval < .milliseconds(10) { problems.append("\(place): the interval must be 10 ms or more") }
            if check.timeout <= .zero { problems.append("\(place): the timeout must be more than 0") }
            if check.failuresToTrigger < 1 || check.successesToResolve < 1 {
                problems.append("\(place): failures_to_trigger and successes_to_resolve must be 1 or more")
            }
            problems += check.kind.problems.map { "\(place): \($0)" }
        }
        return problems + dependencyProblems
    }

    private var dependencyProblems: [String] {
        var problems: [String] = []
        let known = Dictionary(checks.map { ($0.name, $0) }) { first, _ in first }
        for check in checks {
            for name in check.dependsOn {
                guard let other = known[name] else {
                    problems.append("check \"\(check.name)\": it depends on \"\(name)\", which this detector does not have")
                    continue
                }
                switch other.kind {
                case .log, .heartbeat:
                    problems.append("check \"\(check.name)\": it depends on \"\(name)\", which is not probed")
                default: break
                }
            }
        }
        // Whoever can be reached from itself.
        for check in checks {
            var seen: Set<String> = []
            var open = check.dependsOn
            while let name = open.popLast() {
                if name == check.name {
                    let way = check.dependsOn.joined(separator: ", ")
                    problems.append("check \"\(check.name)\": it depends on itself, by way of \(way)")
                    break
                }
                if seen.insert(name).inserted { open += known[name]?.dependsOn ?? [] }
            }
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
            if case .file("") = check.source { return ["it has no path"] }
            if case .journal(let units) = check.source, units.contains(where: { $0.isEmpty || $0.hasPrefix("-") }) {
                return ["a unit is empty or begins with -; give names such as sshd.service"]
            }
            do {
                _ = try LogMatcher(check.patterns)
                return []
            } catch {
                return [error.description]
            }
        case .dns(let check): return check.name.isEmpty ? ["it has no name to look up"] : []
        case .ping(let check):
            return check.host.isEmpty || !(1...20).contains(check.count) ? ["give a host, and 1 to 20 requests a probe"] : []
        case .process(let check):
            if check.name == nil && check.commandLine == nil { return ["say which processes: by name, command_line or both"] }
            return (check.atMost ?? Int.max) < check.atLeast ? ["at_most is less than at_least"] : []
        case .unit(let check):
            return check.unit.isEmpty || check.states.isEmpty ? ["give a unit, and the states that are well"] : []
        case .file(let check): return check.path.isEmpty ? ["it has no path"] : []
        case .metrics(let check): return check.problems
        case .heartbeat(let check):
            return check.expected.filter { $0.every > check.remember }.map {
                "heartbeat \"\($0.name)\" comes more rarely than is remembered"
            }
        }
    }
}

extension MetricsCheck {
    fileprivate var problems: [String] {
        var problems: [String] = []
        if rules.isEmpty { problems.append("there are no rules; without any, nothing is reported") }
        if Set(rules.map(\.name)).count < rules.count { problems.append("two rules have the same name") }
        for rule in rules {
            switch rule.condition {
            case .above(let limit, let clear) where clear > limit, .below(let limit, let clear) where clear < limit:
                problems.append("rule \"\(rule.name)\": clear (\(clear)) is on the wrong side of the limit (\(limit))")
            default: break
            }
        }
        return problems
    }
}

/// Watches what its configuration says and publishes events.
public enum Detector {
    /// Runs every check, each in its own rhythm, until the calling task is cancelled; then returns soon. While the hub is away
    /// events go to the client's spool, which `client` must have been given.
    ///
    /// - Throws: `ConfigurationProblem`, before anything is watched. What fails later is logged and tried again.
    public static func run(client: Client, configuration: DetectorConfiguration, logger: Logger) async throws {
        try await run(client: client, sink: ClientSink(client: client), configuration: configuration, logger: logger)
    }

    /// Without a client no heartbeats are watched.
    static func run(
        client: Client? = nil, sink: any EventSink, configuration: DetectorConfiguration, logger: Logger
    ) async throws {
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
        let board = CheckBoard(configuration.checks)
        await withDiscardingTaskGroup { group in
            for check in configuration.checks {
                var logger = logger
                logger[metadataKey: "check"] = "\(check.name)"
                let runner = CheckRunner(
                    detector: configuration.name, directory: directory, check: check, outlet: outlet, board: board,
                    logger: logger)
                switch check.kind {
                case .log(let log): group.addTask { await runner.follow(log, pool: logPool) }
                case .heartbeat(let heartbeat):
                    guard let client else { continue }
                    let monitor = HeartbeatMonitor(
                        detector: configuration.name, check: check, heartbeat: heartbeat, client: client, outlet: outlet,
                        logger: logger)
                    group.addTask { await monitor.run() }
                default:
                    guard let prober = prober(of: check, pool: probePool, logger: logger) else { continue }
                    group.addTask { await runner.probe(prober, pool: probePool) }
                }
            }
        }
    }

    /// Nil for what is not probed.
    private static func prober(of check: Check, pool: BlockingPool, logger: Logger) -> (any Prober)? {
        let (severity, timeout) = (check.severity, check.timeout)
        switch check.kind {
        case .log, .heartbeat: return nil
        case .http(let http): return HTTPProber(check: http, severity: severity, timeout: timeout, pool: pool)
        case .tcp(let tcp): return TCPProber(check: tcp, severity: severity, timeout: timeout, pool: pool)
        case .command(let command): return CommandProber(check: command, severity: severity, timeout: timeout, pool: pool)
        case .host(let host): return HostProber(check: host, severity: severity, pool: pool)
        case .dns(let dns): return DNSProber(check: dns, severity: severity, timeout: timeout, pool: pool)
        case .ping(let ping): return PingProber(check: ping, severity: severity, timeout: timeout, pool: pool)
        case .process(let process): return ProcessProber(check: process, severity: severity, pool: pool)
        case .unit(let unit): return UnitProber(check: unit, severity: severity, timeout: timeout, pool: pool)
        case .file(let file): return FileProber(check: file, severity: severity, pool: pool)
        case .metrics(let metrics):
            return MetricsProber(check: metrics, severity: severity, timeout: timeout, pool: pool, logger: logger)
        }
    }
}

/// A name as part of a file name.
func fileToken(_ name: String) -> String { Subject.token(name) }
