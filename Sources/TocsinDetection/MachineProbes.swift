import Glibc
import TocsinPosix
import TocsinSystem

// What is looked at on this machine, beside its numbers: processes, units, files.

/// Counts the processes of this machine that match.
struct ProcessProber: Prober {
    let check: ProcessCheck
    let severity: String
    let pool: BlockingPool
    /// Where the kernel tells of processes.
    var proc = "/proc"

    func probe() async throws -> [Observation] {
        let (check, severity, proc) = (check, severity, proc)
        return try await pool.run { _ in
            do throws(ProbeProblem) {
                return [Self.judge(try Self.count(check, proc: proc), check, severity: severity)]
            } catch {
                return [Observation(healthy: false, severity: severity, summary: error.description)]
            }
        }
    }

    /// A kernel may have four million processes; so many are looked at.
    private static let processesMax = 1 << 20

    private static func count(_ check: ProcessCheck, proc: String) throws(ProbeProblem) -> Int {
        guard let folder = opendir(proc) else {
            throw ProbeProblem("cannot list the processes in \(proc): \(errorText(errno))")
        }
        defer { closedir(folder) }
        var found = 0
        var seen = 0
        while seen < processesMax, let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard let first = name.utf8.first, (0x30...0x39).contains(first) else { continue }
            seen += 1
            // A process that ends meanwhile has no files any more.
            if let wanted = check.name {
                // The kernel keeps 15 bytes of a name.
                guard let short = KernelText.read("\(proc)/\(name)/comm", limit: 64)?.dropLast(),
                    short.elementsEqual(wanted.utf8.prefix(15))
                else { continue }
            }
            if let part = check.commandLine {
                guard let line = KernelText.read("\(proc)/\(name)/cmdline", limit: 64 << 10) else { continue }
                let shown = String(decoding: line.map { $0 == 0 ? 0x20 : $0 }, as: UTF8.self)
                guard shown.contains(part) else { continue }
            }
            found += 1
        }
        return found
    }

    static func judge(_ count: Int, _ check: ProcessCheck, severity: String) -> Observation {
        let what = [check.name, check.commandLine.map { "\"\($0)\"" }].compactMap { $0 }.joined(separator: " with ")
        let isWell = count >= check.atLeast && count <= check.atMost ?? Int.max
        let wanted = check.atMost.map { "\(check.atLeast) to \($0)" } ?? "\(check.atLeast) or more"
        return Observation(
            healthy: isWell, severity: severity,
            summary: "\(count) processes of \(what) run" + (isWell ? "" : ", there are to be \(wanted)"),
            details: ["value": "\(count)", "expected": wanted])
    }
}

/// Asks systemd for the state of a unit.
struct UnitProber: Prober {
    let check: UnitCheck
    let severity: String
    let timeout: Duration
    let pool: BlockingPool
    var program = "systemctl"

    func probe() async throws -> [Observation] {
        let properties = "--property=LoadState,ActiveState,SubState,Result"
        do {
            let result = try await Subprocess.run(
                [program, "show", properties, "--", check.unit], timeout: timeout, pool: pool)
            return [judge(result)]
        } catch let error as SubprocessError {
            return [Observation(healthy: false, severity: severity, summary: error.description, details: ["unit": check.unit])]
        }
    }

    func judge(_ result: Subprocess.Result) -> Observation {
        var details = ["unit": check.unit]
        guard result.succeeded else {
            let output = String(decoding: result.stderr.prefix(512).prefix { $0 != 0x0A }, as: UTF8.self)
            return Observation(
                healthy: false, severity: severity,
                summary: "systemd says nothing of \(check.unit): \(output.isEmpty ? result.outcome : output)", details: details)
        }
        var properties: [Substring: Substring] = [:]
        for line in String(decoding: result.stdout, as: UTF8.self).split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { properties[parts[0]] = parts[1] }
        }
        let state = String(properties["ActiveState"] ?? "unknown")
        details["status"] = state
        details["substate"] = properties["SubState"].map(String.init)
        details["result"] = properties["Result"].map(String.init)
        if properties["LoadState"] == "not-found" {
            return Observation(
                healthy: false, severity: severity, summary: "there is no unit \(check.unit)", details: details)
        }
        return Observation(
            healthy: check.states.contains(state), severity: severity, summary: "\(check.unit) is \(state)", details: details)
    }
}

/// Looks at a file, or at the newest of those that match.
struct FileProber: Prober {
    let check: FileCheck
    let severity: String
    let pool: BlockingPool

    func probe() async throws -> [Observation] {
        let (check, severity) = (check, severity)
        return try await pool.run { _ in [Self.look(check, severity: severity, now: MachineClock.wall())] }
    }

    /// `now`: milliseconds since 1970.
    static func look(_ check: FileCheck, severity: String, now: UInt64) -> Observation {
        func seen(_ isWell: Bool, _ summary: String, _ details: [String: String] = [:]) -> Observation {
            Observation(
                healthy: isWell, severity: severity, summary: summary, details: details.merging(["path": check.path]) { $1 })
        }
        var matches = glob_t()
        defer { globfree(&matches) }
        let code = glob(check.path, GLOB_NOSORT, nil, &matches)
        guard code == 0 || code == GLOB_NOMATCH else { return seen(false, "cannot look for \(check.path): it cannot be read") }
        var newest: (path: String, age: Duration, size: Int64)?
        for index in 0..<Int(code == 0 ? matches.gl_pathc : 0) {
            guard let path = matches.gl_pathv[index] else { continue }
            var info = stat()
            // One that is removed meanwhile is not there.
            guard stat(path, &info) == 0 else { continue }
            // Anybody may have given a file any time.
            let modified = min(max(Int64(info.st_mtim.tv_sec), 0), 1 << 40)
            let age = Duration.seconds(max(0, Int64(clamping: now / 1000) - modified))
            if newest.map({ age < $0.age }) ?? true {
                newest = (String(cString: path), age, Int64(info.st_size))
            }
        }
        guard let newest else { return seen(check.mayBeAbsent, "there is no \(check.path)") }
        let details = ["age_s": "\(newest.age.milliseconds / 1000)", "bytes": "\(newest.size)", "file": newest.path]
        let age = "\(newest.path) is \(newest.age.milliseconds / 1000) s old"
        if let limit = check.olderThan, newest.age > limit {
            return seen(false, "\(age), it is to be written every \(limit.milliseconds / 1000) s", details)
        }
        if let limit = check.smallerThan, newest.size < limit {
            return seen(false, "\(newest.path) has \(newest.size) bytes, it is to have \(limit) or more", details)
        }
        if let limit = check.largerThan, newest.size > limit {
            return seen(false, "\(newest.path) has \(newest.size) bytes, it is to have \(limit) or fewer", details)
        }
        return seen(true, "\(age) and has \(newest.size) bytes", details)
    }
}

/// Why something was not looked at, in a sentence.
struct ProbeProblem: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// Texts that the kernel makes up as they are read.
enum KernelText {
    /// Nil if it cannot be read; at most `limit` bytes.
    static func read(_ path: String, limit: Int = 64 << 10) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: limit)
        var filled = 0
        while filled < bytes.count {
            let count = bytes.withUnsafeMutableBytes {
                Glibc.read(descriptor, $0.baseAddress.map { $0 + filled }, $0.count - filled)
            }
            if count < 0 && errno == EINTR { continue }
            if count < 0 { return nil }
            if count == 0 { break }
            filled += count
        }
        return Array(bytes.prefix(filled))
    }

    static func string(_ path: String) -> String? { read(path).map { String(decoding: $0, as: UTF8.self) } }
}
