import ArgumentParser
import Glibc
import Logging
import TocsinKeys
import TocsinKit
import TocsinProto
import TocsinWire

/// The processes of `tools/bench`: each subcommand is one client of a running hub and prints one line of JSON at its end.
@main struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tocsin-bench", abstract: "Loads a running hub and measures; tools/bench drives it.",
        subcommands: [
            Publish.self, Pace.self, Consume.self, Serve.self, Call.self, Alerts.self, Similar.self, Indicators.self, Report.self,
            Decide.self,
        ])
}

/// Options of every subcommand.
struct Connection: ParsableArguments {
    @Option(help: "The hub's endpoint.") var endpoint = "ipc://tocsin-data/hub.sock"
    @Option(help: "The key file to prove who this is with.") var identity: String?
    @Option(help: "The pool, declared if it is not there, with the filter <pool>.>.") var pool = "bench"
    @Option(help: "Seconds to wait for the hub.") var wait = 30

    /// A client that the hub has welcomed, with the pool declared.
    func open(as role: String) async throws -> Client {
        let options = ClientOptions(
            endpoint: endpoint, identity: try identity.map { try Identity.load($0) }, name: "bench-\(role)-\(getpid())",
            role: role, software: "tocsin-bench")
        let client = try Client(options, logger: Logger(label: "bench"))
        try await client.ready(within: .seconds(wait))
        var spec = Tocsin_V1_PoolSpec()
        spec.name = pool
        spec.filters = ["\(pool).>"]
        try await client.declare(spec)
        return client
    }
}

extension WireSeverity: ExpressibleByArgument {
    /// By name: `minor`, `critical` and so on.
    public init?(argument: String) {
        guard let severity = Self.allCases.first(where: { "\($0)" == argument }) else { return nil }
        self = severity
    }
}

/// Nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share: one process's stamp can be taken from another's.
func monotonic() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Prints one line and flushes, for the process that drives this one.
func report(_ line: String) {
    print(line)
    fflush(nil)
}

/// Fields of JSON, each after a comma; none without values. `sorted`: ascending.
func percentiles(of sorted: [UInt64]) -> String {
    guard !sorted.isEmpty else { return "" }
    return [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1)].map { name, share in
        ",\"\(name)\":\(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))])"
    }.joined()
}

/// Payloads that do not compress, cut from one random block so that making them costs a copy only.
struct RandomPayloads: Sendable {
    private let block: [UInt8]
    private let size: Int

    init(size: Int) {
        self.size = size
        var generator = SystemRandomNumberGenerator()
        let words = (max(1 << 20, size) + 7) / 8
        block = (0..<words).map { _ in generator.next() as UInt64 }.withUnsafeBytes { Array($0) }
    }

    /// The payload of message `number`.
    func payload(_ number: Int) -> ArraySlice<UInt8> {
        let start = (number &* 61) % (block.count - size + 1)
        return block[start..<start + size]
    }
}
