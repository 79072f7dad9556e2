import CLinux
import Glibc
import TocsinPosix
import TocsinSystem

/// Record types of the domain name system that can be asked for, by their numbers (RFC 1035, RFC 3596).
public enum DNSRecord: String, Sendable, CaseIterable {
    case a = "A"
    case aaaa = "AAAA"
    case cname = "CNAME"
    case mx = "MX"
    case ns = "NS"
    case ptr = "PTR"
    case soa = "SOA"
    case txt = "TXT"

    var number: Int32 {
        switch self {
        case .a: 1
        case .ns: 2
        case .cname: 5
        case .soa: 6
        case .ptr: 12
        case .mx: 15
        case .txt: 16
        case .aaaa: 28
        }
    }
}

struct DNSProber: Prober {
    let check: DNSCheck
    let severity: String
    let timeout: Duration
    let pool: BlockingPool

    func probe() async throws -> [Observation] {
        let (check, severity, timeout) = (check, severity, timeout)
        return try await pool.run { _ in
            let started = monotonicNow()
            let answer = Self.ask(check, timeout: timeout)
            return [Self.judge(answer, check, severity: severity, took: monotonicNow() - started)]
        }
    }

    enum Answer: Equatable, Sendable {
        case records([String])
        case none(String)
    }

    /// Blocking, for twice the timeout's half.
    private static func ask(_ check: DNSCheck, timeout: Duration) -> Answer {
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        var failure: Int32 = 0
        // The resolver counts in seconds, and asks twice.
        let seconds = Int32(max(1, timeout.milliseconds / 2000))
        let size = bytes.withUnsafeMutableBufferPointer { buffer -> Int32 in
            guard let server = check.server else {
                return tocsin_dns_query(
                    nil, check.name, check.record.number, seconds, buffer.baseAddress, Int32(buffer.count), &failure)
            }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(check.port).bigEndian
            guard inet_pton(AF_INET, server, &address.sin_addr) == 1 else { return -1 }
            return tocsin_dns_query(
                &address, check.name, check.record.number, seconds, buffer.baseAddress, Int32(buffer.count), &failure)
        }
        guard size >= 0 else { return .none(reason(failure)) }
        let found = Found()
        let count = bytes.withUnsafeBufferPointer { buffer in
            tocsin_dns_records(
                buffer.baseAddress, size, check.record.number, Unmanaged.passUnretained(found).toOpaque()
            ) { context, text in
                guard let context, let text else { return }
                Unmanaged<Found>.fromOpaque(context).takeUnretainedValue().records.append(String(cString: text))
            }
        }
        if count < 0 { return .none("the answer is malformed") }
        return .records(found.records.sorted())
    }

    private final class Found {
        var records: [String] = []
    }

    /// What `h_errno` says.
    private static func reason(_ code: Int32) -> String {
        switch code {
        case HOST_NOT_FOUND: "there is no such name"
        case TRY_AGAIN: "no server answers"
        case NO_RECOVERY: "the server refused"
        case NO_DATA: "the name has no such record"
        default: "the resolver cannot ask"
        }
    }

    static func judge(_ answer: Answer, _ check: DNSCheck, severity: String, took: Duration) -> Observation {
        let what = "\(check.record.rawValue) of \(check.name)"
        var details = ["name": check.name, "record": check.record.rawValue, "latency_ms": "\(took.milliseconds)"]
        switch answer {
        case .none(let reason):
            return Observation(
                healthy: false, severity: severity, summary: "\(what) cannot be looked up: \(reason)", details: details)
        case .records(let records):
            details["answer"] = records.prefix(16).joined(separator: ", ")
            let missing = check.expect.filter { !records.contains($0) }
            if records.isEmpty {
                return Observation(
                    healthy: false, severity: severity, summary: "\(what): the name has no such record", details: details)
            }
            guard missing.isEmpty else {
                return Observation(
                    healthy: false, severity: severity,
                    summary: "\(what) is without \(missing.joined(separator: ", "))", details: details)
            }
            return Observation(
                healthy: true, severity: severity, summary: "\(what) is \(records.prefix(4).joined(separator: ", "))",
                details: details)
        }
    }
}
