import Glibc
import Synchronization
import TocsinPosix
import TocsinSystem

/// What statsd clients sent since the last look, made into samples as Etsy's statsd does: a counter is a rate per second, a gauge
/// its last value, a timer its statistics, a set how many different values it had.
struct StatsdBucket: Sendable {
    /// So many series at most; what is sent for others is counted and dropped.
    static let seriesMax = 10_000
    /// Of a timer, and different values of a set, in one interval; beyond them counts go on, statistics are of these.
    static let valuesMax = 10_000

    /// Of one line.
    static let lineBytes = 2048
    /// A series that nobody sent for so many intervals is forgotten.
    static let quietMax = 60

    private enum Values: Sendable {
        case counter(Double)
        case gauge(Double)
        case timer([Double], count: Double)
        case set(Set<String>)
    }
    private var entries: [Series: (values: Values, quiet: Int)] = [:]
    private(set) var malformed = 0
    private(set) var dropped = 0

    /// A datagram: lines `name:value|type[|@rate][|#tag:value,...]`, with type c, g, ms, h, d or s.
    mutating func take(_ datagram: ArraySlice<UInt8>) {
        for line in datagram.split(whereSeparator: { $0 == 0x0A || $0 == 0x0D }) where !take(line: line) { malformed += 1 }
    }

    private mutating func take(line: ArraySlice<UInt8>) -> Bool {
        let fields = line.split(separator: UInt8(ascii: "|"), omittingEmptySubsequences: false)
        guard fields.count >= 2, let colon = fields[0].lastIndex(of: UInt8(ascii: ":")), colon > fields[0].startIndex,
            line.count <= Self.lineBytes, colon - fields[0].startIndex <= Series.nameBytes
        else { return false }
        func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
        var rate = 1.0
        var labels: [Series.Label] = []
        for field in fields.dropFirst(2) {
            switch field.first {
            case UInt8(ascii: "@"):
                guard let value = Double(text(field.dropFirst())), value > 0, value <= 1 else { return false }
                rate = value
            case UInt8(ascii: "#"):
                for tag in text(field.dropFirst()).split(separator: ",").prefix(32) {
                    let parts = tag.split(separator: ":", maxSplits: 1)
                    guard let name = parts.first else { continue }
                    labels.append(Series.Label(name: String(name), value: parts.count > 1 ? String(parts[1]) : ""))
                }
            default: break
            }
        }
        let series = Series(text(fields[0][..<colon]), labels)
        let value = text(fields[0][(colon + 1)...])
        let kind = text(fields[1])
        let known = entries[series]?.values
        let values: Values
        if kind == "s" {
            var set: Set<String> = if case .set(let set)? = known { set } else { [] }
            if set.count < Self.valuesMax || set.contains(value) { set.insert(value) } else { dropped += 1 }
            values = .set(set)
        } else {
            guard let number = Double(value), number.isFinite else { return false }
            switch kind {
            case "c":
                let sum = if case .counter(let sum)? = known { sum } else { 0.0 }
                values = .counter(sum + number / rate)
            case "g":
                let isChange = value.hasPrefix("+") || value.hasPrefix("-")
                let last = if case .gauge(let last)? = known { last } else { 0.0 }
                values = .gauge(isChange ? last + number : number)
            case "ms", "h", "d":
                var (list, count) = if case .timer(let list, let count)? = known { (list, count) } else { ([Double](), 0.0) }
                entries[series] = nil
                if list.count < Self.valuesMax { list.append(number) }
                count += 1 / rate
                values = .timer(list, count: count)
            default: return false
            }
        }
        guard known != nil || entries.count < Self.seriesMax else {
            dropped += 1
            return true
        }
        entries[series] = (values, 0)
        return true
    }

    /// The samples of an interval of so many seconds, which begins anew: gauges stay, and counters and timers that were not sent
    /// again count zero.
    mutating func flush(seconds: Double) -> [Sample] {
        var samples: [Sample] = []
        let seconds = max(seconds, 0.001)
        for (series, entry) in entries {
            guard entry.quiet < Self.quietMax else {
                entries[series] = nil
                continue
            }
            let isRepeated = entry.quiet > 0
            let next: Values
            switch entry.values {
            case .counter(let sum):
                samples.append(Sample(series: series, value: sum / seconds, isRepeated: isRepeated))
                next = .counter(0)
            case .gauge(let last):
                samples.append(Sample(series: series, value: last, isRepeated: isRepeated))
                next = entry.values
            case .set(let set):
                samples.append(Sample(series: series, value: Double(set.count), isRepeated: isRepeated))
                next = .set([])
            case .timer(let values, let count):
                samples += Self.statistics(series, values, rate: count / seconds).map {
                    var sample = $0
                    sample.isRepeated = isRepeated
                    return sample
                }
                next = .timer([], count: 0)
            }
            entries[series] = (next, entry.quiet + 1)
        }
        return samples
    }

    private static func statistics(_ series: Series, _ values: [Double], rate: Double) -> [Sample] {
        var numbers = [("rate", rate)]
        let sorted = values.sorted()
        if let least = sorted.first, let most = sorted.last {
            numbers += [("min", least), ("max", most), ("mean", sorted.reduce(0, +) / Double(sorted.count))]
            // The nearest rank.
            numbers += [50, 95, 99].map { ("p\($0)", sorted[(sorted.count * $0 + 99) / 100 - 1]) }
        }
        return numbers.map { name, value in
            Sample(series: Series(series.name, series.labels + [Series.Label(name: "stat", value: name)]), value: value)
        }
    }
}

/// A UDP socket that statsd clients send to, read by a thread of its own so that a probe in between loses nothing.
final class StatsdListener: Sendable {
    private let bucket = Mutex(StatsdBucket())
    private let stopped: CancellationSignal
    /// Where it listens; of interest where port 0 was asked for.
    let port: Int

    /// - Throws: `ProbeProblem` if the address cannot be had.
    init(host: String, port: Int) throws(ProbeProblem) {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        defer { if let list { freeaddrinfo(list) } }
        guard code == 0, let address = list?.pointee else {
            throw ProbeProblem("\"\(host)\" is not an address in numbers: \(String(cString: gai_strerror(code)))")
        }
        let descriptor = socket(address.ai_family, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ProbeProblem("cannot make a socket: \(errorText(errno))") }
        // The kernel's queue is what a burst has; asked for, and had as far as the system allows.
        var size: Int32 = 4 << 20
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        guard bind(descriptor, address.ai_addr, address.ai_addrlen) == 0 else {
            let reason = errorText(errno)
            close(descriptor)
            throw ProbeProblem("cannot listen at \(host):\(port): \(reason)")
        }
        var bound = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        self.port = withUnsafeMutablePointer(to: &bound) { pointer in
            _ = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
            return pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { Int(UInt16(bigEndian: $0.pointee.sin_port)) }
        }
        let stopped = CancellationSignal()
        self.stopped = stopped
        do throws(SystemThread.Refused) {
            try SystemThread("statsd") { [weak self] in
                defer { close(descriptor) }
                var buffer = [UInt8](repeating: 0, count: 64 << 10)
                while !stopped.isSet {
                    var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                    guard poll(&polled, 1, 100) > 0 else { continue }
                    let count = recv(descriptor, &buffer, buffer.count, 0)
                    guard count > 0, let self else { continue }
                    bucket.withLock { $0.take(buffer[..<count]) }
                }
            }.detach()
        } catch {
            close(descriptor)
            throw ProbeProblem("cannot start a thread: \(errorText(error.code))")
        }
    }

    deinit { stopped.set() }

    func flush(seconds: Double) -> [Sample] { bucket.withLock { $0.flush(seconds: seconds) } }
    /// Lines that could not be read, and values there was no room for, since it listens.
    var refused: Int { bucket.withLock { $0.malformed + $0.dropped } }
}
