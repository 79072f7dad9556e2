import Logging
import TocsinKit
import TocsinProto

// The endpoint is the first argument; without one it is that of `tocsin up` in this folder.
let endpoint = CommandLine.arguments.dropFirst().first ?? "ipc://tocsin-data/hub.sock"
let options = ClientOptions(endpoint: endpoint, name: "printer-1", role: "worker")
let client = try Client(options, logger: Logger(label: "printer"))

// Every event, shared with all who work for this pool, now and after it was away.
try await client.declare(
    .with {
        $0.name = "printer"
        $0.filters = ["event.>"]
    })
let subscription = try await client.subscribe(pool: "printer", credit: 64)
for try await batch in subscription {
    for delivery in batch.deliveries() {
        do {
            let event: Tocsin_V1_Event = try delivery.message.decode()
            print("\(event.service): \(event.summary)")
            subscription.settle([(delivery, .ack)])
        } catch {
            // It becomes a dead letter; `tocsin dlq` shows it.
            subscription.settle([(delivery, .reject(reason: "not an event: \(error)"))])
        }
    }
}
