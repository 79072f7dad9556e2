import ArgumentParser
import TocsinKit
import TocsinWire

/// One worker of the pool: takes and acknowledges messages, and tells when they came.
struct Consume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Consumes and acknowledges messages.")
    @OptionGroup var connection: Connection
    @Option(help: "Ends after so many messages.") var count = 1_000_000
    @Option(help: "Messages held at most.") var credit = 8192
    @Flag(help: "Payloads begin with the time they were due, as `pace` writes it: report percentiles of the delay.")
    var latency = false
    @Option(
        help: ArgumentHelp(
            "Report percentiles of the delay of these, due since the first message came; --count is of the others.",
            valueName: "severity"))
    var latencyOf: WireSeverity?
    @Option(help: "Messages left out of the percentiles, from the beginning.") var warmup = 5_000

    /// Prints "started", "ready" once it is in the pool, and at the end one line of JSON.
    func run() async throws {
        report("started")
        let client = try await connection.open(as: "worker")
        let subscription = try await client.subscribe(pool: connection.pool, credit: credit)
        report("ready")
        var (seen, again) = (0, 0)
        var first: UInt64 = 0
        var delays: [UInt64] = []
        for try await batch in subscription {
            let now = monotonic()
            if seen == 0 { first = now }
            let deliveries = batch.deliveries()
            for delivery in deliveries {
                if delivery.attempt > 1 { again += 1 }
                if let latencyOf, delivery.message.severity == latencyOf {
                    let due = due(delivery.message.payload)
                    if due >= first { delays.append(now &- due) }
                    continue
                }
                if latency, seen >= warmup { delays.append(now &- due(delivery.message.payload)) }
                seen += 1
            }
            subscription.settle(deliveries.map { ($0, .ack) })
            if seen >= count { break }
        }
        let last = monotonic()
        // Goodbye follows the settlements on the same connection, so they are with the hub.
        await client.close()
        delays.sort()
        report(
            "{\"seen\":\(seen),\"timed\":\(delays.count),\"again\":\(again),"
                + "\"first\":\(first),\"last\":\(last)\(percentiles(of: delays))}")
    }

    private func due(_ payload: [UInt8]) -> UInt64 {
        payload.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
