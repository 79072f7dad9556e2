import Glibc
import TocsinPosix
import TocsinSystem

/// Processor time since boot, in ticks, from the first line of /proc/stat.
struct CPUTimes: Equatable, Sendable {
    var total: UInt64
    var idle: UInt64

    /// Nil if `stat` does not begin with a `cpu` line of at least four numbers.
    init?(stat: String) {
        guard let line = stat.split(separator: "\n", maxSplits: 1).first else { return nil }
        let words = line.split(separator: " ")
        guard words.first == "cpu" else { return nil }
        let numbers = words.dropFirst().map { UInt64($0) }
        guard numbers.count >= 4, let values = numbers as? [UInt64] else { return nil }
        // user nice system idle iowait irq softirq steal; guest and guest_nice are counted in user and nice already.
        total = values.prefix(8).reduce(0, &+)
        idle = values[3] &+ (values.count > 4 ? values[4] : 0)
    }

    /// Percent of the time between the two that processors were busy; nil if no time has passed.
    func busy(since earlier: CPUTimes) -> Double? {
        guard total > earlier.total else { return nil }
        let passed = Double(total - earlier.total)
        // The kernel's idle counters may step back a little.
        let idle = idle > earlier.idle ? Double(idle - earlier.idle) : 0
        return max(0, 100 * (1 - idle / passed))
    }
}

/// Numbers of this machine, from the texts of /proc.
enum HostMetrics {
    /// Percent of memory that is not available; nil if /proc/meminfo does not say.
    static func memoryUsed(meminfo: String) -> Double? {
        func value(_ name: String) -> Double? {
            for line in meminfo.split(separator: "\n") where line.hasPrefix(name) {
                return line.dropFirst(name.count).split(separator: " ").first.flatMap { number($0) }
            }
            return nil
        }
        guard let total = value("MemTotal:"), let available = value("MemAvailable:"), total > 0 else { return nil }
        return 100 * (1 - available / total)
    }

    /// The one-minute average of /proc/loadavg.
    static func load(loadavg: String) -> Double? {
        loadavg.split(separator: " ").first.flatMap { number($0) }
    }

    /// Nil for what Swift reads as a number and is none: "nan", "inf".
    private static func number(_ text: Substring) -> Double? {
        Double(text).flatMap { $0.isFinite ? $0 : nil }
    }

    /// Percent of the file system at `path` that is in use, as `df` counts: of what ordinary users can use.
    static func diskUsed(path: String) throws(HostMetricsError) -> Double {
        var info = statvfs()
        guard statvfs(path, &info) == 0 else {
            throw HostMetricsError(description: "cannot look at the file system of \(path): \(errorText(errno))")
        }
        let used = Double(info.f_blocks) - Double(info.f_bfree)
        let usable = used + Double(info.f_bavail)
        return usable > 0 ? 100 * used / usable : 0
    }
}

struct HostMetricsError: Error, CustomStringConvertible {
    var description: String
}

struct HostProber: Prober {
    let check: HostCheck
    let severity: String
    let pool: BlockingPool
    /// Where the kernel's numbers are.
    let proc: String
    private var cpuBefore: CPUTimes?

    init(check: HostCheck, severity: String, pool: BlockingPool, proc: String = "/proc") {
        self.check = check
        self.severity = severity
        self.pool = pool
        self.proc = proc
    }

    mutating func probe() async throws -> [Observation] {
        let (check, severity, proc) = (check, severity, proc)
        let before = cpuBefore
        let (observations, cpu) = try await pool.run { _ in
            Self.look(check, severity: severity, proc: proc, cpuBefore: before)
        }
        cpuBefore = cpu
        return observations
    }

    private static func look(
        _ check: HostCheck, severity: String, proc: String, cpuBefore: CPUTimes?
    ) -> (observations: [Observation], cpu: CPUTimes?) {
        var observations: [Observation] = []
        func compare(_ aspect: String, _ what: String, _ value: Double?, above limit: Double, unit: String) {
            let shown = value.map { "\(($0 * 10).rounded() / 10)\(unit)" } ?? "unknown"
            observations.append(
                Observation(
                    aspect: aspect, healthy: value.map { $0 <= limit } ?? false, severity: severity,
                    summary: "\(what) is \(shown), the limit is \(limit)\(unit)",
                    details: ["value": shown, "limit": "\(limit)\(unit)"]))
        }
        var cpu: CPUTimes?
        if let limit = check.cpuAbove {
            cpu = KernelText.string("\(proc)/stat").flatMap { CPUTimes(stat: $0) }
            // The first probe only takes the counters.
            if let cpu, let cpuBefore {
                if let busy = cpu.busy(since: cpuBefore) { compare("cpu", "CPU use", busy, above: limit, unit: "%") }
            } else if cpu == nil {
                compare("cpu", "CPU use", nil, above: limit, unit: "%")
            }
        }
        if let limit = check.memoryAbove {
            let value = KernelText.string("\(proc)/meminfo").flatMap { HostMetrics.memoryUsed(meminfo: $0) }
            compare("memory", "Memory use", value, above: limit, unit: "%")
        }
        if let limit = check.loadAbove {
            let value = KernelText.string("\(proc)/loadavg").flatMap { HostMetrics.load(loadavg: $0) }
            compare("load", "The load average", value, above: limit, unit: "")
        }
        if let limit = check.diskAbove {
            for path in check.diskPaths {
                do {
                    let value = try HostMetrics.diskUsed(path: path)
                    compare("disk:\(path)", "Disk use of \(path)", value, above: limit, unit: "%")
                } catch {
                    observations.append(
                        Observation(
                            aspect: "disk:\(path)", healthy: false, severity: severity, summary: error.description))
                }
            }
        }
        return (observations, cpu)
    }
}
