import Glibc
import Logging
import TocsinDomain
import TocsinPosix
import TocsinSystem

/// Where a metrics check has its numbers from.
protocol SampleSource: Sendable {
    /// What there is since the last look.
    ///
    /// - Throws: `ProbeProblem` if nothing can be had; `CancellationError`; `BlockingPoolError`.
    mutating func samples() async throws -> [Sample]
}

/// Scrapes a Prometheus exporter.
struct ScrapeSource: SampleSource {
    let scrape: MetricsCheck.Scrape
    let timeout: Duration
    let samplesMax: Int
    let pool: BlockingPool
    /// An exporter's page has a few hundred kilobytes.
    private static let bodyLimit = 16 << 20

    func samples() async throws -> [Sample] {
        let shown = HTTPProber.withoutSecrets(scrape.url)
        var headers = scrape.headers
        headers["Accept"] = headers["Accept"] ?? "text/plain;version=0.0.4"
        let request = HTTPRequest(
            url: scrape.url, headers: headers, timeout: timeout, bodyLimit: Self.bodyLimit, roots: scrape.roots)
        let response: HTTPResponse
        do { response = try await request.perform(on: pool) } catch let error as HTTPError {
            throw ProbeProblem("\(shown): \(error)")
        }
        guard (200...299).contains(response.status) else {
            throw ProbeProblem("\(shown) answers with status \(response.status)")
        }
        guard !response.bodyTruncated else {
            throw ProbeProblem("\(shown) answers with more than \(Self.bodyLimit >> 20) MiB")
        }
        let samplesMax = samplesMax
        let found = try await pool.run { _ in PrometheusText.samples(response.body, limit: samplesMax) }
        guard !found.samples.isEmpty || found.malformed == 0 else {
            throw ProbeProblem("\(shown) answers with no line that is a sample, and \(found.malformed) that are not")
        }
        return found.samples
    }
}

/// Takes what statsd clients send.
struct StatsdSource: SampleSource {
    let host: String
    let port: Int
    private var listener: StatsdListener?
    private let logger: Logger
    private var last = monotonicNow()
    private var said = 0

    init(host: String, port: Int, logger: Logger) {
        self.host = host
        self.port = port
        self.logger = logger
    }

    mutating func samples() async throws -> [Sample] {
        let now = monotonicNow()
        defer { last = now }
        guard let listener else {
            listener = try StatsdListener(host: host, port: port)
            return []
        }
        let seconds = Double((now - last).components.seconds) + Double((now - last).components.attoseconds) / 1e18
        let refused = listener.refused
        if refused > said {
            logger.warning(
                "\(refused - said) lines of statsd clients cannot be read, or there is no room for their series or values")
            said = refused
        }
        return listener.flush(seconds: seconds)
    }
}

/// The numbers of this machine.
struct ProcSource: SampleSource {
    let pool: BlockingPool
    var proc = "/proc"
    private var cpuBefore: CPUTimes?

    init(pool: BlockingPool, proc: String = "/proc") {
        self.pool = pool
        self.proc = proc
    }

    mutating func samples() async throws -> [Sample] {
        let (proc, before) = (proc, cpuBefore)
        let (samples, cpu) = try await pool.run { _ in Self.look(proc, before) }
        cpuBefore = cpu
        return samples
    }

    static func look(_ proc: String, _ cpuBefore: CPUTimes?) -> ([Sample], CPUTimes?) {
        var samples: [Sample] = []
        func add(_ name: String, _ value: Double?, _ labels: [Series.Label] = []) {
            if let value { samples.append(Sample(series: Series(name, labels), value: value)) }
        }
        let cpu = KernelText.string("\(proc)/stat").flatMap { CPUTimes(stat: $0) }
        if let cpu, let cpuBefore { add("cpu_percent", cpu.busy(since: cpuBefore)) }
        add("memory_percent", KernelText.string("\(proc)/meminfo").flatMap { HostMetrics.memoryUsed(meminfo: $0) })
        add("load1", KernelText.string("\(proc)/loadavg").flatMap { HostMetrics.load(loadavg: $0) })
        for line in (KernelText.string("\(proc)/net/dev") ?? "").split(separator: "\n") {
            // eth0: received bytes packets errors dropped ... sent bytes packets errors dropped ...
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let numbers = parts[1].split(separator: " ").map { Double($0) }
            guard numbers.count >= 12 else { continue }
            let device = [Series.Label(name: "device", value: String(parts[0].drop { $0 == " " }))]
            for (name, place) in [
                ("network_received_bytes_total", 0), ("network_received_errors_total", 2), ("network_sent_bytes_total", 8),
                ("network_sent_errors_total", 10),
            ] {
                add(name, numbers[place], device)
            }
        }
        for line in (KernelText.string("\(proc)/diskstats") ?? "").split(separator: "\n").prefix(1024) {
            let words = line.split(separator: " ")
            guard words.count >= 14, !words[2].hasPrefix("loop"), !words[2].hasPrefix("ram") else { continue }
            let device = [Series.Label(name: "device", value: String(words[2]))]
            // Sectors of 512 bytes, whatever the disk's are.
            add("disk_read_bytes_total", Double(words[5]).map { $0 * 512 }, device)
            add("disk_written_bytes_total", Double(words[9]).map { $0 * 512 }, device)
            add("disk_busy_seconds_total", Double(words[12]).map { $0 / 1000 }, device)
        }
        let files = KernelText.string("\(proc)/sys/fs/file-nr")
        add("open_files", files?.split { $0 == "\t" || $0 == " " }.first.flatMap { Double($0) })
        return (samples, cpu)
    }
}

/// Plays a recorded table, as if it happened now: a first column of times, and a column for each series.
struct ReplaySource: SampleSource {
    let replay: MetricsCheck.Replay
    let samplesMax: Int
    let pool: BlockingPool
    private var table: Table?
    private var next = 0
    private var began = Duration.zero

    init(replay: MetricsCheck.Replay, samplesMax: Int, pool: BlockingPool) {
        self.replay = replay
        self.samplesMax = samplesMax
        self.pool = pool
    }

    /// A table of a year of minutes has 20 MB.
    private static let bytesMax = 256 << 20

    mutating func samples() async throws -> [Sample] {
        if table == nil {
            let path = replay.path
            table = try await pool.run { _ in try Table(read: path, limit: Self.bytesMax) }
            began = monotonicNow()
        }
        guard let table, let start = table.times.first else { return [] }
        var samples: [Sample] = []
        // Of a recorded time: how much of it has passed.
        let passed = Double((monotonicNow() - began).milliseconds) * replay.speed
        while next < table.times.count, samples.count < samplesMax,
            replay.speed == 0 || Double(table.times[next]) - Double(start) <= passed
        {
            for (column, name) in table.names.enumerated() {
                guard let value = table.columns[column][next] else { continue }
                samples.append(Sample(series: Series(name), value: value, time: table.times[next]))
            }
            next += 1
        }
        return samples
    }

    /// A comma-separated table of numbers in memory.
    struct Table: Sendable {
        /// Milliseconds since 1970.
        private(set) var times: [UInt64] = []
        /// Of the columns behind the first.
        private(set) var names: [String] = []
        /// Nil where there is no number.
        private(set) var columns: [[Double?]] = []

        init(read path: String, limit: Int) throws {
            guard let bytes = try WholeFile.read(path, limit: limit) else { throw ProbeProblem("there is no \(path)") }
            try self.init(bytes, path: path)
        }

        init(_ bytes: [UInt8], path: String) throws(ProbeProblem) {
            for (index, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
                let fields = line.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map {
                    String(decoding: $0, as: UTF8.self).filter { $0 != "\r" && $0 != "\"" }
                }
                guard fields.count > 1 else { continue }
                guard !names.isEmpty else {
                    names = Array(fields.dropFirst())
                    columns = names.map { _ in [] }
                    continue
                }
                guard let time = Timestamp.milliseconds(fields[0]) else {
                    throw ProbeProblem(
                        "\(path), line \(index + 1): \"\(fields[0].prefix(40))\" is no time; write it as 2026-01-31 23:59:00 "
                            + "or as seconds since 1970")
                }
                times.append(time)
                for column in names.indices {
                    columns[column].append(column + 1 < fields.count ? PrometheusText.number(fields[column + 1]) : nil)
                }
            }
        }
    }
}

/// Times as tables have them.
enum Timestamp {
    /// `2026-01-31 23:59:00`, with `T` and a fraction or `Z` if need be, as UTC; or seconds since 1970. Nil for what is neither.
    static func milliseconds(_ text: String) -> UInt64? {
        if let seconds = Double(text) {
            return seconds >= 0 && seconds < 1e12 ? UInt64(seconds * 1000) : nil
        }
        let parts = text.split { !($0.isASCII && $0.isNumber) }
        guard parts.count >= 3, let year = Int(parts[0]), let month = Int(parts[1]), let day = Int(parts[2]),
            (1970...9999).contains(year), (1...12).contains(month), (1...31).contains(day)
        else { return nil }
        var seconds = 0
        for (index, part) in parts.dropFirst(3).prefix(3).enumerated() {
            guard let value = Int(part), value < 62 else { return nil }
            seconds += value * [3600, 60, 1][index]
        }
        let days = CivilDate.days(year: year, month: month, day: day)
        return UInt64(clamping: (days * 86_400 + seconds) * 1000)
    }
}
