import ArgumentParser
import TocsinKit
import TocsinWire

/// Publishes as fast as the hub accepts: every message counted is on disk when the clock stops.
struct Publish: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Publishes durably, with several batches on their way.")
    @OptionGroup var connection: Connection
    @Option(help: "Messages.") var count = 1_000_000
    @Option(help: "Bytes of payload, random.") var size = 256
    @Option(help: "Messages in a batch.") var batch = 1024
    @Option(name: .customLong("in-flight"), help: "Batches on their way at once.") var inFlight = 8

    @Option(help: "Severity of every message.") var severity = WireSeverity.info

    func run() async throws {
        let client = try await connection.open(as: "publisher")
        let payloads = RandomPayloads(size: size)
        let subject = "\(connection.pool).x"
        let batches = (count + batch - 1) / batch
        let (count, batch, severity) = (count, batch, severity)
        let began = monotonic()
        let stored = try await withThrowingTaskGroup(of: Int.self) { group in
            var stored = 0
            for number in 0..<batches {
                if number >= inFlight { stored += try await group.next() ?? 0 }
                group.addTask {
                    let messages = (number * batch..<min(count, (number + 1) * batch)).map {
                        Message(subject: subject, severity: severity, payload: Array(payloads.payload($0)))
                    }
                    return try await client.publish(messages).stored
                }
            }
            for try await more in group { stored += more }
            return stored
        }
        let ended = monotonic()
        await client.close()
        report("{\"stored\":\(stored),\"began\":\(began),\"ended\":\(ended)}")
    }
}
