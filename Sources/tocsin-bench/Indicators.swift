import ArgumentParser
import Glibc
import TocsinIndicators
import TocsinPolicy

/// Loads a bundle of made-up indicators and looks for them in made-up events, in this process: no hub is needed.
struct Indicators: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Loads indicators and matches them: microseconds for one observable and for an event, seconds to load, bytes.")
    @Option(help: "Indicators in the bundle.") var count = 100_000
    @Option(help: "Where the bundle is written.") var directory = "/tmp"
    @Option(help: "Observables that are looked up, in batches of 64.") var lookups = 1_000_000
    @Option(help: "Events that are scanned.") var events = 200_000

    private static let batch = 64

    func run() throws {
        var values = (0..<count).map { Self.value($0, seed: 1) }
        let path = "\(directory)/indicators-\(getpid()).json"
        try write(values, to: path)
        defer { unlink(path) }
        let began = processorTime()
        let load = IndicatorLoad(IndicatorPolicy(files: [path]))
        let loaded = processorTime() - began
        guard load.problems.isEmpty, load.set.count == count else {
            throw ValidationError("of \(count) indicators \(load.set.count) were loaded: \(load.problems)")
        }
        // Half of what is looked up is there, and half is not.
        let present = values
        values = (0..<8192).map { $0 % 2 == 0 ? present[$0 * 7919 % count] : Self.value($0, seed: 2) }
        let (batches, hits) = lookUp(values, in: load.set)
        let perEvent = scan(present, in: load.set)
        let p99 = batches.sorted()[batches.count * 99 / 100]
        let mean = Double(batches.reduce(0, +)) / Double(batches.count * Self.batch)
        report(
            """
            {"match_mean_ns":\(mean),"match_p99_ns":\(Double(p99) / Double(Self.batch)),"hits":\(hits),\
            "scan_event_ns":\(perEvent),"load_ns":\(loaded),"bytes":\(load.set.bytes)}
            """)
    }

    /// Nanoseconds of each batch, and how many indicators were found.
    private func lookUp(_ values: [String], in set: IndicatorSet) -> (batches: [UInt64], hits: Int) {
        var scanner = IndicatorScanner()
        var batches: [UInt64] = []
        var hits = 0
        for start in stride(from: 0, to: lookups, by: Self.batch) {
            let began = processorTime()
            for index in start..<(start + Self.batch) {
                hits += scanner.matches(summary: values[index % values.count], at: nil, in: set).count
            }
            batches.append(processorTime() - began)
        }
        return (batches, hits)
    }

    /// Nanoseconds for an event of 300 bytes; one in 16 has an indicator.
    private func scan(_ values: [String], in set: IndicatorSet) -> Double {
        let messages = (0..<1024).map { number -> (summary: String, labels: [String: String], details: [String: String]) in
            let address = "203.0.\(number % 113).\(number % 256)"
            let other = number % 16 == 0 ? values[number % values.count] : "files.host\(number).example"
            return (
                "sshd[\(1000 + number)]: Failed password for invalid user admin from \(address) port \(40_000 + number) ssh2",
                ["host": "web-\(number % 40).shop.example", "app": "sshd", "pid": "\(1000 + number)", "client": address],
                [
                    "line":
                        "Nov 28 12:31:46 web-\(number % 40) sshd[\(1000 + number)]: request for \(other) took 12 ms, status 403"
                ]
            )
        }
        var scanner = IndicatorScanner()
        let began = processorTime()
        for number in 0..<events {
            let message = messages[number % messages.count]
            _ = scanner.matches(summary: message.summary, labels: message.labels, details: message.details, at: 0, in: set)
        }
        return Double(processorTime() - began) / Double(events)
    }

    /// A value of a kind that depends on the number: 45 % addresses, 10 % networks, 25 % domains, 10 % URLs, 10 % hashes.
    private static func value(_ number: Int, seed: UInt64) -> String {
        // Fowler, Noll and Vo's hash, then a finaliser: as good as random.
        var random = (UInt64(number) ^ seed << 32 ^ 0xCBF2_9CE4_8422_2325) &* 0x100_0000_01B3
        random = (random ^ random >> 29) &* 0xBF58_476D_1CE4_E5B9
        random ^= random >> 32
        func byte(_ place: UInt64) -> UInt64 { random >> (8 * place) & 255 }
        func digits(_ count: Int) -> String {
            var text = ""
            var state = random
            while text.utf8.count < count {
                text += String(state, radix: 16)
                state = state &* 0x9E37_79B9_7F4A_7C15 &+ 1
            }
            return String(text.prefix(count))
        }
        let name = String(random, radix: 36)
        switch number % 20 {
        case 0..<8: return "\(1 + byte(0) % 222).\(byte(1)).\(byte(2)).\(byte(3))"
        case 8:
            let words = [0, 16, 32].map { String(random >> UInt64($0) & 0xFFFF, radix: 16) }
            return "2001:db8:\(words[0]):\(words[1])::\(words[2])"
        case 9, 10: return "\(1 + byte(0) % 222).\(byte(1)).\(byte(2)).0/\(20 + byte(4) % 5)"
        case 11..<16: return "\(name).\(["example", "invalid", "test"][Int(byte(5) % 3)])"
        case 16, 17: return "http://\(name).example/\(byte(1))/\(byte(2)).php?id=\(byte(3))"
        case 18: return digits(64)
        default: return digits(32)
        }
    }

    private func write(_ values: [String], to path: String) throws {
        guard let file = fopen(path, "w") else { throw ValidationError("\(path) cannot be written") }
        defer { fclose(file) }
        fputs("{\"type\":\"bundle\",\"id\":\"bundle--1\",\"objects\":[\n", file)
        for (number, value) in values.enumerated() {
            let property =
                switch number % 20 {
                case 0..<8, 9, 10: "ipv4-addr:value"
                case 8: "ipv6-addr:value"
                case 11..<16: "domain-name:value"
                case 16, 17: "url:value"
                case 18: "file:hashes.'SHA-256'"
                default: "file:hashes.MD5"
                }
            let id = String(repeating: "0", count: 12 - String(number).utf8.count) + String(number)
            fputs(
                """
                \(number > 0 ? "," : "") {"type": "indicator", "spec_version": "2.1", "id": "indicator--00000000-0000-4000-8000-\(id)",
                 "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "name": "Made-up indicator \(number)",
                 "indicator_types": ["malicious-activity"], "pattern_type": "stix", "valid_from": "2026-01-01T00:00:00Z",
                 "confidence": \(number % 101), "pattern": "[\(property) = '\(value)']"}

                """, file)
        }
        fputs("]}\n", file)
    }
}

/// Nanoseconds of a processor that this thread has had: what others do on the machine does not count.
private func processorTime() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
